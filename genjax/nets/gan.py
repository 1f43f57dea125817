"""Generators and discriminators of pictures: DCGAN's and SNGAN's pair.

Generators map z [B, D] and a one-hot label or None to pixels in [-1, 1], out = (H, W, C); discriminators map pixels to
[B, 1]. `widths` run from the largest size down; H and W must divide by 2^len(widths). Two changes, so that sample i is
a function of its own z alone and quick on every processor: group norm where the papers have batch norm, and
depth-to-space where they have transposed convolutions.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets.blocks import beside, depth_to_space, join, space_to_depth, vector
from genjax.nets.norm import GroupNorm
from genjax.nets.spectral import SpectralConv, SpectralDense
from genjax.nets.thin import Conv

normal = nn.initializers.normal(0.02)  # of every kernel, DCGAN sec. 3


def check_levels(net: str, shape: tuple[int, ...], unit: int) -> None:
    """Raises UserError unless shape = (H, W, C) with H and W divisible by `unit`."""
    height_width = shape[:2]
    divides = not any(side % unit for side in height_width)
    if len(shape) != 3 or not divides:
        raise UserError(
            f"{net} needs images [H, W, C] with H and W divisible by {unit}, got {tuple(shape)}: change its widths."
        )


def projection(net: str, h: jax.Array, cond: Cond | None, score, embed) -> jax.Array:
    """score(h) + <embed(y), h> of features h [B, D]: [B, 1] (Miyato & Koyama 2018, arXiv:1802.05637, eq. 3).

    y is the condition's vector; UserError for a sequence.
    """
    y = vector(net, cond)
    if y is None:
        return score(h)
    unconditional = score(h)  # [B, 1]
    agreement = embed(y) * h  # [B, D]
    return unconditional + jnp.sum(agreement, -1, keepdims=True)


def _doubled(x: jax.Array) -> jax.Array:
    """[B, H, W, C] -> [B, 2 H, 2 W, C], nearest neighbours."""
    rows = x.repeat(2, 1)
    return rows.repeat(2, 2)


def _lrelu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


class DcganGenerator(nn.Module):
    """Radford et al. 2016, arXiv:1511.06434, fig. 1: twice the size and half the channels at each layer; tanh."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        unit = 2 ** len(self.widths)
        check_levels("DcganGenerator", out, unit)
        h = out[0] // unit
        w = out[1] // unit
        widest = self.widths[-1]
        told = join(z, cond)  # [B, D]
        x = nn.Dense(h * w * widest, kernel_init=normal)(told)
        x = x.reshape(-1, h, w, widest)
        narrower = self.widths[-2::-1]
        # every layer ends in the width of the next, the last in pixels: one doubling for each level
        for width in (*narrower, out[2]):
            x = nn.relu(GroupNorm()(x))
            x = Conv(4 * width, normal)(x)
            x = depth_to_space(x, 2)  # [B, 2 H, 2 W, width]
        return jnp.tanh(x)


class DcganDiscriminator(nn.Module):
    """Half the size and twice the channels at each layer, leaky ReLU; the label by projection."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")
    norm: bool = field(
        True, "group norm on all but the first layer; gradient penalties go without"
    )

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        unit = 2 ** len(self.widths)
        check_levels("DcganDiscriminator", x.shape[1:], unit)
        x = beside(x, cond)
        for level, width in enumerate(self.widths):
            folded = space_to_depth(x, 2)  # [B, H / 2, W / 2, 4 C]
            x = Conv(width, normal)(folded)
            if (
                self.norm and level
            ):  # the first layer without: with it samples oscillate (sec. 3)
                x = GroupNorm()(x)
            x = _lrelu(x)
        x = join(x, None)  # [B, D]
        # made in this order: parameters are named by it
        score = nn.Dense(*out, kernel_init=normal)
        embed = nn.Dense(x.shape[-1], use_bias=False)
        return projection("DcganDiscriminator", x, cond, score, embed)


class ResnetGenerator(nn.Module):
    """SNGAN's (arXiv:1802.05957, table 4): residual blocks, each after doubling the size by nearest neighbours."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        unit = 2 ** len(self.widths)
        check_levels("ResnetGenerator", out, unit)
        h = out[0] // unit
        w = out[1] // unit
        widest = self.widths[-1]
        told = join(z, cond)  # [B, D]
        x = nn.Dense(h * w * widest)(told)
        x = x.reshape(-1, h, w, widest)
        for width in reversed(self.widths):
            up = _doubled(nn.relu(GroupNorm()(x)))
            up = nn.Conv(width, (3, 3))(up)
            up = nn.relu(GroupNorm()(up))
            # the 1x1 convolution of the skip runs before it is doubled: a quarter of the work
            skip = nn.Conv(width, (1, 1))(x)
            up = nn.Conv(width, (3, 3))(up)
            x = _doubled(skip) + up
        x = nn.relu(GroupNorm()(x))
        pixels = Conv(out[2])(x)  # [B, H, W, C]
        return jnp.tanh(pixels)


class ResnetDiscriminator(nn.Module):
    """SNGAN's: residual blocks with mean pooling, all weights spectrally normalised; the label by projection."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")
    spectral: bool = field(True, "divide every kernel by its largest singular value")

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        unit = 2 ** len(self.widths)
        check_levels("ResnetDiscriminator", x.shape[1:], unit)
        x = beside(x, cond)
        sn = self.spectral
        levels = len(self.widths)
        blocks = (*self.widths, self.widths[-1])
        for level, width in enumerate(blocks):
            shrinks = level < levels  # the block after the last level keeps size and width
            h = nn.relu(x) if level else x  # pixels are not cut
            # the outer one is made first: parameters are named by the order of making
            outer = SpectralConv(width, 3, sn)
            inner = SpectralConv(width, 3, sn)
            h = outer(nn.relu(inner(h)))
            if not shrinks:
                x = x + h
                continue
            skip = SpectralConv(width, 1, sn)(x)
            x = _halved(skip + h)
        x = jnp.sum(nn.relu(x), (1, 2))  # [B, width]
        score = SpectralDense(*out, spectral=sn)
        embed = SpectralDense(x.shape[-1], spectral=sn, use_bias=False)
        return projection("ResnetDiscriminator", x, cond, score, embed)


def _halved(x: jax.Array) -> jax.Array:
    """Mean of 2 x 2 pixels."""
    b, h, w, _ = x.shape
    folded = space_to_depth(x, 2)  # [B, H / 2, W / 2, 4 C], the channel fastest
    half_h = h // 2
    half_w = w // 2
    pixels = folded.reshape(b, half_h, half_w, 4, -1)
    return pixels.mean(3)
