"""The training step of a causal transformer and of masked diffusion on text beside the same in plain PyTorch, on CPU.

    python -m benchmarks.text          --nets: one of them; --quick: does it run at all
    python -m benchmarks.text --check  only whether both sides compute the same

The sizes of `python -m experiments.text corpus`: 128 bytes of CPython's reference, width 128, three blocks, batch 32.
Prints Markdown tables; how they are measured is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import common, profile
from benchmarks.common import (
    COMPILED,
    EAGER,
    Commands,
    Row,
    agreement,
    answer,
    machine,
    measure,
    need_torch,
)
from benchmarks.tasks import CHECKED, TOLERANCE
from benchmarks.tasks.text import KINDS, NET

TITLES = {"causal": "causal transformer", "masked": "masked diffusion of text"}
JOBS = {"train": "training step"}
OURS = "ours, ten in one dispatch"
CHUNK = 10  # steps of a dispatch, as the experiment has them


def save_windows(path: Path) -> str:
    """Writes windows of text, int32 [N, length], and says which."""
    import numpy as np

    from genjax.data.text import Text

    source = Text(length=NET.length).load()
    np.save(path, source.train["tokens"])
    return f"{len(source.train['tokens'])} windows of CPython's reference"


def same_computation(name: str, windows: Path) -> str:
    """Runs both sides from the same weights on the same draws; a line of what agreed, SystemExit if it did not."""
    saved = windows.with_name(f"{name}.npz")  # what ours leaves for PyTorch
    ours = answer("text_genjax", "check", name, str(windows), str(saved))
    theirs = answer("text_torch", "check", name, str(saved))
    error = agreement(name, ours, theirs, TOLERANCE)
    # shown, for two losses that agree could both be those of a net that computes nothing
    first = f"{ours['loss'][0]:.5f} and {theirs['loss'][0]:.5f}"
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first loss {first}; losses and gradient norms of "
        f"{CHECKED} Adam steps agree to {error:.0e}; a training step is {NET.work() / 1e9:.2f} GFLOP counted by hand, "
        f"{ours['flops'] / 1e9:.2f} by XLA"
    )


def sides(name: str, windows: Path, chosen: dict, eager: bool) -> Commands:
    """The commands of all sides of one model; `chosen`: what PyTorch's eager mode is fastest with."""
    what = (name, str(windows))
    commands = common.torch_sides("text_torch", what, chosen, eager)
    return commands | {OURS: ("text_genjax", "ours", *what, str(CHUNK))}


def compare(windows: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every model; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    for name in args.nets:
        print(same_computation(name, windows), flush=True)
    for name in args.nets:
        for _ in args.jobs:
            yield compared(name, windows, args)


def compared(name: str, windows: Path, args: argparse.Namespace) -> Row:
    """Measures one model and prints its table."""
    chosen = answer("text_torch", "choose", name, str(windows))
    commands = sides(name, windows, chosen, args.eager)
    profiled = common.profile_steps(args)
    workers = measure(commands, args.seconds, args.rounds, CHUNK, (COMPILED,), profiled)
    row = Row(TITLES[name], JOBS["train"], workers, EAGER, OURS)
    title = f"**{TITLES[name]}, {JOBS['train']}**, batch {NET.batch}"
    table = common.work_table(title, workers, OURS, NET.work(), chosen)
    common.show(table, row, args)
    return row


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = common.parser("text", "Text beside PyTorch.", KINDS, JOBS, 5.0, 9)
    only = "only whether both sides compute the same"
    parser.add_argument("--check", action="store_true", help=only)
    return common.settled(parser.parse_args(argv))


def main() -> None:
    args = arguments()
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with tempfile.TemporaryDirectory() as folder:
        windows = Path(folder) / "windows.npy"
        data = save_windows(windows)
        length = "checked" if args.check else f"{args.rounds} rounds of {args.seconds:g} s"
        print(f"{machine()}; {data}; {length}\n", flush=True)
        # nothing is timed
        if args.check:
            args.jobs = []
        for _ in compare(windows, args):  # prints as it goes
            pass


if __name__ == "__main__":
    main()
