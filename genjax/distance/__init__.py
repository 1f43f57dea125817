"""How far apart two sets of images are: folders, data sets, runs.

    python -m genjax.distance A B
    python -m genjax.distance photographs/ generated/ --features='Components(16)'
    python -m genjax.distance 'FashionMNIST(path="~/data")' runs/vae/base-7422f6eb --n=5000 --json=distance.json

A is the reference and B what is measured against it. Each is a folder of images with all that lie below it, a data set
of genjax.data as a constructor call, or a run's directory, of which samples are drawn. A folder is read as
`genjax.data.Folder` reads it: every image lies in the sub-folder of a class, or none does. Of what has splits, as a
folder with the sub-folders train and test, the training split is taken.

Every number stands beside its 95 % interval and its floor, with an interval too: the same number with n real examples
of A in the place of B, against the same reference. A distance means nothing without it, as its bias depends on n. Where
A has a held-out split (test, else valid) the n come from there, and are no more than the reference has. Else n images
of A, at most half of them, are held apart at random, and what is left is the reference, for the value and for the
floor. Frechet() compares with the whole reference, metrics of pairs and neighbours with the n real examples, and their
floor is n of the reference against these. A Frechet distance far below the floor means copies: B has images of the
reference. Other metrics compare with images that are not in it and do not see that: ask Memorisation(). How many images
of B are in A, byte for byte, is told.

Images are compared as bytes in one format: that of a data set, a run or the folder of a run's samples where there is
one (A's before B's), else the most usual size in A, at most 256 pixels a side, in colour if either has colour. What had
to be resized is told, as resizing changes distances: the short side is scaled, the centre is cut out. Names of files
decide nothing but which images are held apart or taken.

    --features='Components(64)'   what is compared: Components(k) of A's images, Pixels(), RandomNet(), Convolutional()
                   (trained on A's classes), Inception() (then it is FID and KID; needs its weights)
    --metrics='(Frechet(), Kernel())'   also PrecisionRecall(), DensityCoverage(), Memorisation(), InceptionScore()
    --n=N          images of B, and of A in the floor; by default as many as both have, of a run up to 10,000
    --size=64      height and width; --size='(48, 64)' where they differ
    --seed=0       of what is held apart, of what is taken of a larger B, and of a run's samples
    --step=N       the checkpoint of B, a run; by default the newest
    --trust='("mine",)'   modules of your own that a run's config.json may name
    --json=FILE    the numbers with all that they depend on

A Frechet distance needs more images than features, and at least 50. One run as A and as B is two draws, for A's has a
seed of its own. Of what a run's config.json names only genjax's own modules are imported, and those of --trust.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax import cli, command, config
from genjax.config import field
from genjax.core import size
from genjax.data.batches import order
from genjax.distance.sides import Count, Shape, Side, Split, brought, changes, common, side
from genjax.errors import UserError, at_least
from genjax.machine.files import place, whole
from genjax.machine.platform import cache_root
from genjax.metrics.evaluate import (
    DensityCoverage,
    Extractor,
    Frechet,
    InceptionScore,
    Kernel,
    Memorisation,
    PrecisionRecall,
    Value,
    floor_intervals,
    measured,
    seen,
)
from genjax.metrics.features import Components
from genjax.metrics.intervals import Interval

# those that need no labels: of two folders nobody knows whether their classes are the same
Metric = Frechet | Kernel | InceptionScore | PrecisionRecall | DensityCoverage | Memorisation

# draws of their own: what is held apart of a folder says nothing of what is taken of its copy
APART, TAKEN = 0, 1
GROUPS = 50  # of the jackknife, see `intervals.frechet_interval`


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured, of how much, in which format."""

    features: Extractor = field(Components(), "what is compared")
    metrics: tuple[Metric, ...] = field((Frechet(), Kernel()), "what is measured")
    n: int | None = field(None, "images of B, and of A in the floor; None = what both have")
    size: int | tuple[int, int] | None = field(None, "height and width; None = A's or B's own")
    seed: int = field(0, "of what is held apart, of what is taken, of samples")
    step: int | None = field(None, "the checkpoint of B, a run; None = the newest")
    trust: tuple[str, ...] = field(
        (), "modules of your own that a run's config may name", execution=True
    )
    json: str | None = field(None, "file for the numbers and all that they depend on")


class Measured(NamedTuple):
    """The numbers, what they depend on as JSON, and what a reader must be told of how they came about."""

    values: dict[str, Value]
    about: dict[str, Any]
    notes: list[str]


class Parts(NamedTuple):
    """Images of one format: the reference, as many real ones as samples, and the samples."""

    reference: Split
    real: Split
    samples: Split


def distance(a: Any, b: Any, **options: Any) -> dict[str, Value]:
    """{name: Value} of the images of `b` against those of `a`, the reference: the module says what is done.

    a, b: a path, a constructor call as text, or any config with load(); options: the flags of the command line. What
    was resized and held apart is told on stderr. UserError for what cannot be compared.
    """
    chosen = config.build("", Options, options)
    found = measure(a, b, chosen)
    for note in found.notes:
        print(note, file=sys.stderr)
    _write(chosen, found)
    return found.values


def measure(a: Any, b: Any, options: Options) -> Measured:
    """The whole comparison; writes and prints nothing."""
    _check(options)
    # by another seed: of one run as both the two draws must not be the same
    left = side("A", a, options.seed + 1, None, options.trust)
    right = side("B", b, options.seed, options.step, options.trust)
    shape = common(left, right, options.size)
    of_a, of_b = left.count(options.n), right.count(options.n)
    n = together(of_a, of_b, options.n)
    enough(of_a, n, shape, options)
    split, held = left.load(shape, of_a.main)
    others, _ = right.load(shape, n)
    reference, real = _apart(split, held, n, options.seed)
    samples = _taken(others, n, options.seed, TAKEN)
    parts = Parts(*(brought(part, shape) for part in (reference, real, samples)))
    values, floors = _values(parts, options)
    about = _about(left, right, parts, shape, options)
    notes = _notes(left, right, of_a, about, shape, options.seed)
    numbers = {}
    for name, value in values.items():
        numbers[name] = value._asdict() | _ends(floors[name])
    about |= {"values": numbers, "notes": notes}
    return Measured(values, about, notes)


def _check(options: Options) -> None:
    """Raises UserError for options that are wrong whatever is compared."""
    at_least(0, seed=options.seed)
    if options.seed + 1 >= 2**32:  # A's is one more
        raise UserError(f"--seed={options.seed} must be less than 2**32 - 1.")
    if options.n is not None:
        at_least(1, n=options.n)
    if options.size is not None:
        for side_ in np.atleast_1d(options.size).tolist():
            at_least(1, size=side_)
    if not options.metrics:
        raise UserError(
            "--metrics=() leaves nothing to measure: name one, e.g. '(Frechet(),)'."
        )
    if options.json is not None:
        _check_file(place(options.json))


def _check_file(path: Path) -> None:
    """Raises UserError for a file that cannot be written, before hours of drawing."""
    if path.is_dir():
        raise UserError(f"--json={path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise UserError(f"--json={path}: there is no folder {path.parent}: make it first.")
    try:
        # by writing: a permission says nothing of a disk that is read-only
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(
            f"--json={path} cannot be written ({error.strerror}): choose another place."
        ) from error


def together(of_a: Count, of_b: Count, n: int | None) -> int:
    """How many images are compared: as many as B has and A can spare for the floor; UserError for more than that."""
    spared = of_a.main // 2
    state = f"half of its {of_a.main}"
    if of_a.held:
        # a floor may draw as many of the reference
        spared = min(of_a.held, of_a.main)
        state = f"{of_a.held} held-out ones against {of_a.main} others"
    if spared == 0:
        raise UserError(f"A has {of_a.main} image: at least 2 are needed, one of them apart.")
    if n is None:
        return min(spared, of_b.main)
    if n > of_b.main:
        raise UserError(f"--n={n} is more than the {of_b.main} images of B: use fewer.")
    if n > spared:
        raise UserError(
            f"--n={n} is more than A can put in the place of B for the floor, {state}: use --n={spared} or fewer."
        )
    return n


def enough(of_a: Count, n: int, shape: Shape, options: Options) -> None:
    """Raises UserError for a Fréchet distance on more features than images, and says which would do."""
    if Frechet() not in options.metrics:
        return
    features = options.features.size(shape)
    # of as many features a covariance would be singular; the interval leaves out each of 50 groups
    least = max(features + 1, GROUPS)
    reference = of_a.main if of_a.held else of_a.main - n
    fewest = min(n, reference)
    if fewest >= least:
        return
    mend = "--metrics='(Kernel(),)'"
    if fewest >= GROUPS:
        k = 2 ** int(np.log2(fewest - 1))
        mend = f"--features='Components({k})' or {mend}"
    raise UserError(
        f"a Frechet distance on the {features} features of {cli.show(options.features)} needs at least {least} images "
        f"of each side, and there are {n} to compare with {reference} of A: give more, or use {mend}."
    )


def _apart(split: Split, held: Split, n: int, seed: int) -> tuple[Split, Split]:
    """(the reference, n real examples that are not in it)."""
    if size(held):
        return split, _taken(held, n, seed, APART)
    total = size(split)
    rows = _some(total, n, seed, APART)
    rest = np.setdiff1d(np.arange(total), rows)
    return _rows(split, rest), _rows(split, rows)


def _taken(split: Split, n: int, seed: int, draw: int) -> Split:
    """n examples of a split at random; the split itself where it has no more."""
    total = size(split)
    if total == n:  # as it is: a mapped file is not copied
        return split
    return _rows(split, _some(total, n, seed, draw))


def _some(total: int, n: int, seed: int, draw: int) -> np.ndarray:
    """n of `total` rows in ascending order, a function of the seed and of which draw it is."""
    return np.sort(order(seed, draw, total)[:n])


def _rows(split: Split, rows: np.ndarray) -> Split:
    return {name: np.asarray(array[rows]) for name, array in split.items()}


def _values(parts: Parts, options: Options) -> tuple[dict[str, Value], dict[str, Interval]]:
    """The numbers with their floors, and those; UserError, with the metric's reason, where they cannot be had."""
    # a classifier is trained once for a reference
    extract = options.features.fit(parts.reference, cache_root() / "features")
    on = options.features.name
    try:
        reference, real, samples = (seen(extract, part) for part in parts)
        around = floor_intervals(options.metrics, reference, real, on)
        floor = {name: float(interval.value) for name, interval in around.items()}
        values = measured(options.metrics, reference, real, samples, on, floor)
        return values, around
    except ValueError as error:
        raise UserError(f"--metrics, --features: {error}.") from error


def _ends(floor: Interval) -> dict[str, float | None]:
    """The ends of a floor's interval; None where it has none, or is a number that theory gives."""
    low, high = float(floor.low), float(floor.high)
    if not low < high:  # NaN too
        return {"floor_low": None, "floor_high": None}
    return {"floor_low": low, "floor_high": high}


def _marks(split: Split) -> list[bytes]:
    """16 bytes for each image, the same for the same pixels."""
    return [hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in split["image"]]


def _mark(marks: list[bytes]) -> str:
    """16 hex digits of a set of images, whatever their order."""
    together = b"".join(sorted(marks))
    return hashlib.blake2b(together, digest_size=8).hexdigest()


def _about(
    left: Side, right: Side, parts: Parts, shape: Shape, options: Options
) -> dict[str, Any]:
    """What the numbers depend on, as JSON."""
    reference, real, samples = (_marks(part) for part in parts)
    known = {*reference, *real}
    copies = sum(mark in known for mark in samples)
    of_a = left.about() | {"reference": len(reference), "held": len(real)}
    of_a |= {"mark": _mark(reference), "held_mark": _mark(real)}
    of_b = right.about() | {"samples": len(samples), "mark": _mark(samples), "in_a": copies}
    features = {"name": options.features.name, "config": cli.show(options.features)}
    return {
        "a": of_a,
        "b": of_b,
        "n": len(samples),
        "shape": list(shape),
        "features": features,
        "metrics": cli.show(options.metrics),
        "seed": options.seed,
    }


def _notes(
    left: Side, right: Side, of_a: Count, about: dict[str, Any], shape: Shape, seed: int
) -> list[str]:
    """A line for each thing that one must know to read the numbers."""
    notes = changes(left, shape) + changes(right, shape)
    n, reference = about["n"], about["a"]["reference"]
    if of_a.held:
        notes.append(f"floor: {n} held-out images of A, against the {reference} others")
    else:
        notes.append(
            f"floor: {n} images of A held apart at random (seed {seed}), against the other {reference}"
        )
    copies = about["b"]["in_a"]
    if copies:
        notes.append(f"B: {copies} of the {n} images compared are in A too, byte for byte")
    return notes


def _write(options: Options, found: Measured) -> None:
    """Writes the JSON whole where one is asked for; UserError where it cannot be."""
    if options.json is None:
        return
    file = place(options.json)
    text = json.dumps(found.about, indent=2) + "\n"
    try:
        with whole(file) as new:
            new.write_text(text)
    except OSError as error:
        raise UserError(
            f"cannot write {file} ({error.strerror}): free or choose another place."
        ) from error


def table(found: Measured) -> str:
    """The two sides, and a line for each number: name, value, interval, floor and its interval."""
    of_a, of_b = found.about["a"], found.about["b"]
    size_ = "x".join(map(str, found.about["shape"]))
    rows = [(f"at {size_}", "value", "95 % interval", "floor", "its interval", "n")]
    for name, value in found.values.items():
        interval = "unknown" if value.low is None else f"{value.low:.4g} to {value.high:.4g}"
        floor = "none" if value.floor is None else f"{value.floor:.4g}"
        ends = found.about["values"][name]
        low, high = ends["floor_low"], ends["floor_high"]
        of_floor = "" if low is None else f"{low:.4g} to {high:.4g}"
        rows.append((name, f"{value.value:.4g}", interval, floor, of_floor, str(value.n)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"A  {_named(of_a)}: {of_a['reference']} images, and {of_a['held']} apart",
        f"B  {_named(of_b)}: {of_b['samples']} images",
    ]
    for row in rows:
        cells = map(str.ljust, row, widths)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _named(of: dict[str, Any]) -> str:
    """A side in words, with the weights and the draw where it is a run."""
    draw = f" at step {of['step']}, seed {of['seed']}" if "step" in of else ""
    return f"{of['kind']} {of['name']}{draw}"


def _act(a: str, b: str, options: Options) -> None:
    found = measure(a, b, options)
    # before the file: a disk that is full takes no numbers away
    print(table(found))
    for note in found.notes:
        print(note)
    _write(options, found)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    return command.main(_act, ("A", "B"), Options(), __doc__ or "", argv)
