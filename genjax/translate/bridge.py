"""Bridges and flows from one set of pictures to another, without a game and without noise at either end.

    x_t = (1 - t) a + t b + sigma sqrt(t (1 - t)) eps,    t from 0 to 1                                       (1)

is a Brownian bridge from a to b, a straight line where sigma = 0. A net that says E[b | x_t] gives back the laws of
x_t, and so that of b, from a alone:

    dx = (E[b | x] - x) / (1 - t) dt + sigma dW                                                               (2)

With sigma = 0 that is flow matching between any two distributions (Albergo & Vanden-Eijnden 2023, arXiv:2209.15571;
Liu et al. 2023, arXiv:2209.03003; Tong et al. 2023, arXiv:2302.00482), with noise a Schrödinger bridge of paired data
(Liu et al. 2023, I2SB, arXiv:2302.05872). Without noise an input has one answer. With noise it has many, and if the net
is told a as well (`told`), they are draws of p(b | a); if it is not, the law of b is kept and who belongs to whom need
not be (De Bortoli et al. 2023, arXiv:2311.06978).

Pairs are coupled as they are. Of two domains without pairs `coupling` says who goes to whom in a batch: by chance, or
by optimal transport.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    example_normal,
    single,
)
from genjax.diffusion.paths import over
from genjax.diffusion.times import strata, unplaced
from genjax.ema import Decay
from genjax.errors import UserError, above, at_least
from genjax.fields import Image, need
from genjax.nets import UNet
from genjax.optim import Adam, Optimiser
from genjax.translate import paired
from genjax.translate.transport import Coupling, Drawn

# (x [B, ...], time, a scalar) -> E[b | x], [B, ...]
Guess = Callable[[jax.Array, jax.Array], jax.Array]

EDGE = 1e-3  # times end so far from 1, where nothing is left to say


@dataclasses.dataclass(frozen=True)
class Stochastic:
    """A step of (1) towards the guess as if it were b, with its noise: exact where steps are short."""

    def __call__(
        self,
        x: jax.Array,
        guess: jax.Array,
        times: tuple[jax.Array, jax.Array],
        sigma: float,
        eps: jax.Array,
    ) -> jax.Array:
        now, then = times
        share = (then - now) / (1.0 - now)  # of the way that is left
        mean = x + share * (guess - x)
        # of the bridge from x at `now` to the guess at 1
        # in floats the last time may be beyond 1
        variance = share * jnp.maximum(1.0 - then, 0.0)
        return mean + sigma * jnp.sqrt(variance) * eps


@dataclasses.dataclass(frozen=True)
class Straight:
    """The same without its noise: Euler's method on the flow where sigma = 0; else one answer, I2SB's sec. 3.4."""

    def __call__(
        self,
        x: jax.Array,
        guess: jax.Array,
        times: tuple[jax.Array, jax.Array],
        sigma: float,
        eps: jax.Array,
    ) -> jax.Array:
        now, then = times
        share = (then - now) / (1.0 - now)
        return x + share * (guess - x)


@dataclasses.dataclass(frozen=True)
class Bridge:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    given: str = field(
        "input", "the field that is translated; of data without pairs the domain"
    )
    net: nn.Module = field(
        UNet((64, 128), blocks=1, patch=2, attention=()),
        "(b - x_t) in units of its size: net(x, time, cond, out)",
    )
    coupling: Coupling = field(Drawn(), "which rows of two domains belong together in a batch")
    # told, draws are of p(b | a); not told, of the law of b alone
    told: bool = field(True, "the net sees a beside x_t")
    sigma: float = field(
        0.5, "noise of the bridge in [-1, 1], half of it in the middle; 0 = a flow"
    )
    # what scales the net's answer, as a standard deviation of data does elsewhere
    span: float = field(0.5, "root mean square of b - a in [-1, 1], about")
    sampler: Stochastic | Straight = field(Stochastic(), "how a step is made", execution=True)
    steps: int = field(20, "steps from a to b", execution=True)
    optimiser: Optimiser = field(Adam(2e-4), "of the net")
    ema: Decay = field(Decay(0.999), "average of the weights that evaluation and samples use")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    @property
    def varied(self) -> bool:
        """Whether one input may have several answers."""
        return self.sigma > 0.0 and self.sampler != Straight()


def other(
    cfg: Bridge,
    spec: Spec,
) -> str:
    """The domain that is translated into; "" of data in pairs."""
    # there are two
    others = [name for name in spec.domains if name != cfg.given]
    return others[0] if others else ""


def source(
    batch: Batch,
    cfg: Bridge,
    spec: Spec,
) -> jax.Array:
    """a [B, *shape] in [-1, 1]."""
    if spec.domains:
        return spec.encode(batch[cfg.given])
    return paired.encoded(batch, cfg.given, spec)


def target(
    batch: Batch,
    cfg: Bridge,
    spec: Spec,
) -> jax.Array:
    """b [B, *shape] in [-1, 1]."""
    if spec.domains:
        return spec.encode(batch[other(cfg, spec)])
    return spec.encode(batch)


def size_left(
    t: jax.Array,
    cfg: Bridge,
) -> jax.Array:
    """The root mean square of b - x_t at time t, [B]: what the net's answer is in units of."""
    left = 1.0 - t
    # b - x_t = (1 - t)(b - a) - sigma sqrt(t (1 - t)) eps
    straight = jnp.square(left * cfg.span)
    noise = jnp.square(cfg.sigma) * t * left
    return jnp.sqrt(straight + noise)


def guess(
    params: dict,
    x: jax.Array,
    t: jax.Array,
    a: jax.Array,
    cfg: Bridge,
) -> jax.Array:
    """E[b | x_t], and given a if the net is told, as the net has it; x and a [B, ...], t [B]."""
    # it stands beside x as further channels
    beside = Cond(maps=a) if cfg.told else None
    said = cfg.net.apply({"params": params["net"]}, x, t, beside, x.shape[1:])
    # a net that says 0 guesses that x is the end already
    return x + over(size_left(t, cfg), x) * said


def between(
    a: jax.Array,
    b: jax.Array,
    t: jax.Array,
    eps: jax.Array,
    sigma: float,
) -> jax.Array:
    """x_t of (1): t [B], all others [B, ...]."""
    # the mean, a straight line
    line = over(1.0 - t, a) * a + over(t, b) * b
    # and the spread about it, nothing at both ends
    spread = sigma * jnp.sqrt(t * (1.0 - t))
    return line + over(spread, a) * eps


def loss(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: Bridge,
    spec: Spec,
) -> Parts:
    """The squared error of the guess in units of what is left to go, [B]."""
    # the time and the noise of each example
    level, noise = jax.random.split(key)
    a = source(batch, cfg, spec)
    b = target(batch, cfg, spec)
    t = (1.0 - EDGE) * strata(level, batch)  # [B]
    eps = example_normal(noise, batch["index"], spec.shape)
    x = between(a, b, t, eps, cfg.sigma)
    # in units of what is left: an error near the end counts as one at the start
    missed = guess(params, x, t, a, cfg) - b
    error = missed / over(size_left(t, cfg), b)
    return {"loss": paired.mean(jnp.square(error))}


def walk(
    step: Stochastic | Straight,
    guess: Guess,
    a: jax.Array,
    sigma: float,
    steps: int,
    noise: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """From a [B, ...] at time 0 to time 1 in even steps; noise(i) draws those of step i, as a is shaped."""

    def one(
        x: jax.Array,
        i: jax.Array,
    ) -> tuple[jax.Array, None]:
        now = i / steps
        then = (i + 1) / steps
        b = guess(x, now)
        return step(x, b, (now, then), sigma, noise(i)), None

    numbers = jnp.arange(steps)
    # the last step ends at the guess itself
    x, _ = jax.lax.scan(one, a, numbers)
    return x


def translate(
    params: dict,
    key: jax.Array,
    given: Batch,
    cfg: Bridge,
    spec: Spec,
) -> jax.Array:
    """What is given, translated: [B, *shape] in [0, 1]."""
    a = source(given, cfg, spec)

    def noise(i: jax.Array) -> jax.Array:
        # by the number of the step and of the example: no batch matters
        own = jax.random.fold_in(key, i)
        return example_normal(own, given["index"], spec.shape)

    def guessed(
        x: jax.Array,
        now: jax.Array,
    ) -> jax.Array:
        # all examples are at the same time
        t = jnp.full(len(x), now)
        return guess(params, x, t, a, cfg)

    made = walk(cfg.sampler, guessed, a, cfg.sigma, cfg.steps, noise)
    return spec.decode(made)


def check(
    cfg: Bridge,
    spec: Spec,
) -> None:
    """Raises UserError for what cannot be trained or sampled, before anything is compiled."""
    at_least(1, algorithm__steps=cfg.steps)
    at_least(0, algorithm__sigma=cfg.sigma)
    above(0, algorithm__span=cfg.span)
    # transport is of two sets
    cfg.coupling.check(spec.domains)
    if not spec.domains:
        paired.check_pair("Bridge", cfg.given, spec)
        paired.check_alike("Bridge", cfg.given, spec)
        return
    need("Bridge", spec.main, spec.x, Image)
    if cfg.given not in spec.domains or len(spec.domains) != 2:
        raise UserError(
            f"--algorithm.given={cfg.given}: Bridge goes from one domain to the other, and the data have "
            f"{', '.join(spec.domains)}: name the one to start from."
        )


def algorithm(
    cfg: Bridge,
    spec: Spec,
) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(
        key: jax.Array,
        batch: Batch,
    ) -> dict[str, Any]:
        a = source(batch, cfg, spec)
        beside = Cond(maps=a) if cfg.told else None
        made = cfg.net.init(key, a, jnp.ones(len(a)), beside, spec.shape)
        return {"net": made["params"]}

    # the loss does not know the step: nothing is scheduled
    def bridge_loss(params, key, batch, step):
        return loss(params, key, batch, cfg, spec)

    init, plain = single(
        init_params,
        bridge_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    def step(
        key: jax.Array,
        state: State,
        batch: Batch,
        axis: str | None = None,
    ):
        # before it is divided: who belongs to whom must not depend on microbatches
        a = source(batch, cfg, spec)
        b = target(batch, cfg, spec)
        coupled = cfg.coupling(a, b, batch, other(cfg, spec))
        return plain(key, state, coupled, axis)

    def measured(
        key: jax.Array,
        state: State,
        batch: Batch,
    ) -> Parts:
        # the rows as they are: of aligned domains the true pairs, whatever the coupling
        return loss(averaged(state), key, unplaced(batch), cfg, spec)

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> jax.Array:
        return translate(averaged(state), key, given, cfg, spec)

    def drawn(
        samples: Any,
        given: Batch,
    ) -> np.ndarray:
        if not spec.domains:
            return paired.picture(samples, given, cfg.given, spec)
        before = spec.unit(given[cfg.given])
        beside = spec.unit(given[other(cfg, spec)])
        return paired.in_rows(before, samples, beside)

    # asked for to be shown beside, and not used
    truth = other(cfg, spec) or spec.main
    return Algorithm(
        init,
        step,
        measured,
        sampled,
        asks=(cfg.given, truth),
        picture=drawn,
        # rows of two domains are no pairs that training could know, and hidden ones choose no state
        criterion=None if spec.domains else LOSS,
    )
