"""Files inside archives: found by name in memory, bounded, and never written anywhere."""

import gzip
import io
import tarfile
import zipfile

import pytest

from genjax.data import archives

CONTENT = b"0123456789" * 500


@pytest.fixture
def tgz(tmp_path):
    path = tmp_path / "set-1.0.tgz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name in ("package/a.json", "../../escaped", "/tmp/absolute", "package/sub/b.json"):
            entry = tarfile.TarInfo(name)
            entry.size = len(CONTENT)
            tar.addfile(entry, io.BytesIO(CONTENT))
        link = tarfile.TarInfo("package/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "set-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/a.json", CONTENT, zipfile.ZIP_DEFLATED)
        archive.writestr("data/plain.bin", CONTENT, zipfile.ZIP_STORED)
        archive.writestr("../escaped", CONTENT)
        archive.comment = b"a comment at the end"
    return path


def test_files_are_found_by_name_and_nothing_is_written(tgz, wheel, tmp_path):
    before = sorted(tmp_path.parent.rglob("*"))
    found = archives.read(tgz, ("package/*.json", "package/none"))
    # a link is no file, whatever it leads to
    assert found == {"package/a.json": CONTENT, "package/sub/b.json": CONTENT}
    assert archives.read(wheel, ("data/*",)) == {
        "data/a.json": CONTENT,
        "data/plain.bin": CONTENT,
    }
    # a name that leads out of the folder is a name like any other
    assert archives.read(tgz, ("../../escaped",)) == {"../../escaped": CONTENT}
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_what_is_cut_off_or_damaged_is_said(tgz, wheel, tmp_path):
    bad = tmp_path / "bad"
    whole = tgz.read_bytes()
    packed = wheel.read_bytes()
    middle = packed.index(CONTENT) + 9  # of the file that is stored plain
    flipped = packed[:middle] + b"\0" + packed[middle + 1 :]
    cases = {
        "cut off or damaged": (whole[: len(whole) // 2], packed[:300], flipped),
        "is no tar inside": (gzip.compress(b"x" * 2048),),
        "is neither": (b"hello", b""),
    }
    for told, contents in cases.items():
        for content in contents:
            bad.write_bytes(content)
            with pytest.raises(archives.Broken, match=told):
                archives.read(bad, ("*",))
    with pytest.raises(archives.Broken, match="No such file"):
        archives.read(tmp_path / "none", ("*",))


def test_a_small_archive_that_holds_much_is_refused(tgz, wheel, monkeypatch):
    monkeypatch.setattr(archives, "MOST", 1000)
    for path in (tgz, wheel):
        with pytest.raises(archives.Broken, match="of 5000 bytes, more than 1000"):
            archives.read(path, ("*a.json",))
        # what is not asked for may be as large as it likes
        assert archives.read(path, ("none",)) == {}
    monkeypatch.setattr(archives, "ALL", 9000)
    with pytest.raises(archives.Broken, match="more than 9000 bytes"):
        archives.read(tgz, ("none",))


def test_a_zip_that_says_less_than_it_holds_is_not_unpacked_further(wheel):
    content = bytearray(wheel.read_bytes())
    # the size in the directory, not that before the file itself
    at = content.index(b"PK\1\2") + 24
    content[at : at + 4] = (100).to_bytes(4, "little")
    wheel.write_bytes(content)
    with pytest.raises(archives.Broken, match=r"data/a\.json has 101 of 100 bytes"):
        archives.read(wheel, ("data/a.json",))
