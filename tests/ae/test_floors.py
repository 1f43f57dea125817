"""Floors against pictures whose answer is known, and figures that count for their own pictures alone."""

import json
import sys

import numpy as np
import pytest

from genjax.ae import floors as f
from genjax.ae.figures import Figures, marks
from genjax.config import edit
from genjax.corruptions import Gaussian
from genjax.errors import UserError
from genjax.metrics.images import psnr

SIGMA = 25 / 255


def steps(channels: int, side: int = 48) -> np.ndarray:
    """Two flat halves and a slow ramp: [H, W, C] in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side
    one = np.where(x > 0.5, 0.7, 0.2) + 0.1 * y
    return np.repeat(one[..., None], channels, -1).astype(np.float32)


def noisy(clean: np.ndarray) -> np.ndarray:
    eps = np.random.default_rng(0).normal(size=clean.shape)
    return (clean + SIGMA * eps).astype(np.float32)


def better(found: np.ndarray, seen: np.ndarray, clean: np.ndarray) -> float:
    """Decibels that are won against doing nothing."""
    assert found.shape == clean.shape
    return float(psnr(found[None], clean[None])[0] - psnr(seen[None], clean[None])[0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("floor", "least"),
    [
        (f.NonLocalMeans(), 8.0),
        (f.TotalVariation(), 8.0),
        (f.Wavelets(shifts=2), 3.0),
        (f.Wavelets(universal=True, shifts=1), 3.0),
    ],
    ids=["nlm", "tv", "bayes", "visu"],
)
def test_noise_of_known_deviation_is_taken_away(floor, least, channels):
    pytest.importorskip("skimage")
    clean = steps(channels)
    floor.check(clean.shape)
    seen = noisy(clean)
    assert better(floor(seen, SIGMA, None), seen, clean) > least


def test_photons_are_counted_by_a_root_without_a_bias():
    pytest.importorskip("skimage")
    deviation, level = 0.1, 0.4
    rng = np.random.default_rng(0)
    seen = rng.poisson(level / deviation**2, (64, 64, 1)) * deviation**2
    found = f.Stabilised(f.TotalVariation())(seen, deviation, None)
    # noise is gone and the mean has not moved
    assert found.std() < 0.2 * seen.std()
    assert found.mean() == pytest.approx(seen.mean(), abs=2e-3)
    # where there is no light a root of what is below zero would be no number
    dark = f.Stabilised(f.TotalVariation())(np.zeros((16, 16, 1)), deviation, None)
    assert np.isfinite(dark).all()


def holed(clean: np.ndarray) -> np.ndarray:
    known = np.ones((*clean.shape[:2], 1), np.float32)
    known[14:30, 10:36] = 0.0
    return known


def test_a_plane_goes_on_through_a_hole():
    pytest.importorskip("skimage")
    y, x = np.mgrid[:48, :48] / 48
    plane = np.stack([0.2 + 0.5 * x + 0.2 * y, 0.9 - 0.6 * y], -1)
    known = holed(plane)
    found = f.Biharmonic()(plane * known, 0.2, known)
    np.testing.assert_allclose(found, plane, atol=1e-9)
    everything = np.ones_like(known)
    np.testing.assert_array_equal(f.Biharmonic()(plane, 0.0, everything), plane)


def test_lost_pixels_are_filled_and_known_ones_are_left():
    clean = steps(3)
    known = holed(clean)
    seen = clean * known
    there = known[..., 0] > 0
    for floor in (f.Nearest(), f.MeanFill()):
        found = floor(seen, 0.2, known)
        np.testing.assert_array_equal(found[there], clean[there])
        assert better(found, seen, clean) > 3.0
    mean = f.MeanFill()(seen, 0.2, known)[20, 20]
    np.testing.assert_allclose(mean, clean[there].mean(0), rtol=1e-5)
    # across the edge within the hole each side has its own nearest
    nearest = f.Nearest()(seen, 0.2, known)
    assert nearest[22, 11, 0] < 0.35 < nearest[22, 34, 0]


def test_salt_and_pepper_become_what_is_around_them():
    clean = steps(3)
    draw = np.random.default_rng(0).random(clean.shape[:2])
    seen = np.array(clean)
    seen[draw < 0.3] = 0.0
    seen[draw > 0.7] = 1.0
    found = f.Median()(seen, 0.6, None)
    assert better(found, seen, clean) > 15.0
    untouched = (draw >= 0.3) & (draw <= 0.7)
    np.testing.assert_array_equal(found[untouched], clean[untouched])
    black = np.zeros((4, 4, 1))
    np.testing.assert_array_equal(f.Median()(black, 1.0, None), black)


def test_a_ramp_of_blocks_is_a_ramp_again():
    y, x = np.mgrid[:48, :48] / 48
    plane = (0.2 + 0.5 * x + 0.2 * y)[..., None]
    means = plane.reshape(12, 4, 12, 4, 1).mean((1, 3))
    coarse = means.repeat(4, 0).repeat(4, 1)
    found = f.Bicubic(4)(coarse, 1.0, None)
    inner = (slice(8, -8), slice(8, -8))  # at the border the cubic has no neighbours
    np.testing.assert_allclose(found[inner], plane[inner], atol=1e-6)


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (f.Median(4), "odd side"),
        (f.Median(1), "odd side"),
        (f.Bicubic(5), "whole blocks"),
        (f.Bicubic(0), "at least 1"),
        (f.NonLocalMeans(h=0.0), "above 0"),
        (f.TotalVariation(weight=-1.0), "above 0"),
        (f.Wavelets("nonsense"), "no wavelet is called"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(floor, said):
    pytest.importorskip("skimage")
    with pytest.raises(UserError, match=said) as told:
        floor.check((48, 48, 1))
    assert "\n" not in str(told.value)


def test_a_package_that_is_missing_is_told_with_how_to_get_it(monkeypatch):
    for name in ("skimage.restoration", "bm3d"):
        monkeypatch.setitem(sys.modules, name, None)  # what import says of none
    for floor in (f.NonLocalMeans(), f.TotalVariation(), f.Wavelets(), f.Biharmonic()):
        with pytest.raises(UserError, match=r"pip install 'deepgenjax\[floors\]'"):
            floor.check((48, 48, 1))
    with pytest.raises(UserError, match="pip install bm3d, .*non-commercial"):
        f.BM3D().check((48, 48, 1))


def test_a_hole_that_nobody_tells_of_cannot_be_filled():
    for floor in (f.Biharmonic(), f.Nearest(), f.MeanFill()):
        with pytest.raises(UserError, match="does not say which"):
            floor(steps(1), 0.1, None)


@pytest.fixture
def stored(tmp_path):
    """(Figures of three pictures, the pictures, what was given)."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (3, 32, 32, 1))
    clean = (levels / 255).astype(np.float32)
    seen = clean + np.float32(0.1) * rng.normal(size=clean.shape).astype(np.float32)
    known = marks(clean, seen)
    one = {"damage": repr(Gaussian(0.1, 0.1)), "psnr": [30.0, 31.0, 32.0], "ssim": [0.9] * 3}
    one |= {"crc32": known.crc32, "input": known.input}
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"method": "BM3D", "sets": [one]}))
    return Figures(str(path)), clean, seen


def test_figures_find_their_pictures_in_any_order(stored):
    figures, clean, seen = stored
    name, found = figures.of(Gaussian(0.1, 0.1), clean[::-1], seen[::-1])
    assert name == "BM3D"
    assert [figure.psnr for figure in found] == [32.0, 31.0, 30.0]
    # rounding of another machine is no other noise
    figures.of(Gaussian(0.1, 0.1), clean, seen + np.float32(1e-6))


def test_figures_are_refused_for_other_pictures_other_noise_and_other_damage(stored):
    figures, clean, seen = stored
    damage = Gaussian(0.1, 0.1)
    brighter = clean.copy()
    brighter[1, 0, 0] = 1.0 - brighter[1, 0, 0]
    other = np.random.default_rng(1).normal(size=clean.shape)
    with pytest.raises(UserError, match="no such picture"):
        figures.of(damage, brighter, seen)
    with pytest.raises(UserError, match="other noise"):
        figures.of(damage, clean, clean + 0.1 * other)
    with pytest.raises(UserError, match="no such picture"):
        figures.of(edit(damage, {"high": 0.2}), clean, seen)


@pytest.mark.parametrize("content", ["", "[]", '{"method": "BM3D"}'])
def test_a_broken_file_of_figures_is_one_line(content, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(UserError, match="cannot be read as figures") as told:
        Figures(str(path)).of(Gaussian(), np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8, 1)))
    assert "\n" not in str(told.value)
