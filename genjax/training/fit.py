"""`--rehearse=v5e:16x16 --fit=10`: the largest batch whose training step fits into a slice, without and with remat.

Batches are doubled while they fit, or halved until they do, from the one that was asked for. Every try is a compile,
of seconds to minutes; a table of all of them is printed, and after it one line of JSON. Nothing is written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from genjax.config import edit
from genjax.machine import tpu
from genjax.machine.tpu import Measured
from genjax.training.experiment import Experiment
from genjax.training.rehearse import (
    Prepared,
    memory_text,
    modelled,
    prepared,
    setting,
    steps,
    time_text,
)

REMAT = "algorithm.net.remat"


class Try(NamedTuple):
    """One compiled training step: of several that take turns, the one that needs most."""

    batch: int  # over all devices
    flags: dict[str, Any]  # that were set for it
    step: Measured
    lacking: int  # bytes by which it does not fit, 0 where it does


def fitted(exp: Experiment, experiment: str, name: str) -> list[Try]:
    """Compiles training steps of the slice `exp.rehearse` until the largest that fits is known; prints what it tried.

    No try begins later than exp.fit minutes after the first. UserError as `rehearse`.
    """
    ready = prepared(exp, experiment, name)
    ends = time.monotonic() + 60 * exp.fit
    choices: list[dict[str, Any]] = [{}]
    if setting(exp, REMAT) is not None:
        choices = [{REMAT: False}, {REMAT: True}]  # what costs no time comes first
    tries: list[Try] = []
    for flags in choices:
        tries += climbed(ready, flags, lambda: time.monotonic() < ends)
    print(table(ready, tries, f"{experiment} {name}"))
    if time.monotonic() >= ends:
        print(
            f"--fit={exp.fit:g} minutes were over: a larger batch may fit, or one that was not tried"
        )
    print(json.dumps(facts(ready, tries)), flush=True)
    return tries


def climbed(
    ready: Prepared, flags: dict[str, Any], in_time: Callable[[], bool]
) -> Iterator[Try]:
    """Tries from the batch that was asked for, up or down, until one fits and its double does not."""
    batch = ready.here.batch
    # of which a batch must be a multiple: each device has an example of each part
    least = ready.working * ready.here.microbatches
    first = None
    while batch and batch % least == 0 and in_time():
        one = tried(ready, batch, flags)
        yield one
        fits = one.lacking == 0
        if first is None:
            first = fits
        if fits != first:
            return
        batch = 2 * batch if fits else batch // 2


def tried(ready: Prepared, batch: int, flags: dict[str, Any]) -> Try:
    """Compiles the training step of one batch."""
    here = edit(ready.here, {**flags, "batch": batch})
    algorithm, like, held = modelled(ready, here)
    found = []
    for _, lowered in steps(here, ready.source, algorithm, like):
        step = ready.measured(lowered, held)
        lacking = tpu.lacking(ready.place, step.memory)
        found.append(Try(batch, flags, step, lacking))
    return max(found, key=lambda one: one.step.memory.needed)


def largest(tries: list[Try]) -> list[Try]:
    """The largest that fits of each choice of flags, of those that cost time only where it is larger."""
    of_choice: dict[str, Try] = {}
    for one in sorted(tries, key=lambda one: one.batch):
        if not one.lacking:
            of_choice[str(one.flags)] = one
    # the choices in the order in which they were tried
    best: list[Try] = []
    for choice in dict.fromkeys(str(one.flags) for one in tries):
        one = of_choice.get(choice)
        if one is not None and (not best or one.batch > best[-1].batch):
            best.append(one)
    return best


def table(ready: Prepared, tries: list[Try], title: str) -> str:
    """A line for each try, and one for the largest of each choice."""
    flags = [_flags(one) for one in tries]
    width = max(map(len, flags), default=0)
    lines = [f"{title} on {ready.place}, --layout={ready.asked.layout}: training steps"]
    for one, told in zip(tries, flags, strict=True):
        verdict = f"lacks {memory_text(one.lacking)}" if one.lacking else "fits"
        needed = memory_text(one.step.memory.needed)
        seconds = time_text(one.step.seconds)
        lines.append(f"{told.ljust(width)}  {needed}, {verdict}, compiled in {seconds}")
    best = largest(tries)
    lines += [f"largest that was found to fit: {_flags(one)}" for one in best]
    if not best:
        lines.append("none of these fits: shard the state by a larger fsdp, or use more chips")
    return "\n".join(lines)


def _flags(one: Try) -> str:
    """A try as it is typed."""
    values = {"batch": one.batch, **one.flags}
    return " ".join(f"--{path}={str(value).lower()}" for path, value in values.items())


def facts(ready: Prepared, tries: list[Try]) -> dict[str, Any]:
    """The same as JSON has it: bytes and seconds."""
    rows = []
    for one in tries:
        fits = {"fits": not one.lacking, "lacking": one.lacking}
        memory = one.step.memory._asdict()
        seconds = round(one.step.seconds, 3)
        known = {"memory": memory, "compile_seconds": seconds}
        rows.append({"batch": one.batch, "flags": one.flags, **fits, **known})
    best = [{"batch": one.batch, "flags": one.flags} for one in largest(tries)]
    return {"slice": str(ready.place), "tried": rows, "largest": best}
