"""CIE Lab against scikit-image and known colours; light that stays whatever the colour."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.pictures import lab

# one program each, where op by op dozens are compiled
TO_LAB = jax.jit(lab.to_lab)
FROM_LAB = jax.jit(lab.from_lab)
PAINTED = jax.jit(lab.painted)
GAMUT = jax.jit(lab.in_gamut)

# of the CIE's formulas, to the digits that are usually printed
KNOWN = {
    (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    (1.0, 1.0, 1.0): (100.0, 0.0, 0.0),
    (1.0, 0.0, 0.0): (53.24, 80.09, 67.20),
    (0.0, 1.0, 0.0): (87.73, -86.18, 83.18),
    (0.0, 0.0, 1.0): (32.30, 79.19, -107.86),
}


@pytest.fixture(scope="module")
def colours():
    rng = np.random.default_rng(0)
    rgb = rng.random((1000, 3))
    rgb[:200] *= 0.03  # where sRGB and Lab are lines
    return rgb.astype(np.float32)


def test_known_colours():
    found = np.asarray(TO_LAB(jnp.array(list(KNOWN))))
    np.testing.assert_allclose(found, list(KNOWN.values()), atol=0.015)


def test_it_is_scikit_images(colours):
    color = pytest.importorskip("skimage.color")
    theirs = color.rgb2lab(colours.astype(np.float64))
    np.testing.assert_allclose(TO_LAB(colours), theirs, atol=3e-4)
    back = color.lab2rgb(theirs)
    np.testing.assert_allclose(FROM_LAB(theirs.astype(np.float32)), back, atol=2e-5)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_what_no_screen_has_is_clipped_as_scikit_image_does():
    color = pytest.importorskip("skimage.color")
    strange = np.array([[50.0, 100.0, -100.0], [3.0, -20.0, 99.0], [95.0, -90.0, 20.0]])
    found = np.asarray(FROM_LAB(strange.astype(np.float32)))
    assert not np.asarray(GAMUT(strange)).any()
    assert found.min() == 0.0 and found.max() <= 1.0
    np.testing.assert_allclose(found, color.lab2rgb(strange), atol=1e-4)


def test_there_and_back(colours):
    np.testing.assert_allclose(FROM_LAB(TO_LAB(colours)), colours, atol=2e-5)


def test_derivatives_are_finite_at_black_and_are_differences_elsewhere(colours):
    def whole(rgb):
        return jnp.sum(lab.from_lab(lab.to_lab(rgb)))

    black = jax.jit(jax.grad(lambda rgb: jnp.sum(lab.to_lab(rgb))))(jnp.zeros(3))
    assert np.isfinite(black).all()
    # there and back is the identity, so its derivative is 1, along both bends
    slopes = jax.jit(jax.grad(whole))(jnp.asarray(colours))
    np.testing.assert_allclose(slopes, 1.0, atol=2e-3)


def test_light_is_kept_whatever_the_colour():
    rng = np.random.default_rng(1)
    light = rng.uniform(0, 100, (2000, 1)).astype(np.float32)
    ab = rng.uniform(-110, 110, (2000, 2)).astype(np.float32)
    assert not np.asarray(GAMUT(np.concatenate([light, ab], 1))).all()
    found = np.asarray(TO_LAB(PAINTED(light, ab)))
    np.testing.assert_allclose(found[:, :1], light, atol=5e-3)
    # clipping alone moves it by tens
    clipped = TO_LAB(FROM_LAB(np.concatenate([light, ab], 1)))
    assert np.abs(np.asarray(clipped)[:, :1] - light).max() > 10.0
    # the same hue: along the line to grey, away from which rounding has no direction
    clear = np.hypot(*found[:, 1:].T) > 5.0
    (a, b), (x, y) = found[clear, 1:].T, ab[clear].T
    aside = (a * y - b * x) / np.hypot(x, y)
    assert np.abs(aside).max() < 0.05


def test_a_colour_that_a_screen_has_is_left_alone(colours):
    exact = np.asarray(TO_LAB(colours))
    found = PAINTED(exact[:, :1], exact[:, 1:])
    np.testing.assert_allclose(found, colours, atol=3e-5)


def test_a_picture_is_its_light_and_its_colour(colours):
    picture = colours[:48].reshape(1, 6, 8, 3)
    light, ab = lab.apart(picture)
    np.testing.assert_allclose(jax.jit(lab.together)(light, ab), picture, atol=3e-5)
    _, small = lab.apart(picture, 2)
    assert small.shape == (1, 3, 4, 2)
    np.testing.assert_allclose(small[0, 0, 0], ab[0, :2, :2].mean((0, 1)), rtol=1e-5)
    # and grey is without
    np.testing.assert_allclose(TO_LAB(jax.jit(lab.grey)(light))[..., 1:], 0.0, atol=2e-2)
