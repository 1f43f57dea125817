"""What a diffusion model says of a picture if it is told a class: its bound on log p(x | y), the same noise for all.

A model that is told the class y and denoises x + sigma eps to D(x + sigma eps; sigma, y) has, in u = ln sigma from
`low` to `high` and with d dimensions (Kingma et al. 2021, arXiv:2107.00630, sec. 5, whose gamma is 2 u),

    -log p(x | y) <= d/2 ln(2 pi e low²) + KL(N(x, high² I) || N(0, (high² + std²) I)) + integral E |x - D|² / sigma² du

The first two terms do not know y: by Bayes' rule only the errors tell classes apart (Li et al. 2023, arXiv:2303.16203,
sec. 3.2; Clark & Jaini 2023, arXiv:2303.15233). Levels and noise are the example's own: what is hard about
a draw is hard for all classes and cancels (Li et al., sec. 3.3). With the exact denoiser and low -> 0, high -> infinity
the bound is log p(x | y) itself.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from genjax.core import example_normal
from genjax.diffusion.paths import over
from genjax.diffusion.samplers import Denoiser
from genjax.diffusion.times import strata


def errors(
    denoise: Denoiser,
    x: jax.Array,
    key: jax.Array,
    index: jax.Array,
    draws: int,
    low: float,
    high: float,
) -> jax.Array:
    """The integral of E |x - D|² / sigma² over ln sigma, by `draws` levels an example, [B] nats.

    x [B, ...] in the units in which the denoiser works. A function of (key, index), whatever the denoiser is told.
    """
    first, noise = jax.random.split(key)
    place = strata(first, {"index": index})  # [B], of the example alone
    length = math.log(high / low)

    def draw(i: jax.Array) -> jax.Array:
        # evenly spaced over the levels, from a place of the example's own
        u = jnp.mod(place + i / draws, 1.0)
        sigma = low * jnp.exp(length * u)  # [B]
        eps = example_normal(jax.random.fold_in(noise, i), index, x.shape[1:])
        seen = x + over(sigma, x) * eps
        # |x - D|² / sigma² is the error of the noise that the denoiser takes out
        missed = (x - denoise(seen, sigma)) / over(sigma, x)
        return jnp.sum(jnp.square(missed).reshape(len(x), -1), -1)

    # one after the other: memory is that of one draw
    drawn = jax.lax.map(draw, jnp.arange(draws))  # [draws, B]
    return length * jnp.mean(drawn, 0)


def ends(x: jax.Array, low: float, high: float, std: float) -> jax.Array:
    """The two terms of -log p(x) that do not depend on the model, [B] nats."""
    flat = x.reshape(len(x), -1)
    d = flat.shape[-1]
    # E -log N(x; z, low²) where z = x + low eps: the entropy of a Gaussian
    near = 0.5 * d * math.log(2.0 * math.pi * math.e * low**2)
    wide = high**2 + std**2
    square = (high**2 + jnp.square(flat)) / wide
    gap = 0.5 * (square - 1.0 - math.log(high**2 / wide))
    return near + jnp.sum(gap, -1)


def bound(
    denoise: Denoiser,
    x: jax.Array,
    key: jax.Array,
    index: jax.Array,
    draws: int,
    low: float,
    high: float,
    std: float,
) -> jax.Array:
    """At most log p(x) [B] nats, a density in the units of x; std of the data, see `ends`."""
    lost = errors(denoise, x, key, index, draws, low, high)
    return -lost - ends(x, low, high, std)
