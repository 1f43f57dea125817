"""The training step and the sampling of VAEs beside the same in plain PyTorch, on CPU, and the time to a first step.

    python -m benchmarks.vae            about 25 minutes on two quiet cores; --quick: does it run at all

Two MLP VAEs and a convolutional one. Prints Markdown tables; what they mean and what they were is in
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import common, profile
from benchmarks.common import (
    COMPILED,
    EAGER,
    Commands,
    Row,
    Workers,
    against,
    agreement,
    answer,
    machine,
    measure,
    need_torch,
    samples_agreement,
)
from benchmarks.tasks import CHECKED, TOLERANCE
from benchmarks.tasks.vae import DRAWN, NETS

TITLES = {
    "published": "MLP VAE",
    "plain": "MLP VAE, plain",
    "one layer": "MLP VAE, one layer",
    "conv": "conv VAE",
}
JOBS = {"train": "training step", "sample": "sampling"}
CHUNKS = {"one by one": "1", "10 in a scan": "10"}  # steps in a dispatch
DEFAULTS = "PyTorch eager, defaults"  # what one writes without measuring
DRAWS = "ours, one by one"  # of sampling; of training there are more than one


# --- what is compared -------------------------------------------------------------------------------------------------


def same_computation(name: str, images: Path) -> str:
    """Runs both sides from the same weights with the same noise; a line of what agreed, SystemExit if it did not.

    PyTorch may fold pixels into channels in more than one way: each must agree.
    """
    import numpy as np

    saved = images.with_name(f"{name}.npz")  # what ours leaves for PyTorch, and its samples
    drawn = images.with_name(f"{name}-drawn.npz")  # PyTorch's samples, by ways of folding
    ours = answer("vae_genjax", "check", name, str(images), str(saved))
    theirs = answer("vae_torch", "check", name, str(saved), str(drawn))
    mine = np.load(saved)["samples"]
    others = np.load(drawn)
    errors, apart = [], []
    for way, found in theirs.items():
        called = f"{name}, {way}"
        error = agreement(called, ours, found, TOLERANCE)
        distance = samples_agreement(called, mine, others[way], TOLERANCE)
        errors.append(error)
        apart.append(distance)
    any_way, *_ = theirs.values()  # they agree with ours, and so with each other
    first = f"{ours['loss'][0]:.4f} and {any_way['loss'][0]:.4f}"
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first loss {first} nats; "
        f"losses and gradient norms of {CHECKED} Adam steps agree to {max(errors):.0e}, "
        f"samples after them to {max(apart):.0e}"
    )


def chunks(name: str) -> dict[str, str]:
    """How our steps are dispatched; convolutions one by one: their gradients are slow in a loop (jax#12868)."""
    if NETS[name].widths:
        return {"one by one": CHUNKS["one by one"]}
    return CHUNKS


def sides(
    name: str,
    job: str,
    images: Path,
    chosen: dict,
    eager: bool,
) -> Commands:
    """The commands of all sides of one net and job; `chosen`: what PyTorch's eager mode is fastest with."""
    given = (name, str(images))
    what = (job, *given)
    commands = common.torch_sides("vae_torch", what, chosen, eager)
    if job == "sample":
        return commands | {DRAWS: ("vae_genjax", "sample", *given, "1")}
    if not NETS[name].widths:
        # after eager and before compile, as the rows of the table are
        compiled = commands.pop(COMPILED, None)
        commands[DEFAULTS] = ("vae_torch", "defaults", *what)
        commands |= {COMPILED: compiled} if compiled else {}
    for kind in ("step", "loop"):
        for dispatched, steps in chunks(name).items():
            commands[f"{kind}, {dispatched}"] = ("vae_genjax", kind, *given, steps)
    return commands


def ours(name: str, job: str) -> str:
    """The side that stands for us: steps as `python -m experiments.vae` dispatches them, without the loop."""
    last = list(chunks(name))[-1]
    return DRAWS if job == "sample" else f"step, {last}"


def table(name: str, job: str, workers: Workers, chosen: dict) -> str:
    """Markdown: steps/s (median), ratio to the reference round by round, CPU time of the last block, peak memory."""
    net = NETS[name]
    what, unit = f"batch {net.batch}", "step"
    if job == "sample":
        what, unit = f"{DRAWN} images", "draw"
    head = f"against {EAGER}, median (least, most) | CPU time a {unit} | peak memory"
    lines = [
        f"**{name}, {JOBS[job]}**: {net}, {what}; {common.fastest(chosen)}",
        "",
        f"| | {unit}s/s | {head} |",
        "|---|---|---|---|---|",
    ]
    for side, worker in workers.items():
        cells = (
            side,
            f"{statistics.median(worker.rates):.1f}",
            common.speed(side, workers),
            f"{1000 * worker.cpu:.1f} ms",  # over all threads
            f"{worker.peak:.0f} MiB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    if job == "train":
        lines += ["", f"The loop's speed over the bare step's: {shares(name, workers)}."]
    return "\n".join(lines)


def shares(name: str, workers: Workers) -> str:
    """Of the bare step's speed that the loop has, by how steps are dispatched."""
    told = []
    for how in chunks(name):
        bare = workers[f"step, {how}"]
        share = against(workers[f"loop, {how}"], bare)
        told.append(f"{how} {share}")
    return "; ".join(told)


def compare(images: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every net and job; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    for name in args.nets:
        print(same_computation(name, images), flush=True)
    for name in args.nets:
        for job in args.jobs:
            yield compared(name, job, images, args)


def compared(name: str, job: str, images: Path, args: argparse.Namespace) -> Row:
    """Measures one job of one net and prints its table."""
    chosen = answer("vae_torch", "choose", job, name, str(images))
    commands = sides(name, job, images, chosen, args.eager)
    # blocks that every side can do, the one with most steps in a dispatch too
    multiple = 1
    if job == "train":
        multiple = max(map(int, chunks(name).values()))
    profiled = common.profile_steps(args)
    workers = measure(commands, args.seconds, args.rounds, multiple, (COMPILED,), profiled)
    mine = ours(name, job)
    row = Row(TITLES[name], JOBS[job], workers, EAGER, mine)
    common.show(table(name, job, workers, chosen), row, args)
    return row


# --- the time to the first step ---------------------------------------------------------------------------------------


def first_step(args: list[str], chunk: int, compiled: str, limit: float = 300.0) -> float:
    """Seconds from `python -m experiments.vae *args`, in a fresh run directory, to metrics of its first dispatch.

    `chunk` is the steps in a dispatch; `compiled` the folder of compiled code. Data stays in the usual cache.
    """
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": compiled}
    with tempfile.TemporaryDirectory() as runs, tempfile.TemporaryFile("w+") as said:
        flags = [f"--runs={runs}", *common.every(chunk)]
        command = [sys.executable, "-m", "experiments.vae", *args, *flags]
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=said)
        with contextlib.ExitStack() as stack:
            stack.callback(process.wait)
            stack.callback(process.kill)  # before the wait; SIGTERM would have it save first
            while not has_metrics(Path(runs)):
                late = time.perf_counter() - begun > limit
                if late or process.poll() is not None:
                    said.seek(0)
                    told = f"{' '.join(command[1:])} wrote no metrics:\n{said.read()}"
                    raise SystemExit(f"error: {told}")
                time.sleep(0.005)
            return time.perf_counter() - begun


def has_metrics(runs: Path) -> bool:
    """Whether a run has written its first line of them."""
    return any(path.stat().st_size for path in runs.glob("vae/*/metrics.jsonl"))


def first_steps(warm: int, fashion: bool) -> str:
    """Markdown: cold and warm times to the first step."""
    from experiments.vae import EXPERIMENTS
    from genjax.data import Digits

    # not in the times: it is done once for all runs
    Digits().load()  # prepares the data cache, which is not what is measured
    lines = [
        "| command to first step | nothing compiled yet | compiled code cached |",
        "|---|---|---|",
    ]
    runs = {"digits": ["digits"]}
    if fashion:
        runs["base"] = []  # the ablation that runs where none is named
    for ablation, args in runs.items():
        chunk = EXPERIMENTS[ablation].chunk
        with tempfile.TemporaryDirectory() as compiled:
            cold = first_step(args, chunk, compiled)  # fills the folder
            rest = [first_step(args, chunk, compiled) for _ in range(warm)]
        shown = ", ".join(f"{seconds:.1f}" for seconds in rest)
        command = " ".join(["python -m experiments.vae", *args])
        lines.append(f"| `{command}` | {cold:.1f} s | {shown} s |")
    return "\n".join(lines)


# --- the command ------------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = common.parser("vae", "VAEs beside plain PyTorch.", NETS, JOBS, 3.0, 11)
    warm = "starts from a warm cache, 0 = do not time starts at all"
    parser.add_argument("--warm", type=int, default=3, help=warm)
    args = common.settled(parser.parse_args(argv))
    if args.quick:
        args.warm = min(args.warm, 1)
    return args


def main() -> None:
    args = arguments()
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with common.images_for_both() as (images, data):
        length = f"{args.rounds} rounds of {args.seconds:g} s"
        print(f"{machine()}; {data}; {length}\n", flush=True)
        for _ in compare(images, args):  # prints as it goes
            pass
    if args.warm:
        print("\n" + first_steps(args.warm, data == "Fashion-MNIST"))


if __name__ == "__main__":
    main()
