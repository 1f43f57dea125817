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
    values = []
    for _ in range(times):
        rows = rng.integers(0, n, n)  # with replacement
        values.append(statistic(rows))
    ends = [(1 - level) / 2, (1 + level) / 2]  # what lies outside is the same on both sides
    low, high = np.quantile(values, ends)
    value = statistic(np.arange(n))
    return Interval(float(value), float(low), float(high))


def of_mean(values: np.ndarray, level: float = 0.95) -> Interval:
    """The mean of values [N] with Student's interval, for few of them too. ValueError for fewer than two."""
    from scipy.stats import t as student

    n = len(values)
    if n < 2:
        raise ValueError(f"an interval of a mean needs 2 values, got {n}")
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(n)
    half = student.ppf((1 + level) / 2, n - 1) * error
    mean = values.mean()
    return Interval(float(mean), float(mean - half), float(mean + half))


def of_ratio(above: np.ndarray, below: np.ndarray, level: float = 0.95) -> Interval:
    """mean(above) / mean(below) of values of the same examples, [N] each, with a bootstrap's interval over these."""

    def of(rows: np.ndarray) -> float:
        # an example that is hard for the one is hard for the other
        return float(above[rows].mean() / below[rows].mean())

    return bootstrap(of, len(above), 500, level)


def of_both(values: np.ndarray, level: float = 0.95) -> Interval:
    """The mean of values [D, N], of D draws of one thing and N of another, for new draws of both.

    se^2 = var_d(mean_n) / D + var_n(mean_d) / N, in which what is of neither alone counts twice, so that it is a little
    too wide; Student's quantile of Satterthwaite's degrees of freedom (1946). ValueError for fewer than two of either.
    """
    from scipy.stats import t as student

    least = min(values.shape)
    if least < 2:
        raise ValueError(
            f"an interval over rows and columns needs 2 of each, got {values.shape}"
        )
    parts = []
    squares = 0.0
    for means in (values.mean(1), values.mean(0)):
        part = np.var(means, ddof=1) / len(means)
        parts.append(part)
        squares += part**2 / (len(means) - 1)
    variance = sum(parts)
    value = float(values.mean())
    if not variance > 0:
        # all alike: nothing varies of which one could be unsure
        return Interval(value, value, value)
    freedom = variance**2 / squares
    half = student.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return Interval(value, float(value - half), float(value + half))


def _groups(n: int, groups: int, seed: int) -> list[np.ndarray]:
    """n rows shuffled into groups of about equal size."""
    if not 2 <= groups <= n:
        raise ValueError(
            f"a jackknife over {groups} groups needs 2 groups and as many examples, got {n}"
        )
    # shuffled, as samples are often sorted by class
    order = np.random.default_rng(seed).permutation(n)
    return np.array_split(order, groups)


def _jackknifed(
    whole: float,  # t
    without: np.ndarray,  # t_(g), [G]
    level: float,
    freedom: float | None = None,
) -> Interval:
    """t_J with Student's interval: the formula above, or another number of degrees of freedom than G - 1."""
    from scipy.stats import t as student

    g = len(without)
    mean = np.mean(without)
    deviations = without - mean
    error = np.sqrt((g - 1) / g * np.sum(deviations**2))  # se
    # g values of like weight give g - 1 degrees of freedom
    degrees = g - 1 if freedom is None else freedom
    quantile = student.ppf((1 + level) / 2, degrees)
    half = quantile * error
    value = g * whole - (g - 1) * mean
    low = value - half
    high = value + half
    return Interval(float(value), float(low), float(high))


def jackknife(
    statistic: Callable[[np.ndarray], float],
    n: int,
    groups: int = 50,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of statistic(rows) by leaving out groups of n rows drawn by `seed`; its value is free of a bias c/n."""
    parts = _groups(n, groups, seed)
    without = []
    for g in range(groups):
        others = parts[:g] + parts[g + 1 :]
        rows = np.concatenate(others)
        without.append(statistic(rows))
    whole = statistic(np.arange(n))
    return _jackknifed(whole, np.array(without), level)


def by_group(
    statistic: Callable[[np.ndarray], float],
    groups: list[np.ndarray],
    level: float = 0.95,
    freedom: float | None = None,
) -> Interval:
    """statistic(rows) of all rows with the jackknife's interval over groups, each the rows of what belongs together.

    For few groups, of which a percentile bootstrap is too narrow. `freedom` is Student's, of G groups of like size
    G - 1. ValueError for fewer than two.
    """
    g = len(groups)
    if g < 2:
        raise ValueError(f"an interval over groups needs 2 of them, got {g}")
    without = []
    for left_out in range(g):
        others = groups[:left_out] + groups[left_out + 1 :]
        rows = np.concatenate(others)
        without.append(statistic(rows))
    whole = statistic(np.concatenate(groups))
    value, low, high = _jackknifed(whole, np.array(without), level, freedom)
    # of means the bias is nothing: the interval lies about the mean itself
    return Interval(float(whole), low + whole - value, high + whole - value)


def frechet_interval(
    real: Moments,
    samples: np.ndarray,
    groups: int = 50,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Jackknife of the distance of features [N, D] to real moments held fixed: about the distance at N = infinity.

    A group's moments are taken out of the whole's, so that a value costs one eigenvalue problem of D numbers. The bias
    that the real set's own n brings stays. ValueError unless D + 1 samples remain without a group.
    """
    n, dimensions = samples.shape
    parts = _groups(n, groups, seed)
    # the first group is the largest; as many examples as dimensions have a covariance without full rank
    remaining = n - len(parts[0])
    if remaining <= dimensions:
        raise ValueError(f"{n} examples less a group are too few for {dimensions} features")
    all_samples = moments(samples)
    root_real = root(real.covariance)  # once: the real moments are held fixed
    without = []
    for rows in parts:
        group = moments(samples[rows])
        rest = remove(all_samples, group)
        without.append(distance(real, rest, root_real))
    whole = distance(real, all_samples, root_real)
    return _jackknifed(whole, np.array(without), level)


def remove(whole: Moments, part: Moments) -> Moments:
    """The moments of what remains of a set without a part: the inverse of `merge`."""
    n = whole.n - part.n
    away = whole.mean - part.mean
    mean = whole.mean + away * (part.n / n)
    # (n - 1) C of the rest is the whole's less the part's and less what their means lie apart
    shift = part.mean - mean
    scatter_whole = (whole.n - 1) * whole.covariance
    scatter_part = (part.n - 1) * part.covariance
    between = np.outer(shift, shift) * (n * part.n / whole.n)
    scatter = scatter_whole - scatter_part - between
    return Moments(mean, scatter / (n - 1), n)


def kid_interval(real: np.ndarray, samples: np.ndarray, level: float = 0.95) -> Interval:
    """Jackknife of the full kernel distance without each sample in turn, real features held fixed, from one pass."""
    n = len(real)
    m = len(samples)
    of = sums(real, samples)
    if m < 3:
        raise ValueError(f"an interval of a kernel distance needs at least 3 samples, got {m}")
    constant = of.real / (n * (n - 1))  # among the real examples alone
    within = of.within.sum()
    across = of.across.sum()
    whole = constant + within / (m * (m - 1)) - 2.0 * across / (n * m)
    # each sample is in two ordered pairs with every other sample, and in one with every real example
    within_rest = within - 2.0 * of.within  # [M]
    across_rest = across - of.across
    pairs_within = (m - 1) * (m - 2)
    pairs_across = n * (m - 1)
    without = within_rest / pairs_within - 2.0 * across_rest / pairs_across
    return _jackknifed(whole, constant + without, level)


def share(hits: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's interval (1927) of a share of n independent samples of which `hits` have a property.

    Of recall, coverage and `closer` it is a rough one: their members share neighbourhoods. Of `closer` it holds 1/2 in
    about 91 % of honest cases for as many samples as held-out examples, and in fewer for more samples.
    """
    from scipy.stats import norm

    if n < 1:
        raise ValueError("a share of no samples")
    p = hits / n
    z2 = norm.ppf((1 + level) / 2) ** 2
    # the shares q with |p - q| <= z sqrt(q (1 - q) / n): a quadratic in q, solved
    scale = 1 + z2 / n
    middle = (p + z2 / (2 * n)) / scale
    under_root = p * (1 - p) / n + z2 / (4 * n * n)
    half = np.sqrt(z2 * under_root) / scale
    # rounding aside, p is inside
    low = min(middle - half, p)
    high = max(middle + half, p)
    return Interval(float(p), float(low), float(high))


def matched(only_first: int, only_second: int, n: int, level: float = 0.95) -> Interval:
    """The difference of two shares of the same n examples, of how many are in the one share only and in the other only.

    Wald's interval after 1/2 is added to each cell of the 2 x 2 table (Agresti & Min 2005, Statistics in Medicine 24,
    729-740); a bootstrap of few that differ is too narrow, and of none it is a point. ValueError for none.
    """
    from scipy.stats import norm

    if n < 1:
        raise ValueError("a difference of shares of no examples")
    b, c, total = only_first + 0.5, only_second + 0.5, n + 2
    # the middle lies nearer to 0 than the difference itself, which stays inside
    middle = (b - c) / total
    variance = (b + c - (b - c) ** 2 / total) / total**2
    half = norm.ppf((1 + level) / 2) * np.sqrt(variance)
    low = max(middle - half, -1.0)
    high = min(middle + half, 1.0)
    return Interval((only_first - only_second) / n, float(low), float(high))
