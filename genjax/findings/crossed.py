"""What a matrix of detection says, trained on one generator (row) and tested on another (column), in a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from genjax.audit.judged import Cell
from genjax.findings.tabled import Row, wide
from genjax.metrics.intervals import Interval

# what is hoped for: a row's own generator is found, and between real and real there is nothing
OWN, NULL = 0.95, (0.45, 0.55)
Cells = dict[str, dict[str, Cell]]  # {trained on: {tested on: cell}}


def kept(cells: Cells, n: int) -> dict[str, Any]:
    """As results.json keeps a matrix of n real pictures a test."""
    found = {}
    for trained, of_row in cells.items():
        for tested, cell in of_row.items():
            found[f"{trained} on {tested}"] = cell.kept(n)
    return found


def table(cells: Cells, of: Callable[[Cell], Interval]) -> dict[str, Row]:
    """One number of each cell with its interval."""
    rows: dict[str, Row] = {}
    for trained, of_row in cells.items():
        rows[trained] = {tested: wide(of(cell), 2) for tested, cell in of_row.items()}
    return rows


def values(cells: Cells) -> np.ndarray:
    """Average precision [rows, columns]."""
    return np.array(
        [
            [cell.average_precision.value for cell in of_row.values()]
            for of_row in cells.values()
        ]
    )


def numbers(
    values: np.ndarray, names: list[str], twins: Collection[str] = ()
) -> dict[str, float]:
    """What a matrix [generators, generators] says in a few numbers; the first row and column are the real ones.

    `on others` is the mean of the other generators' columns, without those of `twins`.
    """
    # without the real ones, of which nobody can tell anything
    own = values[1:, 1:]
    diagonal = np.diag(own)
    others = ~np.eye(len(own), dtype=bool)
    # columns of what a detector knows from elsewhere
    others[:, [name in twins for name in names[1:]]] = False
    away = own[others]
    found = {
        "on its own generator": float(diagonal.mean()),
        "least on its own": float(diagonal.min()),
        "real against real, least": float(values[:, 0].min()),
        "real against real, most": float(values[:, 0].max()),
    }
    # of a single generator there is no other, and there may be twins alone
    if len(away):
        found["on others"] = float(away.mean())
    return found


def missed(values: np.ndarray, names: list[str]) -> list[str]:
    """Which cells of average precision [generators, generators] are not as was hoped for; the first is real."""
    missed = []
    for i, name in enumerate(names):
        own, null = values[i, i], values[i, 0]
        if i and own < OWN:
            missed.append(f"{name} on {name} is {own:.3f}, below {OWN:g}")
        if not NULL[0] <= null <= NULL[1]:
            least, most = NULL
            missed.append(f"{name} on real is {null:.3f}, outside {least:g} to {most:g}")
    return missed
