"""What the comparisons share: images for both sides, the proof that they compute the same, all sides taking turns.

Neither PyTorch nor JAX is imported here but where a function needs it: each side is a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.turns import Failed, Worker, alternate, ratio

LR = 1e-3
CHECKED = 3  # Adam steps in which both sides must agree
EAGER, COMPILED = (
    "PyTorch eager",
    "PyTorch compile",
)  # the latter may be absent: it needs a C++ compiler


class Row(NamedTuple):
    """What was measured of one job of one net: "U-Net", "sampling", all sides by name, and which two are compared."""

    net: str
    job: str
    workers: dict[str, Worker]
    reference: str
    ours: str


def need_torch() -> None:
    """Ends the program, with advice, where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        sys.exit(
            "error: PyTorch is not installed: run `make bench`, or pip install -r benchmarks/requirements.txt"
        )


def save_images(path: Path) -> str:
    """Writes training images, uint8 [60000, 28, 28, 1], and says which: Fashion-MNIST, or noise of its shape."""
    import numpy as np

    from genjax.data import FashionMNIST
    from genjax.errors import UserError

    try:
        images, name = FashionMNIST().load().train["image"], "Fashion-MNIST"
    except UserError:
        images, name = (
            np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), np.uint8),
            "noise",
        )
    np.save(path, images)
    return name


def machine() -> str:
    """Cores, processor and versions."""
    from genjax.machine.platform import cpu_model

    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "torch")]
    parts = [
        f"{os.cpu_count()} cores",
        cpu_model().rsplit(" ", 1)[0],
        f"Python {platform.python_version()}",
    ]
    return ", ".join([*parts, *versions])


def answer(module: str, *args: str) -> dict:
    """What `python -m benchmarks.<module> *args` prints, JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *args]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def agreement(name: str, ours: dict, theirs: dict, tolerance: float) -> float:
    """The largest relative difference of losses and gradient norms; SystemExit if it, or a count, is not the same."""
    pairs = [
        pair for key in ("loss", "grad_norm") for pair in zip(ours[key], theirs[key], strict=True)
    ]
    errors = [abs(a - b) / abs(b) for a, b in pairs]
    if ours["parameters"] != theirs["parameters"] or not all(
        error < tolerance for error in errors
    ):  # a NaN fails too
        raise SystemExit(
            f"error: the two sides do not compute the same thing ({name}): {ours} against {theirs}"
        )
    return max(errors)


def samples_agreement(name: str, ours: Any, theirs: Any, tolerance: float) -> float:
    """The largest difference of two arrays of samples over the largest value; SystemExit if it is too large."""
    import numpy as np

    ours, theirs = (np.reshape(x, (len(x), -1)) for x in (ours, theirs))
    same = ours.shape == theirs.shape
    apart = float(np.abs(ours - theirs).max() / np.abs(theirs).max()) if same else math.inf
    if not apart < tolerance:  # a NaN fails too
        raise SystemExit(
            f"error: the two sides do not draw the same samples ({name}): {apart:.1e} apart"
        )
    return apart


def measure(
    commands: dict[str, tuple[str, ...]],
    seconds: float,
    rounds: int,
    multiple: int,
    optional: tuple[str, ...] = (),
    profiled: int = 0,
) -> dict[str, Worker]:
    """Workers by the names of their commands, (module of benchmarks, *arguments), with their rates.

    One of the `optional` may be absent: it is left out, with the reason, where it cannot start or take a step.
    `profiled`: so many times `multiple` steps more are taken under a profiler at the end.
    """
    workers = {}
    with ExitStack() as stack:
        for side, (module, *args) in commands.items():
            try:
                workers[side] = Worker(side, f"benchmarks.{module}", *args)
                stack.callback(workers[side].close)
            except Failed as failed:
                if side not in optional:
                    raise
                print(f"left out: {failed}", file=sys.stderr)
        ran = alternate(list(workers.values()), seconds, rounds, multiple, optional)
        for worker in ran if profiled else ():
            worker.profile(profiled * multiple)
    return {side: worker for side, worker in workers.items() if worker in ran}


def against(worker: Worker, reference: Worker) -> str:
    """The worker's speed over the reference's as "median (least, most)" of the rounds; above 1: it is faster."""
    return "{:.2f} ({:.2f}, {:.2f})".format(*ratio(worker, reference))


def rows(workers: dict[str, Worker], reference: str, flops: float, peak: float) -> list[str]:
    """Lines of Markdown, a side each, with its speed against that of `reference` round by round.

    flops: of a step, by hand count; peak: FLOP/s of the fastest single product.
    """
    lines = [
        f"| | time | speed against {reference}, median (least, most) | GFLOP/s | of the product's | CPU time | "
        "peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for side, worker in workers.items():
        rate = statistics.median(worker.rates)
        speed = "1" if side == reference else against(worker, workers[reference])
        lines.append(
            f"| {side} | {1000 / rate:.1f} ms | {speed} | {rate * flops / 1e9:.1f} | {rate * flops / peak:.0%} | "
            f"{1000 * worker.cpu:.0f} ms | {worker.peak:.0f} MiB |"
        )
    return lines
