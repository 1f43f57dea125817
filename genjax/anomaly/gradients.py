"""Histograms of the directions of edges in cells of a picture: rows for scorers that need no training.

After Dalal & Triggs 2005 ("Histograms of Oriented Gradients for Human Detection"): each pixel's gradient is shared out
between the two nearest directions and, by a tent as wide as two cells, between the nearest cells. In the place of their
normalised blocks the root of each number is taken, so that a strong edge counts more than a weak one, but not as much.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.errors import UserError, above, at_least

CHUNK = 1000  # pictures at a time: each has a map for every direction


@dataclasses.dataclass(frozen=True)
class Gradients:
    """Pictures -> rows, by cells of several sizes."""

    cells: tuple[int, ...] = field((4, 7), "sides of the cells [pixels]")
    directions: int = field(8, "of edges, over half a turn")
    power: float = field(0.5, "of each number of a histogram")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for what is no picture, and for cells that it does not hold."""
        at_least(2, "Gradients: ", directions=self.directions)
        above(0, "Gradients: ", power=self.power)
        if len(shape) != 3:
            raise UserError(f"gradients are of pictures [H, W, C], got {shape}.")
        if not self.cells or min(self.cells) < 1 or max(self.cells) > min(shape[:2]):
            raise UserError(
                f"Gradients: cells={self.cells} must be sizes from 1 to the side of a picture, {shape}."
            )

    def __call__(self, pictures: Any) -> np.ndarray:
        """float32 [N, D] of pictures [N, H, W, C], bytes or floats in [0, 1]; colours are averaged."""
        self.check(np.shape(pictures)[1:])
        parts = []
        for start in range(0, len(pictures), CHUNK):
            part = np.asarray(pictures[start : start + CHUNK])
            parts.append(self._rows(part))
        return np.concatenate(parts)

    def _rows(self, pictures: np.ndarray) -> np.ndarray:
        scale = 255.0 if pictures.dtype == np.uint8 else 1.0
        grey = pictures.astype(np.float32).mean(-1) / scale  # [N, H, W]
        maps = directed(grey, self.directions)
        rows = []
        for cell in self.cells:
            histogram = pooled(maps, cell)
            flat = histogram.reshape(len(grey), -1)
            rows.append(flat**self.power)
        return np.concatenate(rows, 1)


def directed(grey: np.ndarray, directions: int) -> np.ndarray:
    """The strength of edges in each direction, [N, directions, H, W], of pictures [N, H, W]; black lies around them."""
    wide = np.pad(grey, ((0, 0), (1, 1), (1, 1)))
    down = wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]
    right = wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]
    strength = np.hypot(down, right)
    # an edge and its negative are one direction
    angle = np.arctan2(down, right) % np.pi
    place = angle * (directions / np.pi)
    maps = []
    for k in range(directions):
        away = np.abs(place - k)
        # the last direction is next to the first
        away = np.minimum(away, directions - away)
        share = np.maximum(1.0 - away, 0.0)
        maps.append(share * strength)
    return np.stack(maps, 1).astype(np.float32)


def pooled(maps: np.ndarray, cell: int) -> np.ndarray:
    """Maps [N, K, H, W] as means over cells that overlap by half, [N, K, h, w]: weights fall off linearly."""
    height, width = maps.shape[2:]
    down = tents(height, cell)  # [h, H]
    right = tents(width, cell)
    return np.einsum("ah,nkhw,bw->nkab", down, maps, right, optimize=True)


def tents(side: int, cell: int) -> np.ndarray:
    """Weights [cells, side] of the pixels of a line, 0 from one cell away from a cell's middle; each sums to 1."""
    count = max(round(side / cell), 1)
    middles = (np.arange(count) + 0.5) * side / count
    pixels = np.arange(side) + 0.5
    away = np.abs(middles[:, None] - pixels) / cell
    weight = np.maximum(1.0 - away, 0.0)
    total = weight.sum(1, keepdims=True)
    return (weight / total).astype(np.float32)
