"""Likelihoods p(x | z) as config values.

Each says how many numbers a net must give per value of x (`outputs`), whether log p is a probability and not a density
(`discrete`: then bits per dimension mean something), what it observes of the data (`observe`: this is
where pixels are binarised), and maps the net's raw output `out` to a log density, a mean and a sample. x is float, in
[0, 1] for images. All reduce over everything but the batch: [B, ...] -> [B]; nats.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import example_keys


def total(x: jax.Array) -> jax.Array:
    """Sums over all but the first axis."""
    return jnp.sum(x.reshape(x.shape[0], -1), -1)


def _per_example(draw, key: jax.Array, index: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.vmap(lambda k: draw(k, shape))(example_keys(key, index))


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """x in {0, 1}, p(x = 1 | z) = sigmoid(out); grey values are probabilities, drawn anew at every sight if `dynamic`.

    With dynamic=False grey values enter the cross-entropy as they are, which is no likelihood of them.
    """

    dynamic: bool = field(
        True, "dynamic binarisation: draw x ~ Bernoulli(grey value) at every sight"
    )

    @property
    def outputs(self) -> int:
        return 1

    @property
    def discrete(self) -> bool:
        return self.dynamic

    def observe(self, key: jax.Array, x: jax.Array, index: jax.Array) -> jax.Array:
        if not self.dynamic:
            return x
        return (_per_example(jax.random.uniform, key, index, x.shape[1:]) < x).astype(x.dtype)

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        return total(x * out - jax.nn.softplus(out))

    def mean(self, out: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(out)

    def sample(self, key: jax.Array, out: jax.Array, index: jax.Array) -> jax.Array:
        uniform = _per_example(jax.random.uniform, key, index, out.shape[1:])
        return (uniform < jax.nn.sigmoid(out)).astype(out.dtype)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """x ~ N(out, scale^2) with a fixed scale, or, with scale=None, mean and log scale both from the net."""

    scale: float | None = field(
        0.1, "standard deviation of x given z, in units of x; None = learned per value"
    )
    bounds: tuple[float, float] = field((-6.0, 2.0), "limits of a learned log scale")

    def __post_init__(self):
        if self.scale is not None and self.scale <= 0:
            raise ValueError(f"a Gaussian needs a scale above 0, got {self.scale}")

    @property
    def outputs(self) -> int:
        return 1 if self.scale is not None else 2

    @property
    def discrete(self) -> bool:
        return False

    def _split(self, out: jax.Array) -> tuple[jax.Array, jax.Array]:
        if self.scale is not None:
            return out, jnp.asarray(math.log(self.scale), out.dtype)
        mean, log_scale = jnp.split(out, 2, -1)
        return mean, jnp.clip(log_scale, *self.bounds)

    def observe(self, key: jax.Array, x: jax.Array, index: jax.Array) -> jax.Array:
        return x

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        mean, log_scale = self._split(out)
        return total(
            -0.5 * jnp.square((x - mean) * jnp.exp(-log_scale))
            - log_scale
            - 0.5 * math.log(2 * math.pi)
        )

    def mean(self, out: jax.Array) -> jax.Array:
        return self._split(out)[0]

    def sample(self, key: jax.Array, out: jax.Array, index: jax.Array) -> jax.Array:
        mean, log_scale = self._split(out)
        return mean + jnp.exp(log_scale) * _per_example(
            jax.random.normal, key, index, mean.shape[1:]
        )


@dataclasses.dataclass(frozen=True)
class DiscretisedLogistic:
    """P(x) = S((x + h - mu) / s) - S((x - h - mu) / s) on `levels` grey values; S = sigmoid, h = half a step.

    The lowest and highest values take the tails, so the probabilities of all levels sum to one (Kingma et al. 2016,
    arXiv:1606.04934; Salimans et al. 2017, arXiv:1701.05517, eq. 2). Values are x = level / (levels - 1).
    """

    levels: int = field(256, "number of grey values; images are rounded to so many")
    bounds: tuple[float, float] = field((-7.0, 2.0), "limits of the log scale, in units of x")

    def __post_init__(self):
        if self.levels < 2:
            raise ValueError(f"a discretised likelihood needs at least 2 levels, got {self.levels}")

    @property
    def outputs(self) -> int:
        return 2

    @property
    def discrete(self) -> bool:
        return True

    def _split(self, out: jax.Array) -> tuple[jax.Array, jax.Array]:
        mu, log_s = jnp.split(out, 2, -1)
        return jax.nn.sigmoid(mu), jnp.clip(
            log_s - 2.0, *self.bounds
        )  # -2: start near the scale of the data

    def observe(self, key: jax.Array, x: jax.Array, index: jax.Array) -> jax.Array:
        return jnp.round(x * (self.levels - 1)) / (self.levels - 1)

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        mu, log_s = self._split(out)
        half, inverse = 0.5 / (self.levels - 1), jnp.exp(-log_s)
        above, below = (
            (x + half - mu) * inverse,
            (x - half - mu) * inverse,
        )  # distances of the two edges, in scales
        # log(S(a) - S(b)) = log S(a) + log S(-b) + log(1 - exp(b - a)): no difference of nearly equal numbers
        inside = (
            jax.nn.log_sigmoid(above)
            + jax.nn.log_sigmoid(-below)
            + jnp.log(-jnp.expm1(-2 * half * inverse))
        )
        lowest, highest = x < half, x > 1 - half
        log_p = jnp.where(
            lowest,
            jax.nn.log_sigmoid(above),
            jnp.where(highest, jax.nn.log_sigmoid(-below), inside),
        )
        return total(log_p)

    def mean(self, out: jax.Array) -> jax.Array:
        return self._split(out)[0]

    def sample(self, key: jax.Array, out: jax.Array, index: jax.Array) -> jax.Array:
        mu, log_s = self._split(out)
        x = mu + jnp.exp(log_s) * _per_example(jax.random.logistic, key, index, mu.shape[1:])
        return jnp.round(jnp.clip(x, 0.0, 1.0) * (self.levels - 1)) / (self.levels - 1)


Likelihood = Bernoulli | Gaussian | DiscretisedLogistic
