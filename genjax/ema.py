"""Averages of the weights over training, as config values with `init(params)` and `update(ema, params, step)`.

`Decay` is the usual exponential average. `Power` keeps averages whose memory grows with the run, at several widths;
from snapshots of them `mix` makes that of any other width after training (Karras et al. 2024, arXiv:2312.02696):

    theta_gamma(t) = (gamma + 1) / t^(gamma + 1) * integral_0^t tau^gamma theta(tau) dtau                       (eq. 2)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field


def _towards(ema: Any, params: Any, decay: jax.Array) -> Any:
    """decay * ema + (1 - decay) * params, written so that equal weights stay bit for bit what they are."""

    def step(average: jax.Array, new: jax.Array) -> jax.Array:
        return average + (1.0 - decay) * (new - average)

    return jax.tree.map(step, ema, params)


def _copies(params: dict[str, Any]) -> dict[str, Any]:
    return jax.tree.map(jnp.copy, params)  # a buffer may be donated only once


@dataclasses.dataclass(frozen=True)
class Decay:
    """Exponential average with a ramp, decay_t = min(decay, (1 + t) / (10 + t)), so early weights fade fast."""

    decay: float = field(
        0.999, "share of the old average that is kept at a step, 0 = no averaging"
    )
    ramp: bool = field(
        True,
        "less at first; false = the share alone, as DDPM and StyleGAN print it",
        added=True,
    )

    def __post_init__(self):
        # 1 leaves the ramp alone; nan is in no interval
        if not 0.0 <= self.decay <= 1.0:
            raise ValueError(f"an average keeps a share in [0, 1], got {self.decay}")

    def init(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.decay:
            return {}
        return _copies(params)

    def update(
        self, ema: dict[str, Any], params: dict[str, Any], step: jax.Array
    ) -> dict[str, Any]:
        if not self.decay:
            return {}
        decay = jnp.float32(self.decay)
        if self.ramp:
            rising = (1.0 + step) / (10.0 + step)
            decay = jnp.minimum(decay, rising)
        return _towards(ema, params, decay)


@dataclasses.dataclass(frozen=True)
class Power:
    """Power-function averages; a width is the average's standard deviation in time as a share of the run so far.

    The first width is kept under the network's name, the others as "<network>@<width>".
    """

    widths: tuple[float, ...] = field(
        (0.05, 0.10), "sigma_rel of each average kept, between 0 and 0.28"
    )

    def __post_init__(self):
        # no widths at all are refused as well: 0 stands for them
        for width in self.widths or (0.0,):
            gamma(width)  # raises ValueError for a width that no power has
        # six digits: averages and tables are told apart by them, and of two with one name the later alone would be kept
        names = [f"{width:g}" for width in self.widths]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"two of the averages' widths are {name} in print: keep one of them"
                )

    def init(self, params: dict[str, Any]) -> dict[str, Any]:
        ema: dict[str, Any] = {}
        for width in self.widths:
            ema |= self._named(_copies(params), width)
        return ema

    def update(
        self, ema: dict[str, Any], params: dict[str, Any], step: jax.Array
    ) -> dict[str, Any]:
        new = {}
        for width in self.widths:
            # eq. 4, with t counted from 1: beta = (1 - 1 / t)^(gamma + 1)
            t = 1.0 + step
            exponent = gamma(width) + 1.0
            decay = (1.0 - 1.0 / t) ** exponent
            for key, tree in self._named(params, width).items():
                new[key] = _towards(ema[key], tree, decay)
        return new

    def _named(self, params: dict[str, Any], width: float) -> dict[str, Any]:
        """The networks under the names that their averages of this width have."""
        if width == self.widths[0]:
            return dict(params)
        return {f"{name}@{width:g}": tree for name, tree in params.items()}


def gamma(width: float) -> float:
    """The exponent whose average has this width: sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3))."""
    if (
        not 0.0 < width < 12**-0.5
    ):  # gamma = 0, the mean of all weights, has the width 1 / sqrt(12)
        raise ValueError(f"an average's width must be above 0 and below 0.2887, got {width}")
    # squared and multiplied out: gamma³ + 7 gamma² + (16 - width^-2) gamma + 12 - width^-2 = 0
    inverse = width**-2
    polynomial = [1.0, 7.0, 16.0 - inverse, 12.0 - inverse]
    roots = np.roots(polynomial)
    real = np.abs(np.imag(roots)) < 1e-9
    # the other two are below 0: powers that would weigh the earliest weights most
    return float(np.max(np.real(roots[real])))


def _product(
    ta: np.ndarray,  # t and gamma of one profile
    ga: np.ndarray,
    tb: np.ndarray,  # and of the other
    gb: np.ndarray,
) -> np.ndarray:
    """Inner products of the profiles (gamma + 1) tau^gamma / t^(gamma + 1) on [0, t] (appendix C); broadcasts."""
    least = np.minimum(ta, tb)  # beyond it one of the two is 0
    total = ga + gb + 1.0  # the exponent of the integral of tau^ga tau^gb
    # powers of ratios: t^gamma itself overflows
    scale_a = (least / ta) ** (ga + 0.5)
    scale_b = (least / tb) ** (gb + 0.5)
    scale = scale_a * scale_b
    return (ga + 1.0) * (gb + 1.0) / total * scale / np.sqrt(ta * tb)


def weights(
    steps: Sequence[int],
    widths: Sequence[float],
    step: int,
    width: float,
) -> np.ndarray:
    """How much of each snapshot makes the average of `width` at `step`: the least squares of the profiles, [n].

    Snapshot i was taken after steps[i] with widths[i]; take several widths and steps, `step` among them.
    """
    t = np.asarray(steps, np.float64)  # [n]
    g = np.array([gamma(w) for w in widths])
    # the normal equations: products of the snapshots' profiles with each other and with the one that is wanted
    gram = _product(t[:, None], g[:, None], t[None], g[None])  # [n, n]
    wanted = _product(t, g, np.float64(step), gamma(width))
    # least squares, as snapshots close together make the matrix nearly singular
    solution = np.linalg.lstsq(gram, wanted, rcond=1e-12)
    return solution[0]


def mix(
    snapshots: Sequence[Any],
    steps: Sequence[int],
    widths: Sequence[float],
    step: int,
    width: float,
) -> Any:
    """The weights averaged with any `width` at `step`, out of snapshots of other averages; trees of arrays."""
    shares = weights(steps, widths, step, width)

    def mixed(*leaves: Any) -> Any:  # the same leaf of every snapshot
        return sum(share * leaf for share, leaf in zip(shares, leaves, strict=True))

    return jax.tree.map(mixed, *snapshots)
