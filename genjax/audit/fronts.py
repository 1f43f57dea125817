"""What a detector looks at: the picture itself, what a high-pass filter leaves of it, its radial power spectrum.

A front is a config value: called with unit pictures x [B, H, W, C] it gives what the net sees, [B, ...].

* `Residual`: what a pixel's neighbours do not foretell, r = K * x, K the filter of 5x5 that steganalysis calls KV
  (Fridrich & Kodovsky 2012, "Rich Models for Steganalysis of Digital Images", 10.1109/TIFS.2012.2190402). Its rows
  annihilate whatever is linear, so shapes go and noise stays.
* `Spectrum`: log of the mean power on rings of equal frequency (Durall et al. 2020, arXiv:2003.01826, sec. 3),

      P(u, v) = |sum_ij x_ij exp(-2 pi i (u i / H + v j / W))|^2 / (H W),    s_k = log mean_{ring k} P

  By Parseval the mean of P over all frequencies is the mean square of the pixels: noise of variance s^2 has P = s^2 on
  every ring.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import Own, field
from genjax.errors import UserError, above

# KV: outer products would have other corners; its 25 numbers sum to 0
KV = (
    np.array(
        [
            [-1, 2, -2, 2, -1],
            [2, -6, 8, -6, 2],
            [-2, 8, -12, 8, -2],
            [2, -6, 8, -6, 2],
            [-1, 2, -2, 2, -1],
        ],
        np.float32,
    )
    / 12.0
)
REACH = 2  # pixels beside the one that is foretold
TYPICAL = -6.0  # log power of a ring of a picture: a grey level of noise has -11
FLOOR = 1e-6  # of the power: a ring without any has a logarithm too


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The picture itself, in [-1, 1]."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Any picture will do."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return 2.0 * x - 1.0


@dataclasses.dataclass(frozen=True)
class Residual:
    """What is left of a picture by the filter KV, cut at a few grey levels and brought to about [-1, 1]."""

    most: float = field(
        16.0, "grey levels at which residuals are cut: beyond are edges, and no noise"
    )

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for pictures smaller than the filter."""
        above(0, "Residual: ", most=self.most)
        if min(shape[:2]) <= 2 * REACH:
            raise UserError(
                f"Residual() needs pictures of more than {2 * REACH} pixels a side, and these are {shape}."
            )

    def __call__(self, x: jax.Array) -> jax.Array:
        levels = 255.0 * residual(x)
        return jnp.clip(levels, -self.most, self.most) / self.most


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The radial power spectrum, all channels together: one number for each whole frequency up to the corner."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for pictures without a ring."""
        if min(shape[:2]) < 4:
            raise UserError(
                f"Spectrum() needs pictures of 4 pixels a side or more, and these are {shape}."
            )

    def __call__(self, x: jax.Array) -> jax.Array:
        # natural logarithms run from about -14 to 4, most of them near -6: a net wants numbers about 0
        return 0.5 * (radial(x) - TYPICAL)


Front = Pixels | Residual | Spectrum | Own


def residual(x: jax.Array) -> jax.Array:
    """x [B, H, W, C] -> what the filter KV leaves of each channel, edges repeated; the same shape."""
    channels = x.shape[-1]
    border = [(0, 0), (REACH, REACH), (REACH, REACH), (0, 0)]
    wide = jnp.pad(x, border, mode="edge")
    # one filter, each channel by itself
    kernel = np.broadcast_to(KV[:, :, None, None], (*KV.shape, 1, channels))
    return jax.lax.conv_general_dilated(
        wide,
        jnp.asarray(kernel),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )


def rings(height: int, width: int) -> np.ndarray:
    """Which ring each frequency belongs to, int [H, W]: the whole number nearest to its radius.

    Radii are in cycles a picture, of the longer side where sides differ.
    """
    side = max(height, width)
    up = np.fft.fftfreq(height) * side  # cycles over `side` pixels
    along = np.fft.fftfreq(width) * side
    radius = np.hypot(up[:, None], along[None])
    return np.rint(radius).astype(np.int64)


def radial(x: jax.Array) -> jax.Array:
    """s_k [B, K] of x [B, H, W, C] in [0, 1], ring 0 (the mean) first; power of all channels is averaged."""
    height, width = x.shape[1:3]
    ring = rings(height, width)
    count = np.bincount(ring.ravel())  # [K]
    member = np.zeros((ring.size, len(count)), np.float32)
    member[np.arange(ring.size), ring.ravel()] = 1.0
    mean_of = member / np.maximum(count, 1)  # [H W, K]
    transform = jnp.fft.fft2(x, axes=(1, 2))
    power = jnp.square(jnp.abs(transform)) / (height * width)
    flat = power.mean(-1).reshape(len(x), -1)  # [B, H W]
    # of all rings at once; accelerators would round to 8 bits
    of_ring = jnp.matmul(flat, mean_of, precision=jax.lax.Precision.HIGHEST)
    return jnp.log(of_ring + FLOOR)
