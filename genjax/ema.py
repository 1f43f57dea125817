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
    return jax.tree.map(lambda a, p: a + (1.0 - decay) * (p - a), ema, params)


def _copies(params: dict[str, Any]) -> dict[str, Any]:
    return jax.tree.map(jnp.copy, params)  # a buffer may be donated only once


@dataclasses.dataclass(frozen=True)
class Decay:
    """Exponential average with a ramp, decay_t = min(decay, (1 + t) / (10 + t)), so early weights fade fast."""

    decay: float = field(0.999, "share of the old average that is kept at a step, 0 = no averaging")

    def init(self, params: dict[str, Any]) -> dict[str, Any]:
        return _copies(params) if self.decay else {}

    def update(
        self, ema: dict[str, Any], params: dict[str, Any], step: jax.Array
    ) -> dict[str, Any]:
        return (
            _towards(ema, params, jnp.minimum(self.decay, (1.0 + step) / (10.0 + step)))
            if self.decay
            else {}
        )


@dataclasses.dataclass(frozen=True)
class Power:
    """Power-function averages; a width is the average's standard deviation in time as a share of the run so far.

    The first width is kept under the network's name, the others as "<network>@<width>".
    """

    widths: tuple[float, ...] = field(
        (0.05, 0.10), "sigma_rel of each average kept, between 0 and 0.28"
    )

    def __post_init__(self):
        for width in self.widths or (0.0,):
            gamma(width)  # raises ValueError for a width that no power has

    def init(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            key: tree
            for width in self.widths
            for key, tree in self._named(_copies(params), width).items()
        }

    def update(
        self, ema: dict[str, Any], params: dict[str, Any], step: jax.Array
    ) -> dict[str, Any]:
        new = {}
        for width in self.widths:
            decay = (1.0 - 1.0 / (1.0 + step)) ** (
                gamma(width) + 1.0
            )  # eq. 4, with t counted from 1
            named = self._named(params, width)
            new |= {key: _towards(ema[key], tree, decay) for key, tree in named.items()}
        return new

    def _named(self, params: dict[str, Any], width: float) -> dict[str, Any]:
        return {
            name if width == self.widths[0] else f"{name}@{width:g}": tree
            for name, tree in params.items()
        }


def gamma(width: float) -> float:
    """The exponent whose average has this width: sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3))."""
    if not 0.0 < width < 12**-0.5:  # gamma = 0, the mean of all weights, has the width 1 / sqrt(12)
        raise ValueError(f"an average's width must be above 0 and below 0.2887, got {width}")
    roots = np.roots([1.0, 7.0, 16.0 - width**-2, 12.0 - width**-2])
    return float(np.max(np.real(roots[np.abs(np.imag(roots)) < 1e-9])))


def _product(ta: np.ndarray, ga: np.ndarray, tb: np.ndarray, gb: np.ndarray) -> np.ndarray:
    """Inner products of the profiles (gamma + 1) tau^gamma / t^(gamma + 1) on [0, t] (appendix C); broadcasts."""
    least, total = np.minimum(ta, tb), ga + gb + 1.0
    scale = (least / ta) ** (ga + 0.5) * (least / tb) ** (
        gb + 0.5
    )  # powers of ratios: t^gamma itself overflows
    return (ga + 1.0) * (gb + 1.0) / total * scale / np.sqrt(ta * tb)


def weights(steps: Sequence[int], widths: Sequence[float], step: int, width: float) -> np.ndarray:
    """How much of each snapshot makes the average of `width` at `step`: the least squares of the profiles, [n].

    Snapshot i was taken after steps[i] with widths[i]; take several widths and steps, `step` among them.
    """
    t, g = np.asarray(steps, np.float64), np.array([gamma(w) for w in widths])
    gram = _product(t[:, None], g[:, None], t[None], g[None])
    return np.linalg.lstsq(gram, _product(t, g, np.float64(step), gamma(width)), rcond=1e-12)[0]


def mix(
    snapshots: Sequence[Any], steps: Sequence[int], widths: Sequence[float], step: int, width: float
) -> Any:
    """The weights averaged with any `width` at `step`, out of snapshots of other averages; trees of arrays."""
    shares = weights(steps, widths, step, width)
    return jax.tree.map(
        lambda *leaves: sum(s * leaf for s, leaf in zip(shares, leaves, strict=True)), *snapshots
    )
