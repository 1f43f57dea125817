"""What a score is worth, against sums over all binomial draws and laws that are known."""

import itertools

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from genjax.audit import alarms
from genjax.errors import UserError
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import threshold


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("n", [1, 7, 30])
def test_an_exact_interval_holds_the_truth_as_often_as_it_says(n, level):
    hits = np.arange(n + 1)
    ends = [alarms.exact(int(k), n, level) for k in hits]
    for p in np.linspace(0.01, 0.99, 37):
        inside = [end.low <= p <= end.high for end in ends]
        # summed over all outcomes: no simulation
        assert binom.pmf(hits, n, p) @ inside >= level - 1e-12
    # the ends are where a tail has half of the rest
    some = ends[1]
    if some.high < 1:
        assert binom.cdf(1, n, some.high) == pytest.approx((1 - level) / 2)
    assert ends[0].low == 0.0 and ends[-1].high == 1.0


def test_p_values_of_real_scores_are_uniform_on_their_steps():
    """Each of n + 1 exchangeable scores is as likely as any other to have r higher ones: exact over all orders."""
    n = 4
    found = []
    for order in itertools.permutations(range(n + 1)):
        *real, own = order
        found.append(alarms.rarity(own, np.array(real)).value)
    values, counts = np.unique(np.round(found, 12), return_counts=True)
    np.testing.assert_allclose(values, np.arange(1, n + 2) / (n + 1))
    assert set(counts) == {len(found) // (n + 1)}


def test_ties_only_make_a_score_more_common():
    real = np.array([0.0, 1.0, 1.0, 2.0])
    got = alarms.p_values(np.array([3.0, 2.0, 1.0, 0.5, -1.0]), real)
    np.testing.assert_allclose(got, [0.2, 0.4, 0.8, 0.8, 1.0])
    one = alarms.rarity(1.0, real)
    assert one.low < 0.75 < one.high and one.value == 0.8
    # never 0 out of 4, whose upper end is 1 - 0.025^(1/4)
    none = alarms.rarity(9.0, real)
    assert none == Interval(0.2, 0.0, pytest.approx(1 - 0.025**0.25))


def test_a_threshold_calls_out_just_where_the_p_value_is_small():
    rng = np.random.default_rng(0)
    real, fresh = rng.normal(size=99), rng.normal(size=500)
    limit = threshold(real, 0.05)
    np.testing.assert_array_equal(fresh > limit, alarms.p_values(fresh, real) <= 0.05)


def test_the_rate_that_a_threshold_really_has_is_beta():
    rng = np.random.default_rng(1)
    rates = np.array([norm.sf(threshold(rng.normal(size=99), 0.05)) for _ in range(1500)])
    found = alarms.realised(99, 0.05)
    # mean and ends of Beta(5, 95), each within five standard errors
    assert found.value == 0.05
    assert np.mean(rates) == pytest.approx(0.05, abs=5 * rates.std() / np.sqrt(1500))
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        assert np.mean(rates < end) == pytest.approx(share, abs=5 * 0.004)
    assert found.high == beta.ppf(0.975, 5, 95)
    with pytest.raises(UserError, match="hold out 99 or more"):
        alarms.realised(98, 0.01)


def test_what_is_behind_an_alarm_is_bayes_by_hand():
    hits, false = Interval(0.9, 0.9, 0.9), Interval(0.05, 0.05, 0.05)
    rare = alarms.behind(hits, false, 0.01)
    # of 10,000 files 100 are generated: 90 alarms, beside 495 of the real ones
    assert rare.generated.value == pytest.approx(90 / 585)
    assert rare.real.value == pytest.approx(495 / 585)
    even = alarms.behind(hits, false, 0.5)
    assert even.generated.value == pytest.approx(0.9 / 0.95)
    nothing = Interval(0.0, 0.0, 0.1)
    silent = alarms.behind(nothing, nothing, 0.5)
    assert np.isnan(silent.generated.value) and silent.generated[1:] == (0.0, 1.0)
    for prior in (0.0, 1.0, np.nan):
        with pytest.raises(UserError, match="prior="):
            alarms.behind(hits, false, prior)


@pytest.mark.parametrize(
    "tpr, fpr, prior", [(0.9, 0.05, 0.01), (0.5, 0.2, 0.5), (0.97, 0.01, 0.5)]
)
def test_its_interval_holds_the_truth_over_all_counts(tpr, fpr, prior):
    m, n = 8, 10
    truth = prior * tpr / (prior * tpr + (1 - prior) * fpr)
    total = 0.0
    for a, b in itertools.product(range(m + 1), range(n + 1)):
        generated, real = np.arange(m) < a, np.arange(n) < b
        [found] = alarms.alarmed(real, generated, 0.5, (prior,))
        inside = found.generated.low <= truth <= found.generated.high
        total += inside * binom.pmf(a, m, tpr) * binom.pmf(b, n, fpr)
        assert found.real.low == pytest.approx(1 - found.generated.high)
    assert total >= 0.95


def test_accuracy_and_its_interval_of_two_shares():
    held = np.arange(99.0)
    found = alarms.bar(held, np.arange(0.0, 100.0), np.arange(90.0, 110.0), 0.05)
    # the 95th smallest of 99 is 94
    assert found.threshold == 94.0
    assert found.false_alarms.value == 0.05 and found.hits.value == 0.75
    assert found.accuracy.value == pytest.approx(0.85)
    m, n, tpr, fpr = 20, 25, 0.8, 0.1
    covered = 0.0
    for a, b in itertools.product(range(m + 1), range(n + 1)):
        chance = binom.pmf(a, m, tpr) * binom.pmf(b, n, fpr)
        if chance > 1e-7:
            got = alarms.accuracy(alarms.exact(a, m), alarms.exact(b, n))
            covered += chance * (got.low <= 0.85 <= got.high)
    assert covered >= 0.95


def test_scores_that_cannot_be_ordered_are_refused():
    good = np.arange(30.0)
    with pytest.raises(UserError, match="score 1 is nan"):
        alarms.p_values(np.array([0.0, np.nan]), good)
    with pytest.raises(UserError, match=r"held-out real: scores \(0,\)"):
        alarms.bar(np.zeros(0), good, good, 0.05)
    with pytest.raises(UserError, match="hold out 99 or more"):
        alarms.bar(good, good, good, 0.01)
    with pytest.raises(ValueError, match="3 hits of 2"):
        alarms.exact(3, 2)
