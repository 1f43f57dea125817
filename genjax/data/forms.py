"""Drawings of the same things by several hands, in the forms that systems need: one by one, or in pairs.

A form is a value: it says which fields an example has, and makes the examples of things and of a function that draws
them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.data.signs import side
from genjax.errors import UserError, nearest
from genjax.fields import Category, Image

# of the drawing and of the designs: a new number makes the cache draw again
VERSION = 1


class Thing(NamedTuple):
    """What is drawn: its name, the key of its split, and its own fields."""

    name: str
    design: str
    values: dict[str, Any]


class Drawings(NamedTuple):
    """Things and who draws them."""

    styles: tuple[str, ...]
    style: (
        str  # the name of the field that says who has drawn an example, where that is one alone
    )
    image: Image
    about: dict[str, Any]  # {name: kind} of the things' own fields
    things: tuple[Thing, ...]
    draw: Callable[[str, Thing], np.ndarray]  # (style, thing) -> uint8 [H, W, C]

    def splits(self) -> dict[str, list[Thing]]:
        """The things of each split that has some, by the hash of their designs."""
        found: dict[str, list[Thing]] = {"train": [], "valid": [], "test": []}
        for thing in self.things:
            found[side(thing.design)].append(thing)
        # a split without examples cannot be written
        return {split: things for split, things in found.items() if things}


@dataclasses.dataclass(frozen=True)
class Single:
    """Every drawing is an example: `image`, who has drawn it, and what it shows."""

    def fields(self, drawings: Drawings) -> dict[str, Any]:
        """The kinds of an example's fields."""
        hands = Category(len(drawings.styles), drawings.styles)
        return {"image": drawings.image, drawings.style: hands, **drawings.about}

    def rows(self, drawings: Drawings, things: Sequence[Thing]) -> Iterator[dict[str, Any]]:
        """The examples of a split: all hands' drawings of a thing, then those of the next."""
        for thing in things:
            for k, style in enumerate(drawings.styles):
                image = drawings.draw(style, thing)
                yield {"image": image, drawings.style: k, **thing.values}


@dataclasses.dataclass(frozen=True)
class Paired:
    """A thing is an example: a field for each hand, called as the hand is; the first of them is what is modelled."""

    def fields(self, drawings: Drawings) -> dict[str, Any]:
        """The kinds of an example's fields."""
        return {**dict.fromkeys(drawings.styles, drawings.image), **drawings.about}

    def rows(self, drawings: Drawings, things: Sequence[Thing]) -> Iterator[dict[str, Any]]:
        """The examples of a split."""
        for thing in things:
            drawn = {style: drawings.draw(style, thing) for style in drawings.styles}
            yield {**drawn, **thing.values}


def check_styles(styles: Sequence[str], known: Sequence[str]) -> None:
    """Raises UserError for a style that there is not, for one that is named twice, and for none."""
    if not styles:
        raise UserError(f"--data.styles=() names none: choose from {', '.join(known)}.")
    for style in styles:
        if style not in known:
            raise UserError(
                f"--data.styles: there is no style {style!r}, they are {', '.join(known)}.{nearest(style, known)}"
            )
        if list(styles).count(style) > 1:
            raise UserError(f"--data.styles names {style} twice: once is enough.")
