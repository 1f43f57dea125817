"""Whole numbers to bytes and back, each by a table: range coding, and apart what no table has.

Writer and reader have one method, so that encoder and decoder are one piece of code: `code(values, which, tables)`
writes values and returns them, or reads and returns what was written.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from genjax.codec.tables import TOTAL, Table
from genjax.errors import UserError

LONGEST = 9  # bytes of a number: int64 holds it
FURTHEST = 128 ** (LONGEST - 1)


class Port(Protocol):
    """Where numbers go, or come from."""

    def code(
        self, values: np.ndarray, which: np.ndarray, tables: Sequence[Table]
    ) -> np.ndarray: ...


def library() -> Any:
    """The range coder; UserError where it is not installed."""
    try:
        import constriction
    except ImportError:
        raise UserError(
            "files of learned codecs need constriction: pip install 'deepgenjax[codec]'."
        ) from None
    return constriction


def _model(of: Table) -> Any:
    """A table as the range coder takes it: its shares are whole parts of a power of two, which floats hold."""
    return library().stream.model.Categorical(of.counts / TOTAL, perfect=False)


def groups(which: np.ndarray, n: int) -> Iterator[tuple[int, np.ndarray]]:
    """(table, places of its values) of each table that is used, in order."""
    order = np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(n + 1))
    for i in range(n):
        places = order[ends[i] : ends[i + 1]]
        if len(places):
            yield i, places


class Writer:
    """Takes numbers in turn; `bytes` is what they have become."""

    def __init__(self) -> None:
        self._coder = library().stream.queue.RangeEncoder()
        self._beyond: list[int] = []
        self.crc = 0
        self.bits = 0.0  # what an ideal coder would need for the symbols

    def code(
        self, values: np.ndarray, which: np.ndarray, tables: Sequence[Table]
    ) -> np.ndarray:
        """Writes whole numbers [...], each by the table of the number in `which` [...]; returns them."""
        flat = values.ravel().astype(np.int64)
        for i, places in groups(which.ravel(), len(tables)):
            own = tables[i]
            symbols = flat[places] - own.first
            outside = (symbols < 0) | (symbols >= own.values)
            self._beyond += flat[places][outside].tolist()
            symbols = np.where(outside, own.values, symbols)
            self._coder.encode(symbols.astype(np.int32), _model(own))
            self.bits += own.bits(symbols)
        self.crc = zlib.crc32(flat.astype("<i8").tobytes(), self.crc)
        return values

    def parts(self) -> tuple[bytes, bytes]:
        """(the numbers that no table has, all others)."""
        words = self._coder.get_compressed()
        return written(self._beyond), words.astype("<u4").tobytes()


class Reader:
    """Gives the numbers back in turn."""

    def __init__(self, beyond: bytes, coded: bytes) -> None:
        """ValueError for bytes that are no whole words, and for a number that no file has."""
        words = np.frombuffer(coded, "<u4").astype(np.uint32)
        self._coder = library().stream.queue.RangeDecoder(words)
        self._beyond = iter(read(beyond))
        self.crc = 0

    def code(
        self, values: np.ndarray, which: np.ndarray, tables: Sequence[Table]
    ) -> np.ndarray:
        """The numbers [...] that were written by the tables of the numbers in `which` [...]; of `values` the shape."""
        flat = np.zeros(which.size, np.int64)
        for i, places in groups(which.ravel(), len(tables)):
            own = tables[i]
            symbols = self._coder.decode(_model(own), len(places)).astype(np.int64)
            found = symbols + own.first
            outside = symbols == own.values
            # 0 for one that is not there: the checksum tells
            found[outside] = [next(self._beyond, 0) for _ in range(outside.sum())]
            flat[places] = found
        self.crc = zlib.crc32(flat.astype("<i8").tobytes(), self.crc)
        return flat.reshape(which.shape).astype(np.float64)


def written(numbers: Sequence[int]) -> bytes:
    """Whole numbers as bytes, seven bits in each; the sign is the lowest bit."""
    found = bytearray()
    for number in numbers:
        left = 2 * number if number >= 0 else -2 * number - 1
        while left > 127:
            found.append(left % 128 + 128)
            left //= 128
        found.append(left)
    return bytes(found)


def read(content: bytes) -> list[int]:
    """The inverse of `written`; ValueError for a number of more than LONGEST bytes."""
    found = []
    number, scale = 0, 1
    for byte in content:
        # without an end to it a number would be made of a whole file, in quadratic time
        if scale > FURTHEST:
            raise ValueError(f"a number of more than {LONGEST} bytes")
        number += byte % 128 * scale
        scale *= 128
        if byte < 128:
            sign = -1 if number % 2 else 1
            found.append(sign * (number + 1) // 2 if sign < 0 else number // 2)
            number, scale = 0, 1
    return found
