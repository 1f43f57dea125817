"""What a data set is to the rest of the code, and the two sets that need no preparation by the user.

A config is a frozen dataclass with `load() -> Source`. Images travel as bytes and become floats inside the step.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.batches import Arrays, indices, placed, share, steps_per_epoch, take
from genjax.data.stream import Records, columns, stream
from genjax.errors import UserError
from genjax.pictures import draw as images

FASHION_FILES = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


class Source(NamedTuple):
    """A loaded data set. A split is {"image": uint8 [N, H, W, C], "label": int32 [N]}, float32 [N, 2] for toys.

    Unlabelled sets have label 0 everywhere and `classes` 0. `valid` and `test` may be empty. When the set is streamed,
    `records` is the training split as random-access records and the arrays of the splits are columns read on demand.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    class_names: tuple[str, ...]
    train: Arrays
    valid: Arrays
    test: Arrays
    picture: Callable[[Any], np.ndarray]  # a batch of samples -> uint8 [H, W, C]
    records: Records | None = None


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
    if source.records is not None:
        return stream(source.records, seed, first_step, batch, process)
    n, arrays = len(source.train["image"]), {} if only_index else source.train
    steps_per_epoch(n, batch)
    part = share(batch, process)
    return (
        placed(take(arrays, indices(seed, step, n, batch)[part]), part)
        for step in itertools.count(first_step)
    )


def fingerprint(source: Source) -> str:
    """8 hex digits that tell two sets apart: the sizes of the splits and up to 64 examples of each, evenly spaced."""
    crc = 0
    for split in (source.train, source.valid, source.test):
        n = len(split["image"])
        some = np.unique(np.linspace(0, n - 1, min(n, 64)).astype(np.int64))
        for name in sorted(split):
            values = np.asarray(split[name][some]) if n else np.zeros(0)
            crc = zlib.crc32(
                f"{name} {n} {values.dtype} {values.shape}".encode() + values.tobytes(), crc
            )
    return f"{crc:08x}"


def _check_valid(n: int, valid: int) -> None:
    if not 0 <= valid < n:
        raise UserError(
            f"--data.valid={valid} must be at least 0 and less than the {n} training examples."
        )


def hold_out(train: Arrays, valid: int) -> tuple[Arrays, Arrays]:
    """(train, valid): the last `valid` examples of the training arrays become the validation split."""
    n = len(train["image"])
    _check_valid(n, valid)
    return {k: v[: n - valid] for k, v in train.items()}, {
        k: v[n - valid :] for k, v in train.items()
    }


def in_memory(name: str, stored: cache.Stored, valid: int) -> Source:
    """A `Source` of the cache's arrays."""
    train, held_out = hold_out(stored.splits["train"], valid)
    names = stored.class_names
    test = stored.splits["test"]
    return Source(name, stored.shape, len(names), names, train, held_out, test, images.grid)


def streamed(name: str, prepared: cache.Prepared, valid: int) -> Source:
    """A `Source` that reads the prepared records on demand."""
    _check_valid(len(prepared.splits["train"]), valid)
    train, held_out = prepared.splits["train"].split(len(prepared.splits["train"]) - valid)
    names = prepared.class_names
    splits = [columns(part, prepared.shape) for part in (train, held_out, prepared.splits["test"])]
    return Source(name, prepared.shape, len(names), names, *splits, images.grid, train)


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
        return streamed(name, cache.records(key, request, mark, prepare), valid)
    return in_memory(name, cache.arrays(key, request, mark, prepare), valid)


@dataclasses.dataclass(frozen=True)
class Digits:
    """1,797 handwritten digits, 8x8 grey, carried by scikit-learn: 1,437 train, 360 test, nothing to download."""

    valid: int = field(0, "training examples held out for validation, from the tail")

    def load(self) -> Source:
        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            return builders.digits(directory)

        return in_memory("digits", cache.arrays("digits", {}, "fixed", prepare), self.valid)


@dataclasses.dataclass(frozen=True)
class FashionMNIST:
    """70,000 pictures of clothes, 28x28 grey, 10 classes: 60,000 train, 10,000 test (arXiv:1708.07747)."""

    path: str | None = field(
        None, f"folder of the four idx files; None = $GENJAX_DATA, then {DEBIAN}", execution=True
    )
    valid: int = field(0, "training examples held out for validation, from the tail")

    def load(self) -> Source:
        """From the cache, else from the idx files; UserError says how to get them."""
        folder = find_fashion(self.path)
        request = {"path": str(Path(self.path).expanduser().resolve())} if self.path else {}
        mark = (
            cache.fingerprint(folder, (path.name for path in _present(folder))) if folder else None
        )

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            return builders.fashion_mnist(directory, folder or missing_fashion(self.path))

        return in_memory(
            "fashion_mnist", cache.arrays("fashion_mnist", request, mark, prepare), self.valid
        )


def _present(folder: Path) -> list[Path]:
    """The set's files that are in the folder, gzipped or not."""
    both = [(folder / name.removesuffix(".gz"), folder / name) for name in FASHION_FILES]
    return [
        next(path for path in pair if path.is_file())
        for pair in both
        if any(path.is_file() for path in pair)
    ]


def find_fashion(path: str | None) -> Path | None:
    """The folder that holds the four files: `path` alone if given, else $GENJAX_DATA, else Debian's; None if none."""
    named = os.environ.get("GENJAX_DATA")
    usual = [Path(named), Path(named) / "fashion-mnist", DEBIAN] if named else [DEBIAN]
    folders = [Path(path).expanduser()] if path else usual
    return next((folder for folder in folders if len(_present(folder)) == len(FASHION_FILES)), None)


def missing_fashion(path: str | None) -> Path:
    """Raises the UserError that says how to get the set."""
    places = [path] if path else [f"GENJAX_DATA={os.environ.get('GENJAX_DATA', '')}", str(DEBIAN)]
    there = (
        {file.name.removesuffix(".gz") for file in _present(Path(path).expanduser())}
        if path
        else set()
    )
    lacking = [name for name in FASHION_FILES if name.removesuffix(".gz") not in there]
    raise UserError(
        f"Fashion-MNIST is not in {' nor '.join(places)} (missing: {', '.join(lacking)}): on Debian and Ubuntu "
        "`apt-get install dataset-fashion-mnist`; elsewhere put the four files of "
        "https://github.com/zalandoresearch/fashion-mnist in a folder, named by --data.path=FOLDER or GENJAX_DATA; "
        "or prepare it with TFDS and use --data=\"Stock(name='fashion_mnist')\"."
    )
