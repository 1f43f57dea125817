"""Moving digits: films that their motion predicts to the byte, and motion that obeys its walls."""

import numpy as np
import pytest

from genjax.data import Digits, MovingDigits, source
from genjax.data.moving import films, places
from genjax.errors import UserError


@pytest.fixture(scope="module")
def cfg():
    return MovingDigits(frames=12, size=20, train=300, test=100)


@pytest.fixture(scope="module")
def moving(cfg, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return cfg.load()


def test_what_a_film_comes_with(moving):
    source.check(moving)
    assert moving.main == "film" and moving.shape == (12, 20, 20, 1)
    test = moving.test
    assert moving.fields["digits"].text(test["digits"])[0] == "".join(
        map(str, test["digits"][0])
    )
    for row in range(5):
        there = np.flatnonzero(test["attributes"][row])
        assert there.tolist() == sorted(set(test["digits"][row].tolist()))
    assert moving.picture(test["film"][:3]).dtype == np.uint8


def test_the_motion_predicts_the_film(moving, cfg):
    for split in (moving.train, moving.test):
        assert (
            films(split["glyphs"], split["motion"], 12, 20).tobytes() == split["film"].tobytes()
        )
    # and beyond its end: the later half of a film is the film of the later motion
    long = films(moving.test["glyphs"], moving.test["motion"], 24, 20)
    np.testing.assert_array_equal(long[:, :12], moving.test["film"])


def stepped(motion, frames, room):
    """Places by walking from wall to wall."""
    found = []
    for x, v in motion:
        at = [x]
        for _ in range(frames - 1):
            x = x + v
            while not 0 <= x <= room:
                x = -x if x < 0 else 2 * room - x
                v = -v
            at.append(x)
        found.append(at)
    return np.array(found).T


def test_walls_turn_digits_round(moving):
    motion = moving.train["motion"][:40]  # [n, K, 4]
    found = places(motion, 12, 12)
    assert found.min() >= 0 and found.max() <= 12
    for row, at in zip(motion, found, strict=True):
        for axis in (0, 1):
            pairs = row[:, [axis, axis + 2]].astype(float)
            np.testing.assert_array_equal(at[:, :, axis], stepped(pairs, 12, 12))
    # half of the films of 12 pictures have met a wall
    free = motion[:, None, :, :2] + motion[:, None, :, 2:] * np.arange(12)[:, None, None]
    assert (free != found).any((1, 2, 3)).mean() > 0.3


def test_a_digit_between_pixels_is_weighed():
    glyph = np.zeros((1, 1, 2, 2, 1), np.uint8)
    glyph[0, 0, 0, 0] = 200
    film = films(glyph, np.array([[[1.25, 2.5, 0.5, 0.0]]]), 2, 6)[0, ..., 0]
    want = np.zeros((2, 6, 6))
    want[0, 2:4, 1:3] = [[75, 25], [75, 25]]  # 200 (1 - 1/4) / 2 and 200 / 4 / 2
    want[1, 2:4, 1:3] = [[25, 75], [25, 75]]
    np.testing.assert_array_equal(film, want)
    # no light is lost on the way, and of two digits the lighter one is seen
    both = np.stack([glyph[0, 0], glyph[0, 0] // 2])[None]
    motion = np.tile([1.25, 2.5, 0.5, 0.0], (1, 2, 1))
    np.testing.assert_array_equal(films(both, motion, 2, 6)[0, ..., 0], want)


def test_digits_are_those_of_their_split(moving):
    known = Digits().load()
    seen = {}
    for split in ("train", "test"):
        label = {
            image.tobytes(): int(label)
            for image, label in zip(*known.splits()[split].values(), strict=True)
        }
        its = moving.splits()[split]
        seen[split] = {glyph.tobytes() for glyphs in its["glyphs"] for glyph in glyphs}
        for glyphs, numbers in zip(its["glyphs"], its["digits"], strict=True):
            assert [label[glyph.tobytes()] for glyph in glyphs] == numbers.tolist()
    assert not seen["train"] & seen["test"]


def test_films_are_fixed_by_their_seed():
    one = MovingDigits(train=50, test=10).load()
    more = MovingDigits(train=80, test=20, frames=3).load()
    for split in ("train", "test"):
        n = len(one.splits()[split]["film"])
        np.testing.assert_array_equal(
            one.splits()[split]["film"][:, :3], more.splits()[split]["film"][:n]
        )
    other = MovingDigits(train=50, test=10, seed=1).load()
    assert (one.train["motion"] != other.train["motion"]).any()
    # raw Philox bits never change (NEP 19), nor may the motion
    bits = np.random.Philox(key=[0, 0]).random_raw(5)
    x, y, vx, vy = one.train["motion"][0, 0]
    assert x == int(bits[1] % 257) / 16 and vy == int(bits[4] % 65) / 16 - 2.0
    # uniform: the mean of 100 numbers in [0, 16] and in [-2, 2]
    mean = more.train["motion"].mean((0, 1))
    assert np.abs(mean - [8, 8, 0, 0]).max() < 1.5
    assert len(np.unique(MovingDigits(train=9, test=1, valid=4).load().valid["film"])) > 2


def test_digits_fill_the_picture():
    still = MovingDigits(size=16, zoom=2, digits=1, train=3, test=1).load()
    np.testing.assert_array_equal(still.train["film"][:, 5], still.train["glyphs"][:, 0])


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (MovingDigits(size=15, zoom=2), "--data.size=15 has no room for digits of 16x16"),
        (MovingDigits(frames=0), "--data.frames=0"),
        (MovingDigits(digits=0), "--data.digits=0"),
        (MovingDigits(speed=-1.0), "--data.speed=-1.0"),
        (MovingDigits(speed=1e30), "--data.speed=1e[+]30 must be at most"),
        (MovingDigits(seed=2**63), f"--data.seed={2**63} must be at most"),
        (MovingDigits(train=5, valid=5), "--data.valid=5"),
    ],
)
def test_sizes_are_checked(cfg, message):
    with pytest.raises(UserError, match=message):
        cfg.load()
