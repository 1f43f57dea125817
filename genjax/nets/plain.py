"""A U-Net without norms: a restorer whose output at a pixel depends on the pixels within `reach` and on no others.

Convolutions and rectifiers alone, as in DnCNN's successors (FFDNet, Zhang et al. 2018, arXiv:1710.04026: pixels folded
into channels, the noise level as a map beside them; DRUNet, Zhang et al. 2021, arXiv:2008.13751: residual blocks on
several levels, no bias and no norm). What a norm would take from the whole picture is what makes tiles visible. A bias
is for damage that is not of the picture's own scale: a mark is white whatever lies under it.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets import flops as cost
from genjax.nets.blocks import (
    beside,
    check_images,
    check_sizes,
    depth_to_space,
    space_to_depth,
    vector,
)
from genjax.nets.flops import NOTHING, Told


class _Block(nn.Module):
    """x + conv(relu(conv(x)))."""

    bias: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        h = nn.relu(nn.Conv(width, (3, 3), use_bias=self.bias)(x))
        # zeros: a block starts as its skip
        last = nn.Conv(width, (3, 3), use_bias=self.bias, kernel_init=nn.initializers.zeros)
        return x + last(h)


class PlainUNet(nn.Module):
    """(x [B, H, W, C], time [B] or [B, k], condition or None) -> [B, *out] float32, out = (H, W, any C).

    Times and the condition's vector enter as constant maps, as FFDNet's noise level does. Without a bias the net is
    homogeneous in all that it sees: twice the contrast and twice the noise are twice the picture.
    """

    widths: tuple[int, ...] = field(
        (32, 64), "channels of each level, each at half the size of the one before"
    )
    blocks: int = field(2, "residual blocks a level, down and up")
    patch: int = field(2, "side of the patch folded into channels first [pixels]")
    bias: bool = field(
        False,
        "convolutions have one: it knows black from grey, and is not homogeneous",
        added=True,
    )

    @nn.compact
    def __call__(
        self, x: jax.Array, time: jax.Array, cond: Cond | None, out: tuple[int, ...]
    ) -> jax.Array:
        self._check(x.shape[1:], out)
        x = jnp.concatenate([beside(x, cond), _maps(x, time, cond)], -1)
        x = space_to_depth(x, self.patch)
        x = nn.Conv(self.widths[0], (3, 3), use_bias=self.bias, name="patches")(x)
        skips = []
        for level, width in enumerate(self.widths):
            if level:  # half the size, nothing thrown away
                x = space_to_depth(x, 2)
                x = nn.Conv(width, (1, 1), use_bias=False, name=f"down_{level}")(x)
            for i in range(self.blocks):
                x = _Block(self.bias, name=f"down_{level}_{i}")(x)
            skips.append(x)
        for level in reversed(range(len(self.widths))):
            if level < len(self.widths) - 1:  # the lowest level has no way up into it
                x = nn.Conv(4 * self.widths[level], (1, 1), use_bias=False, name=f"up_{level}")(
                    x
                )
                x = depth_to_space(x, 2) + skips[level]
            for i in range(self.blocks):
                x = _Block(self.bias, name=f"up_{level}_{i}")(x)
        channels = self.patch**2 * out[2]
        last = nn.Conv(
            channels, (3, 3), use_bias=False, kernel_init=nn.initializers.zeros, name="last"
        )
        return depth_to_space(last(x), self.patch)

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        first = self.widths[0]
        patch = self.patch**2
        pixels = math.prod(out[:2]) // patch
        inputs = shape[-1] + told.clocks + told.vector
        total = cost.convolution(pixels, 3, patch * inputs, first)
        total += cost.convolution(pixels, 3, first, patch * out[-1])
        above = first
        for level, width in enumerate(self.widths):
            here = pixels // 4**level
            blocks = 4 * self.blocks  # convolutions, down and up
            total += blocks * cost.convolution(here, 3, width, width)
            if level:  # folded on the way down, unfolded on the way up
                total += cost.dense(here, 4 * above, width)
                total += cost.dense(here, width, 4 * above)
            above = width
        return total

    @property
    def unit(self) -> int:
        """Pixels of the smallest map's pixel: sides must divide by it, and tiles begin at multiples of it."""
        return self.patch * 2 ** (len(self.widths) - 1)

    @property
    def reach(self) -> int:
        """How many pixels away an input can matter to an output, at most."""
        total = 0
        for level in range(len(self.widths)):
            scale = self.patch * 2**level  # pixels of this level's pixel
            convolutions = (
                4 * self.blocks
            )  # two in a block, down and up; each reaches one of its pixels
            total += convolutions * scale
            total += scale - 1  # folding: all of a patch is one pixel
        return total + 2 * self.patch  # the first convolution and the last

    def _check(self, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
        """Raises UserError for sizes that do not fit."""
        least = min(self.widths, default=0)
        check_sizes("PlainUNet", widths=least, blocks=self.blocks, patch=self.patch)
        check_images("PlainUNet", shape, out)
        h, w = out[:2]
        if h % self.unit or w % self.unit:
            raise UserError(
                f"PlainUNet: image {h}x{w} does not divide by {self.unit} = patch {self.patch} x "
                f"2^{len(self.widths) - 1} for {len(self.widths)} widths: use a smaller --algorithm.net.patch or fewer "
                "--algorithm.net.widths."
            )


def _maps(x: jax.Array, time: jax.Array, cond: Cond | None) -> jax.Array:
    """Times [B] or [B, k] and the condition's vector [B, D] as constant maps, [B, H, W, k + D]."""
    told = [time.reshape(len(x), -1)]
    label = vector("PlainUNet", cond)
    if label is not None:
        told.append(label)
    numbers = jnp.concatenate(told, -1).astype(x.dtype)
    maps = numbers[:, None, None, :]
    shape = (*x.shape[:3], numbers.shape[-1])
    return jnp.broadcast_to(maps, shape)
