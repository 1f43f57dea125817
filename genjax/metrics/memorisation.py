"""Are samples copies of training data? Distances to the nearest training example, on any features.

* `closer`: the share of samples nearer to the training data than to as many held-out data. Without memorisation both
  sets are draws of one distribution, so 1/2 is expected, and 1 of copies. Of a training set T times as large as the
  held-out one only 1/T is looked at, and all copies give 1/2 + 1/(2T): read the other two beside it.
* `authpct` (Alaa et al. 2022, arXiv:2102.08921): a sample is authentic if it is farther from its nearest
  training example x than x from its own nearest one: d(x, x') < d(x, y). 0 % of copies. Honest samples do not reach
  100 %: about 33 % on a line, 38 % in a plane, 85 % of a normal in 64 dimensions; compare with held-out data's.
* `copying` (C_T of Meehan et al. 2020, arXiv:2004.05675, with one cell): do samples lie nearer to the training data
  than held-out data do? The z-score of the Mann-Whitney U statistic: N(0, 1) without memorisation, far below 0 with it,
  far above 0 for samples off the data. With one cell, copies in one region can hide behind bad samples in another.
"""

from __future__ import annotations

import numpy as np

from genjax.metrics.manifold import distances, radii


def neighbours(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] from each row of a [N, D] to the nearest row of b [M, D], and that row's index [N].

    The search is around b's mean, where squares are small and little cancels; the distance found is measured anew, so
    that copies are at 0 and equal distances compare as equal.
    """
    if len(b) < 1:
        raise ValueError("no examples to be near to")
    a = np.asarray(a, np.float64)
    b = np.asarray(b, np.float64)
    # far from the origin |a|² + |b|² - 2 a.b would be a small difference of large numbers
    middle = b.mean(0)
    found = []
    for block in distances(a - middle, b - middle):
        found.append(block.argmin(1))
    index = np.concatenate(found)  # [N]
    # those squares carry rounding: a copy's would not be 0
    difference = a - b[index]  # [N, D]
    squares = np.sum(difference**2, 1)
    return np.sqrt(squares), index


def nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance [N] from each row of a [N, D] to the nearest row of b [M, D]."""
    distance, _ = neighbours(a, b)
    return distance


def _above(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where a > b, 1/2 where they are equal, 0 elsewhere."""
    sign = np.sign(a - b)
    return 0.5 * (1.0 + sign)


def closer(
    samples: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    seed: int = 0,
) -> float:
    """The share of samples [M, D] nearer to training than to held-out examples, a tie counting half.

    `seed` draws as many training examples as there are held-out ones; ValueError where there are fewer.
    """
    if len(train) < len(held):
        raise ValueError(
            f"{len(held)} held-out examples need as many of training, got {len(train)}"
        )
    # of two sets of unlike size the larger one holds the nearest example more often
    order = np.random.default_rng(seed).permutation(len(train))
    first = order[: len(held)]
    drawn = train[first]
    to_held = nearest(samples, held)  # [M]
    to_train = nearest(samples, drawn)
    nearer_to_train = _above(to_held, to_train)
    return float(np.mean(nearer_to_train))


def authpct(samples: np.ndarray, train: np.ndarray) -> float:
    """The percentage of authentic samples [M, D] for training features [N, D] with N at least 2."""
    apart = np.sqrt(radii(train, 1))  # [N], d(x, x') of every training example
    found, index = neighbours(samples, train)  # [M], d(x, y) and which x
    authentic = apart[index] < found
    return float(100.0 * np.mean(authentic))


def copying(
    samples: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
) -> float:
    """z of the distances to training data of samples [M, D] against those of held-out examples [H, D]."""
    a = nearest(samples, train)
    b = np.sort(nearest(held, train))
    m = len(a)
    h = len(b)
    # U counts the pairs with a > b, ties half: those with b < a and those with b <= a, halved
    below = np.searchsorted(b, a, "left")
    not_above = np.searchsorted(b, a, "right")
    u = 0.5 * (below + not_above).sum()
    # under one distribution U is about normal with these two
    expected = m * h / 2
    variance = m * h * (m + h + 1) / 12
    z = (u - expected) / np.sqrt(variance)
    return float(z)
