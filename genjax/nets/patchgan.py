"""PatchGAN: a discriminator that judges every patch of a picture by itself (Isola et al. 2017, arXiv:1611.07004).

Convolutions alone, so that an output sees a square patch of the input and nothing else. From the last layer to the
first a patch of p outputs is one of (p - 1) stride + side inputs: the size is a fact of the config, and `patch` tells
it. The paper's discriminators, with kernels of side 4:

    PatchGAN((64, 128, 256, 512), halvings=3)    70 x 70
    PatchGAN((64, 128), halvings=1)              16 x 16
    PatchGAN((64, 128), halvings=0, side=1)      1 x 1, each pixel by itself
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError, at_least
from genjax.nets.blocks import beside, join_maps, space_to_depth
from genjax.nets.norm import GroupNorm

normal = nn.initializers.normal(0.02)  # of every kernel, as in the paper's appendix 6.2
NAME = "PatchGAN"


class PatchGAN(nn.Module):
    """(x [B, H, W, C], condition or None) -> [B, h, w, out[-1]]: a number for each patch; maps stand beside x.

    The border is one row of zeros at every layer, as in the paper, so a patch at the rim looks beyond the picture.
    """

    # the patch follows from these three
    widths: tuple[int, ...] = field((64, 128), "channels of each layer but the last")
    halvings: int = field(1, "how many of the first layers halve the size")
    side: int = field(4, "of the kernels [pixels]; 1 = every pixel by itself")
    # its statistics are of the whole picture: with it an output sees more than its patch
    norm: bool = field(False, "group norm on all but the first layer")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        # a patch beyond the picture would be mostly border
        self.check(x.shape[1:])
        x = join_maps(NAME, beside(x, cond), cond)
        for layer, width in enumerate(self.widths):
            x = self.layer(x, width, f"layer_{layer}", self.stride(layer))
            # the first without, as in the paper
            if layer and self.norm:
                x = GroupNorm(name=f"norm_{layer}")(x)
            x = nn.leaky_relu(x, 0.2)
        return self.layer(x, out[-1], "score", 1)

    def layer(
        self,
        x: jax.Array,
        width: int,
        name: str,
        stride: int,
    ) -> jax.Array:
        """A convolution with kernels of `side` within a border of one zero."""
        # a single pixel has nothing around it
        border = 0 if self.side == 1 else 1
        pads = [(border, border), (border, border)]
        kernel = (self.side, self.side)
        # odd sides do not fold
        folds = stride == 2 and self.side == 4 and not any(n % 2 for n in x.shape[1:3])
        if folds:
            # a kernel of 4 at every second pixel is one of 2 on blocks of 2 x 2: without strides it is quick on CPU
            around = jnp.pad(x, [(0, 0), *pads, (0, 0)])
            x = space_to_depth(around, 2)
            stride, kernel, pads = 1, (2, 2), [(0, 0), (0, 0)]
        conv = nn.Conv(
            width,
            kernel,
            strides=stride,
            padding=pads,
            kernel_init=normal,
            name=name,
        )
        return conv(x)

    def stride(self, layer: int) -> int:
        """Of a layer, the last one included."""
        return 2 if layer < self.halvings else 1

    @property
    def patch(self) -> int:
        """The side of what an output sees [pixels]."""
        # from one output back to the pixels
        seen = 1
        for layer in reversed(range(len(self.widths) + 1)):
            seen = (seen - 1) * self.stride(layer) + self.side
        return seen

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a patch that is larger than pictures of this shape, and for settings of no net."""
        where = f"{NAME}: "
        at_least(1, where, side=self.side, widths=min(self.widths, default=0))
        at_least(0, where, halvings=self.halvings)
        if self.halvings > len(self.widths):
            raise UserError(
                f"PatchGAN(halvings={self.halvings}): only the {len(self.widths)} layers of widths={self.widths} can "
                "halve the size: name more widths."
            )
        if self.patch > min(shape[:2]):
            size = "x".join(map(str, shape[:2]))
            raise UserError(
                f"PatchGAN: a patch of {self.patch}x{self.patch} pixels is larger than the picture, {size}: use fewer "
                "--algorithm.disc.widths or --algorithm.disc.halvings."
            )

    def outputs(self, shape: tuple[int, ...]) -> int:
        """How many patches of a picture are judged."""
        border = 0 if self.side == 1 else 2
        # forwards, by the rule for the size of a convolution
        sides = list(shape[:2])
        for layer in range(len(self.widths) + 1):
            stride = self.stride(layer)
            sides = [(n + border - self.side) // stride + 1 for n in sides]
        return math.prod(sides)
