"""The training step and the sampling of VAEs beside the same in plain PyTorch, on CPU, and the time to a first step.

    python -m benchmarks.vae            about 25 minutes on two quiet cores; --quick: does it run at all

Two MLP VAEs and a convolutional one. Prints Markdown tables; what they mean and what they were is in
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import profile
from benchmarks.common import (
    CHECKED,
    COMPILED,
    EAGER,
    Row,
    against,
    agreement,
    answer,
    machine,
    measure,
    need_torch,
    samples_agreement,
    save_images,
)
from benchmarks.turns import Worker

TOLERANCE = 1e-4  # relative, of losses, gradient norms and samples in float32
SAMPLES, DRAWN = 64, 500  # samples in the check; in a draw that is timed


class Net(NamedTuple):
    """A VAE with a mirrored decoder: an MLP with `hidden` layers, or a convolutional one with `widths` by level."""

    latent: int
    batch: int
    hidden: tuple[int, ...] = ()
    gated: bool = False
    widths: tuple[int, ...] = ()

    def __str__(self) -> str:
        layers = "-".join(map(str, (784, *self.hidden, *self.widths, self.latent)))
        return f"{'gated ' * self.gated}{'convolutional ' * bool(self.widths)}{layers}"


NETS = {
    "published": Net(40, 100, (300, 300), gated=True),  # `python -m experiments.vae`
    "plain": Net(32, 128, (512, 256)),
    "conv": Net(32, 64, widths=(32, 64)),  # the nets of `python -m experiments.vae conv`
}
TITLES = {"published": "MLP VAE", "plain": "MLP VAE, plain", "conv": "conv VAE"}
JOBS = {"train": "training step", "sample": "sampling"}
CHUNKS = {"one by one": "1", "10 in a scan": "10"}  # steps in a dispatch
DEFAULTS, DRAWS = "PyTorch eager, defaults", "ours, one by one"


def same_computation(name: str, images: Path, folder: Path) -> str:
    """Runs both sides from the same weights with the same noise; a line of what agreed, SystemExit if it did not.

    PyTorch may fold pixels into channels in more than one way: each must agree.
    """
    import numpy as np

    saved, drawn = folder / f"{name}.npz", folder / f"{name}-drawn.npz"
    ours = answer("vae_genjax", "check", name, str(images), str(saved))
    theirs = answer("vae_torch", "check", name, str(saved), str(drawn))
    errors = [agreement(f"{name}, {way}", ours, found, TOLERANCE) for way, found in theirs.items()]
    mine = np.load(saved)["samples"]
    apart = [
        samples_agreement(f"{name}, {way}", mine, x, TOLERANCE) for way, x in np.load(drawn).items()
    ]
    first = " and ".join(f"{side['loss'][0]:.4f}" for side in (ours, next(iter(theirs.values()))))
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first loss {first} nats; losses and gradient norms "
        f"of {CHECKED} Adam steps agree to {max(errors):.0e}, samples after them to {max(apart):.0e}"
    )


def chunks(name: str) -> dict[str, str]:
    """How our steps are dispatched; convolutions one by one: their gradients are slow in a loop (jax#12868)."""
    return {how: steps for how, steps in CHUNKS.items() if steps == "1" or not NETS[name].widths}


def sides(
    name: str, job: str, images: Path, chosen: dict, eager: bool
) -> dict[str, tuple[str, ...]]:
    """The commands of all sides of one net and job; `chosen`: what PyTorch's eager mode is fastest with."""
    what, how = (job, name, str(images)), (chosen["choice"], str(chosen["threads"]))
    names = {EAGER: "eager", DEFAULTS: "defaults", COMPILED: "compile"}
    commands = {side: ("vae_torch", named, *what, *how) for side, named in names.items()}
    if eager:
        del commands[COMPILED]
    if job == "sample" or NETS[name].widths:
        del commands[DEFAULTS]
    if job == "sample":
        return commands | {DRAWS: ("vae_genjax", "sample", name, str(images), "1")}
    for kind in ("step", "loop"):
        for dispatched, steps in chunks(name).items():
            commands[f"{kind}, {dispatched}"] = ("vae_genjax", kind, name, str(images), steps)
    return commands


def ours(name: str, job: str) -> str:
    """The side that stands for us: steps as `python -m experiments.vae` dispatches them, without the loop."""
    return DRAWS if job == "sample" else f"step, {list(chunks(name))[-1]}"


def table(name: str, job: str, workers: dict[str, Worker], chosen: dict) -> str:
    """Markdown: steps/s (median), ratio to the reference round by round, CPU time of the last block, peak memory."""
    what, unit = (
        (f"{DRAWN} images", "draw") if job == "sample" else (f"batch {NETS[name].batch}", "step")
    )
    lines = [
        f"**{name}, {JOBS[job]}**: {NETS[name]}, {what}; PyTorch's fastest here: {chosen['choice']}, "
        f"threads: {chosen['threads']}",
        "",
        f"| | {unit}s/s | against {EAGER}, median (least, most) | CPU time a {unit} | peak memory |",
        "|---|---|---|---|---|",
    ]
    for side, worker in workers.items():
        speed = "1" if side == EAGER else against(worker, workers[EAGER])
        lines.append(
            f"| {side} | {statistics.median(worker.rates):.1f} | {speed} | "
            f"{1000 * worker.cpu:.1f} ms | {worker.peak:.0f} MiB |"
        )
    if job == "train":
        shares = [
            f"{how} {against(workers[f'loop, {how}'], workers[f'step, {how}'])}"
            for how in chunks(name)
        ]
        lines += ["", f"The loop's speed over the bare step's: {'; '.join(shares)}."]
    return "\n".join(lines)


def compare(images: Path, folder: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every net and job; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    for name in args.nets:
        print(same_computation(name, images, folder), flush=True)
    for name in args.nets:
        for job in args.jobs:
            chosen = answer("vae_torch", "choose", job, name, str(images))
            commands = sides(name, job, images, chosen, args.eager)
            multiple = 1 if job == "sample" else max(map(int, chunks(name).values()))
            workers = measure(
                commands,
                args.seconds,
                args.rounds,
                multiple,
                (COMPILED,),
                profile.STEPS * args.profile,
            )
            print("\n" + table(name, job, workers, chosen), flush=True)
            if args.profile:
                print("\n" + profile.table(workers[EAGER], workers[ours(name, job)]), flush=True)
            yield Row(TITLES[name], JOBS[job], workers, EAGER, ours(name, job))


def first_step(args: list[str], chunk: int, compiled: str, limit: float = 300.0) -> float:
    """Seconds from `python -m experiments.vae *args`, in a fresh run directory, to metrics of its first dispatch.

    `chunk` is the steps in a dispatch; `compiled` the folder of compiled code. Data stays in the usual cache.
    """
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": compiled}
    with tempfile.TemporaryDirectory() as runs, tempfile.TemporaryFile("w+") as said:
        command = [
            sys.executable,
            "-m",
            "experiments.vae",
            *args,
            f"--runs={runs}",
            f"--log_every={chunk}",
        ]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=said)
        try:
            while not any(path.stat().st_size for path in Path(runs).glob("vae/*/metrics.jsonl")):
                if process.poll() is not None or time.perf_counter() - start > limit:
                    said.seek(0)
                    raise SystemExit(
                        f"error: {' '.join(command[1:])} wrote no metrics:\n{said.read()}"
                    )
                time.sleep(0.005)
            return time.perf_counter() - start
        finally:
            process.kill()  # SIGTERM would have it save first
            process.wait()


def first_steps(warm: int, fashion: bool) -> str:
    """Markdown: cold and warm times to the first step."""
    from experiments.vae import EXPERIMENTS
    from genjax.data import Digits

    Digits().load()  # prepares the data cache, which is not what is measured
    lines = [
        "| command to first step | nothing compiled yet | compiled code cached |",
        "|---|---|---|",
    ]
    for args in [["digits"]] + [[]] * fashion:
        chunk = EXPERIMENTS[[*args, "base"][0]].chunk
        with tempfile.TemporaryDirectory() as compiled:
            cold, *rest = [first_step(args, chunk, compiled) for _ in range(1 + warm)]
        shown = ", ".join(f"{seconds:.1f}" for seconds in rest)
        lines.append(
            f"| `{' '.join(['python -m experiments.vae', *args])}` | {cold:.1f} s | {shown} s |"
        )
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vae", description="VAEs beside plain PyTorch."
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a block")
    parser.add_argument("--rounds", type=int, default=11, help="blocks of every side")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument(
        "--eager", action="store_true", help="leave out torch.compile, which takes minutes to start"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the time goes, on one core, eager only"
    )
    parser.add_argument(
        "--warm",
        type=int,
        default=3,
        help="starts from a warm cache, 0 = do not time starts at all",
    )
    parser.add_argument(
        "--quick", action="store_true", help="only whether it runs: the numbers mean nothing"
    )
    args = parser.parse_args(argv)
    args.eager = args.eager or args.profile
    if args.quick:
        args.seconds, args.rounds, args.warm, args.eager = 0.2, 2, min(args.warm, 1), True
    return args


def main() -> None:
    args = arguments()
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        data = save_images(images)
        print(f"{machine()}; {data}; {args.rounds} rounds of {args.seconds:g} s\n", flush=True)
        for _ in compare(images, Path(folder), args):
            pass
    if args.warm:
        print("\n" + first_steps(args.warm, data == "Fashion-MNIST"))


if __name__ == "__main__":
    main()
