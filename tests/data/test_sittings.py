"""Landmarks as drawings, people who sit for several pictures, and what of it is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Digits, FewShots, Sitters, Sittings
from genjax.data.landmarks import Drawing, check_inside, distances
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Category, Image, Points


def test_distances_are_those_of_the_plane():
    # the piece from (1, 1) to (3, 1), and a point at (2, 3)
    a = np.array([[1.0, 1.0], [2.0, 3.0]], np.float32)
    b = np.array([[3.0, 1.0], [2.0, 3.0]], np.float32)
    far = distances(a, b, (4, 5))
    assert far.shape == (4, 5, 2)
    np.testing.assert_allclose(far[0, 1, 0], 0.5)  # the middle of the pixel is (1.5, 0.5)
    np.testing.assert_allclose(far[3, 4, 0], np.hypot(1.5, 2.5))  # beyond the end
    np.testing.assert_allclose(far[2, 1, 1], np.hypot(0.5, 0.5))  # of a point


def test_a_drawing_moves_with_its_landmarks_and_is_the_same_in_jax():
    marks = np.random.default_rng(0).uniform(3, 12, (2, 14, 2)).astype(np.float32)
    draw = Drawing()
    drawn = draw(marks, (16, 18))
    assert drawn.shape == (2, 16, 18, 3) and drawn.min() == 0 and 0 < drawn.mean() < 0.5
    moved = draw(marks + np.array([2.0, 3.0], np.float32), (16, 18))
    np.testing.assert_allclose(moved[:, 3:, 2:], drawn[:, :-3, :-2], atol=1e-5)
    jitted = jax.jit(lambda points: draw(points, (16, 18)))(jnp.asarray(marks))
    np.testing.assert_allclose(jitted, drawn, atol=1e-5)


@dataclasses.dataclass(frozen=True)
class Album:
    """Pictures of these people, each of the shade of its number among theirs."""

    people: tuple[int, ...]
    place: float = 2.0

    def load(self) -> Source:
        person = np.array(self.people, np.int32)
        number = np.arange(len(person), dtype=np.uint8)
        rows = {
            "image": np.broadcast_to(number[:, None, None, None], (len(person), 8, 8, 3)),
            "landmarks": np.full((len(person), 14, 2), self.place, np.float32),
            "person": person,
        }
        none = {name: values[:0] for name, values in rows.items()}
        fields = {
            "image": Image((8, 8, 3)),
            "landmarks": Points((14, 2)),
            "person": Category(9),
        }
        return Source("album", fields, rows, none, none)


def test_rows_of_pictures_become_rows_of_people():
    source = Sittings(Album((4, 2, 4, 2, 4, 7, 7))).load()
    assert source.fields["image"].shape == (2, 8, 8, 3)  # as many as the poorest has
    np.testing.assert_array_equal(source.train["person"], [2, 4, 7])
    shades = source.train["image"][:, :, 0, 0, 0]
    np.testing.assert_array_equal(shades, [[1, 3], [0, 2], [5, 6]])
    assert source.test["image"].shape == (0, 2, 8, 8, 3)


def test_a_view_knows_other_frames_at_every_sight_and_the_first_at_rest():
    source = Sittings(Album((0,) * 5 + (1,) * 5)).load()
    view = FewShots(3)
    view.check(source.fields)
    fields = view.fields(source.fields)
    keys = jax.random.split(jax.random.key(0), 2)
    seen = view(keys, source.train)
    for batch in (seen, view.still(source.train)):
        for name, kind in fields.items():
            assert batch[name].shape == (2, *kind.shape), name
        known = np.asarray(batch["shots"])[..., 0, 0, 0]
        target = np.asarray(batch["image"])[:, 0, 0, 0]
        for row in range(2):
            shown = {*known[row], target[row]}
            # all of one person, and the one to be made is not among those that are known
            assert len(shown) == 4 and {shade // 5 for shade in shown} == {row}
    np.testing.assert_array_equal(known, [[0, 1, 2], [5, 6, 7]])
    sights = set()
    for i in range(5):
        other = view(jax.random.split(jax.random.key(i), 2), source.train)
        sights.add(tuple(np.asarray(other["shots"])[0, :, 0, 0, 0].tolist()))
    assert len(sights) > 1
    assert view.still({"index": 0}) == {"index": 0}  # sampling may be given less


def test_a_sitter_stays_as_old_as_she_is_and_moves():
    rows = list(Sitters(size=8, people=3, shots=4).rows("test"))
    assert len(rows) == 4 and len({row["age"].item() for row in rows}) == 1
    assert len({tuple(row["pose"].tolist()) for row in rows}) == 4
    corner = {tuple(row["image"][0, 0].tolist()) for row in rows}
    assert len(corner) == 1  # the background


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (Album((0, 0, 3)), "person 3 of album has one picture"),
        (Album((0, 0), place=9.0), "28 of 28 points lie outside"),
        (Album((0, 0), place=np.nan), "points lie outside"),
        (Digits(), "needs image, landmarks and person"),
        (Sitters(size=4), "size=4"),
    ],
)
def test_what_is_no_sitting_is_told_in_a_line(cfg, words):
    with pytest.raises(UserError, match=words) as error:
        Sittings(cfg).load()
    assert "\n" not in str(error.value)


def test_more_shots_than_pictures_are_refused():
    fields = Sittings(Album((0, 0, 0))).load().fields
    FewShots(2).check(fields)
    for view, words in (
        (FewShots(3), "people have 3"),
        (FewShots(0), "shots=0"),
        (FewShots(1, Drawing(0.0)), "width=0"),
    ):
        with pytest.raises(UserError, match=words):
            view.check(fields)
    with pytest.raises(UserError, match="expected"):
        check_inside("these", np.zeros((3, 2)), (8, 8))
