"""Fidelity and diversity of samples by neighbourhoods.

Around each point of one set lies a ball that reaches to its k-th neighbour within that set, with radius r_k.

* Precision is the share of samples in a ball of the real set, recall the share of real examples in a ball of the
  samples (Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 2).
* Density counts the real balls that a sample lies in, coverage the real balls that hold a sample; both use the real
  set's balls alone, which outliers among the samples cannot stretch (Naeem et al. 2020, arXiv:2002.09797, section 3):

  density = 1/(kM) sum_j sum_i 1[|y_j - x_i| <= r_k(x_i)],  coverage = 1/N sum_i 1[some |y_j - x_i| <= r_k(x_i)]

Samples of the real distribution itself have density 1 and coverage 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k)) on average,
whatever the distribution: about 1 - 2^-k for N = M (the same paper).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CELLS = 4_000_000  # of a block of a matrix between two sets: 32 MB in float64 at a time, whatever the sets' sizes


def blocks(a: np.ndarray, b: np.ndarray) -> Iterator[slice]:
    """Slices of a's rows whose matrix against all of b has about CELLS numbers."""
    rows = max(1, CELLS // max(1, len(b)))
    return (slice(i, i + rows) for i in range(0, len(a), rows))


def distances(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks [rows, len(b)] of squared distances between rows of a [N, D] and b [M, D], in their own precision."""
    squares = np.sum(b * b, 1)
    for part in blocks(a, b):
        block = -2.0 * a[part] @ b.T
        block += squares
        block += np.sum(a[part] ** 2, 1)[:, None]
        yield np.maximum(block, 0.0, out=block)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance from each row of x [N, D] to its k-th nearest other row, [N]; ValueError unless 0 < k < N."""
    if not 0 < k < len(x):
        raise ValueError(
            f"the neighbour number {k} needs more than {k} points and k above 0, got {len(x)} points"
        )
    x, found = np.asarray(x, np.float64), []
    for block in distances(x, x):
        for _ in range(
            k
        ):  # strike out the least: for few neighbours 7 times as fast as a partition of each row
            np.put_along_axis(block, block.argmin(1)[:, None], np.inf, 1)
        found.append(block.min(1))
    return np.concatenate(found)


def _inside(x: np.ndarray, centres: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Blocks of rows: is x_j in the ball of centre i, bool [rows, M]."""
    x, centres = np.asarray(x, np.float64), np.asarray(centres, np.float64)
    reach = radii(centres, k)
    return (block <= reach for block in distances(x, centres))


def covered(x: np.ndarray, centres: np.ndarray, k: int = 3) -> float:
    """The share of rows of x [N, D] within a ball around a row of `centres` [M, D]."""
    return float(np.mean(np.concatenate([inside.any(1) for inside in _inside(x, centres, k)])))


def precision_recall(real: np.ndarray, samples: np.ndarray, k: int = 3) -> tuple[float, float]:
    """(precision, recall) of features [N, D] and [M, D]; compare them at equal N and M only."""
    return covered(samples, real, k), covered(real, samples, k)


def density_coverage(real: np.ndarray, samples: np.ndarray, k: int = 5) -> tuple[float, float]:
    """(density, coverage) of features [N, D] and [M, D]; density may exceed 1."""
    count, met = 0, np.zeros(len(real), bool)
    for inside in _inside(samples, real, k):
        count, met = count + int(np.count_nonzero(inside)), met | inside.any(0)
    return count / (k * len(samples)), float(met.mean())
