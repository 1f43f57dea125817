"""Every job of every net beside PyTorch, in one table at the end.

    python -m benchmarks            about 50 minutes on two quiet cores, 30 with --eager
    python -m benchmarks --profile  where the time of each goes, on one core: a quarter of an hour
    python -m benchmarks --quick    does it run at all; its numbers mean nothing

Prints the tables of `benchmarks.vae`, `benchmarks.gan` and `benchmarks.diffusion`, which tell how each of them is
measured and proved to compute the same, and at the end one table with a row for each. A part that fails is told and the
others go on; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from benchmarks import diffusion, gan, vae
from benchmarks.common import COMPILED, EAGER, Row, against, machine, need_torch, save_images
from benchmarks.turns import Failed, ratio

NONE = "–"  # in the place of a side that is not there


class Part(NamedTuple):
    """One net of one of the scripts."""

    script: ModuleType
    net: str
    jobs: tuple[str, ...] = ("train", "sample")


PARTS = {
    "mlp": Part(vae, "published"),
    "conv": Part(vae, "conv"),
    "dcgan": Part(gan, "dcgan"),
    "r3gan": Part(gan, "r3gan", ("train",)),
    "unet": Part(diffusion, "unet"),
    "dit": Part(diffusion, "dit"),
}
HEAD = (
    "",
    "ours [ms]",
    f"against {EAGER}, median (least, most)",
    "against torch.compile, median (least, most)",
    "peak memory, ours / eager [MiB]",
    "first step with compiling, ours / torch.compile [s]",
)
LEGEND = (
    "Against: how many times as fast ours is, round by round; above 1 ours is faster. ours [ms]: a training step, or a "
    f"draw of {vae.DRAWN} images (VAEs, DCGAN) or of {diffusion.SAMPLES} in {diffusion.STEPS} Euler steps (U-Net, "
    "DiT). Nothing is compiled before the first step. The MLP VAE's steps go ten to a dispatch on our side, and its "
    "first step is ten of them on both."
)


def rows_of(part: Part, images: Path, folder: Path, flags: Sequence[str]) -> Iterator[Row]:
    """What the part's script measures, which prints its own tables too."""
    args = part.script.arguments(["--nets", part.net, "--jobs", *part.jobs, *flags])
    return part.script.compare(images, folder, args)


def carried_out(parts: Mapping[str, Callable[[], Iterable[Row]]]) -> tuple[list[Row], list[str]]:
    """The rows of all parts in sequence, those before a failure too, and the names of the parts that failed."""
    rows, failed = [], []
    for name, part in parts.items():
        print(f"\n## {name}\n", flush=True)
        try:
            for row in part():
                rows.append(row)  # at once: what comes after it may fail
        except (Exception, SystemExit) as error:  # the two sides may disagree, a worker may end
            known = isinstance(error, (Failed, SystemExit))
            reason = str(error) if known else "".join(traceback.format_exception(error))
            print(f"\nfailed: {name}: {reason}", file=sys.stderr, flush=True)
            failed.append(name)
    return rows, failed


def told(row: Row) -> str:
    """The row's name: "U-Net sampling"."""
    return f"{row.net} {row.job}"


def speeds(row: Row) -> tuple[str, str]:
    """How fast ours is against the reference and against torch.compile."""
    mine, compiled = row.workers[row.ours], row.workers.get(COMPILED)
    return against(mine, row.workers[row.reference]), NONE if compiled is None else against(
        mine, compiled
    )


def line(row: Row) -> str:
    """A line of the table."""
    mine, reference, compiled = (
        row.workers[row.ours],
        row.workers[row.reference],
        row.workers.get(COMPILED),
    )
    memory = f"{mine.peak:.0f} / {reference.peak:.0f}"
    first = f"{mine.first:.1f} / {NONE if compiled is None else format(compiled.first, '.1f')}"
    cells = (
        told(row),
        f"{1000.0 / statistics.median(mine.rates):.1f}",
        *speeds(row),
        memory,
        first,
    )
    return f"| {' | '.join(cells)} |"


def slower(rows: Sequence[Row]) -> list[str]:
    """The names of the rows in which ours is slower than the reference by the median."""
    return [
        told(row)
        for row in rows
        if ratio(row.workers[row.ours], row.workers[row.reference])[0] < 1.0
    ]


def table(rows: Sequence[Row]) -> str:
    """Markdown: a row for each job of each net, what the columns are, and which rows miss the target."""
    behind = slower(rows)
    target = f"The target is to be no slower than {EAGER} by the median. "
    target += (
        f"Slower are {len(behind)} of {len(rows)}: {', '.join(behind)}."
        if behind
        else "No row is slower."
    )
    head = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    return "\n".join([*head, *map(line, rows), "", LEGEND, "", target])


def conclude(rows: Sequence[Row], failed: Sequence[str]) -> int:
    """Prints the one table and what failed; returns the exit code."""
    if rows:
        print("\n" + table(rows), flush=True)
    if failed:
        print(f"\nfailed, and not or not wholly in the table: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def arguments(argv: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The names of the parts, and the flags that go on to their scripts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, help="length of a block; each script has its own")
    parser.add_argument(
        "--rounds", type=int, help="blocks of every side; each script has its own number"
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME", help="parts"
    )
    parser.add_argument(
        "--eager", action="store_true", help="leave out torch.compile, which takes minutes to start"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the time goes, on one core, eager only"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only whether it runs: the numbers mean nothing"
    )
    args = parser.parse_args(argv)
    given = {"--seconds": args.seconds, "--rounds": args.rounds}
    flags = [f"{flag}={value}" for flag, value in given.items() if value is not None]
    chosen = {"--eager": args.eager, "--profile": args.profile, "--quick": args.quick}
    return args.only, flags + [flag for flag, wanted in chosen.items() if wanted]


def main(argv: Sequence[str] | None = None) -> int:
    only, flags = arguments(argv)
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        data = save_images(images)
        print(f"{machine()}; {data}", flush=True)
        parts = {}
        for name in dict.fromkeys(only):
            parts[name] = functools.partial(rows_of, PARTS[name], images, Path(folder), flags)
        return conclude(*carried_out(parts))


if __name__ == "__main__":
    sys.exit(main())
