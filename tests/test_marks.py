"""Marks over pictures: the equation and its inverse, their share of the pixels, and what no test may have seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import example_keys
from genjax.corruptions import Letters, Logos, Marks, stencils, unseen
from genjax.corruptions.marks import laid, removed
from genjax.errors import UserError

SIDE, N = 32, 64
MARKS = Marks(side=SIDE, count=12)
SHAPE = (SIDE, SIDE, 3)
KEYS = example_keys(jax.random.key(0), jnp.arange(N))


@pytest.fixture(scope="module")
def drawn():
    """(pictures, the marks of 64 keys, what `Marks` makes of the pictures by the same keys), from one program."""
    x = jax.random.uniform(jax.random.key(1), (N, *SHAPE))
    both = jax.jit(lambda keys, x: (MARKS.draw(keys, SHAPE), MARKS(keys, x)))
    return x, *both(KEYS, x), both


def test_a_mark_is_laid_over_by_its_opacity_and_nothing_else_changes(drawn):
    x, mark, damaged, _ = drawn
    a, m, c = np.asarray(mark.alpha), np.asarray(mark.coverage), np.asarray(mark.colour)
    for i in range(N):
        expected = (1 - a[i] * m[i]) * x[i] + a[i] * m[i] * c[i]
        np.testing.assert_allclose(damaged.x[i], expected, atol=1e-6)
    outside = np.broadcast_to(damaged.known, x.shape) == 1
    np.testing.assert_array_equal(np.asarray(damaged.x)[outside], np.asarray(x)[outside])
    np.testing.assert_array_equal(damaged.level, mark.alpha)
    np.testing.assert_array_equal(damaged.known, m == 0)


def test_opacity_share_and_colour_are_as_asked(drawn):
    _, mark, damaged, _ = drawn
    share = 1 - np.asarray(damaged.known).mean((1, 2, 3))
    assert share.min() >= 0.05 and share.max() <= 0.15
    assert np.ptp(share) > 0.05
    assert 0.3 <= mark.alpha.min() < 0.35 and 0.65 < mark.alpha.max() <= 0.7
    white = np.all(np.asarray(mark.colour) == 1, -1)
    assert 0.3 < white.mean() < 0.7
    # edges are smooth: many pixels are covered in part
    inside = np.asarray(mark.coverage)[np.asarray(mark.coverage) > 0]
    assert (inside < 0.9).mean() > 0.2 and inside.max() > 0.99


def test_who_knows_all_of_a_mark_has_the_picture_but_for_the_rounding_of_bytes(drawn):
    x, mark, damaged, _ = drawn
    np.testing.assert_allclose(removed(damaged.x, mark), x, atol=1e-5)
    rounded = jnp.round(255 * laid(x, mark)) / 255
    # half a byte's step, divided by what shines through
    most = 0.5 / 255 / (1 - 0.7)
    assert jnp.abs(removed(rounded, mark) - x).max() < most + 1e-5


def test_a_mark_is_a_function_of_its_examples_key_alone(drawn):
    x, _, damaged, both = drawn
    order = np.random.default_rng(0).permutation(N)
    _, turned = both(KEYS[order], x[order])
    np.testing.assert_allclose(turned.x, damaged.x[order], atol=1e-6)
    assert np.abs(np.asarray(damaged.known[0]) - np.asarray(damaged.known[1])).max() == 1


def test_no_family_word_or_fold_is_on_two_sides():
    assert stencils.shared(MARKS.banks, unseen()) == []
    both = (Letters(families=("STIX", "DejaVu Sans"), words=("Demo",)),)
    assert stencils.shared(both, unseen()) == ["stix", "demo"]
    families = {*stencils.TRAINING_FAMILIES, *stencils.TEST_FAMILIES}
    assert families == set(stencils.FAMILIES)
    files = [file for name in stencils.FAMILIES for file in stencils.FAMILIES[name]]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize("bank", [*MARKS.banks, *unseen()], ids=str)
def test_a_stencil_is_in_the_middle_of_an_empty_border_and_always_the_same(bank):
    bank.check()
    maps = bank.maps(6, 48)
    assert maps.dtype == np.uint8 and maps.shape == (6, 48, 48)
    assert maps[:, [0, -1]].max() == 0 and maps[:, :, [0, -1]].max() == 0
    assert maps.reshape(6, -1).max(1).min() > 128
    # more of them leave the first as they are
    np.testing.assert_array_equal(bank.maps(8, 48)[:6], maps)
    for one in maps:
        rows = np.flatnonzero(one.max(1) >= stencils.SEEN)
        assert abs(rows[0] - (47 - rows[-1])) <= 1


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        (Marks(low=0.0), "opacity of Marks"),
        (Marks(low=0.8), "got 0.8 and 0.7"),
        (Marks(high=1.5), "<= 1"),
        (Marks(least=0.2), "share of Marks"),
        (Marks(most=0.9), "<= 0.5"),
        (Marks(alone=1.2), "alone=1.2"),
        (Marks(white=0.8, black=0.4), r"white \+ black"),
        (Marks(banks=()), "nothing to draw"),
        (Marks(side=64), "at most that"),
        (Marks(count=0), "count=0"),
        (Marks((Letters(families=("STIKS",)),)), "Did you mean STIX"),
        (Marks((Letters(families=()),)), "no letters"),
        (Marks((Letters(words=()),)), "writes nothing"),
        (Marks((Logos(folds=(1,)),)), "2 or more"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(marks, told):
    with pytest.raises(UserError, match=told) as error:
        marks.check(SHAPE)
    assert "\n" not in str(error.value)
