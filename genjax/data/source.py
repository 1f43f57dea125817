"""What a data set is to the rest of the code, and the two sets that need no preparation by the user.

A config is a frozen dataclass with `load() -> Source`. Images travel as bytes and become floats inside the step.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.core import Spec, size
from genjax.data import cache
from genjax.data.batches import Arrays, domains, placed, rows_at, share, steps_per_epoch
from genjax.data.stream import Records, columns, stream, streams
from genjax.errors import UserError
from genjax.fields import check_split
from genjax.machine.files import typed

FASHION_FILES = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


class Source(NamedTuple):
    """A loaded data set. A split is {field: [N, ...]}, or of unpaired data {domain: {field: [N, ...]}}.

    The first of `fields` is what is modelled. Unlabelled sets may have a field "label" of 0 classes, 0 everywhere.
    `valid` and `test` may be empty. When the set is streamed, `records` is the training split as random-access records
    (of data with domains {domain: records}) and the arrays of the splits are columns read on demand.
    """

    name: str
    # {name: kind of genjax.fields}; of data with domains those of each domain
    fields: dict[str, Any]
    train: Arrays
    valid: Arrays
    test: Arrays
    records: Records | Mapping[str, Records] | None = None
    # samples [B, ...] -> uint8 [H, W, C]; None = as the field draws
    drawn: Callable[[Any], np.ndarray] | None = None
    notes: tuple[str, ...] = ()  # what was left out or decided on the way, for the user
    # of data with domains: rows of equal number in `valid` and `test` belong together
    aligned: bool = False
    # of codes: what they were divided by; None of data that are none
    scale: float | None = None
    # {split: a number for each row [N]}, the same for what is of one document; None = rows are independent
    groups: Mapping[str, np.ndarray] | None = None

    @property
    def main(self) -> str:
        """The name of the field that is modelled."""
        return next(iter(self.fields))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example of what is modelled."""
        return tuple(self.fields[self.main].shape)

    @property
    def classes(self) -> int:
        """The number of labels; 0 = unlabelled."""
        return getattr(self.fields.get("label"), "classes", 0)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the labels; where they have none their numbers."""
        label = self.fields.get("label")
        names = getattr(label, "names", ())
        numbers = map(str, range(self.classes))
        return names or tuple(numbers)

    def picture(self, x: Any) -> np.ndarray:
        """Samples [B, ...] in unit values -> uint8 [H, W, C]."""
        return self.fields[self.main].picture(x) if self.drawn is None else self.drawn(x)

    def splits(self) -> dict[str, Arrays]:
        """The three splits by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def spec_of(source: Source, steps: int = 1, microbatches: int = 1) -> Spec:
    """What an algorithm must know of a source."""
    return Spec(tuple(source.fields.items()), steps, microbatches, domains(source.train))


def check(source: Source) -> None:
    """Raises UserError, in one line, where the arrays are not what the fields say.

    Whole splits are read once; of a streamed set the types and shapes alone, since it is not read before it is needed.
    """
    names = domains(source.train)  # () of data without domains
    for split, arrays in source.splits().items():
        if not arrays:
            continue  # a set need not have every split
        if domains(arrays) != names:
            raise UserError(
                f"{source.name}, split {split}, has the domains {list(domains(arrays))} and train {list(names)}: "
                "give every split the same."
            )
        if not names:
            _check_arrays(f"{source.name} ({split})", source, arrays)
        for domain in names:
            where = f"{source.name} ({split}, domain {domain})"
            _check_arrays(where, source, arrays[domain])


def _check_arrays(where: str, source: Source, arrays: Arrays) -> None:
    if source.records is None:
        check_split(where, source.fields, arrays)
        return
    for name, kind in source.fields.items():
        column = arrays[name]
        # one row has the type and the shape of all; an empty column has no first row to read
        head = column[:1] if len(column) else column
        kind.check(f"{where}, field {name}", head)


def train_batches(
    source: Source,
    seed: int,
    first_step: int,
    batch: int,
    process: tuple[int, int] = (0, 1),
    only_index: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless training batches from `first_step` on, the same bytes whether the set is in memory or streamed.

    `only_index` leaves out all but "index" and "position", for a set that is on the device already.

    UserError, at once, when the batch is larger than the set or does not divide over the processes.
    """
    arrays = source.train
    if source.records is not None:
        # one set of records, or those of each domain
        read = streams if domains(arrays) else stream
        return read(source.records, seed, first_step, batch, process)
    parts = [arrays[name] for name in domains(arrays)] or [arrays]
    smallest = min(map(size, parts))
    steps_per_epoch(smallest, batch)  # for its error
    part = share(batch, process)

    def made(step: int) -> dict[str, np.ndarray]:
        rows = rows_at(arrays, seed, step, batch, part)
        if only_index:
            rows = _indices(rows)
        return placed(rows, part)

    # lazy, but the checks above are not: a bad batch size is told before training
    return (made(step) for step in itertools.count(first_step))


def _indices(rows: dict[str, Any]) -> dict[str, Any]:
    """The rows' numbers alone, those of each domain too."""
    numbers = {"index": rows["index"]}
    for domain in domains(rows):
        numbers[domain] = {"index": rows[domain]["index"]}
    return numbers


def fingerprint(source: Source) -> str:
    """8 hex digits that tell two sets apart: the sizes of the splits and up to 64 examples of each, evenly spaced."""
    crc = 0  # of all splits in turn: one number
    for arrays in source.splits().values():
        parts = [arrays[name] for name in domains(arrays)] or [arrays]
        for part in parts:
            crc = _fingerprint(part, crc)
    return f"{crc:08x}"


def _fingerprint(arrays: Arrays, crc: int) -> int:
    n = size(arrays)
    # some rows alone, for a set may be streamed and larger than memory
    spaced = np.linspace(0, n - 1, min(n, 64))
    some = np.unique(spaced.astype(np.int64))
    for name in sorted(arrays):  # whatever order the fields were given in
        values = np.asarray(arrays[name][some]) if n else np.zeros(0)
        head = f"{name} {n} {values.dtype} {values.shape}".encode()
        crc = zlib.crc32(head + values.tobytes(), crc)
    return crc


def _check_valid(n: int, valid: int) -> None:
    if not 0 <= valid < n:
        raise UserError(
            f"--data.valid={valid} must be at least 0 and less than the {n} training examples."
        )


def hold_out(train: Arrays, valid: int) -> tuple[Arrays, Arrays]:
    """(train, valid): the last `valid` examples of the training arrays become the validation split."""
    n = size(train)
    _check_valid(n, valid)
    border = n - valid  # not [-valid:], which is all of it for 0
    kept = {name: array[:border] for name, array in train.items()}
    held = {name: array[border:] for name, array in train.items()}
    return kept, held


def check_held(name: str, splits: Mapping[str, Any], valid: int) -> None:
    """Raises UserError where training examples are to be held out of a set that has a validation split."""
    if valid and "valid" in splits:
        raise UserError(
            f"--data.valid={valid}: {name} has images for validation already: leave out one of the two."
        )


def in_memory(name: str, stored: cache.Stored, valid: int) -> Source:
    """A `Source` of the cache's arrays."""
    check_held(name, stored.splits, valid)
    train, held = hold_out(stored.splits["train"], valid)
    held = stored.splits.get("valid", held)  # a split of its own, where the set has one
    test = stored.splits["test"]
    return Source(name, stored.fields, train, held, test, notes=stored.notes)


def streamed(name: str, prepared: cache.Prepared, valid: int) -> Source:
    """A `Source` that reads the prepared records on demand."""
    check_held(name, prepared.splits, valid)
    n = len(prepared.splits["train"])
    _check_valid(n, valid)
    train, held = prepared.splits["train"].split(n - valid)
    held = prepared.splits.get("valid", held)
    parts = train, held, prepared.splits["test"]
    splits = [columns(part, prepared.fields) for part in parts]
    return Source(name, prepared.fields, *splits, train, notes=prepared.notes)


def assemble(
    name: str,
    key: str,
    request: dict[str, Any],
    mark: str | None,
    prepare: Callable[[Path], cache.Prepared],
    valid: int,
    stream: bool,
) -> Source:
    """A `Source` from `prepare`, through the array cache or streamed; see `cache.arrays` for the arguments."""
    if stream:
        prepared = cache.records(key, request, mark, prepare)
        return streamed(name, prepared, valid)
    stored = cache.arrays(key, request, mark, prepare)
    return in_memory(name, stored, valid)


@dataclasses.dataclass(frozen=True)
class Digits:
    """1,797 handwritten digits, 8x8 grey, carried by scikit-learn: 1,437 train, 360 test, nothing to download."""

    valid: int = field(0, "training examples held out for validation, from the tail")

    def load(self) -> Source:
        def prepare(directory: Path) -> cache.Prepared:
            # here, for it imports tensorflow_datasets, which a warm cache does without
            from genjax.data import builders

            return builders.digits(directory)

        # a fixed mark: the wheel's scans never change
        stored = cache.arrays("digits", {}, "fixed", prepare)
        return in_memory("digits", stored, self.valid)


@dataclasses.dataclass(frozen=True)
class FashionMNIST:
    """70,000 pictures of clothes, 28x28 grey, 10 classes: 60,000 train, 10,000 test (arXiv:1708.07747)."""

    path: str | None = field(
        None,
        f"folder of the four idx files; None = $GENJAX_DATA, then {DEBIAN}",
        execution=True,
    )
    valid: int = field(0, "training examples held out for validation, from the tail")

    def load(self) -> Source:
        """From the cache, else from the idx files; UserError says how to get them."""
        folder = find_fashion(self.path)
        request = {}
        if self.path:
            absolute = typed(self.path).resolve()
            request = {"path": str(absolute)}
        mark = None  # without files the cache's arrays are taken as they are
        if folder:
            names = (path.name for path in _present(folder))
            mark = cache.fingerprint(folder, names)

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            # only a cold cache needs the files: that is where their lack is told
            files = folder or missing_fashion(self.path)
            return builders.fashion_mnist(directory, files)

        stored = cache.arrays("fashion_mnist", request, mark, prepare)
        return in_memory("fashion_mnist", stored, self.valid)


def _present(folder: Path) -> list[Path]:
    """The set's files that are in the folder, gzipped or not."""
    found = []
    for name in FASHION_FILES:
        plain = folder / name.removesuffix(".gz")
        zipped = folder / name
        if plain.is_file():  # quicker to read
            found.append(plain)
        elif zipped.is_file():
            found.append(zipped)
    return found


def find_fashion(path: str | None) -> Path | None:
    """The folder that holds the four files: `path` alone if given, else $GENJAX_DATA, else Debian's; None if none."""
    named = os.environ.get("GENJAX_DATA")
    usual = [Path(named), Path(named) / "fashion-mnist", DEBIAN] if named else [DEBIAN]
    folders = [typed(path)] if path else usual
    for folder in folders:
        if len(_present(folder)) == len(FASHION_FILES):
            return folder
    return None


def missing_fashion(path: str | None) -> Path:
    """Raises the UserError that says how to get the set."""
    places = (
        [path] if path else [f"GENJAX_DATA={os.environ.get('GENJAX_DATA', '')}", str(DEBIAN)]
    )
    there = set()
    if path:
        present = _present(typed(path))
        there = {file.name.removesuffix(".gz") for file in present}
    lacking = [name for name in FASHION_FILES if name.removesuffix(".gz") not in there]
    raise UserError(
        f"Fashion-MNIST is not in {' nor '.join(places)} (missing: {', '.join(lacking)}): on Debian and Ubuntu "
        "`apt-get install dataset-fashion-mnist`; elsewhere put the four files of "
        "https://github.com/zalandoresearch/fashion-mnist in a folder, named by --data.path=FOLDER or GENJAX_DATA; "
        "or prepare it with TFDS and use --data=\"Stock(name='fashion_mnist')\"."
    )
