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


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, width))


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), pre-activation (arXiv:1603.05027), group norm."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        h = nn.Conv(width, (3, 3))(nn.silu(_norm(width)(x)))
        h = _norm(width)(h)
        return x + nn.Conv(width, (3, 3), kernel_init=nn.initializers.zeros)(nn.silu(h))


def _check(shape: tuple[int, ...], patch: int, levels: int) -> None:
    if patch < 1 or levels < 1:
        raise UserError(
            f"a convolutional net needs a patch of at least 1 and widths, got patch {patch}, {levels} widths."
        )
    unit = patch * 2 ** (levels - 1)
    if len(shape) != 3 or shape[0] % unit or shape[1] % unit:
        raise UserError(
            f"a convolutional net with patch {patch} and {levels} widths needs images [H, W, C] with H and W divisible "
            f"by {unit}, got {shape}: change its patch or widths."
        )


class ConvEncoder(nn.Module):
    """[B, H, W, C] -> [B, *out]: patches, then levels of residual blocks at half the size each, then a dense layer."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(2, "side of the patch folded into channels first [pixels]")
    skip: bool = field(False, "add a linear map of the pixels: the layers learn what is not linear")

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        _check(x.shape[1:], self.patch, len(self.widths))
        linear = (
            nn.Dense(math.prod(out), use_bias=False, name="linear")(join(x, None))
            if self.skip
            else 0.0
        )
        x = join_maps("ConvEncoder", space_to_depth(beside(x, cond), self.patch), cond)
        for level, width in enumerate(self.widths):
            x = nn.Conv(width, (3, 3))(space_to_depth(x, 2) if level else x)
            for _ in range(self.blocks):
                x = Residual()(x)
        x = nn.silu(_norm(x.shape[-1])(x))
        last = nn.initializers.zeros if self.skip else nn.initializers.lecun_normal()
        return (linear + nn.Dense(math.prod(out), kernel_init=last)(join(x, None))).reshape(
            -1, *out
        )


class ConvDecoder(nn.Module):
    """[B, D] -> [B, *out] with out = (H, W, C): the mirror of `ConvEncoder`; `widths` from the largest size down."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level, in the encoder's order")
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(2, "side of the patch unfolded at the end [pixels]")
    skip: bool = field(False, "add a linear map of z: the layers learn what is not linear")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        _check(out, self.patch, len(self.widths))
        unit = self.patch * 2 ** (len(self.widths) - 1)
        h, w = out[0] // unit, out[1] // unit
        linear = (
            nn.Dense(math.prod(out), use_bias=False, name="linear")(z).reshape(-1, *out)
            if self.skip
            else 0.0
        )
        x = nn.Dense(h * w * self.widths[-1])(join(z, cond)).reshape(-1, h, w, self.widths[-1])
        for level, width in reversed(list(enumerate(self.widths))):
            x = nn.Conv(width, (3, 3))(x)
            for _ in range(self.blocks):
                x = Residual()(x)
            if level:
                x = depth_to_space(nn.Conv(4 * self.widths[level - 1], (1, 1))(x), 2)
        x = nn.silu(_norm(x.shape[-1])(x))
        last = nn.initializers.zeros if self.skip else nn.initializers.lecun_normal()
        return linear + depth_to_space(
            nn.Conv(self.patch**2 * out[2], (3, 3), kernel_init=last)(x), self.patch
        )
