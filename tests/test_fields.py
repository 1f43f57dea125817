"""Kinds of data: coordinates, and what is refused in one line when a set is loaded."""

import dataclasses

import numpy as np
import pytest

from genjax.data import Digits, Source
from genjax.data.source import check
from genjax.errors import UserError
from genjax.fields import (
    Attributes,
    Category,
    Columns,
    Film,
    Image,
    Mask,
    Points,
    Series,
    Tokens,
    restored,
    stored,
)

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (5, 4, 4, 3), np.uint8)
KINDS = {
    "image": (Image((4, 4, 3)), BYTES),
    "film": (Film((2, 4, 4, 1)), RNG.integers(0, 256, (5, 2, 4, 4, 1), np.uint8)),
    "points": (Points((2,)), RNG.standard_normal((5, 2)).astype(np.float32)),
    "series": (Series((7, 2)), RNG.standard_normal((5, 7, 2)).astype(np.float32)),
    "tokens": (Tokens(6, 4, "abcd"), RNG.integers(0, 4, (5, 6)).astype(np.int32)),
    "category": (Category(3), np.array([0, 1, 2, 2, 0], np.int32)),
    "attributes": (Attributes(("a", "b")), RNG.integers(0, 2, (5, 2), np.uint8)),
    "mask": (Mask((4, 4)), RNG.integers(0, 2, (5, 4, 4), np.uint8)),
    "columns": (
        Columns(("x", "kind"), (0, 2)),
        np.array([[0.5, 1], [2, 0]] * 3, np.float32)[:5],
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_sound_array_passes_and_a_field_is_kept_in_json(name):
    kind, array = KINDS[name]
    kind.check("here", array)
    assert restored(stored(kind)) == kind
    assert array.shape[1:] == tuple(kind.shape) and array.dtype == kind.dtype
    if hasattr(kind, "picture"):
        drawn = kind.picture(kind.unit(array) if hasattr(kind, "unit") else array)
        assert drawn.dtype == np.uint8 and drawn.ndim == 3


def test_coordinates():
    image, points = KINDS["image"][0], KINDS["points"][0]
    np.testing.assert_allclose(image.unit(BYTES), BYTES / 255.0, rtol=1e-6)
    np.testing.assert_allclose(image.encode(BYTES), BYTES / 127.5 - 1.0, atol=1e-6)
    np.testing.assert_allclose(image.decode(image.encode(BYTES)), BYTES / 255.0, atol=1e-6)
    # a tiny picture of four axes is no reason to scale points, as a guess from the rank would
    deep = Points((2, 2, 1))
    x = RNG.standard_normal((3, 2, 2, 1)).astype(np.float32)
    np.testing.assert_array_equal(deep.encode(x), x)
    np.testing.assert_array_equal(points.decode(x[..., 0, 0]), x[..., 0, 0])


LIES = {
    "floats to 255": ("image", BYTES.astype(np.float32), "expected 0 to 1: divide by 255"),
    "floats from -1": ("image", BYTES / 127.5 - 1.0, "use (x + 1) / 2"),
    "NaN": ("image", np.full((5, 4, 4, 3), np.nan), "NaN or infinite"),
    "uint16": ("image", BYTES.astype(np.uint16), "is uint16"),
    "signed bytes": ("image", BYTES.astype(np.int8), "is int8, expected pixels"),
    "channels first": ("image", BYTES.transpose(0, 3, 1, 2), "has shape [5, 3, 4, 4]"),
    "infinite points": ("points", np.full((5, 2), np.inf, np.float32), "NaN or infinite"),
    "integer points": ("points", np.zeros((5, 2), np.int32), "is int32, expected real numbers"),
    "labels beyond": ("category", np.array([0, 3], np.int32), "values from 0 to 3"),
    "labels below": ("category", np.array([-1, 0], np.int32), "values from -1 to 0"),
    "float labels": ("category", np.zeros(5, np.float32), "is float32, expected labels"),
    "one-hot labels": ("category", np.eye(3, dtype=np.int32), "has shape [3, 3]"),
    "tokens beyond": ("tokens", np.full((5, 6), 4, np.int32), "set the field's vocabulary"),
    "minus one": ("attributes", np.full((5, 2), -1, np.int8), "make -1 a 0"),
    "mask of 255": ("mask", np.full((5, 4, 4), 255, np.uint8), "0 and 255"),
    "half a category": ("columns", np.full((5, 2), 0.5, np.float32), "column kind: categories"),
    "ragged": ("tokens", np.array([[1], [1, 2]], object), "no array of equal rows"),
    "a list": ("tokens", [[1, 2]], "no array of equal rows"),
}


@pytest.mark.parametrize("lie", LIES)
def test_data_that_lie_are_refused_in_one_line(lie):
    name, array, told = LIES[lie]
    with pytest.raises(UserError) as error:
        KINDS[name][0].check("mine (train), field x", array)
    line = str(error.value)
    assert told in line and line.startswith("mine (train), field x") and "\n" not in line


@dataclasses.dataclass(frozen=True)
class Mine:
    """A user's own set."""

    def load(self) -> Source:
        source = Digits().load()
        wrong = {**source.test, "label": source.test["label"][:7]}
        return source._replace(name="mine", test=wrong)


def test_a_users_own_set_is_checked():
    with pytest.raises(UserError, match=r"mine \(test\) has arrays of different lengths"):
        check(Mine().load())
    source = Digits().load()
    with pytest.raises(UserError, match="no array 'mask', which its fields name"):
        check(source._replace(fields={**source.fields, "mask": Mask((8, 8))}))


def test_domains_of_other_shapes_are_refused():
    source = Digits().load()
    parts = {
        "a": source.train,
        "b": {**source.train, "image": np.zeros((1437, 4, 4, 1), np.uint8)},
    }
    both = source._replace(train=parts, valid={}, test={})
    with pytest.raises(UserError, match=r"domain b\), field image has shape \[1437, 4, 4, 1\]"):
        check(both)
    with pytest.raises(UserError, match="give every split the same"):
        check(source._replace(train={"a": source.train}, valid={}))
