"""Degraded images as orthogonal projections P = P² = P': what is lost is the part (1 - P) x, the rest is as it was.

Images [B, H, W, C] of any range in, the same shape out: grey has three equal channels, a coarse image equal pixels in
each block, a hole zeros.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Grey:
    """The mean of the channels, in each of them: to undo it is to colourise."""

    def __call__(self, x: jax.Array) -> jax.Array:
        if x.shape[-1] == 1:
            raise UserError(
                f"images {x.shape[1:]} have no colour to lose: use a data set with 3 channels."
            )
        mean = jnp.mean(x, -1, keepdims=True)  # [B, H, W, 1]
        return jnp.broadcast_to(mean, x.shape)


@dataclasses.dataclass(frozen=True)
class Coarse:
    """The mean of every block of pixels: to undo it is super-resolution."""

    factor: int = field(4, "side of a block [pixels]")

    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, c = x.shape
        f = self.factor
        if f < 1 or h % f or w % f:
            raise UserError(
                f"images of {h}x{w} do not divide into blocks of {f}: use a factor of both."
            )
        blocks = x.reshape(b, h // f, f, w // f, f, c)
        mean = jnp.mean(blocks, (2, 4), keepdims=True)  # over the rows and columns of a block
        coarse = jnp.broadcast_to(mean, blocks.shape)
        return coarse.reshape(x.shape)


@dataclasses.dataclass(frozen=True)
class Hole:
    """Zero inside a rectangle, given in shares of height and width: to undo it is inpainting."""

    top: float = field(0.25, "upper edge, share of the height")
    left: float = field(0.25, "left edge, share of the width")
    bottom: float = field(0.75, "lower edge, share of the height")
    right: float = field(0.75, "right edge, share of the width")

    def __post_init__(self):
        high = 0.0 <= self.top < self.bottom <= 1.0
        wide = 0.0 <= self.left < self.right <= 1.0
        if not (high and wide):
            raise ValueError(
                f"a hole lies in the image, 0 <= top < bottom <= 1 and 0 <= left < right <= 1: {self}"
            )

    def mask(self, h: int, w: int) -> jax.Array:
        """1 where the image is known, 0 in the hole, [h, w, 1]."""
        y = jnp.arange(h)[:, None, None]
        x = jnp.arange(w)[None, :, None]
        # Edges are rounded to whole pixels: a pixel is lost or known, which keeps this a projection.
        top, bottom = round(self.top * h), round(self.bottom * h)
        left, right = round(self.left * w), round(self.right * w)
        inside = (y >= top) & (y < bottom)
        inside &= (x >= left) & (x < right)
        return 1.0 - inside.astype(jnp.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        _, h, w, _ = x.shape
        return x * self.mask(h, w)


Projection = Grey | Coarse | Hole
