"""Editing with a trained denoiser: image -> image, inpainting, what is missing from what is known, inversion.

Images here are signed [B, H, W, C]; `noise(i)` gives standard normals of their shape for step i, as for the samplers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.corruptions import Projection
from genjax.diffusion.guidance import Keep, Threshold
from genjax.diffusion.samplers import DDPM, Denoiser, Euler, Sampler, sample, still, walk
from genjax.errors import UserError


def check_shape(image: jax.Array, shape: tuple[int, ...], what: str) -> None:
    """Raises UserError unless `image` [B, ...] has examples of `shape` (a mask may have one channel)."""
    if tuple(image.shape[1:]) not in {tuple(shape), (*shape[:-1], 1)}:
        raise UserError(
            f"{what} is {tuple(image.shape[1:])} and the model makes {tuple(shape)}: give one of that size."
        )


def sdedit(
    sampler: Sampler, denoiser: Denoiser, image: jax.Array, sigmas: jax.Array, noise: Callable
) -> jax.Array:
    """Image -> image: noise up to sigmas[0], then denoise (Meng et al. 2022, arXiv:2108.01073); sigmas [n] descending.

    The higher the first level, the more is made anew.
    """
    return sample(sampler, denoiser, image + sigmas[0] * noise(len(sigmas)), sigmas, noise)


def invert(denoiser: Denoiser, image: jax.Array, sigmas: jax.Array) -> jax.Array:
    """The noisy x at sigmas[0] that a deterministic sampler takes to `image`: Euler upwards, DDIM inversion."""
    return walk(Euler(), denoiser, image, sigmas[::-1], still(image))[0]


def inpaint(
    denoiser: Denoiser,
    image: jax.Array,
    mask: jax.Array,
    sigmas: jax.Array,
    noise: Callable,
    repeats: int = 10,
    sampler: Sampler = DDPM(),
) -> jax.Array:
    """Fills in where mask [H, W, 1] or [B, H, W, 1] is 0; RePaint (Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1).

    At each level the known part is replaced by the image with fresh noise. `repeats` times each step is taken and, but
    for the last time, taken back by adding noise, which lets the two parts agree. Raises UserError for a mask of
    another size.
    """
    mask = mask if mask.ndim == image.ndim else mask[None]
    check_shape(mask, image.shape[1:], "the mask")
    if repeats < 1:
        raise UserError(f"inpainting takes every step at least once, got repeats={repeats}.")
    n = len(sigmas)

    def known(x, sigma, eps):
        return mask * (image + sigma * eps) + (1.0 - mask) * x

    def attempt(r, carry):
        x, i = carry
        sigma, after, j = sigmas[i], sigmas[i + 1], 3 * (i * repeats + r)
        x, _ = sampler(denoiser, known(x, sigma, noise(j)), x, (sigma, sigma, after), noise(j + 1))
        back = x + jnp.sqrt(sigma**2 - after**2) * noise(j + 2)
        return jnp.where(r < repeats - 1, back, x), i

    def step(x, i):
        return jax.lax.fori_loop(0, repeats, attempt, (x, i))[0], None

    start = sigmas[0] * noise(3 * n * repeats)
    x, _ = jax.lax.scan(step, start, jnp.arange(n - 1))
    x = denoiser(known(x, sigmas[-1], noise(3 * n * repeats + 1)), sigmas[-1])
    return mask * image + (1.0 - mask) * x


@dataclasses.dataclass(frozen=True)
class Replace:
    """D' = P y + (1 - P) D: the denoised image agrees with what is known.

    DDNM (Wang et al. 2023, arXiv:2212.00490, eq. 13). Costs nothing.
    """

    def __call__(self, denoiser: Denoiser, known: Projection, y: jax.Array) -> Denoiser:
        def agreeing(x: jax.Array, sigma: jax.Array) -> jax.Array:
            d = denoiser(x, sigma)
            return d + y - known(d)

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

    def __call__(self, denoiser: Denoiser, known: Projection, y: jax.Array) -> Denoiser:
        def guided(x: jax.Array, sigma: jax.Array) -> jax.Array:
            d, pullback = jax.vjp(lambda v: denoiser(v, sigma), x)
            weight = self.scale * (sigma**2 + self.std**2) / self.std**2
            return d + weight * pullback(y - known(d))[0]

        return self.threshold(guided)


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
    x = sigmas[0] * noise(len(sigmas))
    return sample(sampler, how(denoiser, known, known(image)), x, sigmas, noise)
