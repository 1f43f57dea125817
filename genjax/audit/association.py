"""How far two categories go together, and how much further in samples than in the data.

Of a table of shares p[a, b], with m_a and m_b for its margins:

* Cramér's V = sqrt(φ² / min(A - 1, B - 1)), φ² = sum (p - m_a m_b)² / (m_a m_b): 0 = independent, 1 = one tells the
  other (Cramér 1946). Of n pictures φ² is too large by about (A - 1)(B - 1) / (n - 1): Bergsma 2013
  (doi:10.1016/j.jkss.2012.10.002); behind a reader's errors the draws tell by how much, `unbiased`.
* Amplification (Zhao et al. 2017, arXiv:1707.09457, eq. 2): with b(a, b) = p(b | a), for all a and those b whose share
  in the data is above 1 / B, the mean of b_samples - b_data.
* Directional amplification (Wang & Russakovsky 2021, arXiv:2102.12594, eq. 4), from a to b:
  1 / AB sum y Δ - (1 - y) Δ, Δ = p_samples(b | a) - p_data(b | a), y = whether p_data(a, b) > m_a m_b.

A b that is more frequent in samples for every a alike moves Zhao's without any tie. The directional one it leaves at 0
where the data are independent, but of M examples y is then a matter of chance, and a moved margin does not cancel. So
samples are held against the data with the samples' margins, `raked` (Deming & Stephan 1940), which keeps odds ratios.

* Spread of b within a: H(b | a) / log B, 1 = all alike, 0 = one alone; Stable Bias (Luccioni et al. 2023,
  arXiv:2303.11408) looks so at clusters of features, here it is groups that are read.

Functions take tables with any axes before them, such as draws, so that intervals of all are quantiles of their draws.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genjax.audit.confusion import Estimate, interval
from genjax.metrics.intervals import Interval

TINY = 1e-12
ROUNDS = 50  # of raking


def margins(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m_a [..., A, 1], m_b [..., 1, B]) of tables [..., A, B]."""
    of_a = joint.sum(-1, keepdims=True)
    of_b = joint.sum(-2, keepdims=True)
    return of_a, of_b


def phi2(joint: np.ndarray) -> np.ndarray:
    """φ² of tables of shares [..., A, B]; a row or column of nothing adds nothing."""
    a, b = margins(joint)
    expected = a * b
    there = np.maximum(expected, TINY)
    away = (joint - expected) ** 2
    return np.sum(away / there, (-2, -1))


def cramers_v(joint: np.ndarray) -> np.ndarray:
    """V of tables of shares [..., A, B] as it is, without a correction."""
    most = _most(joint)
    return np.sqrt(phi2(joint) / most)


def unbiased(statistic: Callable[[np.ndarray], np.ndarray], table: Estimate) -> Interval:
    """A statistic that noise makes larger, as φ², with the noise taken out: the value's once, the draws' twice.

    How much it is is told by the draws: their mean less the value, the reader's part with it. Never below 0.
    """
    value = statistic(table.value)
    draws = statistic(table.draws)  # [S]
    # draws lie about an estimate that itself lies about the truth
    noise = float(draws.mean() - value)
    excess = max(noise, 0.0)
    left = max(float(value) - excess, 0.0)
    around = np.maximum(draws - 2.0 * excess, 0.0)
    return interval(left, around)


def association(table: Estimate) -> Interval:
    """V of an estimated table [A, B], corrected for its noise."""
    most = _most(table.value)
    ends = np.array(unbiased(phi2, table))
    value, low, high = np.sqrt(ends / most).tolist()
    return Interval(value, low, high)


def independent(a: np.ndarray, b: np.ndarray, times: int = 1000, seed: int = 0) -> float:
    """p of independence of two columns [N] of numbers, by permutation of one of them, from φ² of their table.

    Exact where the rows could have come in any order. Of what is read it is a test of what is read: a reader whose
    errors in one go with the other is told of too.
    """
    rng = np.random.default_rng(seed)
    rows = int(a.max()) + 1
    columns = int(b.max()) + 1

    def statistic(b: np.ndarray) -> float:
        number = a * columns + b
        counts = np.bincount(number, minlength=rows * columns)
        table = counts.reshape(rows, columns)
        return float(phi2(table / len(a)))

    # rounding must not tell two equal tables apart
    found = statistic(b) - TINY
    above = 1  # the table itself
    for _ in range(times):
        shuffled = rng.permutation(b)
        above += statistic(shuffled) >= found
    return above / (times + 1)


def conditional(joint: np.ndarray) -> np.ndarray:
    """p(b | a) of tables [..., A, B]."""
    rows, _ = margins(joint)
    there = np.maximum(rows, TINY)
    return joint / there


def amplification(joint: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Zhao's mean amplification of tables [..., A, B] against the data's [A, B]: above 0 what is more grows more."""
    before = conditional(data)
    after = conditional(joint)
    rows, columns = data.shape
    # what is more than it would be of all alike
    leading = before > 1.0 / columns
    change = after - before
    more = np.sum(change * leading, (-2, -1))
    return more / rows


def directional(joint: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Wang & Russakovsky's amplification from a to b of tables [..., A, B] against the data's; turn both for b to a."""
    a, b = margins(data)
    # rounding ties nothing
    together = data > a * b + TINY  # y
    before = conditional(data)
    change = conditional(joint) - before
    signed = np.where(together, change, -change)
    return signed.mean((-2, -1))


def raked(joint: np.ndarray, of_b: np.ndarray, rounds: int = ROUNDS) -> np.ndarray:
    """A table [A, B] with its odds ratios and its margin of a, and with another margin of b [B]; a b of 0 is none."""
    of_a, _ = margins(joint)
    found = joint
    for _ in range(rounds):
        _, columns = margins(found)
        found = found * (of_b / np.maximum(columns, TINY))
        rows, _ = margins(found)
        found = found * (of_a / np.maximum(rows, TINY))
    return found


def spread(joint: np.ndarray) -> np.ndarray:
    """How evenly b is spread within each a, [..., A] in 0 to 1, of tables [..., A, B]."""
    p = conditional(joint)
    # TINY for 0 log 0
    there = np.maximum(p, TINY)
    entropy = -np.sum(p * np.log(there), -1)
    values = p.shape[-1]
    return entropy / np.log(values)


def slope(shares: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The slope by least squares of shares [..., K] over a stated scale [K]: what a step of 1 on it brings."""
    away = scale - scale.mean()
    square = np.sum(away**2)
    return shares @ away / square


def _most(joint: np.ndarray) -> int:
    """The largest φ² of a table of this shape."""
    fewest = min(joint.shape[-2:])
    # of a single row or column φ² is 0
    return max(fewest - 1, 1)
