"""Colour without a download: crops of the two photographs that scikit-learn's wheel carries."""

from __future__ import annotations

import dataclasses

import numpy as np

from genjax.config import field
from genjax.data.source import Source, hold_out
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Square crops of a temple and of a flower, two classes, after halving the photographs `halvings` times.

    Test crops come from the right quarter of each photograph and training crops from the rest: no pixel is in both.
    """

    size: int = field(32, "side of a crop [pixels]")
    halvings: int = field(1, "times that the photographs (427x640) are halved first")
    train: int = field(10_000, "training crops, half from each")
    test: int = field(500, "test crops, half from each")
    valid: int = field(
        0, "crops held out from the tail of the training crops, which overlap them"
    )
    seed: int = field(0, "seed of the places, independent of the run's seed")

    def load(self) -> Source:
        """Cuts the crops, uint8 [N, size, size, 3] and int32 [N]; UserError for a size that does not fit."""
        at_least(1, data__size=self.size, data__train=self.train, data__test=self.test)
        at_least(0, data__halvings=self.halvings, data__seed=self.seed)
        photographs = [halved(photograph, self.halvings) for photograph in _load()]
        # a test crop must fit the right quarter
        sides = []
        for photo in photographs:
            h, w = photo.shape[:2]
            sides += [h, w // 4]
        most = min(sides)
        if self.size > most:
            raise UserError(
                f"--data.size={self.size} does not fit a quarter of a photograph: use at most {most}."
            )
        left, right = [], []
        for photo in photographs:
            border = 3 * photo.shape[1] // 4  # [pixels]
            left.append(photo[:, :border])
            right.append(photo[:, border:])
        # a stream of its own for each split: the size of one leaves the other as it is
        size = self.size
        train = _crops(left, self.train, size, [self.seed, 0])
        test = _crops(right, self.test, size, [self.seed, 1])
        train, valid = hold_out(train, self.valid)
        image = Image((size, size, 3))
        label = Category(2, ("temple", "flower"))  # in the wheel's order
        fields = {"image": image, "label": label}
        return Source("photographs", fields, train, valid, test)


def _load() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images  # uint8 [427, 640, 3] each
    return [np.asarray(photograph) for photograph in images]


def halved(image: np.ndarray, times: int) -> np.ndarray:
    """Means of 2x2 blocks, `times` times; uint8 [H, W, 3]."""
    for _ in range(times):
        h = image.shape[0] // 2
        w = image.shape[1] // 2
        even = image[: 2 * h, : 2 * w]  # an odd last row or column has no pair
        blocks = even.reshape(h, 2, w, 2, 3)
        means = blocks.mean((1, 3))
        # bytes again after each time, as a camera of fewer pixels would store them
        image = np.rint(means).astype(np.uint8)
    return image


def _crops(parts: list[np.ndarray], n: int, size: int, key: list[int]) -> dict[str, np.ndarray]:
    """n crops at uniform places, from the parts in turn."""
    bits = np.random.Philox(key=key)
    rng = np.random.Generator(bits)
    crops = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        part = parts[i % len(parts)]
        h, w = part.shape[:2]
        # y before x: the order of the draws is part of the set
        y = int(rng.integers(0, h - size + 1))
        x = int(rng.integers(0, w - size + 1))
        bottom, right = y + size, x + size
        crops[i] = part[y:bottom, x:right]
    label = np.arange(n) % len(parts)
    return {"image": crops, "label": label.astype(np.int32)}
