"""Where in a picture: maps of strangeness against masks of defects.

* Pixel AUROC: the chance that a pixel of a defect has a higher score than one without. Large defects decide it.
* PRO, per-region overlap: at each threshold the mean over connected regions of the share of a region that is found,
  as a function of the rate of false pixels, integrated up to 30 % and divided by that (Bergmann et al. 2021,
  10.1007/s11263-020-01400-4, sec. 5.2): a small region counts as much as a large one. By chance it is .15, half the
  limit.

Scores are sorted into bins of equal counts, 1,024 of them unless told otherwise, or as many as there are different
scores if these are fewer; between bins the curves are straight. Pictures are drawn, not pixels: intervals are
bootstraps over pictures. Arrays are numpy's; errors are UserError, one line each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.errors import UserError
from genjax.metrics.intervals import Interval, bootstrap

LIMIT = 0.3  # rate of false pixels up to which PRO is integrated, the paper's
BINS = 1024
TIMES = 500  # repeats of a bootstrap


class Counts(NamedTuple):
    """Of each picture, by bins of the score from the highest to the lowest."""

    normal: np.ndarray  # [N, K]: pixels without a defect
    strange: np.ndarray  # [N, K]: pixels of defects
    found: np.ndarray  # [N, K]: sum over regions of the share of each that lies in the bin
    regions: np.ndarray  # [N]


def counted(
    maps: np.ndarray,
    masks: np.ndarray,
    bins: int = BINS,
) -> Counts:
    """Of maps [N, H, W], higher = stranger, and masks bool [N, H, W].

    UserError for shapes that do not agree, for what is no finite number, and where no mask has a pixel, or all have.
    """
    maps, masks = _checked(maps, masks)
    place, k = _binned(maps, bins)
    normal, strange, found, regions = [], [], [], []
    for at, mask in zip(place, masks, strict=True):
        without, within = at[~mask], at[mask]
        normal.append(np.bincount(without, minlength=k))
        strange.append(np.bincount(within, minlength=k))
        overlap, count = _regions(at, mask, k)
        found.append(overlap)
        regions.append(count)
    return Counts(np.array(normal), np.array(strange), np.array(found), np.array(regions))


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps = np.asarray(maps, np.float64)
    masks = np.asarray(masks).astype(bool)
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise UserError(
            f"maps {list(maps.shape)} and masks {list(masks.shape)} must both be [N, H, W] and agree."
        )
    if not np.isfinite(maps).all():
        raise UserError("a map holds NaN or infinite values: no ranking has a place for them.")
    if not masks.any():
        raise UserError(
            f"none of {len(masks)} pictures has a defect: where one is cannot be told of normal pictures alone."
        )
    if masks.all():
        raise UserError("all pixels are of defects: there is none that could be a false alarm.")
    return maps, masks


def _binned(maps: np.ndarray, bins: int) -> tuple[np.ndarray, int]:
    """(the bin of each pixel, 0 that of the highest scores; how many there are)."""
    values = np.unique(maps)
    if len(values) > bins:
        # of counts of pixels, the highest bins finer: most of PRO lies there
        steps = np.linspace(1.0, 0.0, bins, endpoint=False)
        edges = np.quantile(maps, 1.0 - steps**2)
        values = np.unique(edges)
    below = np.searchsorted(values, maps, "right")
    k = len(values) + 1
    return k - 1 - below, k


def _regions(
    at: np.ndarray,
    mask: np.ndarray,
    k: int,
) -> tuple[np.ndarray, int]:
    """(sum over a picture's regions of the share in each bin [k], number of regions); neighbours are eight."""
    from scipy.ndimage import label

    # as the paper's own code numbers them
    eight = np.ones((3, 3), int)
    numbered, count = label(mask, eight)
    overlap = np.zeros(k)
    # 0 is what lies outside of all
    for number in range(1, count + 1):
        own = at[numbered == number]
        pixels = np.bincount(own, minlength=k)
        overlap += pixels / len(own)
    return overlap, count


def _curve(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The share that lies above each threshold, from 0 to 1, [K + 1], of counts [N, K]."""
    of_rows = counts[rows].sum(0)
    total = np.cumsum(of_rows)
    # above the highest score lies nothing
    return np.append(0.0, total / total[-1])


def _pixel_auroc(counts: Counts, rows: np.ndarray) -> float:
    false = _curve(counts.normal, rows)
    true = _curve(counts.strange, rows)
    # trapezia: a tie is half a win
    return float(np.trapezoid(true, false))


def _pro(
    counts: Counts,
    rows: np.ndarray,
    limit: float,
) -> float:
    false = _curve(counts.normal, rows)
    # of a share of regions it is the mean, since each region's shares sum to 1
    overlap = _curve(counts.found, rows)
    at_limit = np.interp(limit, false, overlap)
    below = false < limit
    # the curve up to the limit, which may lie between two bins
    x = np.append(false[below], limit)
    y = np.append(overlap[below], at_limit)
    area = np.trapezoid(y, x)
    return float(area / limit)


def pixel_auroc(counts: Counts, level: float = 0.95) -> Interval:
    """Of `counted`, with its interval over pictures."""
    return _over_pictures(_with(counts, _pixel_auroc), counts, level)


def pro(
    counts: Counts,
    limit: float = LIMIT,
    level: float = 0.95,
) -> Interval:
    """Of `counted`, with its interval over pictures; UserError for a limit that is no rate."""
    if not 0.0 < limit <= 1.0:
        raise UserError(
            f"PRO is integrated up to a rate of false pixels in (0, 1], got {limit:g}."
        )

    def area(counts: Counts, rows: np.ndarray) -> float:
        return _pro(counts, rows, limit)

    return _over_pictures(_with(counts, area), counts, level)


def pro_difference(
    some: Counts,
    others: Counts,
    limit: float = LIMIT,
) -> Interval:
    """PRO of one map less that of another of the same pictures, whose bootstrap takes both from the same draws."""

    def difference(rows: np.ndarray) -> float:
        return _pro(some, rows, limit) - _pro(others, rows, limit)

    return _over_pictures(difference, some, 0.95)


def _with(counts: Counts, score: Callable) -> Callable[[np.ndarray], float]:
    def of_rows(rows: np.ndarray) -> float:
        return score(counts, rows)

    return of_rows


def _over_pictures(
    score: Callable[[np.ndarray], float],
    counts: Counts,
    level: float,
) -> Interval:
    """The score of all pictures with its bootstrap, within pictures with defects and within those without."""
    has = counts.regions > 0
    strange = np.flatnonzero(has)
    others = np.flatnonzero(~has)
    everything = np.arange(len(has))
    if len(strange) < 2:
        return Interval(score(everything), np.nan, np.nan)  # of one picture it is not known
    shuffled = np.random.default_rng(1)

    def drawn(rows: np.ndarray) -> float:
        # how many pictures have a defect is a choice, and no draw
        normal = shuffled.integers(0, max(len(others), 1), len(others))
        return score(np.concatenate([strange[rows], others[normal]]))

    around = bootstrap(drawn, len(strange), TIMES, level)
    return Interval(score(everything), around.low, around.high)
