"""What happens to pictures on their way to somebody who asks whether they are real.

Each is a config value with a `name` and `at`, a number to draw curves over; it takes bytes [N, H, W, C] to bytes of the
same shape, real and generated ones alike. Through Pillow, as users' programs do it.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from genjax.audit.handling import each, resaved
from genjax.config import Own, field
from genjax.errors import above, at_least, at_most


@dataclasses.dataclass(frozen=True)
class Resaved:
    """Saved as JPEG."""

    name: ClassVar[str] = "JPEG"

    quality: int = field(75, "1 to 100")

    @property
    def at(self) -> float:
        return self.quality

    def check(self) -> None:
        """Raises UserError for a quality that is none."""
        at_least(1, "Resaved: ", quality=self.quality)
        at_most(100, "Resaved: ", quality=self.quality)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return each(images, lambda picture: resaved(picture, "JPEG", self.quality))


@dataclasses.dataclass(frozen=True)
class Resized:
    """Made smaller or larger, and brought back to its size."""

    name: ClassVar[str] = "resize"

    factor: float = field(0.5, "of the sides on the way")

    @property
    def at(self) -> float:
        return self.factor

    def check(self) -> None:
        """Raises UserError for a factor of 0 or less."""
        above(0, "Resized: ", factor=self.factor)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        sides = scaled(images, self.factor)
        # bytes in between too: it was a file or a thumbnail
        return each(images, lambda picture: resized(resized(picture, sides), sides_of(images)))


@dataclasses.dataclass(frozen=True)
class Cropped:
    """The middle of it, brought to the size of the whole."""

    name: ClassVar[str] = "crop"

    share: float = field(0.75, "of the sides that is kept")

    @property
    def at(self) -> float:
        return self.share

    def check(self) -> None:
        """Raises UserError for a share outside (0, 1]."""
        above(0, "Cropped: ", share=self.share)
        at_most(1, "Cropped: ", share=self.share)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        whole = sides_of(images)
        height, width = scaled(images, self.share)
        # who crops keeps what is in the middle
        top = (whole[0] - height) // 2
        left = (whole[1] - width) // 2
        middle = images[:, top : top + height, left : left + width]
        return each(middle, lambda picture: resized(picture, whole))


@dataclasses.dataclass(frozen=True)
class Blurred:
    """Smoothed by a Gaussian."""

    name: ClassVar[str] = "blur"

    width: float = field(1.0, "standard deviation [pixels]")

    @property
    def at(self) -> float:
        return self.width

    def check(self) -> None:
        """Raises UserError for a negative width."""
        at_least(0, "Blurred: ", width=self.width)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        # neither over pictures nor over channels
        smooth = gaussian_filter(np.float32(images), (0, self.width, self.width, 0))
        return _bytes(smooth)


@dataclasses.dataclass(frozen=True)
class Noisy:
    """Gaussian noise added; the same on every machine."""

    name: ClassVar[str] = "noise"

    sigma: float = field(0.05, "standard deviation, of pixels in [0, 1]")

    @property
    def at(self) -> float:
        return self.sigma

    def check(self) -> None:
        """Raises UserError for a negative deviation."""
        at_least(0, "Noisy: ", sigma=self.sigma)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        # one draw for all detectors, so that they are asked the same
        rng = np.random.default_rng(0)
        noise = rng.standard_normal(images.shape)
        return _bytes(images + 255.0 * self.sigma * noise)


@dataclasses.dataclass(frozen=True)
class Screenshot:
    """Shown larger on a screen of another gamma, taken as a picture, and brought back to its size."""

    name: ClassVar[str] = "screenshot"

    gamma: float = field(1.2, "of the screen against the file's")
    factor: float = field(1.3, "of the sides on the screen")

    @property
    def at(self) -> float:
        return self.gamma

    def check(self) -> None:
        """Raises UserError for numbers of 0 or less."""
        above(0, "Screenshot: ", gamma=self.gamma, factor=self.factor)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        sides = scaled(images, self.factor)
        # a table of all levels: pictures are bytes
        unit = np.arange(256) / 255.0
        shown = _bytes(255.0 * unit**self.gamma)  # of each level

        def taken(picture: np.ndarray) -> np.ndarray:
            on_screen = shown[resized(picture, sides)]
            return resized(on_screen, sides_of(images))

        return each(images, taken)


# `Own`: one of a user's own is as good
Hardship = Resaved | Resized | Cropped | Blurred | Noisy | Screenshot | Own


def sides_of(images: np.ndarray) -> tuple[int, int]:
    """(height, width) of pictures [N, H, W, C]."""
    return images.shape[1], images.shape[2]


def scaled(images: np.ndarray, factor: float) -> tuple[int, int]:
    """(height, width) times a factor, in whole pixels, one at least."""
    height, width = sides_of(images)
    return max(1, round(factor * height)), max(1, round(factor * width))


def resized(picture: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """A picture uint8 [H, W, C] in another size (height, width), bicubic."""
    from PIL import Image

    height, width = sides
    # Pillow knows grey pictures as [H, W] alone
    plain = picture[..., 0] if picture.shape[-1] == 1 else picture
    image = Image.fromarray(plain)
    other = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(other).reshape(height, width, picture.shape[-1])


def _bytes(levels: np.ndarray) -> np.ndarray:
    """Grey levels, rounded and cut."""
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
