"""The training step and the sampling of a DiT and a U-Net beside the same nets in plain PyTorch.

    python -m benchmarks.diffusion   about 20 minutes on two cores; --quick: does it run at all

Flow matching on 28x28 images with labels: loss mean (net(z_t, t, label) - (eps - x))², z_t = (1 - t) x + t eps, Adam,
an average of the weights; samples by Euler's method from that average. Prints Markdown tables; what they mean and what
they were is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import common, profile
from benchmarks.common import (
    COMPILED,
    EAGER,
    Commands,
    Row,
    Workers,
    answer,
    machine,
    measure,
    need_torch,
)
from benchmarks.tasks import CHECKED, SAMPLES
from benchmarks.tasks.diffusion import NETS, STEPS, work

JOBS = {"train": "training step", "sample": "sampling"}
TITLES = {  # (net, job) -> its name in the one table of `python -m benchmarks`
    ("dit", "train"): ("DiT", "flow training step"),
    ("dit", "sample"): ("DiT", "sampling"),
    ("dit-196", "train"): ("DiT of 196 tokens", "flow training step"),
    ("dit-196", "sample"): ("DiT of 196 tokens", "sampling"),
    ("unet", "train"): ("U-Net", "diffusion training step"),
    ("unet", "sample"): ("U-Net", "sampling"),
}
OURS = "ours, one by one"  # no scan: a dispatch costs nothing beside such a step
PLATFORMS = {"cpu": "cpu", "gpu": "cuda"}  # as JAX calls them


def same_computation(name: str, images: Path) -> str:
    """Runs both sides from the same weights on the same draws; a line of what agreed, SystemExit if it did not."""
    same = common.same("diffusion", name, images)
    ours, theirs = same.ours, same.theirs
    # shown, for two losses that agree could both be those of a net that computes nothing
    first = f"{ours['loss'][0]:.5f} and {theirs['loss'][0]:.5f}"
    hand = work(name, "train")
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first loss {first}; "
        f"losses and gradient norms of {CHECKED} Adam steps agree to {same.error:.0e}, "
        f"samples from the averaged weights to {same.apart:.0e}; a training step "
        f"is {hand / 1e9:.2f} GFLOP counted by hand, {ours['flops'] / 1e9:.2f} by XLA"
    )


def sides(
    name: str,
    job: str,
    images: Path,
    device: str,
    chosen: dict,
    eager: bool,
) -> Commands:
    """The commands of all sides of one net and job; `chosen`: what PyTorch's eager mode is fastest with."""
    what = (job, name, str(images), device)
    commands = common.torch_sides("diffusion_torch", what, chosen, eager)
    return commands | {OURS: ("diffusion_genjax", "ours", *what)}


def table(name: str, job: str, workers: Workers, chosen: dict) -> str:
    """Markdown: time (median), ratio to the reference round by round, FLOP/s by hand count, their share of the peak."""
    what = f"{SAMPLES} images, {STEPS} Euler steps"
    if job == "train":
        what = f"batch {NETS[name].batch}"
    title = f"**{name}, {JOBS[job]}**, {what}"
    return common.work_table(title, workers, OURS, work(name, job), chosen)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = common.parser("diffusion", "Diffusion beside PyTorch.", NETS, JOBS, 5.0, 9)
    gpu = "gpu: bfloat16 on both sides"  # what is checked first is in float32 anyway
    parser.add_argument("--device", choices=list(PLATFORMS), default="cpu", help=gpu)
    return common.settled(parser.parse_args(argv))


def compare(images: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every net and job; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    # both sides are compared there, in float32, wherever they are timed
    os.environ["JAX_PLATFORMS"] = "cpu"
    for name in args.nets:
        print(same_computation(name, images), flush=True)
    os.environ["JAX_PLATFORMS"] = PLATFORMS[
        args.device
    ]  # of the workers; without it JAX ends them
    for name in args.nets:
        for job in args.jobs:
            yield compared(name, job, images, args)


def compared(name: str, job: str, images: Path, args: argparse.Namespace) -> Row:
    """Measures one job of one net and prints its table."""
    chosen = answer("diffusion_torch", "choose", job, name, str(images), args.device)
    commands = sides(name, job, images, args.device, chosen, args.eager)
    profiled = common.profile_steps(args)
    workers = measure(commands, args.seconds, args.rounds, 1, (COMPILED,), profiled)
    row = Row(*TITLES[name, job], workers, EAGER, OURS)
    common.show(table(name, job, workers, chosen), row, args)
    return row


def main() -> None:
    args = arguments()
    need_torch()
    with common.images_for_both() as (images, data):
        length = f"{args.rounds} rounds of {args.seconds:g} s"
        print(f"{machine()}; {args.device}; {data}; {length}\n", flush=True)
        for _ in compare(images, args):  # prints as it goes
            pass


if __name__ == "__main__":
    main()
