"""Pictures: bytes to floats inside a jitted step, grids and scatter plots for people, PNG files written whole."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError


def to_float(x: jax.Array) -> jax.Array:
    """uint8 in [0, 255] -> float32 in [0, 1]; floats (toy data) pass as float32. For use inside jitted steps."""
    x = jnp.asarray(x)
    scale = 1.0 / 255.0 if jnp.issubdtype(x.dtype, jnp.integer) else 1.0
    return x.astype(jnp.float32) * scale


def signed(image: jax.Array) -> jax.Array:
    """Images [B, H, W, C], uint8 or float in [0, 1] -> float32 in [-1, 1], diffusion's range; points [B, D] pass."""
    x = to_float(image)
    return 2.0 * x - 1.0 if x.ndim == 4 else x


def unsigned(x: jax.Array) -> jax.Array:
    """The inverse of `signed` for floats: images [B, H, W, C] in [-1, 1] -> [0, 1]; points [B, D] pass."""
    return 0.5 * (x + 1.0) if x.ndim == 4 else x


def to_uint8(x: Any) -> np.ndarray:
    """Floats in [0, 1] -> bytes, rounded and clipped, NaN as 0 (a diverged model must still draw); bytes pass."""
    x = np.asarray(x)
    if x.dtype == np.uint8:
        return x
    return np.rint(np.clip(np.nan_to_num(x.astype(np.float32)), 0.0, 1.0) * 255.0).astype(np.uint8)


def grid(
    images: Any, columns: int | None = None, pad: int = 1, zoom: int | None = None
) -> np.ndarray:
    """Images [B, H, W, C], float in [0, 1] or uint8 -> one uint8 picture [H', W', C], row by row, near square.

    `pad` black pixels lie between the tiles; the last row is filled up with black. A pixel becomes zoom x zoom ones;
    None = the least that makes tiles 32 pixels wide, so that people can see 8x8 images.
    """
    tiles = to_uint8(images)
    zoom = math.ceil(32 / tiles.shape[2]) if zoom is None else zoom
    tiles = tiles.repeat(zoom, 1).repeat(zoom, 2)
    b, h, w, c = tiles.shape
    columns = columns or math.ceil(math.sqrt(b))
    rows = math.ceil(b / columns)
    canvas = np.zeros((rows * columns, h + pad, w + pad, c), np.uint8)
    canvas[:b, :h, :w] = tiles
    canvas = canvas.reshape(rows, columns, h + pad, w + pad, c).swapaxes(1, 2)
    canvas = canvas.reshape(rows * (h + pad), columns * (w + pad), c)
    return canvas[: canvas.shape[0] - pad, : canvas.shape[1] - pad]


def scatter(
    points: Any, limit: float | None = None, colours: Any = None, side: int = 320
) -> np.ndarray:
    """Points of the plane [B, 2] -> a uint8 picture [side, side, 3].

    The axes run over [-limit, limit]², by default as far as the points; `colours` [B] are labels or numbers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second: only for who draws
    from matplotlib.figure import Figure

    points = np.nan_to_num(np.asarray(points, np.float32))
    limit = limit or 1.05 * max(float(np.abs(points).max(initial=0.0)), 1e-3)
    figure = Figure(figsize=(side / 100, side / 100), dpi=100)  # no pyplot: it keeps global state
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (0.1, 0.1, 0.87, 0.87), xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal"
    )
    axes.tick_params(labelsize=6)
    axes.scatter(
        *points.T, s=2.0, c=colours, cmap=None if colours is None else "tab10", linewidths=0
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_png(path: str | Path, picture: np.ndarray) -> Path:
    """Writes a uint8 picture [H, W], [H, W, 1] or [H, W, 3] to `path`, whole or not at all; returns the path."""
    from PIL import Image

    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    picture = picture[..., 0] if picture.shape[2:] == (1,) else picture
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(partial, format="PNG")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise UserError(
            f"cannot write the picture {path} ({error.strerror}): free or choose another place."
        ) from error
    return path
