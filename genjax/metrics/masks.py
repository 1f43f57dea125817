"""Masks against masks: intersection over union, pixel accuracy, the F score of boundaries.

Pictures are what is drawn, so intervals are over pictures and not over pixels, which are alike within a picture. Arrays
are numpy's; errors are UserError, one line each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genjax.errors import UserError
from genjax.metrics.intervals import Interval, bootstrap


def _check(what: str, mask: np.ndarray, classes: int) -> None:
    if not mask.size:
        return
    least, greatest = mask.min(), mask.max()
    if least < 0 or greatest >= classes:
        raise UserError(
            f"{what} has classes from {least} to {greatest}, expected 0 to {classes - 1}."
        )


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts [N, K, K] of pixels of true class i taken for class j, of masks [N, ...]; UserError for other classes."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise UserError(
            f"masks have the shape {truth.shape} and predictions {predicted.shape}: they must agree."
        )
    _check("a mask", truth, classes)
    _check("a prediction", predicted, classes)
    n = len(truth)
    cells = classes**2  # of one picture
    row = truth.reshape(n, -1).astype(np.int64)
    column = predicted.reshape(n, -1)
    pair = row * classes + column  # [N, pixels]
    first = np.arange(n) * cells
    place = first[:, None] + pair
    counts = np.bincount(place.ravel(), minlength=n * cells)
    return counts.reshape(n, classes, classes)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, [K], of counts [K, K]; NaN for one that neither side has."""
    hits = np.diagonal(counts).astype(np.float64)
    either = counts.sum(0) + counts.sum(1)
    union = either - hits  # what both have is counted twice
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        return hits / union


def mean_iou(counts: np.ndarray, level: float = 0.95) -> Interval:
    """The mean over classes of the IoU of all pixels together, of counts [N, K, K]; interval over pictures."""

    def score(rows: np.ndarray) -> float:
        total = counts[rows].sum(0)
        return float(np.nanmean(iou(total)))

    return _over_pictures(score, len(counts), level)


def pixel_accuracy(counts: np.ndarray, level: float = 0.95) -> Interval:
    """The share of pixels whose class is right, of counts [N, K, K]; interval over pictures."""
    hits = np.trace(counts, axis1=1, axis2=2)  # [N]
    pixels = counts.sum((1, 2))

    def score(rows: np.ndarray) -> float:
        right = hits[rows].sum()
        return float(right / pixels[rows].sum())

    return _over_pictures(score, len(counts), level)


def _over_pictures(score: Callable[[np.ndarray], float], n: int, level: float) -> Interval:
    """The score of n pictures with its bootstrap; of one picture the interval is not known."""
    if n < 2:
        rows = np.arange(n)
        return Interval(score(rows), np.nan, np.nan)
    return bootstrap(score, n, level=level)


def _edges(inside: np.ndarray) -> np.ndarray:
    """The pixels of a region [H, W] that touch its outside; the picture's border is no edge."""
    from scipy.ndimage import binary_erosion

    # by the four neighbours; what lies beyond the picture counts as inside
    core = binary_erosion(inside, border_value=1)
    return inside & ~core


def boundary_f(
    truth: np.ndarray, predicted: np.ndarray, classes: int, tolerance: float = 0.0075
) -> np.ndarray:
    """F score of the classes' boundaries of each picture, [N], of masks [N, H, W]; the mean over classes that it has.

    A boundary pixel is a hit within `tolerance` of the diagonal, at least one pixel (Csurka et al. 2013, BMVC).
    """
    confusion(truth, predicted, classes)  # for its errors
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    diagonal = float(np.hypot(*truth.shape[1:]))
    reach = max(1.0, tolerance * diagonal)  # [pixels]
    found = []
    for mask, guess in zip(truth, predicted, strict=True):
        scores = []
        for k in range(classes):
            edge = _edges(mask == k)
            other = _edges(guess == k)
            if edge.any() or other.any():  # a class with a boundary on either side
                scores.append(_f(edge, other, reach))
        # nothing to find and nothing found
        found.append(np.mean(scores) if scores else 1.0)
    return np.array(found)


def _f(edge: np.ndarray, other: np.ndarray, reach: float) -> float:
    """The harmonic mean of precision and recall of boundary pixels [H, W] within reach of each other."""
    precision = _near(other, edge, reach)
    recall = _near(edge, other, reach)
    total = precision + recall
    return 2.0 * precision * recall / total if total else 0.0


def _near(edge: np.ndarray, other: np.ndarray, reach: float) -> float:
    """The share of edge pixels within reach of the other edge; 0 where one of the two is missing."""
    from scipy.ndimage import distance_transform_edt

    if not edge.any() or not other.any():
        return 0.0
    distance = distance_transform_edt(~other)  # of each pixel to the other edge
    return float(np.mean(distance[edge] <= reach))
