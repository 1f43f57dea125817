"""Codecs compared: how many bits one needs for what another does (Bjøntegaard 2001, VCEG-M33).

The logarithm of the rate is interpolated over the quality, and averaged over the qualities that both reach. Monotone
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
    """The settings that no other beats in both, by rising quality."""
    rate = np.asarray(curve.rate, np.float64)
    quality = np.asarray(curve.quality, np.float64)
    order = np.lexsort((-quality, rate))
    best = np.maximum.accumulate(quality[order])
    # only where the quality is above that of all cheaper ones
    before = np.concatenate([[-np.inf], best[:-1]])
    kept = order[quality[order] > before]
    return Curve(rate[kept], quality[kept])


def levels(curves: Sequence[Curve], quality: np.ndarray) -> np.ndarray:
    """The least logarithm of the rate of several curves at each quality; infinite where none reaches it."""
    from scipy.interpolate import PchipInterpolator

    found = np.full(np.shape(quality), np.inf)
    for curve in curves:
        own = frontier(curve)
        if len(own.rate) < 2:  # a point is no curve
            continue
        at = PchipInterpolator(own.quality, np.log(own.rate), extrapolate=False)
        here = np.nan_to_num(at(quality), nan=np.inf)
        found = np.minimum(found, here)
    return found


def bd_rate(curves: Sequence[Curve], against: Sequence[Curve]) -> float:
    """The mean relative difference of rates at equal quality, -0.3 = 30 % fewer bits; NaN without common qualities.

    Each side is several curves, of which the best counts at each quality.
    """
    low = max(_ends(curves)[0], _ends(against)[0])
    high = min(_ends(curves)[1], _ends(against)[1])
    if not low < high:
        return float("nan")
    quality = np.linspace(low, high, PLACES)
    difference = levels(curves, quality) - levels(against, quality)
    # between the curves of one side there may be a gap
    common = np.isfinite(difference)
    return float(np.expm1(difference[common].mean()))


def _ends(curves: Sequence[Curve]) -> tuple[float, float]:
    """(least, greatest) quality of several curves."""
    qualities = np.concatenate([np.asarray(each.quality) for each in curves])
    return float(qualities.min()), float(qualities.max())
