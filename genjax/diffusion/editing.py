"""Editing with a trained denoiser: image -> image, inpainting, what is missing from what is known, inversion.

Images here are signed [B, H, W, C]; `noise(i)` gives standard normals of their shape for step i, as for the samplers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.corruptions import Projection
from genjax.diffusion.guidance import Keep, Threshold
from genjax.diffusion.samplers import (
    DDPM,
    Denoiser,
    Euler,
    Sampler,
    of_steps,
    sample,
    still,
    walk,
)
from genjax.errors import UserError


def check_shape(image: jax.Array, shape: tuple[int, ...], what: str) -> None:
    """Raises UserError unless `image` [B, ...] has examples of `shape` (a mask may have one channel)."""
    one_channel = (*shape[:-1], 1)
    if tuple(image.shape[1:]) not in {tuple(shape), one_channel}:
        raise UserError(
            f"{what} is {tuple(image.shape[1:])} and the model makes {tuple(shape)}: give one of that size."
        )


def sdedit(
    sampler: Sampler, denoiser: Denoiser, image: jax.Array, sigmas: jax.Array, noise: Callable
) -> jax.Array:
    """Image -> image: noise up to sigmas[0], then denoise (Meng et al. 2022, arXiv:2108.01073); sigmas [n] descending.

    The higher the first level, the more is made anew.
    """
    # the steps take noise(0), noise(1), …: number n is none of theirs
    noisy = image + sigmas[0] * noise(len(sigmas))
    return sample(sampler, denoiser, noisy, sigmas, noise)


def invert(denoiser: Denoiser, image: jax.Array, sigmas: jax.Array) -> jax.Array:
    """The noisy x at sigmas[0] that a deterministic sampler takes to `image`: Euler upwards, DDIM inversion."""
    upwards = sigmas[::-1]
    x, *_ = walk(Euler(), denoiser, image, upwards, still(image))  # no noise is added
    return x


def inpaint(
    denoiser: Denoiser,
    image: jax.Array,
    mask: jax.Array,
    sigmas: jax.Array,
    noise: Callable,
    repeats: int = 10,
    sampler: Sampler = DDPM(),
    jump: int = 1,
) -> jax.Array:
    """Fills in where mask [H, W, 1] or [B, H, W, 1] is 0; RePaint (Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1).

    At each level the known part is replaced by the image with fresh noise. `repeats` times each stretch of `jump` steps
    is taken and, but for the last time, taken back by adding noise, which lets the two parts agree. Raises UserError
    for a mask of another size.
    """
    mask = mask if mask.ndim == image.ndim else mask[None]  # [B or 1, H, W, 1]
    check_shape(mask, image.shape[1:], "the mask")
    if repeats < 1:
        raise UserError(f"inpainting takes every step at least once, got repeats={repeats}.")
    n = len(sigmas)
    longest = max(n - 1, 1)
    if not 1 <= jump <= longest:  # of longer ones none fits in, and nothing would be resampled
        raise UserError(
            f"inpainting on {n} levels jumps back by 1 to {longest} of them, got jump={jump}."
        )
    sampler = of_steps(sampler, n)

    # algorithm 1: the known part at this level's own noise, beside the part that is made
    def known(x, sigma, eps):
        return mask * (image + sigma * eps) + (1.0 - mask) * x

    # `length` steps down from level `first`, `times` times, after `taken` steps in all
    def stretch(x, first, length, times, taken):
        def step(k, carry):
            x, r = carry
            i = first + k
            sigma = sigmas[i]
            after = sigmas[i + 1]
            j = 3 * (taken + r * length + k)  # a step takes three draws of noise
            partly = known(x, sigma, noise(j))
            # a first step each time: after a return there is no step before that a sampler may use
            x, _ = sampler(denoiser, partly, x, (sigma, sigma, after), noise(j + 1))
            # variances add up: one jump has the law of as many steps of noise
            back = x + jnp.sqrt(sigmas[first] ** 2 - after**2) * noise(j + 2)
            returns = (k == length - 1) & (r < times - 1)
            return jnp.where(returns, back, x), r

        def once(r, x):
            return jax.lax.fori_loop(0, length, step, (x, r))[0]

        return jax.lax.fori_loop(0, times, once, x)

    # what is too short for a jump lies at the start, where all is noise: the paper's code takes it once
    short = (n - 1) % jump

    def resampled(x, first):
        taken = short + (first - short) * repeats
        return stretch(x, first, jump, repeats, taken), None

    fresh = 3 * n * repeats  # above every number that a step takes
    x = sigmas[0] * noise(fresh)  # [B, H, W, C]
    if short:
        x = stretch(x, 0, short, 1, 0)
    x, _ = jax.lax.scan(resampled, x, jnp.arange(short, n - 1, jump))
    least = sigmas[-1]
    x = denoiser(known(x, least, noise(fresh + 1)), least)
    return mask * image + (1.0 - mask) * x  # the known part exactly


@dataclasses.dataclass(frozen=True)
class Replace:
    """D' = P y + (1 - P) D: the denoised image agrees with what is known.

    DDNM (Wang et al. 2023, arXiv:2212.00490, eq. 13). Costs nothing.
    """

    def __call__(self, denoiser: Denoiser, known: Projection, y: jax.Array) -> Denoiser:
        def agreeing(x: jax.Array, sigma: jax.Array) -> jax.Array:
            d = denoiser(x, sigma)
            return d + y - known(d)  # eq. 13; P d is taken away, P y put in its place

        return agreeing


@dataclasses.dataclass(frozen=True)
class PseudoInverse:
    """D' = D + scale sigma² / r² (dD/dx)' P (y - D): guidance by the likelihood of what is known.

    PiGDM (Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion models", eq. 7) with the posterior variance of
    Gaussian data, r² = sigma² std² / (sigma² + std²), for which it is exact. Costs a backward pass of the net a step.
    """

    scale: float = field(1.0, "strength of the guidance")
    std: float = field(0.5, "standard deviation of the data")
    threshold: Threshold = field(
        Keep(), "of the guided image: images need one, the weight is thousands at much noise"
    )

    def __post_init__(self):
        if not (math.isfinite(self.scale) and 0.0 < self.std < math.inf):
            raise ValueError(
                f"the guidance has a finite scale and data of a std above 0, got {self.scale} and {self.std}"
            )

    def __call__(self, denoiser: Denoiser, known: Projection, y: jax.Array) -> Denoiser:
        def guided(x: jax.Array, sigma: jax.Array) -> jax.Array:
            d, pullback = jax.vjp(lambda v: denoiser(v, sigma), x)
            # sigma² / r², in which sigma² cancels: finite at no noise
            weight = self.scale * (sigma**2 + self.std**2) / self.std**2
            (gradient,) = pullback(y - known(d))  # (dD/dx)' P (y - D), [B, H, W, C]
            return d + weight * gradient

        return self.threshold(guided)


# how a sampler is made to agree with what is known
Consistency = Replace | PseudoInverse


def restore(
    how: Consistency,
    known: Projection,
    sampler: Sampler,
    denoiser: Denoiser,
    image: jax.Array,
    sigmas,
    noise,
) -> jax.Array:
    """Samples that agree with P image: super-resolution, colourisation or inpainting, as the projection `known` says.

    sigmas [n] descending, [B, H, W, C] in and out; P image is taken from `image`, which may be degraded already.
    """
    x = sigmas[0] * noise(len(sigmas))  # from noise alone: no step takes number n
    y = known(image)
    agreeing = how(denoiser, known, y)
    return sample(sampler, agreeing, x, sigmas, noise)
