"""The array cache: built once, whole or not at all, again when the source changes, read with numpy alone."""

import builtins
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from genjax.data import Digits, cache
from genjax.data.stream import Records
from genjax.errors import UserError
from genjax.fields import Category, Image


def examples(n, start=0):
    return [
        {"image": np.full((2, 2, 1), start + i, np.uint8), "label": np.int32(i % 3)}
        for i in range(n)
    ]


def prepared(train, test=()):
    splits = {
        "train": Records(train, lambda example: example),
        "test": Records(test, lambda example: example),
    }
    return cache.Prepared(splits, FIELDS, ("a note",))


FIELDS = {"image": Image((2, 2, 1)), "label": Category(3, ("a", "b", "c"))}


def load(mark="1", train=None, calls=None):
    def prepare(directory):
        if calls is not None:
            calls.append(directory)
        return prepared(examples(5) if train is None else train)

    return cache.arrays("tiny", {}, mark, prepare)


def test_built_once_and_memory_mapped(cache_dir, capsys):
    calls = []
    first, second = load(calls=calls), load(calls=calls)
    assert len(calls) == 1 and not calls[0].exists()
    assert isinstance(second.splits["train"]["image"], np.memmap)
    for stored in (first, second):
        assert stored.splits["train"]["image"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
        assert stored.splits["train"]["label"].tolist() == [0, 1, 2, 0, 1]
        assert stored.splits["test"]["image"].shape == (0, 2, 2, 1)
        assert stored.fields == FIELDS
    assert capsys.readouterr().err.splitlines().count("a note") == 2
    assert [path.name for path in cache_dir.iterdir()] == ["tiny"]


def test_more_examples_than_a_chunk():
    stored = load(train=examples(200) * 6)
    assert np.array_equal(
        stored.splits["train"]["image"][:, 1, 1, 0], np.tile(np.arange(200), 6)
    )


def test_a_changed_source_is_built_again_and_old_readers_keep_theirs():
    old = load("1", examples(3))
    new = load("2", examples(4, start=10))
    assert new.splits["train"]["image"][:, 0, 0, 0].tolist() == [10, 11, 12, 13]
    assert old.splits["train"]["image"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert load(None, []).splits["train"]["label"].shape == (
        4,
    )  # no source at hand: what is there serves


def test_a_half_written_cache_is_never_used(cache_dir):
    class Broken(list):
        def __getitem__(self, i):
            if i == 3:
                raise RuntimeError("power cut")
            return super().__getitem__(i)

    with pytest.raises(RuntimeError, match="power cut"):
        load(train=Broken(examples(5)))
    assert list(cache_dir.iterdir()) == []
    assert len(load().splits["train"]["label"]) == 5


def test_what_a_killed_build_left_is_swept_after_a_day(cache_dir):
    for name, age in ((".tiny-old", 90_000), (".tiny-young", 60)):
        (cache_dir / name / "arrays").mkdir(parents=True)
        os.utime(cache_dir / name, (time.time() - age,) * 2)
    load()
    assert sorted(path.name for path in cache_dir.iterdir()) == [".tiny-young", "tiny"]


@pytest.mark.parametrize("harm", ["truncate", "remove", "json", "version", "dtype"])
def test_a_damaged_cache_is_built_again(cache_dir, harm):
    load()
    image, meta = cache_dir / "tiny" / "train-image.npy", cache_dir / "tiny" / "meta.json"
    if harm == "truncate":
        image.write_bytes(image.read_bytes()[:-1])
    if harm == "remove":
        image.unlink()
    if harm == "json":
        meta.write_text(meta.read_text()[:40])
    if harm == "version":
        meta.write_text(json.dumps({**json.loads(meta.read_text()), "version": 0}))
    if harm == "dtype":
        np.save(image, np.zeros((5, 2, 2, 1), np.float32))
    calls = []
    assert load(calls=calls).splits["train"]["image"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert len(calls) == 1


def flip(path, bit=None):
    """Turns one bit, by default the last byte's lowest; the time of the file is that of the change."""
    data = bytearray(path.read_bytes())
    byte, bit = divmod(8 * (len(data) - 1) if bit is None else bit, 8)
    data[byte] ^= 1 << bit
    path.write_bytes(data)


FILES = ["train-image.npy", "train-label.npy", "test-image.npy", "test-label.npy", "meta.json"]


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_said_and_the_set_prepared_again(cache_dir, capfd, name):
    load()
    good = {file: (cache_dir / "tiny" / file).read_bytes() for file in FILES}
    flip(
        cache_dir / "tiny" / name,
        None if name.endswith("npy") else 8 * good[name].index(b"a note"),
    )
    capfd.readouterr()
    calls = []
    assert load(calls=calls).splits["train"]["image"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert (
        len(calls) == 1
        and {file: (cache_dir / "tiny" / file).read_bytes() for file in FILES} == good
    )
    path = cache_dir / "tiny" / name
    said = capfd.readouterr().err.splitlines()
    assert (
        said[0] == f"warning: {path} has changed since it was written: tiny is prepared again"
    )
    assert [line.partition(":")[0] for line in said].count("warning") == 1
    load()
    assert capfd.readouterr().err == "a note\n"  # mended


def test_the_sums_are_those_of_the_files(cache_dir):
    load(train=examples(200) * 6)  # more than a chunk
    fields = json.loads((cache_dir / "tiny" / "meta.json").read_text())["splits"]
    for split, names in fields.items():
        for name, spec in names.items():
            assert spec["crc32"] == zlib.crc32(
                (cache_dir / "tiny" / f"{split}-{name}.npy").read_bytes()
            )


def test_a_changed_set_whose_source_is_gone_is_a_user_error(cache_dir):
    load()
    flip(path := cache_dir / "tiny" / "train-image.npy")
    with pytest.raises(
        UserError, match=f"{path} has changed .* the source of tiny is gone: put .* back"
    ) as error:
        load(None)
    assert "\n" not in str(error.value)


def test_a_changed_set_that_cannot_be_prepared_here_names_the_file(cache_dir):
    def prepare(directory):
        raise ImportError("No module named 'tensorflow_datasets'")

    load()
    flip(path := cache_dir / "tiny" / "train-label.npy")
    with pytest.raises(
        UserError, match=f"{path} has changed .* cannot be prepared here .*copy that directory"
    ):
        cache.arrays("tiny", {}, "1", prepare)


def reads(monkeypatch):
    """The files whose bytes are compared from now on."""
    seen, real = [], cache.crc32
    monkeypatch.setattr(cache, "crc32", lambda path: seen.append(path.name) or real(path))
    return seen


def test_files_are_read_once_a_machine_and_again_when_touched(cache_dir, monkeypatch):
    seen = reads(monkeypatch)
    load()
    assert sorted(seen) == sorted(FILES[:4])  # read back after writing
    seen.clear()
    load()
    assert seen == []
    os.utime(cache_dir / "tiny" / "test-label.npy", ns=(1, 1))
    load()
    assert sorted(seen) == sorted(FILES[:4])
    seen.clear()
    monkeypatch.setattr(Path, "read_text", machine(Path.read_text, "another"))
    load()
    assert sorted(seen) == sorted(FILES[:4])
    assert len(list((cache_dir.parent / "verified").iterdir())) == 2


def machine(read_text, name):
    return lambda path, *args: (
        name if str(path) == "/etc/machine-id" else read_text(path, *args)
    )


def test_a_copied_set_is_compared_though_its_times_are_the_old_ones(tmp_path, monkeypatch):
    load()
    flip(cache.place("tiny", {}) / "train-image.npy")
    shutil.copytree(
        cache.place("tiny", {}), tmp_path / "other" / "data" / "tiny"
    )  # copies times too
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "other"))
    calls = []
    load(calls=calls)
    assert len(calls) == 1


def test_a_file_put_back_with_its_old_time_is_compared(cache_dir):
    load()
    path = cache_dir / "tiny" / "train-image.npy"
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    calls = []
    load(calls=calls)
    assert path.stat().st_size == before.st_size and len(calls) == 1


def test_every_set_has_a_note_of_its_own(cache_dir, monkeypatch):
    for name in ("one", "other"):
        cache.arrays(name, {}, "1", lambda directory: prepared(examples(5)))
    seen = reads(monkeypatch)
    for name in ("one", "other"):
        cache.arrays(name, {}, "1", lambda directory: prepared(examples(5)))
    assert seen == []


@pytest.mark.parametrize("stamp", ["file", "directory", "nonsense"])
def test_a_note_that_cannot_be_kept_or_read_costs_only_the_comparison(
    cache_dir, monkeypatch, capfd, stamp
):
    verified = cache_dir.parent / "verified"
    if stamp == "file":
        cache_dir.parent.mkdir(exist_ok=True)
        verified.write_text("in the way")
    load()
    for path in verified.iterdir() if stamp != "file" else ():
        path.unlink()
        path.mkdir() if stamp == "directory" else path.write_text("{")
    seen, calls = reads(monkeypatch), []
    capfd.readouterr()
    assert len(load(calls=calls).splits["train"]["label"]) == 5 and calls == []
    assert sorted(seen) == sorted(FILES[:4]) and capfd.readouterr().err == "a note\n"


def test_of_two_builders_at_once_one_wins_and_both_are_served(cache_dir):
    def prepare(directory):
        load(train=examples(4))  # another process is faster
        return prepared(examples(4))

    assert len(cache.arrays("tiny", {}, "1", prepare).splits["train"]["label"]) == 4
    assert [path.name for path in cache_dir.iterdir()] == ["tiny"]


def test_a_cache_that_cannot_be_written_is_a_user_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot write the data cache .*GENJAX_CACHE"):
        load()


def test_without_the_packages_that_prepare(monkeypatch, cache_dir):
    real = builtins.__import__

    def blocked(name, *args, **kwargs):
        if name.startswith("tensorflow_datasets"):
            raise ImportError("No module named 'tensorflow_datasets'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "genjax.data.builders", raising=False)
    monkeypatch.delattr(
        "genjax.data.builders", raising=False
    )  # or the package still has it, and nothing is imported
    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(
        UserError, match=f"digits is not in the cache {cache_dir}.*copy that directory"
    ):
        Digits().load()


def test_a_warm_cache_needs_numpy_alone(cache_dir):
    Digits().load()
    code = """
import sys, time
for name in ("tensorflow_datasets", "grain", "sklearn", "PIL", "matplotlib", "array_record", "tensorflow"):
    sys.modules[name] = None  # importing it raises ImportError
from genjax.data import Digits, train_batches
start = time.perf_counter()
source = Digits(valid=100).load()
print(time.perf_counter() - start)
batch = next(train_batches(source, 0, 0, 32))
assert batch["image"].shape == (32, 8, 8, 1), batch["image"].shape
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.5 and done.stderr == ""
