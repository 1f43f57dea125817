"""A net for what lies over a picture in one colour and one opacity: it says where, how much and which colour.

Of maps that another net makes, `Unveil` takes the coverage s of each pixel, and two means over what is covered: the
opacity a and the colour c. With v = a s the picture x under y = (1 - v) x + v c is y less

    v / (1 - v) (c - y)                                                                                        (1)

which is exact where s, a and c are, and a mean over a thousand pixels is known better than one. What eq. 1 leaves, at
edges that are not found to a part of a pixel and where the mean is off, a further map says as other restorers do.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.nets.flops import NOTHING, Told
from genjax.nets.plain import PlainUNet

RARE = 2.0  # logits: at first a pixel is covered by 12 %; less, and it learns more slowly
MOST = 0.9  # v stays below: eq. 1 has a pole at 1
SOME = 1e-4  # of every pixel in the means: where nothing is covered at all they are those of the picture


class Unveil(nn.Module):
    """(x [B, H, W, C], time, condition or None) -> what is to be taken away from x, [B, H, W, C], as `PlainUNet`.

    Its means go over the whole picture: it has no reach, and tiles would be seen.
    """

    net: nn.Module = field(PlainUNet(bias=True), "net(x, time, cond, out) that makes the maps")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        height, width, channels = out
        count = self._count(channels)
        maps = self.net(x, time, cond, (height, width, count))
        parts = jnp.split(maps, [1, 2, 2 + channels], -1)
        covered, opaque, colours, rest = parts
        s = nn.sigmoid(covered - RARE)  # [B, H, W, 1]
        a = nn.sigmoid(_mean(opaque, s))  # [B, 1, 1, 1]
        c = _mean(colours, s)  # [B, 1, 1, C], in the range of x
        v = MOST * a * s
        under = v / (1.0 - v)
        return under * (c - x) + rest

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example: those of the net inside, see `genjax.nets.flops`."""
        count = self._count(out[-1])
        return self.net.flops(shape, (*out[:2], count), told)

    def _count(self, channels: int) -> int:
        """Maps that are made: coverage, opacity, and two for each channel."""
        return 2 + 2 * channels


def _mean(maps: jax.Array, weight: jax.Array) -> jax.Array:
    """Of maps [B, H, W, K] over a picture's pixels by their weights [B, H, W, 1], [B, 1, 1, K]."""
    places = (1, 2)
    weight = weight + SOME
    total = jnp.sum(weight * maps, places, keepdims=True)
    weights = jnp.sum(weight, places, keepdims=True)
    return total / weights
