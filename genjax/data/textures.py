"""Textures that scikit-image's wheel carries: brick, grass and gravel, 512x512 in grey (textures.com, CC0)."""

from __future__ import annotations

import dataclasses
import io

import numpy as np

from genjax.config import field
from genjax.data.source import Source
from genjax.data.wheels import Wheel
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image

NAMES = ("brick", "grass", "gravel")
WHEEL = Wheel("scikit-image", tuple(f"skimage/data/{name}.png" for name in NAMES), "0.26.0")
SIDE = 512
# Columns of each picture: between two splits lies a gap as wide as nothing that is cut there
PLACES = {"train": (0.0, 0.55), "valid": (0.57, 0.76), "test": (0.78, 1.0)}


@dataclasses.dataclass(frozen=True)
class Textures:
    """Square crops of three textures. Training, validation and test are cut from strips of each that do not meet."""

    size: int = field(64, "side of a crop [pixels]")
    textures: tuple[str, ...] = field(NAMES, f"of {', '.join(NAMES)}")
    train: int = field(6000, "training crops, as many of each texture")
    valid: int = field(300, "crops that thresholds are set by")
    test: int = field(300, "test crops")
    seed: int = field(0, "seed of the places, independent of the run's seed")
    # execution: a set that has moved is the same set
    path: str | None = field(
        None,
        "folder of the wheel or of what is in it; None = $GENJAX_DATA, then where pip installs",
        execution=True,
    )

    def load(self) -> Source:
        """uint8 [N, size, size, 1] and int32 [N]; UserError for a size that does not fit, and for a missing package."""
        at_least(1, data__size=self.size, data__train=self.train)
        at_least(
            0,
            data__valid=self.valid,
            data__test=self.test,
            data__seed=self.seed,
        )
        self._check_names()
        widths = [high - low for low, high in PLACES.values()]
        # a crop lies whole in the strip of its split
        most = int(min(widths) * SIDE)
        if self.size > most:
            raise UserError(
                f"--data.size={self.size} does not fit the strips of validation: use at most {most}."
            )
        contents = WHEEL.contents(self.path)
        pictures = []
        for name in self.textures:
            picture = _picture(f"{name}.png", contents)
            pictures.append(picture)
        splits = {}
        for number, (split, place) in enumerate(PLACES.items()):
            count = getattr(self, split)
            # a stream of its own for each: the size of one leaves the others as they are
            rng = np.random.default_rng([self.seed, number])
            splits[split] = self._crops(pictures, place, count, rng)
        shape = (self.size, self.size, 1)
        fields = {"image": Image(shape), "label": Category(len(pictures), self.textures)}
        return Source("textures", fields, **splits)

    def _check_names(self) -> None:
        strange = [name for name in self.textures if name not in NAMES]
        if strange or not self.textures:
            raise UserError(
                f"--data.textures={self.textures} must name some of {', '.join(NAMES)}."
            )

    def _crops(
        self,
        pictures: list[np.ndarray],
        place: tuple[float, float],
        n: int,
        rng: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        """n crops at uniform places of a strip, of the textures in turn."""
        size = self.size
        first, last = place
        low = round(first * SIDE)
        high = round(last * SIDE)
        crops = np.empty((n, size, size, 1), np.uint8)
        for i in range(n):
            picture = pictures[i % len(pictures)]
            # the whole height, and the strip from side to side
            top = rng.integers(0, SIDE - size + 1)
            left = rng.integers(low, high - size + 1)
            bottom, right = top + size, left + size
            crops[i, ..., 0] = picture[top:bottom, left:right]
        # in turn: any part of a split has as many of each
        label = np.arange(n) % len(pictures)
        return {"image": crops, "label": label.astype(np.int32)}


def _picture(name: str, contents: dict[str, bytes]) -> np.ndarray:
    """A texture, uint8 [512, 512]; UserError for what is none of that size."""
    from PIL import Image as Pillow

    file = io.BytesIO(contents[name])
    try:
        # this format alone, whatever lies there
        opened = Pillow.open(file, formats=("PNG",))
        picture = np.asarray(opened)
    except (OSError, ValueError, SyntaxError) as error:
        raise WHEEL.installed.other(name, f"cannot be read ({error})") from error
    if picture.shape != (SIDE, SIDE) or picture.dtype != np.uint8:
        raise WHEEL.installed.other(name, f"is {picture.shape}, not {SIDE}x{SIDE} bytes")
    return picture
