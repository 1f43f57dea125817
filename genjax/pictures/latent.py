"""Paths and grids in a latent space, as pure functions of codes: what every family with a latent space draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def lerp(a: jax.Array, b: jax.Array, n: int) -> jax.Array:
    """Straight lines from a to b [B, D] -> [B, n, D], ends included."""
    t = jnp.linspace(0.0, 1.0, n)[None, :, None]
    return (1 - t) * a[:, None] + t * b[:, None]


def slerp(a: jax.Array, b: jax.Array, n: int) -> jax.Array:
    """Great arcs from a to b [B, D] -> [B, n, D], ends included; norms change linearly along the arc.

    Gaussian codes lie near a sphere of radius sqrt(D), which a straight line leaves (White 2016, arXiv:1609.04468).
    """
    t = jnp.linspace(0.0, 1.0, n)[None, :, None]
    ra, rb = (jnp.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    ua, ub = a / ra, b / rb
    omega = jnp.arccos(jnp.clip(jnp.sum(ua * ub, -1, keepdims=True), -1.0, 1.0))[:, None]
    small = jnp.sin(omega) < 1e-4  # (nearly) parallel: the arc is the line
    sin = jnp.where(small, 1.0, jnp.sin(omega))
    arc = jnp.sin((1 - t) * omega) / sin * ua[:, None] + jnp.sin(t * omega) / sin * ub[:, None]
    direction = jnp.where(small, (1 - t) * ua[:, None] + t * ub[:, None], arc)
    return direction * ((1 - t) * ra[:, None] + t * rb[:, None])


def traverse(z: jax.Array, dims: jax.Array, values: jax.Array) -> jax.Array:
    """Copies of one code z [D] in which dimension dims[i] takes values[j]: [len(dims), len(values), D]."""
    rows = jnp.broadcast_to(z, (len(dims), len(values), len(z)))
    return rows.at[
        jnp.arange(len(dims))[:, None], jnp.arange(len(values))[None, :], dims[:, None]
    ].set(values[None, :])


def plane(low: jax.Array, high: jax.Array, n: int) -> jax.Array:
    """An n x n grid over the box low..high [2] of a latent plane, rows from top (high y) to bottom: [n * n, 2]."""
    x, y = jnp.meshgrid(jnp.linspace(low[0], high[0], n), jnp.linspace(high[1], low[1], n))
    return jnp.stack([x.ravel(), y.ravel()], -1)
