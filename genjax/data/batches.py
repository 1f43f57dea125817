"""Batches as a function of (seed, step): no iterator, no state, nothing to save in a checkpoint.

Epoch e visits the n examples in the order of the ranks of n raw draws of Philox keyed by (seed, e). The raw stream of a
numpy bit generator never changes (NEP 19), so a run resumes with the same batches under any numpy release. Step s is
slice s % (n // batch) of epoch s // (n // batch); the remainder of an epoch is dropped. A process takes a contiguous
part of the global batch, so the order does not depend on the number of processes. Any step costs the same to reach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from genjax.core import size
from genjax.errors import UserError

# {field: [N, ...]}: numpy arrays, memory maps, or columns read on demand; or {domain: {field: [N, ...]}}
Arrays = dict[str, Any]
Batch = dict[str, Any]  # "index" and "position" uint32 [B], and the fields [B, ...]


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The permutation of range(n), int64, in which this epoch visits the examples. Read only: it is cached."""
    # modulo 2^64: a negative seed is a seed too
    key = np.array([seed % 2**64, epoch], np.uint64)
    draws = np.random.Philox(key=key).random_raw(n)
    width = np.uint64(n.bit_length())
    # The low bits carry the number: no ties, so every way of sorting agrees, and it is 4 times faster than argsort.
    cleared = draws >> width << width
    ranked = np.sort(cleared | np.arange(n, dtype=np.uint64))
    low_bits = (np.uint64(1) << width) - np.uint64(1)
    permutation = (ranked & low_bits).astype(np.int64)
    permutation.flags.writeable = False
    return permutation


def steps_per_epoch(n: int, batch: int) -> int:
    """Whole batches in n examples; UserError when there is none."""
    if batch < 1:
        raise UserError(f"batch is {batch}: it must be at least 1.")
    if batch > n:
        raise UserError(
            f"batch {batch} is larger than the training set, {n} examples: use --batch={n} or less."
        )
    return n // batch


def indices(seed: int, step: int, n: int, batch: int) -> np.ndarray:
    """The examples of global batch `step`: int64 [batch], numbers in the split."""
    # the remainder of an epoch is dropped: all its batches are whole
    epoch, part = divmod(step, steps_per_epoch(n, batch))
    first = part * batch
    return order(seed, epoch, n)[first : first + batch]


def chosen(n: int, size: int) -> np.ndarray:
    """n of `size` rows, int64 in ascending order: fewer are a draw that is always the same; more start again.

    The head of a split is no fair part of it: sets may be sorted.
    """
    if n >= size:
        return np.arange(n) % size
    return np.sort(order(0, 0, size)[:n])


def share(batch: int, process: tuple[int, int]) -> slice:
    """The part of a global batch that belongs to process (rank, count); UserError unless count divides batch."""
    rank, count = process
    if batch % count:
        raise UserError(
            f"batch {batch} cannot be divided over {count} processes: use a multiple of {count}."
        )
    b = batch // count  # examples of one process
    return slice(rank * b, (rank + 1) * b)


def take(arrays: Arrays, index: np.ndarray) -> Batch:
    """Rows `index` of every array, with the numbers themselves under "index" (uint32)."""
    # "index" first, and a field of that name of a user's own would win
    rows = {"index": index.astype(np.uint32)}
    for name, array in arrays.items():
        rows[name] = np.asarray(array[index])
    return rows


def placed(batch: Batch, part: slice) -> Batch:
    """Adds "position", uint32: the places of a process's examples in the global batch, whatever the layout."""
    position = np.arange(part.start, part.stop, dtype=np.uint32)  # [b]
    return {"position": position, **batch}


def domains(arrays: Arrays) -> tuple[str, ...]:
    """The names of the domains of a split {domain: {field: array}}; () of one {field: array}."""
    return tuple(name for name, value in arrays.items() if isinstance(value, dict))


def seed_of(seed: int, i: int) -> int:
    """The seed of domain i: one of its own, for rows of two domains must never travel together."""
    return seed + (i << 32)


def rows_at(arrays: Arrays, seed: int, step: int, batch: int, part: slice) -> Batch:
    """The rows of one process's part of global batch `step`; each domain has an order, and epochs, of its own."""
    parts = domains(arrays)
    if not parts:
        whole = indices(seed, step, size(arrays), batch)  # [batch]
        return take(arrays, whole[part])
    found = {}
    for i, name in enumerate(parts):
        n = size(arrays[name])
        whole = indices(seed_of(seed, i), step, n, batch)
        found[name] = take(arrays[name], whole[part])
    return {"index": found[parts[0]]["index"], **found}


def batch_at(
    arrays: Arrays, seed: int, step: int, batch: int, process: tuple[int, int] = (0, 1)
) -> Batch:
    """This process's part of global batch `step`: "index" and "position" uint32 [b], and every field [b, ...].

    Of a split with domains each domain is a batch of its own, under its name.
    """
    part = share(batch, process)
    rows = rows_at(arrays, seed, step, batch, part)
    return placed(rows, part)


def eval_batches(
    arrays: Arrays, batch: int, process: tuple[int, int] = (0, 1)
) -> Iterator[tuple[Batch, int]]:
    """Every example once, in order: (batch, n_valid) where n_valid counts the real examples of the *global* batch.

    The last batch is padded to full size by starting again from example 0, so that one compiled program serves all.
    Of a split with domains the largest is seen once, and smaller ones start again.
    """
    n, parts = size(arrays), domains(arrays)
    part = share(batch, process)
    for start in range(0, n, batch):
        whole = np.arange(start, start + batch)  # [batch]
        numbers = whole[part]  # [b], beyond n where the last batch is padded
        wrapped = numbers % n
        if parts:
            rows = {"index": wrapped.astype(np.uint32)}
            for name in parts:
                domain = arrays[name]
                rows[name] = take(domain, numbers % size(domain))
        else:
            rows = take(arrays, wrapped)
        yield rows, min(batch, n - start)


def prefetch(
    make: Callable[[Any], Any], steps: Iterable[Any], depth: int = 2, workers: int = 1
) -> Iterator[Any]:
    """Yields make(step) for each of `steps`, in order, computed up to `depth` ahead in background threads.

    An exception of `make` is raised here, at its place in the order. Closing the iterator (or leaving the loop) drops
    what is pending and joins the threads.
    """
    pending: deque = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="prefetch") as pool:
        try:
            for step in steps:
                pending.append(pool.submit(make, step))
                # Results wait here and not in a queue: nothing runs further ahead than `depth`.
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # those that run already are waited for by the pool
            for future in pending:
                future.cancel()
