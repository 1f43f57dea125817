"""Picture files that a user names on a command line, and the folder for what is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genjax.data.decoding import Unreadable, fit, opened
from genjax.errors import UserError
from genjax.machine.files import place

# of Pillow: what has no colour
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F")


def new_folder(out: str, what: str) -> Path:
    """The folder of --out for what is made; UserError where none is named, or one that holds anything."""
    if not out:
        raise UserError(f"--out is not set: name a folder for the {what} by --out=DIR.")
    folder = place(out)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out={folder} is a file: name a folder.")
    # never over somebody's files, which may have been painted by hand
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"--out={folder} holds other files: name a new or an empty folder.")
    return folder


def targets(folder: Path, files: Sequence[str | Path], act: str) -> list[Path]:
    """Where a PNG of each file goes; UserError for two that would share a place. act: what is done, as "restore"."""
    names = [Path(file).stem for file in files]
    # a.jpg and a.png would both become a.png
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"{count} of the pictures are called {name}: {act} them into folders of their own."
            )
    return [folder / f"{name}.png" for name in names]


def check_file(path: Path) -> None:
    """Raises UserError for what is no file, before anything is made for it."""
    if not path.is_file():
        raise UserError(f"{path} is no file: name a picture.")


def read(path: Path, colour: bool = True) -> tuple[np.ndarray, bool]:
    """(uint8 [H, W, 3], or [H, W, 1] without colour; whether the file has none); UserError where it cannot be read."""
    try:
        with opened(path) as image:
            size = (image.height, image.width)
            return fit(image, size, colour), image.mode in GREY
    except Unreadable as error:
        raise UserError(
            f"{path} cannot be read as an image ({error.__cause__}): name a picture."
        ) from error
