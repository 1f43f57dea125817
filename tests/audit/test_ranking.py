"""Orders and rates of texts in groups: a text that is there twice tells nothing new."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from genjax.audit import ranking
from genjax.audit.alarms import exact
from genjax.errors import UserError
from genjax.metrics.intervals import share as wilson


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
    assert once.value - once.low == pytest.approx(2.0687 * error, rel=1e-3)


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
    lone = ranking.precision(scores, truth, np.where(truth, 99, group))
    assert lone == (1.0, 0.0, 1.0)
    with pytest.raises(UserError, match="one kind"):
        ranking.precision(scores, np.ones(24, bool), group)


def test_a_rate_has_the_wider_of_both_intervals():
    none = ranking.share(np.zeros(40, bool), np.arange(40))
    assert none == exact(0, 40)
    # all alarms are of one document of four: far less certain than 10 of 40
    group = np.repeat(np.arange(4), 10)
    clustered = ranking.share(group == 0, group)
    assert clustered.value == 0.25 and clustered.low == 0.0
    assert clustered.high > exact(10, 40).high > wilson(10, 40).high


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
