"""Densities as tables of whole numbers: how often of 2^22 each symbol is, and one more symbol for all beyond."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

TOTAL = 2**22  # shares are counted in parts of this
TAIL = 2.0**-16  # about the share beyond each end of a table
WIDEST = 2**13  # values in a table at most, a side


class Table(NamedTuple):
    """How often each of the values first, first + 1, … is, and last how often any other."""

    first: int
    counts: np.ndarray  # int64 [n + 1], each at least 1, their sum TOTAL

    @property
    def values(self) -> int:
        """How many values it has a symbol for; the symbol of that number is all others'."""
        return len(self.counts) - 1

    def bits(self, symbols: np.ndarray) -> float:
        """What an ideal coder needs for the symbols."""
        shares = self.counts[symbols] / TOTAL
        return float(-np.log2(shares).sum())


def table(
    cumulative: Callable[[np.ndarray], np.ndarray],
    first: int,
    last: int,
) -> Table:
    """The table of the values first, …, last: each has the share between half a step before and after it.

    Values further than WIDEST from 0 have no symbol of their own.
    """
    first = min(max(first, -WIDEST), WIDEST)
    # one value at least, also of a density that lies beyond
    last = max(min(last, WIDEST), first)
    edges = np.arange(first, last + 2) - 0.5
    below = np.clip(cumulative(edges), 0.0, 1.0)
    below = np.maximum.accumulate(below)
    n = len(edges) - 1
    # one count is given to each, so that none is impossible, and the rest by shares
    rest = TOTAL - (n + 1)
    steps = np.floor(below * rest)
    inside = np.diff(steps).astype(np.int64) + 1
    outside = TOTAL - inside.sum()
    return Table(first, np.append(inside, outside))


def checksum(tables: Sequence[Table], *arrays: np.ndarray) -> int:
    """A number of 32 bits that tells tables, and further whole numbers, from others."""
    found = 0
    for each in tables:
        head = np.array([each.first, each.values], np.int64)
        found = zlib.crc32(_bytes(head), found)
        found = zlib.crc32(_bytes(each.counts), found)
    for each in arrays:
        found = zlib.crc32(_bytes(each), found)
    return found


def _bytes(x: np.ndarray) -> bytes:
    """Whole numbers as bytes, the same on every machine."""
    return np.asarray(x).astype("<i8").tobytes()
