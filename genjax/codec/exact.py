"""Nets in whole numbers: the same bits on every machine, whatever the order of its sums.

What a decoder is told by a net must be to the last bit what the encoder was told (Ballé et al. 2019, Integer networks).
Here activations and weights are rounded to whole numbers that float64 holds. As long as sums stay below 2^53 every
product and sum of them is exact, so neither threads, nor fused instructions, nor the order of a sum can change it.

An activation a stands for a / FINE, a weight w for w / HEAVY.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genjax.errors import UserError

FINE, HEAVY = 2.0**10, 2.0**14  # powers of two: products with them are exact
MOST = 2.0**53  # up to which float64 holds every whole number
LEAK = 0.125


def whole(x: Any, unit: float = FINE) -> np.ndarray:
    """The nearest whole numbers of so many a unit, as float64."""
    return np.floor(np.asarray(x, np.float64) * unit + 0.5)


def coarser(x: np.ndarray, by: float) -> np.ndarray:
    """Whole numbers of x / by, the halves up; by: a power of two."""
    return np.floor(x / by + 0.5)


def leaky(x: np.ndarray) -> np.ndarray:
    """max(x, x / 8), rounded."""
    small = coarser(x, 1.0 / LEAK)
    return np.maximum(x, small)


def conv(x: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """A convolution of Flax's with zeros around the maps, [H, W, C] -> [H, W, D], both whole.

    UserError where a sum might be too large to be exact.
    """
    kernel = whole(params["kernel"], HEAVY)  # [kh, kw, C, D]
    bias = np.zeros(1)
    if "bias" in params:
        bias = whole(params["bias"], FINE * HEAVY)
    height, width, inputs = x.shape
    side = kernel.shape[0]
    # no sum, nor any part of it, is larger than that of all sizes
    largest = np.abs(x).max(initial=1.0)
    heaviest = np.abs(kernel).sum((0, 1, 2)).max()
    reach = largest * heaviest + np.abs(bias).max()
    # so written that it holds for what is no number too
    if not reach < MOST:
        raise UserError(
            "the weights of this run are too large for whole numbers: its training has gone astray, use another."
        )
    around = side // 2
    rim = (around, around)
    padded = np.pad(x, (rim, rim, (0, 0)))
    total = np.zeros((height * width, kernel.shape[-1]))
    for row in range(side):
        for column in range(side):
            bottom, right = row + height, column + width
            seen = padded[row:bottom, column:right]
            flat = seen.reshape(-1, inputs)
            total += flat @ kernel[row, column]
    total += bias
    made = coarser(total, HEAVY)
    return made.reshape(height, width, -1)


def unfolded(x: np.ndarray, patch: int) -> np.ndarray:
    """[H, W, patch² C] -> [patch H, patch W, C], as `genjax.nets.blocks.depth_to_space`."""
    height, width, channels = x.shape
    inside = channels // (patch * patch)
    parts = x.reshape(
        height,
        width,
        patch,
        patch,
        inside,
    )
    rows = parts.transpose(
        0,
        2,
        1,
        3,
        4,
    )
    return rows.reshape(height * patch, width * patch, inside)


def between(table: Any, rate: float) -> np.ndarray:
    """Row of a table [knots, C] at a rate in [0, 1], in straight lines, float64 [C]."""
    rows = np.asarray(table, np.float64)
    place = rate * (len(rows) - 1)
    first = min(int(place), max(len(rows) - 2, 0))
    second = min(first + 1, len(rows) - 1)
    share = place - first
    # sums and products apart: what is fused elsewhere would round once instead of twice
    low = rows[first] * (1.0 - share)
    high = rows[second] * share
    return low + high
