"""The mean of areas under ROC curves that share their test examples, with its interval.

In one against the rest each of K classes is normal once, and every test example is in all K areas: as a normal one in
one of them, as an anomaly in the others. With V the structural components of DeLong et al. (1988) the mean area is a
sum over examples of

    psi_i = 1/K sum_k { V10_k(i) / m_k where i is an anomaly,  V01_k(i) / n_k where it is normal }

and its variance, of a test set with a fixed number n_c of each class, is sum_c n_c Var_c(psi). It is what a bootstrap
within classes tends to, without a draw. A difference of two methods has the differences of their V.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genjax.errors import UserError
from genjax.metrics.intervals import Interval

Scores = Sequence[np.ndarray]  # of each area, [N]


def components(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """V / m of the anomalies and V / n of the normals, [N]: either kind's sum is the area."""
    truth = np.asarray(positive, bool)
    if truth.all() or not truth.any():
        raise UserError("all examples are of one kind: a ranking needs both.")
    high = scores[truth]
    low = scores[~truth]
    wins = _below(high, low)
    # a normal example wins where anomalies lie above it
    won = 1.0 - _below(low, high)
    parts = np.empty(len(truth))
    parts[truth] = wins / len(high)
    parts[~truth] = won / len(low)
    return parts


def _below(scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each score the share of `among` that lies below it, ties by half."""
    ordered = np.sort(among)
    less = np.searchsorted(ordered, scores, "left")
    not_more = np.searchsorted(ordered, scores, "right")
    # the mean of the two counts
    middle = 0.5 * (less + not_more)
    return middle / len(among)


def mean_area(
    scores: Scores,
    truths: Scores,
    strata: np.ndarray,
    level: float = 0.95,
) -> Interval:
    """The mean over K areas of scores [K][N] of one test set, whose classes are strata [N]."""
    parts = []
    for values, truth in zip(scores, truths, strict=True):
        each = components(values, truth)
        parts.append(each)
    return _interval(parts, truths, strata, level)


def mean_difference(
    scores: Scores,
    others: Scores,
    truths: Scores,
    strata: np.ndarray,
    level: float = 0.95,
) -> Interval:
    """The mean area of `scores` less that of `others` on the same examples."""
    parts = []
    for values, other, truth in zip(scores, others, truths, strict=True):
        first = components(values, truth)
        second = components(other, truth)
        # example by example, so that what both find hard cancels
        parts.append(first - second)
    return _interval(parts, truths, strata, level)


def _interval(
    parts: Scores,
    truths: Scores,
    strata: np.ndarray,
    level: float,
) -> Interval:
    """The mean of the areas whose components are given, with a normal interval; none where a class has one example."""
    from scipy.stats import norm

    areas = []
    for each, truth in zip(parts, truths, strict=True):
        positive = np.asarray(truth, bool)
        of_anomalies = each[positive]
        areas.append(of_anomalies.sum())
    value = float(np.mean(areas))
    psi = np.mean(parts, 0)  # [N]
    variance = 0.0
    for name in np.unique(strata):
        within = psi[strata == name]
        if len(within) < 2:  # of one nothing is known
            return Interval(value, np.nan, np.nan)
        variance += len(within) * np.var(within, ddof=1)
    # of the standard normal a share `level` lies within ± quantile
    quantile = norm.ppf((1.0 + level) / 2.0)
    half = float(quantile * np.sqrt(variance))
    low = value - half
    high = value + half
    return Interval(value, low, high)
