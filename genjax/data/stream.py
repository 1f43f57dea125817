"""Sets beyond memory: records decoded on demand, in the same (seed, step) order as `batches.batch_at`.

grain (https://github.com/google/grain) reads ahead and decodes in threads; the order is ours, so there is no reader
state to save and a seek costs nothing. A record costs about 80 µs against 1 µs from an array in memory: use it only
for sets that do not fit.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from genjax.data.batches import indices, placed, seed_of, share, steps_per_epoch
from genjax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """Random access to decoded examples: records[i] -> {field: array}.

    `source` has a length and gives raw example i; `read` makes of it the image and the label.
    """

    source: Any
    read: Callable[[Any], dict[str, np.ndarray]]
    start: int = 0
    stop: int | None = None

    def __len__(self) -> int:
        stop = len(self.source) if self.stop is None else self.stop
        return stop - self.start

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        return self.read(self.source[self.start + int(i)])

    def split(self, n: int) -> tuple[Records, Records]:
        """The first n records and the rest."""
        end = self.start + len(self)
        middle = self.start + n
        first = dataclasses.replace(self, stop=middle)
        rest = dataclasses.replace(self, start=middle, stop=end)
        return first, rest

    def rows(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Stacked records: {"image": [n, H, W, C], "label": [n]}, read only. The last few answers are kept."""
        return self._rows(np.asarray(index, np.int64).tobytes())

    @lru_cache(maxsize=2)  # noqa: B019 - two batches: the image and the label column of a batch are one read
    def _rows(self, index: bytes) -> dict[str, np.ndarray]:
        examples = [self[i] for i in np.frombuffer(index, np.int64)]
        stacked = {
            name: np.stack([example[name] for example in examples]) for name in examples[0]
        }
        for array in stacked.values():
            array.flags.writeable = False  # the next who asks gets the same array
        return stacked


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One field of all records, read on demand, with the part of an array's interface that the readers use."""

    records: Records
    name: str
    shape: tuple[int, ...]
    dtype: Any

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self))[key]
        if rows.size == 0:
            return np.empty((0, *self.shape[1:]), self.dtype)
        found = self.records.rows(np.atleast_1d(rows))[self.name]
        return found[0] if rows.ndim == 0 else found


def columns(records: Records, fields: Mapping[str, Any]) -> dict[str, Column]:
    """Records as the arrays of a split with these fields, {name: kind of genjax.fields}."""
    n = len(records)
    return {
        name: Column(records, name, (n, *kind.shape), kind.dtype)
        for name, kind in fields.items()
    }


@dataclasses.dataclass(frozen=True, eq=False)
class _Ordered:
    """The endless sequence of this process's examples from `first_step` on, as a source for grain."""

    records: Records
    seed: int
    first_step: int
    batch: int
    part: slice

    def __len__(self) -> int:
        return sys.maxsize // 2  # grain needs an end; no run comes near it

    def __getitem__(self, k: int) -> dict[str, np.ndarray]:
        size = self.part.stop - self.part.start
        step, j = divmod(k, size)
        of_batch = indices(self.seed, self.first_step + step, len(self.records), self.batch)
        i = of_batch[self.part.start + j]
        return {"index": np.uint32(i), **self.records[i]}


def stream(
    records: Records,
    seed: int,
    first_step: int,
    batch: int,
    process: tuple[int, int] = (0, 1),
    threads: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches, the same bytes as `batch_at(arrays, seed, step, batch, process)` for step = first_step, ….

    `threads` decode at once, 0 = two per processor; about two batches are read ahead. Closing the iterator ends them.
    """
    part = share(batch, process)
    steps_per_epoch(len(records), batch)  # complains here rather than at the first batch
    ordered = _Ordered(records, seed, first_step, batch, part)
    processors = os.cpu_count() or 1
    return _read(ordered, threads or 2 * processors)


def streams(
    records: Mapping[str, Records],
    seed: int,
    first_step: int,
    batch: int,
    process: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Any]]:
    """As `stream`, of data with domains: a batch of each under its name, the same bytes as from arrays in memory."""
    parts = {}
    for i, (name, its) in enumerate(records.items()):
        parts[name] = stream(its, seed_of(seed, i), first_step, batch, process)
    return _together(parts)


def _together(parts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    first = next(iter(parts))
    try:
        while True:
            rows = {name: next(batches) for name, batches in parts.items()}
            # of all domains alike: it is said once
            position = [each.pop("position") for each in rows.values()][0]
            yield {"position": position, "index": rows[first]["index"], **rows}
    finally:
        for batches in parts.values():
            batches.close()


def _read(ordered: _Ordered, threads: int) -> Iterator[dict[str, np.ndarray]]:
    try:
        import grain
    except ImportError as error:
        raise UserError(
            f"streaming needs grain ({error}): pip install grain, or --data.stream=false."
        ) from error
    size = ordered.part.stop - ordered.part.start
    ahead = max(2 * size, threads)  # examples; fewer than threads would leave some idle
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    examples = grain.MapDataset.source(ordered).to_iter_dataset(options)
    batches = iter(examples.batch(size))
    try:
        yield from (placed(batch, ordered.part) for batch in batches)
    finally:
        batches.close()
