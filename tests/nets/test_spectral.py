"""Spectral norms against those of numpy's singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.spectral import POWER, SpectralDense, ahead, iterate


def with_values(*values, n=40):
    """A matrix [n, m] with these singular values."""
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.standard_normal((n, len(values))))
    right, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    return jnp.asarray((left * values) @ right.T, jnp.float32)


def test_squares_are_as_many_power_iterations():
    w = with_values(3.0, 2.97, 2.9, 1.0, 0.0)
    u = jnp.ones(5) / 5**0.5
    one_by_one = jax.lax.fori_loop(0, POWER, lambda _, u: iterate(w, u)[0], u)
    np.testing.assert_allclose(ahead(w, u), one_by_one, atol=2e-4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_of_close_singular_values_the_largest_is_found(scale):
    w = scale * with_values(*np.linspace(1.0, 0.9, 30))
    u, v = iterate(w, ahead(w, jnp.ones(30) / 30**0.5))
    assert float(v @ w @ u) / scale == pytest.approx(1.0, abs=0.02)


def test_the_memory_is_one_vector_which_only_a_mutable_call_moves():
    net, x = SpectralDense(6), jnp.ones((2, 4))
    made = net.init(jax.random.key(0), x)
    assert made["spectral"]["u"].shape == (6,)
    params = {**made["params"], "kernel": with_values(2.0, 1.5, 1.0, 0.5, n=6).T}
    y, kept = net.apply({**made, "params": params}, x, mutable=["spectral"])
    assert np.any(kept["spectral"]["u"] != made["spectral"]["u"])
    again = net.apply({**kept, "params": params}, x)
    np.testing.assert_allclose(y, again, rtol=1e-5)  # what was kept is what is used
    sigma = np.linalg.norm(params["kernel"], 2)
    np.testing.assert_allclose(y, x @ params["kernel"] / sigma, rtol=1e-4, atol=1e-6)


def test_a_kernel_of_zeros_stays_one_and_has_a_finite_gradient():
    net, x = SpectralDense(3), jnp.ones((2, 4))
    made = jax.jit(net.init)(jax.random.key(0), x)
    nothing = jax.tree.map(jnp.zeros_like, made["params"])

    def total(params):
        y, _ = net.apply({**made, "params": params}, x, mutable=["spectral"])
        return jnp.sum(jnp.square(y - 1.0)), y

    grads, y = jax.jit(jax.grad(total, has_aux=True))(nothing)
    np.testing.assert_array_equal(y, 0.0)
    # along the gradient there is a way out of it
    assert np.isfinite(grads["kernel"]).all() and np.all(grads["kernel"] < 0)
