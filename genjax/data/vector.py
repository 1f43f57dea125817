"""Pictures drawn from SVG, by resvg-py: an optional package, which is asked for where something is drawn.

A set that is in the cache is read without it. Fonts of the machine are not looked at, so that the pixels are the same
everywhere.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import numpy as np

from genjax.errors import UserError

_SEEN = 8  # alpha, of 255, from which a pixel is a part of the figure
_COARSE = 72  # pixels of the picture in which the figure is looked for
# what may name a file, whatever its element or prefix is called: <feImage> and <x:image> do too
_OUTSIDE = re.compile(r"<image|href\s*=\s*(?![\"']#)")


class Box(NamedTuple):
    """A square part of the plane in which an SVG is drawn, in its own units."""

    left: float
    top: float
    side: float


def svg(body: str, box: Box) -> str:
    """The elements `body` as a document that shows `box`; UserError for elements that would read a file."""
    # of what a picture can name, files of this machine too, none is needed but its own elements
    found = _OUTSIDE.search(body)
    if found:
        shown = ascii(body[found.start() :][:40])
        raise UserError(
            f"an SVG holds {shown}, which may read any file of this machine: it is not drawn."
        )
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    shown = f"{box.left:g} {box.top:g} {box.side:g} {box.side:g}"
    return f'<svg {spaces} viewBox="{shown}">{body}</svg>'


def draw(text: str, size: int) -> np.ndarray:
    """An SVG of a square as pixels, uint8 [size, size, 4] with alpha.

    UserError where resvg-py is not installed, and for what it cannot read.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise UserError(
            "to draw SVG needs resvg-py, which is not installed: pip install resvg-py."
        ) from error
    from PIL import Image

    try:
        drawn = resvg_py.svg_to_bytes(
            svg_string=text, width=size, height=size, skip_system_fonts=True
        )
    except ValueError as error:
        raise UserError(
            f"an SVG cannot be drawn ({error}): get the package that holds it again."
        ) from error
    with Image.open(io.BytesIO(bytes(drawn)), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGBA"))


def close_up(body: str, box: Box, least: float) -> Box:
    """The square about the middle of what is drawn; no smaller than a share `least` of the box.

    Without that bound a dot would be drawn as large as a disc.
    """
    alpha = draw(svg(body, box), _COARSE)[..., 3]
    rows, columns = np.nonzero(alpha >= _SEEN)
    if not len(rows):  # nothing is drawn
        return box
    # a pixel more on each side, for what the coarse picture rounds away
    low = np.array([columns.min(), rows.min()]) - 1.0
    high = np.array([columns.max(), rows.max()]) + 2.0
    side = max(float(np.max(high - low)), least * _COARSE)
    left, top = (low + high - side) / 2
    unit = box.side / _COARSE
    return Box(box.left + unit * float(left), box.top + unit * float(top), unit * side)


def laid_over(rgba: np.ndarray, background: tuple[int, ...]) -> np.ndarray:
    """A picture uint8 [H, W, 4] over a colour, uint8 [H, W, 3]."""
    colour = rgba[..., :3].astype(np.int32)
    alpha = rgba[..., 3:].astype(np.int32)
    behind = np.asarray(background, np.int32)
    mixed = colour * alpha + behind * (255 - alpha)
    # whole numbers, rounded: the same on every machine
    return ((mixed + 127) // 255).astype(np.uint8)
