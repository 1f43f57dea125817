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

    # fine ones see where an edge is, coarse ones forgive that it has moved
    cells: tuple[int, ...] = field((4, 7), "sides of the cells [pixels]")
    directions: int = field(8, "of edges, over half a turn")
    power: float = field(0.5, "of each number of a histogram")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for what is no picture, and for cells that it does not hold."""
        where = "Gradients: "
        at_least(2, where, directions=self.directions)
        above(0, where, power=self.power)
        if len(shape) != 3:
            raise UserError(f"gradients are of pictures [H, W, C], got {shape}.")
        sizes = self.cells or (0,)  # none at all is as wrong as a size of 0
        side = min(shape[:2])
        if min(sizes) < 1 or max(sizes) > side:
            raise UserError(
                f"Gradients: cells={self.cells} must be sizes from 1 to the side of a picture, {side}: with "
                "--finish.Anomalies.gradients.cells='(4,)' for instance."
            )

    def __call__(self, pictures: Any) -> np.ndarray:
        """float32 [N, D] of pictures [N, H, W, C], bytes or floats in [0, 1]; colours are averaged."""
        shape = np.shape(pictures)
        self.check(shape[1:])
        parts = []
        for start in range(0, len(pictures), CHUNK):
            stop = start + CHUNK
            part = np.asarray(pictures[start:stop])
            parts.append(self._rows(part))
        return np.concatenate(parts)

    def _rows(self, pictures: np.ndarray) -> np.ndarray:
        """All of it for a few pictures."""
        bytes_ = pictures.dtype == np.uint8
        scale = 255.0 if bytes_ else 1.0
        colour = pictures.astype(np.float32)
        grey = colour.mean(-1) / scale  # [N, H, W]
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
    inner = slice(1, -1)
    # central differences
    down = wide[:, 2:, inner] - wide[:, :-2, inner]
    right = wide[:, inner, 2:] - wide[:, inner, :-2]
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right)
    # an edge from dark to light is one from light to dark
    half_turn = angle % np.pi
    place = half_turn * (directions / np.pi)
    maps = []
    for k in range(directions):
        away = np.abs(place - k)
        # the last direction is next to the first
        round_ = directions - away
        nearest = np.minimum(away, round_)
        share = np.maximum(1.0 - nearest, 0.0)
        maps.append(share * strength)
    found = np.stack(maps, 1)
    return found.astype(np.float32)


def pooled(maps: np.ndarray, cell: int) -> np.ndarray:
    """Maps [N, K, H, W] as means over cells that overlap by half, [N, K, h, w]: weights fall off linearly."""
    height, width = maps.shape[2:]
    down = tents(height, cell)  # [h, H]
    right = tents(width, cell)  # [w, W]
    # two products of matrices, which are quick
    rows = down @ maps  # [N, K, h, W]
    return rows @ right.T


def tents(side: int, cell: int) -> np.ndarray:
    """Weights [cells, side] of the pixels of a line, 0 from one cell away from a cell's middle; each sums to 1."""
    count = max(round(side / cell), 1)
    cells = np.arange(count) + 0.5
    # spread evenly, also where cells do not divide the side
    middles = cells * (side / count)
    pixels = np.arange(side) + 0.5
    apart = np.abs(middles[:, None] - pixels)
    weight = np.maximum(1.0 - apart / cell, 0.0)
    total = weight.sum(1, keepdims=True)
    share = weight / total
    return share.astype(np.float32)
