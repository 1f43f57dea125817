"""Image files as arrays of one size: turned by the EXIF tag, laid over white, brought to 8 bits, scaled and cropped."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data.batches import prefetch
from genjax.data.files import FORMATS
from genjax.data.summary import plain
from genjax.errors import UserError

Size = int | tuple[int, int]
_TRANSPARENT = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


class Unreadable(UserError):
    """A file that is no image, or a broken one: a set may be asked to leave it out."""


def sides(size: Size) -> tuple[int, int]:
    """(height, width) of a size; UserError where it is none."""
    both = np.ravel(size).tolist()  # [64] or [48, 64]
    if len(both) not in (1, 2) or min(both) < 1:
        raise UserError(
            f"--data.size={size} must be at least 1: write 64 for a square, or (48, 64) for height, width."
        )
    return both[0], both[-1]


def decode(path: Path, size: Size, colour: bool) -> np.ndarray:
    """An image file -> uint8 [H, W, 3], or [H, W, 1] without colour; UserError if it cannot be read."""
    with opened(path) as image:
        return fit(image, size, colour)


@contextlib.contextmanager
def opened(path: Path, grey: bool = True) -> Iterator[Any]:
    """A Pillow image, upright, of any mode; Unreadable where it, or the block, meets what is no image.

    grey: pixels without colour are grey values; False = they may be numbers of classes.
    """
    from PIL import Image, ImageOps

    try:
        # whatever the suffix says: for an EPS, Pillow would start ghostscript
        with Image.open(path, formats=_readable()) as image:
            if grey:
                _check_range(image)
            yield ImageOps.exif_transpose(image)
    except UserError:  # what the block refuses is an image
        raise
    except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
        raise Unreadable(
            f"{path} cannot be read as an image ({error}): "
            "mend or remove it, or skip all such files by --data.skip_bad=true."
        ) from error


def turned(path: Path) -> bool:
    """Whether a tag of its EXIF turns or mirrors an image when it is `opened`; of an image that can be."""
    from PIL import ExifTags, Image

    with Image.open(path, formats=_readable()) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _check_range(image: Any) -> None:
    """Raises ValueError for whole numbers of 32 bits that are those of 8: taken for 16 they would be black."""
    # of the formats here TIFF alone has them; a PGM of 16 bits is of this mode too
    if image.format == "TIFF" and image.mode == "I" and 0 < image.getextrema()[1] <= 255:
        raise ValueError("32-bit pixels of which none is above 255 have no known range")


@functools.cache
def _readable() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    from PIL import Image

    Image.init()  # else it knows the five most frequent alone
    return tuple(name for name in FORMATS if name in Image.OPEN)


def fit(image: Any, size: Size, colour: bool) -> np.ndarray:
    """A Pillow image of any mode -> uint8 [H, W, 3 or 1]: scaled until it covers the size, centre crop."""
    from PIL import Image, ImageOps

    height, width = sides(size)

    if image.mode.startswith("I"):  # 16 bits a pixel, and 32 bits that hold 16
        wide = np.clip(np.asarray(image), 0, 65535)
        grey = np.rint(wide / 257.0)  # 65535 / 257 = 255
        image = Image.fromarray(grey.astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # Converted before it is scaled: to average the numbers of a palette means nothing.
    image = image.convert("RGB" if colour else "L")
    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    channels = 3 if colour else 1
    return np.asarray(image).reshape(height, width, channels)  # Pillow's grey has no channel


def readable(
    root: Path, read: Callable, items: Sequence[Any], skip_bad: bool, bad: list[str]
) -> Iterator[Any]:
    """read(item) of every item of a split, in order, decoded in threads; an item begins with the name of its file.

    With `skip_bad` those that are Unreadable are left out and their names go into `bad`; else the first one is raised.
    UserError where none is left.
    """

    def attempt(item: Any) -> Any:
        try:
            return read(item)
        except Unreadable:
            if not skip_bad:
                raise
            bad.append(item[0])
            return None

    # threads: Pillow decodes without the interpreter's lock
    workers = os.cpu_count() or 1
    before = len(bad)  # of the splits that were read earlier
    for found in prefetch(attempt, items, depth=4 * workers, workers=workers):
        if found is not None:
            yield found
    if len(bad) - before == len(items):
        raise UserError(
            f"{root} has a split with no readable image, {len(items)} are bad, for instance {plain(min(bad))}."
        )


def skipped(bad: Sequence[str], total: int) -> list[str]:
    """The note of images that were left out, none where none were."""
    if not bad:
        return []
    # without the folder's name: the set may be found again for a folder that has moved
    name = plain(min(bad))
    return [f"skipped {len(bad)} unreadable of {total} images, for instance {name}"]
