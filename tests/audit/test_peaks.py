"""Peaks in spectra: a planted wave is found at its frequency with its closed height; slopes and chance are no peaks."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import exp1

from genjax.audit import peaks
from genjax.audit.fronts import KV
from genjax.audit.judged import Halves
from genjax.findings import spectra
from genjax.pictures.heat import centred, lines
from genjax.training.log import Log

SIDE, WIDE = 16, 24
SIGMA = 12.0  # grey levels of noise
HALF = Fraction(1, 2)


def noise(n: int, seed: int, sigma: float = SIGMA) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 127.0 + sigma * rng.standard_normal((n, SIDE, WIDE, 1))


def wave(u: int, v: int, amplitude: float, phase: float = 0.3) -> np.ndarray:
    """A cosine of u cycles down and v across, [SIDE, WIDE, 1] grey levels."""
    i, j = np.indices((SIDE, WIDE))
    angle = 2 * np.pi * (u * i / SIDE + v * j / WIDE) + phase
    return amplitude * np.cos(angle)[..., None]


def stored(levels: np.ndarray) -> np.ndarray:
    return np.uint8(np.clip(np.rint(levels), 0, 255))


def found(real: np.ndarray, generated: np.ndarray, **more) -> list[peaks.Peak]:
    """Peaks of pictures that are all of groups of their own."""
    groups = (np.arange(len(real)), np.arange(len(generated)))
    both = [peaks.log_power(half) for half in (real, generated)]
    return peaks.peaks(*both, *groups, **more)


@pytest.mark.parametrize("u, v", [(3, 5), (5, -7), (0, 8), (4, 0)])
def test_a_planted_wave_is_the_one_peak_with_its_closed_height(u, v):
    n, amplitude = 400, 6.0
    real, generated = (
        stored(noise(n, seed) + added) for seed, added in ((0, 0.0), (1, wave(u, v, amplitude)))
    )
    [peak] = found(real, generated)
    assert (peak.down, peak.across) == (Fraction(u, SIDE), Fraction(v, WIDE))
    assert peak.p < peaks.ALPHA
    # A^2 H W / 4 against the noise and its rounding
    x = amplitude**2 * SIDE * WIDE / 4 / (SIGMA**2 + 1 / 12)
    d = np.log(x) + exp1(x) + np.euler_gamma
    plane = peaks.log_power(generated).mean(0) - peaks.log_power(real).mean(0)
    assert plane[u % SIDE, v % WIDE] == pytest.approx(d, abs=0.2)
    # beside it is noise in both: what stands out is d, of four lines the lowest
    assert peak.height == pytest.approx(peaks.DECIBELS * d, abs=1.2)


def test_a_checkerboard_has_four_times_a_wave_s_power():
    amplitude = 2.0
    tiles = wave(SIDE // 2, WIDE // 2, amplitude, phase=0.0)
    assert set(np.unique(np.rint(tiles))) == {-amplitude, amplitude}
    # alone: A^2 H W of [0, 1], at one frequency that is its own pair
    power = np.exp(peaks.log_power(stored(127.0 + tiles)[None]))[0] - peaks.FLOOR
    expected = (amplitude / 255) ** 2 * SIDE * WIDE
    assert power[SIDE // 2, WIDE // 2] == pytest.approx(expected, rel=1e-6)
    [peak] = found(stored(noise(300, 0)), stored(noise(300, 1) + tiles))
    assert (peak.down, peak.across) == (HALF, HALF)
    assert peaks.described(peak) == "a checkerboard"


def test_a_peak_says_where_its_wave_goes():
    def told(down: Fraction, across: Fraction) -> str:
        return peaks.described(peaks.Peak(down, across, 3.0, 0.0))

    assert told(HALF, Fraction(0)) == "down, every 2 pixels"
    assert told(Fraction(0), Fraction(1, 4)) == "across, every 4 pixels"
    assert told(Fraction(1, 4), Fraction(1, 4)) == "45° from across to down, every 2.83 pixels"
    assert told(Fraction(1, 4), Fraction(-1, 4)).startswith("135°")


def test_the_residual_of_kv_sees_no_stripes():
    # so it is pictures whose spectra are compared: along either axis the filter gives nothing
    response = np.abs(np.fft.fft2(KV, (SIDE, WIDE)))
    assert np.max(response[0]) < 1e-6 and np.max(response[:, 0]) < 1e-6
    assert response[SIDE // 2, WIDE // 2] > 5.0


def test_real_against_real_has_a_peak_as_seldom_as_is_said():
    # a wave that both have is no trace, a hundred draws of 40 pictures each
    alarms, small = 0, 0
    for seed in range(100):
        both = [stored(noise(40, 2 * seed + i) + wave(3, 5, 9.0)) for i in (0, 1)]
        alarms += bool(found(*both))
        of_both = [peaks.mean_of(peaks.log_power(half), np.arange(40)) for half in both]
        apart = peaks.apart(*of_both)
        small += np.mean(np.abs(apart.value / apart.error)[peaks.asked(SIDE, WIDE)] > 1.99)
    # more than 4 of 100 happen in one of 300, at 1 %
    assert alarms <= 4
    # 1.99 is Student's 5 % at 78 degrees of freedom
    assert small / 100 == pytest.approx(0.05, abs=0.006)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_smooth_or_noisy_has_no_peak(seed):
    def photographs(n: int, seed: int) -> np.ndarray:
        plain = gaussian_filter(noise(n, seed, 40.0), (0, 1.0, 1.0, 0), mode="wrap")
        return plain + 0.1 * (noise(n, seed + 100) - 127.0)

    real, others = stored(photographs(300, seed)), photographs(300, seed + 50)
    smooth = stored(gaussian_filter(others, (0, 0.7, 0.7, 0)))
    grainy = stored(others + noise(300, seed + 200, 6.0) - 127.0)
    assert not found(real, smooth) and not found(real, grainy)
    # a ridge, more power at all frequencies of an axis, is none either
    lifted = others + np.random.default_rng(seed).normal(0, 8, (300, SIDE, 1, 1))
    assert not found(real, stored(lifted))
    assert found(real, stored(others + wave(5, 7, 4.0)))


def test_errors_are_over_groups():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 2, 3))
    alone = peaks.mean_of(x, np.arange(12))
    np.testing.assert_allclose(alone.square, x.var(0, ddof=1) / 12)
    assert alone.freedom == 11
    # of pictures that are there three times nothing more is known
    group = np.tile(np.arange(12), 3)
    thrice = peaks.mean_of(np.concatenate([x, x, x]), group)
    np.testing.assert_allclose(thrice.square, alone.square)
    np.testing.assert_allclose(thrice.value, alone.value)
    # of one group nothing, and then nothing is told
    one = peaks.mean_of(x, np.zeros(12))
    assert np.all(np.isinf(one.square))
    assert np.all(peaks.apart(alone, one).freedom == 1.0)
    real, generated = stored(noise(40, 0)), stored(noise(40, 1) + wave(3, 5, 9.0))
    both = [peaks.log_power(half) for half in (real, generated)]
    assert not peaks.peaks(*both, np.zeros(40), np.arange(40))
    # Welch's degrees of freedom of two alike are twice those of one
    same = peaks.apart(alone, alone)
    np.testing.assert_allclose(same.freedom, 22.0)
    np.testing.assert_allclose(same.error, np.sqrt(2 * alone.square))


def test_each_pair_of_frequencies_is_asked_once():
    which = peaks.asked(SIDE, WIDE)
    i, j = np.nonzero(which)
    places = set(zip(i.tolist(), j.tolist(), strict=True))
    own = {(u, v) for u, v in places if (-u % SIDE, -v % WIDE) == (u, v)}
    assert own == {(0, WIDE // 2), (SIDE // 2, 0), (SIDE // 2, WIDE // 2)}
    pairs = {(-u % SIDE, -v % WIDE) for u, v in places - own}
    assert not pairs & places
    # all but the mean and the eight about it
    assert len(places | pairs) == SIDE * WIDE - 9


def test_a_finding_tells_rings_peaks_and_what_chance_gives(tmp_path):
    real, other = stored(noise(100, 0)), stored(noise(100, 1))
    waved = stored(noise(100, 2) + wave(4, 6, 8.0))
    halves = {"real": (real, other), "waved": (real, waved)}
    log = Log(tmp_path, 0, 1)
    [(title, rows)] = spectra.tell(log, halves, Halves(np.arange(100), np.arange(100))).items()
    assert title == "spectra, generated less real pictures" and list(rows) == ["real", "waved"]
    assert rows["real"]["peaks"] == "0" and abs(float(rows["real"]["in standard errors"])) < 5
    assert rows["waved"]["highest (down, across) [cycles a pixel]"] == "(1/4, 1/4)"
    results = log.result("peaks")
    # radius in cycles over the longer side: 4 * 24 / 16 and 6
    assert results["waved"]["ring"] == round(np.hypot(6, 6)) == 8
    assert results["waved"]["ring_errors"] > 20
    assert results["waved"]["peaks"][0][:2] == [0.25, 0.25]
    assert len(log.result("spectra")["real"]) == len(log.result("spectra")["waved"])
    assert {path.stem for path in tmp_path.rglob("*.png")} == {"spectra", "peaks"}


def test_a_map_is_white_at_0_red_above_and_blue_below():
    def redness(number: float) -> float:
        picture = centred({"a": np.full((8, 8), number)}, "x", "y", "dB", 3.0)
        # the scale beside the tile is as red as blue
        return float(np.mean(picture[..., 0].astype(float) - picture[..., 2]))

    below, nothing, above = (redness(number) for number in (-3.0, 0.0, 3.0))
    assert below < nothing - 5 and above > nothing + 5
    assert redness(9.0) == above
    plain, marked = (
        centred({"a": np.zeros((8, 8))}, "x", "y", "dB", 3.0, marks)
        for marks in (None, {"a": [(-4.0, 2.0)]})
    )
    assert np.any(plain != marked)
    named = lines({"a": {"b": {0.0: 1.0, 1.0: 2.0}}}, "y", across="frequency")
    assert np.any(named != lines({"a": {"b": {0.0: 1.0, 1.0: 2.0}}}, "y"))
