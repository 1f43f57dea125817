"""Orders and rates of texts in groups: a text that is there twice tells nothing new, and large documents decide."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, roc_auc_score

from genjax.audit import ranking
from genjax.audit.alarms import exact
from genjax.errors import UserError
from genjax.metrics.intervals import of_mean
from genjax.metrics.intervals import share as wilson

SIZES = np.array([24, 13, 12, 6, 6, 2, 2, 1, 1, 1])  # texts of each of ten documents
WITHIN = 0.1  # intraclass correlation


def texts(n=24, shift=1.0):
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2 == 0
    return rng.normal(size=n) + shift * truth, truth, np.arange(n)


def test_copies_within_a_document_leave_the_interval_as_it_is():
    scores, truth, group = texts()
    once = ranking.precision(scores, truth, group)
    assert once.value == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    copies = [np.repeat(x, 5) for x in (scores, truth, group)]
    assert ranking.precision(*copies) == pytest.approx(once, abs=1e-9)
    # the jackknife's error is that of the formula, without each in turn, where each kind keeps its weight
    values = []
    for rows in (np.arange(24) != i for i in range(24)):
        own = truth[rows]
        weight = np.where(own, 1 / own.sum(), 1 / (~own).sum())
        values.append(average_precision_score(own, scores[rows], sample_weight=weight))
    error = np.sqrt(23 / 24 * np.sum((values - np.mean(values)) ** 2))
    # of either kind twelve: Student's law of eleven
    assert once.value - once.low == pytest.approx(2.2010 * error, rel=1e-3)


def test_the_share_that_is_asked_about_is_what_counts():
    scores, truth, _ = texts(40)
    scores = np.round(scores, 1)  # with ties
    weight = np.where(truth, 0.01 / 20, 0.99 / 20)
    expected = average_precision_score(truth, scores, sample_weight=weight)
    assert ranking.at_share(scores, truth, 0.01) == pytest.approx(expected, abs=1e-12)
    some = np.arange(40) % 6 < 5
    weight = np.where(truth, 0.3 / truth[some].sum(), 0.7 / (~truth[some]).sum())[some]
    expected = average_precision_score(truth[some], scores[some], sample_weight=weight)
    found = ranking.at_share(scores[some], truth[some], 0.3)
    assert found == pytest.approx(expected, abs=1e-12)


def test_real_texts_against_real_ones_have_the_interval_of_that():
    """Every second document in the place of a generated one: leaving one out changes no share."""
    rng = np.random.default_rng(3)
    odd = np.arange(1000) % 2 == 1
    found = ranking.precision(rng.normal(size=1000), odd, np.arange(1000))
    assert found.low < 0.5 < found.high and found.high - found.low < 0.12


def test_a_perfect_order_is_not_certain_and_one_document_says_nothing():
    scores, truth, group = texts(shift=100.0)
    perfect = ranking.precision(scores, truth, group)
    assert perfect == exact(12, 12) and perfect.low < 0.8
    # pieces of the same documents add nothing
    pieces = [np.repeat(x, 50) for x in (scores, truth, group)]
    assert ranking.precision(*pieces) == exact(12, 12)
    lone = ranking.precision(scores, truth, np.where(truth, 99, group))
    assert lone == (1.0, 0.0, 1.0)
    with pytest.raises(UserError, match="one kind"):
        ranking.precision(scores, np.ones(24, bool), group)


def test_a_rate_is_worth_as_many_draws_as_its_documents_make_it():
    none = ranking.share(np.zeros(40, bool), np.arange(40))
    assert none == exact(0, 40)
    # none of a hundred pieces of each of ten documents, and all of them
    pieces = np.repeat(np.arange(10), 100)
    assert ranking.share(np.zeros(1000, bool), pieces) == exact(0, 10)
    assert ranking.share(np.ones(1000, bool), pieces) == exact(10, 10)
    # all alarms are of one document of four: far less certain than 10 of 40
    group = np.repeat(np.arange(4), 10)
    clustered = ranking.share(group == 0, group)
    assert clustered.value == 0.25 and clustered.low < 0.01
    assert clustered.high > exact(1, 4).high > exact(10, 40).high > wilson(10, 40).high
    # spread as independent ones would be, or more evenly, they are worth no more than there are
    evenly = ranking.share(np.tile([1, 0, 0, 0], 10), group)
    assert evenly == pytest.approx(exact(10, 40), abs=1e-9)
    assert ranking.share(np.arange(9) < 3, np.zeros(9)) == (pytest.approx(1 / 3), 0.0, 1.0)


def test_large_documents_have_the_freedom_of_few():
    groups = np.split(np.arange(68), np.cumsum(SIZES)[:-1])
    everyone = np.ones(68, bool)
    assert ranking.freedom(groups, everyone) == pytest.approx(68**2 / 972 - 1)
    # of two kinds the one with fewer: here two documents of six
    few = np.isin(np.repeat(np.arange(10), SIZES), (3, 4))
    assert ranking.freedom(groups, few) == pytest.approx(1.0)
    # less than one is no law
    assert ranking.freedom([np.arange(60), np.arange(60, 61)], np.ones(61, bool)) == 1.0


# the last is what the docstring owns to
@pytest.mark.parametrize(
    "pieces, rate, least", [(1, 0.023, 0.93), (5, 0.3, 0.93), (20, 0.023, 0.88)]
)
def test_the_interval_of_a_rate_holds_it_where_documents_are_few(pieces, rate, least):
    """Each document has a rate of its own, of a Beta law of this mean."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), SIZES * pieces)
    total = 1.0 / WITHIN - 1.0
    inside = []
    for _ in range(300):
        own = rng.beta(rate * total, (1.0 - rate) * total, 10)
        found = ranking.share(rng.random(len(group)) < own[group], group)
        inside.append(found.low <= rate <= found.high)
    assert np.mean(inside) >= least


def test_the_interval_of_a_precision_holds_it_where_documents_are_few():
    """Normal scores two apart, a tenth of their variance the document's."""
    shift = 2.0
    rng = np.random.default_rng(0)
    truth = np.repeat([False, True], SIZES.sum())
    group = np.repeat(np.arange(20), np.tile(SIZES, 2))

    def rise(limit):
        # by the density of generated scores, of as many of either kind
        hits = norm.sf(limit - shift)
        return norm.pdf(limit - shift) * hits / (hits + norm.sf(limit))

    expected, _ = quad(rise, -12.0, 9.0)
    inside = []
    for _ in range(200):
        of_document = rng.normal(scale=WITHIN**0.5, size=20)[group]
        own = rng.normal(scale=(1.0 - WITHIN) ** 0.5, size=len(group))
        found = ranking.precision(shift * truth + of_document + own, truth, group)
        inside.append(found.low <= expected <= found.high)
    assert np.mean(inside) >= 0.93


def test_a_difference_leaves_out_a_group_at_a_time():
    scores, truth, group = texts()
    other = scores + np.sin(np.arange(24))
    found = ranking.difference(scores, other, truth, group)
    expected = roc_auc_score(truth, scores) - roc_auc_score(truth, other)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < found.value < found.high
    copies = [np.repeat(x, 3) for x in (scores, other, truth, group)]
    assert ranking.difference(*copies) == pytest.approx(found, abs=1e-9)
    # of a score with itself nothing is left to doubt
    assert ranking.difference(scores, scores, truth, group) == (0.0, 0.0, 0.0)


def test_a_ratio_is_that_of_sums_and_leaves_out_a_document_at_a_time():
    rng = np.random.default_rng(0)
    bits, signs = rng.normal(3.0, 1.0, 12), rng.integers(5, 9, 12)
    # with nothing to weigh, of independent texts, it is a mean with Student's interval
    plain = ranking.ratio(bits, np.ones(12), np.arange(12))
    np.testing.assert_allclose(plain, of_mean(bits))
    group = np.repeat([0, 1, 2, 3], 3)
    found = ranking.ratio(bits, signs, group)
    assert found.value == pytest.approx(bits.sum() / signs.sum())
    without = [bits[group != g].sum() / signs[group != g].sum() for g in range(4)]
    # the module's se of G = 4 documents, and Student's quantile of 3 degrees
    error = np.sqrt(3.0 / 4.0 * np.sum((without - np.mean(without)) ** 2))
    assert found.high - found.value == pytest.approx(student.ppf(0.975, 3) * error)
    copies = [np.repeat(x, 5) for x in (bits, signs, group)]
    np.testing.assert_allclose(ranking.ratio(*copies), found)
    assert np.isnan(ranking.ratio(bits, signs, np.zeros(12)).low)


def test_the_interval_of_a_ratio_holds_it_where_documents_differ():
    """Bits a character of documents of very different sizes, each with a level of its own."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), SIZES)
    kinds = {"documents": group, "windows": np.arange(len(group))}
    inside: dict[str, list[bool]] = {name: [] for name in kinds}
    for _ in range(300):
        signs = rng.integers(60, 129, len(group))
        level = rng.normal(2.0, 0.2, 10)[group]
        bits = signs * level + rng.normal(0.0, 10.0, len(group))
        for name, number in kinds.items():
            found = ranking.ratio(bits, signs, number)
            inside[name].append(found.low <= 2.0 <= found.high)
    # windows as independent draws promise far more than they hold
    assert np.mean(inside["documents"]) >= 0.92 and np.mean(inside["windows"]) < 0.8
