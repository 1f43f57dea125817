"""Precision and recall of samples by neighbourhoods (Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 2).

Around each point of one set lies a ball that reaches to its k-th neighbour within that set. Precision is the share of
samples in a ball of the real set, recall the share of real examples in a ball of the samples.
"""

from __future__ import annotations

import numpy as np

ROWS = 1000  # of a block of the matrix of distances: memory for ROWS * N numbers at a time


def _distances(a: np.ndarray, b: np.ndarray):
    """Blocks [ROWS, len(b)] of squared distances between rows of a [N, D] and b."""
    squares = np.sum(b * b, 1)
    for i in range(0, len(a), ROWS):
        block = a[i : i + ROWS]
        yield np.maximum(np.sum(block * block, 1)[:, None] + squares - 2.0 * block @ b.T, 0.0)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance from each row of x [N, D] to its k-th nearest other row, [N]; ValueError unless 0 < k < N."""
    if not 0 < k < len(x):
        raise ValueError(f"the neighbour number {k} needs more than {k} points and k above 0, got {len(x)} points")
    return np.concatenate([np.partition(block, k, 1)[:, k] for block in _distances(x, x)])


def covered(x: np.ndarray, centres: np.ndarray, k: int = 3) -> float:
    """The share of rows of x [N, D] within a ball around a row of `centres` [M, D]."""
    x, centres = np.asarray(x, np.float64), np.asarray(centres, np.float64)
    reach = radii(centres, k)
    return float(np.mean(np.concatenate([(block <= reach).any(1) for block in _distances(x, centres)])))


def precision_recall(real: np.ndarray, samples: np.ndarray, k: int = 3) -> tuple[float, float]:
    """(precision, recall) of features [N, D] and [M, D]; compare them at equal N and M only."""
    return covered(samples, real, k), covered(real, samples, k)
