"""Bytes of pictures by the general codecs, which a model's must be fewer than: PNG, WebP without loss, xz."""

from __future__ import annotations

import io
import lzma

import numpy as np

from genjax.pictures.draw import grid

# each at its slowest: who compares with them should not be flattered
SLOWEST = {
    "PNG": {"optimize": True},
    "WEBP": {"lossless": True, "quality": 100, "method": 6, "exact": True},
}
WIDEST = (1 << 14) - 1  # pixels of a side of a WebP


def size(picture: np.ndarray, form: str, black: bool = False) -> int:
    """Bytes of a file of a picture, uint8 [H, W, C] with one channel or three; black: one bit a pixel, where it can."""
    from PIL import Image

    file = io.BytesIO()
    pixels = picture
    if picture.shape[-1] == 1:  # Pillow knows grey pictures as [H, W] alone
        pixels = picture[..., 0]
    image = Image.fromarray(pixels)
    # WebP has no such pictures
    if black and form == "PNG":
        image = image.convert("1")
    options = SLOWEST[form]
    image.save(file, form, **options)
    return len(file.getvalue())


def xz(x: np.ndarray, black: bool = False) -> int:
    """Bytes of all pictures as one stream by xz -9e; black: of their bits, eight in a byte."""
    slowest = 9 | lzma.PRESET_EXTREME
    values = np.packbits(x > 0) if black else x
    data = values.tobytes()
    return len(lzma.compress(data, preset=slowest))


def sizes(x: np.ndarray, black: bool = False) -> dict[str, int]:
    """Bytes of pictures, uint8 [N, H, W, C]: a file for each, one file of a sheet with all side by side, one stream.

    A file for each pays for its head every time, a sheet lets a codec learn from picture to picture. black: they are
    black (0) and white (255) alone. A sheet too large for WebP is left out.
    """
    # without lines between the pictures, and each pixel once
    sheet = grid(x, pad=0, zoom=1)
    found = {}
    for form in SLOWEST:
        name = form.lower()
        each = [size(picture, form, black) for picture in x]
        found[f"{name}_each"] = sum(each)
        if form == "PNG" or max(sheet.shape) <= WIDEST:
            found[f"{name}_sheet"] = size(sheet, form, black)
    found["xz"] = xz(x, black)
    return found
