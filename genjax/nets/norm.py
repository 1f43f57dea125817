"""Group norm (Wu & He 2018, arXiv:1803.08494) with the parameters of Flax's, whose sums are quick on CPU too.

XLA computes a sum over more than 32 numbers on CPU as windows, one number at a time, and gradients of a norm are mostly
such sums. There each is a product with ones instead, and so is the transpose of every value that is spread over pixels.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

GROUPS = 8  # of channels; fewer where 8 do not divide them
EPSILON = 1e-6
EXACT = jax.lax.Precision.HIGHEST  # a product that stands for a sum


class GroupNorm(nn.Module):
    """[B, ..., C] -> the same in `dtype`; statistics in float32, by example and group of channels.

    With `scale` and `shift` [B, C], norm(x) (1 + scale) + shift: the condition of ADM's block (arXiv:2105.05233).
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        scale: jax.Array | float = 0.0,
        shift: jax.Array | float = 0.0,
    ) -> jax.Array:
        channels = x.shape[-1]
        own_scale = self.param("scale", nn.initializers.ones, (channels,))
        own_shift = self.param("bias", nn.initializers.zeros, (channels,))
        pixels = x.reshape(x.shape[0], -1, channels).astype(jnp.float32)  # [B, P, C]
        mean, deviation = statistics(pixels)
        # one factor and one summand for each example and channel, so that pixels are touched once
        factor = own_scale / deviation * (1.0 + scale)
        summand = own_shift * (1.0 + scale) + shift - mean * factor
        y = affine(pixels, factor, summand)
        return y.reshape(x.shape).astype(self.dtype)


def statistics(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mean, standard deviation) of [B, P, C] over pixels and channels of a group, [B, C] each."""
    moments = jax.lax.platform_dependent(pixels, cpu=_moments_by_products, default=_moments)
    mean, power = (_by_groups(moment) for moment in moments)
    # rounding may leave less than nothing
    variance = jnp.maximum(power - jnp.square(mean), 0.0)
    return mean, jnp.sqrt(variance + EPSILON)


def affine(pixels: jax.Array, factor: jax.Array, summand: jax.Array) -> jax.Array:
    """pixels [B, P, C] * factor + summand, [B, C] both."""
    return jax.lax.platform_dependent(
        pixels, factor, summand, cpu=_affine_by_products, default=_affine
    )


def _by_groups(moment: jax.Array) -> jax.Array:
    """Means over the channels of each group, [B, C] -> [B, C]."""
    examples, channels = moment.shape
    groups = math.gcd(GROUPS, channels)
    parts = moment.reshape(examples, groups, -1)
    means = parts.mean(-1, keepdims=True)
    return jnp.broadcast_to(means, parts.shape).reshape(moment.shape)


def _moments(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Means over pixels of values and of their squares, [B, C] each."""
    return pixels.mean(1), jnp.square(pixels).mean(1)


def _moments_by_products(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same as `_moments`."""
    ones = jnp.full(pixels.shape[:2], 1.0 / pixels.shape[1])  # [B, P]
    mean = jnp.einsum("bp,bpc->bc", ones, pixels, precision=EXACT)
    power = jnp.einsum("bp,bpc->bc", ones, jnp.square(pixels), precision=EXACT)
    return mean, power


def _affine(pixels: jax.Array, factor: jax.Array, summand: jax.Array) -> jax.Array:
    return pixels * factor[:, None] + summand[:, None]


def _affine_by_products(pixels: jax.Array, factor: jax.Array, summand: jax.Array) -> jax.Array:
    """The same as `_affine`; forwards XLA makes broadcasts of these products, backwards they are sums by products."""
    ones = jnp.ones(pixels.shape[:2])
    factor = jnp.einsum("bc,bp->bpc", factor, ones, precision=EXACT)
    summand = jnp.einsum("bc,bp->bpc", summand, ones, precision=EXACT)
    return pixels * factor + summand
