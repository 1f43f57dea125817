"""Paths, predictions and time laws: every conversion round-trips, every inverse inverts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.diffusion import paths, schedules, times
from genjax.diffusion.paths import (
    Cosine,
    CosineBeta,
    Eps,
    Exploding,
    Linear,
    LinearBeta,
    Score,
    V,
    Velocity,
    X,
)

PATHS = [Linear(), Cosine(), LinearBeta(), CosineBeta(), Exploding()]
PREDICTIONS = [X(), Eps(), V(), Velocity(), Score(), paths.Preconditioned(0.7)]
T = jnp.linspace(0.05, 0.95, 7)


@pytest.mark.parametrize("path", PATHS)
def test_the_time_of_a_level_is_the_inverse_of_the_level_of_a_time(path):
    t = jnp.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(path.time(path.sigma(t) / path.alpha(t)), t, rtol=2e-4)


@pytest.mark.parametrize("path", [Cosine(), LinearBeta(), CosineBeta()])
def test_variance_preserving_paths_preserve_variance(path):
    np.testing.assert_allclose(path.alpha(T) ** 2 + path.sigma(T) ** 2, 1.0, rtol=1e-5)


def test_the_discrete_chain_of_ddpm_is_the_continuous_path():
    betas = np.linspace(1e-4, 0.02, 1000)  # arXiv:2006.11239, section 4
    alphas = np.sqrt(np.cumprod(1 - betas))
    t = np.arange(1, 1001) / 1000
    np.testing.assert_allclose(
        LinearBeta().alpha(jnp.asarray(t))[::50], alphas[::50], rtol=0.04
    )
    assert (
        150 < float(LinearBeta().sigma(jnp.ones(())) / LinearBeta().alpha(jnp.ones(()))) < 165
    )  # 157.4 in EDM's paper


@pytest.mark.parametrize("path", PATHS)
def test_rates_are_the_derivatives(path):
    h = 1e-3
    for found, f in zip(paths.rates(path, T), (path.alpha, path.sigma), strict=True):
        np.testing.assert_allclose(found, (f(T + h) - f(T - h)) / (2 * h), rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("path", PATHS)
def test_all_predictions_convert_into_each_other_and_back(path):
    x, eps = jax.random.normal(jax.random.key(0), (2, len(T), 3))
    z = paths.over(path.alpha(T), x) * x + paths.over(path.sigma(T), x) * eps
    for a, b in itertools.permutations(PREDICTIONS, 2):
        y = paths.combine(a, path, T, x, eps)
        x_hat, eps_hat = paths.solve(a, path, T, z, y)
        np.testing.assert_allclose(x_hat, x, atol=2e-3)
        np.testing.assert_allclose(eps_hat, eps, atol=2e-3)
        back = paths.combine(b, path, T, x_hat, eps_hat)
        np.testing.assert_allclose(paths.solve(b, path, T, z, back)[0], x, atol=4e-3)


def test_predictions_are_what_their_papers_say():
    x, eps, t = jnp.array([[2.0]]), jnp.array([[-1.0]]), jnp.array([0.3])
    assert paths.combine(Velocity(), Linear(), t, x, eps)[0, 0] == -3.0  # eps - x
    a, s = Cosine().alpha(t)[0], Cosine().sigma(t)[0]
    np.testing.assert_allclose(
        paths.combine(V(), Cosine(), t, x, eps)[0, 0], a * -1.0 - s * 2.0, rtol=1e-6
    )
    np.testing.assert_allclose(
        paths.combine(Score(), Linear(), t, x, eps)[0, 0], 1.0 / 0.3, rtol=1e-6
    )
    sigma, std = 0.3, 0.7  # EDM, table 1: D = c_skip z + c_out F
    skip, out = std**2 / (sigma**2 + std**2), sigma * std / np.hypot(sigma, std)
    f = paths.combine(paths.Preconditioned(std), Exploding(), t, x, eps)[0, 0]
    np.testing.assert_allclose(skip * (2.0 - sigma) + out * f, 2.0, rtol=1e-5)


def test_preconditioned_targets_have_unit_variance_at_every_level():
    a, b = paths.Preconditioned(0.7).coefficients(
        Exploding(), jnp.array([0.01, 0.5, 1.0, 20.0])
    )
    np.testing.assert_allclose((0.7 * a) ** 2 + b**2, 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    "law, exact",
    [
        (times.Uniform(0.2, 0.8), stats.uniform(0.2, 0.6)),
        (times.LogNormal(-1.2, 1.2), stats.lognorm(1.2, scale=np.exp(-1.2))),
    ],
)
def test_time_laws_have_their_distributions(law, exact):
    u = (np.arange(5000) + 0.5) / 5000
    np.testing.assert_allclose(law(jnp.asarray(u)), exact.ppf(u), rtol=1e-3)
    logit = stats.norm(0.3, 0.8).ppf(u)
    np.testing.assert_allclose(
        times.LogitNormal(0.3, 0.8)(jnp.asarray(u)), 1 / (1 + np.exp(-logit)), rtol=1e-3
    )


def test_the_grid_of_times_is_that_of_a_chain_of_n_steps():
    u = (jnp.arange(4000) + 0.5) / 4000
    values, counts = np.unique(times.Discrete(4)(u), return_counts=True)
    np.testing.assert_allclose(values, [0.25, 0.5, 0.75, 1.0])
    assert (counts == 1000).all()


@pytest.mark.parametrize("n", [64, 100, 128])
def test_strata_cover_the_unit_interval_evenly_and_each_is_uniform(n):
    batch = {"index": jnp.arange(n, dtype=jnp.uint32)}
    placed = batch | {"position": jnp.arange(n, dtype=jnp.uint32)}
    gaps = np.diff(np.sort(times.strata(jax.random.key(0), placed)))
    assert gaps.max() < 3 / n  # independent ones would leave gaps of log(n) / n
    assert np.diff(np.sort(times.strata(jax.random.key(0), batch))).max() > 3 / n
    first = np.array([times.strata(jax.random.key(i), placed)[3] for i in range(400)])
    assert stats.kstest(first, "uniform").pvalue > 1e-3


def test_schedules_descend_between_their_ends():
    for schedule in (
        schedules.Karras(9),
        schedules.LogUniform(9),
        schedules.Times(9),
        schedules.Times(9, shift=3.0),
    ):
        sigmas = np.asarray(schedule(Linear()))
        assert sigmas.shape == (9,) and (np.diff(sigmas) < 0).all() and sigmas[-1] > 0
    np.testing.assert_allclose(
        schedules.Karras(5)(Exploding())[jnp.array([0, 4])], [80.0, 0.002], rtol=1e-4
    )
    np.testing.assert_allclose(
        schedules.Times(4, first=0.8)(Linear()), [4.0, 1.5, 2 / 3, 0.25], rtol=1e-5
    )
    assert schedules.Karras(1)(Exploding()).shape == (1,)
