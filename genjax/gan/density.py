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
    # A fifth of a second: only for who measures.
    from scipy.ndimage import gaussian_filter, map_coordinates

    n = len(points)
    cell = bandwidth / 4.0  # so b is 4 cells wide
    margin = 8.0 * bandwidth  # what lies outside has its tails inside
    low = low - margin
    width = high + margin - low
    bins = np.ceil(width / cell).astype(int)
    top = low + bins * cell  # whole cells
    ends = np.stack([low, top], -1)
    counts, *_ = np.histogram2d(*points.T, bins, ends)

    def blurred(values):
        return gaussian_filter(values, 4.0, mode="constant", truncate=6.0)

    # Blurred twice it is the Gaussian of 2 b²; K is twice the one less the other.
    once = blurred(counts / (n * cell**2))
    density = 2.0 * once - blurred(once)

    # Value i of the grid stands at the middle of its cell, i + 1/2 cells from the edge.
    places = (at - low) / cell - 0.5
    q = map_coordinates(density, places.T, order=1, mode="constant")

    own = 3.0 / (
        4.0 * math.pi * bandwidth**2
    )  # K(0), what a point adds to the density at itself
    without_own = density - own / n
    others = float(np.sum(counts * without_own)) / (n - 1)
    squares = float(np.sum(density**2))
    integral = squares * cell**2
    return q, integral - 2.0 * others


def fitted_density(
    points: np.ndarray,
    at: np.ndarray,
    bandwidths: Sequence[float],
    low: np.ndarray,
    high: np.ndarray,
):
    """(q [M] at `at`, the bandwidth): of the given ones that of the least squared error."""

    def tried(bandwidth):
        q, error = kernel_density(points, at, bandwidth, low, high)
        return error, bandwidth, q

    _, bandwidth, q = min(map(tried, bandwidths), key=lambda one: one[0])
    return q, float(bandwidth)
