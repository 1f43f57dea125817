"""What real and generated pictures go through alike, before anybody tells them apart.

A detector finds whatever differs. Real pictures that were files before carry what their encoder did to them (scenes
were WebP), and what was just generated does not: then both are made smaller, which mixes pixels of different blocks,
and both are written by one encoder. Pillow's own encoders, so that a file on disk has been through the same.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import numpy as np

from genjax.config import field
from genjax.errors import UserError, at_least, at_most

LOSSLESS = "PNG"
KINDS = (LOSSLESS, "JPEG", "WEBP")  # by Pillow's names


@dataclasses.dataclass(frozen=True)
class Handling:
    """Halved so many times, then written by an encoder and read again."""

    halvings: int = field(0, "times that pictures are halved: means of 2x2 pixels")
    kind: str = field(LOSSLESS, "of the files: PNG, JPEG or WEBP")
    quality: int = field(90, "of JPEG and WebP, 1 to 100")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a kind that is none, and for pictures [H, W, C] that cannot be halved so often."""
        at_least(0, handling__halvings=self.halvings)
        at_least(1, handling__quality=self.quality)
        at_most(100, handling__quality=self.quality)
        if self.kind not in KINDS:
            raise UserError(f"--handling.kind={self.kind!r}: use one of {', '.join(KINDS)}.")
        unit = 2**self.halvings
        if any(side % unit for side in shape[:2]):
            raise UserError(
                f"--handling.halvings={self.halvings} needs sides that {unit} divides, and pictures are {shape}."
            )

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape [H, W, C] of what comes out."""
        height, width, channels = shape
        unit = 2**self.halvings
        return (height // unit, width // unit, channels)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 [N, H, W, C] -> uint8, of other sizes where they are halved."""
        for _ in range(self.halvings):
            images = halved(images)
        if self.kind == LOSSLESS:  # its bytes are the pixels
            return images
        return each(images, lambda picture: resaved(picture, self.kind, self.quality))


def halved(images: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels of uint8 [N, H, W, C], H and W even."""
    n, height, width, channels = images.shape
    # means of stored values, of both halves alike
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, channels)
    means = blocks.mean((2, 4))
    return np.rint(means).astype(np.uint8)


def resaved(picture: np.ndarray, kind: str, quality: int) -> np.ndarray:
    """What is left of a picture uint8 [H, W, C] after a file of Pillow's, colour at half the resolution as is usual."""
    from PIL import Image

    # Pillow knows grey pictures as [H, W] alone
    plain = picture[..., 0] if picture.shape[-1] == 1 else picture
    image = Image.fromarray(plain)
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    with Image.open(file, formats=(kind,)) as again:
        # WebP has no grey files
        read = np.asarray(again.convert(image.mode))
    return read.reshape(picture.shape)


def each(images: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`change` of every picture, stacked; of none, none."""
    if not len(images):
        return images
    return np.stack([change(picture) for picture in images])
