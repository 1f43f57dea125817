"""The best test of two known laws, summed over all texts; statistics of a scoring model against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from genjax.audit import best, scoring
from genjax.data.chains import Chain, HiddenChain, log_likelihood, passes
from genjax.metrics.ngrams import kneser_ney

REAL, OTHER = Chain(3, 5).law(), Chain(3, 5, seed=1).law()
ALL = best.every(3, 5)
P, Q = (np.exp(log_likelihood(law, ALL)) for law in (REAL, OTHER))


def test_an_order_of_two_laws_is_the_sum_over_pairs():
    scores = np.round(best.ratio(REAL, OTHER, ALL), 1)  # with ties
    found = best.ranked(P, Q, scores)
    wins = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
    assert found.auroc == pytest.approx(Q @ wins @ P, abs=1e-12)
    # each score in a thousand parts, in which hits and alarms come evenly
    _, place = np.unique(scores, return_inverse=True)
    parts = [np.repeat(np.bincount(place, law)[::-1] / 1000, 1000) for law in (Q, P)]
    hits, alarms = (np.cumsum(part) for part in parts)
    steps = np.sum(parts[0] * hits / (hits + alarms))
    assert found.precision == pytest.approx(steps, abs=1e-4)


def test_weights_of_draws_are_nearly_their_average_precision():
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000) + np.repeat([0.0, 1.0], 1000)
    truth = np.arange(2000) >= 1000
    drawn = best.ranked(~truth / 1000, truth / 1000, values)
    assert drawn.auroc == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    # a step is one text of each kind at most
    expected = average_precision_score(truth, values)
    assert drawn.precision == pytest.approx(expected, abs=2e-3)


def test_no_test_is_better_than_the_likelihood_ratio():
    """Neyman and Pearson, without any sampling: laws are summed over all 243 texts."""
    bar = best.best(REAL, OTHER, 5)
    assert bar == best.ranked(P, Q, best.ratio(REAL, OTHER, ALL))
    rng = np.random.default_rng(1)
    others = [rng.normal(size=len(ALL)), -log_likelihood(REAL, ALL), log_likelihood(OTHER, ALL)]
    # the ratio, a little disturbed: nearly as good, and never better
    others.append(best.ratio(REAL, OTHER, ALL) + 0.1 * rng.normal(size=len(ALL)))
    fitted = [kneser_ney(ALL[rng.choice(243, 200, p=law / law.sum())], 3, 2) for law in (P, Q)]
    others.append(fitted[0].bits(ALL) - fitted[1].bits(ALL))
    for scores in others:
        got = best.ranked(P, Q, scores)
        assert got.auroc < bar.auroc and got.precision < bar.precision
    # near it where it has learned both laws
    assert got.auroc > bar.auroc - 0.02


def test_laws_that_are_the_same_cannot_be_told_apart():
    same = best.best(REAL, REAL, 5)
    assert same == pytest.approx((0.5, 0.5))
    # nor by a coin: the precision is the share of either kind at every recall
    coin = best.ranked(P, P, np.random.default_rng(2).normal(size=len(ALL)))
    assert coin == pytest.approx((0.5, 0.5))


def test_draws_estimate_the_sum(monkeypatch):
    exact = best.best(REAL, OTHER, 5)
    monkeypatch.setattr(best, "MOST", 0)
    drawn = best.best(REAL, OTHER, 5, draws=20_000)
    # a standard error is at most 0.5 / sqrt(20,000) = 0.0035
    assert drawn == pytest.approx(exact, abs=0.015) and drawn != exact


def test_what_a_law_says_of_a_text_is_its_definition():
    law = HiddenChain(3, 4, 5).law()
    x = best.every(4, 5)
    ahead = passes(law, x).before @ law.emit  # [N, T, V]
    found = jax.jit(scoring.statistics)(jnp.log(ahead), x)
    own = np.take_along_axis(ahead, x[..., None], -1)
    np.testing.assert_allclose(found["log_p"], log_likelihood(law, x) / 5, atol=1e-5)
    rank = 1 + (ahead > own * (1 + 1e-6)).sum(-1)
    np.testing.assert_allclose(found["log_rank"], np.log(rank).mean(1), atol=1e-5)
    mean = (ahead * np.log(ahead)).sum(-1)
    variance = (ahead * np.log(ahead) ** 2).sum(-1) - mean**2
    above = np.log(own)[..., 0].sum(1) - mean.sum(1)
    np.testing.assert_allclose(
        found["curvature"], above / np.sqrt(variance.sum(1)), rtol=1e-3, atol=1e-4
    )
    # of the law's own texts, all of them: no drift, and the variance that it is divided by
    p = np.exp(log_likelihood(law, x))
    assert p @ above == pytest.approx(0.0, abs=1e-9)
    assert p @ above**2 == pytest.approx(p @ variance.sum(1), rel=1e-9)


def test_a_law_without_doubt_has_no_curvature_and_no_nan():
    sure = jnp.where(jnp.eye(3) > 0, 0.0, -jnp.inf)[None]
    found = jax.jit(scoring.statistics)(sure, jnp.arange(3)[None])
    assert all(float(value[0]) == 0.0 for value in found.values())
