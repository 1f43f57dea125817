"""Blur and JPEG in training, so that a detector learns nothing that a first resave takes away.

Wang et al. 2020, arXiv:1912.11035, sec. 3.3: half of the pictures are blurred, half are saved as JPEG, each by a coin
of its own; real and generated ones alike. JPEG is that of `corruptions.jpeg`, whose arithmetic is libjpeg's.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Batch
from genjax.corruptions import Blur, Jpeg
from genjax.errors import at_least, at_most
from genjax.fields import Image, need, to_float


@dataclasses.dataclass(frozen=True)
class BlurJpeg:
    """A Gaussian blur and JPEG, each in a share of the sights; bytes again after each, as files have them."""

    chance: float = field(
        0.5, "share of the sights that are blurred, and of those saved as JPEG"
    )
    blur: Blur = field(Blur(0.1, 1.0), "width of the blur [pixels]")
    jpeg: Jpeg = field(Jpeg(30.0, 100.0), "quality")
    of: str = field("image", "name of the field")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a share outside [0, 1]."""
        at_least(0, view__chance=self.chance)
        at_most(1, view__chance=self.chance)
        need("the view BlurJpeg()", self.of, fields.get(self.of), Image)
        shape = tuple(fields[self.of].shape)
        self.blur.check(shape)
        self.jpeg.check(shape)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        x = to_float(batch[self.of])  # [B, H, W, C] in [0, 1]
        # blurred first and saved afterwards, as pictures are
        for i, damage in enumerate((self.blur, self.jpeg)):
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
            damaged = damage(own, x)
            coin = jax.vmap(self._coin)(own)[:, None, None, None]
            x = jnp.where(coin, _bytes(damaged.x), x)
        # the type of what evaluation sees
        levels = jnp.round(255.0 * x).astype(jnp.uint8)
        return {**batch, self.of: levels}

    def _coin(self, key: jax.Array) -> jax.Array:
        # another stream than the damage's own draws
        return jax.random.bernoulli(jax.random.fold_in(key, 2), self.chance)

    def still(self, batch: Batch) -> Batch:
        return batch


def _bytes(x: jax.Array) -> jax.Array:
    """Unit values rounded to 256 levels."""
    levels = jnp.round(255.0 * x)
    return jnp.clip(levels, 0.0, 255.0) / 255.0
