"""Toys: the density integrates to one, the sampler follows it, the data are fixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Grid, Moons, Ring, Spiral, Toy
from genjax.data.toy import Gaussians, draw, log_prob

MIXTURES = [Ring(), Grid(), Moons(), Spiral(), Spiral(arms=3)]
JITTED = jax.jit(log_prob)


@pytest.mark.parametrize(
    "mixture", MIXTURES, ids=lambda m: type(m).__name__ + str(getattr(m, "arms", ""))
)
def test_the_density_integrates_to_one_and_has_its_moments(mixture):
    mixture = mixture()
    limit = float(np.abs(mixture.means).max() + 6 * mixture.scales.max())
    step = float(mixture.scales.min()) / 2
    line = np.arange(-limit, limit, step)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    p = (
        np.concatenate([np.exp(JITTED(mixture, part)) for part in np.array_split(points, 8)])
        * step**2
    )
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    # E x = sum w m and E x x' = sum w (m m' + s² I), from the density and from samples
    mean = mixture.weights @ mixture.means
    second = np.einsum("k,ki,kj->ij", mixture.weights, mixture.means, mixture.means)
    second += np.eye(2) * (mixture.weights @ mixture.scales**2)
    np.testing.assert_allclose(p @ points, mean, atol=2e-3)
    np.testing.assert_allclose(np.einsum("n,ni,nj->ij", p, points, points), second, atol=5e-3)
    x, label = draw(mixture, np.random.default_rng(0), 40_000)
    np.testing.assert_allclose(
        x.mean(0), mean, atol=5 * np.sqrt(np.diag(second) / 40_000).max()
    )
    np.testing.assert_allclose(x.T @ x / 40_000, second, atol=0.05 * np.abs(second).max())
    assert x.dtype == np.float32 and label.dtype == np.int32


def test_uneven_weights_and_scales():
    mixture = Gaussians(
        np.array([[0.0, 0.0], [3.0, 0.0]]),
        np.array([1.0, 0.2]),
        np.array([0.9, 0.1]),
        np.arange(2),
    )
    x = jnp.array([[0.0, 0.0], [3.0, 0.1]])
    normal = lambda d, s: np.exp(-0.5 * d**2 / s**2) / (2 * np.pi * s**2)  # noqa: E731
    want = [
        0.9 * normal(0, 1) + 0.1 * normal(3, 0.2),
        0.9 * normal(np.sqrt(9.01), 1) + 0.1 * normal(0.1, 0.2),
    ]
    np.testing.assert_allclose(np.exp(log_prob(mixture, x)), want, rtol=1e-5)
    _, label = draw(mixture, np.random.default_rng(0), 20_000)
    assert np.mean(label == 1) == pytest.approx(0.1, abs=0.01)


def test_far_from_every_mode_the_density_is_finite_in_logs():
    x = jnp.array([[100.0, -100.0]])
    assert np.isfinite(log_prob(Ring()(), x)).all()
    assert np.isfinite(jax.grad(lambda x: log_prob(Ring()(), x).sum())(x)).all()


def test_toy_data_are_fixed_and_labelled():
    source, again = (
        Toy(mixture=Moons(), train=500, test=200, valid=50).load() for _ in range(2)
    )
    assert source.name == "moons" and source.shape == (2,) and source.classes == 2
    assert source.train["point"].shape == (450, 2) and source.train["point"].dtype == np.float32
    assert len(source.valid["label"]) == 50 and len(source.test["label"]) == 200
    assert np.array_equal(source.train["point"], again.train["point"])
    assert not np.array_equal(source.train["point"][:200], source.test["point"])
    other = Toy(mixture=Moons(), train=500, test=200, seed=1).load()
    assert not np.array_equal(source.train["point"], other.train["point"][:450])
    picture = source.picture(source.test["point"])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and len(np.unique(picture)) > 2
