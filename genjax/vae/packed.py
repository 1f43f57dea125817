"""The file of `genjax.pack`: pictures packed by a VAE, in chunks that are whole or told to be damaged.

    magic, version, bits of the buckets, levels       all numbers little-endian
    weights      8 bytes of a SHA-256 of what the nets are: no other model can read the file
    arithmetic   `bitsback.fingerprint`: a machine that rounds otherwise is told so before it decodes anything
    count, examples a chunk, height, width, channels, CRC-32 of all this
    then of each chunk: examples, borrowed words, words, CRC-32 of the words, CRC-32 of the pixels, and the words

A chunk is a stack of its own, which costs some borrowed words, and can be decoded without the others.

How many examples a stack holds is told by its head alone. An example has no least length: it takes up more bits than it
gives back on the average only, and a file that was made up may tell of so many that it is decoded for days. So a reader
names a least number of bits, `LEAST` if nothing else, and refuses what tells of more examples than that.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.config import identity
from genjax.errors import UserError
from genjax.vae import bitsback
from genjax.vae.bitsback import Array, Mismatch, Nets, Packed

# the first byte is no text, and a transfer as text changes the line ends
MAGIC = b"\x89GJXPK\r\n"
VERSION = 1
HEAD = struct.Struct("<8sBBH8sIQIIII")
CRC = struct.Struct("<I")
CHUNK = struct.Struct("<IIIII")
LEAST = 1.0  # bits an example: what takes less is hardly worth a model


class Head(NamedTuple):
    """What a file says before its chunks."""

    bits: int  # of the buckets
    levels: int  # of a pixel
    weights: bytes  # 8 of them
    arithmetic: int
    count: int  # examples
    chunk: int  # of them in a chunk, but for the last
    shape: tuple[int, ...]  # height, width, channels


class Chunk(NamedTuple):
    """One stack, and the CRC-32 of the pixels that it holds."""

    n: int
    borrowed: int
    words: Array  # uint32
    pixels: int


def weights(params: Any, cfg: Any) -> bytes:
    """8 bytes that name a model: of its config, and of every number of its nets."""
    # weights alone are not the model: limits of scales are in the config
    text = identity(cfg)
    whole = hashlib.sha256(text.encode())
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    for path, leaf in flat:
        name = jax.tree_util.keystr(path)
        values = np.asarray(leaf)
        kind = f"{name} {values.dtype} {values.shape}"
        whole.update(kind.encode())
        whole.update(values.tobytes())
    return whole.digest()[:8]


# Bytes.


def head_bytes(head: Head) -> bytes:
    """The head of a file."""
    *numbers, shape = head  # in the order of HEAD
    data = HEAD.pack(MAGIC, VERSION, *numbers, *shape)
    crc = zlib.crc32(data)
    return data + CRC.pack(crc)


def chunk_bytes(examples: Array, packed: Packed) -> bytes:
    """One chunk of levels [n, ...] and the stack that they became."""
    stack = packed.words.astype("<u4")
    words = stack.tobytes()
    n = len(examples)
    pixels = pixel_crc(examples)
    crc = zlib.crc32(words)
    about = CHUNK.pack(n, packed.borrowed, len(stack), crc, pixels)
    return about + words


def pixel_crc(examples: Array) -> int:
    """The CRC-32 of levels, two bytes each whatever their type."""
    wide = examples.astype("<u2")
    return zlib.crc32(wide.tobytes())


def chunks_of(examples: Array, size: int) -> Iterator[Array]:
    """`size` examples at a time, flat: int32 [n, D]."""
    n = len(examples)
    flat = examples.reshape(n, -1).astype(np.int32)
    for first in range(0, n, size):
        last = first + size
        yield flat[first:last]


def read_head(what: str, data: bytes) -> Head:
    """The head of a file `what`; UserError for a file that is no such one, cut short or damaged there."""
    begins = data[: len(MAGIC)]
    if begins != MAGIC:
        raise UserError(
            f"{what} was not written by genjax.pack encode, as its first bytes say: name such a file."
        )
    size = HEAD.size + CRC.size
    if len(data) < size:
        raise UserError(
            f"{what} is cut short within its head ({len(data)} of {size} bytes): take a whole copy."
        )
    about = data[: HEAD.size]
    (crc,) = CRC.unpack(data[HEAD.size : size])
    if zlib.crc32(about) != crc:
        raise UserError(f"{what} is damaged in its head: take another copy.")
    _, version, *numbers = HEAD.unpack(about)
    if version != VERSION:
        raise UserError(
            f"{what} is of version {version} of the format, and this code reads {VERSION}: use the code that wrote it."
        )
    *numbers, height, width, channels = numbers
    head = Head(*numbers, (height, width, channels))
    # a checksum can be made up: nothing may be divided by 0
    if not head.count or not head.chunk:
        raise UserError(f"{what} holds no pictures: take another copy.")
    return head


def read_chunks(what: str, data: bytes, head: Head, least: float = LEAST) -> list[Chunk]:
    """All chunks of a file; UserError, before any is decoded, for the first that is cut short or damaged.

    least: bits that an example has at least, 0 = none; UserError for a chunk that tells of more examples.
    """
    total = math.ceil(head.count / head.chunk)
    # a view: what is left of a file of many chunks is copied by none of them
    rest = memoryview(data)[HEAD.size + CRC.size :]
    left = head.count
    found: list[Chunk] = []
    # all of them before any is decoded, which takes minutes
    while left:
        which = f"{what}, chunk {len(found) + 1} of {total},"
        n = min(head.chunk, left)
        chunk, rest = _read_chunk(which, rest, n)
        _check_dense(which, chunk, least)
        found.append(chunk)
        left -= n
    if rest:
        raise UserError(f"{what} has {len(rest)} bytes too many: take another copy.")
    return found


def _read_chunk(which: str, data: memoryview, n: int) -> tuple[Chunk, memoryview]:
    """The chunk of n examples that some bytes begin with, and the bytes after it."""
    about = data[: CHUNK.size]
    if len(about) < CHUNK.size:
        raise UserError(f"{which} is not there, the file is cut short: take a whole copy.")
    told, borrowed, length, crc, pixels = CHUNK.unpack(about)
    size = 4 * length
    end = CHUNK.size + size
    words = data[CHUNK.size : end]
    if len(words) < size:
        raise UserError(
            f"{which} is cut short ({len(words)} of {size} bytes): take a whole copy."
        )
    stack = np.frombuffer(words, "<u4")
    # what says how many examples there are is in no other CRC; a stack does not end in a 0
    whole = told == n and length > 0 and stack[-1] > 0
    if zlib.crc32(words) != crc or not whole:
        raise UserError(f"{which} is damaged: take another copy.")
    chunk = Chunk(n, borrowed, stack.astype(np.uint32), pixels)
    return chunk, data[end:]


def dense(chunk: Packed | Chunk, n: int, least: float) -> bool:
    """Whether n examples have fewer than `least` bits each in the words of a stack."""
    bits = bitsback.WORD * len(chunk.words)
    return bits < least * n


def _check_dense(which: str, chunk: Chunk, least: float) -> None:
    """Raises UserError for more examples than a chunk's words can be of."""
    if dense(chunk, chunk.n, least):
        bits = bitsback.WORD * len(chunk.words)
        raise UserError(
            f"{which} tells of {chunk.n} pictures in {bits} bits: if you trust it, say --least=0 and it is unpacked "
            "however long that takes."
        )


def check_reader(
    what: str,
    head: Head,
    name: bytes,
    shape: tuple[int, ...],
    nets: Nets,
) -> None:
    """Raises UserError where a file is of another model, or of a machine that computes otherwise; shape: of one."""
    if head.weights != name:
        raise UserError(
            f"{what} was packed by a model with weights {head.weights.hex()}, and this one has {name.hex()}: name the "
            "run, and the step, that packed it."
        )
    # both hang on the weights, but a head can be made up
    if head.levels != nets.levels or head.shape != tuple(shape):
        raise UserError(
            f"{what} is damaged: it tells of {head.levels} levels and pictures of {list(head.shape)}, its model has "
            f"{nets.levels} and {list(shape)}: take another copy."
        )
    here = bitsback.fingerprint(nets)
    if here != head.arithmetic:
        raise UserError(
            f"{what} was packed where the nets round otherwise ({head.arithmetic:08x}, here {here:08x}): unpack it on "
            "such a processor, with the same release of JAX."
        )


def unpacked(which: str, chunk: Chunk, nets: Nets) -> Array:
    """The examples of a chunk, levels [n, D]; UserError where they are not those that were packed."""
    # with other numbers the first wrong symbol spoils all that come after it
    try:
        x = bitsback.decode(chunk.words, chunk.borrowed, chunk.n, nets)
    except Mismatch:
        x = None
    if x is None or pixel_crc(x) != chunk.pixels:
        raise UserError(
            f"{which} comes out otherwise than it was packed, as the nets round otherwise here: unpack it where it was "
            "packed."
        )
    return x
