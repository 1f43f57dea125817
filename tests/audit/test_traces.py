"""No shortcut: a JPEG in the past of one half, lost grey levels, another size are told; alike halves pass."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from genjax.audit import traces
from genjax.audit.handling import Handling, halved, resaved
from genjax.errors import UserError


def pictures(n: int, seed: int, side: int = 16, channels: int = 1) -> np.ndarray:
    """Smooth noise with some grain, as photographs have it."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, side, side, channels))
    smooth = gaussian_filter(noise, (0, 2.0, 2.0, 0))
    grain = 0.05 * rng.standard_normal(noise.shape)
    return np.uint8(np.clip(127 + 200 * (smooth + 0.3 * grain), 0, 255))


def saved(images: np.ndarray, quality: int) -> np.ndarray:
    return Handling(kind="JPEG", quality=quality)(images)


@pytest.fixture(scope="module")
def halves():
    return pictures(40, 0), pictures(40, 1)


def test_fresh_halves_pass(halves):
    found = traces.check_alike(*halves)
    assert found.told() == "" and found.ghost < 0.2


DEAR = [pytest.param(quality, marks=pytest.mark.all) for quality in (50, 90)]


@pytest.mark.parametrize("quality", [75, *DEAR])
def test_a_jpeg_in_the_past_of_the_real_half_is_told_with_its_quality(halves, quality):
    real, generated = halves
    with pytest.raises(UserError, match="saved as JPEG of a quality of about"):
        traces.check_alike(saved(real, quality), generated)
    found = traces.traces(saved(real, quality), generated)
    assert abs(found.quality - quality) <= 2
    # and both through the same encoder pass
    both = [saved(half, quality) for half in halves]
    assert traces.check_alike(*both).ghost < traces.GHOST


@pytest.mark.all
def test_a_smoother_half_is_no_jpeg(halves):
    real, generated = halves
    smooth = np.uint8(gaussian_filter(np.float32(generated), (0, 0.7, 0.7, 0)))
    assert traces.traces(real, smooth).ghost < traces.GHOST


def test_levels_that_one_half_never_uses_are_told(halves):
    real, generated = halves
    few = real // 16 * 16
    with pytest.raises(
        UserError, match="real pictures use 16 grey levels and generated ones 2"
    ):
        traces.check_alike(few, generated)


def test_blocks_are_a_grid_and_lines_are_none():
    columns = np.tile(np.arange(24.0), (5, 24, 1))
    assert traces.grid(columns / 255.0) == pytest.approx(0.0, abs=1e-4)
    # steps of 2 levels at the borders of blocks, and nowhere else
    blocks = np.floor(columns / 8) * 2.0
    assert traces.grid(blocks / 255.0) == pytest.approx(np.log(2.01 / 0.01), rel=1e-4)
    # patches of 4 pixels are in both
    patches = np.floor(columns / 4) * 2.0
    assert traces.grid(patches / 255.0) == pytest.approx(0.0, abs=1e-4)
    assert traces.grid(columns[:, :6, :6]) == 0.0


@pytest.mark.parametrize(
    "other, told",
    [
        (pictures(40, 1, 24), "by their size"),
        (np.float32(pictures(40, 1)) / 255.0, "bytes"),
        (pictures(5, 1), "too few"),
    ],
)
def test_other_containers_are_told(halves, other, told):
    with pytest.raises(UserError, match=told):
        traces.check_alike(halves[0], other)


def test_handling_is_the_same_for_all():
    image = pictures(2, 3, 16, 3)
    assert np.array_equal(Handling()(image), image)
    small = Handling(halvings=1, kind="WEBP")
    assert small(image).shape == (2, 8, 8, 3) and small.shape((16, 16, 3)) == (8, 8, 3)
    np.testing.assert_array_equal(
        halved(image)[0, 0, 0], np.rint(image[0, :2, :2].mean((0, 1)))
    )
    # a file of Pillow's, and no picture beside it
    alone = resaved(image[0], "JPEG", 60)
    np.testing.assert_array_equal(saved(image, 60)[0], alone)
    for wrong in (Handling(halvings=5), Handling(kind="GIF"), Handling(quality=0)):
        with pytest.raises(UserError):
            wrong.check((16, 16, 3))
