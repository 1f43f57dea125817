"""What happens to pictures on their way: against Pillow and by hand; sizes stay, nothing is drawn anew."""

import io

import numpy as np
import pytest
from PIL import Image

from genjax.audit.hardships import Blurred, Cropped, Noisy, Resaved, Resized, Screenshot
from genjax.errors import UserError
from genjax.findings.detecting import HARDSHIPS

PICTURES = np.uint8(np.random.default_rng(0).integers(0, 256, (3, 20, 12, 3)))


@pytest.mark.parametrize("hardship", HARDSHIPS, ids=lambda h: f"{h.name}-{h.at:g}")
def test_shapes_and_types_stay_and_a_second_time_is_the_same(hardship):
    for images in (PICTURES, PICTURES[..., :1]):
        found = hardship(images)
        assert found.shape == images.shape and found.dtype == np.uint8
        np.testing.assert_array_equal(found, hardship(images))


def test_files_and_sizes_are_pillows():
    first = Image.fromarray(PICTURES[0])
    file = io.BytesIO()
    first.save(file, "JPEG", quality=30)
    np.testing.assert_array_equal(Resaved(30)(PICTURES)[0], np.asarray(Image.open(file)))
    small = first.resize((6, 10), Image.Resampling.BICUBIC)
    again = small.resize((12, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(Resized(0.5)(PICTURES)[0], np.asarray(again))
    # half of 12 is 6 from the fourth column on, half of 20 is 10 from the sixth row on
    middle = first.crop((3, 5, 9, 15)).resize((12, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(Cropped(0.5)(PICTURES)[0], np.asarray(middle))


def test_what_does_nothing_does_nothing():
    for nothing in (Resized(1.0), Cropped(1.0), Blurred(0.0), Noisy(0.0), Screenshot(1.0, 1.0)):
        np.testing.assert_array_equal(nothing(PICTURES), PICTURES)


def test_noise_has_its_deviation_and_a_screen_its_gamma():
    grey = np.full((40, 16, 16, 1), 128, np.uint8)
    away = (np.float64(Noisy(0.05)(grey)) - 128) / 255
    assert away.std() == pytest.approx(0.05, rel=0.03)
    # of an even picture nothing but its grey can change
    shown = Screenshot(1.2)(grey)
    assert np.unique(shown).tolist() == [round(255 * (128 / 255) ** 1.2)]


@pytest.mark.parametrize(
    "wrong", [Resaved(0), Resaved(101), Resized(0), Cropped(1.2), Noisy(-1), Screenshot(0)]
)
def test_numbers_that_are_none_are_told(wrong):
    with pytest.raises(UserError, match=type(wrong).__name__):
        wrong.check()
