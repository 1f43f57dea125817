"""Inception score of a classifier's outputs on samples (Salimans et al. 2016, arXiv:1606.03498, section 4).

IS = exp E KL(p(y | x) || p(y)) = exp(H(E p) - E H(p)),   p(y) = E p(y | x)

It lies between 1 and the number of classes K: each sample of one sure class, and all classes alike. It knows no real
data: memorised or distorted samples that the classifier is sure of score as high as good ones.
"""

from __future__ import annotations

import numpy as np


def inception_score(logits: np.ndarray) -> float:
    """Of logits [N, K], one set as a whole; it is too low at small N, where p(y) fits the samples."""
    from scipy.special import softmax, xlogy

    if len(logits) < 1:
        raise ValueError("no logits to take a score of")
    logits = np.asarray(logits, np.float64)
    p = softmax(logits, 1)  # [N, K], p(y | x)
    mean = p.mean(0)  # [K], p(y)
    # -H of each; xlogy knows that 0 log 0 is 0
    of_each = xlogy(p, p).sum(1)
    of_mean = xlogy(mean, mean).sum()
    return float(np.exp(of_each.mean() - of_mean))


def inception_score_splits(
    logits: np.ndarray, splits: int = 10, seed: int | None = 2020
) -> tuple[float, float]:
    """(mean, standard deviation) over consecutive splits of logits [N, K], as published figures are.

    The rows are shuffled by `seed` first (None = as they lie), since samples are often sorted by class; shuffle, splits
    and defaults are torch-fidelity's. ValueError for fewer rows than splits.
    """
    n = len(logits)
    if not 1 <= splits <= n:
        raise ValueError(
            f"{splits} splits need at least one and no more than there are samples, {n}"
        )
    if seed is not None:
        order = np.random.RandomState(seed).permutation(n)
        logits = logits[order]
    scores = []
    for i in range(splits):
        # bounds like these leave no row out where n is no multiple of `splits`
        start = i * n // splits
        stop = (i + 1) * n // splits
        scores.append(inception_score(logits[start:stop]))
    mean = np.mean(scores)
    deviation = np.std(scores)
    return float(mean), float(deviation)
