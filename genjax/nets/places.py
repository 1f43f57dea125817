"""A vector for each place of a picture: what is where, for models that hold places against other things."""

from __future__ import annotations

import flax.linen as nn
import jax

from genjax.config import field
from genjax.nets.blocks import space_to_depth
from genjax.nets.conv import levels
from genjax.nets.gan import check_levels


class ConvPlaces(nn.Module):
    """[B, H, W, C] -> [B, places, features]: levels as `ConvEncoder` has them, each place of the last map a vector."""

    widths: tuple[int, ...] = field((32, 64), "channels of each level")
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(2, "side of the patch folded into channels first [pixels]")
    features: int = field(64, "numbers of a place")

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        unit = self.patch * 2 ** (len(self.widths) - 1)  # pixels of a place
        check_levels("ConvPlaces", x.shape[1:], unit)
        x = space_to_depth(x, self.patch)
        x = levels(x, self.widths, self.blocks)
        # where it is, a place knows by the border that its convolutions have seen
        found = nn.Dense(self.features, name="last")(x)
        return found.reshape(len(x), -1, self.features)
