"""A matplotlib figure as an array, without pyplot, which keeps global state and looks for a display."""

from __future__ import annotations

from typing import Any

import numpy as np

DPI = 100


def canvas(width: int, height: int, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """(figure, axes [rows, columns]) of `width` x `height` pixels; imported here, for it takes half a second."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.tick_params(labelsize=6)
    return figure, axes


def pixels(figure: Any) -> np.ndarray:
    """The drawn figure, uint8 [height, width, 3]."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def letters() -> str:
    """The file of DejaVu Sans, which matplotlib carries."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
