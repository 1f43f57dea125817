"""A whole step of a GAN, both players, and the sampling of its generator beside the same in plain PyTorch, on CPU.

    python -m benchmarks.gan              five minutes with --rounds 5 --seconds 2; --quick: does it run at all
    python -m benchmarks.gan --stylegan2  what each kind of step of our StyleGAN2 costs at 64x64

28x28 images without labels, two pairs of nets: `dcgan`, the non-saturating game without a penalty, and `r3gan`, the
relativistic game with R1 and R2 at every step. A step draws samples and takes an Adam step of the discriminator, draws
new samples and takes one of the generator, then averages the generator's weights; samples are of that average. Prints
Markdown tables; how they are measured is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
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
    answer,
    machine,
    measure,
    need_torch,
)
from benchmarks.tasks import CHECKED
from benchmarks.tasks.gan import DRAWN, NETS, STYLES, work

TITLES = {"dcgan": "DCGAN", "r3gan": "R3GAN"}
JOBS = {"train": "pair training step", "sample": "sampling"}
OURS = "ours, one by one"  # steps or draws; convolutions are slow in a scan (jax#12868)


# --- both pairs -------------------------------------------------------------------------------------------------------


def same_computation(name: str, images: Path) -> str:
    """Runs both sides from the same weights on the same draws; a line of what agreed, SystemExit if it did not."""
    same = common.same("gan", name, images)
    ours = same.ours
    first = f"{first_losses(ours)} and {first_losses(same.theirs)}"
    hand, counted = work(name), ours["flops"]
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, "
        f"first losses (discriminator, generator) {first}; "
        f"losses and gradient norms of both players in {CHECKED} steps agree to {same.error:.0e}, "
        f"samples from the averaged weights to {same.apart:.0e}; "
        f"a step is {hand / 1e9:.2f} GFLOP counted by hand, {counted / 1e9:.2f} by XLA"
    )


def first_losses(side: dict) -> str:
    """Of both players, as a side told them."""
    disc, gen, *_ = side["loss"]  # of both players in turn, step by step
    return f"{disc:.4f}, {gen:.4f}"


def sides(
    name: str,
    job: str,
    images: Path,
    chosen: dict,
    eager: bool,
) -> Commands:
    """The commands of all sides of one pair and job; `chosen`: what PyTorch's eager mode is fastest with."""
    what = (job, name, str(images))
    commands = common.torch_sides("gan_torch", what, chosen, eager)
    return commands | {OURS: ("gan_genjax", "ours", *what)}


def table(name: str, job: str, workers: Workers, chosen: dict) -> str:
    """Markdown: time (median), ratio to the reference round by round, FLOP/s by hand count, their share of the peak."""
    what = f"{DRAWN} images"
    if job == "train":
        what = f"batch {NETS[name].batch}"
    title = f"**{name}, {JOBS[job]}**, {what}"
    return common.work_table(title, workers, OURS, work(name, job), chosen)


def compare(images: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every pair and job; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    for name in args.nets:
        print(same_computation(name, images), flush=True)
    for name in args.nets:
        for job in args.jobs:
            yield compared(name, job, images, args)


def compared(name: str, job: str, images: Path, args: argparse.Namespace) -> Row:
    """Measures one job of one pair and prints its table."""
    chosen = answer("gan_torch", "choose", job, name, str(images))
    commands = sides(name, job, images, chosen, args.eager)
    profiled = common.profile_steps(args)
    workers = measure(commands, args.seconds, args.rounds, 1, (COMPILED,), profiled)
    row = Row(TITLES[name], JOBS[job], workers, EAGER, OURS)
    common.show(table(name, job, workers, chosen), row, args)
    return row


# --- StyleGAN2 --------------------------------------------------------------------------------------------------------


def stylegan2(size: str, rounds: int) -> str:
    """Markdown: what each kind of step of our StyleGAN2 costs, and a cycle of them."""
    style = STYLES[size]
    shape = f"{style.side}x{style.side}x3"
    # when it was started is told to the worker: starting Python is a part of the time to its first step
    found = answer("gan_genjax", "stylegan2", size, str(rounds), str(time.time()))
    kinds = found["kinds"]
    length = sum(kind["turns"] for kind in kinds.values())  # steps in a cycle
    lines = [
        f"**StyleGAN2, {shape}**, batch {style.batch}, "
        f"widths {style.widths}, {found['parameters']:,} parameters, {rounds} cycles",
        "",
        "| step | of a cycle | time, median (least, most) | the first, with compiling |",
        "|---|---|---|---|",
    ]
    lines += [style_line(name, kind, length) for name, kind in kinds.items()]
    cycles = milliseconds(found["cycles"])
    mean, least, most = (value / length for value in cycles)  # a step [ms]
    return "\n".join(
        [
            *lines,
            "",
            f"Mean over a cycle {mean:.0f} ms a step ({least:.0f}, {most:.0f} over the cycles); "
            f"peak memory {found['peak']:.0f} MiB; "
            f"the first step is done {found['start']:.1f} s after the process is started.",
        ]
    )


def style_line(name: str, kind: dict, length: int) -> str:
    """A line of the table."""
    median, least, most = milliseconds(kind["seconds"])
    share = f"{kind['turns']} of {length}"
    took = f"{median:.0f} ms ({least:.0f}, {most:.0f})"
    return f"| {name} | {share} | {took} | {kind['first']:.1f} s |"


def milliseconds(seconds: Sequence[float]) -> tuple[float, float, float]:
    """(median, least, most)."""
    values = (statistics.median(seconds), min(seconds), max(seconds))
    median, least, most = (1000 * value for value in values)
    return median, least, most


# --- the command ------------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    # nine blocks of 5 s a side
    parser = common.parser("gan", "GANs beside PyTorch.", NETS, JOBS, 5.0, 9)
    only = "only the steps of our StyleGAN2, in so many cycles as there are rounds"
    parser.add_argument("--stylegan2", action="store_true", help=only)
    return common.settled(parser.parse_args(argv))


def main() -> None:
    args = arguments()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    if args.stylegan2:
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # its first steps are timed
        alone = machine(("jax",))  # PyTorch need not be there
        print(alone + "\n", flush=True)
        print(stylegan2("quick" if args.quick else "full", args.rounds))
        return
    need_torch()
    with common.images_for_both() as (images, data):
        length = f"{args.rounds} rounds of {args.seconds:g} s"
        print(f"{machine()}; {data}; {length}\n", flush=True)
        for _ in compare(images, args):  # prints as it goes
            pass


if __name__ == "__main__":
    main()
