"""Small pieces that nets are made of: activations as config values, joining a label, folding pixels into channels."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Identity:
    """f(x) = x: a net of such layers is linear."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


@dataclasses.dataclass(frozen=True)
class Relu:
    """max(x, 0)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x)


@dataclasses.dataclass(frozen=True)
class Gelu:
    """x Phi(x), tanh form (arXiv:1606.08415)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.gelu(x)


@dataclasses.dataclass(frozen=True)
class Silu:
    """x sigmoid(x) (arXiv:1702.03118)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.silu(x)


@dataclasses.dataclass(frozen=True)
class Tanh:
    """tanh(x)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x)


Activation = Identity | Relu | Gelu | Silu | Tanh


def join(x: jax.Array, label: jax.Array | None) -> jax.Array:
    """Flattens x to [B, D] and appends the one-hot label [B, classes] if there is one."""
    flat = x.reshape(x.shape[0], -1)
    return flat if label is None else jnp.concatenate([flat, label.astype(flat.dtype)], -1)


def join_maps(x: jax.Array, label: jax.Array | None) -> jax.Array:
    """Appends the one-hot label as constant maps: [B, H, W, C] -> [B, H, W, C + classes]."""
    if label is None:
        return x
    maps = jnp.broadcast_to(label[:, None, None, :].astype(x.dtype), (*x.shape[:3], label.shape[-1]))
    return jnp.concatenate([x, maps], -1)


def space_to_depth(x: jax.Array, patch: int) -> jax.Array:
    """[B, H, W, C] -> [B, H / patch, W / patch, patch * patch * C]."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch, patch, w // patch, patch, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // patch, w // patch, patch * patch * c)


def depth_to_space(x: jax.Array, patch: int) -> jax.Array:
    """[B, H, W, patch * patch * C] -> [B, patch * H, patch * W, C]: the inverse of `space_to_depth`."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, patch, patch, c // (patch * patch))
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * patch, w * patch, c // (patch * patch))
