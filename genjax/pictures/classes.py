"""Masks for people: a fixed colour for each class, a legend, and files whose numbers are the classes.

Class 0 is black. The others go round the circle of hues by the golden section, which keeps any few neighbours in number
far apart, and every second one is darker.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genjax.errors import UserError
from genjax.machine.files import whole

MOST = 256  # classes that a byte can tell
GOLDEN = 0.6180339887498949  # of the circle from one hue to the next
LINE = 20  # height of a line of letters [pixels]
LETTERS = 13  # their size


def palette(classes: int = MOST) -> np.ndarray:
    """The colour of each class, uint8 [classes, 3], whatever their number."""
    colours = [(0, 0, 0)]
    for k in range(1, MOST):
        turn = k * GOLDEN
        hue = turn % 1.0
        # light and dark in turn: after some classes hues come near each other again
        bright = 1.0 if k % 2 else 0.65
        shade = colorsys.hsv_to_rgb(hue, 0.8, bright)
        levels = [round(255 * each) for each in shade]
        colours.append(tuple(levels))
    return np.array(colours[:classes], np.uint8)


def coloured(masks: np.ndarray) -> np.ndarray:
    """Masks [..., H, W] as pictures, uint8 [..., H, W, 3]."""
    colours = palette()
    return colours[masks]


def mistakes(images: np.ndarray, taken: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pictures [N, H, W, C] in [0, 1] in dark grey, red where masks [N, H, W] differ: float [N, H, W, 3]."""
    grey = images.mean(-1, keepdims=True)
    # half as bright, so that the red is seen on light skin too
    dark = np.repeat(0.5 * grey, 3, -1)
    wrong = taken != truth
    red = np.array([1.0, 0.1, 0.1])
    return np.where(wrong[..., None], red, dark)


def legend(names: Sequence[str], width: int) -> np.ndarray:
    """The classes' names beside their colours, in as many lines as it takes: uint8 [H, width, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(LETTERS)
    lefts = []
    tops = []
    x, y = 4, 2
    # twice over the names: how high the strip must be shows at the end of the first
    for name in names:
        letters = int(font.getlength(name))
        wide = LINE + letters + 8
        # a name that does not fit begins a line, unless it is the first of one
        if x + wide > width and x > 4:
            x = 4
            y = y + LINE
        lefts.append(x)
        tops.append(y)
        x = x + wide
    high = y + LINE + 2
    canvas = Image.new("RGB", (width, high), "white")
    pen = ImageDraw.Draw(canvas)
    colours = palette(len(names)).tolist()
    for name, left, top, colour in zip(names, lefts, tops, colours, strict=True):
        box = (left, top + 3, left + 14, top + 17)
        # with a border: some colour is that of the paper
        pen.rectangle(box, tuple(colour), "grey")
        middle = (left + LINE, top + LINE // 2)
        pen.text(middle, name, "black", font, anchor="lm")
    return np.asarray(canvas)


def headed(picture: np.ndarray, titles: Sequence[str]) -> np.ndarray:
    """A picture [H, W, 3] of len(titles) columns of equal width, with their titles above: uint8 [H', W, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    width = picture.shape[1]
    font = ImageFont.load_default(LETTERS)
    canvas = Image.new("RGB", (width, LINE), "white")
    pen = ImageDraw.Draw(canvas)
    column = width / len(titles)
    for i, title in enumerate(titles):
        middle = (i + 0.5) * column
        place = (middle, LINE // 2)
        pen.text(place, title, "black", font, anchor="mm")
    strip = np.asarray(canvas)
    return np.concatenate([strip, picture])


def save_mask(path: Path, mask: np.ndarray) -> Path:
    """Writes classes uint8 [H, W] as a PNG of a palette, whole or not at all; returns the path.

    The file's numbers are the classes, as `data.Masks` reads them, and people see the colours. UserError for a place
    that cannot be written.
    """
    from PIL import Image

    image = Image.fromarray(mask)
    # numbers stay as they are: a palette alone makes of grey values classes
    image.putpalette(palette().tobytes())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            image.save(partial, format="PNG")
    except OSError as error:
        raise UserError(
            f"cannot write the mask {path} ({error.strerror}): free or choose another place."
        ) from error
    return path
