"""Streaming gives the same bytes as arrays in memory, from any step, over epochs, for any number of processes."""

import itertools
import threading

import numpy as np
import pytest
from PIL import Image

from genjax.data import Folder, train_batches
from genjax.data.batches import batch_at, eval_batches, steps_per_epoch
from genjax.data.stream import Records, stream
from genjax.errors import UserError

N = 21
RNG = np.random.default_rng(0)
ARRAYS = {
    "image": RNG.integers(0, 256, (N, 4, 4, 3)).astype(np.uint8),
    "label": np.arange(N, dtype=np.int32),
}
RECORDS = Records(range(N), lambda i: {name: array[i] for name, array in ARRAYS.items()})


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        assert a[name].tobytes() == b[name].tobytes()


@pytest.mark.parametrize("first", [0, 3, 1_000_003])
def test_the_same_batches_from_any_step_and_over_epochs(first):
    streamed = list(
        itertools.islice(stream(RECORDS, 5, first, batch=4), 2 * steps_per_epoch(N, 4) + 1)
    )
    for step, batch in enumerate(streamed, first):
        assert_same(batch, batch_at(ARRAYS, 5, step, 4))


def test_the_processes_parts_make_the_whole():
    parts = [itertools.islice(stream(RECORDS, 5, 4, 6, (rank, 2)), 5) for rank in range(2)]
    for step, (a, b) in enumerate(zip(*parts, strict=True), 4):
        whole = batch_at(ARRAYS, 5, step, 6)
        assert_same({name: np.concatenate([a[name], b[name]]) for name in a}, whole)


def test_errors_come_at_once():
    with pytest.raises(UserError, match="batch 22 is larger than the training set, 21"):
        stream(RECORDS, 0, 0, 22)
    with pytest.raises(UserError, match="cannot be divided over 2"):
        stream(RECORDS, 0, 0, 3, (0, 2))


def test_an_unreadable_record_is_the_callers_error():
    def read(i):
        if i == 7:
            raise UserError("record 7 is broken")
        return RECORDS[i]

    with pytest.raises(UserError, match="record 7 is broken"):
        list(itertools.islice(stream(Records(range(N), read), 0, 0, 7), 3))


def test_closing_ends_the_threads():
    batches = stream(RECORDS, 0, 0, 4)
    next(batches)
    batches.close()
    alive = [thread.name for thread in threading.enumerate() if "grain" in thread.name]
    for thread in threading.enumerate():
        if "grain" in thread.name:
            thread.join(timeout=2.0)
    assert not [thread for thread in threading.enumerate() if "grain" in thread.name], alive


def test_a_streamed_source_is_the_source_in_memory(tmp_path):
    for i in range(26):
        folder = tmp_path / "set" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)).save(
            folder / f"{i}.png"
        )
    cfg = {"path": str(tmp_path / "set"), "size": 4, "test": 0.3, "valid": 3}
    memory, streamed = Folder(**cfg).load(), Folder(**cfg, stream=True).load()
    assert memory[:2] == streamed[:2]
    for split in ("train", "valid", "test"):
        a, b = getattr(memory, split), getattr(streamed, split)
        for name in a:
            assert (
                len(a[name]) == len(b[name])
                and a[name].shape == b[name].shape
                and a[name].dtype == b[name].dtype
            )
            assert np.array_equal(a[name][:], b[name][:])
        for (x, n), (y, m) in zip(eval_batches(a, 4), eval_batches(b, 4), strict=True):
            assert n == m
            assert_same(x, y)
    assert np.array_equal(memory.train["image"][2], streamed.train["image"][2])
    a, b = (
        train_batches(source, seed=1, first_step=2, batch=5) for source in (memory, streamed)
    )
    for _ in range(8):
        assert_same(next(a), next(b))
