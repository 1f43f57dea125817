"""Segmentation without a net, to be compared with: what is most frequent, what is so at a place, a forest of pixels.

A method is a config: `fit` sees training pictures and masks, and returns what gives probabilities [N, H, W, K] of
pictures [N, H, W, C] in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from genjax.config import field
from genjax.errors import at_least

Said = Callable[[np.ndarray], np.ndarray]
NEAR, FAR, ROUGH = (
    3,
    9,
    5,
)  # sides of the squares whose means, and whose deviation, a forest is told [pixels]


@dataclasses.dataclass(frozen=True)
class Majority:
    """How frequent each class is, at every pixel of every picture: its answer is the most frequent one."""

    def check(self) -> None:
        """It has no settings."""

    def fit(self, image: np.ndarray, mask: np.ndarray, classes: int) -> Said:
        counts = np.bincount(mask.ravel(), minlength=classes)
        share = counts / mask.size

        def said(images: np.ndarray) -> np.ndarray:
            shape = (*images.shape[:3], classes)
            return np.broadcast_to(share, shape)

        return said


@dataclasses.dataclass(frozen=True)
class Place:
    """How frequent each class is at a pixel's place, whatever is seen there."""

    def check(self) -> None:
        """It has no settings."""

    def fit(self, image: np.ndarray, mask: np.ndarray, classes: int) -> Said:
        shares = []
        # class by class: one-hot masks of thousands of pictures are gigabytes
        for k in range(classes):
            there = np.mean(mask == k, 0)
            shares.append(there)
        share = np.stack(shares, -1)  # [H, W, K]

        def said(images: np.ndarray) -> np.ndarray:
            shape = (len(images), *share.shape)
            return np.broadcast_to(share, shape)

        return said


def features(image: np.ndarray) -> np.ndarray:
    """What a forest is told of every pixel of pictures [N, H, W, C]: float32 [N, H, W, 4 C + 2].

    Its colour, the mean colours of a small and of a larger square about it, how much colour varies near it, its place.
    """
    from scipy.ndimage import uniform_filter

    def mean(x: np.ndarray, side: int) -> np.ndarray:
        return uniform_filter(x, (1, side, side, 1), mode="nearest")

    n, height, width, _ = image.shape
    square = mean(image * image, ROUGH)
    middle = mean(image, ROUGH)
    variance = square - middle * middle
    # rounding may be below 0
    some = np.maximum(variance, 0.0)
    rows = np.linspace(0.0, 1.0, height)
    columns = np.linspace(0.0, 1.0, width)
    both = np.meshgrid(rows, columns, indexing="ij")
    grid = np.stack(both, -1)
    told = [
        image,
        mean(image, NEAR),
        mean(image, FAR),
        np.sqrt(some),
        # in shares of the sides, so that trees of one size read another
        np.broadcast_to(grid, (n, height, width, 2)),
    ]
    joined = np.concatenate(told, -1)
    return joined.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Forest:
    """Breiman's random forest (2001) on colour, place and means of the neighbourhood, fitted on drawn pixels."""

    trees: int = field(40, "number of trees")
    pixels: int = field(100_000, "training pixels, drawn over all pictures that are given")
    leaf: int = field(5, "fewest training pixels in a leaf")
    seed: int = field(0, "of the draws")

    def check(self) -> None:
        """Raises UserError for sizes below 1."""
        where = "Forest: "
        sizes = {
            "trees": self.trees,
            "pixels": self.pixels,
            "leaf": self.leaf,
        }
        at_least(1, where, **sizes)
        at_least(0, where, seed=self.seed)

    def fit(self, image: np.ndarray, mask: np.ndarray, classes: int) -> Said:
        from sklearn.ensemble import RandomForestClassifier

        told, label = self._drawn(image, mask)
        forest = RandomForestClassifier(
            self.trees,
            min_samples_leaf=self.leaf,
            n_jobs=-1,  # threads, which change no tree
            random_state=self.seed,
        )
        forest.fit(told, label)
        known = forest.classes_

        def said(images: np.ndarray) -> np.ndarray:
            rows = features(images)
            flat = rows.reshape(-1, rows.shape[-1])
            # a class that no drawn pixel had is of no column
            whole = np.zeros((len(flat), classes))
            whole[:, known] = forest.predict_proba(flat)
            return whole.reshape(*images.shape[:3], classes)

        return said

    def _drawn(self, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(what is told [M, D], class [M]) of as many pixels of each picture as make `pixels` together."""
        rng = np.random.default_rng(self.seed)
        each = -(-self.pixels // len(image))  # rounded up
        # small pictures have fewer
        each = min(each, mask[0].size)
        told = []
        labels = []
        # picture by picture: features of all pixels of all would not fit
        for picture, its in zip(image, mask, strict=True):
            places = rng.choice(its.size, each, replace=False)
            rows = features(picture[None])
            flat = rows.reshape(its.size, -1)
            label = its.ravel()
            told.append(flat[places])
            labels.append(label[places])
        return np.concatenate(told), np.concatenate(labels)


Pixelwise = Majority | Place | Forest
