"""Pictures of another size: a data set's own, enlarged or made smaller, so that a model of other pictures sees them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import marked
from genjax.data.source import Digits, Source
from genjax.errors import UserError, at_least
from genjax.fields import Image


@dataclasses.dataclass(frozen=True)
class Enlarged:
    """The pictures of `data` at `side` x `side`, within a dark border; bicubic, its other fields as they are."""

    data: Any = field(Digits(), "the data set, images; any config with load()")
    side: int = field(28, "of the pictures with their border [pixels]")
    border: int = field(4, "dark pixels on each side, as MNIST has them")

    def resolved(self) -> Enlarged:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.data, "resolved", None)
        if fill is None:
            return self
        with marked.flagged("", "data."):
            inner = fill()
        return dataclasses.replace(self, data=inner)

    def load(self) -> Source:
        """UserError for data that are no images, and for a border that leaves no picture."""
        at_least(1, data__side=self.side)
        at_least(0, data__border=self.border)
        inner = self.side - 2 * self.border
        if inner < 1:
            raise UserError(
                f"--data.border={self.border} leaves nothing of {self.side} pixels: use less than half."
            )
        with marked.flagged("", "data."):
            source = self.data.load()
        main = source.main
        kind = source.fields[main]
        # without a third number they are no images
        channels = kind.shape[2:]
        if channels not in ((1,), (3,)):
            raise UserError(
                f"Enlarged() is of images in grey or colour, and {source.name} has none: use data=Digits()."
            )
        splits = {}
        for name, split in source.splits().items():
            images = self._sized(split[main], inner)
            splits[name] = {**split, main: images}
        shape = (self.side, self.side, *channels)
        fields = {**source.fields, main: Image(shape)}
        # another name: sizes are other data
        name = f"{source.name}_{self.side}"
        return Source(name, fields, **splits)

    def _sized(self, images: np.ndarray, inner: int) -> np.ndarray:
        """Images [N, H, W, C] -> uint8 [N, side, side, C]."""
        from PIL import Image as Pillow

        n, _, _, channels = images.shape
        found = np.zeros((n, self.side, self.side, channels), np.uint8)
        # what is left over is the border
        inside = slice(self.border, self.border + inner)
        for i, image in enumerate(images):
            # Pillow knows grey pictures as [H, W] alone
            plain = image[..., 0] if channels == 1 else image
            picture = Pillow.fromarray(np.asarray(plain))
            sized = picture.resize((inner, inner), Pillow.Resampling.BICUBIC)
            tile = np.asarray(sized)
            found[i, inside, inside] = tile.reshape(inner, inner, channels)
        return found
