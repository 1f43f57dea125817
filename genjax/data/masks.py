"""Pictures with a mask each, a class for every pixel: two folders with the same names, as `pairs` matches them.

A mask is an image of class numbers, of a palette (its numbers are meant, not its colours), or of colours that are
named. It is scaled by nearest neighbour and cropped as its picture is, so that no class comes up that was not there.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import cache, marked
from genjax.data.decoding import Size, fit, opened, sides, turned
from genjax.data.pairs import Matched, matched, turned_alone
from genjax.data.source import Source
from genjax.data.summary import MOST, plain
from genjax.errors import UserError
from genjax.fields import Image, Mask

Colour = tuple[int, int, int]
_WHITE = 255  # what a mask of two classes has in the place of 1, where people are to see it


@dataclasses.dataclass(frozen=True)
class Masks:
    """Your own pictures, `image`, and what is where in them, `mask`."""

    # execution: a set that has moved is the same set
    image: str = field("", "folder of the pictures", execution=True)
    mask: str = field(
        "", "folder of the masks, whose names are those of the pictures", execution=True
    )
    size: Size = field(
        64, "64 = a square, (48, 64) = height, width: scaled to cover it, then the centre"
    )
    colour: bool = field(True, "pictures of three channels; False = one, grey")
    classes: int = field(
        0, "number of classes; 0 = as many as names or colours, 2 if there are none"
    )
    names: tuple[str, ...] = field((), "of the classes, in order, for people")
    colours: tuple[Colour, ...] = field(
        (), "of the classes in the masks, in order: ((0, 0, 0), (255, 0, 0)); () = numbers"
    )
    # None: what a pixel is should be somebody's decision
    other: int | None = field(
        None,
        "the class of pixels that have none, such as a 255 for void; None = they are refused, and in a mask of two "
        "classes that has no 1 a 255 is 1",
    )
    # by name and not by place: images that are added leave the others where they were
    test: float = field(
        0.1, "share of the pictures that is the test split where no sub-folder is called test"
    )
    valid: int = field(0, "training pictures held out for validation, from the tail")
    skip_bad: bool = field(
        False, "leave out pictures with an unreadable file; False = stop at the first"
    )
    content: str = field(
        "", "mark of the files, filled in when the folders are read; leave empty"
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def resolved(self) -> Masks:
        """The config with `content` as the folders have it, see `marked.resolved`."""
        return marked.resolved(self, self._home(), self._found)

    def load(self) -> Source:
        """{"image": uint8 [N, H, W, C], "mask": uint8 [N, H, W]}.

        UserError for files without a partner, for a mask of another size than its picture, and for pixels of no class.
        """
        sides(self.size)  # for its error: before large folders are looked through
        return marked.load(self, self._home(), self._found, self._prepare)

    def _home(self) -> marked.Home:
        marked.check_share(self.test)
        request = {
            "size": sides(self.size),
            "colour": self.colour,
            "classes": self._classes(),
            "names": self.names,  # the notes are told with them
            "colours": self.colours,
            "other": self.other,
            "test": self.test,
            "skip_bad": self.skip_bad,
        }
        return marked.home("masks", request, image=self.image, mask=self.mask)

    def _classes(self) -> int:
        """The number of classes; UserError where what is given does not agree."""
        n = self.classes or len(self.names) or len(self.colours) or 2
        given = {self.classes, len(self.names), len(self.colours)} - {0}
        if given - {n} or not 1 <= n <= 256:
            raise UserError(
                f"--data.classes={self.classes} with {len(self.names)} --data.names and {len(self.colours)} "
                "--data.colours: give one number of classes, from 1 to 256."
            )
        bytes_ = all(0 <= value <= 255 for colour in self.colours for value in colour)
        if len(set(self.colours)) < len(self.colours) or not bytes_:
            raise UserError(
                f"--data.colours={self.colours} must be different colours of red, green, blue, 0 to 255 each."
            )
        if self.other is not None and not 0 <= self.other < n:
            raise UserError(f"--data.other={self.other} must be a class, 0 to {n - 1}.")
        return n

    def _found(self) -> Matched:
        return matched(self._home(), self.test)

    def _prepare(self, directory: Path, found: Matched, cfg: Masks) -> cache.Prepared:
        at = self._home()
        height, width = sides(self.size)
        fields = {
            "image": Image((height, width, 3 if self.colour else 1)),
            "mask": Mask((height, width), self._classes()),
        }
        # lists can be added to by several threads
        seen: list[tuple[bool, np.ndarray]] = []
        alone: list[str] = []

        def read(names: tuple[str, ...]) -> dict[str, np.ndarray]:
            picture, mask = (root / name for root, name in zip(at.roots, names, strict=True))
            image, numbers, white = self._both(picture, mask)
            if turned(picture) != turned(mask):
                alone.append(names[0])
            seen.append((white, np.bincount(numbers.ravel(), minlength=self._classes())))
            return {"image": image, "mask": numbers}

        def tell() -> list[str]:
            return [*turned_alone(alone), *self._notes(seen)]

        return marked.rows(directory, at, found, fields, read, self.skip_bad, tell)

    def _both(self, picture: Path, mask: Path) -> tuple[np.ndarray, np.ndarray, bool]:
        """(a picture, its mask, whether 255 stood for 1 in it)."""
        from PIL import Image as Pillow
        from PIL import ImageOps

        with opened(picture) as opened_picture:
            size = opened_picture.size  # width, height
            image = fit(opened_picture, self.size, self.colour)
        with opened(mask, grey=False) as opened_mask:
            if opened_mask.size != size:
                width, height = opened_mask.size
                upright = " once turned by its EXIF tag" if turned(picture) else ""
                raise UserError(
                    f"{mask} is {width}x{height} and its picture {size[0]}x{size[1]}{upright}, width by height: make "
                    "them of one size, or leave both out."
                )
            stored = self._stored(mask, opened_mask)
        numbers, white = self._numbers(mask, stored)
        height, width = sides(self.size)
        scaled = Pillow.fromarray(numbers)
        scaled = ImageOps.fit(scaled, (width, height), Pillow.Resampling.NEAREST)
        return image, np.asarray(scaled), white

    def _stored(self, path: Path, mask: Any) -> np.ndarray:
        """What a mask holds: numbers [H, W], or where colours are named those [H, W, 3]."""
        if self.colours:
            return np.asarray(mask.convert("RGB"))
        if mask.mode == "F":
            raise ValueError("floating-point pixels are no classes")
        stored = np.asarray(mask)  # of a palette the numbers
        if stored.ndim == 2:
            return stored.astype(np.int64)
        # numbers that were saved as grey values of a picture in colour
        first, *others = np.moveaxis(stored[..., :3], -1, 0).astype(np.int64)
        if mask.mode not in ("RGB", "RGBA") or any((first != each).any() for each in others):
            raise UserError(
                f"{path} is a picture of mode {mask.mode} and not of class numbers: name the colours of the classes "
                "by --data.colours, in order."
            )
        return first

    def _numbers(self, path: Path, stored: np.ndarray) -> tuple[np.ndarray, bool]:
        """(classes uint8 [H, W], whether 255 stood for 1) of what a mask holds."""
        n = self._classes()
        if self.colours:
            # a colour as one number, and the class that it has
            place = np.array([2**16, 2**8, 1])
            stored = stored @ place
            known = np.array(self.colours) @ place
        else:
            known = np.arange(n)
        values, where, counts = np.unique(stored, return_inverse=True, return_counts=True)
        white = not self.colours and n == 2 and _WHITE in values and 1 not in values
        # who says what pixels without a class are means 255 by it: it is void in all masks, or in none
        white = white and self.other is None
        if white:
            values = np.where(values == _WHITE, 1, values)
        same = values[:, None] == known  # [values, classes]
        strange = ~same.any(1)
        if strange.any() and self.other is None:
            most = np.argmax(np.where(strange, counts, 0))
            self._refuse(path, int(values[most]), int(counts[most]))
        of_value = np.where(strange, self.other or 0, same.argmax(1))
        return of_value.astype(np.uint8)[where].reshape(stored.shape), white

    def _refuse(self, path: Path, value: int, count: int) -> None:
        """Raises the UserError of pixels that have no class."""
        told, classes = f"{value}", f"0 to {self._classes() - 1}"
        if self.colours:
            told = f"{(value >> 16, value >> 8 & 255, value & 255)}"
            classes = f"{len(self.colours)} colours"
        raise UserError(
            f"{path} has {count} pixels of {told}, and the classes are {classes}: set --data.classes or "
            "--data.colours, or give such pixels a class by --data.other."
        )

    def _notes(self, seen: list[tuple[bool, np.ndarray]]) -> list[str]:
        """How much of the pictures each class is, and what was decided on the way."""
        if not seen:
            return []
        notes = []
        white = sum(each for each, _ in seen)
        if white:
            notes.append(f"{white} masks of 0 and 255 are read as 0 and 1")
        counts = np.sum([each for _, each in seen], 0)
        names = self.names or tuple(map(str, range(len(counts))))
        shares = counts / counts.sum()
        if len(names) <= MOST:
            each = [
                f"{plain(name)} {share:.1%}" for name, share in zip(names, shares, strict=True)
            ]
            notes.append(f"pixels of each class: {', '.join(each)}")
        absent = [plain(name) for name, count in zip(names, counts, strict=True) if not count]
        if absent:
            notes.append(f"no pixel of {len(absent)} classes, for instance {absent[0]}")
        return notes
