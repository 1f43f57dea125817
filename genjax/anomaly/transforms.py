"""Transformations of pictures whose names a net can learn to tell: turns, a mirror, shifts.

T = turn by k quarters, after a shift by (dy, dx), after a mirror of left and right, of pictures [B, H, W, C]. The four
turns with and without the mirror are the symmetries of the square, a group of 8; with 3 x 3 shifts they are the 72 of
Golan & El-Yaniv 2018 (arXiv:1805.10917, sec. 4.1). Turns and mirrors move pixels and lose none; a shift loses those
that leave the frame, and what comes in is black.
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.errors import UserError, at_least, below

Move = tuple[
    int, int, int, int
]  # mirrored 0 or 1; dy and dx in -1, 0, 1 shifts; quarters 0 to 3


@dataclasses.dataclass(frozen=True)
class Moves:
    """A product of mirrors, shifts and turns; the first is always the identity."""

    mirror: bool = field(True, "mirror left and right, and not")
    turns: int = field(4, "turns by quarters: 4, or 1 = none")
    shift: float = field(
        0.0,
        "up, down, left, right by this share of the side, and none; 0 = never",
    )

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for settings that make no transformations, and for pictures that they do not fit."""
        where = "Moves: "
        at_least(0, where, shift=self.shift)
        # half a side further nothing is left to see
        below(0.5, where, shift=self.shift)
        if self.turns not in (1, 4):
            raise UserError(f"Moves: turns={self.turns} must be 4, or 1 for none.")
        height, width, _ = shape
        if self.turns == 4 and height != width:
            raise UserError(
                f"a picture of {height}x{width} turned by a quarter has another shape: use "
                "--algorithm.moves.turns=1."
            )
        if len(self.moves()) < 2:
            raise UserError(
                "Moves: there is one transformation alone, and nothing to tell apart: use --algorithm.moves.turns=4."
            )
        if self.shift and not self.pixels(shape):
            raise UserError(
                f"Moves: shift={self.shift} of {height}x{width} pixels is less than one: use more, or 0."
            )

    def moves(self) -> tuple[Move, ...]:
        """All transformations, in the order of their numbers."""
        mirrors = (0, 1) if self.mirror else (0,)
        # none comes first: the first of all is the identity
        steps = (0, -1, 1) if self.shift else (0,)
        quarters = range(self.turns)
        product = itertools.product(mirrors, steps, steps, quarters)
        return tuple(product)

    def pixels(self, shape: tuple[int, ...]) -> int:
        """How far a shift goes [pixels]."""
        side = min(shape[:2])
        return round(self.shift * side)

    def all(self, x: jax.Array) -> jax.Array:
        """Pictures [B, H, W, C] under each of the K transformations, [B, K, H, W, C]."""
        far = self.pixels(x.shape[1:])
        views = []
        for move in self.moves():
            view = moved(x, move, far)
            views.append(view)
        return jnp.stack(views, 1)

    def some(self, x: jax.Array, number: jax.Array) -> jax.Array:
        """Picture i [B, H, W, C] under transformation number[i]."""
        # all are made and one is kept: copies cost nothing beside the net
        views = self.all(x)
        rows = jnp.arange(len(x))
        return views[rows, number]


def moved(x: jax.Array, move: Move, far: int) -> jax.Array:
    """Pictures [B, H, W, C] under one transformation whose shifts go `far` pixels."""
    mirror, dy, dx, quarters = move
    if mirror:
        x = x[:, :, ::-1]
    # a shift in the picture's own upright frame, then the turn
    x = shifted(x, dy * far, dx * far)
    height_and_width = (1, 2)
    return jnp.rot90(x, quarters, height_and_width)


def shifted(x: jax.Array, down: int, right: int) -> jax.Array:
    """Pictures [B, H, W, C] moved by whole pixels, up and left where negative; black comes in."""
    _, height, width, _ = x.shape
    rows = abs(down)
    columns = abs(right)
    none = (0, 0)
    borders = (none, (rows, rows), (columns, columns), none)
    wide = jnp.pad(x, borders)
    # the window moves against the picture
    top = rows - down
    left = columns - right
    bottom = top + height
    end = left + width
    return wide[:, top:bottom, left:end]
