"""Diffusion models and flows with Gaussian noise: one loss, of which DDPM, EDM, flow matching … are configs.

    z_t = alpha(t) x + sigma(t) eps,  t ~ time law,  y = net(z_t, t)  predicts  a(t) x + b(t) eps
    loss = weight(t) mean |T(x_hat, eps_hat) - T(x, eps)|²

T is the prediction itself, or another pair of coefficients (`target`), as for JiT, whose net says x and whose loss is
on the velocity. Sampling sees the net as a denoiser in the coordinates of `genjax.diffusion.samplers`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax import conditions
from genjax.conditions import Cond, Conditioner, partly, told
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
from genjax.diffusion import ranges, samplers, schedules, times
from genjax.diffusion.guidance import Guidance, Keep, Stepwise, Threshold
from genjax.diffusion.paths import Linear, Path, Prediction, Velocity, combine, over, solve
from genjax.ema import Decay, Power
from genjax.errors import UserError, above, at_least
from genjax.fields import REAL, need
from genjax.nets import DiT
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class One:
    """All noise levels count alike."""

    def __call__(self, path: Path, t: jax.Array) -> jax.Array:
        return jnp.ones_like(t)


@dataclasses.dataclass(frozen=True)
class MinSNR:
    """min(SNR, most) for a loss on x (Hang et al. 2023, arXiv:2303.09556, sec. 3.4)."""

    most: float = field(5.0, "greatest weight")

    def __post_init__(self):
        # inf is the SNR itself; nan is not above 0 either
        if not self.most > 0.0:
            raise ValueError(f"the greatest weight is above 0, got {self.most}")

    def __call__(self, path: Path, t: jax.Array) -> jax.Array:
        snr = (path.alpha(t) / path.sigma(t)) ** 2  # [B]
        return jnp.minimum(snr, self.most)


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(DiT(), "what predicts: net(z, time, cond, out)")
    path: Path = field(Linear(), "alpha(t) and sigma(t)")
    time: times.Law = field(times.LogitNormal(), "the noise levels of training")
    predict: Prediction = field(Velocity(), "what the net says")
    target: Prediction | None = field(
        None, "what the error is measured on; None = on what the net says"
    )
    weight: One | MinSNR = field(One(), "of the noise levels")
    std: float = field(
        0.5, "standard deviation of the data, to scale the net's input to unit variance"
    )
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    drop: float = field(
        0.1,
        "share of training examples whose condition is hidden, for classifier-free guidance",
    )
    sampler: samplers.Sampler = field(samplers.Heun(), "how samples are drawn", execution=True)
    schedule: schedules.Schedule = field(
        schedules.Times(), "the noise levels of sampling", execution=True
    )
    guidance: Guidance | Stepwise = field(
        Guidance(), "of the condition against none", execution=True
    )
    threshold: Threshold = field(Keep(), "of the denoised image", execution=True)
    optimiser: Optimiser = field(Adam(2e-4), "of the net")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )
    alone: float = field(
        0.0,
        "share whose first guided condition alone is hidden, and the same of each other one, for guidance step by step",
        added=True,
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def apply(
    params: dict,
    z: jax.Array,
    t: jax.Array,
    cond: Cond | None,
    cfg: Diffusion,
    spec: Spec,
    keys: jax.Array | None = None,
    **more: Any,
) -> Any:
    """The net's output [B, *shape] at z [B, *shape], t [B]; its input has unit variance (c_in of EDM, for any path).

    keys: the examples' own, [B], for dropout; None, as in evaluation and sampling, drops nothing. more: what flax's
    `apply` takes, for who listens to what passes within; it may then return more too.
    """
    alpha = cfg.path.alpha(t)  # [B]
    sigma = cfg.path.sigma(t)
    # the variance of z, whose two parts are independent
    scale = jax.lax.rsqrt((cfg.std * alpha) ** 2 + sigma**2)
    seen = over(scale, z) * z
    clock = cfg.path.clock(t)  # [B], of a size that time features can tell apart
    variables = {"params": params["net"]}
    if keys is not None:  # a net without dropout does not look at them
        variables["dropout"] = {"keys": keys}
    return cfg.net.apply(variables, seen, clock, cond, spec.shape, **more)


def _loss(
    params: dict,
    key: jax.Array,
    u: jax.Array,
    cond: Cond | None,
    batch: Batch,
    cfg: Diffusion,
    spec: Spec,
    masks: jax.Array | None = None,
) -> Parts:
    """The loss [B] at the times that the law makes of u [B] in (0, 1); `masks`: keys [B] for dropout, or None."""
    x = spec.encode(batch)  # [B, *shape]
    t = cfg.time(u)  # [B]
    eps = example_normal(key, batch["index"], spec.shape)
    z = over(cfg.path.alpha(t), x) * x + over(cfg.path.sigma(t), x) * eps  # [B, *shape]
    said = apply(params, z, t, cond, cfg, spec, masks)
    if cfg.target is None:
        error = said - combine(cfg.predict, cfg.path, t, x, eps)
    else:  # the error of another pair of coefficients is linear in those of x and eps
        x_hat, eps_hat = solve(cfg.predict, cfg.path, t, z, said)
        error = combine(cfg.target, cfg.path, t, x_hat - x, eps_hat - eps)
    squares = jnp.square(error).reshape(len(x), -1)
    square = jnp.mean(squares, -1)  # [B], a dimension
    weight = cfg.weight(cfg.path, t)  # [B]
    return {"loss": weight * square}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: Diffusion, spec: Spec) -> Parts:
    """The training loss [B] at stratified times, conditions hidden from shares `drop` and `alone` of the examples."""
    level, noise, hide = jax.random.split(key, 3)
    coin = conditions.coins(hide, batch)  # [B]
    shown = [seen(coin, k, cfg) for k in range(len(guided_by(cfg)))]
    cond = told(cfg.condition, batch, spec, shown)
    u = times.strata(level, batch)
    # beside the three keys, which stay what they were
    masks = example_keys(jax.random.fold_in(key, 3), batch["index"])
    return _loss(params, noise, u, cond, batch, cfg, spec, masks)


def seen(coin: jax.Array, k: int, cfg: Diffusion) -> jax.Array:
    """Whether guided condition k is shown, bool [B], to examples of coins in [0, 1)."""
    # from the first share all are hidden, from the next the first alone, then the second …
    first = cfg.drop + k * cfg.alone
    alone = (coin >= first) & (coin < first + cfg.alone)
    return (coin >= cfg.drop) & ~alone


def guided_by(cfg: Diffusion) -> list[str]:
    """The fields of the conditions that guidance may hide."""
    return [each.of for each in cfg.condition if each.guided]


def evaluate(params: dict, key: jax.Array, batch: Batch, cfg: Diffusion, spec: Spec) -> Parts:
    """The loss [B], nothing hidden; every example has its own time and noise, a function of (key, index)."""
    # split as in training, so that the noise is the same; nothing is hidden here
    level, noise, _ = jax.random.split(key, 3)
    u = times.strata(level, times.unplaced(batch))
    cond = told(cfg.condition, batch, spec)
    return _loss(params, noise, u, cond, batch, cfg, spec)


def denoiser(params: dict, cond: Cond | None, cfg: Diffusion, spec: Spec) -> samplers.Denoiser:
    """D(x, sigma) = E[data | data + sigma eps = x] as the net has it, in coordinates x = z / alpha.

    cond: what the net is told, of `conditions.told`, or None.
    """

    def denoise(x: jax.Array, sigma: jax.Array) -> jax.Array:
        # samplers know sigma alone, so that one sampler serves every path:
        # the path's time where sigma(t) / alpha(t) is this sigma
        t = cfg.path.time(jnp.broadcast_to(sigma, x.shape[:1]))
        z = over(cfg.path.alpha(t), x) * x
        said = apply(params, z, t, cond, cfg, spec)
        x_hat, _ = solve(cfg.predict, cfg.path, t, z, said)
        return x_hat

    return denoise


def guided(
    params: dict, given: Batch, cfg: Diffusion, spec: Spec, weak: dict | None = None
) -> samplers.Denoiser:
    """The denoiser that samples are drawn with: guided, then thresholded.

    The weak model of the guidance is the same net with its conditions hidden or, where `weak` parameters are given,
    that net with them (autoguidance).
    """
    if weak is None:
        models = []
        for names in cfg.guidance.tells(guided_by(cfg)):
            cond = partly(cfg.condition, given, spec, names)
            models.append(denoiser(params, cond, cfg, spec))
    else:  # arXiv:2406.02507
        cond = told(cfg.condition, given, spec)
        models = [denoiser(each, cond, cfg, spec) for each in (params, weak)]
    # in this order: guidance is what drives images out of their range
    return cfg.threshold(cfg.guidance(*models))


def sample(
    params: dict,
    key: jax.Array,
    given: Batch,
    cfg: Diffusion,
    spec: Spec,
    weak: dict | None = None,
    watch=None,
) -> jax.Array:
    """Samples [B, *shape], number i a function of (key, given["index"][i]); `watch`: see `samplers.walk`."""
    # noise follows the example's index: a sample does not depend on its batch
    x, sigmas, noise = start(key, given["index"], cfg, spec)
    denoise = guided(params, given, cfg, spec, weak)
    # [B, *shape] in the net's units
    drawn = samplers.sample(cfg.sampler, denoise, x, sigmas, noise, watch=watch)
    return spec.decode(drawn)


def start(key: jax.Array, index: jax.Array, cfg: Diffusion, spec: Spec):
    """What a sampler needs besides a denoiser: x [B, *shape] at sigmas[0], the levels, and noise(i) [B, *shape]."""
    first, fresh = jax.random.split(key)
    sigmas = cfg.schedule(cfg.path)

    def noise(i: jax.Array) -> jax.Array:
        return example_normal(jax.random.fold_in(fresh, i), index, spec.shape)

    # the data at the first level are next to nothing beside the noise, so they are left out
    x = sigmas[0] * example_normal(first, index, spec.shape)
    return x, sigmas, noise


def check(cfg: Diffusion, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    at_least(1, algorithm__schedule__steps=cfg.schedule.steps)
    at_least(0, algorithm__alone=cfg.alone)
    above(0, algorithm__std=cfg.std)
    need("Diffusion", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)
    # the data have one standard deviation, which scales the net's input and its output
    for name in ("predict", "target"):
        std = getattr(getattr(cfg, name), "std", cfg.std)
        if std != cfg.std:
            raise UserError(
                f"--algorithm.{name}.std={std} and --algorithm.std={cfg.std} are both the standard deviation of the "
                "data: set both to the same."
            )
    ranges.check(cfg.path, cfg.time, cfg.schedule, cfg.std)
    conditions.check_guidance(cfg.condition, cfg.drop, cfg.guidance)
    _check_steps(cfg)


def _check_steps(cfg: Diffusion) -> None:
    """Raises UserError for conditions that are hidden alone, and guided by, as none can be."""
    names = guided_by(cfg)
    # a guidance that tells all or none names none
    steps = getattr(cfg.guidance, "of", names)
    if sorted(steps) != sorted(names):
        raise UserError(
            f"--algorithm.guidance.of={tuple(steps)} must name each condition that is guided once, and these are "
            f"{', '.join(names) or 'none'}."
        )
    # what lies beyond 1 would never be hidden alone
    if cfg.drop + len(names) * cfg.alone > 1:
        raise UserError(
            f"--algorithm.drop={cfg.drop} and --algorithm.alone={cfg.alone} of each of {len(names)} conditions are "
            "more than all: use smaller shares."
        )
    if steps is not names and not cfg.guidance.plain and not cfg.alone:
        raise UserError(
            "--algorithm.guidance step by step needs a model that was trained with one condition and without another: "
            "use --algorithm.alone=0.05."
        )


def algorithm(cfg: Diffusion, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key, batch):
        x = spec.encode(batch)
        cond = told(cfg.condition, batch, spec)
        time = jnp.ones(len(x))  # [B]; its value does not matter to the parameters
        variables = cfg.net.init(key, x, time, cond, spec.shape)
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
