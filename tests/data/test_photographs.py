"""Crops of the two photographs: real colour, no pixel in both splits."""

import numpy as np
import pytest

from genjax.data import Photographs
from genjax.data.photographs import halved
from genjax.errors import UserError


def test_crops_are_of_the_photographs_and_the_splits_do_not_overlap():
    from sklearn.datasets import load_sample_images

    source = Photographs(size=16, train=40, test=10, valid=4).load()
    assert source.shape == (16, 16, 3) and source.train["image"].shape == (36, 16, 16, 3)
    assert (
        len(source.valid["image"]) == 4
        and source.train["image"].dtype == np.uint8
        and source.classes == 2
    )
    temple = halved(load_sample_images().images[0], 1)
    windows = np.lib.stride_tricks.sliding_window_view(temple, (16, 16, 3))[:, :, 0]
    places = [
        np.argwhere((windows == crop).all((2, 3, 4)))
        for crop in (source.train["image"][0], source.test["image"][0])
    ]
    assert places[0][:, 1].max() + 16 <= 3 * temple.shape[1] // 4 <= places[1][:, 1].min()


def test_the_same_seed_gives_the_same_crops_and_another_others():
    a, b, c = (
        Photographs(16, train=4, test=2, seed=seed).load().train["image"] for seed in (0, 0, 1)
    )
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_halving_is_the_mean_of_blocks():
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    assert halved(x, 1).shape == (2, 3, 3) and halved(x, 0) is x
    assert halved(x, 1)[1, 2, 0] == np.rint(x[2:4, 4:6, 0].mean())


def test_crops_that_do_not_fit():
    with pytest.raises(
        UserError,
        match="--data.size=200 does not fit a quarter of a photograph: use at most 80",
    ):
        Photographs(size=200).load()
