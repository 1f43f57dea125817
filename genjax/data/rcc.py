"""Qt's binary resource files (.rcc), formats 1 to 3, read without Qt: the names first, the bytes of a file when asked.

A file has a header, a tree of names and a heap of data. Header: "qres", then big-endian uint32 of the version and of
the places of tree, data and names; from version 3 on also flags. A node of the tree: uint32 place of its name, uint16
flags, then of a folder uint32 number of children and uint32 number of the first, of a file uint16 country, uint16
language and uint32 place of its data; from version 2 on uint64 time. A name: uint16 length, uint32 hash, UTF-16. Data:
uint32 length, then the bytes, zlib's after a uint32 of how many they become. What the files are for is said in
https://doc.qt.io/qt-6/resources.html.

Everything in a file is checked before it is believed: places and lengths lie inside, each node is reached once, and
nothing grows beyond `MOST` bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from genjax.errors import UserError

MOST = 1 << 26  # bytes of one file inside, unpacked: a photograph has a hundredth of it
_ZLIB, _FOLDER, _ZSTD = 1, 2, 4  # flags of a node
_DEEPEST = 64  # folders inside each other
_LONGEST = 1024  # characters of a name: many long ones would fill the memory


class Broken(Exception):
    """What is wrong with a file, as the middle of a sentence."""


class Node(NamedTuple):
    """A file inside: its flags and the place of its data."""

    flags: int
    data: int


class Resources(Mapping[str, bytes]):
    """The files inside one .rcc: {name: bytes}, unpacked when they are asked for. Names begin with /."""

    def __init__(self, path: str | Path):
        """UserError where the file cannot be read or is no whole .rcc."""
        self.path = Path(path)
        try:
            self._content = self.path.read_bytes()
            self._data, self._nodes = _tree(self._content)
        except OSError as error:
            self._refuse(error.strerror or str(error), error)
        except Broken as error:
            self._refuse(str(error), error)

    def __getitem__(self, name: str) -> bytes:
        """The bytes of a file; KeyError for a name that is not there, UserError where they cannot be unpacked."""
        node = self._nodes[name]
        try:
            return _unpacked(self._content, self._data + node.data, node.flags)
        except Broken as error:
            self._refuse(f"{name}: {error}", error)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def _refuse(self, what: str, error: Exception) -> NoReturn:
        raise UserError(
            f"{self.path} cannot be read as a Qt resource file ({what}): get it again."
        ) from error


def _tree(content: bytes) -> tuple[int, dict[str, Node]]:
    """(place of the data, {name: node} of every file)."""
    if content[:4] != b"qres":
        raise Broken(f"it starts {content[:4].hex() or 'nowhere'} and not 71726573, qres")
    version, tree, data, names = _at(content, 4, ">4I", "the header")
    if not 1 <= version <= 3:
        raise Broken(f"it is of version {version}, and 1 to 3 are known")
    width = 14 if version == 1 else 22  # bytes of a node
    files: dict[str, Node] = {}
    seen = {0}
    todo = [(0, "", 0)]  # (node, the folder that it is in, how deep that is)
    while todo:
        number, above, depth = todo.pop()
        start = tree + number * width
        place, flags = _at(content, start, ">IH", f"node {number}")
        # the root has no name
        name = f"{above}/{_name(content, names + place)}" if number else ""
        if not flags & _FOLDER:
            _, _, own = _at(content, start + 6, ">HHI", f"node {number}")
            # of several languages the first
            files.setdefault(name, Node(flags, own))
            continue
        count, first = _at(content, start + 6, ">II", f"node {number}")
        if first + count > (len(content) - tree) // width:
            raise Broken(f"the folder {name or '/'} has children beyond the end")
        children = range(first, first + count)
        if depth == _DEEPEST or not seen.isdisjoint(children):
            raise Broken(f"the folder {name or '/'} leads back into the tree")
        seen.update(children)
        # the last is taken first
        todo += [(child, name, depth + 1) for child in reversed(children)]
    return data, files


def _at(content: bytes, start: int, form: str, what: str) -> tuple[int, ...]:
    """Numbers at a place; Broken where the file ends before."""
    if start + struct.calcsize(form) > len(content):
        raise Broken(f"{what} is beyond the end")
    return struct.unpack_from(form, content, start)


def _name(content: bytes, start: int) -> str:
    length, _ = _at(content, start, ">HI", "a name")
    if length > _LONGEST:
        raise Broken(f"a name of {length} characters")
    first = start + 6
    text = content[first : first + 2 * length]
    if len(text) < 2 * length:
        raise Broken("a name is beyond the end")
    try:
        return text.decode("utf-16-be")
    except UnicodeDecodeError as error:
        raise Broken("a name is no UTF-16") from error


def _unpacked(content: bytes, start: int, flags: int) -> bytes:
    """The bytes at a place of the data."""
    (length,) = _at(content, start, ">I", "its place")
    first = start + 4
    packed = content[first : first + length]
    if len(packed) < length:
        raise Broken(f"it is cut short, {len(packed)} of {length} bytes")
    if flags & _ZLIB:
        return _inflated(packed)
    return _decompressed(packed) if flags & _ZSTD else packed


def _inflated(packed: bytes) -> bytes:
    """zlib's bytes, after the number of those that they become."""
    (promised,) = _at(packed, 0, ">I", "its length")
    _check_promise(promised)
    machine = zlib.decompressobj()
    try:
        # one more than promised: a bomb ends here
        content = machine.decompress(packed[4:], promised + 1)
    except zlib.error as error:
        raise Broken(str(error)) from error
    return _kept(content, promised)


def _decompressed(packed: bytes) -> bytes:
    """A frame of zstd, by a module that is needed for nothing else here."""
    try:
        import zstandard
    except ImportError as error:
        raise Broken("it is packed by zstd: pip install zstandard") from error
    try:
        promised = zstandard.frame_content_size(packed)
        _check_promise(promised)
        machine = zstandard.ZstdDecompressor(max_window_size=MOST)
        # in a stream, whose end is not the frame's own word: nothing beyond the promise is unpacked
        content = machine.stream_reader(packed).read(promised + 1)
    except zstandard.ZstdError as error:
        raise Broken(str(error)) from error
    return _kept(content, promised)


def _check_promise(promised: int) -> None:
    # zstd says -1 where a frame does not tell
    if not 0 <= promised <= MOST:
        raise Broken(f"it promises {promised} bytes, and 0 to {MOST} are read")


def _kept(content: bytes, promised: int) -> bytes:
    """What was unpacked; Broken unless it is as long as was promised."""
    if len(content) != promised:
        raise Broken(f"it does not become the {promised} bytes that it promises")
    return content
