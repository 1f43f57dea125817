"""The training example nearest to a sample, in pixels: how far it is, and both side by side for people to judge.

A distance alone says little: held-out examples have one too, which is the floor. `metrics.memorisation` has scores on
features, which see a copy that was shifted or recoloured, where pixels do not.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field, suffix
from genjax.data.batches import chosen
from genjax.metrics.components import rows
from genjax.metrics.evaluate import FLAT, Seen
from genjax.metrics.intervals import Interval, bootstrap
from genjax.pictures.draw import grid, to_uint8

CHUNK = 2000  # training images in memory as floats at a time


def nearest(images: Any, train: Any) -> tuple[np.ndarray, np.ndarray]:
    """(distance [n], number [n]) of the training image nearest to each of n images, bytes or floats in [0, 1].

    The distance is the root of the mean squared difference of pixels, in [0, 1].
    """
    x = rows(images)  # [n, D]
    least = np.full(len(x), np.inf, np.float32)
    number = np.zeros(len(x), np.int64)
    everyone = np.arange(len(x))
    # in parts: the table of all distances, and the set as floats, need not fit in memory
    for start in range(0, len(train), CHUNK):
        part = rows(train[start : start + CHUNK])
        # |x - t|² less |x|², which is the same for all t
        squares = np.sum(part * part, 1) - 2.0 * x @ part.T  # [n, CHUNK]
        best = squares.argmin(1)
        value = squares[everyone, best]
        nearer = value < least
        least = np.where(nearer, value, least)
        number = np.where(nearer, start + best, number)
    # measured anew: those squares carry rounding, and a copy's distance would not be 0
    difference = x - rows(np.asarray(train)[number])
    return np.sqrt(np.mean(difference**2, 1)), number


def beside(images: Any, train: Any) -> np.ndarray:
    """Images in one row, the training image nearest to each below it: uint8 [H', W', C]."""
    _, number = nearest(images, train)
    below = to_uint8(np.asarray(train)[number])
    both = np.concatenate([to_uint8(images), below])
    return grid(both, len(images))


@dataclasses.dataclass(frozen=True)
class NearestTraining:
    """The mean distance in pixels of samples to the training image nearest to each; 0 of copies."""

    n: int = field(200, "samples that are looked at")

    def names(self, on: str) -> dict[str, int]:
        # nearer is no better: what counts is the distance of held-out examples
        return {f"nearest_pixels{suffix(self)}": FLAT}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        there = len(samples.image)
        n = min(self.n, there)
        some = samples.image[chosen(n, there)]
        distance, _ = nearest(some, train.image)

        def mean(rows: np.ndarray) -> float:
            return float(distance[rows].mean())

        (name,) = self.names(on)
        return {name: bootstrap(mean, n)}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, real, on)
