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

from genjax.config import Own, field
from genjax.core import example_keys

Pair = tuple[jax.Array, jax.Array]  # centre and log scale of the distribution of each value
Shape = tuple[int, ...]


def total(x: jax.Array) -> jax.Array:
    """Sums over all but the first axis."""
    flat = x.reshape(x.shape[0], -1)  # [B, D]
    return jnp.sum(flat, -1)


def check_bounds(name: str, bounds: tuple[float, float]) -> None:
    """Raises ValueError unless bounds = (low, high) are two numbers that rise; equal ones fix the value."""
    low, high = bounds
    # the other way round clip gives `high` everywhere, without a gradient; nan is neither way
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{name} are finite, the lower first, got {name}={bounds}")


def _per_example(draw, key: jax.Array, index: jax.Array, shape: Shape) -> jax.Array:
    """Draws [B, *shape], each from its example's own key, so that the layout of devices does not matter."""
    keys = example_keys(key, index)  # [B]
    return jax.vmap(lambda k: draw(k, shape))(keys)


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
        # grey values in a cross-entropy are no outcomes, so there is nothing to count bits of
        return self.dynamic

    def observe(self, key: jax.Array, x: jax.Array, index: jax.Array) -> jax.Array:
        if not self.dynamic:
            return x
        # P(u < x) = x: white with the grey value's probability
        uniform = _per_example(jax.random.uniform, key, index, x.shape[1:])
        white = uniform < x
        return white.astype(x.dtype)

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        # x log s(out) + (1 - x) log s(-out) = x out - softplus(out), s = sigmoid: no log of 0
        log_p = x * out - jax.nn.softplus(out)
        return total(log_p)

    def mean(self, out: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(out)

    def sample(self, key: jax.Array, out: jax.Array, index: jax.Array) -> jax.Array:
        uniform = _per_example(jax.random.uniform, key, index, out.shape[1:])
        white = uniform < jax.nn.sigmoid(out)
        return white.astype(out.dtype)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """x ~ N(out, scale^2) with a fixed scale, or, with scale=None, mean and log scale both from the net."""

    scale: float | None = field(
        0.1, "standard deviation of x given z, in units of x; None = learned per value"
    )
    bounds: tuple[float, float] = field((-6.0, 2.0), "limits of a learned log scale")

    def __post_init__(self):
        if self.scale is not None and not 0.0 < self.scale < math.inf:  # nan too
            raise ValueError(f"a Gaussian needs a scale above 0, got {self.scale}")
        check_bounds("bounds", self.bounds)

    @property
    def outputs(self) -> int:
        return 1 if self.scale is not None else 2  # mean, or mean and log scale

    @property
    def discrete(self) -> bool:
        return False

    def _split(self, out: jax.Array) -> Pair:
        if self.scale is not None:
            log_scale = math.log(self.scale)
            return out, jnp.asarray(log_scale, out.dtype)
        mean, log_scale = jnp.split(out, 2, -1)
        # Without limits the likelihood of a value that is always the same, a black border, grows for ever.
        return mean, jnp.clip(log_scale, *self.bounds)

    def observe(self, key: jax.Array, x: jax.Array, index: jax.Array) -> jax.Array:
        return x

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        mean, log_scale = self._split(out)
        distance = (x - mean) * jnp.exp(-log_scale)  # in scales
        constant = 0.5 * math.log(2 * math.pi)
        # log N(x; mean, scale²), value by value
        log_p = -0.5 * jnp.square(distance) - log_scale - constant
        return total(log_p)

    def mean(self, out: jax.Array) -> jax.Array:
        mean, _ = self._split(out)
        return mean

    def sample(self, key: jax.Array, out: jax.Array, index: jax.Array) -> jax.Array:
        mean, log_scale = self._split(out)
        normal = _per_example(jax.random.normal, key, index, mean.shape[1:])
        return mean + jnp.exp(log_scale) * normal


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
            raise ValueError(
                f"a discretised likelihood needs at least 2 levels, got {self.levels}"
            )
        check_bounds("bounds", self.bounds)

    @property
    def outputs(self) -> int:
        return 2

    @property
    def discrete(self) -> bool:
        return True

    def _split(self, out: jax.Array) -> Pair:
        mu, log_s = jnp.split(out, 2, -1)
        log_s = log_s - 2.0  # so that a net that gives 0 starts near the scale of the data
        mu = jax.nn.sigmoid(mu)  # within the range of images
        return mu, jnp.clip(log_s, *self.bounds)

    def _rounded(self, x: jax.Array) -> jax.Array:
        highest = self.levels - 1  # of the grey values, from 0
        return jnp.round(x * highest) / highest

    def observe(self, key: jax.Array, x: jax.Array, index: jax.Array) -> jax.Array:
        return self._rounded(x)

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        mu, log_s = self._split(out)
        half = 0.5 / (self.levels - 1)  # h
        inverse = jnp.exp(-log_s)
        # Distances of the grey value's two edges from mu, in scales.
        above = (x + half - mu) * inverse
        below = (x - half - mu) * inverse

        under_upper = jax.nn.log_sigmoid(above)  # log S(a)
        over_lower = jax.nn.log_sigmoid(-below)  # log S(-b) = log(1 - S(b))
        # log(S(a) - S(b)) = log S(a) + log S(-b) + log(1 - exp(b - a)): no difference of nearly equal numbers
        width = -2 * half * inverse  # b - a
        difference = jnp.log(-jnp.expm1(width))
        inside = under_upper + over_lower + difference

        # The end values have one edge: what lies beyond them is theirs too.
        lowest = x < half
        highest = x > 1 - half
        upper = jnp.where(highest, over_lower, inside)
        log_p = jnp.where(lowest, under_upper, upper)
        return total(log_p)

    def mean(self, out: jax.Array) -> jax.Array:
        mu, _ = self._split(out)  # of the logistic, before it is cut into levels
        return mu

    def sample(self, key: jax.Array, out: jax.Array, index: jax.Array) -> jax.Array:
        mu, log_s = self._split(out)
        # x = mu + s L, L ~ logistic: its distribution function is S((x - mu) / s)
        logistic = _per_example(jax.random.logistic, key, index, mu.shape[1:])
        x = mu + jnp.exp(log_s) * logistic  # before rounding
        # what lies beyond an end is that end, as in `log_prob`
        return self._rounded(jnp.clip(x, 0.0, 1.0))


Likelihood = Bernoulli | Gaussian | DiscretisedLogistic | Own
