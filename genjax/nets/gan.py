"""Generators and discriminators of pictures: DCGAN's and SNGAN's pair.

Generators map z [B, D] and a one-hot label or None to pixels in [-1, 1], out = (H, W, C); discriminators map pixels to
[B, 1]. `widths` run from the largest size down; H and W must divide by 2^len(widths). Two changes, so that sample i is
a function of its own z alone and quick on every processor: group norm where the papers have batch norm, and
depth-to-space where they have transposed convolutions.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets.blocks import beside, depth_to_space, join, space_to_depth, vector
from genjax.nets.spectral import SpectralConv, SpectralDense

normal = nn.initializers.normal(0.02)


def check_levels(net: str, shape: tuple[int, ...], unit: int) -> None:
    """Raises UserError unless shape = (H, W, C) with H and W divisible by `unit`."""
    if len(shape) != 3 or shape[0] % unit or shape[1] % unit:
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
    return score(h) + jnp.sum(embed(y) * h, -1, keepdims=True)


def _norm(x: jax.Array) -> jax.Array:
    return nn.GroupNorm(math.gcd(8, x.shape[-1]))(x)


def _lrelu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


class DcganGenerator(nn.Module):
    """Radford et al. 2016, arXiv:1511.06434, fig. 1: twice the size and half the channels at each layer; tanh."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        unit = 2 ** len(self.widths)
        check_levels("DcganGenerator", out, unit)
        h, w = out[0] // unit, out[1] // unit
        x = nn.Dense(h * w * self.widths[-1], kernel_init=normal)(join(z, cond)).reshape(
            -1, h, w, self.widths[-1]
        )
        for width in (*self.widths[-2::-1], out[2]):
            x = nn.relu(_norm(x))
            x = depth_to_space(nn.Conv(4 * width, (3, 3), kernel_init=normal)(x), 2)
        return jnp.tanh(x)


class DcganDiscriminator(nn.Module):
    """Half the size and twice the channels at each layer, leaky ReLU; the label by projection."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")
    norm: bool = field(True, "group norm on all but the first layer; gradient penalties go without")

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        check_levels("DcganDiscriminator", x.shape[1:], 2 ** len(self.widths))
        x = beside(x, cond)
        for level, width in enumerate(self.widths):
            x = nn.Conv(width, (3, 3), kernel_init=normal)(space_to_depth(x, 2))
            x = _lrelu(_norm(x) if self.norm and level else x)
        x = join(x, None)
        return projection(
            "DcganDiscriminator",
            x,
            cond,
            nn.Dense(*out, kernel_init=normal),
            nn.Dense(x.shape[-1], use_bias=False),
        )


class ResnetGenerator(nn.Module):
    """SNGAN's (arXiv:1802.05957, table 4): residual blocks, each after doubling the size by nearest neighbours."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        unit = 2 ** len(self.widths)
        check_levels("ResnetGenerator", out, unit)
        h, w = out[0] // unit, out[1] // unit
        x = nn.Dense(h * w * self.widths[-1])(join(z, cond)).reshape(-1, h, w, self.widths[-1])
        for width in reversed(self.widths):
            up = nn.relu(_norm(x)).repeat(2, 1).repeat(2, 2)
            up = nn.relu(_norm(nn.Conv(width, (3, 3))(up)))
            x = nn.Conv(width, (1, 1))(x).repeat(2, 1).repeat(2, 2) + nn.Conv(width, (3, 3))(up)
        return jnp.tanh(nn.Conv(out[2], (3, 3))(nn.relu(_norm(x))))


class ResnetDiscriminator(nn.Module):
    """SNGAN's: residual blocks with mean pooling, all weights spectrally normalised; the label by projection."""

    widths: tuple[int, ...] = field((64, 128), "channels of each level")
    spectral: bool = field(True, "divide every kernel by its largest singular value")

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        check_levels("ResnetDiscriminator", x.shape[1:], 2 ** len(self.widths))
        x = beside(x, cond)
        sn = self.spectral
        for level, width in enumerate((*self.widths, self.widths[-1])):
            h = nn.relu(x) if level else x  # pixels are not cut
            h = SpectralConv(width, 3, sn)(nn.relu(SpectralConv(width, 3, sn)(h)))
            skip = SpectralConv(width, 1, sn)(x) if level < len(self.widths) else x
            x = skip + h if level == len(self.widths) else _halved(skip + h)
        x = jnp.sum(nn.relu(x), (1, 2))
        return projection(
            "ResnetDiscriminator",
            x,
            cond,
            SpectralDense(*out, spectral=sn),
            SpectralDense(x.shape[-1], spectral=sn, use_bias=False),
        )


def _halved(x: jax.Array) -> jax.Array:
    """Mean of 2 x 2 pixels."""
    return (
        space_to_depth(x, 2).reshape(*x.shape[:1], x.shape[1] // 2, x.shape[2] // 2, 4, -1).mean(3)
    )
