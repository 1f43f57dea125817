"""Stacked digits: real digits in every channel, none of the test's in training, modes counted as by hand."""

import numpy as np
import pytest

from genjax.data import Digits
from genjax.data.stacked import CLASSES, StackedDigits, modes, parts
from genjax.errors import UserError


def known(split):
    """{the bytes of a digit: the labels it has}."""
    found = {}
    for image, label in zip(split["image"], split["label"], strict=True):
        found.setdefault(image.tobytes(), set()).add(int(label))
    return found


def test_channels_are_real_digits_of_their_class_and_split(digits):
    source, single = StackedDigits(train=3000, test=800).load(), Digits().load()
    assert source.shape == (8, 8, 3) and source.classes == len(source.class_names) == CLASSES
    assert source.class_names[7] == "007" and source.name == "stacked_digits"
    seen = {}
    for name, n in (("train", 3000), ("test", 800)):
        split, real = getattr(source, name), known(getattr(single, name))
        assert split["image"].shape == (n, 8, 8, 3) and split["image"].dtype == np.uint8
        assert split["label"].dtype == np.int32 and len(split["label"]) == n
        triple = parts(split["label"])
        for c in range(3):
            channel = split["image"][..., c].copy()
            assert all(
                k in real[image.tobytes()]
                for image, k in zip(channel, triple[:, c], strict=True)
            )
        seen[name] = {
            image.tobytes() for c in range(3) for image in split["image"][..., c].copy()
        }
        assert len(seen[name]) > 0.95 * len(real)  # every digit of the split is used
    assert not seen["train"] & seen["test"]
    assert len(source.valid["label"]) == 0 and source.valid["image"].shape[1:] == (8, 8, 3)


def test_the_three_digits_are_independent_and_all_modes_alike_in_chance():
    label = StackedDigits(train=50_000, test=1).load().train["label"]
    count = np.bincount(label, minlength=CLASSES)
    # Pearson's statistic of 1,000 cells: 999 ± sqrt(2 * 999)
    assert abs(((count - 50) ** 2 / 50).sum() - 999) < 5 * np.sqrt(2 * 999)
    image = StackedDigits(train=50_000, test=1).load().train["image"].astype(np.float32)
    ink = image.sum((1, 2))
    assert np.abs(np.corrcoef(ink.T) - np.eye(3)).max() < 0.025


def test_the_triples_are_fixed_by_their_seed():
    one, again, other = (
        StackedDigits(train=200, test=100, seed=seed).load() for seed in (3, 3, 4)
    )
    for name in ("image", "label"):
        assert np.array_equal(one.train[name], again.train[name])
        assert np.array_equal(one.test[name], again.test[name])
        assert not np.array_equal(one.train[name], other.train[name])
        assert not np.array_equal(one.train[name][:100], one.test[name])
    more = StackedDigits(train=300, test=100, seed=3).load()
    assert np.array_equal(
        more.train["image"][:200], one.train["image"]
    )  # more data begin with the same ones
    # Raw Philox bits never change (NEP 19), nor may the labels.
    bits = np.random.Philox(key=[3, 0]).random_raw(8)
    assert one.train["label"][:2].tolist() == [int(bits[0] % 1000), int(bits[4] % 1000)]


def test_pictures_are_in_colour():
    source = StackedDigits(train=10, test=6).load()
    picture = source.picture(source.test["image"])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert np.array_equal(picture[:32:4, :32:4], source.test["image"][0])


def test_parts():
    assert parts(np.array([0, 7, 42, 305, 999], np.int32)).tolist() == [
        [0, 0, 0],
        [0, 0, 7],
        [0, 4, 2],
        [3, 0, 5],
        [9, 9, 9],
    ]


def flat(label):
    """Images whose channels have the digit as their value, and what reads it."""
    image = np.broadcast_to(parts(label)[:, None, None].astype(np.uint8), (len(label), 8, 8, 3))
    return lambda x: x[:, 3, 5, 0].astype(np.int64), image


def test_modes_of_histograms_by_hand():
    everything = np.random.default_rng(0).permutation(CLASSES)
    assert modes(*flat(everything)) == (1000, pytest.approx(0.0, abs=1e-12))
    assert modes(*flat(np.full(50, 123))) == (1, pytest.approx(np.log(1000)))
    # A half on one mode, a half on 499 others: q log 1000 q
    label = np.r_[np.full(499, 7), np.arange(100, 599)]
    want = 0.5 * np.log(500) + 0.5 * np.log(1000 / 998)
    assert modes(*flat(label)) == (500, pytest.approx(want))
    # Exchanging digits of two channels makes another mode: 012 and 210
    assert modes(*flat(np.array([12, 210, 120])))[0] == 3


def test_modes_of_uniform_draws():
    label = np.random.default_rng(1).integers(0, 1000, 26_000)
    found, kl = modes(*flat(label))
    assert found == 1000 and kl == pytest.approx(999 / 52_000, rel=0.15)


def test_modes_of_real_digits_are_read_by_a_classifier():
    from genjax.metrics.judges import Svm

    read, source = Svm().fit(Digits().load().train), StackedDigits(train=10, test=2000).load()
    found, kl = modes(read, source.test["image"])
    true = len(np.unique(source.test["label"]))
    assert abs(found - true) < 25 and kl < 0.3
    assert modes(read, source.test["image"] / np.float32(255)) == (
        found,
        pytest.approx(kl, abs=1e-3),
    )
    assert modes(read, source.test["image"][:1])[0] == 1


@pytest.mark.parametrize(
    "cfg, message",
    [
        (StackedDigits(train=0), "--data.train=0"),
        (StackedDigits(test=0), "--data.test=0"),
        (StackedDigits(seed=-1), "--data.seed=-1"),
    ],
)
def test_sizes_are_checked(cfg, message):
    with pytest.raises(UserError, match=message):
        cfg.load()


@pytest.mark.parametrize("shape", [(4, 8, 8, 1), (8, 8, 3), (0, 8, 8, 3)])
def test_modes_want_colour_images(shape):
    with pytest.raises(UserError, match="StackedDigits"):
        modes(lambda x: np.zeros(len(x)), np.zeros(shape))
