"""Instance norm and AdaIN: each channel of a picture brought to mean 0 and deviation 1, or to those that a style asks.

    adain(x, mean, deviation) = deviation (x - mean(x)) / std(x) + mean        (Huang & Belongie 2017, arXiv:1703.06868)

Sums over pixels are products with ones on CPU, as in `genjax.nets.norm`, which says why.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from genjax.nets.norm import EXACT, affine

EPSILON = 1e-6  # added to a variance: a channel that is flat stays flat


def adain(
    x: jax.Array,
    mean: jax.Array,
    deviation: jax.Array,
) -> jax.Array:
    """x [B, H, W, C] with the mean and the standard deviation [B, C] of each channel over pixels."""
    examples, *_, channels = x.shape
    pixels = x.reshape(examples, -1, channels)  # [B, P, C]
    own_mean, own_deviation = moments(pixels)
    # one factor and one summand, so that pixels are touched once
    factor = deviation / own_deviation
    summand = mean - own_mean * factor
    y = affine(pixels, factor, summand)
    return y.reshape(x.shape)


def instance_norm(x: jax.Array) -> jax.Array:
    """Every channel of [B, H, W, C] with mean 0 and deviation 1 (Ulyanov et al. 2016, arXiv:1607.08022)."""
    shape = (x.shape[0], x.shape[-1])
    zeros = jnp.zeros(shape)
    ones = jnp.ones(shape)
    return adain(x, zeros, ones)


def moments(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mean, standard deviation) of [B, P, C] over pixels, [B, C] each."""
    mean = _means(pixels)
    # of what is left, not E x² - mean²: that loses digits where the mean is large
    centred = pixels - mean[:, None]
    variance = _means(jnp.square(centred))
    return mean, jnp.sqrt(variance + EPSILON)


def _means(pixels: jax.Array) -> jax.Array:
    return jax.lax.platform_dependent(pixels, cpu=_by_products, default=_plain)


def _plain(pixels: jax.Array) -> jax.Array:
    return pixels.mean(1)


def _by_products(pixels: jax.Array) -> jax.Array:
    """The same as `_plain`."""
    count = pixels.shape[1]
    ones = jnp.full(pixels.shape[:2], 1.0 / count)  # [B, P]
    return jnp.einsum("bp,bpc->bc", ones, pixels, precision=EXACT)
