"""Convolutional encoder and decoder, residual, for images of any size divisible by patch * 2^(levels - 1).

Pixels are folded into channels first (`patch`): convolutions with few channels at full resolution are the slow ones on
every processor. Going up is depth-to-space, never a transposed convolution, whose gradient is slow on CPU.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets.blocks import beside, depth_to_space, join, join_maps, space_to_depth
from genjax.nets.norm import GroupNorm
from genjax.nets.thin import Conv


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), pre-activation (arXiv:1603.05027), group norm."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        h = nn.silu(GroupNorm()(x))
        h = nn.Conv(width, (3, 3))(h)
        h = nn.silu(GroupNorm()(h))
        # zeros: a block starts as the identity
        last = nn.Conv(width, (3, 3), kernel_init=nn.initializers.zeros)
        return x + last(h)


def _check(shape: tuple[int, ...], patch: int, levels: int) -> None:
    if patch < 1 or levels < 1:
        raise UserError(
            f"a convolutional net needs a patch of at least 1 and widths, got patch {patch}, {levels} widths."
        )
    unit = patch * 2 ** (levels - 1)
    height_width = shape[:2]
    divides = not any(side % unit for side in height_width)
    if len(shape) != 3 or not divides:
        raise UserError(
            f"a convolutional net with patch {patch} and {levels} widths needs images [H, W, C] with H and W divisible "
            f"by {unit}, got {shape}: change its patch or widths."
        )


def levels(x: jax.Array, widths: tuple[int, ...], blocks: int) -> jax.Array:
    """Levels of residual blocks at half the size each, within the module that calls it.

    [B, h, w, C] -> [B, h / 2^(levels - 1), w / 2^(levels - 1), widths[-1]].
    """
    for level, width in enumerate(widths):
        if level:  # the first level has the patches' own size
            x = space_to_depth(x, 2)
        x = Conv(width)(x)
        for _ in range(blocks):
            x = Residual()(x)
    return nn.silu(GroupNorm()(x))


class ConvEncoder(nn.Module):
    """[B, H, W, C] -> [B, *out]: patches, then levels of residual blocks at half the size each, then a dense layer."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(2, "side of the patch folded into channels first [pixels]")
    skip: bool = field(
        False, "add a linear map of the pixels: the layers learn what is not linear"
    )

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        _check(x.shape[1:], self.patch, len(self.widths))
        size = math.prod(out)
        linear = 0.0
        start = nn.initializers.lecun_normal()
        if self.skip:
            pixels = join(x, None)  # [B, H W C]
            linear = nn.Dense(size, use_bias=False, name="linear")(pixels)
            start = nn.initializers.zeros  # the net starts as its linear map
        x = space_to_depth(beside(x, cond), self.patch)  # [B, H / patch, W / patch, patch² C]
        x = join_maps("ConvEncoder", x, cond)
        x = levels(x, self.widths, self.blocks)
        flat = join(x, None)  # [B, h w width]
        y = linear + nn.Dense(size, kernel_init=start)(flat)
        return y.reshape(-1, *out)


class ConvDecoder(nn.Module):
    """[B, D] -> [B, *out] with out = (H, W, C): the mirror of `ConvEncoder`; `widths` from the largest size down."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level, in the encoder's order")
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(2, "side of the patch unfolded at the end [pixels]")
    skip: bool = field(False, "add a linear map of z: the layers learn what is not linear")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        _check(out, self.patch, len(self.widths))
        unit = self.patch * 2 ** (len(self.widths) - 1)  # pixels of the smallest map's pixel
        h = out[0] // unit
        w = out[1] // unit
        widest = self.widths[-1]
        linear = 0.0
        start = nn.initializers.lecun_normal()
        if self.skip:
            linear = nn.Dense(math.prod(out), use_bias=False, name="linear")(z)
            linear = linear.reshape(-1, *out)
            start = nn.initializers.zeros  # the net starts as its linear map
        told = join(z, cond)  # [B, D]
        x = nn.Dense(h * w * widest)(told)
        x = x.reshape(-1, h, w, widest)
        for level, width in reversed(list(enumerate(self.widths))):
            x = nn.Conv(width, (3, 3))(x)
            for _ in range(self.blocks):
                x = Residual()(x)
            if level:  # four times the next width: unfolding takes it back
                narrower = self.widths[level - 1]
                x = nn.Conv(4 * narrower, (1, 1))(x)
                x = depth_to_space(x, 2)  # [B, 2 h, 2 w, narrower]
        x = nn.silu(GroupNorm()(x))
        channels = self.patch**2 * out[2]
        patches = Conv(channels, start)(x)
        return linear + depth_to_space(patches, self.patch)
