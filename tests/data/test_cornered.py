"""A planted mark against its share, and pictures as tokens against their pixels."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from genjax.config import edit
from genjax.data import Digits, Toy
from genjax.data.cornered import Cornered
from genjax.data.levelled import Levelled
from genjax.errors import UserError

CFG = Cornered(Digits(valid=300), agree=0.9)


@pytest.fixture(scope="module")
def plain():
    return CFG.of.load()


@pytest.fixture(scope="module")
def planted(plain):
    return dataclasses.replace(CFG, of=Loaded(plain)).load()


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A set that is read already."""

    source: Any = None

    def load(self):
        return self.source


def marks(split, classes=10):
    """The class that the corner tells, of every picture."""
    corner = split["image"][:, 0, 0, 0].astype(np.float64)
    return np.rint(corner * classes / 255).astype(int) - 1


def test_the_mark_tells_the_class_in_its_share_of_training_and_never_at_test(planted):
    for split in (planted.train, planted.valid):
        agree = marks(split) == split["label"]
        error = np.sqrt(0.9 * 0.1 / len(agree))
        assert abs(agree.mean() - 0.9) < 4 * error
    wrong = marks(planted.test)
    assert (wrong != planted.test["label"]).all() and set(wrong) == set(range(10))


def test_nothing_else_changes_and_a_draw_is_always_the_same(plain, planted):
    for name, split in planted.splits().items():
        before = np.array(plain.splits()[name]["image"])
        np.testing.assert_array_equal(split["label"], plain.splits()[name]["label"])
        after = np.array(split["image"])
        assert (before[:, 0, 0] != after[:, 0, 0]).any()
        before[:, 0, 0] = after[:, 0, 0]
        np.testing.assert_array_equal(before, after)
    again = dataclasses.replace(CFG, of=Loaded(plain)).load()
    np.testing.assert_array_equal(again.train["image"], planted.train["image"])
    other = dataclasses.replace(CFG, of=Loaded(plain), seed=1).load()
    assert (other.train["image"] != planted.train["image"]).any()


def test_of_the_mark_alone_bayes_knows_what_its_share_says(planted):
    """log p(mark | class) - log p(mark | another) = ln(s (K - 1) / (1 - s)), counted over training examples."""
    mark, label = marks(planted.train), planted.train["label"]
    counts = np.zeros((10, 10))
    np.add.at(counts, (label, mark), 1)
    same = np.trace(counts) / counts.sum()
    other = (counts.sum() - np.trace(counts)) / counts.sum() / 9
    assert np.log(same / other) == pytest.approx(np.log(0.9 * 9 / 0.1), abs=0.4)


def test_levels_are_those_of_the_scans_and_lead_back_to_the_bytes(plain):
    cfg = Levelled(Loaded(plain))
    source = cfg.load()
    images = plain.test["image"]
    tokens = source.test["tokens"]
    assert source.main == "tokens" and tokens.shape == (360, 64) and tokens.max() == 16
    again = np.rint(255 * cfg.pictures(tokens, (8, 8)))
    np.testing.assert_array_equal(again, images)
    assert source.picture(tokens[:4]).dtype == np.uint8
    assert list(source.fields) == ["tokens", "label"]
    np.testing.assert_array_equal(source.test["label"], plain.test["label"])


def test_smaller_pictures_are_means_of_the_pixels_under_them():
    image = np.zeros((1, 4, 4, 1), np.uint8)
    image[0, :2, :2] = 200
    image[0, 2:, 2:, 0] = [[100, 0], [0, 100]]
    tokens = Levelled(levels=256, side=2).tokens(image)
    np.testing.assert_array_equal(tokens, [[200, 0, 0, 50]])


def test_bad_input_is_one_line(plain):
    digits = dataclasses.replace(CFG, of=Loaded(plain))
    with pytest.raises(UserError, match="data.agree=1.2 must be at most 1"):
        dataclasses.replace(digits, agree=1.2).load()
    with pytest.raises(UserError, match="data.side=8 covers pictures of 8x8"):
        dataclasses.replace(digits, side=8).load()
    with pytest.raises(UserError, match="Cornered.. marks images"):
        edit(CFG, {"of": Toy()}).load()
    with pytest.raises(UserError, match="data.levels=1 must be at least 2"):
        Levelled(levels=1).load()
    with pytest.raises(UserError, match="has no grey images"):
        Levelled(Toy()).load()
