"""Held-out pictures, damaged, and how near a method comes to what they were.

The damage of a picture is drawn by its number in the test split and by nothing else, so all methods, runs and programs
are given the same floats. Errors are of outputs cut to [0, 1], as any screen does; what was given is told as it is.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.core import example_keys, size
from genjax.corruptions import Corruption, damaged
from genjax.fields import to_float
from genjax.findings.steering import members
from genjax.metrics.images import ssim
from genjax.metrics.intervals import Interval, by_group

NOISE = 0xF1005  # the seed of all damage: no run's, so that figures of other programs are of the same noise
LEAST = 1e-10  # squared error told as 100 dB: a picture that is the same has no end of them


class Crops(NamedTuple):
    """Held-out pictures as a model sees them."""

    image: np.ndarray  # float32 [N, H, W, C] in [0, 1]
    index: np.ndarray  # uint32 [N], numbers in the test split
    group: np.ndarray  # int [N], of what scene; a number each where none is told


class Seen(NamedTuple):
    """The same, damaged."""

    x: np.ndarray  # float32 [N, H, W, C]
    level: np.ndarray  # [N, k]
    known: np.ndarray | None  # [N, H, W, 1]


class Made(NamedTuple):
    """What a method makes of them, or what is known of it."""

    psnr: np.ndarray  # dB, [N]
    ssim: np.ndarray  # [N]
    lost: np.ndarray | None = None  # dB of the pixels that were lost, [N]
    apart: np.ndarray | None = None  # of the judge's features, [N]
    seconds: float | None = None  # a megapixel
    images: np.ndarray | None = None  # [N, H, W, C], cut to [0, 1]


# (seen [H, W, C], level [k], known [H, W, 1] or None) -> [H, W, C]
Method = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]


def still(views: Sequence[Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """A split as evaluation sees it through views."""
    seen = dict(arrays)
    for view in views:
        seen = view.still(seen)
    return seen


def evenly(most: int, total: int) -> np.ndarray:
    """`most` of `total` rows, or all, evenly from the first to the last: int [n]."""
    n = min(most, total)
    places = np.linspace(0, total - 1, n)
    return places.round().astype(int)


def crops(source: Any, views: Sequence[Any], most: int, group: str = "") -> Crops:
    """`most` test pictures, or all, evenly over the split, where tiles lie scene by scene."""
    test = source.test
    rows = evenly(most, size(test))
    # a head of the split would be of few scenes
    stored = np.asarray(test[source.main][rows])
    image = still(views, {source.main: stored})[source.main]
    unit = np.asarray(to_float(image))
    groups = rows
    if group in test:
        groups = np.asarray(test[group][rows])
    index = rows.astype(np.uint32)
    return Crops(unit, index, groups)


def spoilt(damage: Sequence[Corruption], of: Crops) -> Seen:
    """The pictures with damage by their numbers in the split: the same whatever else is drawn, and in what order."""
    key = jax.random.key(NOISE)
    keys = example_keys(key, of.index)
    draw = functools.partial(damaged, tuple(damage))
    found = jax.jit(draw)(keys, of.image)
    found = jax.tree.map(np.asarray, found)
    return Seen(found.x, found.level, found.known)


def decibels(error: np.ndarray) -> np.ndarray:
    """-10 log10 of squared errors, at most 100."""
    told = np.maximum(error, LEAST)
    return -10.0 * np.log10(told)


def window(shape: tuple[int, ...]) -> int:
    """The side of SSIM's window: 11, or the largest odd one that fits."""
    least = min(shape[:2])
    odd = least - 1 + least % 2
    return min(11, odd)


def measured(images: np.ndarray, clean: np.ndarray, known: np.ndarray | None) -> Made:
    """Pictures [N, H, W, C] against the clean ones."""
    difference = np.float64(images) - clean
    square = np.square(difference)
    mean = square.mean((1, 2, 3))
    side = window(clean.shape[1:])
    alike = ssim(images, clean, side)
    lost = None
    if known is not None:
        lost = of_lost(square, known)
    return Made(decibels(mean), alike, lost, images=images)


def of_lost(square: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Decibels of squared errors [N, H, W, C] where pixels are lost, [N]; NaN of a picture that has lost none."""
    gone = 1.0 - known  # [N, H, W, 1]
    of_gone = square * gone
    total = np.sum(of_gone, (1, 2, 3))
    pixels = np.sum(gone, (1, 2, 3))
    values = pixels * square.shape[-1]
    # a drawn hole may be of no pixel, and 100 dB for it would be in the mean of all
    some = np.where(values > 0, values, np.nan)
    return decibels(total / some)


def worked(method: Method, seen: Seen, clean: np.ndarray) -> Made:
    """A method on one picture after the other, with the time it takes."""
    made = []
    start = time.perf_counter()
    for i, x in enumerate(seen.x):
        known = None
        if seen.known is not None:
            known = seen.known[i]
        level = seen.level[i]
        restored = method(x, level, known)
        cut = np.clip(restored, 0.0, 1.0)
        made.append(cut)
    seconds = time.perf_counter() - start
    images = np.stack(made).astype(np.float32)
    megapixels = clean[..., 0].size / 1e6
    found = measured(images, clean, seen.known)
    return found._replace(seconds=seconds / megapixels)


def over_groups(values: np.ndarray, groups: np.ndarray) -> Interval:
    """The mean of values [N], with an interval over the draw of the scenes; NaN of a single scene."""
    of_group = members(groups)

    def mean(rows: np.ndarray) -> float:
        return float(np.mean(values[rows]))

    if len(of_group) < 2:
        whole = float(np.mean(values))
        return Interval(whole, np.nan, np.nan)
    return by_group(mean, of_group)
