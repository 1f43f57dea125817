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
from genjax.diffusion import samplers
from genjax.diffusion.paths import over
from genjax.diffusion.times import strata, unplaced
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least, finite
from genjax.fields import Image, Points, need
from genjax.nets import UNet
from genjax.nets.blocks import no_dropout
from genjax.optim import Adam, Optimiser

LEVELS = 256  # grey values of a pixel
LN2 = math.log(2)  # nats of a bit
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
    gamma_max: float = field(
        5.0, "-ln SNR of the most noise, at t = 1; where it starts if learned"
    )
    learn_ends: bool = field(True, "the ends minimise the bound; false = they stay")

    def init(self) -> dict:
        return {}

    def rise(self, params: dict, t: jax.Array) -> jax.Array:
        """From 0 at t = 0 to 1 at t = 1, [B] -> [B]."""
        return t  # no parameters: only the ends can be learned


@dataclasses.dataclass(frozen=True)
class MonotoneGamma:
    """gamma is a monotone net between its ends: t plus sigmoids of t, all weights positive (app. H)."""

    gamma_min: float = field(
        -13.3, "-ln SNR of the least noise, at t = 0; where it starts if learned"
    )
    gamma_max: float = field(
        5.0, "-ln SNR of the most noise, at t = 1; where it starts if learned"
    )
    learn_ends: bool = field(True, "the ends minimise the bound; false = they stay")
    hidden: int = field(1024, "sigmoids")
    slope: float = field(
        8.0, "of the sigmoids at the start, where their centres are spread over [0, 1]"
    )

    def __post_init__(self):
        if self.hidden < 1 or not 0.0 < self.slope < math.inf:
            raise ValueError(
                f"hidden must be at least 1, slope above 0; got hidden={self.hidden}, slope={self.slope}"
            )

    def init(self) -> dict:
        slope = jnp.full(self.hidden, self.slope, jnp.float32)
        raw = slope + jnp.log(-jnp.expm1(-slope))  # softplus(raw) = slope
        zeros = jnp.zeros(self.hidden)
        centres = jnp.linspace(0.0, 1.0, self.hidden)
        return {
            "line": jnp.zeros(()),
            "slope": raw,
            "bias": -slope * centres,
            "out": zeros,
        }

    def rise(self, params: dict, t: jax.Array) -> jax.Array:
        """From 0 at t = 0 to 1 at t = 1, [B] -> [B], strictly increasing."""

        def net(t):
            # softplus keeps every weight positive, and so the net monotone
            line = jax.nn.softplus(params["line"])
            slope = jax.nn.softplus(params["slope"])
            out = jax.nn.softplus(params["out"])
            h = jax.nn.sigmoid(t[..., None] * slope + params["bias"])  # [B, hidden]
            return line * t + h @ out / self.hidden

        # normalised by its own ends, so that gamma's are parameters of their own
        first = net(jnp.zeros(()))
        last = net(jnp.ones(()))
        return (net(t) - first) / (last - first)


Schedule = LinearGamma | MonotoneGamma


@dataclasses.dataclass(frozen=True)
class VDM:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(UNet(), "what predicts the noise: net(z, time, cond, out)")
    schedule: Schedule = field(MonotoneGamma(), "gamma(t)")
    bound_steps: int = field(0, "T, the steps of the bound; 0 = continuous time")
    fourier: bool = field(
        True, "the net sees waves of z too, of one and two grey levels, which resolve them"
    )
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    sampling_steps: int = field(256, "steps of a sample", execution=True)
    sampler: samplers.Sampler = field(
        samplers.DDPM(), "how samples are drawn; DDPM = from the model", execution=True
    )
    optimiser: Optimiser = field(Adam(2e-4), "of the net and the schedule")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def init_schedule(schedule: Schedule) -> dict:
    """The schedule's parameters; softplus(span) = gamma_1 - gamma_0, so that the ends cannot change places."""
    between = schedule.init()
    if not schedule.learn_ends:
        return between
    low = jnp.float32(schedule.gamma_min)
    span = jnp.float32(schedule.gamma_max - schedule.gamma_min)
    raw = span + jnp.log(-jnp.expm1(-span))  # the inverse of softplus, without overflow
    return {"low": low, "span": raw, **between}


def ends(params: dict, schedule: Schedule) -> tuple[jax.Array, jax.Array]:
    """gamma_0 and gamma_1 - gamma_0, scalars."""
    if schedule.learn_ends:
        return params["low"], jax.nn.softplus(params["span"])
    low = jnp.float32(schedule.gamma_min)
    span = jnp.float32(schedule.gamma_max - schedule.gamma_min)
    return low, span


def gamma(params: dict, t: jax.Array, schedule: Schedule) -> jax.Array:
    """-ln SNR at times [B] in [0, 1] -> [B]; params are those of the schedule."""
    low, span = ends(params, schedule)  # span > 0, so gamma rises
    return low + span * schedule.rise(params, t)


def _alpha(gamma: jax.Array) -> jax.Array:
    """How much of the data is in z, [B] (sec. 3.2)."""
    return jnp.sqrt(jax.nn.sigmoid(-gamma))


def _sigma(gamma: jax.Array) -> jax.Array:
    """How much noise is in z, [B] (sec. 3.2)."""
    return jnp.sqrt(jax.nn.sigmoid(gamma))


def predict(
    net: Any, z: jax.Array, gamma: jax.Array, cond: Cond | None, cfg: VDM, spec: Spec
) -> jax.Array:
    """eps_hat(z; gamma) [B, *shape] of z [B, *shape], gamma [B]; net: its parameters; cond: what is told, or None.

    The net adds to sigma z, the best for data N(0, I). Its clock runs over [-1, 1] from gamma_min to gamma_max.
    """
    low = cfg.schedule.gamma_min
    high = cfg.schedule.gamma_max
    # by the config's ends, not the learned ones: the clock of a gamma stays while the ends move
    clock = (2.0 * gamma - low - high) / (high - low)
    waves = WAVES if cfg.fourier else ()
    # [B, *shape] each: grey levels of [-1, 1] are 0.5 (LEVELS - 1) a unit
    angles = [2.0 * math.pi * turns * 0.5 * (LEVELS - 1) * z for turns in waves]
    sines = [jnp.sin(angle) for angle in angles]
    cosines = [jnp.cos(angle) for angle in angles]
    seen = jnp.concatenate([z, *sines, *cosines], -1)
    said = cfg.net.apply({"params": net}, seen, clock, cond, spec.shape)
    return over(_sigma(gamma), z) * z + said


def _bits(nats: jax.Array) -> jax.Array:
    """[B, ...] nats, each of a dimension -> bits per dimension [B]."""
    flat = nats.reshape(nats.shape[0], -1)  # [B, dimensions]
    return jnp.mean(flat, -1) / LN2


def _error(
    net: Any, x: jax.Array, eps: jax.Array, cond, gamma: jax.Array, cfg: VDM, spec: Spec
) -> jax.Array:
    """|eps - eps_hat|² / 2 at gamma [B], in bits per dimension [B]."""
    z = over(_alpha(gamma), x) * x + over(_sigma(gamma), x) * eps  # sec. 3.2
    eps_hat = predict(net, z, gamma, cond, cfg, spec)
    return _bits(0.5 * jnp.square(eps - eps_hat))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def steadied(f: Callable, interior: Any, *args: Any) -> jax.Array:
    """f(interior, *args) [B], whose gradient by `interior`, a tree of [B], is that of f²; by `args` that of f.

    With one backward pass of f. Where the mean of f does not depend on `interior`, the gradient of the mean of f² is
    that of its variance (app. I.2).
    """
    return f(interior, *args)


def _steadied_forward(f, interior, *args):
    # the pullback is kept: the backward pass runs f's own transpose once
    value, pullback = jax.vjp(f, interior, *args)
    return value, (value, pullback)


def _steadied_backward(f, kept, cotangent):
    value, pullback = kept
    interior, *args = pullback(cotangent)
    # d(f²) = 2 f df: the one pullback serves both losses
    return jax.tree.map(lambda g: 2.0 * value * g, interior), *args


steadied.defvjp(_steadied_forward, _steadied_backward)


def _continuous(
    cfg: VDM, spec: Spec, rise: tuple, ends: tuple, net: Any, x: jax.Array, eps: jax.Array, cond
):
    """The loss of sec. 5 at rise = (u, du / dt), each [B], where gamma = gamma_0 + span u."""
    u, speed = rise
    low, span = ends
    weight = span * speed  # gamma'(t)
    return weight * _error(net, x, eps, cond, low + span * u, cfg, spec)


def diffusion(
    params: dict, t: jax.Array, x: jax.Array, eps: jax.Array, cond, cfg: VDM, spec: Spec
) -> jax.Array:
    """The diffusion loss at times t in (0, 1), [B] bits per dimension.

    In continuous time its mean depends on the schedule's ends only. They descend it, and the shape between them
    descends its variance instead.
    """
    schedule = params["schedule"]
    if cfg.bound_steps:
        # rounding may take t to 1, which is no step
        i = jnp.minimum(jnp.floor(t * cfg.bound_steps), cfg.bound_steps - 1.0)
        before, after = (
            gamma(schedule, (i + k) / cfg.bound_steps, cfg.schedule) for k in (0.0, 1.0)
        )
        weight = cfg.bound_steps * jnp.expm1(after - before)  # sec. 4
        return weight * _error(params["net"], x, eps, cond, after, cfg, spec)
    # forwards: u and du / dt at each time, in one pass
    rise = jax.jvp(lambda t: cfg.schedule.rise(schedule, t), (t,), (jnp.ones_like(t),))
    loss = functools.partial(_continuous, cfg, spec)
    return steadied(loss, rise, ends(schedule, cfg.schedule), params["net"], x, eps, cond)


def prior(gamma_1: jax.Array, x: jax.Array) -> jax.Array:
    """KL(q(z_1 | x) || N(0, I)) [B], bits per dimension."""
    # (mu² + sigma² - 1 - ln sigma²) / 2, in which sigma² - 1 = -alpha² and ln sigma² = -softplus(-gamma)
    log_term = jax.nn.softplus(-gamma_1)
    alpha2 = jax.nn.sigmoid(-gamma_1)
    return _bits(0.5 * (log_term - alpha2 * (1.0 - jnp.square(x))))


def reconstruction(gamma_0: jax.Array, x: jax.Array, eps: jax.Array) -> jax.Array:
    """-log p(x | z_0) of images in [-1, 1] with `LEVELS` values, [B] bits per dimension, by z_0 = alpha x + sigma eps.

    p(x | z_0) is N(z_0; alpha x, sigma²) normalised over the values v of x (sec. 3.3). Its inverse is
    sum_v exp(-d² / 2 - d eps), d = (x - v) alpha / sigma, in which no exponent is above eps² / 2. The sum runs level by
    level and its derivative with it, forwards, so that both need the memory of x only.
    """
    level = 0.5 * (LEVELS - 1) * (x + 1.0)  # 0 … LEVELS - 1

    def minus_log_p(gamma_0):
        unit = 2.0 / (LEVELS - 1) * jnp.exp(-0.5 * gamma_0)  # alpha / sigma of one grey level

        def add(total, v):
            d = unit * (level - v)
            return total + jnp.exp(-d * (0.5 * d + eps)), None

        values = jnp.arange(0.0, LEVELS)
        total, _ = jax.lax.scan(add, jnp.zeros_like(x), values, unroll=16)
        return _bits(jnp.log(total))

    # forwards, since the backward pass of a scan would keep every level's terms
    here = jax.lax.stop_gradient(gamma_0)
    value, slope = jax.jvp(minus_log_p, (here,), (jnp.ones_like(here),))
    return value + slope * (gamma_0 - here)  # the tangent: right in value and in gradient


def entropy(gamma_0: jax.Array, x: jax.Array) -> jax.Array:
    """-E log p(x | z_0) [B] of points, exactly: the Gaussian's entropy, bits per dimension."""
    # the variance is sigma_0² / alpha_0² = exp(gamma_0)
    nats = 0.5 * (math.log(2.0 * math.pi * math.e) + gamma_0)
    return jnp.broadcast_to(nats / LN2, x.shape[:1])


def in_levels(spec: Spec) -> bool:
    """Whether the bound is of grey values, with a probability each, and not of a density."""
    return isinstance(spec.x, Image)


def observe(batch: Batch, spec: Spec) -> jax.Array:
    """What the bound is of: images in [-1, 1], rounded to `LEVELS` values (bytes are such); points as they are."""
    x = spec.encode(batch)
    if not in_levels(spec):
        return x
    half = 0.5 * (LEVELS - 1)  # grey levels of one unit
    return jnp.round(half * (x + 1.0)) / half - 1.0


def terms(
    params: dict, key: jax.Array, t: jax.Array, batch: Batch, cfg: VDM, spec: Spec
) -> Parts:
    """The bound at times t [B] in (0, 1) and its three terms, each [B] bits per dimension."""
    first, later = jax.random.split(key)  # of z_0 and of z_t
    x = observe(batch, spec)  # [B, *shape]
    cond = told(cfg.condition, batch, spec)
    low, span = ends(params["schedule"], cfg.schedule)
    # z_0 and z_t have noise of their own: their terms are expectations of their own
    eps_0 = example_normal(first, batch["index"], spec.shape)
    eps = example_normal(later, batch["index"], spec.shape)
    parts = {"prior": prior(low + span, x)}
    if in_levels(spec):
        parts["reconstruction"] = reconstruction(low, x, eps_0)
    else:
        parts["reconstruction"] = entropy(low, x)
    parts["diffusion"] = diffusion(params, t, x, eps, cond, cfg, spec)
    return {"loss": sum(parts.values()), **parts}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: VDM, spec: Spec) -> Parts:
    """The bound and its terms [B] at stratified times, one draw each."""
    time, noise = jax.random.split(key)
    return terms(params, noise, strata(time, batch), batch, cfg, spec)


def bound(
    params: dict, key: jax.Array, batch: Batch, draws: int, cfg: VDM, spec: Spec
) -> Parts:
    """bits_per_dim and its three terms [B], the mean of `draws` draws whose times are evenly spaced for each example.

    In memory for one draw. All is a function of (key, index).
    """
    time, noise = jax.random.split(key)
    u = strata(time, unplaced(batch))  # [B], of the example alone

    def draw(i):
        key = jax.random.fold_in(noise, i)
        t = jnp.mod(u + i / draws, 1.0)  # low discrepancy (app. I.1)
        return terms(params, key, t, batch, cfg, spec)

    drawn = jax.lax.map(draw, jnp.arange(draws))  # one after the other, [draws, B] each
    parts = jax.tree.map(lambda v: jnp.mean(v, 0), drawn)
    return {"bits_per_dim": parts.pop("loss"), **parts}


def denoiser(params: dict, cond: Cond | None, cfg: VDM, spec: Spec) -> samplers.Denoiser:
    """D(x, sigma) = E[data | data + sigma eps = x] as the model has it, where x = z / alpha and sigma² = exp(gamma)."""

    def denoise(x: jax.Array, sigma: jax.Array) -> jax.Array:
        level = jnp.broadcast_to(2.0 * jnp.log(sigma), x.shape[:1])  # gamma, [B]
        z = over(_alpha(level), x) * x
        noise = over(jnp.exp(0.5 * level), x)  # sigma again, [B, 1, …]
        return x - noise * predict(params["net"], z, level, cond, cfg, spec)

    return denoise


def start(params: dict, key: jax.Array, index: jax.Array, cfg: VDM, spec: Spec):
    """What a sampler needs besides a denoiser: z_1 / alpha_1 [B, *shape], the levels at even times, and noise(i)."""
    first, fresh = jax.random.split(key)
    times = jnp.linspace(1.0, 0.0, cfg.sampling_steps)
    levels = gamma(params["schedule"], times, cfg.schedule)
    sigmas = jnp.exp(0.5 * levels)  # [steps], descending

    def noise(i: jax.Array) -> jax.Array:
        return example_normal(jax.random.fold_in(fresh, i), index, spec.shape)

    # z_1 ~ N(0, I), and 1 / alpha² = 1 + sigma² / alpha²
    scale = jnp.sqrt(1.0 + sigmas[0] ** 2)
    x = scale * example_normal(first, index, spec.shape)
    return x, sigmas, noise


def sample(params: dict, key: jax.Array, given: Batch, cfg: VDM, spec: Spec) -> jax.Array:
    """Samples [B, *shape], images in [0, 1]; number i is a function of (key, given["index"][i]).

    z_1 ~ N(0, I), steps at even times down to t = 0, and there the mean of the data given z_0.
    """
    x, sigmas, noise = start(params, key, given["index"], cfg, spec)
    cond = told(cfg.condition, given, spec)
    denoise = denoiser(params, cond, cfg, spec)
    x = samplers.sample(cfg.sampler, denoise, x, sigmas, noise)
    if not in_levels(spec):
        return x
    # grey values end at black and white, the mean given z_0 of an imperfect net need not
    return jnp.clip(spec.decode(x), 0.0, 1.0)


def check(cfg: VDM, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    no_dropout("VDM", cfg.net)
    at_least(0, algorithm__bound_steps=cfg.bound_steps)
    at_least(1, algorithm__sampling_steps=cfg.sampling_steps)
    low, high = cfg.schedule.gamma_min, cfg.schedule.gamma_max
    finite(algorithm__schedule__gamma_min=low, algorithm__schedule__gamma_max=high)
    if low >= high:
        raise UserError(
            f"--algorithm.schedule.gamma_min={low:g} must be below --algorithm.schedule.gamma_max={high:g}: data have "
            "less noise than the prior, e.g. -13.3 and 5."
        )
    # a bound needs a likelihood p(x | z_0), which only these have here
    need("VDM", spec.main, spec.x, Image, Points)
    conditions.check(cfg.condition, spec)


def algorithm(cfg: VDM, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key, batch):
        copies = 1 + 2 * len(WAVES) * cfg.fourier  # z, and a sine and a cosine for each wave
        channels = spec.shape[-1] * copies
        x = jnp.zeros((1, *spec.shape[:-1], channels))
        one = jax.tree.map(
            lambda v: v[:1], batch
        )  # parameters do not depend on the batch's size
        cond = told(cfg.condition, one, spec)
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
        criterion=LOSS,
    )
