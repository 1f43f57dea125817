"""A critic that scores patches: true or made, place by place (PatchGAN, Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

import flax.linen as nn
import jax

from genjax.config import field
from genjax.errors import UserError
from genjax.nets.adain import instance_norm
from genjax.nets.blocks import check_sizes, space_to_depth
from genjax.nets.gan import check_levels, normal
from genjax.nets.thin import Conv


class PatchCritic(nn.Module):
    """Pixels [B, H, W, C] -> scores [B, h, w, 1]; each sees a square of `reach()` pixels a side."""

    widths: tuple[int, ...] = field(
        (32, 64), "channels of each level, each of half the size of the last"
    )
    norm: bool = field(
        True, "instance norm on all but the first level; gradient penalties go without"
    )

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        self._check(x.shape[1:])
        h = x
        for level, width in enumerate(self.widths):
            # half the size, four times the channels: a stride without its slow gradient
            h = space_to_depth(h, 2)
            h = Conv(width, normal)(h)
            if self.norm and level:
                h = instance_norm(h)
            h = nn.leaky_relu(h, 0.2)
        # no sigmoid: what a score means is the game's affair
        return Conv(1, normal)(h)

    def reach(self) -> int:
        """The side of the square of pixels that a score depends on."""
        # from the score back to the pixels
        side = 3  # of the last convolution
        for _ in self.widths:
            side = 2 * (side + 2)
        return side

    def _check(self, shape: tuple[int, ...]) -> None:
        check_sizes("PatchCritic", widths=min(self.widths, default=0))
        if self.reach() > min(shape[:2]):
            raise UserError(
                f"PatchCritic: its patches of {self.reach()} pixels a side are larger than pictures {tuple(shape)}: "
                "give --algorithm.disc.widths fewer levels."
            )
        check_levels("PatchCritic", shape, 2 ** len(self.widths))
