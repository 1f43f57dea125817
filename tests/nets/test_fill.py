"""The filling of holes by push-pull, and the net that begins at it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Cond
from genjax.errors import UserError
from genjax.nets import fill
from genjax.nets.fill import Filled
from genjax.nets.plain import PlainUNet

push_pull = jax.jit(fill.push_pull)  # one program instead of one for each operation


def with_hole(side=13):
    """A picture [1, side, side + 3, 2] of which a rectangle is lost, and where it is known."""
    x = np.random.default_rng(0).normal(size=(1, side, side + 3, 2)).astype(np.float32)
    known = np.ones((1, side, side + 3, 1), np.float32)
    known[:, 4:9, 3:8] = 0
    return x, known


def test_what_is_known_stays_and_what_is_lost_is_not_looked_at():
    x, known = with_hole()
    filled = np.asarray(push_pull(x, known))
    np.testing.assert_array_equal(filled * known, x * known)
    other = np.where(known == 0, 7.0, x)
    np.testing.assert_array_equal(push_pull(other, known), filled)
    # averages of what is known, and nothing beyond
    assert filled.min() >= x.min() and filled.max() <= x.max()


def test_plain_borders_are_continued_plainly():
    _, known = with_hole()
    plain = np.full((1, 13, 16, 2), 0.3, np.float32)
    np.testing.assert_allclose(push_pull(plain * known, known), plain, atol=1e-6)
    # two halves: what lies between them is a mixture that falls from one to the other
    steps = np.zeros((1, 16, 16, 1), np.float32)
    steps[:, :, 12:] = 1
    sides = np.zeros_like(steps)
    sides[:, :, [0, 1, 2, 3, 12, 13, 14, 15]] = 1
    row = np.asarray(push_pull(steps * sides, sides))[0, 8, 3:13, 0]
    assert (np.diff(row) >= -1e-6).all() and row[0] == 0 and row[-1] == 1


def test_one_pixel_is_enough_and_none_gives_nothing():
    x = np.zeros((2, 8, 8, 1), np.float32)
    known = np.zeros((2, 8, 8, 1), np.float32)
    x[0, 5, 2], known[0, 5, 2] = 0.7, 1
    filled = push_pull(x, known)
    np.testing.assert_allclose(filled[0], 0.7, atol=1e-6)
    # a long picture: its short side is one pixel long before the other is
    long = np.zeros((1, 4, 32, 1), np.float32)
    end = np.zeros_like(long)
    long[:, :, 30:], end[:, :, 30:] = 0.7, 1
    np.testing.assert_allclose(push_pull(long, end), 0.7, atol=1e-6)
    np.testing.assert_array_equal(filled[1], 0)


def test_the_net_begins_at_the_filling_and_must_be_told_where():
    x, known = with_hole(12)
    x, known = x[:, :, :12], known[:, :, :12]
    net = Filled(PlainUNet((4,), blocks=1, patch=2))
    told = Cond(maps=2 * jnp.asarray(known) - 1)
    level = jnp.zeros(1)
    weights = jax.jit(net.init, static_argnums=4)(
        jax.random.key(0), x, level, told, (12, 12, 2)
    )
    away = jax.jit(net.apply, static_argnums=4)(weights, x, level, told, (12, 12, 2))
    np.testing.assert_allclose(x - away, push_pull(x, known), atol=1e-6)
    with pytest.raises(UserError, match="blind=False"):
        net.init(jax.random.key(0), x, level, None, (12, 12, 2))


def test_an_answer_has_the_contrast_and_the_brightness_of_its_picture():
    x, known = with_hole(12)
    x, known = x[:, :, :12], known[:, :, :12]
    net = Filled(PlainUNet((4,), blocks=1, patch=2))
    told = Cond(maps=2 * jnp.asarray(known) - 1)
    level = jnp.full(1, 0.2)
    weights = jax.jit(net.init, static_argnums=4)(
        jax.random.key(0), x, level, told, (12, 12, 2)
    )
    # the last layer begins at zero, and zero has every symmetry
    weights = jax.tree.map(lambda w: w + 0.02, weights)

    @jax.jit
    def answer(x):
        return x - net.apply(weights, x, level, told, (12, 12, 2))

    once = answer(x)
    assert np.abs(once - push_pull(x, known)).max() > 0.1
    np.testing.assert_allclose(answer(3 * x + 5), 3 * once + 5, rtol=1e-4, atol=1e-4)
