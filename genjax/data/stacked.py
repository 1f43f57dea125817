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
        # a stream of its own for each split: the size of one leaves the other as it is
        train_bits = np.random.Philox(key=[self.seed, 0])
        test_bits = np.random.Philox(key=[self.seed, 1])
        train = stack(digits.train, train_bits, self.train)
        test = stack(digits.test, test_bits, self.test)
        train, valid = hold_out(train, 0)
        names = tuple(f"{label:03d}" for label in range(CLASSES))
        fields = {"image": Image((8, 8, 3)), "label": Category(CLASSES, names)}
        return Source("stacked_digits", fields, train, valid, test)


def stack(digits: Arrays, bits: np.random.Philox, n: int) -> Arrays:
    """n triples of a split of single digits: labels uniform over the 1,000, then digits uniform over their class.

    From raw bits, which no release of numpy changes (NEP 19).
    """
    draws = bits.random_raw(4 * n).reshape(n, 4)  # uint64
    image = np.asarray(digits["image"])  # [N, 8, 8, 1]
    of_image = np.asarray(digits["label"])
    # 2^64 is so much larger that the remainder is uniform for all purposes
    label = draws[:, 0] % CLASSES
    order = np.argsort(of_image, kind="stable")
    # unsigned as the draws are: numpy would make floats of a mixture
    count = np.bincount(of_image, minlength=10).astype(np.uint64)
    wanted = parts(label)  # [n, 3]
    first = np.cumsum(count) - count  # class k is order[first[k] : first[k] + count[k]]
    within = draws[:, 1:] % count[wanted]
    chosen = order[first[wanted] + within]  # [n, 3]
    grey = image[chosen][..., 0]  # [n, 3, 8, 8]
    colour = np.moveaxis(grey, 1, -1)
    # a copy, since the moved axis is a view in another order
    return {"image": colour.copy(), "label": label.astype(np.int32)}


def parts(label: Any) -> np.ndarray:
    """Labels [B] -> the digits of the red, green and blue channel, [B, 3]."""
    number = np.asarray(label).astype(np.int64)
    places = np.array([100, 10, 1])
    return number[:, None] // places % 10


def modes(read: Callable[[Any], np.ndarray], images: Any) -> tuple[int, float]:
    """(how many of the 1,000 modes occur, KL(q || uniform) in nats), q the histogram of the modes that `read` reads.

    `read` takes images [N, H, W, 1], bytes or floats in [0, 1], to digits [N]; `images` are [N, H, W, 3]. Even N exact
    draws of the uniform have a KL of about 999 / 2N.
    """
    images = np.asarray(images)
    in_colour = images.ndim == 4 and images.shape[-1] == 3
    if not in_colour or not len(images):
        raise UserError(
            f"modes are counted of images [N, H, W, 3], got {images.shape}: use data of StackedDigits."
        )
    channels = []
    for c in range(3):
        channel = images[..., c : c + 1]  # [N, H, W, 1]
        channels.append(np.asarray(read(channel)))
    digits = np.stack(channels, -1)  # [N, 3]
    number = digits @ np.array([100, 10, 1])
    counts = np.bincount(number.astype(int), minlength=CLASSES)
    q = counts / len(images)
    q = q[q > 0]  # 0 log 0 = 0
    # KL(q || u) = sum q log(q / (1 / K))
    kl = np.sum(q * np.log(q * CLASSES))
    return len(q), float(kl)
