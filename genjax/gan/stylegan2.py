"""StyleGAN2: a generator steered layer by layer by styles w = f(z) (Karras et al. 2020, arXiv:1912.04958).

The game is that of `genjax.gan.gan` with one discriminator step; new are the mixing of styles, the mean style (for the
truncation trick) and the path length penalty on the generator g, which makes a step in w move the image by as much
everywhere:

    E_{w, y} (|J_w^T y| - a)²,   J_w = dg / dw,   y ~ N(0, I) / sqrt(H W),   a the mean length so far       (eq. 4)

Both penalties are lazy (app. B): due every so many steps, they then weigh as many times as much.
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
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    descend,
    example_keys,
    example_normal,
)
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.gan.augment import Augment, Plain
from genjax.gan.games import Game, NonSaturating
from genjax.gan.gan import check_given, discriminate, judged, latents, remembered
from genjax.gan.penalties import R1
from genjax.nets.stylegan2 import StyleDiscriminator, StyleMapping, StyleSynthesis
from genjax.optim import Adam


@dataclasses.dataclass(frozen=True)
class StyleGAN2:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    latent: int = field(128, "size of z ~ N(0, I) and of w")
    mapping: nn.Module = field(StyleMapping(), "z -> w: net(z, cond, (latent,))")
    synthesis: nn.Module = field(
        StyleSynthesis(), "w [B, layers, latent] -> x: net(w, keys, shape); it says `layers`"
    )
    disc: nn.Module = field(StyleDiscriminator(), "x -> a number: net(x, cond, (1,))")
    game: Game = field(NonSaturating(), "what both play for")
    r1: R1 = field(R1(1.0), "penalty on the discriminator's slope at data; gamma 0 = none")
    r1_every: int = field(16, "steps from one R1 penalty to the next")
    path_weight: float = field(2.0, "of the path length penalty; 0 = none")
    path_every: int = field(4, "steps from one path length penalty to the next")
    path_decay: float = field(
        0.99, "share of the mean path length that is kept when it is measured"
    )
    mixing: float = field(
        0.9, "share of training samples made of two styles, coarse and fine layers"
    )
    w_decay: float = field(0.995, "share of the mean style that is kept at a step")
    psi: float = field(
        1.0,
        "samples' distance from the mean style, 1 = no truncation, 0 = all alike",
        execution=True,
    )
    condition: tuple[Conditioner, ...] = field((), "what both nets are told, e.g. (Label(),)")
    augment: Augment = field(Plain(), "of all that the discriminator sees")
    optimiser: Adam = field(Adam(2e-3, b1=0.0, b2=0.99), "of the generator")
    disc_optimiser: Adam = field(Adam(2e-3, b1=0.0, b2=0.99), "of the discriminator")
    ema: Decay = field(
        Decay(0.999), "average of the generator's weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def w(gen: Any, z: jax.Array, cond: Cond | None, cfg: StyleGAN2) -> jax.Array:
    """Styles w = f(z) [B, latent]; gen is averaged(state)["gen"], cond what is told, or None."""
    return cfg.mapping.apply({"params": gen["mapping"]}, z, cond, (cfg.latent,))


def synthesise(
    gen: Any, w: jax.Array, keys: jax.Array | None, cfg: StyleGAN2, spec: Spec
) -> jax.Array:
    """g(w) [B, *shape], images in [-1, 1]; w [B, latent] for all layers or [B, layers, latent]; noise from keys [B]."""
    if w.ndim == 2:
        w = jnp.broadcast_to(w[:, None], (len(w), cfg.synthesis.layers, w.shape[-1]))
    return cfg.synthesis.apply({"params": gen["synthesis"]}, w, keys, spec.shape)


def truncated(w: jax.Array, mean: jax.Array, psi: float) -> jax.Array:
    """mean + psi (w - mean), exact at 0 and 1 (arXiv:1812.04948, app. B); mean is state.extra["w"] [latent]."""
    return psi * w + (1.0 - psi) * mean


def style_mix(
    gen: Any,
    z_coarse: jax.Array,
    z_fine: jax.Array,
    at_layer: Any,
    cond: Cond | None,
    cfg: StyleGAN2,
) -> jax.Array:
    """Styles [B, layers, latent]: of z_coarse below layer `at_layer`, an int or [B], of z_fine from there on."""
    coarse, fine = w(gen, z_coarse, cond, cfg), w(gen, z_fine, cond, cfg)
    late = jnp.arange(cfg.synthesis.layers) >= jnp.reshape(at_layer, (-1, 1))  # [B or 1, layers]
    return jnp.where(late[..., None], fine[:, None], coarse[:, None])


def styles(
    gen: Any, key: jax.Array, index: jax.Array, cond: Cond | None, cfg: StyleGAN2
) -> jax.Array:
    """The styles of training [B, layers, latent]: a share `mixing` of them changes to another z at a random layer."""
    at, line = jax.random.split(key)
    z, other = jnp.split(latents(at, index, 2 * cfg.latent), 2, -1)
    u = jax.vmap(jax.random.uniform)(
        example_keys(line, index)
    )  # mixed where u < mixing, and then u / mixing is uniform
    layers = cfg.synthesis.layers
    cut = 1 + jnp.floor(u / max(cfg.mixing, 1e-6) * (layers - 1)).astype(jnp.int32)
    return style_mix(gen, z, other, jnp.where(u < cfg.mixing, cut, layers), cond, cfg)


def path_lengths(
    g: Callable[[jax.Array], jax.Array], w: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """x = g(w) and |J^T y| [B], for w [B, layers, latent] and y like x: one forward serves both.

    The square of the length is the mean of those of the layers, each with its own w.
    """
    x, pull = jax.vjp(g, w)
    (slope,) = pull(y)
    return x, jnp.sqrt(
        jnp.mean(jnp.sum(jnp.square(slope), -1), -1) + 1e-12
    )  # no root of zero in a gradient


def disc_loss(
    disc: Any,
    gen: Any,
    extra: dict,
    key: jax.Array,
    batch: Batch,
    cfg: StyleGAN2,
    spec: Spec,
    due: bool = True,
) -> Parts:
    """The discriminator's loss and its parts, each [B], as in `gan.disc_loss`; R1 is there only if `due`."""
    at, noise, change = jax.random.split(key, 3)
    x, cond = spec.encode(batch), told(cfg.condition, batch, spec)
    made = styles(gen, at, batch["index"], cond, cfg)
    sampled = jax.lax.stop_gradient(
        synthesise(gen, made, example_keys(noise, batch["index"]), cfg, spec)
    )
    keys = example_keys(change, batch["index"])

    def critic(x):
        return discriminate(disc, extra["disc"], cfg.augment(keys, x, extra["augment"]), cond, cfg)

    real, fake = critic(x), critic(sampled)
    loss = cfg.game.disc(real, fake)
    penalty = cfg.r1_every * cfg.r1(critic, x, sampled, keys) if due else jnp.zeros_like(loss)
    return judged(loss, penalty, real, fake)


def gen_loss(
    gen: Any,
    disc: Any,
    extra: dict,
    key: jax.Array,
    batch: Batch,
    cfg: StyleGAN2,
    spec: Spec,
    due: bool = True,
) -> Parts:
    """The generator's loss, its path penalty and path length (if not `due`: 0 and the mean so far), each [B], and w."""
    at, noise, change, probe = jax.random.split(key, 4)
    index, cond = batch["index"], told(cfg.condition, batch, spec)
    made = styles(gen, at, index, cond, cfg)
    g = functools.partial(synthesise, gen, keys=example_keys(noise, index), cfg=cfg, spec=spec)
    if due:
        y = example_normal(probe, index, spec.shape) / math.sqrt(spec.shape[0] * spec.shape[1])
        x, length = path_lengths(g, made, y)
    else:
        x, length = g(made), jnp.broadcast_to(extra["path"], len(made))
    penalty = cfg.path_weight * cfg.path_every * jnp.square(length - extra["path"])
    keys = example_keys(change, index)
    real, fake = (
        discriminate(disc, extra["disc"], cfg.augment(keys, x, extra["augment"]), cond, cfg)
        for x in (spec.encode(batch), x)
    )
    loss = cfg.game.gen(real, fake) + penalty
    return {
        "loss": loss,
        "penalty": penalty,
        "length": length,
        "w": made[:, 0],
    }  # layer 0 is never mixed


def _means(parts: Parts) -> tuple[jax.Array, Parts]:
    means = {name: jnp.mean(value, 0) for name, value in parts.items()}
    return means.pop("loss"), means


def _towards(mean: jax.Array, value: jax.Array, decay: float) -> jax.Array:
    return mean + (1.0 - decay) * (value - mean)


def step(
    key: jax.Array,
    state: State,
    batch: Batch,
    axis: str | None = None,
    *,
    cfg: StyleGAN2,
    spec: Spec,
    r1: bool = True,
    path: bool = True,
) -> tuple[State, dict[str, jax.Array]]:
    """The discriminator's step, then the generator's; `r1` and `path` say which penalties are due.

    What the means in `extra` take in comes out of `descend`, which has averaged it over the devices.
    """
    at, turn = jax.random.split(key)
    how = {"axis": axis, "microbatches": spec.microbatches}
    disc, disc_opt, metrics = descend(
        lambda disc, batch, gen, extra: _means(
            disc_loss(disc, gen, extra, at, batch, cfg, spec, r1)
        ),
        cfg.disc_optimiser(spec.steps),
        state.params["disc"],
        state.opt["disc"],
        batch,
        state.params["gen"],
        state.extra,
        **how,
    )
    memory = remembered(
        disc, state.extra["disc"], spec.encode(batch), told(cfg.condition, batch, spec), cfg
    )
    extra = state.extra | {
        "disc": memory,
        "augment": cfg.augment.adapt(state.extra["augment"], metrics),
    }
    gen, opt, of_gen = descend(
        lambda gen, batch, disc, extra: _means(
            gen_loss(gen, disc, extra, turn, batch, cfg, spec, path)
        ),
        cfg.optimiser(spec.steps),
        state.params["gen"],
        state.opt["gen"],
        batch,
        disc,
        extra,
        **how,
    )
    extra |= {
        "path": _towards(extra["path"], of_gen["length"], cfg.path_decay),
        "w": _towards(extra["w"], of_gen["w"], cfg.w_decay),
    }
    metrics |= {
        "gen_loss": of_gen["loss"],
        "gen_grad_norm": of_gen["grad_norm"],
        "gen_penalty": of_gen["penalty"],
    }
    metrics |= {"path_length": extra["path"], **cfg.augment.metrics(extra["augment"])}
    new = state.replace(
        step=state.step + 1,
        params={"gen": gen, "disc": disc},
        opt={"gen": opt, "disc": disc_opt},
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),
        extra=extra,
    )
    return new, metrics


def generated(
    gen: Any, key: jax.Array, given: Batch, mean: Any, psi: float, cfg: StyleGAN2, spec: Spec
) -> jax.Array:
    """Unmixed samples [B, *shape], images in [-1, 1], truncated by psi; the same z and noise for every psi."""
    at, noise = jax.random.split(key)
    made = w(gen, latents(at, given["index"], cfg.latent), told(cfg.condition, given, spec), cfg)
    return synthesise(
        gen, truncated(made, mean, psi), example_keys(noise, given["index"]), cfg, spec
    )


def evaluate(key: jax.Array, state: State, batch: Batch, cfg: StyleGAN2, spec: Spec) -> Parts:
    """As `gan.evaluate`: D on unseen data and on samples of the averaged generator, neither mixed nor truncated."""
    cond, params, x = told(cfg.condition, batch, spec), averaged(state), spec.encode(batch)
    sampled = generated(params["gen"], key, batch, state.extra["w"], 1.0, cfg, spec)
    real, fake = (
        discriminate(params["disc"], state.extra["disc"], x, cond, cfg) for x in (x, sampled)
    )
    losses = {"loss": cfg.game.disc(real, fake), "gen_loss": cfg.game.gen(real, fake)}
    return {**losses, "real": real, "fake": fake, "higher": (real > fake).astype(jnp.float32)}


def sample(key: jax.Array, state: State, given: Batch, cfg: StyleGAN2, spec: Spec) -> jax.Array:
    """Samples [B, *shape], images in [0, 1], truncated; number i is a function of (key, given["index"][i])."""
    return spec.decode(
        generated(averaged(state)["gen"], key, given, state.extra["w"], cfg.psi, cfg, spec)
    )


def check(cfg: StyleGAN2, spec: Spec) -> None:
    """Raises UserError for what cannot be trained."""
    at_least(
        1,
        algorithm__latent=cfg.latent,
        algorithm__r1_every=cfg.r1_every,
        algorithm__path_every=cfg.path_every,
    )
    at_least(0, algorithm__r1__gamma=cfg.r1.gamma, algorithm__path_weight=cfg.path_weight)
    for name in ("mixing", "path_decay", "w_decay"):
        if not 0.0 <= getattr(cfg, name) <= 1.0:
            raise UserError(f"--algorithm.{name}={getattr(cfg, name)} must lie between 0 and 1.")
    if not isinstance(spec.x, Image):
        raise UserError(
            f"StyleGAN2 makes images [H, W, C] and this data set has examples of shape {tuple(spec.shape)}: use "
            "--algorithm='GAN()'."
        )
    check_given(cfg, spec)


def turns(cfg: StyleGAN2, spec: Spec) -> tuple[Callable, ...]:
    """The steps of one cycle in order: one function for each pair of penalties that are due together."""
    due = [
        (
            cfg.r1.gamma > 0 and i % cfg.r1_every == 0,
            cfg.path_weight > 0 and i % cfg.path_every == 0,
        )
        for i in range(math.lcm(cfg.r1_every, cfg.path_every))
    ]
    steps = {
        pair: functools.partial(step, cfg=cfg, spec=spec, r1=pair[0], path=pair[1]) for pair in due
    }
    return tuple(steps[pair] for pair in due)


def algorithm(cfg: StyleGAN2, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(key: jax.Array, batch: Batch) -> State:
        x, cond = spec.encode(batch), told(cfg.condition, batch, spec)
        keys = jax.random.split(key, 3)
        z, made = (
            jnp.zeros((len(x), cfg.latent)),
            jnp.zeros((len(x), cfg.synthesis.layers, cfg.latent)),
        )
        gen = {
            "mapping": cfg.mapping.init(keys[0], z, cond, (cfg.latent,))["params"],
            "synthesis": cfg.synthesis.init(keys[1], made, None, spec.shape)["params"],
        }
        memory = cfg.disc.init(keys[2], x, cond, (1,))
        params = {"gen": gen, "disc": memory.pop("params")}
        opt = {
            "gen": cfg.optimiser(spec.steps).init(gen),
            "disc": cfg.disc_optimiser(spec.steps).init(params["disc"]),
        }
        means = {"path": jnp.zeros(()), "w": jnp.zeros(cfg.latent)}
        extra = {"disc": memory, "augment": cfg.augment.init(), **means}
        return State(jnp.zeros((), jnp.int32), params, opt, cfg.ema.init({"gen": gen}), extra)

    cycle = turns(cfg, spec)
    evaluation, sampling = (functools.partial(fn, cfg=cfg, spec=spec) for fn in (evaluate, sample))
    turning = cycle if len(set(cycle)) > 1 else ()
    asks = conditions.asks(cfg.condition)
    return Algorithm(init, cycle[0], evaluation, sampling, turning, asks)
