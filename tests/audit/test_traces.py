"""No shortcut: a JPEG or WebP in the past of one half, lost grey levels, another size are told; alike halves pass."""

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


def saved(images: np.ndarray, quality: int, kind: str = "JPEG") -> np.ndarray:
    return Handling(kind=kind, quality=quality)(images)


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


def test_colours_of_video_are_those_that_come_back():
    # a picture of one colour is nothing but its colour: what a decoder can say is what comes back
    greys = np.arange(1, 255)
    flat = np.broadcast_to(np.uint8(greys)[:, None, None, None], (254, 16, 16, 1))
    decoded = np.unique(saved(flat, 100, "WEBP"))
    decoded = decoded[(decoded > 0) & (decoded < 255)]
    assert len(decoded) == 218  # luma of 17 to 234
    assert traces.came_back(decoded[:, None]).mean() > 0.98
    others = np.setdiff1d(greys, decoded)
    assert traces.came_back(others[:, None]).mean() < 0.1
    # whole numbers of video, as they are decoded, without the ends
    rng = np.random.default_rng(0)
    ycc = np.stack(
        [rng.integers(low, high, 5000) for low, high in ((80, 160), (110, 146), (110, 146))], 1
    )
    rgb = np.rint((ycc - traces.ZERO) @ np.linalg.inv(traces.TO_VIDEO).T)
    assert traces.video(np.uint8(rgb)[None, None]) == 1.0
    # and of any bytes their share is the determinant
    chance = rng.integers(1, 255, (1, 100, 1000, 3), np.uint8)
    assert traces.video(chance) == pytest.approx(0.0, abs=0.01)
    every = np.uint8(greys)[None, None, :, None]
    assert traces.video(every) == pytest.approx(0.0, abs=0.02)


def test_few_colours_and_other_channels_say_nothing():
    few = np.uint8(16 * np.indices((16, 16))[0])[None, ..., None]
    assert traces.video(few) == 0.0
    assert traces.video(pictures(4, 0, 16, 2)) == 0.0
    grey = np.repeat(pictures(40, 0), 3, -1)
    assert traces.video(grey) == 0.0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_webp_in_the_past_of_the_real_half_is_told(channels):
    real, generated = (pictures(40, seed, 16, channels) for seed in (0, 1))
    kept = saved(real, 80, "WEBP")
    with pytest.raises(UserError, match="real pictures have the colours of a WebP"):
        traces.check_alike(kept, generated)
    # and both through the same encoder pass
    traces.check_alike(kept, saved(generated, 80, "WEBP"))
    # after a halving the colours are any colours, and that is what the message advises
    alike = [halved(half) for half in (kept, generated)]
    assert abs(traces.video(alike[0]) - traces.video(alike[1])) < traces.VIDEO


def changed(images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What generators do that is no format: they blur, and they are noisy."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(np.float32(images), (0, 1.0, 1.0, 0))
    noisy = images + 8.0 * rng.standard_normal(images.shape)
    return {"smooth": np.uint8(np.rint(smooth)), "noisy": np.uint8(np.clip(noisy, 0, 255))}


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_give_no_false_alarm_in_twenty_draws(channels):
    apart = []
    n = 40 if channels == 1 else 16  # of fewer not all greys are there
    for seed in range(20):
        real, generated = (pictures(n, 2 * seed + i, 16, channels) for i in (0, 1))
        of_real = traces.video(real)
        apart += [traces.video(half) - of_real for half in changed(generated, seed).values()]
        both = [traces.video(saved(half, 80, "WEBP")) for half in (real, generated)]
        apart.append(both[1] - both[0])
        # what is planted is told in each
        assert both[0] - of_real > traces.VIDEO
    assert np.max(np.abs(apart)) < 0.5 * traces.VIDEO


@pytest.mark.all
@pytest.mark.parametrize("channels", [1, 3])
def test_a_smooth_or_noisy_half_and_two_of_webp_are_refused_in_none_of_twenty_draws(channels):
    for seed in range(20):
        real, generated = (pictures(40, 2 * seed + i, 16, channels) for i in (0, 1))
        for half in changed(generated, seed).values():
            traces.check_alike(real, half)
        traces.check_alike(*(saved(half, 80, "WEBP") for half in (real, generated)))


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
