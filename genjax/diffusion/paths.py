"""Paths from data to noise, z_t = alpha(t) x + sigma(t) eps, and every way to say what a net predicts of them.

A path is a config value with `alpha`, `sigma`, `time` (the inverse of t -> sigma / alpha) and `clock` (what the net is
told of t). A prediction is a pair of coefficients: the net's output is y = a x + b eps. As z is another such pair, x
and eps follow from (z, y) by one 2x2 solve, and any prediction from any other; no converters are written one by one.
Times lie between 0 and the path's `end`, arrays of any shape; `solve` and `combine` take t [B] and data [B, ...].
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from genjax.config import field

# Of x and of eps: coefficients, each as t is shaped, or the two themselves.
Pair = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class Linear:
    """z = (1 - t) x + t eps: rectified flow, flow matching with straight conditional paths (arXiv:2209.03003)."""

    end: ClassVar[float] = 1.0  # pure noise, or nearly

    def alpha(self, t: jax.Array) -> jax.Array:
        return 1.0 - t

    def sigma(self, t: jax.Array) -> jax.Array:
        return t

    def time(self, ratio: jax.Array) -> jax.Array:
        return ratio / (1.0 + ratio)  # ratio = t / (1 - t)

    def clock(self, t: jax.Array) -> jax.Array:
        return t


@dataclasses.dataclass(frozen=True)
class Cosine:
    """z = cos(pi t / 2) x + sin(pi t / 2) eps (Salimans & Ho 2022, arXiv:2202.00512)."""

    end: ClassVar[float] = 1.0  # pure noise, or nearly

    def alpha(self, t: jax.Array) -> jax.Array:
        angle = 0.5 * jnp.pi * t
        return jnp.cos(angle)

    def sigma(self, t: jax.Array) -> jax.Array:
        angle = 0.5 * jnp.pi * t
        return jnp.sin(angle)

    def time(self, ratio: jax.Array) -> jax.Array:
        angle = jnp.arctan(ratio)  # sigma / alpha is its tangent
        return angle / (0.5 * jnp.pi)

    def clock(self, t: jax.Array) -> jax.Array:
        return t


@dataclasses.dataclass(frozen=True)
class LinearBeta:
    """DDPM's linear beta in continuous time, ln alpha = -t² (b - a) / 4 - t a / 2 (arXiv:2011.13456, eq. 33)."""

    end: ClassVar[float] = 1.0  # pure noise, or nearly

    low: float = field(0.1, "a: 1000 times DDPM's first beta")
    high: float = field(20.0, "b: 1000 times DDPM's last beta")

    def __post_init__(self):
        # a falling beta has no time for some levels; a comparison with nan is false
        if not 0.0 <= self.low <= self.high < math.inf or self.high == 0.0:
            raise ValueError(
                f"beta rises from low >= 0 to high > 0, got low={self.low} and high={self.high}"
            )

    def _log_alpha(self, t: jax.Array) -> jax.Array:
        a = self.low
        growth = self.high - a  # of beta from t = 0 to 1, b - a
        return -0.25 * t**2 * growth - 0.5 * t * a

    def alpha(self, t: jax.Array) -> jax.Array:
        return jnp.exp(self._log_alpha(t))

    def sigma(self, t: jax.Array) -> jax.Array:
        # sigma² = 1 - alpha²: expm1 keeps its digits near t = 0, where alpha is nearly 1
        log_alpha2 = 2.0 * self._log_alpha(t)
        return jnp.sqrt(-jnp.expm1(log_alpha2))

    def time(self, ratio: jax.Array) -> jax.Array:
        # ratio² = 1 / alpha² - 1, so -2 ln alpha = (b - a) t² / 2 + a t = ln(1 + ratio²)
        total = jnp.log1p(ratio**2)
        a = self.low
        growth = self.high - a
        discriminant = a**2 + 2.0 * growth * total
        root = jnp.sqrt(discriminant)
        # The quadratic's root with the sum below the line: root - a would cancel near t = 0.
        return 2.0 * total / (a + root)

    def clock(self, t: jax.Array) -> jax.Array:
        return t


@dataclasses.dataclass(frozen=True)
class CosineBeta:
    """The cosine schedule of Nichol & Dhariwal 2021 (arXiv:2102.09672, eq. 17), variance preserving."""

    end: ClassVar[float] = 1.0  # pure noise, or nearly

    s: float = field(0.008, "offset that keeps the noise near t = 0 from vanishing too fast")

    def __post_init__(self):
        if not 0.0 <= self.s < math.inf:
            raise ValueError(f"the offset s is 0 or above, and finite, got {self.s}")

    def _angle(self, t: jax.Array) -> jax.Array:
        shifted = t + self.s
        return 0.5 * jnp.pi * shifted / (1.0 + self.s)

    def alpha(self, t: jax.Array) -> jax.Array:
        a = self._angle(t)
        b = self._angle(0.0)  # alpha(0) = 1
        return jnp.cos(a) / jnp.cos(b)

    def sigma(self, t: jax.Array) -> jax.Array:
        a = self._angle(t)
        b = self._angle(0.0)
        # 1 - cos²a / cos²b = sin(a - b) sin(a + b) / cos²b
        lower = jnp.sin(a - b)
        upper = jnp.sin(a + b)
        return jnp.sqrt(lower * upper) / jnp.cos(b)

    def time(self, ratio: jax.Array) -> jax.Array:
        b = self._angle(0.0)
        # tan² a = (ratio² + sin² b) / cos² b
        square = ratio**2 + jnp.sin(b) ** 2
        tangent = jnp.sqrt(square) / jnp.cos(b)
        angle = jnp.arctan(tangent)
        shifted = angle * (1.0 + self.s) / (0.5 * jnp.pi)
        return shifted - self.s

    def clock(self, t: jax.Array) -> jax.Array:
        return t


@dataclasses.dataclass(frozen=True)
class Exploding:
    """z = x + sigma eps with t = sigma in (0, inf): EDM (Karras et al. 2022, arXiv:2206.00364)."""

    end: ClassVar[float] = math.inf  # the noise level itself

    def alpha(self, t: jax.Array) -> jax.Array:
        return jnp.ones_like(t)

    def sigma(self, t: jax.Array) -> jax.Array:
        return t

    def time(self, ratio: jax.Array) -> jax.Array:
        return ratio

    def clock(self, t: jax.Array) -> jax.Array:
        return 0.25 * jnp.log(t)  # c_noise of table 1


Path = Linear | Cosine | LinearBeta | CosineBeta | Exploding


def rates(path: Path, t: jax.Array) -> Pair:
    """(alpha'(t), sigma'(t)) by automatic differentiation."""
    one = jnp.ones_like(t)  # dt / dt, of every t by itself
    _, alpha_rate = jax.jvp(path.alpha, (t,), (one,))
    _, sigma_rate = jax.jvp(path.sigma, (t,), (one,))
    return alpha_rate, sigma_rate


@dataclasses.dataclass(frozen=True)
class X:
    """The net predicts the data."""

    def coefficients(self, path: Path, t: jax.Array) -> Pair:
        return jnp.ones_like(t), jnp.zeros_like(t)


@dataclasses.dataclass(frozen=True)
class Eps:
    """The net predicts the noise (DDPM)."""

    def coefficients(self, path: Path, t: jax.Array) -> Pair:
        return jnp.zeros_like(t), jnp.ones_like(t)


@dataclasses.dataclass(frozen=True)
class V:
    """v = alpha eps - sigma x (Salimans & Ho 2022, arXiv:2202.00512)."""

    def coefficients(self, path: Path, t: jax.Array) -> Pair:
        return -path.sigma(t), path.alpha(t)


@dataclasses.dataclass(frozen=True)
class Velocity:
    """dz/dt = alpha' x + sigma' eps (flow matching; Lipman et al. 2023, arXiv:2210.02747)."""

    def coefficients(self, path: Path, t: jax.Array) -> Pair:
        return rates(path, t)


@dataclasses.dataclass(frozen=True)
class Score:
    """grad log p(z | x) = -eps / sigma (arXiv:2011.13456)."""

    def coefficients(self, path: Path, t: jax.Array) -> Pair:
        of_eps = -1.0 / path.sigma(t)
        return jnp.zeros_like(t), of_eps


@dataclasses.dataclass(frozen=True)
class Preconditioned:
    """EDM's F, of unit variance at every level: F = (s x - std² eps) / (std sqrt(s² + std²)) with s = sigma / alpha.

    It is (x - c_skip z / alpha) / c_out with c_skip and c_out of arXiv:2206.00364, table 1, for any path.
    """

    std: float = field(0.5, "standard deviation of the data")

    def __post_init__(self):
        if not 0.0 < self.std < math.inf:
            raise ValueError(f"a standard deviation is above 0, and finite, got {self.std}")

    def coefficients(self, path: Path, t: jax.Array) -> Pair:
        s = path.sigma(t) / path.alpha(t)
        root = jnp.sqrt(s**2 + self.std**2)  # standard deviation of z / alpha
        of_x = s / (self.std * root)
        of_eps = -self.std / root
        return of_x, of_eps


Prediction = X | Eps | V | Velocity | Score | Preconditioned


def over(a: jax.Array, x: jax.Array) -> jax.Array:
    """a [B] or a scalar, shaped to multiply x [B, ...]."""
    ones = [1] * (x.ndim - 1)
    return jnp.reshape(a, (-1, *ones))


def combine(
    what: Prediction, path: Path, t: jax.Array, x: jax.Array, eps: jax.Array
) -> jax.Array:
    """y = a x + b eps, what a perfect net would say: t [B], x and eps [B, ...] -> [B, ...]."""
    a, b = what.coefficients(path, t)
    of_x = over(a, x) * x
    of_eps = over(b, x) * eps
    return of_x + of_eps


def solve(what: Prediction, path: Path, t: jax.Array, z: jax.Array, y: jax.Array) -> Pair:
    """(x, eps) from z = alpha x + sigma eps and y = a x + b eps; t [B], z and y [B, ...]."""
    alpha = path.alpha(t)
    sigma = path.sigma(t)
    a, b = what.coefficients(path, t)
    # Cramer's rule for the rows (alpha, sigma) and (a, b). The four quotients are [B]: cheaper than a division of data.
    det = alpha * b - sigma * a
    x_of_z = over(b / det, z)
    x_of_y = over(sigma / det, z)
    x = x_of_z * z - x_of_y * y
    eps_of_y = over(alpha / det, z)
    eps_of_z = over(a / det, z)
    eps = eps_of_y * y - eps_of_z * z
    return x, eps
