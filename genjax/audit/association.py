"""How far two categories go together, and how much further in samples than in the data.

Of a table of shares p[a, b], with m_a and m_b for its margins:

* Cramér's V = sqrt(φ² / min(A - 1, B - 1)), φ² = sum (p - m_a m_b)² / (m_a m_b): 0 = independent, 1 = one tells the
  other (Cramér 1946). Of n pictures φ² is too large by about (A - 1)(B - 1) / (n - 1): Bergsma 2013
  (doi:10.1016/j.jkss.2012.10.002), as `bergsma`.
* Mutual information I = sum p log (p / m_a m_b) in nats, too large by about (A - 1)(B - 1) / 2n (Miller 1955).
* Amplification (Zhao et al. 2017, arXiv:1707.09457, eq. 2): with b(a, b) = p(b | a), for all a and those b whose share
  in the data is above 1 / B, the mean of b_samples - b_data.
* Directional amplification (Wang & Russakovsky 2021, arXiv:2102.12594, eq. 4), from a to b:
  1 / AB sum y Δ - (1 - y) Δ, Δ = p_samples(b | a) - p_data(b | a), y = whether p_data(a, b) > m_a m_b.
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


def margins(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m_a [..., A, 1], m_b [..., 1, B]) of tables [..., A, B]."""
    return joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)


def phi2(joint: np.ndarray) -> np.ndarray:
    """φ² of tables of shares [..., A, B]; a row or column of nothing adds nothing."""
    a, b = margins(joint)
    expected = a * b
    away = (joint - expected) ** 2 / np.maximum(expected, TINY)
    return away.sum((-2, -1))


def cramers_v(joint: np.ndarray) -> np.ndarray:
    """V of tables of shares [..., A, B] as it is, without a correction."""
    return np.sqrt(phi2(joint) / _most(joint))


def bergsma(counts: np.ndarray) -> float:
    """V of a table of counts [A, B] with Bergsma's correction: φ² of independent ones is 0, but for the cut."""
    n = counts.sum()
    rows, columns = counts.shape
    excess = (rows - 1) * (columns - 1) / (n - 1)
    left = max(0.0, float(phi2(counts / n)) - excess)
    # fewer rows, as many as would give this excess by chance
    shrunk = [k - (k - 1) ** 2 / (n - 1) for k in (rows, columns)]
    return float(np.sqrt(left / (min(shrunk) - 1)))


def information(joint: np.ndarray) -> np.ndarray:
    """I of tables of shares [..., A, B] in nats, without a correction."""
    a, b = margins(joint)
    ratio = np.maximum(joint, TINY) / np.maximum(a * b, TINY)
    # 0 log 0 is 0
    terms = np.where(joint > 0, joint * np.log(ratio), 0.0)
    return terms.sum((-2, -1))


def unbiased(statistic: Callable[[np.ndarray], np.ndarray], table: Estimate) -> Interval:
    """A statistic that noise makes larger, as φ² and I, with the noise taken out: the value's once, the draws' twice.

    How much it is is told by the draws: their mean less the value, the reader's part with it. Never below 0.
    """
    value = statistic(table.value)
    draws = statistic(table.draws)  # [S]
    # draws lie about an estimate that itself lies about the truth
    excess = max(float(draws.mean() - value), 0.0)
    value = max(float(value) - excess, 0.0)
    return interval(value, np.maximum(draws - 2.0 * excess, 0.0))


def association(table: Estimate) -> Interval:
    """V of an estimated table [A, B], corrected for its noise."""
    found = unbiased(phi2, table)
    most = _most(table.value)
    return Interval(*(float(np.sqrt(end / most)) for end in found))


def independent(a: np.ndarray, b: np.ndarray, times: int = 1000, seed: int = 0) -> float:
    """p of independence of two columns [N] of numbers, by permutation of one of them, from φ² of their table.

    Exact where the rows could have come in any order. Of what is read it is a test of what is read: a reader whose
    errors in one go with the other is told of too.
    """
    rng = np.random.default_rng(seed)
    sizes = int(a.max()) + 1, int(b.max()) + 1
    found = phi2(_table(a, b, sizes))
    # rounding must not tell two equal tables apart
    above = 1
    for _ in range(times):
        shuffled = rng.permutation(b)
        above += phi2(_table(a, shuffled, sizes)) >= found - TINY
    return float(above / (times + 1))


def conditional(joint: np.ndarray) -> np.ndarray:
    """p(b | a) of tables [..., A, B]."""
    rows, _ = margins(joint)
    return joint / np.maximum(rows, TINY)


def amplification(joint: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Zhao's mean amplification of tables [..., A, B] against the data's [A, B]: above 0 what is more grows more."""
    before = conditional(data)
    after = conditional(joint)
    rows, columns = data.shape
    leading = before > 1.0 / columns
    return ((after - before) * leading).sum((-2, -1)) / rows


def directional(joint: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Wang & Russakovsky's amplification from a to b of tables [..., A, B] against the data's; turn both for b to a."""
    a, b = margins(data)
    together = data > a * b  # y
    change = conditional(joint) - conditional(data)
    signed = np.where(together, change, -change)
    return signed.mean((-2, -1))


def spread(joint: np.ndarray) -> np.ndarray:
    """How evenly b is spread within each a, [..., A] in 0 to 1, of tables [..., A, B]."""
    p = conditional(joint)
    # TINY for 0 log 0
    entropy = -np.sum(p * np.log(np.maximum(p, TINY)), -1)
    return entropy / np.log(p.shape[-1])


def slope(shares: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The slope by least squares of shares [..., K] over a stated scale [K]: what a step of 1 on it brings."""
    away = scale - scale.mean()
    return shares @ away / np.sum(away**2)


def _most(joint: np.ndarray) -> int:
    """The largest φ² of a table of this shape."""
    rows, columns = joint.shape[-2:]
    return max(min(rows, columns) - 1, 1)


def _table(a: np.ndarray, b: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """The shares of a table of two columns [N]."""
    counts = np.bincount(a * sizes[1] + b, minlength=sizes[0] * sizes[1])
    return counts.reshape(sizes) / len(a)
