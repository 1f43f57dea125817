"""Fully connected nets: plain layers (linear, deep) and gated ones."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.nets.blocks import Activation, Relu, join

he = nn.initializers.he_normal()


class MLP(nn.Module):
    """Dense layers with one activation; no hidden layer = a linear map."""

    hidden: tuple[int, ...] = field((), "widths of the hidden layers")
    activation: Activation = field(Relu(), "after every hidden layer")
    norm: bool = field(False, "layer norm before every activation")
    skip: bool = field(False, "add a linear map of the input: the layers learn what is not linear")

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None, out: tuple[int, ...]) -> jax.Array:
        x = join(x, label)
        linear = nn.Dense(math.prod(out), use_bias=False, name="linear")(x) if self.skip else 0.0
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=he)(x)
            x = self.activation(nn.LayerNorm()(x) if self.norm else x)
        last = nn.initializers.zeros if self.skip else nn.initializers.lecun_normal()
        return (linear + nn.Dense(math.prod(out), kernel_init=last)(x)).reshape(-1, *out)


class GatedMLP(nn.Module):
    """Dense layers gated by a sigmoid, h = (W x + b) * sigmoid(V x + c) (arXiv:1612.08083, eq. 1)."""

    hidden: tuple[int, ...] = field((300, 300), "widths of the hidden layers")

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None, out: tuple[int, ...]) -> jax.Array:
        x = join(x, label)
        for width in self.hidden:
            h, gate = jnp.split(nn.Dense(2 * width, kernel_init=he)(x), 2, -1)  # both maps in one matrix product
            x = h * nn.sigmoid(gate)
        return nn.Dense(math.prod(out))(x).reshape(-1, *out)
