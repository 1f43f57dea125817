"""Tables of two categories of pictures that a reader has read, its errors taken out: shares [A, B] with their draws."""

from __future__ import annotations

import math

import numpy as np

from genjax.audit.confusion import (
    TIMES,
    Confusion,
    Differing,
    Estimate,
    cells,
    corrected,
    crossed,
)


def asked_table(
    asked: np.ndarray,
    read: np.ndarray,
    a: int,
    b: Confusion | Differing,
    times: int = TIMES,
    seed: int = 0,
) -> Estimate:
    """Of what was asked for [N], without error in 0 to a - 1, and what is read [N] by a reader b.

    The shares of what was asked for are as they are: nothing is drawn of them. Differing: of each that is asked for.
    """
    sizes = [a, b.matrix.shape[-2]]
    counts = cell_counts([asked, read], sizes)
    of_row = counts.sum(1, keepdims=True)
    # of what was never asked for nothing is known: a row of nothing
    there = of_row[:, 0] > 0
    if isinstance(b, Differing):
        b = b.only(there)
    # one reader for all rows: its draws are the same in each
    found = corrected(counts[there], b, times, seed)
    value = np.zeros(counts.shape)
    draws = np.zeros((times, *counts.shape))
    value[there] = found.value
    draws[:, there] = found.draws
    share = of_row / of_row.sum()
    return Estimate(value * share, draws * share, found.n)


def read_table(
    first: np.ndarray,
    second: np.ndarray,
    a: Confusion,
    b: Confusion,
    times: int = TIMES,
    seed: int = 0,
) -> Estimate:
    """Of two categories that are both read [N], by readers a and b that err independently."""
    sizes = [len(a.matrix), len(b.matrix)]
    counts = cell_counts([first, second], sizes).ravel()
    found = corrected(counts, crossed(a, b), times, seed)
    return shaped(found, sizes)


def shaped(found: Estimate, sizes: list[int]) -> Estimate:
    """An estimate of cells [T] as a table of these sizes."""
    value = found.value.reshape(sizes)
    draws = found.draws.reshape(-1, *sizes)
    return Estimate(value, draws, found.n)


def margin(table: Estimate) -> Estimate:
    """The shares of the last category of a table."""
    value = table.value.sum(0)
    draws = table.draws.sum(1)
    return Estimate(value, draws, table.n)


def cell_counts(columns: list[np.ndarray], sizes: list[int]) -> np.ndarray:
    """How many pictures are in each cell of several categories [N], of these sizes."""
    number = cells(columns, sizes)
    length = math.prod(sizes)
    counts = np.bincount(number, minlength=length)
    # so that what was never counted has its place too
    table = counts.reshape(sizes)
    return table.astype(np.float64)
