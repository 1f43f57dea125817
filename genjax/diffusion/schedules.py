"""Where a sampler stops: descending noise levels sigma / alpha, [steps], as config values called with the path.

The step from the last level to zero is the denoiser itself, so zero is no part of a schedule and n levels are n steps.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.diffusion.paths import Path
from genjax.errors import at_least


@dataclasses.dataclass(frozen=True)
class Karras:
    """sigma_i = (high^(1/rho) + i / (n - 1) (low^(1/rho) - high^(1/rho)))^rho (arXiv:2206.00364, eq. 5)."""

    steps: int = field(18, "denoising steps")
    low: float = field(0.002, "least noise level")
    high: float = field(80.0, "greatest noise level")
    rho: float = field(7.0, "how much shorter the steps near the data are")

    def __call__(self, path: Path) -> jax.Array:
        _check(self)
        share = jnp.arange(self.steps) / max(
            self.steps - 1, 1
        )  # i / (n - 1); one step is at `high`
        low = self.low ** (1.0 / self.rho)
        high = self.high ** (1.0 / self.rho)
        root = high + share * (low - high)
        return root**self.rho


@dataclasses.dataclass(frozen=True)
class Times:
    """Even steps in the path's time from `first` to 0; shift > 1 stays longer at noise (arXiv:2403.03206, eq. 23)."""

    steps: int = field(50, "denoising steps")
    first: float = field(
        0.999,
        "time to start from; 1 is pure noise, where sigma / alpha of some paths is infinite",
    )
    shift: float = field(1.0, "t -> shift t / (1 + (shift - 1) t)")

    def __call__(self, path: Path) -> jax.Array:
        _check(self)
        # Without 0: from the last of these times the denoiser itself makes the step.
        left = 1.0 - jnp.arange(self.steps) / self.steps
        t = self.first * left
        stretch = (
            1.0 + (self.shift - 1.0) * t
        )  # 1 and shift at the ends, which stay where they are
        t = self.shift * t / stretch
        return path.sigma(t) / path.alpha(t)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Even steps in ln sigma, for solvers whose order is to be seen and for DPM-Solver (arXiv:2206.00927)."""

    steps: int = field(20, "denoising steps")
    low: float = field(0.002, "least noise level")
    high: float = field(80.0, "greatest noise level")

    def __call__(self, path: Path) -> jax.Array:
        _check(self)
        high = jnp.log(self.high)
        low = jnp.log(self.low)
        log_sigmas = jnp.linspace(high, low, self.steps)  # high alone if there is one step
        return jnp.exp(log_sigmas)


Schedule = Karras | Times | LogUniform


def _check(schedule: Schedule) -> None:
    at_least(1, algorithm__schedule__steps=schedule.steps)
