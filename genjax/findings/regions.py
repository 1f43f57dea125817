"""How good probabilities of classes are, over the pixels of pictures: regions, boundaries, calibration.

Everything is a function of sums over pictures, so that an interval over pictures, or over what they belong to, leaves
out one picture's sums, or one person's, at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from genjax.findings.steering import members
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.masks import boundary_f, confusion, iou
from genjax.metrics.prediction import EPSILON, calibration

BINS = 15  # of confidence


class Judged(NamedTuple):
    """Sums over the pixels of each of N pictures, or of each of N groups of them."""

    pictures: np.ndarray  # [N]
    counts: np.ndarray  # of classes taken for classes, [N, K, K]
    edges: np.ndarray  # F scores of boundaries, [N]
    confidence: np.ndarray  # of the pixels of each bin, [N, BINS]
    hits: np.ndarray  # pixels of each bin that are right
    pixels: np.ndarray  # of each bin
    brier: np.ndarray  # squared distances, [N]
    nats: np.ndarray  # of the true class, [N]


Measure = Callable[[Judged], float]  # of sums over all


def judge(p: np.ndarray, mask: np.ndarray, void: Sequence[int] = ()) -> Judged:
    """Probabilities [N, H, W, K] against classes [N, H, W], picture by picture.

    void: classes of pixels of which nobody knows what they are. Such pixels do not count, and of the others every
    method is told that they are none: p is what it says of the other classes.
    """
    classes = p.shape[-1]
    p = _without(p, void)
    known = ~np.isin(mask, void)  # [N, H, W]
    taken = p.argmax(-1)
    confidence, hits, pixels = _bins(p, mask, known)
    counts = confusion(mask, taken, classes)
    # columns are empty by themselves
    counts[:, list(void)] = 0
    # no boundary of its own: what is said there is taken for true
    believed = np.where(known, mask, taken)
    one_hot = np.eye(classes)[mask]
    distance = np.square(p - one_hot)
    of_truth = np.sum(p * one_hot, -1)
    # no infinite surprise for a single certain mistake
    some = np.maximum(of_truth, EPSILON)
    nats = -np.log(some)
    return Judged(
        pictures=np.ones(len(p)),
        counts=counts,
        edges=boundary_f(believed, taken, classes),
        confidence=confidence,
        hits=hits,
        pixels=pixels,
        brier=np.sum(distance.sum(-1) * known, (1, 2)),
        nats=np.sum(nats * known, (1, 2)),
    )


def _without(p: np.ndarray, void: Sequence[int]) -> np.ndarray:
    """Probabilities [..., K] given that it is none of the classes `void`; even where nothing else was said."""
    if not len(void):
        return p
    others = np.ones(p.shape[-1])
    others[list(void)] = 0.0
    # so little that it is heard only where all else is 0
    left = (p + EPSILON) * others
    return left / left.sum(-1, keepdims=True)


def _bins(p: np.ndarray, mask: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, ...]:
    """(sum of confidences, pixels that are right, pixels) in each bin of each picture, [N, BINS]; of known pixels."""
    rows = []
    for said, its, where in zip(p, mask, known, strict=True):
        if not where.any():
            nothing = np.zeros(BINS)
            rows.append((nothing, nothing, nothing))
            continue
        # means of a bin, which sums undo
        confidence, accuracy, pixels = calibration(said[where], its[where], BINS)
        row = (confidence * pixels, accuracy * pixels, pixels)
        rows.append(row)
    return tuple(map(np.stack, zip(*rows, strict=True)))


def joined(parts: list[Judged]) -> Judged:
    """One after the other."""
    columns = zip(*parts, strict=True)
    return Judged(*map(np.concatenate, columns))


def grouped(judged: Judged, groups: np.ndarray) -> Judged:
    """The sums of each group, of groups [N]."""
    of_group = members(groups)

    def summed(values: np.ndarray) -> np.ndarray:
        sums = [values[rows].sum(0) for rows in of_group]
        return np.stack(sums)

    return Judged(*map(summed, judged))


def total(sums: Judged, rows: np.ndarray) -> Judged:
    """The sums of some pictures or groups together."""

    def summed(values: np.ndarray) -> np.ndarray:
        return values[rows].sum(0)

    return Judged(*map(summed, sums))


def mean_iou(sums: Judged) -> float:
    """The mean over classes of the IoU of all pixels together."""
    each = iou(sums.counts)
    return float(np.nanmean(each))


def accuracy(sums: Judged) -> float:
    """The share of pixels that are right."""
    hits = np.trace(sums.counts)
    return float(hits / sums.counts.sum())


def boundary(sums: Judged) -> float:
    """The mean over pictures of the F score of boundaries."""
    return float(sums.edges / sums.pictures)


def calibration_error(sums: Judged) -> float:
    """The mean over pixels of |accuracy - confidence| of their bin."""
    gaps = np.abs(sums.hits - sums.confidence)
    return float(gaps.sum() / sums.pixels.sum())


def brier(sums: Judged) -> float:
    """The mean over pixels of the squared distance from the true class's one-hot."""
    return float(sums.brier / sums.pixels.sum())


def nats(sums: Judged) -> float:
    """The mean over pixels of -log p of the true class."""
    return float(sums.nats / sums.pixels.sum())


def of_class(k: int) -> Measure:
    """The IoU of one class; NaN of one that neither side has."""

    def measure(sums: Judged) -> float:
        each = iou(sums.counts)
        return float(each[k])

    return measure


MEASURES: dict[str, Measure] = {
    "mean_iou": mean_iou,
    "accuracy": accuracy,
    "boundary_f": boundary,
    "ece": calibration_error,
    "brier": brier,
    "nats": nats,
}


def interval(measure: Measure, sums: Judged, less: Judged | None = None) -> Interval:
    """A measure of all sums together with the jackknife over them, or its difference to that of `less`.

    Of a single picture or group the interval is not known.
    """

    def value(rows: np.ndarray) -> float:
        own = measure(total(sums, rows))
        if less is None:
            return own
        # of the same pictures: what both find hard cancels
        other = measure(total(less, rows))
        return own - other

    places = np.arange(len(sums.pictures))
    if len(places) < 2:
        return Interval(value(places), np.nan, np.nan)
    each = list(places[:, None])
    found = by_group(value, each)
    if less is not None:
        return found
    # a jackknife knows no bounds: nothing here is below 0, and shares end at 1
    most = np.inf if measure in (brier, nats) else 1.0
    return Interval(found.value, max(found.low, 0.0), min(found.high, most))
