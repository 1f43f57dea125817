"""Bars with intervals, beside marks of what they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from genjax.pictures import figure as figures

WIDE = 0.8  # of the room of a group that its bars fill
Bar = tuple[float, float, float]  # height and the ends of its interval


def bars(
    series: Mapping[str, Sequence[Bar]],
    names: Sequence[str],
    up: str,
    marks: Mapping[str, Sequence[float]] | None = None,
    top: float = 1.0,
) -> np.ndarray:
    """A group of bars for each name, one of each series with its interval, in shares up to `top`: uint8 [H, W, 3].

    marks: {what: heights} that are drawn as a line across the group of each name. `up` names the axis.
    """
    pixels = max(480, 150 * len(names))
    figure, axes = figures.canvas(pixels, 360)
    plot = axes[0, 0]
    middle = np.arange(len(names))
    width = WIDE / max(len(series), 1)
    left = middle - WIDE / 2
    bottom = 0.0
    for i, (name, own) in enumerate(series.items()):
        numbers = np.array(own, np.float64)
        values, low, high = numbers.T
        bottom = min(bottom, low.min())
        down = values - low
        above = high - values
        # an interval that leaves its value out by rounding has no length there
        ends = np.maximum([down, above], 0.0)
        at = left + (i + 0.5) * width
        style = {"capsize": 2, "edgecolor": "white"}
        plot.bar(at, values, width, yerr=ends, label=name, **style)
    for name, heights in (marks or {}).items():
        style = {"colors": "black", "linestyles": "dashed", "linewidth": 1}
        plot.hlines(heights, middle - 0.5, middle + 0.5, label=name, **style)
    plot.set_xticks(middle, labels=names)
    # a difference of shares may be below 0
    plot.set_ylim(bottom, top)
    plot.set_ylabel(up, fontsize=9)
    plot.tick_params(labelsize=8)
    # above the bars, whatever their height
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    plot.legend(fontsize=7, ncols=3, **place)
    figure.tight_layout()
    return figures.pixels(figure)
