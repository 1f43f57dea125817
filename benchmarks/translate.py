"""A whole step of pix2pix, CycleGAN and MUNIT beside the same in plain PyTorch, on CPU.

    python -m benchmarks.translate          --nets: one of them; --quick: does it run at all
    python -m benchmarks.translate --check  only whether both sides compute the same

The systems of `experiments/pix2pix.py`, `cyclegan.py` and `munit.py`, as BASE has them, but at one learning rate. What
pictures show is of no matter here: they are those of the other families, framed to the size of the experiments' data.
Prints Markdown tables; how they are measured is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import common, profile
from benchmarks.common import (
    COMPILED,
    EAGER,
    Commands,
    Row,
    Workers,
    agreement,
    answer,
    machine,
    measure,
    need_torch,
    samples_agreement,
)
from benchmarks.tasks import CHECKED, SIDE, TOLERANCE
from benchmarks.tasks import translate as tasks
from benchmarks.tasks.translate import CHANNELS, EXAMPLES, KINKS, SIZE

TITLES = {"pix2pix": "pix2pix", "cyclegan": "CycleGAN", "munit": "MUNIT"}
JOBS = {"train": "training step"}
OURS = "ours, one by one"  # convolutions are slow in a scan (jax#12868)


class Given(NamedTuple):
    """What both sides of a system are given."""

    pictures: Path  # uint8 [2, N, H, W, C]
    sizes: str  # as `benchmarks.tasks.translate.words` writes them


def prepare(name: str, images: Path) -> Given:
    """Writes the pictures of a system beside the images, and asks our side for the sizes of its experiment."""
    sizes = answer("translate_genjax", "sizes", name)
    return Given(framed(images, CHANNELS[name]), json.dumps(sizes))


def framed(images: Path, channels: int) -> Path:
    """Two sets of pictures out of the images, black around them, as often beside each other as there are channels."""
    import numpy as np

    path = images.with_name(f"pictures-{channels}.npy")
    stored = np.load(images, mmap_mode="r")
    some = stored[: 2 * EXAMPLES]
    border = (SIZE - SIDE) // 2
    around, alone = (border, border), (0, 0)
    wide = np.pad(some, (alone, around, around, alone))
    # grey in all channels
    pictures = wide.repeat(channels, -1)
    np.save(path, pictures.reshape(2, EXAMPLES, SIZE, SIZE, channels))
    return path


# --- what is compared -------------------------------------------------------------------------------------------------


def same_computation(name: str, given: Given) -> str:
    """Runs both sides from the same weights on the same draws; a line of what agreed, SystemExit if it did not."""
    import numpy as np

    # what ours leaves for PyTorch, with its own outputs; PyTorch's outputs
    saved = given.pictures.with_name(f"{name}.npz")
    said = given.pictures.with_name(f"{name}-torch.npz")
    ours = answer("translate_genjax", "check", name, str(given.pictures), str(saved))
    sizes = json.dumps(ours["sizes"])  # with the check's learning rate and pool
    theirs = answer("translate_torch", "check", name, sizes, str(saved), str(said))
    losses, norms = metrics_agreement(name, ours, theirs)
    mine = np.load(saved)
    others = np.load(said)
    apart = {}
    for what, value in others.items():
        net = what.removeprefix("out ")
        called = f"{name}, {net}"
        # samples are of whole systems, after the steps
        tolerance = KINKS if net == "samples" else TOLERANCE
        apart[net] = samples_agreement(called, mine[what], value, tolerance)
    samples = apart.pop("samples")
    nets = ", ".join(f"{net} {distance:.0e}" for net, distance in apart.items())
    # shown, for two losses that agree could both be those of nets that compute nothing
    first = f"{first_losses(ours)} and {first_losses(theirs)}"
    hand = tasks.read(name, sizes).work()
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides; outputs agree to {nets}; "
        f"first losses (critics, makers) {first}; "
        f"losses of both in {CHECKED} steps agree to {losses:.0e}, gradient norms to {norms:.0e}, samples after them "
        f"to {samples:.0e}; a step is {hand / 1e9:.2f} GFLOP counted by hand, {ours['flops'] / 1e9:.2f} by XLA"
    )


def metrics_agreement(name: str, ours: dict, theirs: dict) -> tuple[float, float]:
    """The largest relative differences of losses and of gradient norms; SystemExit if one is too large."""
    found = []
    for other, tolerance in (("grad_norm", TOLERANCE), ("loss", KINKS)):
        # all but the other metric
        without = {other: []}
        error = agreement(name, ours | without, theirs | without, tolerance)
        found.append(error)
    losses, norms = found
    return losses, norms


def first_losses(side: dict) -> str:
    """Of critics and makers, as a side told them."""
    critics, makers, *_ = side["loss"]  # in turn, step by step
    return f"{critics:.4f}, {makers:.4f}"


def sides(
    name: str,
    job: str,
    given: Given,
    chosen: dict,
    eager: bool,
) -> Commands:
    """The commands of all sides of one system; `chosen`: what PyTorch's eager mode is fastest with."""
    what = (job, name, str(given.pictures))
    commands = common.torch_sides("translate_torch", (*what, given.sizes), chosen, eager)
    return commands | {OURS: ("translate_genjax", "ours", *what)}


def table(name: str, job: str, given: Given, workers: Workers, chosen: dict) -> str:
    """Markdown: time (median), ratio to the reference round by round, FLOP/s by hand count, their share of the peak."""
    system = tasks.read(name, given.sizes)
    title = f"**{name}, {JOBS[job]}**, batch {system.batch}"
    return common.work_table(title, workers, OURS, system.work(), chosen)


def compare(images: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every system; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    given = {name: prepare(name, images) for name in args.nets}
    for name in args.nets:
        print(same_computation(name, given[name]), flush=True)
    for name in args.nets:
        for job in args.jobs:
            yield compared(name, job, given[name], args)


def compared(name: str, job: str, given: Given, args: argparse.Namespace) -> Row:
    """Measures one system and prints its table."""
    chosen = answer("translate_torch", "choose", job, name, str(given.pictures), given.sizes)
    commands = sides(name, job, given, chosen, args.eager)
    profiled = common.profile_steps(args)
    workers = measure(commands, args.seconds, args.rounds, 1, (COMPILED,), profiled)
    row = Row(TITLES[name], JOBS[job], workers, EAGER, OURS)
    common.show(table(name, job, given, workers, chosen), row, args)
    return row


# --- the command ------------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = common.parser("translate", "Translators beside PyTorch.", TITLES, JOBS, 5.0, 9)
    only = "only whether both sides compute the same"
    parser.add_argument("--check", action="store_true", help=only)
    return common.settled(parser.parse_args(argv))


def main() -> None:
    args = arguments()
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with common.images_for_both() as (images, data):
        length = "checked" if args.check else f"{args.rounds} rounds of {args.seconds:g} s"
        print(f"{machine()}; {data}; {length}\n", flush=True)
        # nothing is timed
        if args.check:
            args.jobs = []
        for _ in compare(images, args):  # prints as it goes
            pass


if __name__ == "__main__":
    main()
