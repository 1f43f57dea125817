"""Codecs compared: how many bits one needs for what another does (Bjøntegaard 2001, VCEG-M33).

The logarithm of the rate is interpolated over the quality, and averaged over the qualities that both reach. How much of
the curves that is, is told beside it: where little, the number is of two ends of curves (`overlap`). Monotone
cubic pieces (Fritsch & Carlson 1980) take the place of Bjøntegaard's one cubic, which overshoots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PLACES = 1001  # qualities of which the mean is taken


class Curve(NamedTuple):
    """A codec's settings: bits a pixel and the quality of each, in any order."""

    rate: np.ndarray
    quality: np.ndarray


def frontier(curve: Curve) -> Curve:
    """The settings that no other beats in both, by rising quality; without those that lose nothing.

    Theirs is an infinite number of decibels, to which nothing can be interpolated.
    """
    rate = np.asarray(curve.rate, np.float64)
    quality = np.asarray(curve.quality, np.float64)
    finite = np.isfinite(quality)
    rate, quality = rate[finite], quality[finite]
    # of two at one rate the better comes first
    order = np.lexsort((-quality, rate))
    rising = quality[order]
    best = np.maximum.accumulate(rising)
    before = np.concatenate([[-np.inf], best[:-1]])
    # only where the quality is above that of all cheaper ones
    kept = order[rising > before]
    return Curve(rate[kept], quality[kept])


def level(curve: Curve, quality: np.ndarray) -> np.ndarray:
    """The logarithm of the rate at each quality; infinite where the curve does not reach it."""
    from scipy.interpolate import PchipInterpolator

    own = frontier(curve)
    logarithm = np.log(own.rate)
    if len(logarithm) < 2:  # a codec of one setting is known there alone
        there = np.isin(quality, own.quality)
        return np.where(there, logarithm.sum(), np.inf)
    between = PchipInterpolator(own.quality, logarithm, extrapolate=False)
    found = between(quality)
    return np.nan_to_num(found, nan=np.inf)


def levels(curves: Sequence[Curve], quality: np.ndarray) -> np.ndarray:
    """The least logarithm of the rate of several curves at each quality."""
    each = [level(curve, quality) for curve in curves]
    return np.min(each, 0)


def bd_rate(curves: Sequence[Curve], against: Sequence[Curve]) -> float:
    """The mean relative difference of rates at equal quality, -0.3 = 30 % fewer bits; NaN without common qualities.

    Each side is several curves, of which the best counts at each quality. Of a codec of one setting it is the
    difference at that one's quality. `overlap` says of how much of the curves it is.
    """
    difference = _differences(curves, against)
    # between the curves of one side there may be a gap
    common = np.isfinite(difference)
    if not common.any():
        return float("nan")
    return float(np.expm1(difference[common].mean()))


def overlap(curves: Sequence[Curve], against: Sequence[Curve]) -> float:
    """The share of the narrower side's range of qualities that both sides reach, 0 to 1.

    Near 0 a BD-rate is of the end of one curve and the beginning of the other, and says little of either codec.
    """
    difference = _differences(curves, against)
    if not len(difference):
        return 0.0
    first = _ends(curves)
    second = _ends(against)
    narrower = min(first[1] - first[0], second[1] - second[0])
    reached = np.isfinite(difference).mean()
    # of a codec of one setting that one is all there is
    if not narrower:
        return float(reached)
    low, high = _both(first, second)
    return float(reached * (high - low) / narrower)


def _differences(curves: Sequence[Curve], against: Sequence[Curve]) -> np.ndarray:
    """Of the logarithms of the rates, at qualities evenly over those that both reach; no number where one has a gap."""
    low, high = _both(_ends(curves), _ends(against))
    if low > high:
        return np.empty(0)
    quality = np.linspace(low, high, PLACES)
    ours = levels(curves, quality)
    theirs = levels(against, quality)
    common = np.isfinite(ours) & np.isfinite(theirs)
    return np.subtract(ours, theirs, out=np.full(PLACES, np.nan), where=common)


def _both(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """The ends of what lies within two ranges; the least is above the greatest where nothing does."""
    low = max(first[0], second[0])
    high = min(first[1], second[1])
    return low, high


def _ends(curves: Sequence[Curve]) -> tuple[float, float]:
    """(least, greatest) quality of several curves; of none the least is above the greatest."""
    each = [frontier(curve).quality for curve in curves]
    qualities = np.concatenate(each)
    low = qualities.min(initial=np.inf)
    high = qualities.max(initial=-np.inf)
    return float(low), float(high)
