"""Bayes' rule against closed forms, scikit-learn and planted class shares."""

import numpy as np
import pytest
from scipy import stats
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.naive_bayes import GaussianNB

from genjax.audit import bayes
from genjax.audit.gaussians import LDA, NAIVE, QDA, Gaussians
from genjax.config import edit
from genjax.errors import UserError

RNG = np.random.default_rng(0)
ROOTS = RNG.standard_normal((3, 4, 4))
CENTRES = 1.5 * RNG.standard_normal((3, 4))


def drawn(n, shares=(0.5, 0.3, 0.2), seed=0):
    """(x [n, 4], label [n]) of three Gaussians."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=shares)
    noise = rng.standard_normal((n, 4, 1))
    return CENTRES[label] + (ROOTS[label] @ noise)[..., 0], label


def exact(x, shares):
    """log p(x, y) of the law that x is drawn from."""
    columns = []
    for centre, root, share in zip(CENTRES, ROOTS, shares, strict=True):
        law = stats.multivariate_normal(centre, root @ root.T)
        columns.append(law.logpdf(x) + np.log(share))
    return np.stack(columns, 1)


points, named = drawn(300)
NEW, _ = drawn(50, seed=1)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_lda_is_scikit_learns(shrinkage):
    ours = bayes.posterior(edit(LDA, {"shrinkage": shrinkage}).fit(points, named, 3)(NEW))
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(points, named)
    np.testing.assert_allclose(ours, theirs.predict_proba(NEW), atol=1e-6)


def test_qda_and_naive_bayes_are_scikit_learns():
    ours = bayes.posterior(edit(QDA, {"shrinkage": 0.0}).fit(points, named, 3)(NEW))
    theirs = QuadraticDiscriminantAnalysis(store_covariance=True).fit(points, named)
    # releases of theirs divide by n or by n - 1: their covariances are asked for, and are one of the two
    own = np.stack([np.cov(points[named == c].T, ddof=0) for c in range(3)])
    n = np.bincount(named)
    factor = theirs.covariance_[0][0, 0] / own[0][0, 0]
    assert factor == pytest.approx(1.0) or factor == pytest.approx(n[0] / (n[0] - 1))
    columns = []
    for c in range(3):
        law = stats.multivariate_normal(theirs.means_[c], own[c])
        columns.append(law.logpdf(NEW) + np.log(theirs.priors_[c]))
    np.testing.assert_allclose(ours, bayes.posterior(np.stack(columns, 1)), atol=1e-6)
    if factor == pytest.approx(1.0):
        np.testing.assert_allclose(ours, theirs.predict_proba(NEW), atol=1e-6)
    naive = bayes.posterior(edit(NAIVE, {"shrinkage": 0.0}).fit(points, named, 3)(NEW))
    theirs = GaussianNB(var_smoothing=0.0).fit(points, named)
    np.testing.assert_allclose(naive, theirs.predict_proba(NEW), atol=1e-6)


def test_the_log_joint_is_that_of_the_closed_form():
    """Its sum over classes is p(x), which strangers are refused by."""
    ours = edit(LDA, {"shrinkage": 0.2}).fit(points, named, 3)(NEW)
    share = np.bincount(named) / len(named)
    means = np.stack([points[named == c].mean(0) for c in range(3)])
    s = sum(share[c] * np.cov(points[named == c].T, ddof=0) for c in range(3))
    s = 0.8 * s + 0.2 * np.trace(s) / 4 * np.eye(4)
    laws = [stats.multivariate_normal(mean, s) for mean in means]
    p = np.stack([law.pdf(NEW) for law in laws], 1) * share
    np.testing.assert_allclose(ours, np.log(p), atol=1e-6)
    np.testing.assert_allclose(bayes.evidence(ours), np.log(p.sum(1)), atol=1e-6)


def test_all_of_the_covariance_shrunk_is_the_nearest_mean():
    found = Gaussians(shrinkage=1.0).fit(points, np.sort(named) * 0 + np.arange(300) % 3, 3)(
        NEW
    )
    means = np.stack([points[np.arange(300) % 3 == c].mean(0) for c in range(3)])
    away = np.linalg.norm(NEW[:, None] - means, axis=-1)
    np.testing.assert_array_equal(found.argmax(1), away.argmin(1))


def test_em_finds_planted_shares_and_the_corrected_posterior_is_bayes():
    old, planted = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    x, label = drawn(20_000, planted, seed=2)
    p = bayes.posterior(exact(x, old))
    found = bayes.shifted(p, old)
    # of labels that are seen the error would be 0.0034
    np.testing.assert_allclose(found, planted, atol=0.012)
    true = bayes.posterior(exact(x, planted))
    np.testing.assert_allclose(bayes.reweighted(p, old, planted), true, atol=1e-9)
    right = [np.mean(q.argmax(1) == label) for q in (p, bayes.reweighted(p, old, found), true)]
    assert right[0] < right[1] - 0.01 and right[1] == pytest.approx(right[2], abs=0.002)
    # it is a maximum of the likelihood: no other shares make the examples likelier
    ratio = np.exp(exact(x, old)) / old

    def likelihood(shares):
        return np.log(ratio @ shares).mean()

    for other in (planted, old, np.full(3, 1 / 3)):
        assert likelihood(found) >= likelihood(other)


def test_without_a_shift_em_stays():
    old = np.array([0.5, 0.3, 0.2])
    x, _ = drawn(20_000, old, seed=3)
    found = bayes.shifted(bayes.posterior(exact(x, old)), old)
    np.testing.assert_allclose(found, old, atol=0.012)


def test_a_temperature_undoes_what_made_it_too_sure():
    """Every class counted three times: the exponents are three times too large."""
    shares = (0.5, 0.3, 0.2)
    x, label = drawn(20_000, shares, seed=4)
    joint = exact(x, shares)
    assert bayes.temperature(3.0 * joint, label) == pytest.approx(3.0, rel=0.05)
    assert bayes.temperature(joint, label) == pytest.approx(1.0, rel=0.05)
    np.testing.assert_allclose(bayes.posterior(3.0 * joint, 3.0), bayes.posterior(joint))
    p = bayes.posterior(joint)
    nats = -np.log(p[np.arange(len(label)), label]).mean()
    assert bayes.nats(joint, label) == pytest.approx(nats)


def test_labels_that_are_never_missed_do_not_make_it_certain():
    """The maximum of N log sigmoid(d / T) - (ln T)² / 2, found on a grid; without the prior T would be 0."""
    joint = np.tile([2.0, 0.0], (50, 1))
    label = np.zeros(50, np.int64)
    grid = np.linspace(-4.0, 4.0, 100_001)
    value = -50 * np.log1p(np.exp(-2.0 / np.exp(grid))) - 0.5 * grid**2
    best = np.exp(grid[value.argmax()])
    assert bayes.temperature(joint, label) == pytest.approx(best, rel=1e-3)
    assert best > 0.2


def test_probabilities_beyond_the_range_of_floats_are_no_nan():
    joint = np.array([[-5000.0, -5001.0], [-1e5, 3.0]])
    p = bayes.posterior(joint)
    np.testing.assert_allclose(p[0], 1 / (1 + np.exp([-1.0, 1.0])))
    assert np.isfinite(p).all() and p[1, 0] == 0.0
    gone = bayes.reweighted(p, np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    assert np.isfinite(gone).all()


def test_bad_input_is_one_line():
    with pytest.raises(UserError, match="class 2 has no training example"):
        bayes.shares(np.array([0, 1, 1, 3]), 4)
    with pytest.raises(UserError, match="clouds has no labels"):
        bayes.shares(np.zeros(5, np.int32), 0, "clouds")
    with pytest.raises(UserError, match="shrinkage=1.5 must be at most 1"):
        Gaussians(shrinkage=1.5).fit(points, named, 3)
    flat = np.concatenate([points, np.zeros((300, 1))], 1)
    for cfg in (LDA, QDA, NAIVE):
        with pytest.raises(UserError, match="never varies"):
            edit(cfg, {"shrinkage": 0.0}).fit(flat, named, 3)
