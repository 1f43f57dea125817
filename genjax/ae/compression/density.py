"""Densities that whole numbers are coded by: their mass is that of the interval of width 1 around each.

A density with noise of [-1/2, 1/2) added has at a number the mass of that interval (Ballé et al. 2017,
arXiv:1611.01704, sec. 3), so what is trained with noise holds for numbers that are rounded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field

LEAST = 1e-9  # the least mass: 30 bits
START = 0.5  # about the reach of a learned density before it is trained: most numbers are 0
WIDTHS = (1, 3, 3, 3, 1)  # of its four layers (arXiv:1802.01436, sec. 6.1)
BIT = math.log(2.0)  # in nats
SMALLEST, LARGEST = 0.04, 256.0  # deviations that numbers are coded with [steps]


@dataclasses.dataclass(frozen=True)
class Normal:
    """The Gaussian, as Ballé et al. 2018 have it."""

    def bits(self, v: jax.Array, deviation: jax.Array) -> jax.Array:
        """Bits of numbers that lie v from the mean, elementwise; deviation: of the density."""
        distance = jnp.abs(v)  # below the mean, where differences of masses keep their digits
        upper = _phi((0.5 - distance) / deviation)
        lower = _phi((-0.5 - distance) / deviation)
        mass = jnp.maximum(upper - lower, LEAST)
        return -jnp.log(mass) / BIT

    def cumulative(self, v: np.ndarray, deviation: float) -> np.ndarray:
        """The share below v, in float64."""
        from scipy.special import ndtr

        return ndtr(v / deviation)


def _phi(x: jax.Array) -> jax.Array:
    return 0.5 * jax.scipy.special.erfc(-math.sqrt(0.5) * x)


@dataclasses.dataclass(frozen=True)
class Logistic:
    """The logistic density: its log mass has a gradient everywhere, and its tails forgive a scale that is too small."""

    def bits(self, v: jax.Array, deviation: jax.Array) -> jax.Array:
        """As `Normal.bits`."""
        scale = deviation * (math.sqrt(3.0) / math.pi)
        distance = jnp.abs(v)
        a = (0.5 - distance) / scale
        b = (-0.5 - distance) / scale
        # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) of the logistic function s
        tails = jax.nn.softplus(-a) + jax.nn.softplus(b)
        inside = -jnp.log1p(-jnp.exp(-1.0 / scale))
        return (tails + inside) / BIT

    def cumulative(self, v: np.ndarray, deviation: float) -> np.ndarray:
        """As `Normal.cumulative`."""
        from scipy.special import expit

        scale = deviation * (math.sqrt(3.0) / math.pi)
        return expit(v / scale)


class Learned(nn.Module):
    """A density of each channel, by a monotone net from values to the logit of their cumulative distribution.

    Ballé et al. 2018, arXiv:1802.01436, sec. 6.1: positive matrices, and between them x + a tanh(x) with a > -1.
    """

    channels: int = field(64, "densities, one for each channel")

    def setup(self) -> None:
        last = len(WIDTHS) - 1
        # so that all layers together reach over about START before training
        share = START ** (1.0 / last)
        matrices, biases, bends = [], [], []
        for layer, (inputs, outputs) in enumerate(zip(WIDTHS[:-1], WIDTHS[1:], strict=True)):
            level = math.log(math.expm1(1.0 / share / outputs))
            shape = (self.channels, outputs, inputs)
            start = nn.initializers.constant(level)
            matrices.append(self.param(f"matrix_{layer}", start, shape))
            column = (self.channels, outputs, 1)
            biases.append(self.param(f"bias_{layer}", _within_half, column))
            if layer < last - 1:
                flat = nn.initializers.zeros
                bends.append(self.param(f"bend_{layer}", flat, column))
        self.matrices = matrices
        self.biases = biases
        self.bends = bends

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of the shares below x, [..., channels]."""
        rows = x.reshape(-1, self.channels).T[:, None]  # [channels, 1, rows]
        found = logits(
            rows,
            self.matrices,
            self.biases,
            self.bends,
            jnp,
        )
        return found[:, 0].T.reshape(x.shape)

    def bits(self, x: jax.Array, width: jax.Array | float = 1.0) -> jax.Array:
        """Bits of the interval of a width around x, elementwise [..., channels]."""
        half = 0.5 * width
        upper = self(x + half)
        lower = self(x - half)
        # on the side where both shares are small, so that their difference keeps its digits
        side = -jnp.sign(upper + lower)
        side = jax.lax.stop_gradient(side)
        mass = jnp.abs(jax.nn.sigmoid(side * upper) - jax.nn.sigmoid(side * lower))
        return -jnp.log(jnp.maximum(mass, LEAST)) / BIT


def _within_half(
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: Any = jnp.float32,
) -> jax.Array:
    return jax.random.uniform(
        key,
        shape,
        dtype,
        -0.5,
        0.5,
    )


def logits(
    rows: Any,  # [channels, 1, rows]
    matrices: Sequence[Any],
    biases: Sequence[Any],
    bends: Sequence[Any],
    xp: Any,  # numpy or jax.numpy: training is in float32, tables are made in float64
) -> Any:
    """The monotone net of `Learned`, [channels, 1, rows]."""
    h = rows
    for layer, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        positive = xp.logaddexp(matrix, 0.0)
        h = xp.matmul(positive, h) + bias
        if layer < len(bends):
            h = h + xp.tanh(bends[layer]) * xp.tanh(h)
    return h


def learned_cumulative(params: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The shares below values [channels, n] of a trained `Learned`, in float64, as a function."""
    count = len(WIDTHS) - 1

    def listed(name: str, n: int) -> list[np.ndarray]:
        return [np.asarray(params[f"{name}_{i}"], np.float64) for i in range(n)]

    layers = listed("matrix", count), listed("bias", count), listed("bend", count - 1)

    def cumulative(values: np.ndarray) -> np.ndarray:
        found = logits(values[:, None], *layers, np)
        return 0.5 + 0.5 * np.tanh(0.5 * found[:, 0])

    return cumulative


def quantile(
    cumulative: Callable[[np.ndarray], np.ndarray], share: float, channels: int
) -> np.ndarray:
    """Where the shares below reach `share`, [channels], by bisection between -2^20 and 2^20."""
    low = np.full((channels, 1), -(2.0**20))
    high = -low
    for _ in range(64):  # to the last digit
        middle = 0.5 * (low + high)
        below = cumulative(middle) < share
        low = np.where(below, middle, low)
        high = np.where(below, high, middle)
    return high[:, 0]
