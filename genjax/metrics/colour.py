"""How colourful pictures are, and how far one picture's colour is from another's.

* Colourfulness (Hasler & Suesstrunk 2003, `Measuring colourfulness in natural images`, sec. 7), of sRGB from 0 to 255:

      rg = R - G,   yb = (R + G) / 2 - B,   M = sqrt(std(rg)² + std(yb)²) + 0.3 sqrt(mean(rg)² + mean(yb)²)

  Their viewers called 15 slightly, 33 moderately, 59 quite and 109 extremely colourful; grey is 0.
* PSNR of ab: 10 log10(220² / mse), the mean over pixels and both of a and b; 220 is the width of the plane that
  colourisation works in, from -110 to 110.
* AuC of Zhang, Isola & Efros (2016, arXiv:1603.08511, sec. 3.1): the share of pixels whose ab is within a distance d
  of the truth, in the mean over d from 0 to 150.

Pictures [..., H, W, C] in jnp; each measure is [...].
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from genjax.core import Spec
from genjax.errors import UserError, at_least
from genjax.fields import Image, need

PEAK = 220.0  # the width of the ab plane
FARTHEST = 150.0  # the greatest distance of the AuC
LEAST = 1e-10  # the least squared error that is told in decibels, as a part of the peak's square: 100 dB
PIXELS = (-3, -2)  # the axes of height and width in planes [..., H, W, C]


def colourfulness(rgb: jax.Array) -> jax.Array:
    """M of unit sRGB [..., H, W, 3]."""
    r, g, b = jnp.moveaxis(255.0 * rgb, -1, 0)
    yellow = 0.5 * (r + g)
    rg = r - g
    yb = yellow - b
    both = jnp.stack([rg, yb], -1)  # [..., H, W, 2]
    spread = jnp.std(both, PIXELS)
    middle = jnp.mean(both, PIXELS)
    varied = _length(spread)
    tinted = _length(middle)
    return varied + 0.3 * tinted


def _length(x: jax.Array) -> jax.Array:
    """Of vectors [..., 2]."""
    squares = jnp.square(x)
    total = jnp.sum(squares, -1)
    return jnp.sqrt(total)


def mean_square(ab: jax.Array, truth: jax.Array) -> jax.Array:
    """Over pixels and both of a and b, of planes [..., H, W, 2]."""
    error = ab - truth
    squares = jnp.square(error)
    over = (*PIXELS, -1)
    return jnp.mean(squares, over)


def psnr(ab: jax.Array, truth: jax.Array) -> jax.Array:
    """The signal-to-noise ratio of ab [dB], at most 100."""
    square = mean_square(ab, truth)
    part = square / PEAK**2
    # one picture without an error would be the mean of all
    told = jnp.maximum(part, LEAST)
    bels = jnp.log10(told)
    return -10.0 * bels


def auc(ab: jax.Array, truth: jax.Array) -> jax.Array:
    """The AuC, from 0 to 1, of planes [..., H, W, 2]."""
    error = ab - truth
    distance = _length(error)  # [..., H, W]
    # a pixel counts from its distance on: the integral over d is what is left of the way to the end
    left = 1.0 - distance / FARTHEST
    counted = jnp.maximum(left, 0.0)
    return jnp.mean(counted, (-2, -1))


def check_colour(who: str, spec: Spec, fold: int) -> None:
    """Raises UserError for data without colour, and for a fold that their sides do not divide by."""
    need(who, spec.main, spec.x, Image)
    at_least(1, algorithm__fold=fold)
    height, width, channels = spec.shape
    if channels == 1:
        raise UserError(
            f"{who} learns colours, and {spec.main!r} is grey, {spec.shape}: use colour pictures, e.g. "
            "--data='Photographs()'."
        )
    if channels != 3:
        raise UserError(
            f"{who} takes pictures of 3 channels, sRGB, and {spec.main!r} is {spec.shape}: use other data."
        )
    if height % fold or width % fold:
        raise UserError(
            f"--algorithm.fold={fold} does not divide pictures of {height}x{width}: use a smaller one."
        )
