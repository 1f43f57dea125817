"""Qt's resource files are read as they were written, and whatever is wrong with one is one line."""

import struct
import sys
import zlib

import pytest

from genjax.data import rcc
from genjax.data.rcc import Resources
from genjax.errors import UserError
from tests.data.packaged import resources

FILES = {
    "/a/b/picture.webp": bytes(range(256)) * 3,
    "/a/ümlaut.txt": b"text",
    "/a/empty": b"",
    "/top": b"top",
}


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("packed", [False, True])
def test_what_was_written_is_read(tmp_path, version, packed):
    path = tmp_path / "x.rcc"
    path.write_bytes(resources(FILES, version, packed))
    found = Resources(path)
    assert dict(found) == FILES and len(found) == 4
    assert "/a" not in found  # a folder
    with pytest.raises(KeyError):
        found["/a/picture.webp"]


def test_a_file_is_unpacked_when_it_is_asked_for(tmp_path):
    path = tmp_path / "x.rcc"
    content = resources(FILES)
    packed = zlib.compress(FILES["/a/b/picture.webp"])
    path.write_bytes(content.replace(packed, bytes(len(packed))))
    found = Resources(path)
    assert set(found) == set(FILES) and found["/top"] == b"top"
    with pytest.raises(UserError, match=r"x\.rcc .*/a/b/picture\.webp: Error -3.*: get it"):
        found["/a/b/picture.webp"]


def refused(path, content):
    """What is said of a file, None where all of it can be read; any other error fails the test."""
    path.write_bytes(content)
    try:
        dict(Resources(path))
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return str(error)
    return None


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_short_or_spoilt_anywhere_is_one_line(tmp_path, packed):
    content = resources({"/a/b.webp": bytes(range(20)), "/a/c": b"", "/d": b"d"}, 3, packed)
    path = tmp_path / "x.rcc"
    assert refused(path, content) is None
    for length in range(0, len(content), 3):
        assert refused(path, content[:length])
    for place in range(0, len(content), 2):
        spoilt = bytearray(content)
        spoilt[place] ^= 0xFF
        refused(path, bytes(spoilt))


def node(place, flags, *numbers):
    form = ">IHII" if flags & 2 else ">IHHHI"
    return struct.pack(form, place, flags, *numbers) + bytes(8)


def hand(*nodes, data=b"", names=b"\0\1\0\0\0\0\0n"):
    """A file of given nodes, whose names are all n."""
    joined = b"".join(nodes)
    places = 24, 24 + len(joined), 24 + len(joined) + len(data)
    return b"qres" + struct.pack(">5I", 3, *places, 0) + joined + data + names


ONE = node(0, 2, 1, 1)  # the root, with one child
BOMB = zlib.compress(bytes(1 << 20))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it starts nowhere"),
        (b"GIF89a", "it starts 47494638 and not 71726573, qres"),
        (b"qres" + struct.pack(">4I", 9, 24, 24, 24), "version 9"),
        (hand(node(0, 2, 1, 0)), "the folder / leads back"),
        (hand(ONE, node(0, 2, 1, 1)), "the folder /n leads back"),
        (hand(node(0, 2, 2, 1), node(0, 2, 1, 2), node(0, 2, 1, 1)), "leads back"),
        (hand(node(0, 2, 2**32 - 1, 1)), "children beyond the end"),
        (hand(ONE, node(9999, 0, 0, 1, 0)), "a name is beyond the end"),
        (hand(ONE, node(0, 0, 0, 1, 9999)), "its place is beyond the end"),
        (hand(ONE, node(0, 0, 0, 1, 0), names=b"\0\1\0\0\0\0\xd8\0"), "no UTF-16"),
        (hand(ONE, node(0, 0, 0, 1, 0), names=b"\xff\xff" + bytes(200_000)), "65535 char"),
        (
            hand(ONE, node(0, 1, 0, 1, 0), data=struct.pack(">II", 12, 2**32 - 1) + BOMB),
            "promises 4294967295 bytes",
        ),
        (
            hand(ONE, node(0, 1, 0, 1, 0), data=struct.pack(">II", len(BOMB), 5) + BOMB),
            "does not become the 5 bytes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_resource_file_is_one_line(tmp_path, content, told):
    assert told in refused(tmp_path / "x.rcc", content)


def test_a_tree_that_is_too_deep_is_one_line(tmp_path):
    depth = 100
    chain = [node(0, 2, 1, i + 1) for i in range(depth)]
    assert "leads back" in refused(tmp_path / "x.rcc", hand(*chain, node(0, 0, 0, 1, 0)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"y\.rcc cannot be read .*\(No such file"):
        Resources(tmp_path / "y.rcc")


def zipped(frame):
    return hand(ONE, node(0, 4, 0, 1, 0), data=struct.pack(">I", len(frame)) + frame)


def test_zstd_without_its_module_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert "pip install zstandard" in refused(tmp_path / "x.rcc", zipped(b"frame"))


def test_zstd_with_its_module(tmp_path, monkeypatch):
    zstandard = pytest.importorskip("zstandard", reason="optional: for files packed by zstd")
    path = tmp_path / "x.rcc"
    frame = zstandard.ZstdCompressor().compress(bytes(100_000))
    path.write_bytes(zipped(frame))
    assert Resources(path)["/n"] == bytes(100_000)
    assert refused(path, zipped(frame[:-3]))
    monkeypatch.setattr(rcc, "MOST", 1 << 16)
    assert "promises 100000 bytes" in refused(path, zipped(frame))
