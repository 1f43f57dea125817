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
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    middle = b.mean(0)
    index = np.concatenate([block.argmin(1) for block in distances(a - middle, b - middle)])
    return np.sqrt(np.sum((a - b[index]) ** 2, 1)), index


def nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance [N] from each row of a [N, D] to the nearest row of b [M, D]."""
    return neighbours(a, b)[0]


def _above(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where a > b, 1/2 where they are equal, 0 elsewhere."""
    return 0.5 * (1.0 + np.sign(a - b))


def closer(samples: np.ndarray, train: np.ndarray, held: np.ndarray, seed: int = 0) -> float:
    """The share of samples [M, D] nearer to training than to held-out examples, a tie counting half.

    `seed` draws as many training examples as there are held-out ones; ValueError where there are fewer.
    """
    if len(train) < len(held):
        raise ValueError(
            f"{len(held)} held-out examples need as many of training, got {len(train)}"
        )
    drawn = np.random.default_rng(seed).permutation(len(train))[: len(held)]
    return float(np.mean(_above(nearest(samples, held), nearest(samples, train[drawn]))))


def authpct(samples: np.ndarray, train: np.ndarray) -> float:
    """The percentage of authentic samples [M, D] for training features [N, D] with N at least 2."""
    apart = np.sqrt(radii(train, 1))
    found, index = neighbours(samples, train)
    return float(100.0 * np.mean(apart[index] < found))


def copying(samples: np.ndarray, train: np.ndarray, held: np.ndarray) -> float:
    """z of the distances to training data of samples [M, D] against those of held-out examples [H, D]."""
    a, b = nearest(samples, train), np.sort(nearest(held, train))
    m, h = len(a), len(b)
    u = (
        0.5 * (np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")).sum()
    )  # pairs with a > b, ties half
    return float((u - m * h / 2) / np.sqrt(m * h * (m + h + 1) / 12))
