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
    _, dimensions = a.shape
    found = []
    for part in blocks(a, b):
        # in place: a block is large
        kernel = a[part] @ b.T
        kernel /= dimensions
        kernel += 1.0
        # the cube and the sum over j at once, without another block
        cubes = np.einsum("ij,ij,ij->i", kernel, kernel, kernel)
        found.append(cubes)
    return np.concatenate(found)


def _others(a: np.ndarray) -> np.ndarray:
    """sum of k(a_i, a_j) over j other than i, [N]."""
    _, dimensions = a.shape
    squares = np.sum(a * a, 1)
    itself = (squares / dimensions + 1.0) ** 3  # k(a_i, a_i)
    return _rows(a, a) - itself


def sums(real: np.ndarray, samples: np.ndarray) -> Sums:
    """Of features [N, D] and [M, D] in float64, in bounded memory; ValueError for fewer than two in a set."""
    x = np.asarray(real, np.float64)
    y = np.asarray(samples, np.float64)
    n = len(x)
    m = len(y)
    if min(n, m) < 2:
        raise ValueError(
            f"a kernel distance needs at least 2 examples of each, got {n} and {m}"
        )
    within = _others(y)
    across = _rows(y, x)
    among_real = _others(x).sum()
    return Sums(within, across, float(among_real))


def kid(real: np.ndarray, samples: np.ndarray) -> float:
    """The unbiased MMD² over all pairs of features [N, D] and [M, D]: about (N + M)² D operations."""
    n = len(real)
    m = len(samples)
    of = sums(real, samples)
    # the three expectations of the formula, each a mean over its ordered pairs
    among_real = of.real / (n * (n - 1))
    among_samples = of.within.sum() / (m * (m - 1))
    across = 2.0 * of.across.sum() / (n * m)
    return float(among_real + among_samples - across)


def kid_subsets(
    real: np.ndarray,
    samples: np.ndarray,
    size: int = 1000,
    subsets: int = 100,
    seed: int = 2020,
) -> np.ndarray:
    """[subsets] values of `kid` on random subsets of `size`: report their mean and standard deviation.

    The subsets and the defaults are torch-fidelity's (samples drawn first), so that figures can be compared. ValueError
    if a set has fewer than `size` examples.
    """
    n = len(real)
    m = len(samples)
    fits = 2 <= size <= min(n, m)
    if not fits or subsets < 1:
        raise ValueError(
            f"{subsets} subsets of {size} cannot be drawn from {n} and {m} examples"
        )
    rng = np.random.RandomState(seed)  # the old generator, as torch-fidelity has it
    values = []
    for _ in range(subsets):
        # in this order: another one draws other subsets
        of_samples = rng.choice(m, size, replace=False)
        of_real = rng.choice(n, size, replace=False)
        values.append(kid(real[of_real], samples[of_samples]))
    return np.array(values)
