"""MeanFlow: a one-step generator trained from scratch (Geng et al. 2025, arXiv:2505.13447).

On the path z_t = (1 - t) x + t eps, whose velocity is v = eps - x, the net is the average velocity of the flow,

    u(z_t, r, t) = 1 / (t - r) integral_r^t v(z_tau, tau) dtau,  so  z_r = z_t - (t - r) u(z_t, r, t)
    u = v - (t - r) du/dt,  the derivative along the path with r fixed                                        (sec. 4.1)

Training regresses u on the right-hand side of the identity, with the example's own v and no gradient through it. The
derivative makes the net's time features count: at the 1000 rad that diffusion models use it does not learn one step.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax import conditions
from genjax.conditions import Conditioner, hidden, told
from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    example_keys,
    example_normal,
    single,
)
from genjax.diffusion import ranges
from genjax.diffusion.paths import Linear, over
from genjax.diffusion.times import LogitNormal, Uniform, strata, unplaced
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least, at_most, finite
from genjax.fields import REAL, need
from genjax.nets import DiT
from genjax.nets.blocks import no_dropout
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class MeanFlow:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(
        DiT(frequency=2.0),
        "u: net(z, clocks (t, t - r), cond, out), of low frequency: training uses du/dt",
    )
    time: LogitNormal | Uniform = field(
        LogitNormal(-0.4, 1.0), "t and r: the greater and the lesser of two draws"
    )
    share: float = field(
        0.25, "share of the examples with r != t; the others train plain flow matching"
    )
    p: float = field(
        1.0, "power of the adaptive weight 1 / (|error|² + c)^p; 0 = squared error"
    )
    c: float = field(1e-3, "constant of the adaptive weight")
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    drop: float = field(0.1, "share of training examples whose condition is hidden")
    omega: float = field(1.0, "guidance built into what is learned, 1 = none")
    kappa: float = field(
        0.0,
        "share of the net's own conditional velocity in it: the scale is omega / (1 - kappa)",
    )
    interval: tuple[float, float] = field(
        (0.0, 1.0),
        "times t from and to which that guidance is on; outside there is none",
        added=True,
    )
    sampling_steps: int = field(1, "steps of sampling", execution=True)
    optimiser: Optimiser = field(Adam(2e-4), "of the net")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def average_velocity(
    params: dict, z: jax.Array, r: jax.Array, t: jax.Array, cond, cfg: MeanFlow
) -> jax.Array:
    """u(z, r, t) as the net has it, [B, *shape]; r, t [B], cond: what is told, or None. At r = t it is the velocity."""
    # (t, t - r) and not (t, r): the best pair of clocks in the paper (table 1c)
    both = jnp.stack([t, t - r], -1)  # [B, 2]
    return cfg.net.apply({"params": params["net"]}, z, both, cond, z.shape[1:])


def derivative(
    params: dict, z: jax.Array, r: jax.Array, t: jax.Array, v: jax.Array, cond, cfg: MeanFlow
):
    """(u, du/dt) at (z, r, t), each [B, *shape]: the total derivative along dz/dt = v with r fixed."""

    def u(z, r, t):
        return average_velocity(params, z, r, t, cond, cfg)

    still = jnp.zeros_like(r)
    along = jnp.ones_like(t)
    return jax.jvp(u, (z, r, t), (v, still, along))  # v d/dz + d/dt: eq. 8


def guided(
    params: dict, z: jax.Array, t: jax.Array, v: jax.Array, cond, cfg: MeanFlow
) -> jax.Array:
    """omega v + kappa u(z, t, t | cond) + (1 - omega - kappa) u(z, t, t | none), no gradient (sec. 4.2, app. B.1)."""
    if cfg.omega == 1.0 and cfg.kappa == 0.0:
        return v
    # at r = t the net is the instantaneous velocity; a pass of the net is spared where it has no say
    own = average_velocity(params, z, t, t, cond, cfg) if cfg.kappa else 0.0
    nothing = hidden(cond, jnp.zeros(len(t)))
    none = average_velocity(params, z, t, t, nothing, cfg)
    rest = 1.0 - cfg.omega - cfg.kappa  # the three shares add up to 1
    field_of_guidance = cfg.omega * v + cfg.kappa * own + rest * none
    return jax.lax.stop_gradient(field_of_guidance)


def residual(
    params: dict,
    x: jax.Array,
    eps: jax.Array,
    r: jax.Array,
    t: jax.Array,
    cond,
    shown,
    cfg: MeanFlow,
):
    """u - u_target, [B, *shape], with a gradient through u alone; x in [-1, 1], `shown` [B]: condition not hidden."""
    z = over(1.0 - t, x) * x + over(t, x) * eps  # [B, *shape]
    v = eps - x
    if cond is not None:
        towards = guided(params, z, t, v, cond, cfg)
        low, high = cfg.interval
        on = shown & (t >= low) & (t <= high)  # [B]; no guidance towards nothing
        v = jnp.where(over(on, x), towards, v)
        cond = hidden(cond, shown)
    # one forward pass for both, the gradient of training goes through u alone
    u, du = derivative(params, z, r, t, v, cond, cfg)
    target = v - over(t - r, x) * du  # sec. 4.1's identity
    return u - jax.lax.stop_gradient(target)


def clocks(key: jax.Array, batch: Batch, cfg: MeanFlow) -> tuple[jax.Array, jax.Array]:
    """(r, t) with 0 <= r <= t <= 1, each [B]; r < t for a share of the examples (sec. 4.3)."""
    first, second, coin = jax.random.split(key, 3)
    # one of the two is stratified: strata of both in the same order would tie them together
    a = cfg.time(strata(first, batch))
    b = cfg.time(_uniform(second, batch))
    t = jnp.maximum(a, b)
    apart = _uniform(coin, batch) < cfg.share  # [B]
    r = jnp.where(apart, jnp.minimum(a, b), t)
    return r, t


def _uniform(key: jax.Array, batch: Batch) -> jax.Array:
    least = jnp.finfo(jnp.float32).eps  # of 0 a time law may make minus infinity
    keys = example_keys(key, batch["index"])  # [B]
    return jax.vmap(lambda k: jax.random.uniform(k, minval=least))(keys)


def _weighted(delta: jax.Array, cfg: MeanFlow) -> Parts:
    squares = jnp.square(delta).reshape(len(delta), -1)
    square = jnp.sum(squares, -1)  # [B]
    weight = jax.lax.stop_gradient(1.0 / (square + cfg.c) ** cfg.p)  # sec. 4.3
    share = len(delta) / delta.size  # 1 / dimensions of an example
    return {"loss": weight * square, "error": square * share}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: MeanFlow, spec: Spec) -> Parts:
    """The weighted loss and the plain "error" = mean |u - u_target|² a dimension, each [B].

    Neither tells how training goes: with p = 1 the loss is nearly 1, and the target of the error holds the net's own
    derivative, so that it may rise as the net learns. The "flow" of `evaluate` tells, and samples do.
    """
    level, noise, hide = jax.random.split(key, 3)  # of the clocks, of eps, of the conditions
    x = spec.encode(batch)  # [B, *shape]
    eps = example_normal(noise, batch["index"], spec.shape)
    r, t = clocks(level, batch, cfg)
    shown = _uniform(hide, batch) >= cfg.drop
    cond = told(cfg.condition, batch, spec)
    delta = residual(params, x, eps, r, t, cond, shown, cfg)
    return _weighted(delta, cfg)


def evaluate(params: dict, key: jax.Array, batch: Batch, cfg: MeanFlow, spec: Spec) -> Parts:
    """The loss and its error with labels shown, and "flow" = mean |u(z, t, t) - v|² a dimension, each [B].

    "flow" is the flow-matching error of the net's instantaneous velocity: comparable between models without guidance.
    """
    level, noise = jax.random.split(key)
    x = spec.encode(batch)  # [B, *shape]
    eps = example_normal(noise, batch["index"], spec.shape)
    r, t = clocks(level, unplaced(batch), cfg)
    cond = told(cfg.condition, batch, spec)
    shown = jnp.ones(len(x), bool)
    # at r = t the derivative drops out, and v is the data's own without guidance
    plain = dataclasses.replace(cfg, omega=1.0, kappa=0.0)
    flow = residual(params, x, eps, t, t, cond, shown, plain)
    delta = residual(params, x, eps, r, t, cond, shown, cfg)
    parts = _weighted(delta, cfg)
    squares = jnp.square(flow).reshape(len(x), -1)
    return {**parts, "flow": jnp.mean(squares, -1)}


def sample(params: dict, key: jax.Array, given: Batch, cfg: MeanFlow, spec: Spec) -> jax.Array:
    """Samples [B, *shape] in cfg.sampling_steps equal steps; number i is a function of (key, given["index"][i])."""
    cond = told(cfg.condition, given, spec)
    index = given["index"]

    def step(i, z):
        t = jnp.full(len(z), 1.0 - i / cfg.sampling_steps)
        r = jnp.full(len(z), 1.0 - (i + 1.0) / cfg.sampling_steps)
        u = average_velocity(params, z, r, t, cond, cfg)
        return z - u / cfg.sampling_steps  # z_r = z_t - (t - r) u

    start = example_normal(key, index, spec.shape)  # z_1
    return spec.decode(jax.lax.fori_loop(0, cfg.sampling_steps, step, start))


def check(cfg: MeanFlow, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    no_dropout("MeanFlow", cfg.net)
    need("MeanFlow", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)
    at_least(1, algorithm__sampling_steps=cfg.sampling_steps)
    at_least(
        0,
        algorithm__drop=cfg.drop,
        algorithm__share=cfg.share,
        algorithm__p=cfg.p,
        algorithm__kappa=cfg.kappa,
    )
    at_most(1, algorithm__drop=cfg.drop, algorithm__share=cfg.share)
    finite(algorithm__omega=cfg.omega, algorithm__c=cfg.c)  # for the comparisons below
    # sampling starts at the end of the path, t = 1
    ranges.check_law(Linear(), cfg.time)
    ranges.check_reach(Linear(), cfg.time, "MeanFlow's sampling", 1.0)
    # the fixed point of sec. 4.2 divides by 1 - kappa
    if cfg.kappa >= 1.0:
        raise UserError(
            f"--algorithm.kappa={cfg.kappa} must be below 1: the scale is omega / (1 - kappa)."
        )
    if cfg.c <= 0.0:
        raise UserError(
            f"--algorithm.c={cfg.c} must be above 0, or the weight of a perfect example is infinite."
        )
    low, high = cfg.interval
    at_least(0, algorithm__interval=low)
    at_most(1, algorithm__interval=high)
    if low > high:
        raise UserError(
            f"--algorithm.interval={cfg.interval} must have the lesser time first, e.g. (0.3,0.8)."
        )
    if (cfg.omega, cfg.kappa) != (1.0, 0.0) and not (cfg.condition and cfg.drop):
        raise UserError(
            f"--algorithm.omega={cfg.omega} and kappa={cfg.kappa} guide by the condition against none: use "
            "--algorithm.condition='(Label(),)' with --algorithm.drop=0.1, or omega=1 and kappa=0."
        )


def algorithm(cfg: MeanFlow, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key, batch):
        x = spec.encode(batch)
        both = jnp.ones((len(x), 2))  # clocks; their values do not matter to the parameters
        cond = told(cfg.condition, batch, spec)
        variables = cfg.net.init(key, x, both, cond, spec.shape)
        return {"net": variables["params"]}

    init, step = single(
        init_params,
        lambda p, key, batch, step: loss(p, key, batch, cfg, spec),
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    def evaluation(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), key, batch, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluation,
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        asks=conditions.asks(cfg.condition),
        criterion=LOSS,
    )
