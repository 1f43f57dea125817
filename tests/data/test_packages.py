"""Where sets inside packages are looked for, and the one line that is said when they are not there."""

import numpy as np
import pytest

from genjax import fields
from genjax.data import builders, source
from genjax.data.packages import Package
from genjax.errors import UserError

PACKAGE = Package("songs-data", ("a.bin", "sub/*.txt"), "`apt-get install songs-data`", "2.1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("GENJAX_DATA", raising=False)
    (tmp_path / "songs-data" / "sub").mkdir(parents=True)
    (tmp_path / "songs-data" / "a.bin").write_bytes(b"1")
    (tmp_path / "songs-data" / "sub" / "x.txt").write_text("x")
    return tmp_path / "songs-data"


def test_a_package_is_found_by_path_by_variable_and_in_its_own_place(folder, monkeypatch):
    assert PACKAGE.find(None) is None
    assert PACKAGE.find(str(folder)) == folder
    for named in (folder, folder.parent):
        monkeypatch.setenv("GENJAX_DATA", str(named))
        assert PACKAGE.find(None) == folder
    monkeypatch.delenv("GENJAX_DATA")
    here = Package("songs-data", PACKAGE.files, "", "2.1", (str(folder),))
    assert here.find(None) == folder
    # a path that is given is the only place
    assert here.find(str(folder.parent)) is None
    assert [path.name for path in here.paths(folder)] == ["a.bin", "x.txt"]


def test_the_mark_changes_with_the_files(folder):
    before = PACKAGE.mark(folder)
    (folder / "unread.bin").write_bytes(b"2")
    assert PACKAGE.mark(folder) == before
    (folder / "sub" / "y.txt").write_text("y")
    assert PACKAGE.mark(folder) != before


def test_what_is_missing_is_said_in_one_line(folder, monkeypatch):
    with pytest.raises(UserError, match=r"not in any folder .*apt-get install songs-data"):
        PACKAGE.missing(None)
    (folder / "a.bin").unlink()
    with pytest.raises(UserError, match=r"songs-data lacks a\.bin: get it again.*2\.1"):
        PACKAGE.missing(str(folder))
    error = PACKAGE.other("a.bin", "has 3 songs and not 5")
    assert "version 2.1" in str(error) and "\n" not in str(error)


KINDS = {
    "image": fields.Image((4, 4, 3)),
    "label": fields.Category(2, ("a", "b")),
    "parts": fields.Mask((4, 4), 3),
    "age": fields.Points((1,)),
    "text": fields.Tokens(5, 10),
    "attributes": fields.Attributes(("x", "y")),
}


def _rows(n):
    random = np.random.default_rng(n)
    for i in range(n):
        yield {
            "image": random.integers(0, 255, (4, 4, 3)),
            "label": i % 2,
            "parts": random.integers(0, 3, (4, 4)),
            "age": random.normal(size=1),
            "text": random.integers(0, 10, 5),
            "attributes": [0, 1],
        }


def test_examples_of_any_fields_are_the_same_cached_and_streamed(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))

    def prepare(directory):
        # no test split: it is there, and empty
        splits = {"train": lambda: _rows(40), "valid": lambda: _rows(7)}
        return builders.rows(directory, KINDS, splits, notes=("40 rows",))

    kept = source.assemble("any", "any", {}, "mark", prepare, 0, stream=False)
    streamed = source.assemble("any", "any", {}, "mark", prepare, 0, stream=True)
    for found in (kept, streamed):
        source.check(found)
        sizes = {split: len(arrays["image"]) for split, arrays in found.splits().items()}
        assert sizes == {"train": 40, "valid": 7, "test": 0} and found.notes == ("40 rows",)
    assert source.fingerprint(kept) == source.fingerprint(streamed)
    wanted = list(_rows(40))
    for name, kind in KINDS.items():
        column = streamed.train[name][:]
        np.testing.assert_array_equal(kept.train[name], column)
        expected = np.stack([np.asarray(row[name], kind.dtype) for row in wanted])
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == kind.dtype
