"""Pictures as sequences of tokens: one a pixel, row by row, its grey level one of a few."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import marked
from genjax.data.source import Digits, Source
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Image, Tokens

WHITE = 255


@dataclasses.dataclass(frozen=True)
class Levelled:
    """The grey pictures of `of` as the field "tokens", level 0 = black; its other fields as they are."""

    of: Any = field(Digits(), "the data set, grey images; any config with load()")
    levels: int = field(17, "grey levels; scikit-learn's digits have 17")
    side: int = field(
        0, "height and width that pictures are made small to [pixels], 0 = theirs"
    )

    def resolved(self) -> Levelled:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.of, "resolved", None)
        if fill is None:
            return self
        with marked.flagged("", "of."):
            inner = fill()
        return dataclasses.replace(self, of=inner)

    def load(self) -> Source:
        """UserError for data that are no grey images, and for numbers that leave nothing of them."""
        self._check()
        with marked.flagged("", "of."):
            source = self.of.load()
        self.check_shape(source.name, source.fields[source.main])
        shape = self.shape(source.shape)
        kind = Tokens(shape[0] * shape[1], self.levels)
        # the first field is what is modelled
        fields = {"tokens": kind}
        for name, other in source.fields.items():
            if name != source.main:
                fields[name] = other
        splits = {}
        for name, split in source.splits().items():
            # the same order of fields as above
            row = {"tokens": self.tokens(split[source.main])}
            for key in fields:
                if key in split:
                    row[key] = split[key]
            splits[name] = row

        def drawn(tokens: Any) -> np.ndarray:
            """Samples as pictures."""
            unit = self.pictures(np.asarray(tokens), shape)
            kind = Image((*shape, 1))
            return kind.picture(unit)

        return Source(f"{source.name}_levels", fields, **splits, drawn=drawn)

    def check_shape(self, name: str, kind: Any) -> None:
        """Raises UserError for what are no grey images."""
        # of three channels a pixel would be three tokens, or one of very many
        if not isinstance(kind, Image) or kind.shape[2:] != (1,):
            raise UserError(
                f"Levelled() makes a token of a grey pixel, and {name} has no grey images: use of=Digits()."
            )

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of the pictures that are read."""
        return (self.side, self.side) if self.side else shape[:2]

    def tokens(self, images: Any) -> np.ndarray:
        """Bytes [N, H, W, 1] -> levels int32 [N, h w]."""
        images = np.asarray(images)
        if self.side:
            images = _small(images, self.side)
        last = self.levels - 1
        # each level's bytes lie about its own: 0 and 255 are levels
        unit = images.astype(np.float64) / WHITE
        level = np.rint(unit * last)
        length = int(np.prod(level.shape[1:]))  # of no pictures -1 would not tell it
        return level.reshape(len(images), length).astype(np.int32)

    def pictures(self, tokens: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Levels [N, h w] -> pictures float32 [N, h, w, 1] in [0, 1]."""
        unit = tokens / np.float32(self.levels - 1)
        return unit.reshape(-1, *shape, 1).astype(np.float32)

    def _check(self) -> None:
        # one level says nothing, and a byte has no more than 256
        at_least(2, data__levels=self.levels)
        at_most(WHITE + 1, data__levels=self.levels)
        at_least(0, data__side=self.side)


def _small(images: np.ndarray, side: int) -> np.ndarray:
    """Grey pictures uint8 [N, H, W, 1] at another size, each new pixel the mean of those under it."""
    from PIL import Image as Pillow

    found = np.zeros((len(images), side, side, 1), np.uint8)
    for i, image in enumerate(images):
        # Pillow knows grey pictures as [H, W] alone
        picture = Pillow.fromarray(image[..., 0])
        sized = picture.resize((side, side), Pillow.Resampling.BOX)
        found[i, ..., 0] = np.asarray(sized)
    return found
