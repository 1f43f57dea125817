"""What a compressed file looks like: a head that says what it is, and two chunks; nothing is believed unchecked.

"GXC" and the format's number     4 bytes
digest of the weights             8 bytes
checksum of the tables            4 bytes
checksum of the decoded numbers   4 bytes
rate, channels                    1 byte each
height, width, lengths of chunks  as `stream.written` has numbers
chunks                            numbers that no table has, all others
checksum of all before            4 bytes
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

from genjax.codec.stream import read, written
from genjax.errors import UserError

MAGIC, FORMAT = b"GXC", 1
_HEAD = struct.Struct("<3sB8sIIBB")
_END = struct.Struct("<I")
FINEST = 255  # the byte of rate 1
NUMBERS = 4  # height, width, lengths of the two chunks
MOST = 1 << 26  # pixels of a picture: a head that tells of more would take all memory


@dataclasses.dataclass(frozen=True)
class Packed:
    """What a file holds."""

    weights: bytes  # digest, 8 bytes
    tables: int
    numbers: int
    rate: int  # 0 to 255
    height: int
    width: int
    channels: int
    beyond: bytes
    coded: bytes


def pack(packed: Packed) -> bytes:
    """The bytes of a file."""
    head = _HEAD.pack(
        MAGIC,
        FORMAT,
        packed.weights,
        packed.tables,
        packed.numbers,
        packed.rate,
        packed.channels,
    )
    lengths = len(packed.beyond), len(packed.coded)
    sizes = written([packed.height, packed.width, *lengths])
    content = head + sizes + packed.beyond + packed.coded
    return content + _END.pack(zlib.crc32(content))


def unpack(content: bytes, name: str) -> Packed:
    """What the bytes of a file hold; UserError, with the name, for what is none of ours or broken."""
    if content[:3] != MAGIC:
        raise UserError(
            f"{name} is no file of this codec: it begins with {content[:3]!r} and not {MAGIC!r}."
        )
    if len(content) < _HEAD.size:
        raise UserError(
            f"{name} is cut short: {len(content)} bytes are no whole head: get it again."
        )
    _, number, weights, tables, numbers, rate, channels = _HEAD.unpack_from(content)
    if number != FORMAT:
        raise UserError(
            f"{name} is of format {number}, and this genjax reads format {FORMAT}: use the genjax that wrote it."
        )
    try:
        sizes, start = _sizes(content)
    except ValueError as error:
        raise UserError(f"{name} is damaged: its head has {error}: get it again.") from None
    if len(sizes) < NUMBERS:
        raise UserError(
            f"{name} is cut short: it ends within its head, at {len(content)} bytes: get it again."
        )
    height, width, beyond, coded = sizes
    # a checksum can be made up
    if min(height, width) < 1 or height * width > MOST or min(beyond, coded) < 0:
        raise UserError(
            f"{name} is damaged: its head tells of {height}x{width} pixels in {beyond} and {coded} bytes: get it again."
        )
    middle = start + beyond
    end = middle + coded
    _check_length(name, len(content), end + _END.size)
    (crc,) = _END.unpack_from(content, end)
    if crc != zlib.crc32(content[:end]):
        raise UserError(
            f"{name} is damaged: its checksum does not fit its bytes: get it again."
        )
    return Packed(
        weights,
        tables,
        numbers,
        rate,
        height,
        width,
        channels,
        content[start:middle],
        content[middle:end],
    )


def _sizes(content: bytes) -> tuple[list[int], int]:
    """(the numbers behind the head, as many as are whole, where they end)."""
    found: list[int] = []
    place = begun = _HEAD.size
    while len(found) < NUMBERS and place < len(content):
        place += 1
        if content[place - 1] < 128:
            found += read(content[begun:place])
            begun = place
    return found, place


def _check_length(
    name: str,
    got: int,
    wanted: int,
) -> None:
    """Raises UserError for a file that is shorter or longer than its head says."""
    if got < wanted:
        raise UserError(f"{name} is cut short: it has {got} of {wanted} bytes: get it again.")
    if got > wanted:
        raise UserError(
            f"{name} is damaged: it has {got} bytes, and its head tells of {wanted}: get it again."
        )
