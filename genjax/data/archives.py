"""Files inside archives of packages, in memory: .tgz of npm and .whl of PyPI.

No name in an archive becomes a path: what is asked for is looked up among the names, and everything else is passed
over. Sizes are bounded, since a small archive can hold much. What a reader of these files needs of the formats is
little: POSIX.1-1988 ustar headers, and the directory at the end of a zip (PKWARE APPNOTE 6.3, sections 4.3 and 4.4).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, NamedTuple

MOST = 2**26  # bytes of one file that is read
ALL = 2**29  # bytes of a .tgz, which is gone through from its beginning
_BLOCK = 512  # bytes: what a tar is made of
_CHUNK = 2**20
_TAIL = 22 + 2**16  # bytes at the end of a zip in which its directory is announced
_END = struct.Struct("<4s4H2LH")  # that announcement
_ENTRY = struct.Struct("<4s6H3L5H2L")  # a file in the directory
_LOCAL = 30  # bytes before a file's own name


class Broken(Exception):
    """No archive, a part of one, or one of too much; the message ends a sentence that begins with its name."""


class _Entry(NamedTuple):
    """A file as the directory of a zip tells of it."""

    name: str
    packed: bool
    crc: int
    stored: int  # bytes in the archive
    size: int  # bytes of the file
    offset: int


def read(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """{name: content} of the files whose names fit one of the patterns; what is not there is left out.

    Raises Broken for what is no .tgz or zip, is cut off or damaged, or holds files of more than `MOST` bytes.
    """
    patterns = tuple(wanted)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic.startswith(b"\x1f\x8b"):
                return dict(_of_tar(file, patterns))
            if magic.startswith(b"PK"):
                return dict(_of_zip(file, patterns))
    # EOFError and zlib.error: of gzip and of a zip's files; ValueError: sizes that are no numbers
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise Broken(f"is cut off or damaged ({error})") from error
    raise Broken("is neither a .tgz nor a .whl")


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _of_tar(file: BinaryIO, patterns: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with gzip.open(file) as tar:
        while header := tar.read(_BLOCK):
            if not any(header):  # zeros fill up the end
                continue
            name, size, regular = _header(header)
            padded = -(-size // _BLOCK) * _BLOCK
            if tar.tell() + padded > ALL:
                raise Broken(f"holds more than {ALL} bytes")
            if regular and _fits(name, patterns):
                content = tar.read(_bounded(name, size))
                _check_length(name, content, size)
                yield name, content
                padded -= size
            _skip(tar, padded)


def _header(header: bytes) -> tuple[str, int, bool]:
    """(name, size, whether it is a file and no link or folder) of a block of 512 bytes."""
    # the sum is over the header with blanks in its own place
    total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    if header[148:156].rstrip(b" \0").lstrip(b"0 ") != b"%o" % total:
        raise Broken("is no tar inside")
    name = header[:100].rstrip(b"\0").decode("utf-8", "replace")
    size = int(header[124:136].rstrip(b" \0") or b"0", 8)
    return name, size, header[156:157] in (b"0", b"\0")


def _skip(tar: BinaryIO, n: int) -> None:
    while n > 0:
        got = len(tar.read(min(n, _CHUNK)))
        if not got:
            raise EOFError("the last file is not whole")
        n -= got


def _bounded(name: str, size: int) -> int:
    if not 0 <= size <= MOST:
        raise Broken(f"has {name} of {size} bytes, more than {MOST}")
    return size


def _check_length(name: str, content: bytes, size: int) -> None:
    if len(content) != size:
        raise EOFError(f"{name} has {len(content)} of {size} bytes")


def _of_zip(file: BinaryIO, patterns: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for entry in _directory(file):
        if _fits(entry.name, patterns):
            yield entry.name, _unpacked(file, entry)


def _directory(file: BinaryIO) -> Iterator[_Entry]:
    end = file.seek(0, 2)
    file.seek(max(0, end - _TAIL))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise EOFError("its end is missing")
    *_, count, length, start, _ = _END.unpack_from(tail, at)
    file.seek(start)
    listed = file.read(length)
    at = 0
    for _ in range(count):
        parts = _ENTRY.unpack_from(listed, at)
        method, crc, stored, size = parts[4], *parts[7:10]
        of_name, of_extra, of_comment, offset = *parts[10:13], parts[-1]
        at += _ENTRY.size
        name = listed[at : at + of_name].decode("utf-8", "replace")
        at += of_name + of_extra + of_comment
        # 8 is deflate and 0 is nothing: wheels have no other
        yield _Entry(name, method == 8, crc, stored, size, offset)


def _unpacked(file: BinaryIO, entry: _Entry) -> bytes:
    size = _bounded(entry.name, entry.size)
    file.seek(entry.offset)
    local = file.read(_LOCAL)
    # its own header tells these lengths again, and the second may differ from the directory's
    of_name, of_extra = struct.unpack_from("<2H", local, 26)
    file.seek(of_name + of_extra, 1)
    content = file.read(_bounded(entry.name, entry.stored))
    if entry.packed:
        # bounded again: what the directory says of the size may be wrong
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    _check_length(entry.name, content, size)
    if zlib.crc32(content) != entry.crc:
        raise ValueError(f"the checksum of {entry.name} is another")
    return content
