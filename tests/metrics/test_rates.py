"""Codecs compared, on curves whose difference is known; MS-SSIM against its definition, written out again."""

import numpy as np
import pytest
from scipy.signal import convolve2d

from genjax.metrics.images import ms_ssim
from genjax.metrics.rates import Curve, bd_rate, frontier, overlap

QUALITY = np.array([28.0, 31.0, 33.5, 37.0, 40.0])
RATE = np.array([0.1, 0.2, 0.35, 0.7, 1.3])


def test_curves_that_lie_apart_by_a_factor_have_that_bd_rate():
    whole = Curve(RATE, QUALITY)
    assert bd_rate([Curve(0.7 * RATE, QUALITY)], [whole]) == pytest.approx(-0.3, abs=1e-12)
    assert bd_rate([whole], [whole]) == 0.0
    # in any order
    turned = Curve(0.5 * RATE[::-1], QUALITY[::-1])
    assert bd_rate([turned], [whole]) == pytest.approx(-0.5, abs=1e-12)
    assert np.isnan(bd_rate([Curve(RATE, QUALITY + 20)], [whole]))


def test_only_qualities_that_both_reach_count():
    # log rates on lines: 2 bits for 10 dB and 1 bit for 10 dB, the same at 30
    steep = Curve(2.0 ** np.array([-1.0, 0.0, 1.0]), np.array([25.0, 30.0, 35.0]))
    flat = Curve(2.0 ** np.array([0.0, 0.5]), np.array([30.0, 35.0]))
    mean = np.mean(np.linspace(0.0, 0.5, 1001))
    assert bd_rate([steep], [flat]) == pytest.approx(2.0**mean - 1, rel=1e-9)


def test_the_best_of_several_curves_counts():
    low, high = Curve(RATE, QUALITY), Curve(2 * RATE, QUALITY)
    assert bd_rate([low, high], [high]) == pytest.approx(-0.5, abs=1e-12)
    beaten = Curve(np.append(RATE, 0.5), np.append(QUALITY, 30.0))
    assert np.array_equal(frontier(beaten).rate, RATE)


def test_how_much_of_the_curves_a_bd_rate_is_of():
    whole = Curve(RATE, QUALITY)  # 28 to 40 dB
    assert overlap([whole], [whole]) == 1.0
    # within the other: all of the narrower
    assert overlap([Curve(RATE[:3], QUALITY[:3])], [whole]) == pytest.approx(1.0)
    assert overlap([Curve(RATE, QUALITY + 9)], [whole]) == pytest.approx(3 / 12)
    assert overlap([Curve(RATE, QUALITY + 20)], [whole]) == 0.0
    assert overlap([Curve(RATE[:1], QUALITY[:1])], [whole]) == 1.0  # one setting is all
    # two curves of a side with nothing between 31 and 37
    apart = [Curve(RATE[:2], QUALITY[:2]), Curve(RATE[3:], QUALITY[3:])]
    assert overlap(apart, [whole]) == pytest.approx(0.5, abs=2e-3)


def test_a_setting_that_loses_nothing_has_no_place_on_the_curve():
    whole = Curve(RATE, QUALITY)
    exact = Curve(np.append(0.7 * RATE, 2.0), np.append(QUALITY, np.inf))
    assert bd_rate([exact], [whole]) == pytest.approx(-0.3, abs=1e-12)
    assert np.isnan(bd_rate([Curve(RATE[:1], np.array([np.inf]))], [whole]))
    # one setting is compared at its own quality
    assert bd_rate([Curve(np.array([0.1]), np.array([31.0]))], [whole]) == pytest.approx(-0.5)


def test_ms_ssim_is_its_definition():
    rng = np.random.default_rng(0)
    a = rng.random((192, 200))
    b = np.clip(a + 0.2 * rng.standard_normal(a.shape), 0, 1)
    offset = np.arange(11) - 5
    gaussian = np.exp(-(offset**2) / (2 * 1.5**2))
    window = np.outer(gaussian, gaussian) / gaussian.sum() ** 2
    value, x, y = 1.0, a, b
    for scale, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mx, my, xx, yy, xy = (
            convolve2d(v, window, "valid") for v in (x, y, x * x, y * y, x * y)
        )
        index = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
        if scale == 4:
            index = index * (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        value *= index.mean() ** power
        h, w = (side // 2 * 2 for side in x.shape)
        x, y = (v[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3)) for v in (x, y))
    found = ms_ssim(a[None, ..., None], b[None, ..., None])
    assert found[0] == pytest.approx(value, rel=1e-9)
    assert ms_ssim(a[None, ..., None], a[None, ..., None])[0] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="smaller than 176"):
        ms_ssim(a[None, :100, :, None], b[None, :100, :, None])
