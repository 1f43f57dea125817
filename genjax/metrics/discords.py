"""Anomalies of a series without a trained model: discords, forecasts by a line, moving deviations. Higher = stranger.

* A discord is the window that is furthest from its nearest neighbour (Keogh et al. 2005, 10.1109/ICDM.2005.79), by the
  Euclidean distance of windows scaled to mean 0 and deviation 1, which of windows a, b of m points with deviations s is

      d² = 2 m (1 - (a·b / m - mean a mean b) / (s_a s_b))                        (Mueen's, Yeh et al. 2016, MASS)

  against windows of normal data (`join`), or of the series itself but for near ones (`profile`: the matrix profile).
* An autoregression predicts a point from those before it by least squares; its error is the score.
* The moving deviation of a point: its distance from the mean of the points before it, in their deviations.

Series are [T, C]; a score of several channels is the root of the mean of their squares.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from genjax.errors import UserError

CHUNK = 512  # windows whose distances to all others are in memory at a time
FLAT = 1e-8  # a deviation below this share of the largest is none


def check(x: np.ndarray, window: int) -> np.ndarray:
    """A series as float64 [T, C]; UserError where it is shorter than a window, or holds what is no number."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2:
        raise UserError(f"a series is [T, C], got {list(x.shape)}.")
    if len(x) < window:
        raise UserError(
            f"a series of {len(x)} points is shorter than a window of {window}: use a shorter window."
        )
    if not np.isfinite(x).all():
        raise UserError("a series holds NaN or infinite values: fill them in, or cut them out.")
    return x


class _Windows(NamedTuple):
    """The windows of one channel, and what they are scaled by."""

    x: np.ndarray  # [N, window]
    mean: np.ndarray  # [N]
    deviation: np.ndarray  # [N], 0 of flat ones


def _windows(channel: np.ndarray, window: int) -> _Windows:
    """All windows of a channel [T]."""
    x = sliding_window_view(channel, window)
    mean = x.mean(1)
    deviation = x.std(1)
    # what rounding leaves of a flat window is no shape
    largest = np.abs(channel).max()
    least = FLAT * max(largest, 1.0)
    shaped = np.where(deviation > least, deviation, 0.0)
    return _Windows(x, mean, shaped)


def _squares(some: _Windows, others: _Windows) -> np.ndarray:
    """d² of all windows of one channel to all others, [n, N]: the equation above."""
    m = some.x.shape[1]
    products = some.x @ others.x.T
    means = np.outer(some.mean, others.mean)
    covariance = products / m - means
    scale = np.outer(some.deviation, others.deviation)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / scale
    # a flat window is as far from any other as what has nothing in common with it, d² = m
    correlation = np.where(scale > 0.0, correlation, 0.5)
    # but two flat ones are alike
    flat = some.deviation == 0.0
    other_flat = others.deviation == 0.0
    both = np.outer(flat, other_flat)
    correlation = np.where(both, 1.0, correlation)
    # rounding may take it a little beyond
    cut = np.clip(correlation, -1.0, 1.0)
    return 2.0 * m * (1.0 - cut)


def _nearest(
    x: np.ndarray,
    known: np.ndarray,
    window: int,
    apart: int,
) -> np.ndarray:
    """The distance [N] of each window of x to the nearest known one at least `apart` points away from it."""
    channels = x.shape[1]
    if channels != known.shape[1]:
        raise UserError(
            f"a series of {channels} channels cannot be compared with one of {known.shape[1]}."
        )
    some = [_windows(channel, window) for channel in x.T]
    others = [_windows(channel, window) for channel in known.T]
    n = len(x) - window + 1
    place = np.arange(len(known) - window + 1)
    least = []
    # in parts: the table of all distances need not fit in memory
    for first in range(0, n, CHUNK):
        rows = slice(first, min(first + CHUNK, n))
        squares = np.zeros((rows.stop - first, len(place)))
        for one, other in zip(some, others, strict=True):
            part = _Windows(*(values[rows] for values in one))
            squares += _squares(part, other)
        # a window is near to itself, and to those that begin beside it
        own = np.arange(first, rows.stop)
        gaps = np.abs(own[:, None] - place)
        squares[gaps < apart] = np.inf
        least.append(squares.min(1))
    mean = np.concatenate(least) / channels
    return np.sqrt(mean)


def join(
    x: np.ndarray,
    known: np.ndarray,
    window: int,
) -> np.ndarray:
    """The distance of each window of x [T, C] to the nearest of the known series [S, C], [T - window + 1]."""
    x = check(x, window)
    known = check(known, window)
    return _nearest(x, known, window, 0)


def profile(x: np.ndarray, window: int) -> np.ndarray:
    """The matrix profile of x [T, C]: the distance of each window to the nearest that overlaps it by less than half.

    UserError for a series in which some window has no such other.
    """
    x = check(x, window)
    # the usual exclusion zone
    apart = max(window // 2, 1)
    free = len(x) - window
    if free < 2 * apart:
        raise UserError(
            f"a series of {len(x)} points has no two windows of {window} that are apart: use a shorter window."
        )
    return _nearest(x, x, window, apart)


def spread(scores: np.ndarray, points: int) -> np.ndarray:
    """Scores of windows [N], or of the points of each [N, window], as the mean of all windows that hold a point."""
    scores = np.asarray(scores, np.float64)
    n = len(scores)
    window = points - n + 1
    if scores.ndim == 1:
        # a window's score is that of each of its points
        scores = np.repeat(scores[:, None], window, 1)
    total = np.zeros(points)
    count = np.zeros(points)
    for place in range(window):
        # the place-th point of each window in turn
        held = slice(place, place + n)
        total[held] += scores[:, place]
        count[held] += 1
    return total / count


def autoregression(
    x: np.ndarray,
    known: np.ndarray,
    order: int,
    ridge: float = 1e-3,
) -> np.ndarray:
    """Errors [T] of predicting x [T, C] from the `order` points before, by lines fitted to the known series.

    In deviations of the known series' own errors; the first `order` points have none before them, and score 0.
    """
    x = check(x, order + 1)
    known = check(known, order + 1)
    before, after = _past(known, order)
    # (B'B + w I) lines = B'A
    size = before.shape[1]
    weight = ridge * len(before)
    square = before.T @ before + weight * np.eye(size)
    lines = np.linalg.solve(square, before.T @ after)
    usual = np.std(after - before @ lines, axis=0)
    # a channel that is predicted exactly keeps its errors as they are
    unit = np.where(usual > 0, usual, 1.0)
    past, now = _past(x, order)
    error = (now - past @ lines) / unit
    return _after(error, order)


def _past(x: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """(the points before, with a 1 [T - order, order C + 1], the points [T - order, C])."""
    windows = sliding_window_view(x, order, 0)
    # the last one has no point after it
    before = windows[:-1]
    rows = before.reshape(len(before), -1)
    ones = np.ones((len(rows), 1))
    table = np.concatenate([rows, ones], 1)
    return table, x[order:]


def _after(errors: np.ndarray, first: int) -> np.ndarray:
    """The root of the mean square over channels of errors [T - first, C], after `first` zeros: [T]."""
    squares = np.mean(errors**2, 1)
    none = np.zeros(first)
    return np.concatenate([none, np.sqrt(squares)])


def moving(x: np.ndarray, window: int) -> np.ndarray:
    """|x - mean| / deviation of the `window` points before each point of x [T, C]; the first `window` score 0."""
    x = check(x, window + 1)
    windows = sliding_window_view(x, window, 0)
    before = windows[:-1]
    mean = before.mean(-1)
    deviation = before.std(-1)
    # after a flat stretch any change would be infinitely strange
    least = 1e-3 * max(float(x.std()), FLAT)
    unit = np.maximum(deviation, least)
    z = (x[window:] - mean) / unit
    return _after(z, window)
