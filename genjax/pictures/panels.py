"""Panels side by side: points of the plane coloured by class, and curves on logarithmic axes, as uint8 pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genjax.pictures import figure as figures

SIDE = 330  # of a panel [pixels]
LEGEND = 36  # of a line of the legend
COLUMNS = 3
IN_A_LINE = 5  # names of the legend
LARGE = 6.0  # width of a dot in the legend [points]
MARKS = "os^Dvx*P"


def maps(
    points: Mapping[str, np.ndarray],
    labels: np.ndarray,
    names: Sequence[str],
) -> np.ndarray:
    """A panel for each {title: points [N, 2]}, coloured by labels [N], with one legend of the classes' names below."""
    columns = min(COLUMNS, len(points))
    rows = math.ceil(len(points) / columns)
    lines = math.ceil(len(names) / IN_A_LINE)
    below = LEGEND * lines
    width = SIDE * columns
    height = SIDE * rows + below
    figure, axes = figures.canvas(width, height, rows, columns)
    colours = _colours(len(names))
    # a few are seen, and many do not hide one another
    area = float(np.clip(6000 / len(labels), 2.0, 20.0))
    # places in a map have no unit
    for plot in axes.flat:
        plot.set_axis_off()
    # not strict: the last row may have more panels than maps
    for plot, title in zip(axes.flat, points, strict=False):
        plot.set_title(title, fontsize=9)
        for c, name in enumerate(names):
            own = points[title][labels == c]
            dots = {"s": area, "linewidths": 0}
            plot.scatter(*own.T, color=colours[c], label=name, **dots)
    # all panels have the same classes
    first = axes.flat[0]
    told = first.get_legend_handles_labels()
    style = {
        "loc": "lower center",
        "ncols": IN_A_LINE,
        "fontsize": 8,
        "markerscale": LARGE / math.sqrt(area),
        "frameon": False,
    }
    figure.legend(*told, **style)
    share = below / height
    figure.tight_layout(rect=(0.0, share, 1.0, 1.0))
    return figures.pixels(figure)


def _colours(n: int) -> Any:
    """n colours, [n, 4]: ten that are told apart easily, more of them from a wheel."""
    from matplotlib import colormaps

    if n <= 10:
        return colormaps["tab10"](np.arange(n))
    return colormaps["hsv"](np.arange(n) / n)


def curves(
    lines: Mapping[str, Mapping[float, float]],
    across: str,
    up: str,
) -> np.ndarray:
    """A curve for each {name: {x: y}} on logarithmic axes, its points marked; `across` and `up` name the axes."""
    figure, axes = figures.canvas(640, 420)
    plot = axes[0, 0]
    for i, (name, line) in enumerate(lines.items()):
        x = list(line)
        y = list(line.values())
        # marks too, for who does not see colours
        mark = MARKS[i % len(MARKS)]
        style = {"markersize": 4, "linewidth": 1}
        plot.plot(x, y, marker=mark, label=name, **style)
    # sizes are doubled, and stand there as they are
    plot.set_xscale("log", base=2)
    plot.set_yscale("log")
    places = sorted({x for line in lines.values() for x in line})
    plot.set_xticks(places, labels=[f"{place:g}" for place in places])
    plot.tick_params(which="both", labelsize=7)
    plot.set_xlabel(across, fontsize=9)
    plot.set_ylabel(up, fontsize=9)
    plot.grid(True, which="both", linewidth=0.3)
    plot.legend(fontsize=8)
    figure.tight_layout()
    return figures.pixels(figure)
