"""Intervals of measures over the draw of the samples, for a statistic t given as a function of row indices.

* Percentile bootstrap (Efron & Tibshirani 1993, chapter 13): t of n rows drawn with replacement. For means, shares and
  other statistics that repeated rows do not bias.
* Jackknife over G groups (chapter 11): t without group g, for statistics with a bias c/n, which it takes away:

  t_J = G t - (G - 1) mean_g t_(g),   se² = (G - 1)/G sum_g (t_(g) - mean t_(g))²,   t_J ± Student(G - 1) se

A bootstrap of the Fréchet distance adds the bias of a resample to that of the sample, and repeated rows shrink every
neighbourhood to 0, so distances and recall take the jackknife, which repeats no row. Of 95 % intervals over 200 draws
of 1000 from a Gaussian of 16 dimensions at a known distance 0.22, 0 % of the percentile bootstrap's held it and 97 % of
the jackknife's (at distance 0: 0 % and 100 %).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.metrics.frechet import Moments, distance, moments, root
from genjax.metrics.kid import sums


class Interval(NamedTuple):
    """The estimate and the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    times: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of statistic(rows) for rows [n] of n examples; ValueError for fewer than two."""
    if n < 2 or times < 2:
        raise ValueError(f"a bootstrap needs 2 examples and 2 repeats, got {n} and {times}")
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, n, n)) for _ in range(times)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(np.arange(n))), float(low), float(high))


def _groups(n: int, groups: int, seed: int) -> list[np.ndarray]:
    """n rows shuffled into groups of about equal size."""
    if not 2 <= groups <= n:
        raise ValueError(
            f"a jackknife over {groups} groups needs 2 groups and as many examples, got {n}"
        )
    return np.array_split(np.random.default_rng(seed).permutation(n), groups)


def _jackknifed(whole: float, without: np.ndarray, level: float) -> Interval:
    """Of t and t_(g) [G]."""
    from scipy.stats import t as student

    g, mean = len(without), np.mean(without)
    half = student.ppf((1 + level) / 2, g - 1) * np.sqrt(
        (g - 1) / g * np.sum((without - mean) ** 2)
    )
    value = g * whole - (g - 1) * mean
    return Interval(float(value), float(value - half), float(value + half))


def jackknife(
    statistic: Callable[[np.ndarray], float],
    n: int,
    groups: int = 50,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of statistic(rows) by leaving out groups of n rows drawn by `seed`; its value is free of a bias c/n."""
    parts = _groups(n, groups, seed)
    without = [statistic(np.concatenate(parts[:g] + parts[g + 1 :])) for g in range(groups)]
    return _jackknifed(statistic(np.arange(n)), np.array(without), level)


def frechet_interval(
    real: Moments, samples: np.ndarray, groups: int = 50, level: float = 0.95, seed: int = 0
) -> Interval:
    """Jackknife of the distance of features [N, D] to real moments held fixed: about the distance at N = infinity.

    A group's moments are taken out of the whole's, so that a value costs one eigenvalue problem of D numbers. The bias
    that the real set's own n brings stays. ValueError unless D + 1 samples remain without a group.
    """
    parts = _groups(len(samples), groups, seed)
    if len(samples) - len(parts[0]) <= samples.shape[1]:
        raise ValueError(
            f"{len(samples)} examples less a group are too few for {samples.shape[1]} features"
        )
    whole, root_real = moments(samples), root(real.covariance)
    without = [distance(real, remove(whole, moments(samples[rows])), root_real) for rows in parts]
    return _jackknifed(distance(real, whole, root_real), np.array(without), level)


def remove(whole: Moments, part: Moments) -> Moments:
    """The moments of what remains of a set without a part: the inverse of `merge`."""
    n = whole.n - part.n
    mean = whole.mean + (whole.mean - part.mean) * (part.n / n)
    shift = part.mean - mean
    scatter = (whole.n - 1) * whole.covariance - (part.n - 1) * part.covariance
    return Moments(mean, (scatter - np.outer(shift, shift) * (n * part.n / whole.n)) / (n - 1), n)


def kid_interval(real: np.ndarray, samples: np.ndarray, level: float = 0.95) -> Interval:
    """Jackknife of the full kernel distance without each sample in turn, real features held fixed, from one pass."""
    n, m, of = len(real), len(samples), sums(real, samples)
    if m < 3:
        raise ValueError(f"an interval of a kernel distance needs at least 3 samples, got {m}")
    constant = of.real / (n * (n - 1))
    within, across = of.within.sum(), of.across.sum()
    whole = constant + within / (m * (m - 1)) - 2.0 * across / (n * m)
    without = (within - 2.0 * of.within) / ((m - 1) * (m - 2)) - 2.0 * (across - of.across) / (
        n * (m - 1)
    )
    return _jackknifed(whole, constant + without, level)


def share(hits: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's interval (1927) of a share of n independent samples of which `hits` have a property.

    Of recall, coverage and `closer` it is a rough one: their members share neighbourhoods. Of `closer` it holds 1/2 in
    about 91 % of honest cases for as many samples as held-out examples, and in fewer for more samples.
    """
    from scipy.stats import norm

    if n < 1:
        raise ValueError("a share of no samples")
    p, z2 = hits / n, norm.ppf((1 + level) / 2) ** 2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(
        float(p), float(min(middle - half, p)), float(max(middle + half, p))
    )  # rounding aside, p is inside
