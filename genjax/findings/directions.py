"""Directions of codes along which one thing changes, and what pictures moved along them are worth beside the truth."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import numpy as np

from genjax.findings.knobs import Knob
from genjax.findings.latents import Facts, Values
from genjax.metrics.intervals import Interval, bootstrap

PEAK = 255.0
LEAST = 1e-10  # of a mean square whose logarithm is taken: 100 dB


@dataclasses.dataclass(frozen=True)
class Means:
    """The codes' means of the higher and the lower half of a knob, divided by how far these lie apart in its unit."""

    name: ClassVar[str] = "means"

    def __call__(
        self,
        codes: np.ndarray,
        values: np.ndarray,
        of: int,
    ) -> np.ndarray:
        """The change of codes [N, D] for one unit of knob number `of`, of values [N, K]: [D]."""
        value = values[:, of]
        high = value > np.median(value)
        if high.all() or not high.any():
            # more than half are at one end, as of a smile
            high = value > value.mean()
        low = ~high
        apart = value[high].mean() - value[low].mean()
        difference = codes[high].mean(0) - codes[low].mean(0)
        return difference / apart


@dataclasses.dataclass(frozen=True)
class Regression:
    """Least squares of the codes on all knobs at once: none answers for another that goes with it in the data."""

    name: ClassVar[str] = "regression"

    def __call__(
        self,
        codes: np.ndarray,
        values: np.ndarray,
        of: int,
    ) -> np.ndarray:
        """As `Means`."""
        ones = np.ones((len(values), 1))
        design = np.concatenate([values, ones], 1)
        solution, *_ = np.linalg.lstsq(design, codes, rcond=None)
        return solution[of]


Direction = Means | Regression


class Truth(NamedTuple):
    """Test pictures with a knob turned to J places, by the renderer."""

    images: np.ndarray  # uint8 [J, M, H, W, C]
    head: np.ndarray  # bool [J, M, H, W]: pixels that are no background
    read: Values  # what a reader says of them, name -> [J, M]


class Effect(NamedTuple):
    """What pictures are worth that should show a knob turned."""

    error: Interval  # mean |read - wanted|, in the knob's unit, over people
    slope: float  # of what is read on what is wanted: 1 = as asked, 0 = nothing
    psnr: Interval  # towards the renderer's own pictures, pixels of the head [dB]
    # what else is read, by name: how far from what is read of the renderer's own, in deviations of real pictures
    leaks: dict[str, float]

    @property
    def leak(self) -> float:
        """The mean over what else is read."""
        return float(np.mean(list(self.leaks.values())))


def effect(
    images: np.ndarray,
    knob: Knob,
    truth: Truth,
    facts: Facts,
    spread: Values,
) -> Effect:
    """Of pictures [J, M, H, W, C] in [0, 1] that stand for the truth's; spread: of each thing read of real pictures."""
    read = said(images, facts)
    off = misses(read[knob.name], knob)
    squares = []
    for j, shown in enumerate(images):
        near = square(shown, truth.images[j], truth.head[j])
        squares.append(near)
    # over places first: one of them may be where the knob was, where nothing is to be done
    decibels = psnr(np.mean(squares, 0))
    leaks = {}
    for name, value in read.items():
        # the knob itself should change
        if name == knob.name:
            continue
        apart = np.abs(value - truth.read[name])
        unit = max(spread[name], LEAST)
        leaks[name] = float(apart.mean() / unit)
    return Effect(
        error=over_people(off),
        slope=slope(read[knob.name], knob),
        psnr=over_people(decibels),
        leaks=leaks,
    )


def said(images: np.ndarray, facts: Facts) -> Values:
    """What is read of pictures [J, M, H, W, C], bytes or floats in [0, 1]: name -> [J, M]."""
    j, m, *shape = images.shape
    flat = images.reshape(j * m, *shape)
    values = facts.said(flat)
    found = {}
    for name, value in values.items():
        found[name] = np.asarray(value).reshape(j, m)
    return found


def wanted(knob: Knob) -> np.ndarray:
    """What should be read at each place of a knob, [J, 1]."""
    values = [knob.wanted(to) for to in knob.to]
    return np.array(values)[:, None]


def misses(read: np.ndarray, knob: Knob) -> np.ndarray:
    """Mean |read - wanted| over places, [M], of what is read [J, M]."""
    apart = np.abs(read - wanted(knob))
    return apart.mean(0)


def slope(read: np.ndarray, knob: Knob) -> float:
    """The slope of what is read [J, M] on what is wanted, the mean over people."""
    asked = wanted(knob)
    # of the places, each as often
    centred = asked - asked.mean()
    # within each person: what differs between people is no slope
    along = np.sum(centred * read, 0)
    total = np.sum(centred**2)
    return float(along.mean() / total)


def square(
    images: np.ndarray,
    truth: np.ndarray,
    where: np.ndarray,
) -> np.ndarray:
    """Mean squares [M] between pictures [M, H, W, C] in [0, 1] and uint8 ones, over pixels [M, H, W]."""
    difference = images - truth / PEAK
    of_pixel = np.mean(difference**2, -1)
    counted = np.sum(of_pixel * where, (1, 2))
    # a picture without a head has no error
    pixels = np.maximum(where.sum((1, 2)), 1)
    return counted / pixels


def psnr(squares: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratios in dB of mean squares, the peak at 1."""
    mse = np.maximum(squares, LEAST)
    return -10.0 * np.log10(mse)


def over_people(values: np.ndarray) -> Interval:
    """The mean of values [M], a person each, with a bootstrap's interval."""

    def mean(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    return bootstrap(mean, len(values), 500)


def largest_step(seen: np.ndarray, facts: Facts) -> np.ndarray:
    """The largest step of paths [J, M, H, W, C] in the reader's features, in mean steps: 1 = even; [M]."""
    j, m, *shape = seen.shape
    flat = seen.reshape(j * m, *shape)
    features = np.asarray(facts.read(flat).features)
    places = features.reshape(j, m, -1)
    steps = np.diff(places, axis=0)
    length = np.linalg.norm(steps, axis=-1)  # [J - 1, M]
    mean = np.maximum(length.mean(0), LEAST)
    return length.max(0) / mean
