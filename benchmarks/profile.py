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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.turns import Worker

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
        raise SystemExit("error: --profile keeps all sides on one core, which works on Linux only")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@contextlib.contextmanager
def operations(found: Counter[str]) -> Iterator[None]:
    """In a worker: adds up the times of the operations inside [s], by name, as its library's profiler tells them."""
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
            data = jax.profiler.ProfileData.from_file(str(path))
            for event in (
                event for plane in data.planes for line in plane.lines for event in line.events
            ):
                if any(name == "hlo_op" for name, _ in event.stats):
                    found[re.sub(r"[.\d]+$", "", event.name)] += 1e-9 * event.duration_ns


def kinds(ops: Mapping[str, float]) -> Counter[str]:
    """The times of operations summed by kind."""
    summed = Counter()
    for name, seconds in ops.items():
        kind = next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))
        if kind:
            summed[kind] += seconds
    return summed


def table(reference: Worker, ours: Worker) -> str:
    """Markdown: ms a step of each kind of work on both sides, then the operations that took longest."""
    sides = {worker.name: (worker, kinds(worker.operations)) for worker in (reference, ours)}
    lines = ["| one core, ms | " + " | ".join(sides) + " |", "|---" * 3 + "|"]
    for kind in filter(None, KINDS):
        lines.append(
            f"| {kind} | "
            + " | ".join(f"{1000 * summed[kind]:.1f}" for _, summed in sides.values())
            + " |"
        )
    rest = [
        1000 * max(worker.profiled - sum(summed.values()), 0.0) for worker, summed in sides.values()
    ]
    whole = [1000 * worker.profiled for worker, _ in sides.values()]
    lines += [
        f"| {REST} | {rest[0]:.1f} | {rest[1]:.1f} |",
        f"| all | {whole[0]:.1f} | {whole[1]:.1f} |",
        "",
    ]
    for name, (worker, _) in sides.items():
        most = Counter(worker.operations).most_common(LARGEST)
        lines.append(
            f"Longest, {name}: "
            + ", ".join(f"`{op}` {1000 * seconds:.1f}" for op, seconds in most)
            + ".  "
        )
    return "\n".join(lines)
