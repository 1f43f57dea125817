"""Scores of the points of a series against events, stretches of anomalous points: nothing is adjusted.

An event counts by its points: one that is found at a single point is found at that point alone (point adjustment, which
calls all of it found, makes chance look good: Kim et al. 2022, arXiv:2109.05257). Points next to each other are no
independent witnesses: a bootstrap draws events among the events and blocks among the normal blocks. Of fewer than
`FEWEST` events nothing is known of other events: there they are held fixed, and the interval is of the normal stretch
alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genjax.errors import UserError
from genjax.metrics.intervals import Interval

FEWEST = 5  # events from which on they are drawn
TIMES = 200  # repeats of a bootstrap
Statistic = Callable[[np.ndarray, np.ndarray], float]  # (scores [n], whether anomalous [n])


def events(anomaly: np.ndarray) -> list[slice]:
    """The stretches of anomalous points, of bool [T]."""
    inside = np.asarray(anomaly, np.int8)
    # an event may begin with the first point, and end with the last
    padded = np.pad(inside, 1)
    edges = np.diff(padded)
    firsts = np.flatnonzero(edges == 1)
    lasts = np.flatnonzero(edges == -1)
    return [slice(first, last) for first, last in zip(firsts, lasts, strict=True)]


def blocks(anomaly: np.ndarray, length: int) -> list[np.ndarray]:
    """The normal points in blocks of about `length` points that follow each other."""
    normal = ~np.asarray(anomaly, bool)
    rows = np.flatnonzero(normal)
    count = max(len(rows) // length, 1)
    return np.array_split(rows, count)


def over_blocks(
    statistic: Statistic,
    scores: np.ndarray,
    anomaly: np.ndarray,
    length: int,
    level: float = 0.95,
) -> Interval:
    """A statistic of scores [T] and anomalous points bool [T], with its bootstrap over events and blocks.

    UserError for lists of two lengths, and where all points are normal, or none is.
    """
    scores = np.asarray(scores, np.float64)
    anomaly = np.asarray(anomaly, bool)
    agree = scores.shape == anomaly.shape
    if not agree or scores.ndim != 1:
        raise UserError(
            f"scores {list(scores.shape)} and labels {list(anomaly.shape)} must be two lists of one length."
        )
    if anomaly.all() or not anomaly.any():
        which = "anomalous" if anomaly.any() else "normal"
        raise UserError(f"all {len(anomaly)} points are {which}: a ranking needs both kinds.")
    # drawn by their numbers, so that scores and labels stay together
    points = np.arange(len(scores))
    strange = [points[event] for event in events(anomaly)]
    normal = blocks(anomaly, length)
    # the same draws for every method: their intervals compare
    rng = np.random.default_rng(0)
    values = []
    for _ in range(TIMES):
        drawn = _drawn(normal, rng)
        # one event has no others that could have been
        held = strange if len(strange) < FEWEST else _drawn(strange, rng)
        rows = np.concatenate([*drawn, *held])
        values.append(statistic(scores[rows], anomaly[rows]))
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(values, ends)
    value = statistic(scores, anomaly)
    return Interval(value, float(low), float(high))


def _drawn(parts: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """As many parts, with replacement."""
    n = len(parts)
    which = rng.integers(0, n, n)
    return [parts[number] for number in which]
