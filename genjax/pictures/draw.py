"""Arrays as pictures for people: grids, scatter plots, curves, PNG files written whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.machine.files import whole
from genjax.pictures import figure as figures


def to_uint8(x: Any) -> np.ndarray:
    """Floats in [0, 1] -> bytes, rounded and clipped, NaN as 0 (a diverged model must still draw); bytes pass."""
    x = np.asarray(x)
    if x.dtype == np.uint8:
        return x
    finite = np.nan_to_num(x.astype(np.float32))
    unit = np.clip(finite, 0.0, 1.0)
    # rounded, not cut off: cutting would darken every picture by half a grey level
    levels = np.rint(unit * 255.0)
    return levels.astype(np.uint8)


def grid(
    images: Any, columns: int | None = None, pad: int = 1, zoom: int | None = None
) -> np.ndarray:
    """Images [B, H, W, C], float in [0, 1] or uint8 -> one uint8 picture [H', W', C], row by row, near square.

    `pad` black pixels lie between the tiles; the last row is filled up with black. A pixel becomes zoom x zoom ones;
    None = the least that makes tiles 32 pixels wide, so that people can see 8x8 images.
    """
    tiles = to_uint8(images)
    if zoom is None:
        zoom = math.ceil(32 / tiles.shape[2])
    tiles = tiles.repeat(zoom, 1)
    tiles = tiles.repeat(zoom, 2)
    b, h, w, c = tiles.shape
    if not columns:
        columns = math.ceil(math.sqrt(b))
    rows = math.ceil(b / columns)
    # each tile with its padding below and to the right
    high, wide = h + pad, w + pad
    canvas = np.zeros((rows * columns, high, wide, c), np.uint8)
    canvas[:b, :h, :w] = tiles
    canvas = canvas.reshape(rows, columns, high, wide, c)
    canvas = canvas.swapaxes(1, 2)  # [rows, high, columns, wide, C]
    canvas = canvas.reshape(rows * high, columns * wide, c)
    # the last padding has no neighbour; not [:-pad], which is empty where pad is 0
    bottom, right = rows * high - pad, columns * wide - pad
    return canvas[:bottom, :right]


def captioned(picture: np.ndarray, rows: Sequence[str], size: int = 14) -> np.ndarray:
    """A picture [H, W, C] of len(rows) rows of equal height, with each row's name to its left: uint8 [H, W', C].

    size: of the letters [pixels], smaller where a row is lower than that.
    """
    from PIL import Image, ImageDraw, ImageFont

    high = picture.shape[0] // len(rows)
    font = ImageFont.load_default(min(size, max(high - 2, 6)))
    margin = math.ceil(max(font.getlength(name) for name in rows)) + 8
    canvas = Image.new("RGB", (margin, picture.shape[0]), "white")
    pen = ImageDraw.Draw(canvas)
    for i, name in enumerate(rows):
        middle = (i + 0.5) * picture.shape[0] / len(rows)
        pen.text(
            (4, middle), name, "black", font, anchor="lm"
        )  # from the left, at half its height
    names = np.asarray(canvas)
    colour = np.broadcast_to(picture, (*picture.shape[:2], 3))  # grey is as wide
    return np.concatenate([names, colour], 1)


def told(
    images: Any, sentences: Sequence[str], columns: int = 4, side: int = 48, wide: int = 150
) -> np.ndarray:
    """Images [N, H, W, C], float in [0, 1] or uint8, each with its sentence to the right: uint8 [H', W', 3].

    An image is made about `side` pixels high, and a sentence is broken at `wide` pixels. Letters are DejaVu Sans's:
    Latin, Greek, Cyrillic, Arabic; what is written from the right is drawn so. ValueError unless each image has one.
    """
    from PIL import Image, ImageDraw, ImageFont

    zoom = max(1, round(side / np.shape(images)[1]))
    tiles = to_uint8(images).repeat(zoom, 1).repeat(zoom, 2)
    h, w = tiles.shape[1:3]
    font = ImageFont.truetype(figures.letters(), 11)
    broken = [_broken(sentence, font, wide) for sentence in sentences]
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    heights = [ruler.multiline_textbbox((0, 0), lines, font)[3] for lines in broken]
    # of a picture with its sentence, whichever is higher
    high, across = 4 + math.ceil(max(h, *heights)), w + wide + 12
    rows = math.ceil(len(tiles) / columns)
    canvas = Image.new("RGB", (columns * across, rows * high), "white")
    pen = ImageDraw.Draw(canvas)
    for i, (tile, lines) in enumerate(zip(tiles, broken, strict=True)):
        row, column = divmod(i, columns)
        left, top = column * across, row * high
        colour = np.broadcast_to(tile, (h, w, 3))  # grey is as wide
        canvas.paste(Image.fromarray(colour), (left, top))
        middle = top + (high - 4) / 2
        pen.multiline_text((left + w + 6, middle), lines, "black", font, anchor="lm")
    return np.asarray(canvas)


def _broken(sentence: str, font: Any, wide: int) -> str:
    """A sentence in lines of at most so many pixels, but for longer words."""
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= wide or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def scatter(
    points: Any, limit: float | None = None, colours: Any = None, side: int = 320
) -> np.ndarray:
    """Points of the plane [B, 2] -> a uint8 picture [side, side, 3].

    The axes run over [-limit, limit]², by default as far as the points; `colours` [B] are labels or numbers.
    """
    points = np.asarray(points, np.float32)
    points = np.nan_to_num(points)  # a diverged model must still draw
    if not limit:
        furthest = float(np.abs(points).max(initial=0.0))
        limit = 1.05 * max(furthest, 1e-3)  # not 0: axes need a length
    figure, axes = figures.canvas(side, side)
    plot = axes[0, 0]
    span = (-limit, limit)
    plot.set(xlim=span, ylim=span, aspect="equal")
    # room for the numbers at the axes, to the left and below
    plot.set_position((0.1, 0.1, 0.87, 0.87))
    colour_map = None if colours is None else "tab10"
    plot.scatter(*points.T, s=2.0, c=colours, cmap=colour_map, linewidths=0)
    return figures.pixels(figure)


def curves(series: Any, columns: int = 3, side: int = 200) -> np.ndarray:
    """Examples [B, T, C] over time, each in a frame of its own with one line a channel: uint8 [H', W', 3]."""
    series = np.asarray(series, np.float32)
    series = np.nan_to_num(series)  # as in `scatter`
    columns = min(columns, len(series))
    rows = math.ceil(len(series) / columns)
    width, height = columns * side, rows * side // 2
    figure, axes = figures.canvas(width, height, rows, columns)
    # not strict: the last row may have more frames than examples
    for plot, example in zip(axes.flat, series, strict=False):
        plot.plot(example, linewidth=0.8)
    return figures.pixels(figure)


def animation(path: str | Path, frames: np.ndarray, seconds: float = 0.08) -> Path:
    """Writes frames [T, H, W, 1 or 3], uint8 or float in [0, 1], to `path` as an endless GIF; returns the path.

    Whole or not at all. Every frame has its own 256 colours; equal frames in a row become one that stays longer. Raises
    UserError for frames of another shape and for a place that cannot be written.
    """
    from PIL import Image

    path, frames = Path(path), to_uint8(frames)
    some = frames.ndim == 4 and len(frames) > 0
    if not some or frames.shape[-1] not in (1, 3):
        raise UserError(
            f"an animation needs frames [T, H, W, 1 or 3], got an array of {frames.shape}."
        )
    if frames.shape[-1] == 1:
        images = [Image.fromarray(frame[..., 0]) for frame in frames]
    else:
        still = Image.Dither.NONE  # dots would dance from frame to frame
        images = [Image.fromarray(frame).quantize(256, dither=still) for frame in frames]
    first, *others = images
    milliseconds = round(1000 * seconds)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            first.save(
                partial,
                format="GIF",
                save_all=True,
                append_images=others,
                duration=milliseconds,
                loop=0,  # for ever
            )
    except OSError as error:
        raise UserError(
            f"cannot write the animation {path} ({error.strerror}): free or choose another place."
        ) from error
    return path


def save_png(path: str | Path, picture: np.ndarray) -> Path:
    """Writes a uint8 picture [H, W], [H, W, 1] or [H, W, 3] to `path`, whole or not at all; returns the path."""
    from PIL import Image

    path = Path(path)
    if picture.shape[2:] == (1,):  # PIL knows grey pictures as [H, W] alone
        picture = picture[..., 0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            Image.fromarray(picture).save(partial, format="PNG")
    except OSError as error:
        raise UserError(
            f"cannot write the picture {path} ({error.strerror}): free or choose another place."
        ) from error
    return path
