"""Core, optimisers, latent paths: each formula against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax import core
from genjax.optim import Adam, Constant, CosineDecay
from genjax.pictures import latent


def test_descend_takes_one_step_and_reports_the_gradient_norm():
    def loss(w, target):
        return 0.5 * jnp.sum((w - target) ** 2), {"distance": jnp.abs(w - target).max()}

    w, tx = jnp.array([1.0, 2.0]), optax.sgd(0.1)
    new, _, metrics = core.descend(loss, tx, w, tx.init(w), jnp.array([4.0, -2.0]))
    np.testing.assert_allclose(new, [1.3, 1.6], rtol=1e-6)
    np.testing.assert_allclose(
        [metrics["loss"], metrics["grad_norm"], metrics["distance"]], [12.5, 5.0, 4.0]
    )


def test_noise_is_a_function_of_the_index_alone():
    key, index = jax.random.key(3), jnp.array([4, 9, 2], jnp.uint32)
    noise = core.example_normal(key, index, (5,))
    np.testing.assert_array_equal(core.example_normal(key, index[1:2], (5,))[0], noise[1])
    many = core.example_normal(key, jnp.arange(4000, dtype=jnp.uint32), (5,))
    assert abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03
    assert (
        abs(np.corrcoef(many[:-1, 0], many[1:, 0])[0, 1]) < 0.06
    )  # neighbours are independent


@pytest.mark.parametrize(
    "decay, expected",
    [(Constant(), [0.0, 0.5, 1.0, 1.0, 1.0]), (CosineDecay(0.2), [0.0, 0.5, 1.0, 0.6, 0.2])],
)
def test_learning_rates_over_a_run(decay, expected):
    # with b1 = b2 = 0 Adam's update is -rate * sign(gradient), so the rate can be read off the updates
    tx = Adam(1.0, b1=0.0, b2=0.0, warmup=2, decay=decay)(6)
    opt, rates = tx.init(jnp.zeros(())), []
    for _ in range(7):
        update, opt = tx.update(jnp.asarray(3.0), opt, jnp.zeros(()))
        rates.append(-float(update))
    np.testing.assert_allclose(
        [rates[0], rates[1], rates[2], rates[4], rates[6]], expected, atol=1e-6
    )


def test_clipping_bounds_the_global_norm():
    tx = Adam(1.0, clip=1.0)(10)
    grads = {"a": jnp.array([30.0, 40.0])}
    _, opt = tx.update(grads, tx.init(grads), grads)
    np.testing.assert_allclose(
        optax.tree.get(opt, "mu")["a"], 0.1 * np.array([0.6, 0.8]), rtol=1e-5
    )


def test_slerp_is_the_great_arc():
    a, b = jnp.array([[1.0, 0.0], [2.0, 0.0]]), jnp.array([[0.0, 1.0], [0.0, 4.0]])
    path = latent.slerp(a, b, 4)
    angles = np.linspace(0, np.pi / 2, 4)
    np.testing.assert_allclose(
        path[0], np.stack([np.cos(angles), np.sin(angles)], -1), atol=1e-6
    )
    np.testing.assert_allclose(
        np.linalg.norm(path[1], axis=-1), np.linspace(2, 4, 4), rtol=1e-5
    )
    np.testing.assert_allclose(
        latent.slerp(a, 3 * a, 3)[0, 1], [2.0, 0.0], atol=1e-6
    )  # parallel: the line
    np.testing.assert_allclose(latent.lerp(a, b, 3)[0, 1], [0.5, 0.5])


def test_gaussian_codes_keep_their_norm_along_slerp_but_not_along_lerp():
    a, b = jax.random.normal(jax.random.key(0), (2, 200, 40))
    middle = lambda path: np.linalg.norm(path(a, b, 3)[:, 1], axis=-1).mean() / np.sqrt(40)  # noqa: E731
    assert abs(middle(latent.slerp) - 1) < 0.05 and middle(latent.lerp) < 0.75


def test_traverse_and_plane_cover_what_they_say():
    z = jnp.arange(4.0)
    rows = latent.traverse(z, jnp.array([2, 0]), jnp.array([-1.0, 9.0]))
    np.testing.assert_array_equal(rows[0], [[0, 1, -1, 3], [0, 1, 9, 3]])
    np.testing.assert_array_equal(rows[1], [[-1, 1, 2, 3], [9, 1, 2, 3]])
    plane = latent.plane(jnp.array([0.0, 10.0]), jnp.array([1.0, 20.0]), 3)
    np.testing.assert_allclose(plane[0], [0.0, 20.0])  # top left
    np.testing.assert_allclose(plane[-1], [1.0, 10.0])  # bottom right
    assert plane.shape == (9, 2)
