"""Tables of shares as colours, and panels of curves over one another, as uint8 pictures."""

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
) -> np.ndarray:
    """A panel for each {title: {name: {x: y}}} with one legend; `up` names what is drawn upwards, from end to end."""
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
        plot.set_ylabel(up, fontsize=7)
        plot.grid(True, linewidth=0.3)
        if ends is not None:
            plot.set_ylim(*ends)
    # all panels have the same names
    axes.flat[0].legend(fontsize=5)
    figure.tight_layout()
    return figures.pixels(figure)
