"""Likelihoods against exact answers: they are normalised, their samples follow them, binarisation is fair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.vae.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian

KEY = jax.random.key(0)


@pytest.mark.parametrize("levels", [2, 16, 256])
@pytest.mark.parametrize(
    "mu, log_s", [(0.0, 0.0), (3.0, -4.0), (-9.0, 1.0), (0.3, 9.0), (9.0, -9.0)]
)
def test_discretised_logistic_sums_to_one(levels, mu, log_s):
    x = jnp.arange(levels)[:, None] / (levels - 1)
    out = jnp.broadcast_to(jnp.array([mu, log_s]), (levels, 2))
    log_p = DiscretisedLogistic(levels).log_prob(out, x)
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(jax.nn.logsumexp(log_p), 0.0, atol=2e-4)


def test_discretised_logistic_is_the_difference_of_two_cdfs():
    likelihood, out = DiscretisedLogistic(), jnp.array([[0.4, 0.5]])
    mu, s = float(jax.nn.sigmoid(0.4)), float(np.exp(0.5 - 2.0))
    law = stats.logistic(mu, s)
    for level in (0, 1, 100, 254, 255):
        low = -np.inf if level == 0 else (level - 0.5) / 255
        high = np.inf if level == 255 else (level + 0.5) / 255
        expected = np.log(law.cdf(high) - law.cdf(low))
        np.testing.assert_allclose(
            likelihood.log_prob(out, jnp.array([[level / 255]])), expected, rtol=1e-4
        )


def test_discretised_images_have_as_many_levels_as_the_likelihood():
    x = jnp.linspace(0, 1, 256)[None]
    seen = DiscretisedLogistic(4).observe(KEY, x, jnp.zeros(1, jnp.uint32))
    np.testing.assert_allclose(np.unique(seen), [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(
        DiscretisedLogistic().observe(KEY, x, jnp.zeros(1, jnp.uint32)), x, atol=1e-6
    )


def test_discretised_logistic_samples_follow_its_probabilities():
    likelihood, n = DiscretisedLogistic(8), 20_000
    out = jnp.broadcast_to(jnp.array([0.5, 0.3]), (n, 2))
    x = likelihood.sample(KEY, out, jnp.arange(n, dtype=jnp.uint32))
    counts = np.bincount(np.rint(np.asarray(x)[:, 0] * 7).astype(int), minlength=8)
    expected = n * np.exp(likelihood.log_prob(out[:8], jnp.arange(8)[:, None] / 7))
    assert stats.chisquare(counts, expected * n / expected.sum()).pvalue > 1e-3


def test_gradients_of_the_discretised_logistic_are_finite_at_its_extremes():
    def total(out, x):
        return DiscretisedLogistic().log_prob(out, x).sum()

    out = jnp.array([[-40.0, -40.0], [40.0, -40.0], [0.0, 40.0], [0.0, 0.0]])
    for level in (0.0, 0.5, 1.0):
        assert np.isfinite(jax.grad(total)(out, jnp.full((4, 1), level))).all()


def test_bernoulli_is_normalised_and_stable():
    out = jnp.array([[-200.0], [-1.0], [0.0], [3.0], [200.0]])
    zero, one = (Bernoulli().log_prob(out, jnp.full_like(out, x)) for x in (0.0, 1.0))
    assert np.isfinite(zero).all() and np.isfinite(one).all()
    np.testing.assert_allclose(np.exp(zero) + np.exp(one), 1.0, rtol=1e-6)


def test_dynamic_binarisation_is_fair_and_a_function_of_key_and_index():
    x = jnp.broadcast_to(jnp.linspace(0, 1, 11), (4000, 11))
    index = jnp.arange(4000, dtype=jnp.uint32)
    drawn = Bernoulli().observe(KEY, x, index)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), x[0], atol=4 * 0.5 / np.sqrt(4000))
    np.testing.assert_array_equal(Bernoulli().observe(KEY, x[100:], index[100:]), drawn[100:])
    assert (Bernoulli().observe(jax.random.key(1), x, index) != drawn).any()
    np.testing.assert_array_equal(Bernoulli(dynamic=False).observe(KEY, x, index), x)


def test_gaussian_is_the_normal_density():
    x, out = jnp.array([[0.3, -1.0]]), jnp.array([[0.1, 0.5]])
    expected = stats.norm(np.asarray(out), 0.25).logpdf(np.asarray(x)).sum()
    np.testing.assert_allclose(Gaussian(0.25).log_prob(out, x), expected, rtol=1e-5)
    learned = jnp.concatenate([out, jnp.array([[-1.0, 0.2]])], -1)
    expected = stats.norm(np.asarray(out), np.exp([[-1.0, 0.2]])).logpdf(np.asarray(x)).sum()
    np.testing.assert_allclose(Gaussian(None).log_prob(learned, x), expected, rtol=1e-5)
    draws = Gaussian(None).sample(
        KEY, jnp.tile(learned, (20_000, 1)), jnp.arange(20_000, dtype=jnp.uint32)
    )
    np.testing.assert_allclose(draws.mean(0), out[0], atol=0.05)
    np.testing.assert_allclose(draws.std(0), np.exp([-1.0, 0.2]), rtol=0.03)


@pytest.mark.parametrize("bounds", [(2.0, -6.0), (float("nan"), 2.0), (-6.0, float("inf"))])
def test_limits_are_finite_and_the_lower_is_the_first(bounds):
    for likelihood in (Gaussian, DiscretisedLogistic):
        with pytest.raises(ValueError, match="bounds are finite, the lower first, got bounds="):
            likelihood(bounds=bounds)
    # equal limits fix the scale
    fixed = Gaussian(None, bounds=(0.5, 0.5))
    draws = fixed.sample(KEY, jnp.zeros((20_000, 2)), jnp.arange(20_000, dtype=jnp.uint32))
    np.testing.assert_allclose(draws.std(), np.exp(0.5), rtol=0.02)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_finite_and_above_0(scale):
    with pytest.raises(ValueError, match="a Gaussian needs a scale above 0"):
        Gaussian(scale)
