"""Diffusion models and flows with Gaussian noise: one loss, of which DDPM, EDM, flow matching … are configs.

    z_t = alpha(t) x + sigma(t) eps,  t ~ time law,  y = net(z_t, t)  predicts  a(t) x + b(t) eps
    loss = weight(t) mean |T(x_hat, eps_hat) - T(x, eps)|²

T is the prediction itself, or another pair of coefficients (`target`), as for JiT, whose net says x and whose loss is
on the velocity. Sampling sees the net as a denoiser in the coordinates of `genjax.diffusion.samplers`.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

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
from genjax.corruptions import Projection
from genjax.diffusion import samplers, schedules, times
from genjax.diffusion.guidance import Guidance, Keep, Threshold
from genjax.diffusion.labels import check_labels, one_hot
from genjax.diffusion.paths import Linear, Path, Prediction, Velocity, combine, over, solve
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least
from genjax.nets import DiT
from genjax.optim import Adam
from genjax.pictures.draw import signed, unsigned


@dataclasses.dataclass(frozen=True)
class One:
    """All noise levels count alike."""

    def __call__(self, path: Path, t: jax.Array) -> jax.Array:
        return jnp.ones_like(t)


@dataclasses.dataclass(frozen=True)
class MinSNR:
    """min(SNR, most) for a loss on x (Hang et al. 2023, arXiv:2303.09556, sec. 3.4)."""

    most: float = field(5.0, "greatest weight")

    def __call__(self, path: Path, t: jax.Array) -> jax.Array:
        return jnp.minimum((path.alpha(t) / path.sigma(t)) ** 2, self.most)


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(DiT(), "what predicts: net(z, time, label, out)")
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
    conditional: bool = field(False, "give the net the label")
    drop: float = field(
        0.1, "share of training examples whose label is hidden, for classifier-free guidance"
    )
    given: Projection | None = field(
        None, "the net sees this degraded version of x too; sample needs an image"
    )
    sampler: samplers.Sampler = field(samplers.Heun(), "how samples are drawn", execution=True)
    schedule: schedules.Schedule = field(
        schedules.Times(), "the noise levels of sampling", execution=True
    )
    guidance: Guidance = field(Guidance(), "of the label against none", execution=True)
    threshold: Threshold = field(Keep(), "of the denoised image", execution=True)
    optimiser: Adam = field(Adam(2e-4), "of the net")
    ema: Decay | Power = field(
        Decay(0.999), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def apply(
    params: dict, z: jax.Array, t: jax.Array, label, image, cfg: Diffusion, spec: Spec
) -> jax.Array:
    """The net's output [B, *shape] at z [B, *shape], t [B]; its input has unit variance (c_in of EDM, for any path)."""
    scale = jax.lax.rsqrt((cfg.std * cfg.path.alpha(t)) ** 2 + cfg.path.sigma(t) ** 2)
    seen = over(scale, z) * z
    seen = seen if cfg.given is None else jnp.concatenate([seen, cfg.given(image)], -1)
    return cfg.net.apply({"params": params["net"]}, seen, cfg.path.clock(t), label, spec.shape)


def _loss(
    params: dict, key: jax.Array, u: jax.Array, label, batch: Batch, cfg: Diffusion, spec: Spec
) -> Parts:
    x, t = signed(batch["image"]), cfg.time(u)
    eps = example_normal(key, batch["index"], spec.shape)
    z = over(cfg.path.alpha(t), x) * x + over(cfg.path.sigma(t), x) * eps
    said = apply(params, z, t, label, x, cfg, spec)
    if cfg.target is None:
        error = said - combine(cfg.predict, cfg.path, t, x, eps)
    else:
        x_hat, eps_hat = solve(cfg.predict, cfg.path, t, z, said)
        error = combine(cfg.target, cfg.path, t, x_hat - x, eps_hat - eps)
    square = jnp.mean(jnp.square(error).reshape(len(x), -1), -1)
    return {"loss": cfg.weight(cfg.path, t) * square}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: Diffusion, spec: Spec) -> Parts:
    """The training loss [B] at stratified times, labels hidden from a share `drop` of the examples."""
    level, noise, hide = jax.random.split(key, 3)
    label = one_hot(batch, cfg, spec)
    if label is not None:
        shown = jax.vmap(jax.random.uniform)(example_keys(hide, batch["index"])) >= cfg.drop
        label = label * shown[:, None]
    return _loss(params, noise, times.strata(level, batch), label, batch, cfg, spec)


def evaluate(params: dict, key: jax.Array, batch: Batch, cfg: Diffusion, spec: Spec) -> Parts:
    """The loss [B] with labels shown; every example has its own time and noise, a function of (key, index)."""
    level, noise, _ = jax.random.split(key, 3)
    u = times.strata(level, times.unplaced(batch))
    return _loss(params, noise, u, one_hot(batch, cfg, spec), batch, cfg, spec)


def denoiser(
    params: dict, label: jax.Array | None, cfg: Diffusion, spec: Spec, image=None
) -> samplers.Denoiser:
    """D(x, sigma) = E[data | data + sigma eps = x] as the net has it, in coordinates x = z / alpha.

    label is [B, classes] (zeros: no label) or None; image [B, *shape], signed, for a net that is `given` one: the net
    sees it degraded.
    """

    def denoise(x: jax.Array, sigma: jax.Array) -> jax.Array:
        t = cfg.path.time(jnp.broadcast_to(sigma, x.shape[:1]))
        z = over(cfg.path.alpha(t), x) * x
        return solve(cfg.predict, cfg.path, t, z, apply(params, z, t, label, image, cfg, spec))[0]

    return denoise


def guided(
    params: dict, given: Batch, cfg: Diffusion, spec: Spec, weak: dict | None = None
) -> samplers.Denoiser:
    """The denoiser that samples are drawn with: guided, then thresholded.

    The weak model of the guidance is the same net without label or, where `weak` parameters are given, that net with
    the label (autoguidance).
    """
    label = one_hot(given, cfg, spec)
    image = None if cfg.given is None else signed(given["image"])
    main = denoiser(params, label, cfg, spec, image)
    blank = label if weak is not None else None if label is None else jnp.zeros_like(label)
    other = denoiser(params if weak is None else weak, blank, cfg, spec, image)
    return cfg.threshold(cfg.guidance(main, other))


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
    x, sigmas, noise = start(key, given["index"], cfg, spec)
    return unsigned(
        samplers.sample(
            cfg.sampler, guided(params, given, cfg, spec, weak), x, sigmas, noise, watch=watch
        )
    )


def start(key: jax.Array, index: jax.Array, cfg: Diffusion, spec: Spec):
    """What a sampler needs besides a denoiser: x [B, *shape] at sigmas[0], the levels, and noise(i) [B, *shape]."""
    first, fresh = jax.random.split(key)
    sigmas = cfg.schedule(cfg.path)

    def noise(i: jax.Array) -> jax.Array:
        return example_normal(jax.random.fold_in(fresh, i), index, spec.shape)

    return sigmas[0] * example_normal(first, index, spec.shape), sigmas, noise


def check(cfg: Diffusion, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    at_least(1, algorithm__schedule__steps=cfg.schedule.steps)
    at_least(0, algorithm__drop=cfg.drop)
    check_labels(cfg, spec)
    levels = np.asarray(cfg.schedule(cfg.path))
    if not (np.isfinite(levels).all() and levels[-1] > 0 and (np.diff(levels) < 0).all()):
        raise UserError(
            f"--algorithm.schedule={cfg.schedule} on {cfg.path} has noise levels that do not fall, finite and above 0, "
            f"from {levels[0]:g} to {levels[-1]:g}: start it before pure noise, e.g. first=0.999, with low below high."
        )
    if not cfg.conditional and cfg.guidance.scale != 1.0:
        raise UserError(
            f"--algorithm.guidance.scale={cfg.guidance.scale} sets the label against none, and this model knows no "
            "labels: use --algorithm.conditional=true, or a scale of 1."
        )
    if cfg.conditional and cfg.guidance.scale != 1.0 and not cfg.drop:
        raise UserError(
            "--algorithm.guidance needs a model that was trained without labels too: use --algorithm.drop=0.1."
        )
    if cfg.drop > 1.0 or cfg.std <= 0:
        raise UserError(
            f"--algorithm.drop={cfg.drop} must be at most 1, --algorithm.std={cfg.std} above 0."
        )


def algorithm(cfg: Diffusion, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key, batch):
        x, label = signed(batch["image"]), one_hot(batch, cfg, spec)
        seen = x if cfg.given is None else jnp.concatenate([x, cfg.given(x)], -1)
        return {"net": cfg.net.init(key, seen, jnp.ones(len(x)), label, spec.shape)["params"]}

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
    )
