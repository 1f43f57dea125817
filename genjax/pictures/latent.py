"""Paths and grids in a latent space, as pure functions of codes: what every family with a latent space draws."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

PARALLEL = 1e-4  # sine of an angle below which two codes count as parallel


def _times(n: int) -> Array:
    """n times from 0 to 1, both included, [1, n, 1]: they meet codes [B, 1, D]."""
    return jnp.linspace(0.0, 1.0, n)[None, :, None]


def _mixed(
    a: Array,  # [B, D]
    b: Array,  # [B, D]
    t: Array,  # [1, n, 1]
) -> Array:
    """(1 - t) a + t b, [B, n, D]."""
    start = a[:, None]  # [B, 1, D]
    end = b[:, None]
    return (1 - t) * start + t * end


def _norm(v: Array) -> Array:
    """Lengths of the vectors v [B, D], [B, 1]."""
    return jnp.linalg.norm(v, axis=-1, keepdims=True)


def lerp(a: Array, b: Array, n: int) -> Array:
    """Straight lines from a to b [B, D] -> [B, n, D], ends included."""
    return _mixed(a, b, _times(n))


def slerp(a: Array, b: Array, n: int) -> Array:
    """Great arcs from a to b [B, D] -> [B, n, D], ends included; norms change linearly along the arc.

    Gaussian codes lie near a sphere of radius sqrt(D), which a straight line leaves (White 2016, arXiv:1609.04468).
    """
    t = _times(n)
    radius_a = _norm(a)
    radius_b = _norm(b)
    unit_a = a / radius_a
    unit_b = b / radius_b
    direction = _arc(unit_a, unit_b, t)
    radius = _mixed(radius_a, radius_b, t)  # [B, n, 1]
    return direction * radius


def _arc(
    a: Array,  # [B, D], of length 1
    b: Array,  # [B, D], of length 1
    t: Array,  # [1, n, 1]
) -> Array:
    """The great arc from a to b at the times t, [B, n, D]."""
    cosine = jnp.sum(a * b, -1, keepdims=True)
    # rounding may leave a cosine just beyond 1, of which arccos knows no angle
    cosine = jnp.clip(cosine, -1.0, 1.0)
    omega = jnp.arccos(cosine)[:, None]  # [B, 1, 1], the angle between a and b
    sine = jnp.sin(omega)
    # (nearly) parallel: the arc is the line
    parallel = sine < PARALLEL
    # `where` computes both sides: 1 keeps 0 / 0 out of the one that is not taken
    divisor = jnp.where(parallel, 1.0, sine)
    # sin((1 - t) omega) / sin(omega) a + sin(t omega) / sin(omega) b
    from_b = (1 - t) * omega  # angles
    from_a = t * omega
    share_a = jnp.sin(from_b) / divisor
    share_b = jnp.sin(from_a) / divisor
    start = a[:, None]
    end = b[:, None]
    arc = share_a * start + share_b * end
    line = _mixed(a, b, t)
    return jnp.where(parallel, line, arc)


def traverse(z: Array, dims: Array, values: Array) -> Array:
    """Copies of one code z [D] in which dimension dims[i] takes values[j]: [len(dims), len(values), D]."""
    rows = len(dims)
    columns = len(values)
    codes = jnp.broadcast_to(z, (rows, columns, len(z)))
    # three index arrays that broadcast to [rows, columns]: one number of each code is set
    row = jnp.arange(rows)[:, None]
    column = jnp.arange(columns)[None, :]
    dimension = dims[:, None]
    return codes.at[row, column, dimension].set(values[None, :])


def plane(low: Array, high: Array, n: int) -> Array:
    """An n x n grid over the box low..high [2] of a latent plane, rows from top (high y) to bottom: [n * n, 2]."""
    across = jnp.linspace(low[0], high[0], n)
    # a picture's first row is its top, so y falls
    down = jnp.linspace(high[1], low[1], n)
    x, y = jnp.meshgrid(across, down)  # each [n, n]
    x = x.ravel()
    y = y.ravel()
    return jnp.stack([x, y], -1)
