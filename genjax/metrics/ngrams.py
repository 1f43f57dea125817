"""n-grams of token sequences: their counts against a known law by chi-square (Pearson 1900)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST = 5.0  # counts expected in a cell, below which cells are put together


class Fit(NamedTuple):
    """A chi-square test."""

    statistic: float
    freedom: int  # degrees
    p: float  # of a statistic as large or larger, were the law true


def numbers(x: np.ndarray, vocabulary: int) -> np.ndarray:
    """Each row of tokens [N, n] as one number below V^n, the first token counting most, int64 [N]."""
    places = vocabulary ** np.arange(x.shape[1] - 1, -1, -1, dtype=np.int64)
    return x.astype(np.int64) @ places


def chi_square(x: np.ndarray, p: np.ndarray) -> Fit:
    """Independent n-grams [N, n] against their law p [V^n]; rare cells are one cell together.

    ValueError for fewer than two cells with counts of `LEAST` expected.
    """
    from scipy import stats

    n = x.shape[1]
    vocabulary = round(len(p) ** (1 / n))
    counts = np.bincount(numbers(x, vocabulary), minlength=len(p)).astype(np.float64)
    expected = len(x) * p
    rare = expected < LEAST
    observed, wanted = counts[~rare], expected[~rare]
    # what is left together may itself be rare: it then joins the rarest of the others
    rest = [counts[rare].sum(), expected[rare].sum()]
    if rest[1] >= LEAST:
        observed, wanted = np.append(observed, rest[0]), np.append(wanted, rest[1])
    elif len(wanted):
        rarest = wanted.argmin()
        observed[rarest] += rest[0]
        wanted[rarest] += rest[1]
    if len(wanted) < 2:
        raise ValueError(f"{len(x)} n-grams are too few for a test of {len(p)} cells")
    statistic = float(((observed - wanted) ** 2 / wanted).sum())
    freedom = len(wanted) - 1
    return Fit(statistic, freedom, float(stats.chi2.sf(statistic, freedom)))
