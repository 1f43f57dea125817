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
    columns = max(1, len(b))
    rows = max(1, CELLS // columns)  # at least one, however large b is
    return (slice(start, start + rows) for start in range(0, len(a), rows))


def distances(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks [rows, len(b)] of squared distances between rows of a [N, D] and b [M, D], in their own precision."""
    squares_b = np.sum(b * b, 1)  # [M]
    for part in blocks(a, b):
        rows = a[part]
        # |a - b|² = -2 a.b + |b|² + |a|², in place: a block is large
        block = -2.0 * rows @ b.T
        block += squares_b
        squares_a = np.sum(rows**2, 1)
        block += squares_a[:, None]
        # rounding may leave the square of a small distance below 0
        yield np.maximum(block, 0.0, out=block)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance from each row of x [N, D] to its k-th nearest other row, [N]; ValueError unless 0 < k < N."""
    n = len(x)
    if not 0 < k < n:
        raise ValueError(
            f"the neighbour number {k} needs more than {k} points and k above 0, got {n} points"
        )
    x = np.asarray(x, np.float64)
    found = []
    for block in distances(x, x):
        # strike out the least k times (the first is the point itself, at 0), and the least of the rest is the k-th
        # neighbour: for few neighbours 7 times as fast as a partition of each row
        for _ in range(k):
            least = block.argmin(1)[:, None]
            np.put_along_axis(block, least, np.inf, 1)
        found.append(block.min(1))
    return np.concatenate(found)


def _inside(x: np.ndarray, centres: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Blocks of rows: is x_j in the ball of centre i, bool [rows, M]."""
    x = np.asarray(x, np.float64)
    centres = np.asarray(centres, np.float64)
    reach = radii(centres, k)  # [M], r_k squared, as the distances are
    return (block <= reach for block in distances(x, centres))


def covered(x: np.ndarray, centres: np.ndarray, k: int = 3) -> float:
    """The share of rows of x [N, D] within a ball around a row of `centres` [M, D]."""
    found = []
    for inside in _inside(x, centres, k):
        found.append(inside.any(1))
    in_some = np.concatenate(found)  # [N]
    return float(np.mean(in_some))


def precision_recall(
    real: np.ndarray,
    samples: np.ndarray,
    k: int = 3,
) -> tuple[float, float]:
    """(precision, recall) of features [N, D] and [M, D]; compare them at equal N and M only."""
    # eq. 2: the same function with the roles exchanged
    precision = covered(samples, real, k)
    recall = covered(real, samples, k)
    return precision, recall


def density_coverage(
    real: np.ndarray,
    samples: np.ndarray,
    k: int = 5,
) -> tuple[float, float]:
    """(density, coverage) of features [N, D] and [M, D]; density may exceed 1."""
    n = len(real)
    m = len(samples)
    pairs = 0  # (i, j) with sample j in the ball of real example i
    met = np.zeros(n, bool)  # real balls that hold a sample
    for inside in _inside(samples, real, k):
        pairs += int(np.count_nonzero(inside))
        met |= inside.any(0)
    density = pairs / (k * m)
    coverage = float(met.mean())
    return density, coverage
