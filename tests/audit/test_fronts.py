"""What detectors look at, against numpy: spectra of planted waves and of noise, a filter that no plane passes."""

import jax
import numpy as np
import pytest

from genjax.audit import fronts
from genjax.errors import UserError

SIDE = 16


def wave(u: int, v: int, amplitude: float = 0.25) -> np.ndarray:
    """A cosine of whole frequencies over a grey picture, [SIDE, SIDE, 1]."""
    i, j = np.indices((SIDE, SIDE))
    angle = 2 * np.pi * (u * i + v * j) / SIDE
    return (0.5 + amplitude * np.cos(angle))[..., None].astype(np.float32)


@pytest.mark.parametrize("u, v", [(0, 5), (3, 4), (4, -3)])
def test_a_planted_period_is_a_peak_of_its_own_ring(u, v):
    found = np.asarray(fronts.radial(wave(u, v)[None]))[0]
    # |F(±k)|² = (A H W / 2)², so two frequencies of P = A² H W / 4
    power = 0.25**2 * SIDE * SIDE / 4
    ring = fronts.rings(SIDE, SIDE)
    count = np.sum(ring == 5)
    assert np.argmax(found[1:]) + 1 == 5
    np.testing.assert_allclose(found[5], np.log(2 * power / count), rtol=1e-4)
    # nothing of it is in another ring
    others = np.delete(found, [0, 5])
    assert np.all(others < np.log(2 * fronts.FLOOR) + 0.5)


def test_rings_are_those_of_a_transform_by_hand_and_power_is_that_of_parseval():
    x = np.random.default_rng(0).random((2, SIDE, 12, 3)).astype(np.float32)
    found = np.exp(np.asarray(fronts.radial(x))) - fronts.FLOOR
    ring = fronts.rings(SIDE, 12)
    count = np.bincount(ring.ravel())
    # what rings hold together is the sum of squares
    total = (found * count).sum(1)
    np.testing.assert_allclose(total, np.square(x).mean(3).sum((1, 2)), rtol=1e-4)
    power = np.abs(np.fft.fft2(x[0], axes=(0, 1))) ** 2 / (SIDE * 12)
    by_hand = [power.mean(2)[ring == k].mean() for k in range(len(count))]
    np.testing.assert_allclose(found[0], by_hand, rtol=1e-3)


def test_the_filter_annihilates_planes_and_knows_the_variance_of_noise():
    i, j = np.indices((20, 20))
    plane = (0.3 + 0.01 * i - 0.02 * j)[None, ..., None].astype(np.float32)
    inner = np.asarray(fronts.residual(plane))[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, 0.0, atol=1e-6)
    noise = np.random.default_rng(1).standard_normal((64, 20, 20, 2)).astype(np.float32)
    left = np.asarray(fronts.residual(noise))[:, 2:-2, 2:-2]
    # of white noise the variance is the sum of the filter's squares
    assert left.var() == pytest.approx(np.sum(fronts.KV**2), rel=0.02)
    # channels do not meet
    alone = np.asarray(fronts.residual(noise[..., :1]))
    np.testing.assert_allclose(np.asarray(fronts.residual(noise))[..., :1], alone, atol=1e-5)


def test_a_residual_is_cut_at_grey_levels():
    x = np.zeros((1, 12, 12, 1), np.float32)
    x[0, 6, 6] = 1.0
    seen = np.asarray(jax.jit(fronts.Residual(4.0))(x))
    assert seen.min() == -1.0 and seen.max() == 1.0
    x[0, 6, 6] = 1.0 / 255.0  # a single level: -12 / 12 of it are left
    assert np.asarray(fronts.Residual(4.0)(x))[0, 6, 6, 0] == pytest.approx(-0.25)


@pytest.mark.parametrize("front", [fronts.Residual(), fronts.Spectrum()])
def test_pictures_that_are_too_small_are_told(front):
    with pytest.raises(UserError, match="pixels"):
        front.check((3, 3, 1))
    front.check((8, 8, 1))
