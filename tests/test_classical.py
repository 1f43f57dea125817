"""The classical densities: each integrates to one, tells the truth about a known one and draws from what it tells."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from genjax.classical import KernelDensity, Mixture, Ppca, bits_per_dim, dequantised
from genjax.errors import UserError

RNG = np.random.default_rng(0)
MIX = RNG.standard_normal((2, 5))
MEANS = np.array([[0.0, 1.0, 0.0, -1.0, 0.5], [3.0, 0.0, 0.0, 1.0, 0.0]])
COVARIANCE = MIX.T @ MIX + 0.09 * np.eye(5)
LABEL = np.repeat([0, 1], 4000)
X = MEANS[LABEL] + RNG.multivariate_normal(np.zeros(5), COVARIANCE, 8000)


@pytest.mark.parametrize(
    "density", [Ppca(2), Mixture(1, 5, 1e-9), Mixture(1, 2, 1e-9)], ids=repr
)
def test_a_normal_of_two_factors_is_found_again(density):
    fitted = density.fit(X, LABEL)
    exact = [multivariate_normal(mean, COVARIANCE).logpdf(X[:200]) for mean in MEANS]
    for label in (0, 1):
        found = fitted.log_prob(X[:200], np.full(200, label))
        np.testing.assert_allclose(found, exact[label], atol=0.03 * np.abs(exact[label]).max())
    drawn = fitted.sample(LABEL, 1)
    for c in (0, 1):
        np.testing.assert_allclose(drawn[c == LABEL].mean(0), MEANS[c], atol=0.12)
        np.testing.assert_allclose(
            np.cov(drawn[c == LABEL].T), COVARIANCE, atol=0.05 * COVARIANCE.max() + 0.05
        )


def explicit(x, k, noise=None):
    """N(m, W W' + s² I) of Tipping & Bishop 1999, eq. 7 and 8, by the eigenvectors of the ML covariance (1/n)."""
    mean, d = x.mean(0), x.shape[1]
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    s2 = values[: d - k].sum() / (d - k) if noise is None else noise
    w = vectors[:, d - k :] * np.sqrt(np.maximum(values[d - k :] - s2, 0.0))
    return multivariate_normal(mean, w @ w.T + s2 * np.eye(d)), s2


@pytest.mark.parametrize("n, d, k", [(200, 8, 3), (8, 30, 3), (8, 30, 6), (20, 60, 16)])
def test_ppca_is_the_maximum_of_the_likelihood_with_fewer_examples_too(n, d, k):
    rng = np.random.default_rng(n)
    x, new = (rng.standard_normal((m, d)) * np.linspace(2.0, 0.3, d) for m in (n, 50))
    fitted, (exact, s2) = Ppca(k).fit(x, np.zeros(n)), explicit(x, k)
    for at in (x, new):
        np.testing.assert_allclose(
            fitted.log_prob(at, np.zeros(len(at))), exact.logpdf(at), rtol=1e-8
        )
    best = fitted.log_prob(x, np.zeros(n)).sum()
    for factor in (0.8, 0.97, 1.03, 1.25):  # no other noise fits as well
        other, _ = explicit(x, k, factor * s2)
        assert other.logpdf(x).sum() < best - 1e-3
    drawn = fitted.sample(np.zeros(40_000), 0)
    np.testing.assert_allclose(np.cov(drawn.T), exact.cov, atol=0.05 * exact.cov.max())


def test_ppca_of_rows_that_differ_in_nothing_is_its_floor():
    rows = np.full((5, 3), 0.3)
    for x, k in ((rows, 2), (rows[:2], 16), (rows + 1e-9 * RNG.standard_normal((5, 3)), 1)):
        fitted, at = Ppca(k, 1e-4).fit(x, np.zeros(len(x))), np.array([[0.3, 0.3, 0.32]])
        exact = multivariate_normal(rows[0], 1e-4 * np.eye(3)).logpdf(at)
        assert fitted.log_prob(at, np.zeros(1))[0] == pytest.approx(exact, rel=1e-5)
        assert fitted.sample(np.zeros(2000), 0).std() == pytest.approx(0.01, rel=0.05)
    # n examples leave a direction beyond n - 2 components: without it there is no maximum
    few = Ppca(16).fit(RNG.standard_normal((4, 3)), np.zeros(4))
    assert few.log_prob(np.full((1, 3), 5.0), np.zeros(1))[0] > -1e4
    with pytest.raises(UserError, match="floor=0.0 must be above 0"):
        Ppca(1, 0.0).fit(rows, np.zeros(5))


@pytest.mark.parametrize("n, d, factors", [(40, 60, 3), (61, 20, 4)])
def test_cross_validation_finds_the_number_of_factors(n, d, factors):
    rng = np.random.default_rng(0)
    loadings = 1.5 * rng.standard_normal((factors, d))

    def draw(m):
        noise = 0.5 * rng.standard_normal((m, d))
        return rng.standard_normal((m, factors)) @ loadings + noise

    x, new = draw(n), draw(200)
    here, there = np.zeros(n), np.zeros(200)
    fitted = Ppca(None).fit(x, here)
    count = lambda k: d + k * d + 1  # noqa: E731
    assert fitted.parameters == count(factors)
    known = Ppca(factors).fit(x, here)
    np.testing.assert_array_equal(fitted.log_prob(new, there), known.log_prob(new, there))
    # the examples themselves would rather have as many as there can be, others not
    most = Ppca(1000).fit(x, here)
    assert most.log_prob(x, here).mean() > known.log_prob(x, here).mean() + 1
    assert most.log_prob(new, there).mean() < known.log_prob(new, there).mean() - 2


def test_held_out_likelihoods_are_those_of_each_number_of_components():
    x, new = (RNG.standard_normal((m, 7)) * np.linspace(2.0, 0.3, 7) for m in (9, 5))
    flat = np.concatenate([x[:, :3], np.zeros((9, 4))], 1)  # nothing beyond three directions
    for seen, floor, most in ((x, 1e-6, 6), (x[:4], 1e-6, 2), (flat, 0.01, 6), (x[:1], 1.0, 0)):
        sums = Ppca(None, floor)._held_out(seen, new)
        assert len(sums) == most + 1
        for k in range(most + 1) if len(seen) > 1 else ():
            one = Ppca(k, floor).fit(seen, np.zeros(len(seen)))
            assert sums[k] == pytest.approx(one.log_prob(new, np.zeros(5)).sum(), rel=1e-9)
    # two examples leave no choice, and each class makes its own
    both = Ppca(None).fit(
        np.concatenate([X[:3000], X[4000:4002]]), LABEL[[*range(3000), 4000, 4001]]
    )
    assert both.parameters == (5 + 2 * 5 + 1) + (5 + 1)
    with pytest.raises(UserError, match="Ppca: folds=1 must be at least 2"):
        Ppca(None, folds=1).fit(x, np.zeros(9))


FLAT = np.full((50, 6), 0.3)  # pixels that never change
NEAR = FLAT + 1e-7 * RNG.standard_normal((50, 6))
HALF = FLAT + np.eye(6)[:3].sum(0) * RNG.standard_normal((50, 6))  # the last three never do


@pytest.mark.parametrize("x", [FLAT, NEAR, HALF], ids=["flat", "near", "half"])
@pytest.mark.parametrize("components", [2, 4, 6])
def test_a_mixture_has_the_ridge_in_every_direction(x, components):
    ridge = 0.01
    if x is HALF and components == 2:  # one direction of the three is noise
        ridge = 1e-9
    fitted = Mixture(1, components, ridge).fit(x, np.zeros(50))
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values[6 - components :] += ridge
    left = values[: 6 - components]
    values[: 6 - components] = max(left.mean(), ridge) if len(left) else 0.0
    exact = multivariate_normal(x.mean(0), vectors * values @ vectors.T)
    at = x.mean(0) + RNG.standard_normal((40, 6)) * np.sqrt(np.diag(exact.cov))
    np.testing.assert_allclose(fitted.log_prob(at, np.zeros(40)), exact.logpdf(at), rtol=1e-6)
    drawn = fitted.sample(np.zeros(20_000), 1)
    np.testing.assert_allclose(np.cov(drawn.T), exact.cov, atol=0.04 * exact.cov.max())


def test_densities_of_next_to_no_variance_integrate_to_one():
    x = np.full((20, 2), 0.3) + 1e-7 * RNG.standard_normal((20, 2))
    line = np.linspace(-0.7, 1.3, 801)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    for density in (Mixture(2, 1), Mixture(2, 2), Ppca(1, 1e-4), KernelDensity()):
        log_p = density.fit(x, np.zeros(20)).log_prob(grid, np.zeros(len(grid)))
        assert np.isfinite(log_p).all()
        assert np.exp(log_p).sum() * 0.0025**2 == pytest.approx(1.0, abs=1e-3), density
    with pytest.raises(UserError, match="ridge=0.0 must be above 0"):
        Mixture(ridge=0.0).fit(x, np.zeros(20))


def test_kernels_of_one_distinct_example_are_one_normal():
    fitted, at = KernelDensity((0.02, 0.1)).fit(FLAT[:2], np.zeros(2)), FLAT[:1] + 0.01
    exact = multivariate_normal(FLAT[0], 0.02**2 * np.eye(6)).logpdf(at)
    assert fitted.log_prob(at, np.zeros(1))[0] == pytest.approx(exact)


def test_kernels_are_the_mean_of_normals_and_the_bandwidth_is_cross_validated():
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.5, 0.5]])
    fitted, at = KernelDensity((0.7,), 2).fit(x, np.zeros(4)), np.array([[0.3, 0.2]])
    exact = np.mean([multivariate_normal(m, 0.49 * np.eye(2)).pdf(at) for m in x])
    assert fitted.log_prob(at, np.zeros(1))[0] == pytest.approx(math.log(exact))
    grid = KernelDensity((0.001, 0.3, 30.0)).fit(RNG.standard_normal((3000, 1)), np.zeros(3000))
    near, far = grid.log_prob(np.array([[0.0], [6.0]]), np.zeros(2))
    assert near == pytest.approx(-0.95, abs=0.2) and far < -12.0
    with pytest.raises(UserError, match="KernelDensity: folds=1 must be at least 2"):
        KernelDensity(folds=1).fit(x, np.zeros(4))


@pytest.mark.parametrize(
    "density", [Ppca(1), Mixture(2, 2), Mixture(2, 1), KernelDensity((0.3,))], ids=repr
)
def test_densities_integrate_to_one_and_samples_agree_with_them(density):
    x = np.concatenate(
        [RNG.normal((-1, 0), 0.4, (400, 2)), RNG.normal((1, 0.5), 0.3, (400, 2))]
    )
    fitted = density.fit(x, np.zeros(800))
    line = np.linspace(-5, 5, 401)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    p = np.exp(fitted.log_prob(grid, np.zeros(len(grid))))
    assert p.sum() * 0.025**2 == pytest.approx(1.0, abs=0.01)
    drawn = fitted.sample(np.zeros(20_000), 3)
    within = grid[:, 0] + grid[:, 1] > 0.6
    assert (drawn.sum(1) > 0.6).mean() == pytest.approx(p[within].sum() * 0.025**2, abs=0.02)


def test_each_class_has_its_own_and_seeds_repeat():
    fitted = Ppca(1).fit(X, LABEL)
    label = np.array([1, 0, 1, 1])
    assert (fitted.sample(label, 0)[:, 0] > 1.5).tolist() != [False] * 4
    np.testing.assert_array_equal(fitted.sample(label, 5), fitted.sample(label, 5))
    with pytest.raises(UserError, match="class 7 has one training example"):
        Ppca().fit(X[:3], np.array([1, 1, 7]))


def test_bits_of_even_noise_are_eight():
    image = RNG.integers(0, 256, (50, 4, 4, 1), np.uint8)
    x = dequantised(image, 0)
    assert x.shape == (50, 16) and x.min() >= 0 and x.max() < 1
    np.testing.assert_array_equal((x * 256).astype(np.uint8), image.reshape(50, -1))
    np.testing.assert_allclose(bits_per_dim(np.zeros(50), 16), 8.0)
