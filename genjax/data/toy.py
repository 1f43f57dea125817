"""Toys of the plane: mixtures of isotropic Gaussians, whose density is known exactly and which are sampled exactly.

    p(x) = sum_k w_k N(x; m_k, s_k² I)

Moons and spirals are many small Gaussians along a curve, so that they too have a density to compare with.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.data.source import Source, hold_out
from genjax.errors import UserError, at_least
from genjax.fields import Category, Points


class Gaussians(NamedTuple):
    """Isotropic Gaussians of the plane; `classes` gives each its label (an arm of a spiral is one class)."""

    means: np.ndarray  # [K, 2]
    scales: np.ndarray  # [K], standard deviations
    weights: np.ndarray  # [K], sum 1
    classes: np.ndarray  # [K] int32


def log_prob(mixture: Gaussians, x: jax.Array) -> jax.Array:
    """Exact log density in nats at x [B, 2] -> [B]."""
    offset = x[:, None] - mixture.means  # [B, K, 2]
    distance = jnp.sum(offset**2, -1)  # [B, K]
    exponent = -0.5 * distance / mixture.scales**2
    log_scale = 2.0 * jnp.log(mixture.scales)  # s² is the volume of two dimensions
    # log N(x; m, s² I) = -|x - m|² / 2 s² - 2 log s - log 2 pi
    log_normal = exponent - log_scale - jnp.log(2.0 * jnp.pi)
    return jax.nn.logsumexp(log_normal, axis=-1, b=mixture.weights)


def draw(mixture: Gaussians, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n exact samples: points float32 [n, 2] and their labels int32 [n]."""
    weights = mixture.weights
    k = rng.choice(len(weights), size=n, p=weights)  # [n], which Gaussian
    eps = rng.standard_normal((n, 2))
    x = mixture.means[k] + mixture.scales[k, None] * eps
    return x.astype(np.float32), mixture.classes[k]


def _uniform(means: np.ndarray, scale: float, classes: np.ndarray) -> Gaussians:
    k = len(means)
    if not k or scale <= 0:
        raise UserError(
            f"a mixture needs at least one Gaussian and a scale above 0, got {k} of scale {scale}."
        )
    scales = np.full(k, scale)
    weights = np.full(k, 1.0 / k)
    return Gaussians(means, scales, weights, classes.astype(np.int32))


def _circle(angle: np.ndarray) -> np.ndarray:
    """Points of the unit circle at angles [...], [..., 2]."""
    return np.stack([np.cos(angle), np.sin(angle)], -1)


@dataclasses.dataclass(frozen=True)
class Ring:
    """Gaussians evenly spaced on a circle, one class each: the usual test of lost modes."""

    modes: int = field(8, "number of Gaussians")
    radius: float = field(2.0, "radius of the circle")
    scale: float = field(0.1, "standard deviation of each")

    def __call__(self) -> Gaussians:
        classes = np.arange(self.modes)
        angle = 2.0 * np.pi * classes / self.modes
        means = self.radius * _circle(angle)  # [modes, 2]
        return _uniform(means, self.scale, classes)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Gaussians on a square grid, one class each."""

    side: int = field(5, "Gaussians along each side")
    spacing: float = field(1.0, "distance of neighbours")
    scale: float = field(0.05, "standard deviation of each")

    def __call__(self) -> Gaussians:
        middle = (self.side - 1) / 2  # the grid's centre is the origin
        line = self.spacing * (np.arange(self.side) - middle)
        axes = np.meshgrid(line, line, indexing="ij")
        means = np.stack(axes, -1).reshape(-1, 2)
        classes = np.arange(len(means))
        return _uniform(means, self.scale, classes)


@dataclasses.dataclass(frozen=True)
class Moons:
    """Two interleaved half circles, two classes."""

    knots: int = field(48, "Gaussians along each half circle")
    radius: float = field(1.5, "radius of both half circles")
    scale: float = field(0.12, "standard deviation of each Gaussian")

    def __call__(self) -> Gaussians:
        angle = np.pi * (np.arange(self.knots) + 0.5) / self.knots
        arc = _circle(angle)
        upper = arc + np.array([-0.5, -0.25])
        # the lower moon is the upper one turned by half a circle about the origin
        both = np.concatenate([upper, -upper])
        classes = np.repeat([0, 1], self.knots)
        return _uniform(self.radius * both, self.scale, classes)


@dataclasses.dataclass(frozen=True)
class Spiral:
    """Archimedean spiral arms, one class each."""

    arms: int = field(2, "number of arms")
    turns: float = field(1.0, "turns of each arm")
    radius: float = field(2.5, "distance of the outer end from the centre")
    knots: int = field(96, "Gaussians along each arm")
    scale: float = field(0.08, "standard deviation of each Gaussian")

    def __call__(self) -> Gaussians:
        share = (np.arange(self.knots) + 0.5) / self.knots
        t = np.sqrt(share)  # the square root spaces them about evenly
        arm = np.arange(self.arms)
        start = arm[:, None] / self.arms  # in turns: the arms are evenly spaced
        angle = 2.0 * np.pi * (self.turns * t + start)  # [arms, knots]
        means = self.radius * t[:, None] * _circle(angle)  # [arms, knots, 2]
        classes = np.repeat(arm, self.knots)
        return _uniform(means.reshape(-1, 2), self.scale, classes)


@dataclasses.dataclass(frozen=True)
class Toy:
    """Samples of a mixture, drawn once from a fixed seed; `mixture()` gives the density for `log_prob`."""

    mixture: Ring | Grid | Moons | Spiral = field(Ring(), "the density")
    train: int = field(20_000, "training points")
    test: int = field(10_000, "test points")
    valid: int = field(0, "points held out from the tail of the training points")
    seed: int = field(0, "seed of the points, independent of the run's seed")

    def load(self) -> Source:
        """Draws the points: {"point": float32 [N, 2], "label": int32 [N]}; UserError for sizes below 1."""
        at_least(1, data__train=self.train, data__test=self.test)
        mixture = self.mixture()
        test = self._split(mixture, 1, self.test)
        train = self._split(mixture, 0, self.train)
        train, valid = hold_out(train, self.valid)
        classes = int(mixture.classes.max()) + 1
        # five standard deviations: hardly a point is drawn outside the picture
        furthest = np.abs(mixture.means).max()
        limit = float(furthest + 5.0 * mixture.scales.max())
        fields = {"point": Points((2,), limit), "label": Category(classes)}
        name = type(self.mixture).__name__.lower()
        return Source(name, fields, train, valid, test)

    def _split(self, mixture: Gaussians, stream: int, n: int) -> dict[str, np.ndarray]:
        # a stream of its own for each split: the size of one leaves the other as it is
        bits = np.random.Philox(key=[self.seed, stream])
        x, y = draw(mixture, np.random.Generator(bits), n)
        return {"point": x, "label": y}
