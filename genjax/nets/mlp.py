"""Fully connected nets: plain layers (linear, deep), gated ones, and layers that depend on time."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.nets import flops as cost
from genjax.nets.blocks import (
    FEATURES,
    Activation,
    Condition,
    Relu,
    Silu,
    beside,
    check_sizes,
    join,
)
from genjax.nets.flops import NOTHING, Told

he = nn.initializers.he_normal()  # keeps the variance through a ReLU (arXiv:1502.01852)


def with_waves(x: jax.Array, n: int) -> jax.Array:
    """[B, D] -> [B, (1 + 2 n) D]: x with its cosines and sines at 1, 2, 4, … rad.

    They let a net learn sharp functions of few numbers (arXiv:2006.10739).
    """
    if not n:
        return x
    octaves = 2.0 ** jnp.arange(n)  # [n] rad
    angles = x[..., None] * octaves  # [B, D, n]
    angles = angles.reshape(x.shape[0], -1)
    waves = [jnp.cos(angles), jnp.sin(angles)]
    return jnp.concatenate([x, *waves], -1)


class MLP(nn.Module):
    """Dense layers with one activation; no hidden layer = a linear map."""

    hidden: tuple[int, ...] = field((), "widths of the hidden layers")
    activation: Activation = field(Relu(), "after every hidden layer")
    norm: bool = field(False, "layer norm before every activation")
    skip: bool = field(
        False, "add a linear map of the input: the layers learn what is not linear"
    )
    waves: int = field(
        0, "frequencies 1, 2, 4, … [rad] of sinusoidal features of x; 0: x alone"
    )

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        size = math.prod(out)
        flat = join(x, None)  # [B, D]
        # the condition comes after the waves: a one-hot label has no use for them
        x = join(with_waves(flat, self.waves), cond)
        linear = 0.0
        start = nn.initializers.lecun_normal()
        if self.skip:
            linear = nn.Dense(size, use_bias=False, name="linear")(x)
            start = nn.initializers.zeros  # the net starts as its linear map
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=he)(x)
            if self.norm:
                x = nn.LayerNorm()(x)
            x = self.activation(x)
        y = linear + nn.Dense(size, kernel_init=start)(x)  # [B, size]
        return y.reshape(-1, *out)

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        inputs = math.prod(shape) * (1 + 2 * self.waves) + cost.flat((0,), told)
        size = math.prod(out)
        layers = cost.chain(1, inputs, *self.hidden, size)
        return layers + self.skip * cost.dense(1, inputs, size)


class GatedMLP(nn.Module):
    """Dense layers gated by a sigmoid, h = (W x + b) * sigmoid(V x + c) (arXiv:1612.08083, eq. 1)."""

    hidden: tuple[int, ...] = field((300, 300), "widths of the hidden layers")

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        x = join(x, cond)
        for width in self.hidden:
            both = nn.Dense(2 * width, kernel_init=he)(x)  # both maps in one matrix product
            h, gate = jnp.split(both, 2, -1)
            x = h * nn.sigmoid(gate)  # eq. 1
        y = nn.Dense(math.prod(out))(x)
        return y.reshape(-1, *out)

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        total, inputs = 0, cost.flat(shape, told)
        for width in self.hidden:
            total += cost.dense(1, inputs, 2 * width)
            inputs = width
        return total + cost.dense(1, inputs, math.prod(out))


class TimeMLP(nn.Module):
    """(x [B, ...], time [B] or [B, k], condition or None) -> [B, *out]: a denoiser for points of the plane.

    Residual layers h + act((W h + b) (1 + s) + t) whose scale s and shift t are linear in an embedding of time and
    condition (FiLM, arXiv:1709.07871); the last layer starts at zero.
    """

    hidden: tuple[int, ...] = field((256, 256, 256), "widths of the hidden layers")
    activation: Activation = field(Silu(), "after every hidden layer")
    waves: int = field(
        4, "frequencies 1, 2, 4, … [rad] of the sinusoidal features of x; 0: x alone"
    )
    frequency: float = field(
        1000.0, "highest frequency of the time features [rad per unit of time]"
    )

    @nn.compact
    def __call__(
        self, x: jax.Array, time: jax.Array, cond: Cond | None, out: tuple[int, ...]
    ) -> jax.Array:
        check_sizes("TimeMLP", hidden=min(self.hidden, default=0), frequency=self.frequency)
        seen = join(beside(x, cond), None)  # [B, D]
        h = with_waves(seen.astype(jnp.float32), self.waves)
        if cond is not None and cond.tokens is not None:
            # the vector comes by `Condition`, the maps by `beside`: only the sequence is left
            sequence = cond._replace(vector=None, maps=None)
            h = join(h, sequence)
        embed = Condition(self.hidden[0], self.frequency, name="condition")
        condition = embed(time, cond)  # [B, hidden[0]]
        for i, width in enumerate(self.hidden):
            film = nn.Dense(2 * width, name=f"film_{i}")(condition)
            scale, shift = jnp.split(film, 2, -1)
            linear = nn.Dense(width, kernel_init=he, name=f"hidden_{i}")(h)
            new = self.activation(linear * (1 + scale) + shift)
            # no residual where the width changes, as at the first layer
            h = h + new if h.shape == new.shape else new
        last = nn.Dense(math.prod(out), kernel_init=nn.initializers.zeros, name="last")
        return last(h).reshape(-1, *out)

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        width, *_ = self.hidden
        inputs = math.prod(shape) * (1 + 2 * self.waves) + math.prod(told.tokens)
        layers = cost.chain(1, inputs, *self.hidden, math.prod(out))
        films = cost.dense(1, width, 2 * sum(self.hidden))
        return layers + films + cost.condition(width, told, FEATURES)
