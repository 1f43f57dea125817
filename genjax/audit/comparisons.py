"""Many comparisons at once: p of each adjusted, so that few of those that are told are nothing.

Of m values of p in rising order, p_(1) to p_(m):

    Holm 1979:                   max over j <= i of (m - j + 1) p_(j)  the chance of one false
    Benjamini & Hochberg 1995:   min over j >= i of (m / j) p_(j)      the share of false ones among those told
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class Holm:
    """The chance of telling anything that is nothing stays below the level, whatever depends on what."""

    name: ClassVar[str] = "Holm"

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """p [M] adjusted, in its own order."""
        order = np.argsort(p, kind="stable")
        m = len(p)
        left = np.arange(m, 0, -1)  # m - j + 1
        risen = np.maximum.accumulate(left * p[order])
        return _placed(risen, order)


@dataclasses.dataclass(frozen=True)
class BenjaminiHochberg:
    """Of what is told the expected share that is nothing stays below the level, if p rise together or not at all."""

    name: ClassVar[str] = "Benjamini-Hochberg"

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """p [M] adjusted, in its own order."""
        order = np.argsort(p, kind="stable")
        m = len(p)
        scaled = p[order] * m / np.arange(1, m + 1)
        # from the largest down
        fallen = np.minimum.accumulate(scaled[::-1])[::-1]
        return _placed(fallen, order)


@dataclasses.dataclass(frozen=True)
class Alone:
    """Each by itself: one in twenty of those that are nothing is told."""

    name: ClassVar[str] = "none"

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """p [M] as it is."""
        return np.asarray(p, np.float64)


def _placed(sorted_values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values of the order's rows in their own places, at most 1."""
    found = np.empty(len(order))
    found[order] = np.minimum(sorted_values, 1.0)
    return found


Comparisons = Holm | BenjaminiHochberg | Alone
