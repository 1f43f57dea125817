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
    valid: int = field(0, "crops held out from the tail of the training crops, which overlap them")
    seed: int = field(0, "seed of the places, independent of the run's seed")

    def load(self) -> Source:
        """Cuts the crops, uint8 [N, size, size, 3] and int32 [N]; UserError for a size that does not fit."""
        at_least(1, data__size=self.size, data__train=self.train, data__test=self.test)
        at_least(0, data__halvings=self.halvings, data__seed=self.seed)
        photographs = [halved(photograph, self.halvings) for photograph in _load()]
        most = min(min(photo.shape[0], photo.shape[1] // 4) for photo in photographs)
        if self.size > most:
            raise UserError(
                f"--data.size={self.size} does not fit a quarter of a photograph: use at most {most}."
            )
        splits = [
            _crops(
                [p[:, : 3 * p.shape[1] // 4] for p in photographs],
                self.train,
                self.size,
                [self.seed, 0],
            ),
            _crops(
                [p[:, 3 * p.shape[1] // 4 :] for p in photographs],
                self.test,
                self.size,
                [self.seed, 1],
            ),
        ]
        train, valid = hold_out(splits[0], self.valid)
        fields = {
            "image": Image((self.size, self.size, 3)),
            "label": Category(2, ("temple", "flower")),
        }
        return Source("photographs", fields, train, valid, splits[1])


def _load() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    return [np.asarray(photograph) for photograph in load_sample_images().images]


def halved(image: np.ndarray, times: int) -> np.ndarray:
    """Means of 2x2 blocks, `times` times; uint8 [H, W, 3]."""
    for _ in range(times):
        h, w = image.shape[0] // 2, image.shape[1] // 2
        image = np.rint(image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).mean((1, 3))).astype(
            np.uint8
        )
    return image


def _crops(parts: list[np.ndarray], n: int, size: int, key: list[int]) -> dict[str, np.ndarray]:
    """n crops at uniform places, from the parts in turn."""
    rng = np.random.Generator(np.random.Philox(key=key))
    crops = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        part = parts[i % len(parts)]
        y, x = (int(rng.integers(0, part.shape[axis] - size + 1)) for axis in (0, 1))
        crops[i] = part[y : y + size, x : x + size]
    return {"image": crops, "label": (np.arange(n) % len(parts)).astype(np.int32)}
