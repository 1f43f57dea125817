"""Orders and rates of texts in groups: a text that is there twice tells nothing new."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

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
    # the jackknife's error is that of the formula, without each in turn
    alone = [np.arange(24) != i for i in range(24)]
    values = [average_precision_score(truth[rows], scores[rows]) for rows in alone]
    error = np.sqrt(23 / 24 * np.sum((values - np.mean(values)) ** 2))
    assert once.value - once.low == pytest.approx(2.0687 * error, rel=1e-3)


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
