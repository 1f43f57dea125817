"""Penalties on the slope of the discriminator in its input, per example.

Each is called with `critic` [B, ...] -> [B], which must treat examples one by one, real and fake examples [B, ...], and
one key per example; returns what is added to the discriminator's loss, [B].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.config import field

Critic = Callable[[jax.Array], jax.Array]


def slope2(critic: Critic, x: jax.Array) -> jax.Array:
    """|grad D(x)|² summed over all but the first axis, [B]."""

    def total(x):
        # D treats examples one by one, so the sum's gradient holds each example's own.
        return jnp.sum(critic(x))

    gradient = jax.grad(total)(x).reshape(len(x), -1)
    return jnp.sum(jnp.square(gradient), -1)


@dataclasses.dataclass(frozen=True)
class R1:
    """gamma / 2 |grad D|² on data (Mescheder et al. 2018, arXiv:1801.04406, eq. 9)."""

    gamma: float = field(1.0, "strength")

    def __call__(
        self, critic: Critic, real: jax.Array, fake: jax.Array, keys: jax.Array
    ) -> jax.Array:
        return 0.5 * self.gamma * slope2(critic, real)


@dataclasses.dataclass(frozen=True)
class R2:
    """gamma / 2 |grad D|² on samples (ibid., eq. 10)."""

    gamma: float = field(1.0, "strength")

    def __call__(
        self, critic: Critic, real: jax.Array, fake: jax.Array, keys: jax.Array
    ) -> jax.Array:
        return 0.5 * self.gamma * slope2(critic, fake)


@dataclasses.dataclass(frozen=True)
class Gradient:
    """weight (|grad D| - 1)² between data and samples (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3)."""

    weight: float = field(10.0, "lambda")

    def __call__(
        self, critic: Critic, real: jax.Array, fake: jax.Array, keys: jax.Array
    ) -> jax.Array:
        ones = [1] * (real.ndim - 1)
        share = jax.vmap(jax.random.uniform)(keys).reshape(-1, *ones)
        # A point on the line between an example and a sample, as in algorithm 1 (line 5).
        between = share * real + (1.0 - share) * fake
        square = slope2(critic, between)
        slope = jnp.sqrt(square + 1e-12)  # no root of zero in a gradient
        return self.weight * jnp.square(slope - 1.0)


Penalty = R1 | R2 | Gradient
