"""Compiling for TPUs that are not here: libtpu brings XLA's compiler and the shapes of all slices, and needs no chip.

https://docs.jax.dev/en/latest/aot.html. Nothing of libtpu is loaded before `devices` is called.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from genjax.errors import UserError
from genjax.machine import hlo, roofline
from genjax.machine.chips import GIB, Slice

INSTALL = 'pip install "jax[tpu]"'
# read by libtpu when it is loaded
ENVIRONMENT = {
    # it asks no cloud where it is
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # any that there is, or libtpu complains: the slice is named in a call
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    # no chip is touched, so other processes may go on using theirs
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    # else it writes files under /tmp
    "TPU_LOG_DIR": "disabled",
    "TPU_MIN_LOG_LEVEL": "3",
}
# of all that lies there, or, where that alone is too much, of what is made in between
_USED = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm")
_MADE = re.compile(
    r"required for HLO temporaries \(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)"
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Memory(NamedTuple):
    """Of one device [byte]. `limit`: what the compiler found to be there, where it did not find enough."""

    needed: int
    arguments: int = 0
    temporaries: int = 0
    outputs: int = 0  # that take no argument's place
    limit: int = 0


class Measured(NamedTuple):
    """What is known of a program after it was compiled; of one that does not fit its memory alone."""

    memory: Memory
    seconds: float  # of compiling
    work: roofline.Work | None = None
    collectives: tuple[hlo.Collective, ...] = ()
    loops: tuple[int, ...] = ()


def prepare() -> None:
    """Makes this a process that compiles for TPUs and computes on its CPU.

    UserError without libtpu, and where JAX has started on another machine already.
    """
    if not os.environ.get("TPU_LIBRARY_PATH") and importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--rehearse compiles by libtpu, which is not installed: {INSTALL} (no TPU is needed)."
        )
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # the variable JAX_PLATFORMS was read when JAX was imported; the backend starts later
    jax.config.update("jax_platforms", "cpu")
    started = jax.default_backend()
    if started != "cpu":
        raise UserError(
            f"--rehearse needs a process of its own, and JAX has started on {started} in this one: "
            "start it anew, with JAX_PLATFORMS=cpu."
        )


def devices(place: Slice) -> Sequence[Any]:
    """The devices of a slice, which programs can be compiled for and none can run on.

    UserError for a slice that libtpu does not know.
    """
    try:
        found = topologies.get_topology_desc(
            platform="tpu",
            topology_name=place.topology,
            chip_config_name=place.chip.config,
            chips_per_host_bounds=place.host,
            wrap=place.wraps,
            num_slices=place.count,
        )
    except (jax.errors.JaxRuntimeError, RuntimeError, ValueError) as error:
        raise UserError(f"--rehearse={place}: libtpu says: {_first_line(error)}") from error
    # another count would make every number of a device wrong
    if len(found.devices) != place.devices:
        raise UserError(
            f"--rehearse={place}: libtpu lays out {len(found.devices)} devices and {place.devices} were expected."
        )
    return found.devices


def measured(lowered: Any, devices: int, slices: int, held: int) -> Measured:
    """Compiles what `jax.jit(...).lower(...)` gave, for so many devices of so many slices.

    held: bytes of arguments that lie on a device whether the program looks at them or not.
    UserError for a program that XLA does not compile for this chip; one that does not fit is told by its memory.
    """
    begun = time.perf_counter()
    try:
        with _kept_nowhere():
            compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        seconds = time.perf_counter() - begun
        return Measured(_exceeded(error), seconds)
    seconds = time.perf_counter() - begun
    program = hlo.read(compiled.as_text(), devices // slices, slices)
    cost = compiled.cost_analysis()
    work = roofline.Work(
        cost.get("flops", 0.0),
        cost.get("bytes accessed", 0.0),
        *roofline.messages(program.collectives),
    )
    memory = _memory(compiled.memory_analysis(), held)
    return Measured(memory, seconds, work, *program)


@contextlib.contextmanager
def _kept_nowhere() -> Iterator[None]:
    """Keeps programs out of the cache on disk, which cannot load those of a machine that is not here."""
    least = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, least)
    jax.config.update(least, math.inf)
    try:
        yield
    finally:
        jax.config.update(least, before)


def _memory(found: Any, held: int) -> Memory:
    """XLA's own account of one device."""
    # a donated argument's place is taken by an output
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    # those that a program does not look at are not in XLA's account
    arguments = max(found.argument_size_in_bytes, held)
    temporaries = found.temp_size_in_bytes
    code = found.generated_code_size_in_bytes
    return Memory(arguments + outputs + temporaries + code, arguments, temporaries, outputs)


def _exceeded(error: Exception) -> Memory:
    """The least that a program needs which the compiler refused for its memory; UserError for any other refusal."""
    told = _USED.search(str(error)) or _MADE.search(str(error))
    if told is None:
        raise UserError(
            f"--rehearse: XLA does not compile this: {_first_line(error)}"
        ) from error
    used, unit, limit, limit_unit = told.groups()
    needed = float(used) * _UNITS[unit]
    return Memory(int(needed), limit=int(float(limit) * _UNITS[limit_unit]))


def _first_line(error: Exception) -> str:
    """Of what XLA says, which may be pages."""
    return str(error).strip().partition("\n")[0][:300]


def capacity(place: Slice) -> int:
    """The memory of one device [byte], as it is published."""
    return int(place.chip.hbm * GIB / place.chip.devices)


def lacking(place: Slice, memory: Memory) -> int:
    """Bytes by which a program does not fit into a device, 0 where it does."""
    there = memory.limit or capacity(place)
    return max(memory.needed - there, 0)
