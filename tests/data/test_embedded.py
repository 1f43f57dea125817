"""Numbers of another encoder beside their captions: rows that are not those of the set are refused."""

import numpy as np
import pytest

from genjax.config import digest
from genjax.data import source
from genjax.data.captions import text
from genjax.data.embedded import Embedded
from genjax.data.spoken import DigitPairs
from genjax.errors import UserError

PAIRS = DigitPairs(train=30, test=12)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield PAIRS.load()


@pytest.fixture
def written(tmp_path, pairs):
    """written(**changes) -> a set whose file has sound arrays but for the changes; None leaves one out."""

    def write(**changes) -> Embedded:
        arrays = {}
        for name, n in (("train", 30), ("test", 12)):
            arrays[name] = np.arange(n * 8, dtype=np.float64).reshape(n, 2, 4)
            arrays[f"{name}_captions"] = np.array(text(pairs.splits()[name]["caption"]))
        kept = {
            name: array for name, array in {**arrays, **changes}.items() if array is not None
        }
        np.savez(tmp_path / "rows.npz", **kept)
        return Embedded(PAIRS, str(tmp_path / "rows.npz"))

    return write


def test_rows_come_with_their_examples(written, pairs):
    cfg = written()
    found = cfg.load()
    source.check(found)
    assert found.fields["embedding"].shape == (2, 4) and found.main == "image"
    np.testing.assert_array_equal(found.test["embedding"][5].ravel(), np.arange(40, 48))
    np.testing.assert_array_equal(found.train["caption"], pairs.train["caption"])
    marked = digest(cfg.resolved())
    one = written(train=np.ones((30, 4), np.float16), test=np.ones((12, 4)))
    assert one.load().fields["embedding"].shape == (4,)
    # other numbers are another run, wherever they lie
    assert digest(one.resolved()) != marked == digest(written().resolved())
    with pytest.raises(UserError, match="is not the file that this run began with"):
        cfg = written().resolved()
        written(test=np.ones((12, 2, 4)))
        cfg.load()


OTHERS = np.array(["a line"] * 12)
REFUSED = {
    "too few": ({"test": np.ones((11, 2, 4))}, "test has 11 rows, and that split 12 examples"),
    "no test": ({"test": None}, "has no array 'test', and that split has 12 examples"),
    "another size": (
        {"test": np.ones((12, 2, 5))},
        r"test holds rows \[2, 5\] and train \[2, 4\]",
    ),
    "numbers of tokens": (
        {"test": np.ones((12, 4), int)},
        r"test is int64 \[12, 4\], expected floats",
    ),
    "nan": ({"test": np.full((12, 2, 4), np.nan)}, "test holds NaN or infinite values"),
    "other captions": (
        {"test_captions": OTHERS},
        "row 0 of test is of 'a line', and the example's caption",
    ),
    "fewer captions": (
        {"test_captions": OTHERS[:3]},
        "test_captions has 3 rows, and that split 12",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_do_not_match(written, name):
    changes, line = REFUSED[name]
    with pytest.raises(UserError, match=line):
        written(**changes).load()


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="names no file"):
        Embedded(PAIRS).load()
    with pytest.raises(UserError, match="nowhere.npz cannot be read"):
        Embedded(PAIRS, str(tmp_path / "nowhere.npz")).load()
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(UserError, match="cannot be read as an npz file"):
        Embedded(PAIRS, str(tmp_path / "text.npz")).load()
