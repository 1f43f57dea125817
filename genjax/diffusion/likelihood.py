"""Exact likelihood by the probability-flow ODE, for any denoiser (Song et al. 2021, arXiv:2011.13456, eq. 39).

In u = ln sigma the flow is dx/du = x - D(x, sigma), so with d dimensions

    log p(x_0) = log p(x_T) + d (u_T - u_0) - integral_{u_0}^{u_T} tr dD/dx du,   p(x_T) ~ N(0, sigma_T² + std²)

where x_0 is the data at a least noise level. The solver sees y = x / sqrt(sigma² + std²), which keeps one scale.
"""

from __future__ import annotations

import dataclasses
import math

import diffrax
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import example_keys
from genjax.diffusion.samplers import Denoiser


@dataclasses.dataclass(frozen=True)
class Exact:
    """tr dD/dx by d derivatives: for few dimensions."""

    def __call__(
        self, denoiser: Denoiser, x: jax.Array, sigma: jax.Array, key: jax.Array, index: jax.Array
    ):
        flat = x.reshape(len(x), -1)

        def along(direction):
            tangent = jnp.broadcast_to(direction, flat.shape).reshape(x.shape)
            denoised, change = jax.jvp(lambda v: denoiser(v, sigma), (x,), (tangent,))
            return denoised, jnp.sum(change.reshape(flat.shape) * direction, -1)

        denoised, diagonal = jax.vmap(along)(jnp.eye(flat.shape[-1], dtype=x.dtype))
        return denoised[0], jnp.sum(diagonal, 0)


@dataclasses.dataclass(frozen=True)
class Hutchinson:
    """tr dD/dx = E v' (dD/dx) v with one random sign vector v per example, the same at all levels (Hutchinson 1989)."""

    def __call__(
        self, denoiser: Denoiser, x: jax.Array, sigma: jax.Array, key: jax.Array, index: jax.Array
    ):
        v = jax.vmap(lambda k: jax.random.rademacher(k, x.shape[1:], x.dtype))(
            example_keys(key, index)
        )
        denoised, change = jax.jvp(lambda x: denoiser(x, sigma), (x,), (v,))
        return denoised, jnp.sum((change * v).reshape(len(x), -1), -1)


@dataclasses.dataclass(frozen=True)
class Flow:
    """How the ODE is solved: Tsitouras 5(4) with adaptive steps, by diffrax."""

    low: float = field(0.002, "least noise level: the data are taken to have this much noise")
    high: float = field(80.0, "greatest noise level, where the data are taken for a Gaussian")
    std: float = field(0.5, "standard deviation of the data")
    trace: Exact | Hutchinson = field(Hutchinson(), "of the denoiser's derivative")
    tolerance: float = field(
        1e-4, "relative and absolute, of y and of the log-determinant per dimension"
    )
    most: int = field(2000, "steps of the solver before it gives up with an error")

    def __call__(
        self, denoiser: Denoiser, x: jax.Array, key: jax.Array, index: jax.Array
    ) -> jax.Array:
        """log p(x), nats, [B]; x [B, ...] in the units in which the denoiser works; index [B] numbers the examples."""
        d = math.prod(x.shape[1:])

        def scale(u):
            return jnp.sqrt(jnp.exp(2.0 * u) + self.std**2)

        def drift(u, state, _):
            y, sigma = state[0], jnp.exp(u)
            denoised, trace = self.trace(denoiser, y * scale(u), sigma, key, index)
            return y - denoised / scale(u) - y * (sigma / scale(u)) ** 2, -trace / d

        start, end = math.log(self.low), math.log(self.high)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(drift),
            diffrax.Tsit5(),
            start,
            end,
            dt0=0.1,
            y0=(x / scale(start), jnp.zeros(len(x))),
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            max_steps=self.most,
        )
        y, change = jax.tree.map(lambda v: v[-1], solution.ys)
        last = y.reshape(len(x), -1)  # N(0, 1) in these coordinates
        log_last = -0.5 * jnp.sum(last**2, -1) - d * (
            0.5 * math.log(2 * math.pi) + jnp.log(scale(end))
        )
        return log_last + d * (end - start + change)


def dequantised(image: jax.Array, key: jax.Array, index: jax.Array) -> jax.Array:
    """Bytes [B, H, W, C] -> `signed` images with uniform noise of one grey level around them, 2 / 255 wide."""
    u = jax.vmap(lambda k: jax.random.uniform(k, image.shape[1:], minval=-0.5, maxval=0.5))(
        example_keys(key, index)
    )
    return 2.0 * (image.astype(jnp.float32) + u) / 255.0 - 1.0


def bits_per_dim(log_p: jax.Array, d: int) -> jax.Array:
    """Of bytes, from the log density [nats] of their `dequantised` images."""
    return -log_p / (d * math.log(2.0)) + math.log2(127.5)
