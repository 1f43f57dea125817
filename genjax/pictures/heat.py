"""Tables of shares and planes of frequencies as colours, and panels of curves, as uint8 pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genjax.pictures import figure as figures

CELL = 34  # of a cell [pixels]
MARGIN = 120  # for the names of rows and columns
COLUMNS = 2
PANEL = (380, 280)  # width and height [pixels]
TILE = 200  # of a map [pixels]
TILES = 4  # in a row
MARKS = "os^Dvx*P"


def heat(
    tables: Mapping[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    across: str,
    up: str,
    low: float = 0.5,
) -> np.ndarray:
    """A panel for each {title: shares [rows, columns]}, dark = `low` or less, bright = 1; hundredths in each cell."""
    n = min(COLUMNS, len(tables))
    high = math.ceil(len(tables) / n)
    width = n * (MARGIN + CELL * len(columns))
    height = high * (MARGIN + CELL * len(rows))
    figure, axes = figures.canvas(width, height, high, n)
    for plot in axes.flat[len(tables) :]:
        plot.set_axis_off()
    # not strict: the last row may have more panels than tables
    for plot, (title, shares) in zip(axes.flat, tables.items(), strict=False):
        plot.imshow(shares, vmin=low, vmax=1.0, cmap="viridis", aspect="auto")
        plot.set_xticks(range(len(columns)), labels=columns, rotation=45, ha="right")
        plot.set_yticks(range(len(rows)), labels=rows)
        plot.set_title(title, fontsize=8)
        plot.set_xlabel(across, fontsize=7)
        plot.set_ylabel(up, fontsize=7)
        for (i, j), share in np.ndenumerate(shares):
            # on dark cells white is read, on bright ones black
            bright = share > (1.0 + low) / 2
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6}
            plot.text(j, i, f"{100 * share:.0f}", color="k" if bright else "w", **style)
    figure.tight_layout()
    return figures.pixels(figure)


def lines(
    panels: Mapping[str, Mapping[str, Mapping[float, float]]],
    up: str,
    ends: tuple[float, float] | None = None,
    across: str = "",
) -> np.ndarray:
    """A panel for each {title: {name: {x: y}}} with one legend; `up` names what is drawn upwards, from end to end.

    across: names the other axis, where it is one for all panels.
    """
    n = min(COLUMNS, len(panels))
    high = math.ceil(len(panels) / n)
    figure, axes = figures.canvas(n * PANEL[0], high * PANEL[1], high, n)
    for plot in axes.flat[len(panels) :]:
        plot.set_axis_off()
    for plot, (title, curves) in zip(axes.flat, panels.items(), strict=False):
        for i, (name, curve) in enumerate(curves.items()):
            # marks too, for who does not see colours
            style: dict[str, Any] = {"markersize": 3, "linewidth": 1}
            mark = MARKS[i % len(MARKS)]
            plot.plot(list(curve), list(curve.values()), marker=mark, label=name, **style)
        plot.set_title(title, fontsize=8)
        plot.set_xlabel(across, fontsize=7)
        plot.set_ylabel(up, fontsize=7)
        plot.grid(True, linewidth=0.3)
        if ends is not None:
            plot.set_ylim(*ends)
    # all panels have the same names
    axes.flat[0].legend(fontsize=5)
    figure.tight_layout()
    return figures.pixels(figure)


def centred(
    maps: Mapping[str, np.ndarray],
    across: str,
    down: str,
    unit: str,
    reach: float,
    marks: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> np.ndarray:
    """A tile for each {title: numbers [H, W]} about 0 in the middle: white = 0, red above, blue below, one scale.

    `across` and `down` name the axes and `unit` the numbers; those beyond `reach` have the colour of its end.
    marks: {title: [(down, across)]}, places that get a circle.
    """
    n = min(TILES, len(maps))
    high = math.ceil(len(maps) / n)
    figure, axes = figures.canvas((n + 1) * TILE, high * TILE + TILE // 4, high, n)
    # makes room for the scale beside all tiles
    figure.set_layout_engine("constrained")
    for plot in axes.flat[len(maps) :]:
        plot.set_axis_off()
    style: dict[str, Any] = {"vmin": -reach, "vmax": reach, "cmap": "RdBu_r"}
    # not strict: the last row may have more tiles than maps
    for plot, (title, numbers) in zip(axes.flat, maps.items(), strict=False):
        height, width = numbers.shape
        # a pixel is centred on its place: the middle one is 0
        top = -(height // 2) - 0.5
        left = -(width // 2) - 0.5
        extent = (left, left + width, top + height, top)
        image = plot.imshow(numbers, extent=extent, interpolation="nearest", **style)
        for y, x in (marks or {}).get(title, ()):
            circle = {"markersize": 9, "markeredgecolor": "k", "markerfacecolor": "none"}
            # at the ends too it is seen whole
            plot.plot(x, y, "o", clip_on=False, **circle)
        plot.set_title(title, fontsize=8)
        plot.set_xlabel(across, fontsize=6)
        plot.set_ylabel(down, fontsize=6)
    scale = figure.colorbar(image, ax=list(axes.flat), extend="both", shrink=0.9)
    scale.set_label(f"{unit}, 0 = white", fontsize=7)
    scale.ax.tick_params(labelsize=6)
    return figures.pixels(figure)
