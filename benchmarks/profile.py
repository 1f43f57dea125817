"""Where the time of a step goes: what each library's own profiler says of a block, summed by kind of work.

On one core, for then an operation's time is the processor's; with two, a part of each operation may run beside another.
Neither library is imported here but where its profiler runs, in the worker.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

KINDS = {  # kind: what the operation is called, by XLA or by PyTorch; the first that fits
    "": r"^(while|call|conditional|cond)\b",  # whose operations are counted themselves
    "convolutions": r"conv(?!ert)",
    "matrix products": r"(^|:)(dot|custom-call|(add|b|badd)?(mm|bmm)$)|_mm$|scaled_dot_product",
    "sums and norms": r"reduce|::(sum|mean|norm|native_(group|layer)_norm|_?(log_)?softmax|linalg_vector_norm|cumsum)",
    "moving and reordering": r"transpose|copy|concatenate|pad|slice|gather|scatter|::(cat|index|contiguous|clone|roll)",
    "pointwise": r"",  # all else: Adam, activations, random numbers
}
REST = "outside of operations"
STEPS = 10  # under the profiler, or draws
LARGEST = 6  # operations that are told


def one_core() -> None:
    """Keeps this process, and those that it starts, on one core."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit(
            "error: --profile keeps all sides on one core, which works on Linux only"
        )
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@contextlib.contextmanager
def operations(found: Counter[str]) -> Iterator[None]:
    """In a worker: adds up the times of the operations inside [s], by name, as its library's profiler tells them."""
    # a worker has one library only, so what has been imported says which side this is
    with _torch(found) if "torch" in sys.modules else _jax(found):
        yield


@contextlib.contextmanager
def _torch(found: Counter[str]) -> Iterator[None]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        yield
    for event in profiler.key_averages():
        found[event.key] += 1e-6 * event.self_cpu_time_total


@contextlib.contextmanager
def _jax(found: Counter[str]) -> Iterator[None]:
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            yield
        for path in Path(folder).rglob("*.xplane.pb"):
            for event in _events(jax.profiler.ProfileData.from_file(str(path))):
                # on CPU every thread of XLA has its line, with what is no operation among them
                if any(name == "hlo_op" for name, _ in event.stats):
                    kind = re.sub(r"[.\d]+$", "", event.name)  # without its number: "fusion.12"
                    found[kind] += 1e-9 * event.duration_ns


def _events(data: Any) -> Iterator[Any]:
    for plane in data.planes:
        for line in plane.lines:
            yield from line.events


def kinds(ops: Mapping[str, float]) -> Counter[str]:
    """The times of operations summed by kind."""
    summed = Counter()
    for name, seconds in ops.items():
        kind = next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))
        if kind:
            summed[kind] += seconds
    return summed


class Profiled(Protocol):
    """What is told of one side: `benchmarks.turns.Worker` has it, and knows this module."""

    name: str
    profiled: float  # a step under the profiler [s]
    operations: dict[str, float]  # of a step, by name [s]


def table(reference: Profiled, ours: Profiled) -> str:
    """Markdown: ms a step of each kind of work on both sides, then the operations that took longest."""
    sides = (reference, ours)
    summed = [kinds(side.operations) for side in sides]
    rest = [
        max(side.profiled - found.total(), 0.0)
        for side, found in zip(sides, summed, strict=True)
    ]
    lines = [f"| one core, ms | {reference.name} | {ours.name} |", "|---" * 3 + "|"]
    for kind in filter(None, KINDS):
        lines.append(_line(kind, [found[kind] for found in summed]))
    lines.append(_line(REST, rest))
    lines.append(_line("all", [side.profiled for side in sides]))
    return "\n".join([*lines, "", *map(_longest, sides)])


def _line(name: str, seconds: list[float]) -> str:
    cells = " | ".join(f"{1000 * value:.1f}" for value in seconds)
    return f"| {name} | {cells} |"


def _longest(side: Profiled) -> str:
    most = Counter(side.operations).most_common(LARGEST)
    told = ", ".join(f"`{op}` {1000 * seconds:.1f}" for op, seconds in most)
    return f"Longest, {side.name}: {told}.  "  # two spaces: Markdown's line break
