"""Variational diffusion models: a diffusion model trained on its variational bound, noise schedule included.

Kingma et al. 2021, arXiv:2107.00630. gamma(t) = -ln SNR(t) rises from gamma_0 at t = 0 to gamma_1 at t = 1, and

    z_t = alpha x + sigma eps,   alpha² = sigmoid(-gamma),   sigma² = sigmoid(gamma)                        (sec. 3.2)
    -log p(x) <= KL(q(z_1 | x) || N(0, I)) - E log p(x | z_0) + diffusion                                   (sec. 3.5)
    diffusion = T / 2 E expm1(gamma(t) - gamma(s)) |eps - eps_hat|²,  t = i / T, s = t - 1 / T, i ~ U{1…T}  (sec. 4)
              = 1 / 2 E gamma'(t) |eps - eps_hat|²,                   t ~ U(0, 1), T -> infinity            (sec. 5)

All terms are in bits per dimension. Images are 256 grey levels, whose bound is on a probability; points of the plane
have p(x | z_0) = N(z_0 / alpha_0, sigma_0² / alpha_0²) and a bound on a density, so that 0 bits mean nothing special.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax import conditions
from genjax.conditions import Cond, Conditioner, told
from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, State, averaged, example_normal, single
from genjax.diffusion import samplers
from genjax.diffusion.paths import over
from genjax.diffusion.times import strata, unplaced
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least
from genjax.fields import Image, Points, need
from genjax.nets import UNet
from genjax.optim import Adam

LEVELS = 256  # grey values of a pixel
WAVES = (
    0.5,
    1.0,
)  # turns of the Fourier features a grey level: n = 7 and 8 of the paper's sin(2^n pi z) (sec. 3.4)


@dataclasses.dataclass(frozen=True)
class LinearGamma:
    """gamma is a straight line between its ends."""

    gamma_min: float = field(
        -13.3, "-ln SNR of the least noise, at t = 0; where it starts if learned"
    )
    gamma_max: float = field(5.0, "-ln SNR of the most noise, at t = 1; where it starts if learned")
    learn_ends: bool = field(True, "the ends minimise the bound; false = they stay")

    def init(self) -> dict:
        return {}

    def rise(self, params: dict, t: jax.Array) -> jax.Array:
        """From 0 at t = 0 to 1 at t = 1, [B] -> [B]."""
        return t


@dataclasses.dataclass(frozen=True)
class MonotoneGamma:
    """gamma is a monotone net between its ends: t plus sigmoids of t, all weights positive (app. H)."""

    gamma_min: float = field(
        -13.3, "-ln SNR of the least noise, at t = 0; where it starts if learned"
    )
    gamma_max: float = field(5.0, "-ln SNR of the most noise, at t = 1; where it starts if learned")
    learn_ends: bool = field(True, "the ends minimise the bound; false = they stay")
    hidden: int = field(1024, "sigmoids")
    slope: float = field(
        8.0, "of the sigmoids at the start, where their centres are spread over [0, 1]"
    )

    def __post_init__(self):
        if self.hidden < 1 or self.slope <= 0:
            raise ValueError(
                f"hidden must be at least 1, slope above 0; got hidden={self.hidden}, slope={self.slope}"
            )

    def init(self) -> dict:
        slope = jnp.full(self.hidden, self.slope, jnp.float32)
        raw, zeros = (
            slope + jnp.log(-jnp.expm1(-slope)),
            jnp.zeros(self.hidden),
        )  # softplus(raw) = slope
        return {
            "line": jnp.zeros(()),
            "slope": raw,
            "bias": -slope * jnp.linspace(0.0, 1.0, self.hidden),
            "out": zeros,
        }

    def rise(self, params: dict, t: jax.Array) -> jax.Array:
        """From 0 at t = 0 to 1 at t = 1, [B] -> [B], strictly increasing."""

        def net(t):
            line, slope, out = (jax.nn.softplus(params[name]) for name in ("line", "slope", "out"))
            return (
                line * t + jax.nn.sigmoid(t[..., None] * slope + params["bias"]) @ out / self.hidden
            )

        first, last = net(jnp.zeros(())), net(jnp.ones(()))
        return (net(t) - first) / (last - first)


Schedule = LinearGamma | MonotoneGamma


@dataclasses.dataclass(frozen=True)
class VDM:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(UNet(), "what predicts the noise: net(z, time, cond, out)")
    schedule: Schedule = field(MonotoneGamma(), "gamma(t)")
    steps: int = field(0, "T, the steps of the bound; 0 = continuous time")
    fourier: bool = field(
        True, "the net sees waves of z too, of one and two grey levels, which resolve them"
    )
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    sampling_steps: int = field(256, "steps of a sample", execution=True)
    sampler: samplers.Sampler = field(
        samplers.DDPM(), "how samples are drawn; DDPM = from the model", execution=True
    )
    optimiser: Adam = field(Adam(2e-4), "of the net and the schedule")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def init_schedule(schedule: Schedule) -> dict:
    """The schedule's parameters; softplus(span) = gamma_1 - gamma_0, so that the ends cannot change places."""
    low, span = (
        jnp.float32(schedule.gamma_min),
        jnp.float32(schedule.gamma_max - schedule.gamma_min),
    )
    learned = {"low": low, "span": span + jnp.log(-jnp.expm1(-span))} if schedule.learn_ends else {}
    return {**learned, **schedule.init()}


def ends(params: dict, schedule: Schedule) -> tuple[jax.Array, jax.Array]:
    """gamma_0 and gamma_1 - gamma_0, scalars."""
    if schedule.learn_ends:
        return params["low"], jax.nn.softplus(params["span"])
    return jnp.float32(schedule.gamma_min), jnp.float32(schedule.gamma_max - schedule.gamma_min)


def gamma(params: dict, t: jax.Array, schedule: Schedule) -> jax.Array:
    """-ln SNR at times [B] in [0, 1] -> [B]; params are those of the schedule."""
    low, span = ends(params, schedule)
    return low + span * schedule.rise(params, t)


def predict(
    net: Any, z: jax.Array, gamma: jax.Array, cond: Cond | None, cfg: VDM, spec: Spec
) -> jax.Array:
    """eps_hat(z; gamma) [B, *shape] of z [B, *shape], gamma [B]; net: its parameters; cond: what is told, or None.

    The net adds to sigma z, the best for data N(0, I). Its clock runs over [-1, 1] from gamma_min to gamma_max.
    """
    low, high = cfg.schedule.gamma_min, cfg.schedule.gamma_max
    clock = (2.0 * gamma - low - high) / (high - low)
    angles = (
        [2.0 * math.pi * turns * 0.5 * (LEVELS - 1) * z for turns in WAVES] if cfg.fourier else []
    )
    seen = jnp.concatenate([z, *map(jnp.sin, angles), *map(jnp.cos, angles)], -1)
    said = cfg.net.apply({"params": net}, seen, clock, cond, spec.shape)
    return over(jnp.sqrt(jax.nn.sigmoid(gamma)), z) * z + said


def _bits(nats: jax.Array) -> jax.Array:
    """[B, ...] nats, each of a dimension -> bits per dimension [B]."""
    return jnp.mean(nats.reshape(nats.shape[0], -1), -1) / math.log(2)


def _error(
    net: Any, x: jax.Array, eps: jax.Array, cond, gamma: jax.Array, cfg: VDM, spec: Spec
) -> jax.Array:
    """|eps - eps_hat|² / 2 at gamma [B], in bits per dimension [B]."""
    z = (
        over(jnp.sqrt(jax.nn.sigmoid(-gamma)), x) * x
        + over(jnp.sqrt(jax.nn.sigmoid(gamma)), x) * eps
    )
    return _bits(0.5 * jnp.square(eps - predict(net, z, gamma, cond, cfg, spec)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def steadied(f: Callable, interior: Any, *args: Any) -> jax.Array:
    """f(interior, *args) [B], whose gradient by `interior`, a tree of [B], is that of f²; by `args` that of f.

    With one backward pass of f. Where the mean of f does not depend on `interior`, the gradient of the mean of f² is
    that of its variance (app. I.2).
    """
    return f(interior, *args)


def _steadied_forward(f, interior, *args):
    value, pullback = jax.vjp(f, interior, *args)
    return value, (value, pullback)


def _steadied_backward(f, kept, cotangent):
    value, pullback = kept
    interior, *args = pullback(cotangent)
    return jax.tree.map(lambda g: 2.0 * value * g, interior), *args


steadied.defvjp(_steadied_forward, _steadied_backward)


def _continuous(
    cfg: VDM, spec: Spec, rise: tuple, ends: tuple, net: Any, x: jax.Array, eps: jax.Array, cond
):
    """The loss of sec. 5 at rise = (u, du / dt), each [B], where gamma = gamma_0 + span u."""
    (u, speed), (low, span) = rise, ends
    return span * speed * _error(net, x, eps, cond, low + span * u, cfg, spec)


def diffusion(
    params: dict, t: jax.Array, x: jax.Array, eps: jax.Array, cond, cfg: VDM, spec: Spec
) -> jax.Array:
    """The diffusion loss at times t in (0, 1), [B] bits per dimension.

    In continuous time its mean depends on the schedule's ends only. They descend it, and the shape between them
    descends its variance instead.
    """
    schedule = params["schedule"]
    if cfg.steps:
        i = jnp.minimum(jnp.floor(t * cfg.steps), cfg.steps - 1.0)
        before, after = (gamma(schedule, (i + k) / cfg.steps, cfg.schedule) for k in (0.0, 1.0))
        return (
            cfg.steps
            * jnp.expm1(after - before)
            * _error(params["net"], x, eps, cond, after, cfg, spec)
        )
    rise = jax.jvp(lambda t: cfg.schedule.rise(schedule, t), (t,), (jnp.ones_like(t),))
    loss = functools.partial(_continuous, cfg, spec)
    return steadied(loss, rise, ends(schedule, cfg.schedule), params["net"], x, eps, cond)


def prior(gamma_1: jax.Array, x: jax.Array) -> jax.Array:
    """KL(q(z_1 | x) || N(0, I)) [B], bits per dimension."""
    return _bits(
        0.5 * (jax.nn.softplus(-gamma_1) - jax.nn.sigmoid(-gamma_1) * (1.0 - jnp.square(x)))
    )


def reconstruction(gamma_0: jax.Array, x: jax.Array, eps: jax.Array) -> jax.Array:
    """-log p(x | z_0) of images in [-1, 1] with `LEVELS` values, [B] bits per dimension, by z_0 = alpha x + sigma eps.

    p(x | z_0) is N(z_0; alpha x, sigma²) normalised over the values v of x (sec. 3.3). Its inverse is
    sum_v exp(-d² / 2 - d eps), d = (x - v) alpha / sigma, in which no exponent is above eps² / 2. The sum runs level by
    level and its derivative with it, forwards, so that both need the memory of x only.
    """
    level = 0.5 * (LEVELS - 1) * (x + 1.0)

    def minus_log_p(gamma_0):
        unit = 2.0 / (LEVELS - 1) * jnp.exp(-0.5 * gamma_0)

        def add(total, v):
            d = unit * (level - v)
            return total + jnp.exp(-d * (0.5 * d + eps)), None

        return _bits(
            jnp.log(jax.lax.scan(add, jnp.zeros_like(x), jnp.arange(0.0, LEVELS), unroll=16)[0])
        )

    here = jax.lax.stop_gradient(gamma_0)
    value, slope = jax.jvp(minus_log_p, (here,), (jnp.ones_like(here),))
    return value + slope * (gamma_0 - here)  # the tangent: right in value and in gradient


def entropy(gamma_0: jax.Array, x: jax.Array) -> jax.Array:
    """-E log p(x | z_0) [B] of points, exactly: the Gaussian's entropy, bits per dimension."""
    return jnp.broadcast_to(
        0.5 * (math.log(2.0 * math.pi * math.e) + gamma_0) / math.log(2), x.shape[:1]
    )


def in_levels(spec: Spec) -> bool:
    """Whether the bound is of grey values, with a probability each, and not of a density."""
    return isinstance(spec.x, Image)


def observe(batch: Batch, spec: Spec) -> jax.Array:
    """What the bound is of: images in [-1, 1], rounded to `LEVELS` values (bytes are such); points as they are."""
    x = spec.encode(batch)
    if not in_levels(spec):
        return x
    half = 0.5 * (LEVELS - 1)
    return jnp.round(half * (x + 1.0)) / half - 1.0


def terms(params: dict, key: jax.Array, t: jax.Array, batch: Batch, cfg: VDM, spec: Spec) -> Parts:
    """The bound at times t [B] in (0, 1) and its three terms, each [B] bits per dimension."""
    first, later = jax.random.split(key)
    x, cond = observe(batch, spec), told(cfg.condition, batch, spec)
    low, span = ends(params["schedule"], cfg.schedule)
    eps_0, eps = (example_normal(k, batch["index"], spec.shape) for k in (first, later))
    parts = {
        "prior": prior(low + span, x),
        "reconstruction": reconstruction(low, x, eps_0) if in_levels(spec) else entropy(low, x),
        "diffusion": diffusion(params, t, x, eps, cond, cfg, spec),
    }
    return {"loss": sum(parts.values()), **parts}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: VDM, spec: Spec) -> Parts:
    """The bound and its terms [B] at stratified times, one draw each."""
    time, noise = jax.random.split(key)
    return terms(params, noise, strata(time, batch), batch, cfg, spec)


def bound(params: dict, key: jax.Array, batch: Batch, draws: int, cfg: VDM, spec: Spec) -> Parts:
    """bits_per_dim and its three terms [B], the mean of `draws` draws whose times are evenly spaced for each example.

    In memory for one draw. All is a function of (key, index).
    """
    time, noise = jax.random.split(key)
    u = strata(time, unplaced(batch))

    def draw(i):
        return terms(
            params, jax.random.fold_in(noise, i), jnp.mod(u + i / draws, 1.0), batch, cfg, spec
        )

    parts = jax.tree.map(lambda v: jnp.mean(v, 0), jax.lax.map(draw, jnp.arange(draws)))
    return {"bits_per_dim": parts.pop("loss"), **parts}


def denoiser(params: dict, cond: Cond | None, cfg: VDM, spec: Spec) -> samplers.Denoiser:
    """D(x, sigma) = E[data | data + sigma eps = x] as the model has it, where x = z / alpha and sigma² = exp(gamma)."""

    def denoise(x: jax.Array, sigma: jax.Array) -> jax.Array:
        level = jnp.broadcast_to(2.0 * jnp.log(sigma), x.shape[:1])
        z = over(jnp.sqrt(jax.nn.sigmoid(-level)), x) * x
        return x - over(jnp.exp(0.5 * level), x) * predict(params["net"], z, level, cond, cfg, spec)

    return denoise


def start(params: dict, key: jax.Array, index: jax.Array, cfg: VDM, spec: Spec):
    """What a sampler needs besides a denoiser: z_1 / alpha_1 [B, *shape], the levels at even times, and noise(i)."""
    first, fresh = jax.random.split(key)
    sigmas = jnp.exp(
        0.5 * gamma(params["schedule"], jnp.linspace(1.0, 0.0, cfg.sampling_steps), cfg.schedule)
    )

    def noise(i: jax.Array) -> jax.Array:
        return example_normal(jax.random.fold_in(fresh, i), index, spec.shape)

    return jnp.sqrt(1.0 + sigmas[0] ** 2) * example_normal(first, index, spec.shape), sigmas, noise


def sample(params: dict, key: jax.Array, given: Batch, cfg: VDM, spec: Spec) -> jax.Array:
    """Samples [B, *shape], images in [0, 1]; number i is a function of (key, given["index"][i]).

    z_1 ~ N(0, I), steps at even times down to t = 0, and there the mean of the data given z_0.
    """
    x, sigmas, noise = start(params, key, given["index"], cfg, spec)
    x = samplers.sample(
        cfg.sampler, denoiser(params, told(cfg.condition, given, spec), cfg, spec), x, sigmas, noise
    )
    return jnp.clip(spec.decode(x), 0.0, 1.0) if in_levels(spec) else x


def check(cfg: VDM, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    at_least(0, algorithm__steps=cfg.steps)
    at_least(1, algorithm__sampling_steps=cfg.sampling_steps)
    low, high = cfg.schedule.gamma_min, cfg.schedule.gamma_max
    if low >= high:
        raise UserError(
            f"--algorithm.schedule.gamma_min={low:g} must be below --algorithm.schedule.gamma_max={high:g}: data have "
            "less noise than the prior, e.g. -13.3 and 5."
        )
    need("VDM", spec.main, spec.x, Image, Points)
    conditions.check(cfg.condition, spec)


def algorithm(cfg: VDM, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key, batch):
        x = jnp.zeros((1, *spec.shape[:-1], spec.shape[-1] * (1 + 2 * len(WAVES) * cfg.fourier)))
        cond = told(cfg.condition, jax.tree.map(lambda v: v[:1], batch), spec)
        net = cfg.net.init(key, x, jnp.zeros(1), cond, spec.shape)["params"]
        return {"net": net, "schedule": init_schedule(cfg.schedule)}

    init, step = single(
        init_params,
        lambda p, key, batch, step: loss(p, key, batch, cfg, spec),
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        return bound(averaged(state), key, batch, 1, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluate,
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        asks=conditions.asks(cfg.condition),
    )
