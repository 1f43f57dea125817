"""Consistency training, the easy form: from denoising at first to consistency at last (ECT, arXiv:2406.14548).

With x_t = x + t eps and one eps for both noise levels,

    loss = w(t, r) (sqrt(|f(x_t, t) - sg f(x_r, r)|² + c²) - c),   r = t max(0, 1 - n(t) / q^(stage + 1))
    n(t) = 1 + k sigmoid(-b t),   stage = 0, 1, …, stages - 1 over the run                                     (sec. 3)

so that r starts at or near 0, where f(x_0, 0) = x makes it a denoiser's loss, and closes in on t: r -> t is the
condition that f is constant along the flow, df/dt = 0. f is preconditioned as in EDM (arXiv:2206.00364, table 1):

    f(x, t) = c_skip(t) x + c_out(t) net(c_in(t) x, ln(t) / 4),   f(x, 0) = x
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax import conditions
from genjax.conditions import Cond, Conditioner, told
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
from genjax.diffusion import ranges
from genjax.diffusion.paths import Exploding, over
from genjax.diffusion.times import LogNormal, strata, unplaced
from genjax.ema import Decay, Power
from genjax.errors import UserError, above, at_least, finite
from genjax.fields import REAL, need
from genjax.nets import DiT
from genjax.nets.blocks import no_dropout
from genjax.optim import Adam, Optimiser

LEAST = 1e-4  # the noise level below which the net's clock stands still: it has no say there, c_out ~ t


@dataclasses.dataclass(frozen=True)
class Gap:
    """1 / (t - r): the loss stays of one size as r closes in on t."""

    def __call__(self, t: jax.Array, r: jax.Array, std: float) -> jax.Array:
        return 1.0 / (t - r)


@dataclasses.dataclass(frozen=True)
class SNR:
    """1 / t² + 1 / std²: the weight of EDM's denoising loss."""

    def __call__(self, t: jax.Array, r: jax.Array, std: float) -> jax.Array:
        return 1.0 / t**2 + 1.0 / std**2


@dataclasses.dataclass(frozen=True)
class Consistency:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # low frequencies as for MeanFlow: f is to say nearly the same at neighbouring times
    net: nn.Module = field(
        DiT(frequency=2.0), "net(x, clock ln(t) / 4, cond, out); see MeanFlow.net"
    )
    time: LogNormal = field(LogNormal(-1.1, 2.0), "the noise levels t of training")
    std: float = field(0.5, "standard deviation of the data")
    q: float = field(2.0, "factor by which t - r shrinks from stage to stage")
    stages: int = field(8, "stages of equal length")
    k: float = field(8.0, "how much wider t - r is near the data")
    b: float = field(1.0, "how fast that fades with the noise level")
    weight: Gap | SNR = field(Gap(), "of the pair of noise levels")
    huber: float = field(
        0.00054, "constant of the pseudo-Huber error, c / sqrt(dimensions) (arXiv:2310.14189)"
    )
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    sampling_steps: int = field(1, "steps of sampling", execution=True)
    most: float = field(80.0, "noise level of the first step of sampling", execution=True)
    last: float = field(0.821, "noise level of the last of several steps", execution=True)
    optimiser: Optimiser = field(Adam(2e-4), "of the net")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def consistency(
    params: dict, x: jax.Array, t: jax.Array, cond: Cond | None, cfg: Consistency
) -> jax.Array:
    """f(x, t), [B, *shape]: where the flow through x at noise level t [B] starts; f(x, 0) = x exactly."""
    # arXiv:2206.00364, table 1; each coefficient [B]
    total = t**2 + cfg.std**2
    skip = cfg.std**2 / total
    out = cfg.std * t * jax.lax.rsqrt(total)
    scale = jax.lax.rsqrt(total)
    clock = jnp.log(jnp.maximum(t, LEAST)) / 4.0
    seen = over(scale, x) * x  # of unit variance
    said = cfg.net.apply({"params": params["net"]}, seen, clock, cond, x.shape[1:])
    return over(skip, x) * x + over(out, x) * said


def nearer(t: jax.Array, step: jax.Array, cfg: Consistency, spec: Spec) -> jax.Array:
    """The noise level r < t whose output teaches that of t at this step of the run, [B]."""
    length = max(spec.steps // cfg.stages, 1)  # a run may have fewer steps than stages
    stage = jnp.minimum(step // length, cfg.stages - 1)
    widening = 1.0 + cfg.k * jax.nn.sigmoid(-cfg.b * t)  # n(t), [B]
    share = widening * jnp.power(cfg.q, -(stage + 1.0))
    return t * jnp.maximum(0.0, 1.0 - share)  # at or near 0 at first: a denoiser's loss


def difference(
    params: dict,
    x: jax.Array,
    eps: jax.Array,
    r: jax.Array,
    t: jax.Array,
    cond,
    cfg: Consistency,
):
    """f(x_t, t) - f(x_r, r) with the same noise in both and no gradient through the second, [B, *shape]."""
    fixed = jax.lax.stop_gradient(params)
    # one eps for both: the two lie on one line from x, close to one path of the flow
    x_r = x + over(r, x) * eps
    teacher = consistency(fixed, x_r, r, cond, cfg)
    x_t = x + over(t, x) * eps
    return consistency(params, x_t, t, cond, cfg) - teacher


def loss(
    params: dict, key: jax.Array, batch: Batch, step: jax.Array, cfg: Consistency, spec: Spec
) -> Parts:
    """The weighted loss, and "error" = mean |f(x_t, t) - f(x_r, r)|² a dimension, each [B].

    Neither falls steadily: each stage asks for more than the one before.
    """
    level, noise = jax.random.split(key)  # of t and of eps
    x = spec.encode(batch)  # [B, *shape]
    eps = example_normal(noise, batch["index"], spec.shape)
    t = cfg.time(strata(level, batch))  # [B]
    r = nearer(t, step, cfg, spec)
    cond = told(cfg.condition, batch, spec)
    delta = difference(params, x, eps, r, t, cond, cfg)
    size = delta.size / len(delta)  # dimensions of an example
    squares = jnp.square(delta).reshape(len(delta), -1)
    square = jnp.sum(squares, -1)  # [B]
    c = cfg.huber * size**0.5
    huber = square / (jnp.sqrt(square + c**2) + c)  # sqrt(square + c²) - c without cancellation
    weight = cfg.weight(t, r, cfg.std)
    return {"loss": weight * huber, "error": square / size}


def sample(
    params: dict, key: jax.Array, given: Batch, cfg: Consistency, spec: Spec
) -> jax.Array:
    """Samples [B, *shape], number i a function of (key, given["index"][i]).

    Each step adds noise and maps it away again: at the level cfg.most first, then geometrically down to cfg.last.
    """
    cond = told(cfg.condition, given, spec)
    index = given["index"]
    geometric = np.geomspace(cfg.most, cfg.last, cfg.sampling_steps)
    levels = jnp.asarray(geometric, jnp.float32)

    def step(i, x):
        eps = example_normal(jax.random.fold_in(key, i), index, spec.shape)
        noisy = x + levels[i] * eps
        t = jnp.full(len(x), levels[i])
        return consistency(params, noisy, t, cond, cfg)

    # zeros: beside the first level's noise the data, of size std, are next to nothing
    start = jnp.zeros((len(index), *spec.shape))
    return spec.decode(jax.lax.fori_loop(0, cfg.sampling_steps, step, start))


def check(cfg: Consistency, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    no_dropout("Consistency", cfg.net)
    need("Consistency", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)
    at_least(1, algorithm__sampling_steps=cfg.sampling_steps, algorithm__stages=cfg.stages)
    at_least(0, algorithm__k=cfg.k, algorithm__b=cfg.b)
    above(0, algorithm__std=cfg.std, algorithm__huber=cfg.huber, algorithm__last=cfg.last)
    finite(algorithm__q=cfg.q, algorithm__most=cfg.most)  # for the comparisons below
    if cfg.q <= 1.0:
        raise UserError(
            f"--algorithm.q={cfg.q} must be above 1, or r never closes in on t: 2 is usual."
        )
    # the last stage's share of t, n(t) aside, against float32's 1.2e-7
    if cfg.q**-cfg.stages < 1e-6:
        raise UserError(
            f"--algorithm.stages={cfg.stages} with q={cfg.q} brings r nearer to t than float32 can tell: use fewer, 8 "
            "are usual."
        )
    if cfg.most <= cfg.last:
        raise UserError(
            f"--algorithm.most={cfg.most} must be above --algorithm.last={cfg.last}: sampling goes down."
        )
    told_most = f"--algorithm.most={cfg.most}"
    ranges.check_start(told_most, cfg.most, cfg.std)
    ranges.check_reach(Exploding(), cfg.time, told_most, cfg.most)


def algorithm(cfg: Consistency, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key, batch):
        x = spec.encode(batch)
        clock = jnp.ones(len(x))  # [B]; its value does not matter to the parameters
        cond = told(cfg.condition, batch, spec)
        variables = cfg.net.init(key, x, clock, cond, spec.shape)
        return {"net": variables["params"]}

    init, step = single(
        init_params,
        lambda p, key, batch, step: loss(p, key, batch, step, cfg, spec),
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    # at the run's own stage, and at times that do not depend on the example's place in its batch
    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        return loss(averaged(state), key, unplaced(batch), state.step, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluate,
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        asks=conditions.asks(cfg.condition),
        criterion=LOSS,
    )
