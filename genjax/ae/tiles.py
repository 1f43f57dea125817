"""Pictures of any size through a net that was trained on small ones: tile by tile, without a seam.

A net whose output at a pixel depends on no more than the pixels within its reach gives the same numbers on a tile with
that much around it as on the whole picture, if both begin at a multiple of its unit. At the picture's own border a tile
ends where the picture ends, so that the net meets the same padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from genjax.errors import UserError


class Tile(NamedTuple):
    """A part of a picture."""

    rows: slice
    columns: slice

    def within(self, other: Tile) -> Tile:
        """This part, counted from the first row and column of another that holds it."""
        rows = _moved(self.rows, other.rows.start)
        columns = _moved(self.columns, other.columns.start)
        return Tile(rows, columns)


def _moved(part: slice, by: int) -> slice:
    return slice(part.start - by, part.stop - by)


def _spans(n: int, side: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """(what is kept, what is seen) of each tile along one axis of n pixels."""
    for first in range(0, n, side):
        last = min(first + side, n)
        kept = slice(first, last)
        # at the border a tile ends where the picture ends
        before = max(0, first - reach)
        after = min(n, last + reach)
        yield kept, slice(before, after)


def tiles(height: int, width: int, side: int, reach: int) -> Iterator[tuple[Tile, Tile]]:
    """(kept, seen) for each tile of a picture: the kept parts cover it once, each lies `reach` within what is seen."""
    for kept_rows, seen_rows in _spans(height, side, reach):
        for kept_columns, seen_columns in _spans(width, side, reach):
            kept = Tile(kept_rows, kept_columns)
            seen = Tile(seen_rows, seen_columns)
            yield kept, seen


def tiled(
    net: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    unit: int,
    reach: int,
    side: int = 128,
) -> np.ndarray:
    """net(image) of one picture [H, W, C] in tiles of about `side` pixels; H and W need not divide by `unit`.

    net: [1, h, w, C] -> [1, h, w, K] for any h, w divisible by `unit`; it is compiled once for each shape of a tile,
    at most nine. A picture that does not divide is mirrored at its right and lower border first. UserError for one that
    is smaller than a unit.
    """
    h, w = image.shape[:2]
    if min(h, w) < unit:
        raise UserError(
            f"a picture of {h}x{w} is smaller than the net's unit of {unit} pixels: scale it up first."
        )
    more = [(0, -h % unit), (0, -w % unit), (0, 0)]
    whole = np.pad(image, more, mode="symmetric")
    # multiples of the unit, so that every tile is folded as the whole picture is
    step = _up(side, unit)
    around = _up(reach, unit)
    made = []
    for kept, seen in tiles(*whole.shape[:2], step, around):
        part = whole[seen]
        found = np.asarray(net(part[None]))[0]
        inside = kept.within(seen)
        made.append((kept, found[inside]))
    # the net says how many channels there are
    _, first = made[0]
    out = np.empty((*whole.shape[:2], first.shape[-1]), first.dtype)
    for kept, found in made:
        out[kept] = found
    return out[:h, :w]


def _up(n: int, unit: int) -> int:
    """n, rounded up to a multiple of the unit."""
    return n + -n % unit
