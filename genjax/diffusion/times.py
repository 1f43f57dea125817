"""Which noise levels training sees: time laws as inverse distribution functions, fed with stratified uniforms."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Batch, example_keys

GOLDEN = 2654435769  # 2^32 times the golden ratio's fraction: frac(u + i GOLDEN / 2^32) covers [0, 1) evenly for any n
EDGE = 1e-6  # a uniform stays so far from 0 and 1, where some inverse distribution functions are infinite


def strata(key: jax.Array, batch: Batch) -> jax.Array:
    """Uniforms in (0, 1), [B]: evenly spread over a training batch (in the manner of VDM, arXiv:2107.00630, app. I.1).

    Place i of the global batch gets frac(u + i GOLDEN / 2^32) with one u for all, so the layout of devices does not
    matter and each alone is uniform. Without places (evaluation) every example draws its own.
    """
    if "position" in batch:
        place = batch["position"].astype(jnp.uint32)
        spread = place * jnp.uint32(
            GOLDEN
        )  # modulo 2^32, exact: floats would lose it at large places
        offset = spread.astype(jnp.float32) * 2.0**-32
        u = jnp.mod(jax.random.uniform(key) + offset, 1.0)
    else:
        keys = example_keys(key, batch["index"])
        u = jax.vmap(jax.random.uniform)(keys)
    return jnp.clip(u, EDGE, 1.0 - EDGE)


def unplaced(batch: Batch) -> Batch:
    """The batch without places: every example then has times of its own, a function of (key, index)."""
    return {name: value for name, value in batch.items() if name != "position"}


@dataclasses.dataclass(frozen=True)
class Uniform:
    """t ~ U(low, high)."""

    low: float = field(1e-4, "least time")
    high: float = field(1.0, "greatest time")

    def __post_init__(self):
        # below 0 there is no time on any path
        if not 0.0 <= self.low < self.high < math.inf:
            raise ValueError(
                f"times lie between low, 0 or above, and a higher high, got {self.low} and {self.high}"
            )

    def __call__(self, u: jax.Array) -> jax.Array:
        width = self.high - self.low
        return self.low + width * u


@dataclasses.dataclass(frozen=True)
class Discrete:
    """t uniform on {1/n, 2/n, …, 1}: the discrete times of DDPM (arXiv:2006.11239)."""

    n: int = field(1000, "number of times")

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"a grid of times needs at least 1, got {self.n}")

    def __call__(self, u: jax.Array) -> jax.Array:
        number = jnp.floor(u * self.n) + 1.0  # from 1: at t = 0 there is no noise to predict
        return number / self.n


@dataclasses.dataclass(frozen=True)
class LogitNormal:
    """logit t ~ N(mean, std²), for paths with times in [0, 1] (Esser et al. 2024, arXiv:2403.03206, eq. 19)."""

    mean: float = field(0.0, "of the logit; below 0 = more often near the data")
    std: float = field(1.0, "of the logit")

    def __post_init__(self):
        _check_normal(self.mean, self.std)

    def __call__(self, u: jax.Array) -> jax.Array:
        normal = jax.scipy.special.ndtri(u)  # the inverse of the normal distribution function
        logit = self.mean + self.std * normal
        return jax.nn.sigmoid(logit)


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """ln t ~ N(mean, std²), for the exploding path, where t is sigma (EDM: arXiv:2206.00364, table 1)."""

    mean: float = field(-1.2, "of ln sigma")
    std: float = field(1.2, "of ln sigma")

    def __post_init__(self):
        _check_normal(self.mean, self.std)

    def __call__(self, u: jax.Array) -> jax.Array:
        normal = jax.scipy.special.ndtri(u)
        log_sigma = self.mean + self.std * normal
        return jnp.exp(log_sigma)


Law = Uniform | Discrete | LogitNormal | LogNormal


def _check_normal(mean: float, std: float) -> None:
    """Raises ValueError for what is no normal distribution: of nan every time would be nan."""
    if not (math.isfinite(mean) and 0.0 < std < math.inf):
        raise ValueError(
            f"a normal distribution has a finite mean and a std above 0, got {mean} and {std}"
        )
