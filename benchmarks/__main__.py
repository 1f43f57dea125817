"""Every job of every net beside PyTorch, in one table at the end.

    python -m benchmarks            about 50 minutes on two quiet cores, 30 with --eager
    python -m benchmarks --profile  where the time of each goes, on one core: a quarter of an hour
    python -m benchmarks --quick    does it run at all; its numbers mean nothing

Prints the tables of `benchmarks.vae`, `benchmarks.gan`, `benchmarks.diffusion` and `benchmarks.translate`, which tell
how each of them is measured and proved to compute the same, and at the end one table with a row for each. A part that
fails is told and the others go on; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from benchmarks import common, diffusion, gan, translate, vae
from benchmarks.common import COMPILED, EAGER, Row, against, machine, need_torch
from benchmarks.tasks import SAMPLES
from benchmarks.tasks.diffusion import STEPS
from benchmarks.tasks.vae import DRAWN
from benchmarks.turns import Failed, ratio

NONE = "–"  # in the place of a side that is not there


class Part(NamedTuple):
    """One net of one of the scripts."""

    script: ModuleType
    net: str
    jobs: tuple[str, ...] = ("train", "sample")  # of its script


PARTS = {
    "mlp": Part(vae, "published"),
    "conv": Part(vae, "conv"),
    "dcgan": Part(gan, "dcgan"),
    "r3gan": Part(gan, "r3gan", ("train",)),  # its draws are shown by `benchmarks.gan` alone
    "unet": Part(diffusion, "unet"),
    "dit": Part(diffusion, "dit"),
    "dit-196": Part(diffusion, "dit-196"),
    "pix2pix": Part(translate, "pix2pix", ("train",)),
    "cyclegan": Part(translate, "cyclegan", ("train",)),
    "munit": Part(translate, "munit", ("train",)),
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
    f"draw of {DRAWN} images (VAEs, DCGAN) or of {SAMPLES} in {STEPS} Euler steps (U-Net, "
    "DiT). Nothing is compiled before the first step. The MLP VAE's steps go ten to a dispatch on our side, and its "
    "first step is ten of them on both."
)


def rows_of(part: Part, images: Path, flags: Sequence[str]) -> Iterator[Row]:
    """What the part's script measures, which prints its own tables too."""
    # through its command line, so that each script keeps its own lengths where none are given
    args = part.script.arguments(["--nets", part.net, "--jobs", *part.jobs, *flags])
    return part.script.compare(images, args)


def carried_out(
    parts: Mapping[str, Callable[[], Iterable[Row]]],
) -> tuple[list[Row], list[str]]:
    """The rows of all parts in sequence, those before a failure too, and the names of the parts that failed."""
    rows, failed = [], []
    for name, part in parts.items():
        print(f"\n## {name}\n", flush=True)
        try:
            for row in part():
                rows.append(row)  # at once: what comes after it may fail
        except (Exception, SystemExit) as error:  # the two sides may disagree, a worker may end
            failed.append(name)
            print(f"\nfailed: {name}: {reason(error)}", file=sys.stderr, flush=True)
    return rows, failed


def reason(error: BaseException) -> str:
    """Its words alone where they were written for a reader, else all that is known of it."""
    known = isinstance(error, (Failed, SystemExit))
    return str(error) if known else "".join(traceback.format_exception(error))


def told(row: Row) -> str:
    """The row's name: "U-Net sampling"."""
    return f"{row.net} {row.job}"


def speeds(row: Row) -> tuple[str, str]:
    """How fast ours is against the reference and against torch.compile."""
    mine = row.workers[row.ours]
    compiled = row.workers.get(COMPILED)  # it is left out where it cannot compile
    beside_compiled = NONE if compiled is None else against(mine, compiled)
    return against(mine, row.workers[row.reference]), beside_compiled


def line(row: Row) -> str:
    """A line of the table."""
    mine, reference = row.workers[row.ours], row.workers[row.reference]
    compiled = row.workers.get(COMPILED)
    first = NONE if compiled is None else f"{compiled.first:.1f}"
    cells = (
        told(row),
        f"{1000.0 / statistics.median(mine.rates):.1f}",  # [ms]
        *speeds(row),
        f"{mine.peak:.0f} / {reference.peak:.0f}",
        f"{mine.first:.1f} / {first}",
    )
    return f"| {' | '.join(cells)} |"


def is_slower(row: Row) -> bool:
    """Whether ours is, by the median of the ratios of all rounds."""
    median, _, _ = ratio(row.workers[row.ours], row.workers[row.reference])
    return median < 1.0


def slower(rows: Sequence[Row]) -> list[str]:
    """The names of the rows in which ours is slower than the reference by the median."""
    return [told(row) for row in rows if is_slower(row)]


def table(rows: Sequence[Row]) -> str:
    """Markdown: a row for each job of each net, what the columns are, and which rows miss the target."""
    behind = slower(rows)
    found = "No row is slower."
    if behind:
        found = f"Slower are {len(behind)} of {len(rows)}: {', '.join(behind)}."
    target = f"The target is to be no slower than {EAGER} by the median. {found}"
    head = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    return "\n".join([*head, *map(line, rows), "", LEGEND, "", target])


def conclude(rows: Sequence[Row], failed: Sequence[str]) -> int:
    """Prints the one table and what failed; returns the exit code."""
    if rows:  # those before a failure too
        print("\n" + table(rows), flush=True)
    if failed:
        print(f"\nfailed, and not or not wholly in the table: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def arguments(argv: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The names of the parts, and the flags that go on to their scripts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__.split("\n")[0],
    )
    # no defaults: each script has its own
    parser.add_argument(
        "--seconds", type=float, help="length of a block; each script has its own"
    )
    blocks = "blocks of every side; each script has its own number"
    parser.add_argument("--rounds", type=int, help=blocks)
    names = list(PARTS)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help="parts",
    )
    common.switches(parser)
    args = parser.parse_args(argv)
    given = {"--seconds": args.seconds, "--rounds": args.rounds}
    flags = [f"{flag}={value}" for flag, value in given.items() if value is not None]
    chosen = {"--eager": args.eager, "--profile": args.profile, "--quick": args.quick}
    flags += [flag for flag, wanted in chosen.items() if wanted]
    return args.only, flags


def main(argv: Sequence[str] | None = None) -> int:
    only, flags = arguments(argv)
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with common.images_for_both() as (images, data):
        print(f"{machine()}; {data}", flush=True)
        parts = {}
        for name in dict.fromkeys(only):  # each once, however often it was named
            parts[name] = functools.partial(rows_of, PARTS[name], images, flags)
        return conclude(*carried_out(parts))


if __name__ == "__main__":
    sys.exit(main())
