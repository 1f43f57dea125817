"""Texts in parts that share no document."""

import dataclasses
import itertools

import numpy as np
import pytest

from genjax.data.chains import Chain
from genjax.data.source import check
from genjax.data.text import Document
from genjax.data.windows import PARTS, Part, Sequences, Windows
from genjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Shelf:
    """Documents of these lengths, each of a letter of its own."""

    lengths: tuple[int, ...] = (70, 45, 33, 33, 20, 12, 10, 9)

    def __call__(self) -> list[Document]:
        return [Document(str(i), bytes([97 + i]) * n) for i, n in enumerate(self.lengths)]


def test_a_document_is_in_one_part_and_windows_are_whole():
    parts = Windows(Shelf(), 10, (0.4, 0.2, 0.2, 0.2)).parts()
    letters = {name: set(np.unique(part.tokens)) for name, part in parts.items()}
    for one, other in itertools.combinations(PARTS, 2):
        assert not letters[one] & letters[other]
    for part in parts.values():
        # a window is of one document, whose number its group has
        assert (part.tokens == part.tokens[:, :1]).all()
        assert len(set(zip(part.group, part.tokens[:, 0], strict=True))) == len(set(part.group))
    # 7 + 4 + 3 + 3 + 2 + 1 + 1 windows; nine bytes are none
    assert sum(len(part.group) for part in parts.values()) == 21
    assert len(parts["model"].group) in (8, 9)


def test_pieces_are_cut_in_order_and_rests_are_left_out():
    part = Part(np.arange(14).reshape(2, 7), np.array([5, 6]))
    pieces = part.pieces(3)
    np.testing.assert_array_equal(
        pieces.tokens, [[0, 1, 2], [3, 4, 5], [7, 8, 9], [10, 11, 12]]
    )
    np.testing.assert_array_equal(pieces.group, [5, 5, 6, 6])
    # the same text whatever the length
    np.testing.assert_array_equal(part.pieces(7).tokens, part.tokens)


def test_a_generator_never_sees_the_texts_of_the_test():
    data = Windows(Shelf(), 10, most=3)
    source, parts = data.load(), data.parts()
    check(source)
    np.testing.assert_array_equal(source.train["tokens"], parts["model"].tokens)
    np.testing.assert_array_equal(source.test["tokens"], parts["fit"].tokens)
    assert max(len(part.group) for part in parts.values()) == 3
    assert source.fields["tokens"].text(source.train["tokens"])[0] in ["a" * 10, "b" * 10]


def test_the_reference_of_python_has_texts_enough_for_one_percent():
    held = Windows().parts()["held"]
    assert len(held.group) >= 99 and held.tokens.min() > 0


def test_sequences_of_a_chain_are_independent_of_its_own_splits():
    data = Sequences(Chain(4, 8, train=50, test=20), 30, 20, 10)
    parts = data.parts()
    assert [len(part.group) for part in parts.values()] == [30, 20, 10]
    rows = [set(map(bytes, part.tokens)) for part in parts.values()]
    assert len(set.union(*rows)) > 50
    assert data.load().train["tokens"].shape == (50, 8)


@pytest.mark.parametrize(
    "data, message",
    [
        (Windows(Shelf((50, 40)), 10), "none for the part 'fit'"),
        (Windows(Shelf(), 10, (0.5, 0.5)), "one for each of model, fit, held, test"),
        (Windows(Shelf(), 10, (0.5, 0.5, 0.0, 1.0)), "shares=0.0 must be above 0"),
        (Windows(Shelf(), 0), "length=0 must be at least 1"),
        (Windows(lambda: [Document("odd", b"ab\0c")], 1), "'odd' is no text: byte 2 is 0x00"),
    ],
)
def test_what_cannot_be_parted_is_refused(data, message):
    with pytest.raises(UserError, match=message):
        data.parts()
