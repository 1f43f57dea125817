"""Intervals hold what they promise: the coverage of a known truth over repeated draws, and quick ways as the slow."""

import numpy as np
import pytest
import scipy.stats

from genjax.metrics.frechet import Moments, distance, frechet, moments, root
from genjax.metrics.intervals import (
    bootstrap,
    by_group,
    frechet_interval,
    jackknife,
    kid_interval,
    matched,
    of_both,
    of_mean,
    of_ratio,
    share,
)
from genjax.metrics.kid import kid


def coverage(intervals, truth) -> float:
    found = float(np.mean([i.low <= truth <= i.high for i in intervals]))
    print(f"\ncoverage {found:.3f} of {len(intervals)}")
    return found


def test_bootstrap_of_a_mean():
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(200, 60))
    found = [bootstrap(lambda i, x=x: x[i].mean(), 60, times=300) for x in draws]
    assert 0.88 < coverage(found, 1.0) < 0.98
    width = np.mean([i.high - i.low for i in found])
    assert width == pytest.approx(2 * 1.96 * np.mean(draws.std(1)) / np.sqrt(60), rel=0.05)
    assert found[0].value == draws[0].mean()
    with pytest.raises(ValueError, match="2 examples"):
        bootstrap(np.sum, 1)


def test_the_interval_of_a_few_groups_covers_the_mean_and_a_percentile_bootstrap_does_not():
    rng = np.random.default_rng(0)
    sizes = (1, 2, 3, 4, 2, 1, 5, 6)  # rows of one scene are alike
    groups = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    number = np.repeat(np.arange(len(sizes)), sizes)
    found, narrow = [], []
    for _ in range(400):
        x = rng.normal(size=len(sizes))[number] + 0.3 * rng.normal(size=sum(sizes))
        found.append(by_group(lambda rows, x=x: x[rows].mean(), groups))
        drawn = lambda i, x=x: x[np.concatenate([groups[j] for j in i])].mean()  # noqa: E731
        narrow.append(bootstrap(drawn, len(groups), times=200))
    assert found[0].value == narrow[0].value
    assert 0.91 < coverage(found, 0.0) < 0.98 and coverage(narrow, 0.0) < 0.91
    with pytest.raises(ValueError, match="2 of them"):
        by_group(np.mean, groups[:1])


def test_the_interval_of_a_mean_is_students():
    x = np.random.default_rng(0).exponential(size=9)
    found = of_mean(x)
    low, high = scipy.stats.t.interval(0.95, 8, x.mean(), scipy.stats.sem(x))
    np.testing.assert_allclose(found, (x.mean(), low, high))


def test_the_interval_of_a_ratio_pairs_what_is_of_one_example():
    rng = np.random.default_rng(3)
    hard = rng.gamma(2.0, size=2000)
    # the same examples are hard for both: the ratio is known better than either mean
    above, below = 0.5 * hard, hard * (1.0 + 0.1 * rng.normal(size=2000))
    found = of_ratio(above, below)
    residual = above - found.value * below
    half = 1.96 * residual.std() / np.sqrt(2000) / below.mean()  # by the delta method
    np.testing.assert_allclose(found.value, above.mean() / below.mean())
    np.testing.assert_allclose(found.high - found.low, 2 * half, rtol=0.15)
    assert found.high - found.low < 0.3 * (of_mean(above).high - of_mean(above).low)


def test_jackknife_takes_a_bias_away():
    x = np.random.default_rng(0).normal(size=40)
    found = jackknife(
        lambda i: x[i].var(), 40, groups=40
    )  # the variance divided by n is too small by 1/n of itself
    assert found.value == pytest.approx(x.var(ddof=1), rel=1e-12)
    mean = jackknife(lambda i: x[i].mean(), 40, groups=40)
    assert mean.high - mean.value == pytest.approx(
        2.0227 * x.std(ddof=1) / np.sqrt(40), rel=1e-4
    )  # Student's t(39)
    with pytest.raises(ValueError, match="got 40"):
        jackknife(np.sum, 40, groups=41)


def test_frechet_interval_is_the_jackknife_of_the_distance():
    x = np.random.default_rng(0).normal(size=(230, 6)) + 3.0
    real = Moments(np.zeros(6), np.diag(np.arange(1.0, 7.0)))
    slow = jackknife(lambda i: frechet(real, moments(x[i])), 230, groups=20, seed=3)
    np.testing.assert_allclose(frechet_interval(real, x, groups=20, seed=3), slow, rtol=1e-9)
    with pytest.raises(ValueError, match="less a group are too few for 6 features"):
        frechet_interval(real, x[:8], groups=4)


def test_frechet_interval_covers_the_known_distance_and_a_percentile_bootstrap_does_not():
    d, n, repeats = 8, 500, 150
    real, rng = Moments(np.zeros(d), np.eye(d)), np.random.default_rng(0)
    scale = np.linspace(0.8, 1.2, d)
    truth = d * 0.2**2 + np.sum((1 - scale) ** 2)
    draws = 0.2 + scale * rng.standard_normal((repeats, n, d))
    found = [frechet_interval(real, x) for x in draws]
    assert 0.89 < coverage(found, truth) < 0.99
    values, plain = (
        np.array([i.value for i in found]),
        [frechet(real, moments(x)) for x in draws],
    )
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(repeats)
    assert np.mean(plain) - truth > 4 * np.std(plain) / np.sqrt(
        repeats
    )  # the distance as reported is too large
    unit = root(real.covariance)
    resampled = [
        bootstrap(lambda i, x=x: distance(real, moments(x[i]), unit), n, times=60)
        for x in draws[:60]
    ]
    assert coverage(resampled, truth) < 0.8


def test_kid_interval():
    d, rng = 4, np.random.default_rng(0)
    real, shift = rng.normal(size=(60, d)), 0.7 * np.eye(d)[0]
    few = rng.normal(size=(12, d)) + shift
    slow = jackknife(lambda i: kid(real, few[i]), 12, groups=12)
    np.testing.assert_allclose(kid_interval(real, few), slow, rtol=1e-9)
    assert kid_interval(real, few).value == pytest.approx(
        kid(real, few), rel=1e-9
    )  # unbiased: nothing to take away
    # The distance of N(m, I) from the real set as it is; x.y/d is N(x.m/d, |x|²/d²) for a fixed x.
    kernel, a = (1 + real @ real.T / d) ** 3, 0.7
    among = (kernel.sum() - np.trace(kernel)) / (60 * 59)
    u2, u3 = (
        (d + 2 * a**2 + a**4) / d**2,
        (a**6 + 6 * a**4 + 3 * (d + 2) * a**2) / d**3,
    )  # of u = y.y'/d
    middle, spread = 1 + real @ shift / d, np.sum(real**2, 1) / d**2
    truth = (
        among + (1 + 3 * a**2 / d + 3 * u2 + u3) - 2 * np.mean(middle**3 + 3 * middle * spread)
    )
    found = [kid_interval(real, rng.normal(size=(200, d)) + shift) for _ in range(300)]
    assert 0.9 < coverage(found, truth) < 0.99


def test_share_solves_wilsons_equation():
    for hits, n in ((0, 10), (3.5, 9), (40, 50), (10, 10)):
        p, low, high = share(hits, n)
        assert p == hits / n and low > -1e-12 and high < 1.0 + 1e-12
        for end in (
            low,
            high,
        ):  # the ends are the truths that p is just 1.96 standard errors away from
            error = np.sqrt(max(end * (1 - end), 0.0) / n)
            np.testing.assert_allclose(abs(p - end), 1.959964 * error, atol=1e-6)
    assert share(1, 2, 0.5).high < share(1, 2, 0.9).high
    with pytest.raises(ValueError, match="no samples"):
        share(0, 0)


@pytest.mark.parametrize("n", [100, 360])
@pytest.mark.parametrize(
    "first, second", [(0.0, 0.005), (0.01, 0.01), (0.02, 0.05), (0.0, 0.0)]
)
def test_differences_of_few_matched_pairs_are_held(n, first, second):
    rng = np.random.default_rng(0)
    pairs = rng.multinomial(n, [first, second, 1 - first - second], 500)
    found = [matched(b, c, n) for b, c, _ in pairs]
    # of the percentile bootstrap about 81 % at (0, 0.005) and 360: where none differ, it is a point
    assert coverage(found, first - second) > 0.93
    assert all(low <= value <= high for value, low, high in found)


def test_a_difference_of_matched_pairs_is_the_formula_by_hand():
    # cells 3.5 and 1.5 of 12: 2 / 12 -+ 1.96 sqrt(5 - 4 / 12) / 12
    value, low, high = matched(3, 1, 10)
    assert value == 0.2
    np.testing.assert_allclose([low, high], [1 / 6 - 0.352834, 1 / 6 + 0.352834], atol=1e-5)
    assert matched(5, 0, 5).high == 1.0 and matched(0, 5, 5).low == -1.0
    with pytest.raises(ValueError, match="no examples"):
        matched(0, 0, 0)


@pytest.mark.parametrize("of_rows, of_columns", [(0.02, 0.3), (0.1, 0.0), (0.1, 0.3)])
def test_means_over_draws_of_two_things_are_held(of_rows, of_columns):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        rows = rng.normal(0, of_rows, (10, 1))
        columns = rng.normal(0, of_columns, (1, 200))
        rest = rng.normal(0, 0.2, (10, 200))
        found.append(of_both(rows + columns + rest))
    assert 0.91 < coverage(found, 0.0) < 0.99
    with pytest.raises(ValueError, match="2 of each"):
        of_both(np.zeros((1, 5)))
