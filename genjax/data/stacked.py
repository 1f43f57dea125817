"""A thousand modes that can be counted: colour images of three independent digits, one in each channel.

label = 100 a + 10 b + c for digits a, b, c in red, green and blue: a generator that drops modes drops labels. With a
classifier that reads one digit, `modes` counts what a generator makes of them (Metz et al. 2017, arXiv:1611.02163,
sec. 3.3.1; Srivastava et al. 2017, arXiv:1705.07761, sec. 4.2; 26,000 samples in PacGAN, Lin et al. 2018,
arXiv:1712.04086). There the digits are MNIST's 28x28; here scikit-learn's 8x8, so numbers do not compare with theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data.batches import Arrays
from genjax.data.source import Digits, Source, hold_out
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image

CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class StackedDigits:
    """Images 8x8 in colour, three digits each; the triples of a split are drawn once, all 1,000 alike in chance.

    The training digits of `Digits` make the training triples and its test digits the test triples.
    """

    train: int = field(50_000, "training triples")
    test: int = field(10_000, "test triples")
    seed: int = field(0, "seed of the triples, independent of the run's seed")

    def load(self) -> Source:
        """{"image": uint8 [N, 8, 8, 3], "label": int32 [N]}; UserError for sizes below 1."""
        at_least(1, data__train=self.train, data__test=self.test)
        at_least(0, data__seed=self.seed)
        digits = Digits().load()
        train, test = (
            stack(split, np.random.Philox(key=[self.seed, i]), n)
            for i, (split, n) in enumerate(((digits.train, self.train), (digits.test, self.test)))
        )
        train, valid = hold_out(train, 0)
        names = tuple(f"{label:03d}" for label in range(CLASSES))
        fields = {"image": Image((8, 8, 3)), "label": Category(CLASSES, names)}
        return Source("stacked_digits", fields, train, valid, test)


def stack(digits: Arrays, bits: np.random.Philox, n: int) -> Arrays:
    """n triples of a split of single digits: labels uniform over the 1,000, then digits uniform over their class.

    From raw bits, which no release of numpy changes (NEP 19).
    """
    draws = bits.random_raw(4 * n).reshape(n, 4)
    image, of_image, label = (
        np.asarray(digits["image"]),
        np.asarray(digits["label"]),
        draws[:, 0] % CLASSES,
    )
    order, count = (
        np.argsort(of_image, kind="stable"),
        np.bincount(of_image, minlength=10).astype(np.uint64),
    )
    wanted = parts(label)  # [n, 3]
    first = np.cumsum(count) - count  # class k is order[first[k] : first[k] + count[k]]
    chosen = order[first[wanted] + draws[:, 1:] % count[wanted]]
    return {
        "image": np.moveaxis(image[chosen][..., 0], 1, -1).copy(),
        "label": label.astype(np.int32),
    }


def parts(label: Any) -> np.ndarray:
    """Labels [B] -> the digits of the red, green and blue channel, [B, 3]."""
    return np.asarray(label).astype(np.int64)[:, None] // np.array([100, 10, 1]) % 10


def modes(read: Callable[[Any], np.ndarray], images: Any) -> tuple[int, float]:
    """(how many of the 1,000 modes occur, KL(q || uniform) in nats), q the histogram of the modes that `read` reads.

    `read` takes images [N, H, W, 1], bytes or floats in [0, 1], to digits [N]; `images` are [N, H, W, 3]. Even N exact
    draws of the uniform have a KL of about 999 / 2N.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise UserError(
            f"modes are counted of images [N, H, W, 3], got {images.shape}: use data of StackedDigits."
        )
    digits = np.stack([np.asarray(read(images[..., c : c + 1])) for c in range(3)], -1)
    q = np.bincount((digits @ np.array([100, 10, 1])).astype(int), minlength=CLASSES) / len(images)
    q = q[q > 0]
    return len(q), float(np.sum(q * np.log(q * CLASSES)))
