"""n-grams of token sequences: their counts against a known law by chi-square (Pearson 1900)."""

from __future__ import annotations

from collections.abc import Sequence
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


def cells(n: int, p: np.ndarray) -> int:
    """How many cells `chi_square` has of n n-grams of the law p [V^n]: it needs two."""
    expected = n * p
    rare = expected < LEAST
    # those that are rare are a cell together where there is enough of them
    together = expected[rare].sum() >= LEAST
    return int(np.sum(~rare)) + int(together)


def chi_square(x: np.ndarray, p: np.ndarray) -> Fit:
    """Independent n-grams [N, n] against their law p [V^n]; rare cells are one cell together.

    ValueError for fewer than two cells with counts of `LEAST` expected.
    """
    from scipy import stats

    n = x.shape[1]
    # V from the V^n cells: a root of floats may miss the whole number by a little
    vocabulary = round(len(p) ** (1 / n))
    counts = np.bincount(numbers(x, vocabulary), minlength=len(p)).astype(np.float64)
    expected = len(x) * p
    rare = expected < LEAST
    observed = counts[~rare]
    wanted = expected[~rare]
    # what is left together may itself be rare: it then joins the rarest of the others
    seen = counts[rare].sum()
    chance = expected[rare].sum()
    if chance >= LEAST:
        observed = np.append(observed, seen)
        wanted = np.append(wanted, chance)
    elif len(wanted):
        rarest = wanted.argmin()
        observed[rarest] += seen
        wanted[rarest] += chance
    if len(wanted) < 2:
        raise ValueError(f"{len(x)} n-grams are too few for a test of {len(p)} cells")
    squares = (observed - wanted) ** 2
    statistic = float((squares / wanted).sum())
    # nothing of the law was fitted: one degree is lost, to the total
    freedom = len(wanted) - 1
    return Fit(statistic, freedom, float(stats.chi2.sf(statistic, freedom)))


class KneserNey(NamedTuple):
    """Interpolated Kneser-Ney n-grams (Kneser & Ney 1995; Chen & Goodman 1999, sec. 2.7): what any net has to beat.

    p_k(w | c) = (max(n_k(c w) - d_k, 0) + d_k types_k(c) p_(k-1)(w | c')) / n_k(c),   p_0 = 1 / V
    """

    vocabulary: int
    # of each order: {context: {token: count}}, and what is taken from every count
    tables: tuple[dict[tuple, dict[int, int]], ...]
    discounts: tuple[float, ...]

    def p(self, context: tuple[int, ...], token: int) -> float:
        """The probability of a token behind a context of at least order - 1 tokens."""
        # from p_0 up: each order needs the answer of the one below
        found = 1.0 / self.vocabulary
        orders = zip(self.tables, self.discounts, strict=True)
        for k, (table, discount) in enumerate(orders):
            start = len(context) - k
            row = table.get(context[start:])
            if row is None:  # no longer context was seen either
                break
            total = sum(row.values())
            own = row.get(token, 0)
            kept = max(own - discount, 0.0)
            # what was taken from the counts is shared out by the shorter context
            taken = discount * len(row)
            found = (kept + taken * found) / total
        return found

    def bits(self, x: Sequence[np.ndarray]) -> np.ndarray:
        """What each of N texts costs, bits [N]; x: tokens of each, int [T]."""
        order = len(self.tables)
        costs = np.zeros(len(x))
        for number, row in enumerate(x):
            padded = _begun(row, order, self.vocabulary)
            for i in range(order - 1, len(padded)):
                start = i - order + 1
                context = padded[start:i]
                p = self.p(context, padded[i])
                costs[number] -= np.log2(p)
        return costs


def _begun(row: np.ndarray, order: int, vocabulary: int) -> tuple[int, ...]:
    """A text behind as many beginnings as a context has tokens."""
    # V is no token: no count of the text proper is mixed with those of beginnings
    return (vocabulary,) * (order - 1) + tuple(row.tolist())


def kneser_ney(x: Sequence[np.ndarray], vocabulary: int, order: int) -> KneserNey:
    """Counts of texts, each int [T]; the highest order counts tokens, the lower ones what they were seen behind."""
    highest: dict[tuple, int] = {}
    for row in x:
        padded = _begun(row, order, vocabulary)
        for i in range(order - 1, len(padded)):
            start = i - order + 1
            gram = padded[start : i + 1]
            seen = highest.get(gram, 0)
            highest[gram] = seen + 1
    tables, discounts = [], []
    counts = highest
    for _ in range(order):
        table: dict[tuple, dict[int, int]] = {}
        for gram, n in counts.items():
            *before, token = gram
            row = table.setdefault(tuple(before), {})
            row[token] = n
        tables.append(table)
        discounts.append(_discount(counts))
        # distinct tokens before each shorter n-gram, not how often it was there
        shorter: dict[tuple, int] = {}
        for gram in counts:
            tail = gram[1:]
            seen = shorter.get(tail, 0)
            shorter[tail] = seen + 1
        counts = shorter
    return KneserNey(vocabulary, tuple(tables[::-1]), tuple(discounts[::-1]))


def _discount(counts: dict[tuple, int]) -> float:
    """n_1 / (n_1 + 2 n_2), of the n-grams that were seen once and twice (Ney et al. 1994); a half of none."""
    values = np.fromiter(counts.values(), np.int64)
    once, twice = np.sum(values == 1), np.sum(values == 2)
    if not once or not twice:
        # else 0, 1 or 0 / 0: nothing, or all of a count of one, would be taken
        return 0.5
    return float(once / (once + 2 * twice))
