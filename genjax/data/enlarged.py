"""Pictures of another size: a data set's own, enlarged or made smaller, so that a model of other pictures sees them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data.source import Digits, Source
from genjax.errors import UserError, at_least
from genjax.fields import Image


@dataclasses.dataclass(frozen=True)
class Enlarged:
    """The pictures of `data` at `side` x `side`, within a dark border; bicubic, its other fields as they are."""

    data: Any = field(Digits(), "the data set, images; any config with load()")
    side: int = field(28, "of the pictures with their border [pixels]")
    border: int = field(4, "dark pixels on each side, as MNIST has them")

    def load(self) -> Source:
        """UserError for data that are no images, and for a border that leaves no picture."""
        at_least(1, data__side=self.side)
        at_least(0, data__border=self.border)
        inner = self.side - 2 * self.border
        if inner < 1:
            raise UserError(
                f"--data.border={self.border} leaves nothing of {self.side} pixels: use less than half."
            )
        source = self.data.load()
        main = source.main
        kind = source.fields[main]
        if not isinstance(kind, Image) or kind.shape[2] not in (1, 3):
            raise UserError(
                f"Enlarged() is of images in grey or colour, and {source.name} has none: use data=Digits()."
            )
        splits = {}
        for name, split in source.splits().items():
            splits[name] = {**split, main: self._sized(split[main], inner)}
        shape = (self.side, self.side, kind.shape[2])
        fields = {**source.fields, main: Image(shape)}
        return Source(f"{source.name}_{self.side}", fields, **splits)

    def _sized(self, images: np.ndarray, inner: int) -> np.ndarray:
        """Images [N, H, W, C] -> uint8 [N, side, side, C]."""
        from PIL import Image as Pillow

        _, _, _, channels = images.shape
        # without a border of its own nothing is to be filled
        found = np.zeros((len(images), self.side, self.side, channels), np.uint8)
        inside = slice(self.border, self.border + inner)
        for i, image in enumerate(np.asarray(images)):
            grey = image[..., 0] if channels == 1 else image
            sized = Pillow.fromarray(grey).resize((inner, inner), Pillow.Resampling.BICUBIC)
            found[i, inside, inside] = np.asarray(sized).reshape(inner, inner, channels)
        return found
