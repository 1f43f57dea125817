"""What the comparisons share: images for both sides, the proof that they compute the same, flags, rows of tables.

Neither PyTorch nor JAX is imported here but where a function needs it: each side is a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import profile
from benchmarks.tasks import TOLERANCE
from benchmarks.turns import Failed, Worker, alternate, ratio

EAGER = "PyTorch eager"
COMPILED = "PyTorch compile"  # may be absent: it needs a C++ compiler
LIBRARIES = ("jax", "torch")

Workers = dict[str, Worker]  # by the names of their sides
Commands = dict[
    str, tuple[str, ...]
]  # (module of benchmarks, *arguments), by the names of their sides


class Row(NamedTuple):
    """What was measured of one job of one net: "U-Net", "sampling", all sides by name, and which two are compared."""

    net: str
    job: str
    workers: Workers
    reference: str
    ours: str


# --- the command line -------------------------------------------------------------------------------------------------


def parser(
    prog: str,
    description: str,
    nets: Sequence[str],
    jobs: Sequence[str],
    seconds: float,
    rounds: int,
) -> argparse.ArgumentParser:
    """The flags that all comparisons have, with one's own lengths; more may be added before it parses."""
    flags = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{prog}", description=description
    )
    flags.add_argument("--seconds", type=float, default=seconds, help="length of a block")
    flags.add_argument("--rounds", type=int, default=rounds, help="blocks of every side")
    flags.add_argument("--nets", nargs="+", choices=list(nets), default=list(nets))
    flags.add_argument("--jobs", nargs="+", choices=list(jobs), default=list(jobs))
    switches(flags)
    return flags


def switches(flags: argparse.ArgumentParser) -> None:
    """Adds what `python -m benchmarks` hands on to each comparison."""
    chosen = {
        "--eager": "leave out torch.compile, which takes minutes to start",
        "--profile": "where the time goes, on one core, eager only",
        "--quick": "only whether it runs: the numbers mean nothing",
    }
    for flag, told in chosen.items():
        flags.add_argument(flag, action="store_true", help=told)


def settled(args: argparse.Namespace) -> argparse.Namespace:
    """The flags that follow from others."""
    args.eager = args.eager or args.profile or args.quick
    if args.quick:  # two rounds: forwards and backwards
        args.seconds, args.rounds = 0.2, 2
    return args


def every(log: int, others: int | None = None) -> list[str]:
    """Flags of a run: steps between lines of metrics; between evaluations, grids and checkpoints."""
    # the only place in which the comparisons write the names of these flags
    flags = [f"--every.log={log}"]
    if others is not None:
        flags += [f"--every.{what}={others}" for what in ("evaluate", "sample", "save")]
    return flags


# --- what is there ----------------------------------------------------------------------------------------------------


def need_torch() -> None:
    """Ends the program, with advice, where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        advice = "run `make bench`, or pip install -r benchmarks/requirements.txt"
        sys.exit(f"error: PyTorch is not installed: {advice}")


def save_images(path: Path) -> str:
    """Writes training images, uint8 [60000, 28, 28, 1], and says which: Fashion-MNIST, or noise of its shape."""
    import numpy as np

    from genjax.data import FashionMNIST
    from genjax.errors import UserError

    try:
        images, name = FashionMNIST().load().train["image"], "Fashion-MNIST"
    except UserError:  # neither in the cache nor to be had from here
        rng, name = np.random.default_rng(0), "noise"
        images = rng.integers(0, 256, (60_000, 28, 28, 1), np.uint8)
    np.save(path, images)
    return name


@contextlib.contextmanager
def images_for_both() -> Iterator[tuple[Path, str]]:
    """(a file of images in a folder that goes with it, which images they are)."""
    with tempfile.TemporaryDirectory() as folder:  # the checks' files go there too
        images = Path(folder) / "images.npy"
        yield images, save_images(images)


def machine(libraries: Sequence[str] = LIBRARIES) -> str:
    """Cores, processor and versions."""
    from genjax.machine.platform import cpu_model

    processor = cpu_model().rsplit(" ", 1)[0]
    python = f"Python {platform.python_version()}"
    cores = f"{os.cpu_count()} cores"
    versions = [f"{name} {importlib.metadata.version(name)}" for name in libraries]
    return ", ".join([cores, processor, python, *versions])


# --- the same computation ---------------------------------------------------------------------------------------------


def answer(module: str, *args: str) -> dict:
    """What `python -m benchmarks.<module> *args` prints, JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *args]
    # stderr is ours: what went wrong there is seen at once
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def agreement(name: str, ours: dict, theirs: dict, tolerance: float) -> float:
    """The largest relative difference of losses and gradient norms; SystemExit if it, or a count, is not the same."""
    errors = []
    for key in ("loss", "grad_norm"):
        for mine, reference in zip(ours[key], theirs[key], strict=True):
            errors.append(abs(mine - reference) / abs(reference))
    as_many = ours["parameters"] == theirs["parameters"]
    close = all(error < tolerance for error in errors)  # not of a NaN
    if not (as_many and close):
        apart = f"({name}): {ours} against {theirs}"
        raise SystemExit(f"error: the two sides do not compute the same thing {apart}")
    return max(errors)


def samples_agreement(name: str, ours: Any, theirs: Any, tolerance: float) -> float:
    """The largest difference of two arrays of samples over the largest value; SystemExit if it is too large."""
    import numpy as np

    ours = np.reshape(ours, (len(ours), -1))  # [N, numbers of one]
    theirs = np.reshape(theirs, (len(theirs), -1))
    apart = math.inf  # of another shape
    if ours.shape == theirs.shape:
        largest = np.abs(theirs).max()
        apart = float(np.abs(ours - theirs).max() / largest)
    if not apart < tolerance:  # a NaN fails too
        told = f"({name}): {apart:.1e} apart"
        raise SystemExit(f"error: the two sides do not draw the same samples {told}")
    return apart


class Same(NamedTuple):
    """What both sides found from the same weights, and how far apart they are."""

    ours: dict
    theirs: dict
    error: float  # of losses and gradient norms
    apart: float  # of samples


def same(family: str, name: str, images: Path) -> Same:
    """Has both sides take steps and draw from the same weights on the same draws; SystemExit if they do not agree."""
    import numpy as np

    saved = images.with_name(f"{name}.npz")  # what ours leaves for PyTorch, and its samples
    drawn = images.with_name(f"{name}.npy")  # PyTorch's samples
    ours = answer(f"{family}_genjax", "check", name, str(images), str(saved))
    theirs = answer(f"{family}_torch", "check", name, str(saved), str(drawn))
    error = agreement(name, ours, theirs, TOLERANCE)
    samples = np.load(saved)["samples"]
    apart = samples_agreement(name, samples, np.load(drawn), TOLERANCE)
    return Same(ours, theirs, error, apart)


# --- turns and tables -------------------------------------------------------------------------------------------------


def measure(
    commands: Commands,
    seconds: float,
    rounds: int,
    multiple: int,
    optional: tuple[str, ...] = (),
    profiled: int = 0,
    pythons: Mapping[str, str] | None = None,
) -> Workers:
    """Workers by the names of their commands, (module of benchmarks, *arguments), with their rates.

    One of the `optional` may be absent: it is left out, with the reason, where it cannot start or take a step.
    `profiled`: so many times `multiple` steps more are taken under a profiler at the end; `pythons`: the Python of a
    side, where it is not this one.
    """
    with ExitStack() as stack:
        workers = _started(commands, stack, optional, pythons or {})
        every_side = list(workers.values())
        ran = alternate(every_side, seconds, rounds, multiple, optional)
        # after all turns: a profiler leaves its side slower
        for worker in ran if profiled else ():
            worker.profile(profiled * multiple)
    return {side: worker for side, worker in workers.items() if worker in ran}


def _started(
    commands: Commands,
    stack: ExitStack,
    optional: tuple[str, ...],
    pythons: Mapping[str, str],
) -> Workers:
    workers = {}
    for side, (module, *args) in commands.items():
        more = {"python": pythons[side]} if side in pythons else {}
        try:
            workers[side] = Worker(side, f"benchmarks.{module}", *args, **more)
        except Failed as failed:
            if side not in optional:
                raise
            print(f"left out: {failed}", file=sys.stderr)
        else:
            stack.callback(workers[side].close)  # also where a later one fails
    return workers


def against(worker: Worker, reference: Worker) -> str:
    """The worker's speed over the reference's as "median (least, most)" of the rounds; above 1: it is faster."""
    return "{:.2f} ({:.2f}, {:.2f})".format(*ratio(worker, reference))


def speed(side: str, workers: Workers) -> str:
    """Of one side against PyTorch eager, which itself is 1."""
    return "1" if side == EAGER else against(workers[side], workers[EAGER])


def work_table(what: str, workers: Workers, ours: str, flops: float, chosen: dict) -> str:
    """Markdown, a side a line: time (median), speed against PyTorch eager round by round, FLOP/s by hand count.

    flops: of a step; their share is of the fastest single product in our process.
    """
    peak = workers[ours].hello["peak"]
    head = (
        f"| | time | speed against {EAGER}, median (least, most) | GFLOP/s | of the product's "
    )
    lines = [
        f"{what}: {flops / 1e9:.1f} GFLOP; the fastest single product here "
        f"{peak / 1e9:.0f} GFLOP/s; {fastest(chosen)}",
        "",
        f"{head}| CPU time | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for side, worker in workers.items():
        rate = statistics.median(worker.rates)
        done = rate * flops  # FLOP/s
        cells = (
            side,
            f"{1000 / rate:.1f} ms",
            speed(side, workers),
            f"{done / 1e9:.1f}",
            f"{done / peak:.0%}",
            f"{1000 * worker.cpu:.0f} ms",
            f"{worker.peak:.0f} MiB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fastest(chosen: dict) -> str:
    """What PyTorch's eager mode was found to be fastest with."""
    return f"PyTorch's fastest here: {chosen['choice']}, threads: {chosen['threads']}"


def torch_sides(
    module: str,
    what: tuple[str, ...],
    chosen: dict,
    eager: bool,
) -> Commands:
    """The commands of PyTorch's sides, with what its eager mode is fastest with; `eager`: without torch.compile."""
    how = (chosen["choice"], str(chosen["threads"]))  # torch.compile gets the same
    commands = {EAGER: (module, "eager", *what, *how)}
    if not eager:
        commands[COMPILED] = (module, "compile", *what, *how)
    return commands


def profile_steps(args: argparse.Namespace) -> int:
    """Dispatches under a profiler at the end of a job."""
    return profile.STEPS if args.profile else 0


def show(table: str, row: Row, args: argparse.Namespace) -> None:
    """Prints the table of a job, and where its time went if that was asked for."""
    print("\n" + table, flush=True)
    if args.profile:
        reference = row.workers[row.reference]
        kinds = profile.table(reference, row.workers[row.ours])
        print("\n" + kinds, flush=True)
