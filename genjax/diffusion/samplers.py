"""Samplers: each sees only a denoiser, D(x, sigma) = E[data | data + sigma eps = x].

All work in the coordinates x = z / alpha, sigma = sigma_t / alpha_t, in which every path is the exploding one, Euler's
method is DDIM, and the step to sigma = 0 is the denoiser itself. A sampler is a config value called for one step,

    step(denoiser, x, before, (older, sigma, after), eps) -> x at `after`, D(x, sigma)

where `before` and `older` are the denoised x and the level of the step before (in the first step: zeros, sigma) and
eps is standard normal. `sample` walks down a schedule in one `lax.scan`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.config import field

Denoiser = Callable[[jax.Array, jax.Array], jax.Array]  # (x [B, ...], sigma scalar) -> [B, ...]
Levels = tuple[jax.Array, jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class Euler:
    """First order on dx/dsigma = (x - D) / sigma (arXiv:2206.00364, eq. 1 and 3)."""

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        denoised = denoiser(x, sigma)
        step = after - sigma  # below 0 on the way down
        return x + step * (x - denoised) / sigma, denoised


@dataclasses.dataclass(frozen=True)
class Heun:
    """Second order in sigma, with EDM's churn: noise is added before the step (arXiv:2206.00364, algorithm 2).

    For levels that fall by less than a factor of about three a step, as Karras's do; see `FlowHeun` for others.
    """

    churn: float = field(
        0.0,
        "gamma: share by which the level is raised first; `Churn` makes it of the paper's S_churn",
    )
    low: float = field(0.0, "S_tmin: least level at which noise is added")
    high: float = field(float("inf"), "S_tmax: greatest level at which noise is added")
    noise: float = field(1.0, "S_noise: scale of the noise that is added")

    def __post_init__(self):
        if not 0.0 <= self.churn < math.inf:
            raise ValueError(f"churn adds noise and cannot be negative, got {self.churn}")
        if not (0.0 <= self.noise < math.inf and self.low <= self.high):
            raise ValueError(
                f"churn scales its noise by 0 or more, at levels from low to high, got noise={self.noise}, "
                f"low={self.low}, high={self.high}"
            )

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        # Raise the level from sigma to `up` (lines 4 to 6 of the algorithm).
        churned = (sigma >= self.low) & (sigma <= self.high)
        gamma = jnp.where(churned, self.churn, 0.0)
        up = sigma * (1.0 + gamma)
        added = jnp.sqrt(up**2 - sigma**2)
        x = x + added * self.noise * eps

        # A step of Euler's method, then again with the mean of the slopes at its two ends (lines 7 to 11).
        denoised = denoiser(x, up)
        slope = (x - denoised) / up
        end = x + (after - up) * slope
        corrected = (end - denoiser(end, after)) / after
        step = (after - up) * 0.5
        return x + step * (slope + corrected), denoised


@dataclasses.dataclass(frozen=True)
class Churn:
    """EDM's stochastic sampler by the paper's own numbers: `Heun` with gamma = min(S_churn / N, sqrt(2) - 1).

    N is the number of steps, so that S_churn tells how much is churned on the whole way (arXiv:2206.00364, algorithm
    2). The defaults are the paper's for its own ImageNet model (table 5), whose N is 256.
    """

    churn: float = field(40.0, "S_churn: gamma times the number of steps")
    low: float = field(0.05, "S_tmin: least level at which noise is added")
    high: float = field(50.0, "S_tmax: greatest level at which noise is added")
    noise: float = field(1.003, "S_noise: scale of the noise that is added")

    def __post_init__(self):
        Heun(self.churn, self.low, self.high, self.noise)  # refuses what it cannot take

    def of(self, steps: int) -> Heun:
        """The sampler of a walk of so many steps, the last one, to 0, counted."""
        # of more than this the added noise would be greater than what is there: line 4
        gamma = min(self.churn / steps, math.sqrt(2.0) - 1.0)
        return Heun(gamma, self.low, self.high, self.noise)


@dataclasses.dataclass(frozen=True)
class FlowHeun:
    """Second order in flow time t = sigma / (1 + sigma), where z = (1 - t) x follows dz/dt = (z - D) / t.

    A trapezoid in sigma goes astray where sigma / after is large, as on the first of a few even steps in t.
    """

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        denoised = denoiser(x, sigma)
        # Into flow coordinates: 1 - t = 1 / (1 + sigma), and r is the time of `after`.
        t = sigma / (1.0 + sigma)
        r = after / (1.0 + after)
        z = x / (1.0 + sigma)

        slope = (z - denoised) / t
        end = z + (r - t) * slope
        x_end = end * (1.0 + after)  # the denoiser is asked in its own coordinates
        corrected = (end - denoiser(x_end, after)) / r
        step = (r - t) * 0.5
        z = z + step * (slope + corrected)
        return z * (1.0 + after), denoised


@dataclasses.dataclass(frozen=True)
class DDIM:
    """Keeps a share of the noise direction and draws the rest anew (Song et al. 2021, arXiv:2010.02502, eq. 12, 16)."""

    eta: float = field(0.0, "0 = deterministic, 1 = DDPM's ancestral sampling")

    def __post_init__(self):
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta lies in [0, 1], got {self.eta}")

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        denoised = denoiser(x, sigma)
        # Eq. 16 in these coordinates; on the way up, where after > sigma, nothing is fresh.
        share = jnp.maximum(1.0 - (after / sigma) ** 2, 0.0)
        fresh = self.eta * after * jnp.sqrt(share)
        kept = jnp.sqrt(after**2 - fresh**2)  # kept² + fresh² = after²
        direction = kept / sigma * (x - denoised)  # (x - D) / sigma is the noise as D sees it
        return denoised + direction + fresh * eps, denoised


@dataclasses.dataclass(frozen=True)
class DDPM:
    """Draws from q(x_after | x, D), the posterior of the forward chain (Ho et al. 2020, arXiv:2006.11239, eq. 6, 7)."""

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        denoised = denoiser(x, sigma)
        share = (after / sigma) ** 2
        mean = denoised + share * (x - denoised)
        variance = after**2 * (1.0 - share)
        return mean + jnp.sqrt(variance) * eps, denoised


@dataclasses.dataclass(frozen=True)
class DDPMLarge:
    """`DDPM` with the variance beta of the forward step instead of the posterior's (arXiv:2006.11239, sec. 3.2).

    It is right of data N(0, I) as the posterior's is of data without any variance. Of a variance-preserving path; also
    the sigma-hat of DDIM's table (arXiv:2010.02502).
    """

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        mean, denoised = DDPM()(denoiser, x, before, levels, 0.0)
        # beta = 1 - alpha(sigma)² / alpha(after)² with alpha² = 1 / (1 + sigma²), over alpha(after)²
        variance = (sigma**2 - after**2) * (1.0 + after**2) / (1.0 + sigma**2)
        return mean + jnp.sqrt(variance) * eps, denoised


@dataclasses.dataclass(frozen=True)
class EulerMaruyama:
    """First order on the reverse SDE, with the score (D - x) / sigma² (arXiv:2011.13456, eq. 6).

    For many steps only: where sigma falls by more than a factor of about 1.5, x keeps more noise than `after`.
    """

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        _, sigma, after = levels
        denoised = denoiser(x, sigma)
        variance = sigma**2 - after**2  # of the noise that the SDE adds from `after` to sigma
        drift = variance * (denoised - x) / sigma**2  # variance times the score
        diffusion = jnp.sqrt(variance) * eps
        return x + drift + diffusion, denoised


@dataclasses.dataclass(frozen=True)
class DPMSolver2M:
    """DPM-Solver++(2M): second order with one evaluation a step and the last one's (arXiv:2211.01095, algorithm 2)."""

    def __call__(self, denoiser: Denoiser, x, before, levels: Levels, eps):
        older, sigma, after = levels
        denoised = denoiser(x, sigma)
        # lambda = -ln sigma; h is its step, h_before the step before.
        h = jnp.log(sigma / after)
        h_before = jnp.log(older / sigma)
        # 1 / (2 r) with r = h_before / h. The first step has none before, older = sigma: it is Euler's.
        # Divided by something even there: `where` computes both sides, and a nan in either spoils gradients.
        safe = jnp.maximum(h_before, 1e-12)
        slope = jnp.where(h_before > 0, h / (2.0 * safe), 0.0)
        extrapolated = denoised + slope * (denoised - before)  # "D_i" of the algorithm
        kept = after / sigma * x
        return kept - jnp.expm1(-h) * extrapolated, denoised


Sampler = (
    Euler | Heun | Churn | FlowHeun | DDIM | DDPM | DDPMLarge | EulerMaruyama | DPMSolver2M
)


def of_steps(sampler: Sampler, steps: int) -> Sampler:
    """The sampler itself or, where it depends on the number of steps of the whole way, the one for so many."""
    of = getattr(sampler, "of", None)
    return sampler if of is None else of(steps)


def walk(
    sampler: Sampler,
    denoiser: Denoiser,
    x: jax.Array,
    sigmas: jax.Array,
    noise: Callable[[jax.Array], jax.Array],
    keep: bool = False,
    watch: Callable[[jax.Array], None] | None = None,
) -> tuple[jax.Array, tuple]:
    """From x at sigmas[0] to x at sigmas[-1], all above 0; noise(i) draws step i's standard normals, as x is shaped.

    Returns (x, path): with `keep` the noisy and the denoised x of every step, each [n - 1, B, ...], else ().
    Ascending levels with a deterministic sampler invert it (DDIM inversion). `watch` is called on the host with the
    number of each step.
    """

    def one(carry, step):
        x, before = carry
        i, *levels = step
        if watch is not None:
            jax.debug.callback(watch, i)
        eps = noise(i)
        new, denoised = sampler(denoiser, x, before, tuple(levels), eps)
        seen = (x, denoised) if keep else ()
        return (new, denoised), seen

    # with the denoiser's own at the end, as in `sample`
    sampler = of_steps(sampler, len(sigmas))
    n = len(sigmas) - 1  # steps of this walk
    # The level of the step before; the first step has none and gets its own. One level alone makes no step.
    older = jnp.concatenate([sigmas[:1], sigmas[:-2]])[:n]
    steps = (jnp.arange(n), older, sigmas[:-1], sigmas[1:])
    start = (x, jnp.zeros_like(x))
    (x, _), path = jax.lax.scan(one, start, steps)
    return x, path


def sample(
    sampler: Sampler,
    denoiser: Denoiser,
    x,
    sigmas,
    noise,
    keep: bool = False,
    watch: Callable | None = None,
):
    """Data [B, ...] from x = sigmas[0] eps: the walk down, then the denoiser at the last level; len(sigmas) steps.

    With `keep`: the noisy and the denoised x of every step, each [n, B, ...]; the last denoised one is the sample.
    """
    x, path = walk(sampler, denoiser, x, sigmas, noise, keep, watch)
    last = denoiser(x, sigmas[-1])
    if not keep:
        return last
    noisy, denoised = path  # of all steps but the last, each [n - 1, B, ...]
    noisy = jnp.concatenate([noisy, x[None]])
    denoised = jnp.concatenate([denoised, last[None]])
    return noisy, denoised


def still(x: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """The `noise` for deterministic samplers of x: zeros."""
    return lambda i: jnp.zeros_like(x)
