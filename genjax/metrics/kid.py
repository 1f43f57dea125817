"""Kernel distance of two sets of features: KID on Inception's (Binkowski et al. 2018, arXiv:1801.01401).

MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y),   k(x, y) = (x.y / D + 1)³

The estimate leaves out each point's kernel with itself and so is unbiased at every n; it may be below 0. Published
figures are means over random subsets, which cost less; the full estimate uses every pair and has the least variance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genjax.metrics.manifold import blocks


class Sums(NamedTuple):
    """Sums of the kernel over pairs: y_j with the other y [M], y_j with all x [M], x_i with the other x []."""

    within: np.ndarray
    across: np.ndarray
    real: float


def _rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """sum_j k(a_i, b_j), [N], in blocks."""
    found = []
    for part in blocks(a, b):
        kernel = a[part] @ b.T
        kernel /= a.shape[1]
        kernel += 1.0
        found.append(np.einsum("ij,ij,ij->i", kernel, kernel, kernel))
    return np.concatenate(found)


def _others(a: np.ndarray) -> np.ndarray:
    """sum of k(a_i, a_j) over j other than i, [N]."""
    return _rows(a, a) - (np.sum(a * a, 1) / a.shape[1] + 1.0) ** 3


def sums(real: np.ndarray, samples: np.ndarray) -> Sums:
    """Of features [N, D] and [M, D] in float64, in bounded memory; ValueError for fewer than two in a set."""
    x, y = np.asarray(real, np.float64), np.asarray(samples, np.float64)
    if min(len(x), len(y)) < 2:
        raise ValueError(
            f"a kernel distance needs at least 2 examples of each, got {len(x)} and {len(y)}"
        )
    return Sums(_others(y), _rows(y, x), float(_others(x).sum()))


def kid(real: np.ndarray, samples: np.ndarray) -> float:
    """The unbiased MMD² over all pairs of features [N, D] and [M, D]: about (N + M)² D operations."""
    n, m, of = len(real), len(samples), sums(real, samples)
    return float(
        of.real / (n * (n - 1)) + of.within.sum() / (m * (m - 1)) - 2.0 * of.across.sum() / (n * m)
    )


def kid_subsets(
    real: np.ndarray, samples: np.ndarray, size: int = 1000, subsets: int = 100, seed: int = 2020
) -> np.ndarray:
    """[subsets] values of `kid` on random subsets of `size`: report their mean and standard deviation.

    The subsets and the defaults are torch-fidelity's (samples drawn first), so that figures can be compared. ValueError
    if a set has fewer than `size` examples.
    """
    if not 2 <= size <= min(len(real), len(samples)) or subsets < 1:
        raise ValueError(
            f"{subsets} subsets of {size} cannot be drawn from {len(real)} and {len(samples)} examples"
        )
    rng, values = np.random.RandomState(seed), []
    for _ in range(subsets):
        y = samples[rng.choice(len(samples), size, replace=False)]
        values.append(kid(real[rng.choice(len(real), size, replace=False)], y))
    return np.array(values)
