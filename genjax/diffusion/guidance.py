"""Guidance and thresholding: functions from denoisers to denoisers, so that every sampler takes them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.diffusion.samplers import Denoiser


@dataclasses.dataclass(frozen=True)
class Guidance:
    """D = D_weak + scale (D_main - D_weak) for levels in [low, high], D_main outside.

    With the unconditional model as the weak one it is classifier-free guidance (arXiv:2207.12598; its w is scale - 1),
    with a worse version of the same model autoguidance (arXiv:2406.02507); the interval is that of arXiv:2404.07724.
    """

    scale: float = field(1.0, "1 = none")
    low: float = field(0.0, "least level sigma / alpha that is guided")
    high: float = field(float("inf"), "greatest level that is guided")

    def __post_init__(self):
        # an empty interval would guide nothing, without a word
        if not (math.isfinite(self.scale) and self.low <= self.high):
            raise ValueError(
                f"guidance has a finite scale and levels that rise from low to high, got scale={self.scale}, "
                f"low={self.low}, high={self.high}"
            )

    @property
    def plain(self) -> bool:
        """Whether nothing is guided."""
        return self.scale == 1.0

    def tells(self, guided: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Which of the guided conditions, by their fields, each of the models is told."""
        return tuple(guided), ()

    def __call__(self, main: Denoiser, weak: Denoiser) -> Denoiser:
        if self.plain:
            return main  # and the weak one costs nothing

        def guided(x: jax.Array, sigma: jax.Array) -> jax.Array:
            strong = main(x, sigma)
            base = weak(x, sigma)
            inside = (sigma >= self.low) & (sigma <= self.high)
            # D_weak + scale (D_main - D_weak), written from D_main: outside the interval it is D_main to the bit.
            extra = jnp.where(inside, self.scale - 1.0, 0.0)
            return strong + extra * (strong - base)

        return guided


@dataclasses.dataclass(frozen=True)
class Stepwise:
    """D = D_0 + sum_k scale_k (D_k - D_k-1), D_k told the first k conditions and D_0 none.

    Of two, a picture and then words, it is eq. 3 of InstructPix2Pix (Brooks et al. 2023, arXiv:2211.09800).
    """

    of: tuple[str, ...] = field((), "names of the conditions' fields, in order")
    scales: tuple[float, ...] = field((), "of each; all 1 = none")

    def __post_init__(self):
        if len(self.of) != len(self.scales) or not self.of or len(set(self.of)) < len(self.of):
            raise ValueError(
                f"guidance step by step has a scale for each condition, got of={self.of}, scales={self.scales}"
            )
        if not all(math.isfinite(scale) for scale in self.scales):
            raise ValueError(f"guidance has finite scales, got {self.scales}")

    @property
    def plain(self) -> bool:
        """Whether nothing is guided: the sum is then the last of its models."""
        return all(scale == 1.0 for scale in self.scales)

    def tells(self, guided: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The first k of the conditions, from none to all."""
        return tuple(self.of[:k] for k in range(len(self.of) + 1))

    def __call__(self, *told: Denoiser) -> Denoiser:
        if self.plain:
            return told[-1]  # and the others cost nothing

        def guided(x: jax.Array, sigma: jax.Array) -> jax.Array:
            said = [denoise(x, sigma) for denoise in told]
            found = said[0]
            # what each condition adds to those before it
            for scale, before, after in zip(self.scales, said[:-1], said[1:], strict=True):
                found = found + scale * (after - before)
            return found

        return guided


@dataclasses.dataclass(frozen=True)
class Keep:
    """No thresholding."""

    def __call__(self, denoiser: Denoiser) -> Denoiser:
        return denoiser


@dataclasses.dataclass(frozen=True)
class Static:
    """Clips the denoised image to its range."""

    limit: float = field(1.0, "images lie in [-limit, limit]")

    def __post_init__(self):
        _check_limit(self.limit)

    def __call__(self, denoiser: Denoiser) -> Denoiser:
        def clipped(x: jax.Array, sigma: jax.Array) -> jax.Array:
            d = denoiser(x, sigma)
            return jnp.clip(d, -self.limit, self.limit)

        return clipped


@dataclasses.dataclass(frozen=True)
class Dynamic:
    """Clips to the image's own quantile and divides by it, if that is beyond the range (arXiv:2205.11487, sec. 2.3)."""

    quantile: float = field(0.995, "of the absolute pixel values of each image")
    limit: float = field(1.0, "images lie in [-limit, limit]")

    def __post_init__(self):
        if not 0.0 < self.quantile <= 1.0:
            raise ValueError(f"a quantile lies in (0, 1], got {self.quantile}")
        _check_limit(self.limit)

    def __call__(self, denoiser: Denoiser) -> Denoiser:
        def clipped(x: jax.Array, sigma: jax.Array) -> jax.Array:
            d = denoiser(x, sigma)
            values = jnp.abs(d.reshape(d.shape[0], -1))  # [B, pixels]
            most = jnp.quantile(values, self.quantile, axis=1)
            most = jnp.maximum(most, self.limit)  # an image within its range is not stretched
            ones = [1] * (d.ndim - 1)
            most = most.reshape(-1, *ones)  # [B, 1, 1, 1]
            return jnp.clip(d, -most, most) * self.limit / most

        return clipped


Threshold = Keep | Static | Dynamic


def _check_limit(limit: float) -> None:
    """Raises ValueError for a range of images that holds none."""
    if not 0.0 < limit < math.inf:
        raise ValueError(f"the limit of images is above 0, and finite, got {limit}")
