"""Batches are a function of (seed, step): covering, seekable, the same for any number of processes."""

import threading
import time

import numpy as np
import pytest

from genjax.data.batches import (
    batch_at,
    eval_batches,
    indices,
    order,
    prefetch,
    steps_per_epoch,
)
from genjax.errors import UserError

N = 23
ARRAYS = {
    "image": np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2, 1),
    "label": np.arange(N, dtype=np.int32),
}


def test_an_epoch_visits_every_example_once_and_no_epoch_is_like_another():
    orders = [order(seed, epoch, N) for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert all(np.array_equal(np.sort(o), np.arange(N)) for o in orders)
    assert len({o.tobytes() for o in orders}) == 4
    assert orders[0].dtype == np.int64


@pytest.mark.parametrize("n", [1, 2, 3, 4, 127, 128, 129, 5000])
def test_the_order_is_that_of_the_raw_draws(n):
    draws = np.random.Philox(key=np.array([5, 9], np.uint64)).random_raw(n)
    assert np.array_equal(order(5, 9, n), np.argsort(draws))


def test_the_order_is_uniform():
    first = [order(0, epoch, 5)[0] for epoch in range(2000)]
    counts = np.bincount(first, minlength=5)
    assert (
        np.sum((counts - 400) ** 2 / 400) < 23.5
    )  # chi squared, 4 degrees of freedom, p = 1e-4


def test_steps_of_an_epoch_are_disjoint_and_drop_the_remainder():
    steps = steps_per_epoch(N, 4)
    assert steps == 5
    for epoch in range(3):
        seen = np.concatenate([indices(7, epoch * steps + s, N, 4) for s in range(steps)])
        assert np.array_equal(seen, order(7, epoch, N)[:20])


def test_a_batch_holds_the_rows_of_its_index():
    batch = batch_at(ARRAYS, seed=3, step=11, batch=6)
    assert batch["index"].dtype == np.uint32
    assert np.array_equal(batch["label"], batch["index"])
    assert np.array_equal(batch["image"], ARRAYS["image"][batch["index"]])


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_processes_parts_make_the_whole(count):
    whole = batch_at(ARRAYS, 3, 11, 6)
    parts = [batch_at(ARRAYS, 3, 11, 6, (rank, count)) for rank in range(count)]
    for name, array in whole.items():
        assert np.array_equal(array, np.concatenate([part[name] for part in parts]))


def test_impossible_batches_are_user_errors():
    with pytest.raises(
        UserError, match="batch 24 is larger than the training set, 23 examples"
    ):
        batch_at(ARRAYS, 0, 0, 24)
    with pytest.raises(UserError, match="batch 6 cannot be divided over 4 processes"):
        batch_at(ARRAYS, 0, 0, 6, (0, 4))
    with pytest.raises(UserError, match="at least 1"):
        batch_at(ARRAYS, 0, 0, 0)


@pytest.mark.parametrize("batch", [1, 5, 23, 40])
def test_evaluation_sees_every_example_once(batch):
    seen = []
    for rows, valid in eval_batches(ARRAYS, batch):
        assert rows["image"].shape == (batch, 2, 2, 1)
        seen += list(rows["index"][:valid])
    assert seen == list(range(N))
    assert list(eval_batches({"image": ARRAYS["image"][:0]}, batch)) == []


def test_evaluation_over_processes():
    for (whole, valid), (a, valid_a), (b, valid_b) in zip(
        *(eval_batches(ARRAYS, 10, process) for process in ((0, 1), (0, 2), (1, 2))),
        strict=True,
    ):
        assert valid == valid_a == valid_b
        assert np.array_equal(whole["index"], np.concatenate([a["index"], b["index"]]))


@pytest.mark.parametrize("workers", [1, 3])
def test_prefetch_keeps_the_order(workers):
    def make(step):
        time.sleep(0.002 * (step % 3))
        return step * step

    assert list(prefetch(make, range(20), depth=4, workers=workers)) == [
        i * i for i in range(20)
    ]


def test_prefetch_raises_in_its_place_and_joins_its_thread():
    def make(step):
        if step == 3:
            raise UserError("broken example")
        return step

    got = []
    with pytest.raises(UserError, match="broken example"):
        got.extend(prefetch(make, range(10)))  # extend keeps what came before
    assert got == [0, 1, 2]
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("prefetch")
    ]


def test_prefetch_is_bounded_and_closes():
    made = []
    batches = prefetch(lambda step: made.append(step) or step, iter(int, 1), depth=2)  # endless
    assert next(batches) == 0
    time.sleep(0.05)
    assert len(made) <= 3
    batches.close()
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("prefetch")
    ]
