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
        self,
        denoiser: Denoiser,
        x: jax.Array,
        sigma: jax.Array,
        key: jax.Array,
        index: jax.Array,
    ):
        """(D(x, sigma) [B, ...], tr dD/dx [B])."""
        flat = x.reshape(len(x), -1)  # [B, d]
        d = flat.shape[-1]

        def at_level(v):
            return denoiser(v, sigma)

        def along(direction):
            """One column of dD/dx, of which the entry in its own `direction` [d] is on the diagonal."""
            tangent = jnp.broadcast_to(direction, flat.shape).reshape(x.shape)
            denoised, change = jax.jvp(at_level, (x,), (tangent,))
            column = change.reshape(flat.shape)
            return denoised, jnp.sum(column * direction, -1)

        directions = jnp.eye(d, dtype=x.dtype)
        denoised, diagonal = jax.vmap(along)(directions)  # [d, B, ...], [d, B]
        return denoised[0], jnp.sum(diagonal, 0)  # D does not depend on the direction


@dataclasses.dataclass(frozen=True)
class Hutchinson:
    """tr dD/dx = E v' (dD/dx) v with one random sign vector v per example, the same at all levels (Hutchinson 1989)."""

    def __call__(
        self,
        denoiser: Denoiser,
        x: jax.Array,
        sigma: jax.Array,
        key: jax.Array,
        index: jax.Array,
    ):
        """(D(x, sigma) [B, ...], an unbiased estimate of tr dD/dx [B])."""

        def signs(k):
            return jax.random.rademacher(k, x.shape[1:], x.dtype)

        def at_level(x):
            return denoiser(x, sigma)

        # `key` is the same at every level: the solver needs a drift without noise.
        v = jax.vmap(signs)(example_keys(key, index))
        denoised, change = jax.jvp(at_level, (x,), (v,))
        products = (change * v).reshape(len(x), -1)
        return denoised, jnp.sum(products, -1)


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

    def __post_init__(self):
        if not 0.0 < self.low < self.high < math.inf:
            raise ValueError(
                f"noise rises from low > 0 to high, got low={self.low} and high={self.high}"
            )
        # a tolerance of 0 no step would meet
        for name in ("std", "tolerance", "most"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name} is above 0, and finite, got {value}")

    def __call__(
        self, denoiser: Denoiser, x: jax.Array, key: jax.Array, index: jax.Array
    ) -> jax.Array:
        """log p(x), nats, [B]; x [B, ...] in the units in which the denoiser works; index [B] numbers the examples."""
        d = math.prod(x.shape[1:])

        def scale(u):
            return jnp.sqrt(jnp.exp(2.0 * u) + self.std**2)

        def drift(u, state, _):
            """d/du of (y, minus the integral of the trace per dimension)."""
            y, _ = state
            sigma = jnp.exp(u)
            denoised, trace = self.trace(denoiser, y * scale(u), sigma, key, index)
            # y = x / scale, so dy/du = (x - D) / scale - y d(ln scale)/du, and the last is (sigma / scale)².
            shrinkage = (sigma / scale(u)) ** 2
            velocity = y - denoised / scale(u) - y * shrinkage
            # Per dimension, so that one tolerance suits both parts of the state.
            return velocity, -trace / d

        start = math.log(self.low)
        end = math.log(self.high)
        adaptive = diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(drift),
            diffrax.Tsit5(),
            start,
            end,
            dt0=0.1,
            y0=(x / scale(start), jnp.zeros(len(x))),
            stepsize_controller=adaptive,
            max_steps=self.most,
        )
        y, change = jax.tree.map(lambda v: v[-1], solution.ys)

        last = y.reshape(len(x), -1)  # N(0, 1) in these coordinates
        log_constant = 0.5 * math.log(2 * math.pi) + jnp.log(scale(end))
        log_last = -0.5 * jnp.sum(last**2, -1) - d * log_constant
        # The density is that of x_T, not of y: hence ln(scale) in log_constant.
        return log_last + d * (end - start + change)


def dequantised(image: jax.Array, key: jax.Array, index: jax.Array) -> jax.Array:
    """Bytes [B, H, W, C] -> `signed` images with uniform noise of one grey level around them, 2 / 255 wide."""

    def noise(k):
        return jax.random.uniform(k, image.shape[1:], minval=-0.5, maxval=0.5)

    u = jax.vmap(noise)(example_keys(key, index))
    level = image.astype(jnp.float32) + u
    return 2.0 * level / 255.0 - 1.0


def bits_per_dim(log_p: jax.Array, d: int) -> jax.Array:
    """Of bytes, from the log density [nats] of their `dequantised` images."""
    bits = -log_p / (d * math.log(2.0))
    # A grey level is 1 / 127.5 wide in these images: P(byte) = p(image) / 127.5 for each dimension.
    return bits + math.log2(127.5)
