"""Damage drawn for each example: its law against what it should be, JPEG against Pillow's, keys against order."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.core import example_keys
from genjax.corruptions import (
    Blur,
    Coarse,
    Gaussian,
    Hole,
    Holes,
    Jpeg,
    Lost,
    Pixels,
    Poisson,
    SaltPepper,
    damaged,
)
from genjax.corruptions.jpeg import cosines, jpeg
from genjax.data.photographs import _load
from genjax.errors import UserError

KEYS = example_keys(jax.random.key(0), jnp.arange(64))
GREY = jnp.full((64, 16, 16, 1), 0.25)
EVERY = (
    Gaussian(),
    Poisson(),
    SaltPepper(),
    Pixels(),
    Holes(2),
    Blur(),
    Jpeg(),
    Lost(Coarse(4)),
)


def seen(corruption, x=GREY):
    """The damaged pictures, by one program."""
    return jax.jit(corruption.__call__)(KEYS, x)


@pytest.mark.parametrize("corruption", EVERY, ids=lambda c: type(c).__name__)
def test_an_example_is_damaged_by_its_own_key_alone(corruption):
    corruption.check(GREY.shape[1:])
    do = jax.jit(corruption.__call__)
    whole = do(KEYS, GREY)
    assert whole.x.shape == GREY.shape and whole.level.shape == (64,)
    order = jax.random.permutation(jax.random.key(1), 64)
    turned = do(KEYS[order], GREY[order])
    np.testing.assert_allclose(turned.x, whole.x[order], atol=1e-6)
    np.testing.assert_allclose(turned.level, whole.level[order], atol=1e-6)


def test_noise_has_the_deviation_that_it_tells():
    noisy = seen(Gaussian(0.05, 0.3))
    found = jnp.std(noisy.x - GREY, (1, 2, 3))
    # of 256 pixels each: 4.4 % is the deviation of a deviation
    assert jnp.abs(found / noisy.level - 1).max() < 0.2
    assert jnp.abs(jnp.mean(noisy.x - GREY)) < 0.005  # unclipped: no bias
    assert noisy.level.min() < 0.07 and noisy.level.max() > 0.28

    counted = seen(Poisson(0.05, 0.05))
    # var(n / peak) = x / peak
    assert jnp.std(counted.x) == pytest.approx(0.05 * np.sqrt(0.25), rel=0.03)
    assert jnp.mean(counted.x) == pytest.approx(0.25, abs=0.001)


def test_what_is_lost_is_told_and_the_rest_is_as_it_was():
    for corruption in (Pixels(0.3, 0.6), Holes(3)):
        left = seen(corruption)
        assert set(np.unique(left.known)) == {0.0, 1.0}
        np.testing.assert_array_equal(left.x, GREY * left.known)
        np.testing.assert_allclose(1 - left.known.mean((1, 2, 3)), left.level, atol=0.12)
    salted = seen(SaltPepper(0.4, 0.4))
    changed = np.asarray(salted.x != GREY)
    assert changed.mean() == pytest.approx(0.4, abs=0.01)
    assert (np.asarray(salted.x)[changed] == 1).mean() == pytest.approx(0.5, abs=0.02)


def test_a_hole_has_the_sides_that_were_asked_for():
    known = np.asarray(seen(Holes(1, 0.25, 0.25), jnp.ones((64, 16, 32, 1))).known)
    assert (known == 0).sum((1, 2, 3)).tolist() == [4 * 8] * 64
    # every place is as likely: the edges too
    assert (known[:, 0] == 0).any() and (known[:, -1] == 0).any()


def test_a_blur_keeps_the_mean_and_spreads_by_its_width():
    point = jnp.zeros((64, 33, 33, 1)).at[:, 16, 16].set(1.0)
    found = seen(Blur(1.5, 1.5), point).x[0, :, :, 0]
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    offset = np.arange(33) - 16.0
    variance = (found.sum(0) * offset**2).sum()
    assert variance == pytest.approx(
        1.5**2, rel=0.06
    )  # cut at three deviations, and pixels are whole


def test_cosines_are_orthonormal():
    np.testing.assert_allclose(cosines() @ cosines().T, np.eye(8), atol=1e-6)


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_leaves_what_pillow_leaves(quality, channels):
    photo = _load()[0][100:196, 200:330]  # sides that are no multiples of 8
    image = Pillow.fromarray(photo).convert("RGB" if channels == 3 else "L")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0)
    theirs = np.asarray(Pillow.open(file), np.float32).reshape(*photo.shape[:2], channels)
    x = np.asarray(image, np.float32).reshape(theirs.shape) / 255
    ours = 255 * np.asarray(jax.jit(jpeg)(x, float(quality)))
    # its cosines are whole numbers, so a coefficient in the middle of two steps may go the other way
    apart = np.mean((ours - theirs) ** 2)
    lost = np.mean((255 * x - theirs) ** 2)
    assert apart < 0.1 * lost and apart < 2.0
    assert np.median(np.abs(ours - theirs)) < 0.01


def test_several_are_done_in_turn_and_each_draws_anew():
    together = jax.jit(damaged, static_argnums=0)
    both = together((Gaussian(0.1, 0.1), Pixels(0.5, 0.5), Holes(1)), KEYS, GREY)
    assert both.level.shape == (64, 3)
    assert np.all(np.asarray(both.x)[np.broadcast_to(both.known == 0, both.x.shape)] == 0)
    twice = together((Gaussian(0.1, 0.1), Gaussian(0.1, 0.1)), KEYS, GREY)
    assert jnp.std(twice.x) == pytest.approx(0.1 * np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("corruption", "told"),
    [
        (Gaussian(-0.1, 0.1), "sigma of Gaussian"),
        (Gaussian(0.2, 0.1), "got 0.2 and 0.1"),
        (Poisson(0.0, 0.1), "above 0"),
        (SaltPepper(0.0, 1.5), "<= 1"),
        (Holes(0), "1 or more"),
        (Blur(0.0, 1.0), "above 0"),
        (Blur(1.0, 9.0), "at most 5"),
        (Jpeg(0, 50), "1 <= low"),
        (Lost(Coarse(3)), "blocks of 3"),
        (Lost(Hole()), None),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(corruption, told):
    if told is None:
        corruption.check((16, 16, 1))
        return
    with pytest.raises(UserError, match=told) as error:
        corruption.check((16, 16, 1))
    assert "\n" not in str(error.value)


def test_there_is_no_light_below_black_where_other_noise_came_before():
    below = seen(Poisson(), GREY - 1.0)
    np.testing.assert_array_equal(below.x, 0.0)


def test_every_product_of_jpeg_is_exact_on_accelerators_too():
    trace = jax.make_jaxpr(jpeg)(jnp.zeros((8, 8, 3)), 50.0)
    products = [e.params["precision"] for e in trace.eqns if e.primitive.name == "dot_general"]
    assert products and all(p == (jax.lax.Precision.HIGHEST,) * 2 for p in products)
