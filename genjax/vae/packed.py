"""The file of `genjax.pack`: pictures packed by a VAE, in chunks that are whole or told to be damaged.

    magic, version, bits of the buckets, levels       all numbers little-endian
    weights      8 bytes of a SHA-256 of what the nets are: no other model can read the file
    arithmetic   `bitsback.fingerprint`: a machine that rounds otherwise is told so before it decodes anything
    count, examples a chunk, height, width, channels, CRC-32 of all this
    then of each chunk: examples, borrowed words, words, CRC-32 of the words, CRC-32 of the pixels, and the words

A chunk is a stack of its own, which costs some borrowed words, and can be decoded without the others.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.config import identity
from genjax.errors import UserError
from genjax.vae import bitsback
from genjax.vae.bitsback import Buckets, Mismatch, Nets, Packed

# the first byte is no text, and a transfer as text changes the line ends
MAGIC = b"\x89GJXPK\r\n"
VERSION = 1
HEAD = struct.Struct("<8sBBH8sIQIIII")
CRC = struct.Struct("<I")
CHUNK = struct.Struct("<IIIII")


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
    words: np.ndarray  # uint32
    pixels: int


def weights(params: Any, cfg: Any) -> bytes:
    """8 bytes that name a model: of its config, and of every number of its nets."""
    whole = hashlib.sha256(identity(cfg).encode())
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    for path, leaf in flat:
        name = jax.tree_util.keystr(path)
        values = np.asarray(leaf)
        whole.update(f"{name} {values.dtype} {values.shape}".encode())
        whole.update(values.tobytes())
    return whole.digest()[:8]


# Bytes.


def head_bytes(head: Head) -> bytes:
    """The head of a file."""
    numbers = (head.bits, head.levels, head.weights, head.arithmetic, head.count, head.chunk)
    data = HEAD.pack(MAGIC, VERSION, *numbers, *head.shape)
    return data + CRC.pack(zlib.crc32(data))


def chunk_bytes(examples: np.ndarray, packed: Packed) -> bytes:
    """One chunk of levels [n, ...] and the stack that they became."""
    words = packed.words.astype("<u4").tobytes()
    sums = zlib.crc32(words), pixel_crc(examples)
    about = CHUNK.pack(len(examples), packed.borrowed, len(packed.words), *sums)
    return about + words


def pixel_crc(examples: np.ndarray) -> int:
    """The CRC-32 of levels, two bytes each whatever their type."""
    return zlib.crc32(np.asarray(examples).astype("<u2").tobytes())


def chunks_of(examples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """`size` examples at a time, flat: [n, D]."""
    flat = examples.reshape(len(examples), -1)
    for first in range(0, len(flat), size):
        yield flat[first : first + size].astype(np.int32)


def read_head(what: str, data: bytes) -> Head:
    """The head of a file `what`; UserError for a file that is no such one, cut short or damaged there."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
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
    _, version, bits, levels, name, arithmetic, count, chunk, *shape = HEAD.unpack(about)
    if version != VERSION:
        raise UserError(
            f"{what} is of version {version} of the format, and this code reads {VERSION}: use the code that wrote it."
        )
    return Head(bits, levels, name, arithmetic, count, chunk, tuple(shape))


def read_chunks(what: str, data: bytes, head: Head) -> list[Chunk]:
    """All chunks of a file; UserError, before any is decoded, for the first that is cut short or damaged."""
    total = -(-head.count // head.chunk)  # rounded up
    at = HEAD.size + CRC.size
    found: list[Chunk] = []
    while len(found) < total:
        which = f"chunk {len(found) + 1} of {total}"
        about = data[at : at + CHUNK.size]
        if len(about) < CHUNK.size:
            raise UserError(f"{what} is cut short before {which}: take a whole copy.")
        n, borrowed, size, crc, pixels = CHUNK.unpack(about)
        at += CHUNK.size
        words = data[at : at + 4 * size]
        if len(words) < 4 * size:
            raise UserError(
                f"{what} is cut short within {which} ({len(words)} of {4 * size} bytes): take a whole copy."
            )
        # what says how many examples there are is in no other CRC
        expected = min(head.chunk, head.count - len(found) * head.chunk)
        if zlib.crc32(words) != crc or n != expected or not size or not words[-4:].strip(b"\0"):
            raise UserError(f"{what} is damaged in {which}: take another copy.")
        at += 4 * size
        stack = np.frombuffer(words, "<u4").astype(np.uint32)
        found.append(Chunk(n, borrowed, stack, pixels))
    if at != len(data):
        raise UserError(f"{what} has {len(data) - at} bytes too many: take another copy.")
    return found


def check_reader(what: str, head: Head, name: bytes, nets: Nets) -> None:
    """Raises UserError where a file is of another model, or of a machine that computes otherwise."""
    if head.weights != name or head.levels != nets.levels:
        raise UserError(
            f"{what} was packed by a model with weights {head.weights.hex()}, and this one has {name.hex()}: name the "
            "run, and the step, that packed it."
        )
    here = bitsback.fingerprint(nets, Buckets(head.bits))
    if here != head.arithmetic:
        raise UserError(
            f"{what} was packed where the nets round otherwise ({head.arithmetic:08x}, here {here:08x}): unpack it on "
            "such a processor, with the same release of JAX."
        )


def unpacked(what: str, chunk: Chunk, which: int, head: Head, nets: Nets) -> np.ndarray:
    """The examples of a chunk, levels [n, *shape]; UserError where they are not those that were packed."""
    try:
        x = bitsback.decode(chunk.words, chunk.borrowed, chunk.n, nets, Buckets(head.bits))
        intact = pixel_crc(x) == chunk.pixels
    except Mismatch:
        intact = False
    if not intact:
        raise UserError(
            f"{what}: the pictures of chunk {which} come out otherwise than they were packed, as the nets round "
            "otherwise here: unpack it where it was packed."
        )
    return x.reshape(chunk.n, *head.shape)
