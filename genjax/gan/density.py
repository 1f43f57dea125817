"""The density of a generator of points of the plane, from its samples: a kernel chosen by how many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def kernel_density(
    points: np.ndarray, at: np.ndarray, bandwidth: float, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, float]:
    """(q [M] at the places `at` within the box low..high, its squared error + a constant) from points [N, 2].

    The kernel is K = 2 N(0, b²) - N(0, 2 b²), b the bandwidth: its bias is of order b⁴ for b², and far out q may fall
    below 0. The variance is 11 q / (24 pi b² N). The error is that of cross-validation, the integral of q² less twice
    the mean of q at each point from the others (Rudemo 1982). The points are counted on a grid first.
    """
    from scipy.ndimage import (
        gaussian_filter,
        map_coordinates,
    )  # a fifth of a second: only for who measures

    n, cell, low = (
        len(points),
        bandwidth / 4.0,
        low - 8.0 * bandwidth,
    )  # what lies outside has its tails inside
    bins = np.ceil((high + 8.0 * bandwidth - low) / cell).astype(int)
    counts = np.histogram2d(*points.T, bins, np.stack([low, low + bins * cell], -1))[0]
    once = gaussian_filter(counts / (n * cell**2), 4.0, mode="constant", truncate=6.0)
    density = 2.0 * once - gaussian_filter(once, 4.0, mode="constant", truncate=6.0)
    q = map_coordinates(density, ((at - low) / cell - 0.5).T, order=1, mode="constant")
    own = 3.0 / (4.0 * math.pi * bandwidth**2)  # K(0)
    others = float(np.sum(counts * (density - own / n))) / (n - 1)
    return q, float(np.sum(density**2)) * cell**2 - 2.0 * others


def fitted_density(
    points: np.ndarray,
    at: np.ndarray,
    bandwidths: Sequence[float],
    low: np.ndarray,
    high: np.ndarray,
):
    """(q [M] at `at`, the bandwidth): of the given ones that of the least squared error."""
    found = ((b, *kernel_density(points, at, b, low, high)) for b in bandwidths)
    bandwidth, q, _ = min(found, key=lambda one: one[2])
    return q, float(bandwidth)
