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
from genjax.diffusion.paths import over
from genjax.diffusion.times import LogitNormal, Uniform, strata, unplaced
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least
from genjax.fields import REAL, need
from genjax.nets import DiT
from genjax.optim import Adam


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
    p: float = field(1.0, "power of the adaptive weight 1 / (|error|² + c)^p; 0 = squared error")
    c: float = field(1e-3, "constant of the adaptive weight")
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    drop: float = field(0.1, "share of training examples whose condition is hidden")
    omega: float = field(1.0, "guidance built into what is learned, 1 = none")
    kappa: float = field(
        0.0, "share of the net's own conditional velocity in it: the scale is omega / (1 - kappa)"
    )
    steps: int = field(1, "steps of sampling", execution=True)
    optimiser: Adam = field(Adam(2e-4), "of the net")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def average_velocity(
    params: dict, z: jax.Array, r: jax.Array, t: jax.Array, cond, cfg: MeanFlow
) -> jax.Array:
    """u(z, r, t) as the net has it, [B, *shape]; r, t [B], cond: what is told, or None. At r = t it is the velocity."""
    return cfg.net.apply({"params": params["net"]}, z, jnp.stack([t, t - r], -1), cond, z.shape[1:])


def derivative(
    params: dict, z: jax.Array, r: jax.Array, t: jax.Array, v: jax.Array, cond, cfg: MeanFlow
):
    """(u, du/dt) at (z, r, t), each [B, *shape]: the total derivative along dz/dt = v with r fixed."""

    def u(z, r, t):
        return average_velocity(params, z, r, t, cond, cfg)

    return jax.jvp(u, (z, r, t), (v, jnp.zeros_like(r), jnp.ones_like(t)))


def guided(
    params: dict, z: jax.Array, t: jax.Array, v: jax.Array, cond, cfg: MeanFlow
) -> jax.Array:
    """omega v + kappa u(z, t, t | cond) + (1 - omega - kappa) u(z, t, t | none), no gradient (sec. 4.2, app. B.1)."""
    if cfg.omega == 1.0 and cfg.kappa == 0.0:
        return v
    own = average_velocity(params, z, t, t, cond, cfg) if cfg.kappa else 0.0
    nothing = hidden(cond, jnp.zeros(len(t)))
    none = average_velocity(params, z, t, t, nothing, cfg)
    return jax.lax.stop_gradient(
        cfg.omega * v + cfg.kappa * own + (1.0 - cfg.omega - cfg.kappa) * none
    )


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
    z, v = over(1.0 - t, x) * x + over(t, x) * eps, eps - x
    if cond is not None:
        v = jnp.where(
            over(shown, x), guided(params, z, t, v, cond, cfg), v
        )  # no guidance towards nothing
        cond = hidden(cond, shown)
    u, du = derivative(params, z, r, t, v, cond, cfg)
    return u - jax.lax.stop_gradient(v - over(t - r, x) * du)


def clocks(key: jax.Array, batch: Batch, cfg: MeanFlow) -> tuple[jax.Array, jax.Array]:
    """(r, t) with 0 <= r <= t <= 1, each [B]; r < t for a share of the examples (sec. 4.3)."""
    first, second, coin = jax.random.split(key, 3)
    a, b = cfg.time(strata(first, batch)), cfg.time(_uniform(second, batch))
    t = jnp.maximum(a, b)
    return jnp.where(_uniform(coin, batch) < cfg.share, jnp.minimum(a, b), t), t


def _uniform(key: jax.Array, batch: Batch) -> jax.Array:
    least = jnp.finfo(jnp.float32).eps  # of 0 a time law may make minus infinity
    return jax.vmap(lambda k: jax.random.uniform(k, minval=least))(
        example_keys(key, batch["index"])
    )


def _weighted(delta: jax.Array, cfg: MeanFlow) -> Parts:
    square = jnp.sum(jnp.square(delta).reshape(len(delta), -1), -1)
    weight = jax.lax.stop_gradient(1.0 / (square + cfg.c) ** cfg.p)  # sec. 4.3
    return {"loss": weight * square, "error": square * (len(delta) / delta.size)}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: MeanFlow, spec: Spec) -> Parts:
    """The weighted loss and the plain "error" = mean |u - u_target|² a dimension, each [B].

    Neither tells how training goes: with p = 1 the loss is nearly 1, and the target of the error holds the net's own
    derivative, so that it may rise as the net learns. The "flow" of `evaluate` tells, and samples do.
    """
    level, noise, hide = jax.random.split(key, 3)
    x, eps = spec.encode(batch), example_normal(noise, batch["index"], spec.shape)
    r, t = clocks(level, batch, cfg)
    shown = _uniform(hide, batch) >= cfg.drop
    return _weighted(
        residual(params, x, eps, r, t, told(cfg.condition, batch, spec), shown, cfg), cfg
    )


def evaluate(params: dict, key: jax.Array, batch: Batch, cfg: MeanFlow, spec: Spec) -> Parts:
    """The loss and its error with labels shown, and "flow" = mean |u(z, t, t) - v|² a dimension, each [B].

    "flow" is the flow-matching error of the net's instantaneous velocity: comparable between models without guidance.
    """
    level, noise = jax.random.split(key)
    x, eps = spec.encode(batch), example_normal(noise, batch["index"], spec.shape)
    r, t = clocks(level, unplaced(batch), cfg)
    cond, shown = told(cfg.condition, batch, spec), jnp.ones(len(x), bool)
    plain = dataclasses.replace(cfg, omega=1.0, kappa=0.0)
    flow = residual(params, x, eps, t, t, cond, shown, plain)
    parts = _weighted(residual(params, x, eps, r, t, cond, shown, cfg), cfg)
    return {**parts, "flow": jnp.mean(jnp.square(flow).reshape(len(x), -1), -1)}


def sample(params: dict, key: jax.Array, given: Batch, cfg: MeanFlow, spec: Spec) -> jax.Array:
    """Samples [B, *shape] in cfg.steps equal steps; number i is a function of (key, given["index"][i])."""
    cond, index = told(cfg.condition, given, spec), given["index"]

    def step(i, z):
        t = jnp.full(len(z), 1.0 - i / cfg.steps)
        r = jnp.full(len(z), 1.0 - (i + 1.0) / cfg.steps)
        return z - average_velocity(params, z, r, t, cond, cfg) / cfg.steps

    return spec.decode(
        jax.lax.fori_loop(0, cfg.steps, step, example_normal(key, index, spec.shape))
    )


def check(cfg: MeanFlow, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    need("MeanFlow", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)
    at_least(1, algorithm__steps=cfg.steps)
    at_least(
        0,
        algorithm__drop=cfg.drop,
        algorithm__share=cfg.share,
        algorithm__p=cfg.p,
        algorithm__kappa=cfg.kappa,
    )
    for name in ("drop", "share"):
        if getattr(cfg, name) > 1.0:
            raise UserError(
                f"--algorithm.{name}={getattr(cfg, name)} must be at most 1: it is a share."
            )
    if cfg.kappa >= 1.0:
        raise UserError(
            f"--algorithm.kappa={cfg.kappa} must be below 1: the scale is omega / (1 - kappa)."
        )
    if cfg.c <= 0.0:
        raise UserError(
            f"--algorithm.c={cfg.c} must be above 0, or the weight of a perfect example is infinite."
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
        return {
            "net": cfg.net.init(
                key, x, jnp.ones((len(x), 2)), told(cfg.condition, batch, spec), spec.shape
            )["params"]
        }

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
    )
