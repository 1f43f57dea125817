"""The codecs of every day through Pillow, to compare with: JPEG and WebP at their slowest.

AVIF is at a middling speed: on one photograph speed 2 saved some `4 %` of the bits at equal PSNR, at thrice the time.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np

from genjax.config import field
from genjax.errors import UserError

# JPEG's colours at full resolution, at half of it in one direction, and in both, by Pillow's numbers
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def _saved(image: np.ndarray, kind: str, **settings: Any) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, kind, **settings)
    return content.getvalue()


def decode(content: bytes, kind: str) -> np.ndarray:
    """Bytes of a format of Pillow's -> uint8 [H, W, 3]."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=(kind,)) as image:
        return np.asarray(image.convert("RGB"))


def _check(kind: str, name: str) -> None:
    """Raises UserError where Pillow was built without a format."""
    from PIL import features

    if not features.check(name):
        raise UserError(
            f"this Pillow has no {kind}: install a build that has, pip install -U pillow."
        )


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """JPEG with the Huffman codes of the picture; the smaller one of progressive and sequential."""

    sampling: int = field(0, "of colours: 0 = 4:4:4, 2 = 4:2:0")
    qualities: tuple[int, ...] = field((5, 10, 20, 30, 45, 60, 75, 85, 92), "settings")

    name = "JPEG"
    kind = "JPEG"

    @property
    def label(self) -> str:
        """Its name with its setting."""
        return f"JPEG {SAMPLINGS[self.sampling]}"

    def check(self) -> None:
        """Raises UserError where Pillow has no such format."""
        _check("JPEG", "jpg")

    def encode(self, image: np.ndarray, quality: int) -> bytes:
        """uint8 [H, W, 3] -> bytes."""
        settings = {"quality": quality, "optimize": True, "subsampling": self.sampling}
        plain = _saved(image, self.kind, **settings)
        # the same pixels in another order
        progressive = _saved(image, self.kind, progressive=True, **settings)
        return min(plain, progressive, key=len)


@dataclasses.dataclass(frozen=True)
class WebP:
    """Lossy WebP at its slowest method."""

    qualities: tuple[int, ...] = field((1, 10, 25, 45, 65, 80, 90, 95), "settings")

    name = "WebP"
    kind = "WEBP"
    label = "WebP"

    def check(self) -> None:
        """As `Jpeg.check`."""
        _check("WebP", "webp")

    def encode(self, image: np.ndarray, quality: int) -> bytes:
        """As `Jpeg.encode`."""
        return _saved(image, self.kind, quality=quality, method=6)


@dataclasses.dataclass(frozen=True)
class Avif:
    """AVIF with its colours at full or half resolution.

    By its own choice its encoder serves the eye, which costs PSNR: who compares by that should tune it for that too.
    """

    sampling: str = field("4:4:4", "of colours: 4:4:4 or 4:2:0")
    tune: str = field("", "what libaom is tuned for: psnr or ssim; '' = as it is by itself")
    qualities: tuple[int, ...] = field((20, 35, 50, 60, 70, 80, 88), "settings")
    speed: int = field(4, "0 = slowest, 10 = fastest")

    name = "AVIF"
    kind = "AVIF"

    @property
    def label(self) -> str:
        """As `Jpeg.label`."""
        return f"AVIF {self.sampling} {self.tune}".strip()

    def check(self) -> None:
        """As `Jpeg.check`, and where its encoder takes no such settings."""
        _check("AVIF", "avif")
        try:
            self.encode(np.zeros((16, 16, 3), np.uint8), self.qualities[0])
        except (ValueError, OSError, RuntimeError) as error:
            raise UserError(
                f"this Pillow's encoder of AVIF has no {self.label} ({error}): choose other --finish.Coding.others."
            ) from None

    def encode(self, image: np.ndarray, quality: int) -> bytes:
        """As `Jpeg.encode`."""
        settings = {"quality": quality, "speed": self.speed, "subsampling": self.sampling}
        if self.tune:
            settings |= {"codec": "aom", "advanced": {"tune": self.tune}}
        return _saved(image, self.kind, **settings)


Classical = Jpeg | WebP | Avif
