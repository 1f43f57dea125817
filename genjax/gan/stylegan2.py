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
from genjax.gan.gan import (
    check_given,
    compared,
    discriminate,
    everywhere,
    in_groups,
    judged,
    latents,
    remembered,
)
from genjax.gan.penalties import R1
from genjax.nets.stylegan2 import StyleDiscriminator, StyleMapping, StyleSynthesis
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class StyleGAN2:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # w has z's size, so that a mapping may be the identity
    latent: int = field(128, "size of z ~ N(0, I) and of w")
    mapping: nn.Module = field(StyleMapping(), "z -> w: net(z, cond, (latent,))")
    synthesis: nn.Module = field(
        StyleSynthesis(), "w [B, layers, latent] -> x: net(w, keys, shape); it says `layers`"
    )
    disc: nn.Module = field(StyleDiscriminator(), "x -> a number: net(x, cond, (1,))")
    game: Game = field(NonSaturating(), "what both play for")
    # R1 and the path length are lazy: dear second derivatives, seldom
    r1: R1 = field(R1(1.0), "penalty on the discriminator's slope at data; gamma 0 = none")
    r1_every: int = field(16, "steps from one R1 penalty to the next")
    path_weight: float = field(2.0, "of the path length penalty; 0 = none")
    path_every: int = field(4, "steps from one path length penalty to the next")
    path_decay: float = field(
        0.99, "share of the mean path length that is kept when it is measured"
    )
    # so that neighbouring layers learn to do without each other (arXiv:1812.04948, sec. 3.1)
    mixing: float = field(
        0.9, "share of training samples made of two styles, coarse and fine layers"
    )
    # over about 200 steps
    w_decay: float = field(0.995, "share of the mean style that is kept at a step")
    # execution: it changes samples, not what is trained
    psi: float = field(
        1.0,
        "samples' distance from the mean style, 1 = no truncation, 0 = all alike",
        execution=True,
    )
    condition: tuple[Conditioner, ...] = field((), "what both nets are told, e.g. (Label(),)")
    augment: Augment = field(Plain(), "of all that the discriminator sees")
    optimiser: Optimiser = field(Adam(2e-3, b1=0.0, b2=0.99), "of the generator")
    disc_optimiser: Optimiser = field(Adam(2e-3, b1=0.0, b2=0.99), "of the discriminator")
    ema: Decay = field(
        Decay(0.999), "average of the generator's weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def w(gen: Any, z: jax.Array, cond: Cond | None, cfg: StyleGAN2) -> jax.Array:
    """Styles w = f(z) [B, latent]; gen is averaged(state)["gen"], cond what is told, or None."""
    weights = {"params": gen["mapping"]}
    return cfg.mapping.apply(weights, z, cond, (cfg.latent,))


def synthesise(
    gen: Any, w: jax.Array, keys: jax.Array | None, cfg: StyleGAN2, spec: Spec
) -> jax.Array:
    """g(w) [B, *shape], images in [-1, 1]; w [B, latent] for all layers or [B, layers, latent]; noise from keys [B]."""
    if w.ndim == 2:
        n, latent = w.shape
        w = jnp.broadcast_to(w[:, None], (n, cfg.synthesis.layers, latent))
    weights = {"params": gen["synthesis"]}
    return cfg.synthesis.apply(weights, w, keys, spec.shape)


def truncated(w: jax.Array, mean: jax.Array, psi: float) -> jax.Array:
    """mean + psi (w - mean), exact at 0 and 1 (arXiv:1812.04948, app. B); mean is state.extra["w"] [latent]."""
    # not mean + psi (w - mean), which rounds at psi = 1
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
    coarse = w(gen, z_coarse, cond, cfg)  # [B, latent]
    fine = w(gen, z_fine, cond, cfg)
    layer = jnp.arange(cfg.synthesis.layers)  # coarse to fine
    first_fine = jnp.reshape(at_layer, (-1, 1))
    late = layer >= first_fine  # [B or 1, layers]
    return jnp.where(late[..., None], fine[:, None], coarse[:, None])


def styles(
    gen: Any, key: jax.Array, index: jax.Array, cond: Cond | None, cfg: StyleGAN2
) -> jax.Array:
    """The styles of training [B, layers, latent]: a share `mixing` of them changes to another z at a random layer."""
    at, line = jax.random.split(key)
    both = latents(at, index, 2 * cfg.latent)  # one draw for both: fewer calls to compile
    z, other = jnp.split(both, 2, -1)
    keys = example_keys(line, index)
    u = jax.vmap(jax.random.uniform)(keys)  # [B]
    layers = cfg.synthesis.layers
    # mixed where u < mixing, and then u / mixing is uniform; from layer 1 on, so layer 0 is of z
    share = u / max(cfg.mixing, 1e-6)
    later = jnp.floor(share * (layers - 1))  # 0 .. layers - 2
    cut = 1 + later.astype(jnp.int32)
    at_layer = jnp.where(u < cfg.mixing, cut, layers)  # `layers` = never
    return style_mix(gen, z, other, at_layer, cond, cfg)


def path_lengths(
    g: Callable[[jax.Array], jax.Array], w: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """x = g(w) and |J^T y| [B], for w [B, layers, latent] and y like x: one forward serves both.

    The square of the length is the mean of those of the layers, each with its own w.
    """
    x, pull = jax.vjp(g, w)
    (slope,) = pull(y)  # J^T y [B, layers, latent]
    squares = jnp.square(slope)
    squares = jnp.sum(squares, -1)  # [B, layers]
    square = jnp.mean(squares, -1)
    # the root's own gradient is infinite at 0
    return x, jnp.sqrt(square + 1e-12)


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
    index = batch["index"]
    # styles and where they mix, the noise of the layers, the augmentation
    at, noise, change = jax.random.split(key, 3)
    x = spec.encode(batch)  # [B, H, W, C], in [-1, 1]
    cond = told(cfg.condition, batch, spec)
    made = styles(gen, at, index, cond, cfg)  # [B, layers, latent]
    noises = example_keys(noise, index)  # [B]
    sampled = synthesise(gen, made, noises, cfg, spec)
    sampled = jax.lax.stop_gradient(sampled)  # this is D's turn
    keys = example_keys(change, index)

    # augmentation is part of D: R1 is of the slope of D(T(x))
    def critic(x):
        seen = cfg.augment(keys, x, extra["augment"])
        return discriminate(disc, extra["disc"], seen, cond, cfg)

    real = critic(x)
    fake = critic(sampled)
    # lazy: due every so many steps, it weighs as many times as much
    penalty = cfg.r1_every * cfg.r1(critic, x, sampled, keys) if due else jnp.zeros_like(real)
    return judged(cfg.game, penalty, real, fake)


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
    index = batch["index"]
    at, noise, change, probe = jax.random.split(key, 4)
    cond = told(cfg.condition, batch, spec)
    made = styles(gen, at, index, cond, cfg)  # [B, layers, latent]
    noises = example_keys(noise, index)
    g = functools.partial(synthesise, gen, keys=noises, cfg=cfg, spec=spec)

    # eq. 4: weight (|J^T y| - a)²; not due, the length is a itself and the penalty 0
    a = extra["path"]
    if due:
        height, width, _ = spec.shape
        y = example_normal(probe, index, spec.shape)
        y = y / math.sqrt(height * width)  # so that a does not depend on the size
        sampled, length = path_lengths(g, made, y)
    else:
        sampled = g(made)
        length = jnp.broadcast_to(a, len(made))
    weight = cfg.path_weight * cfg.path_every  # lazy: as many times as much
    penalty = weight * jnp.square(length - a)

    keys = example_keys(change, index)

    def critic(x):
        seen = cfg.augment(keys, x, extra["augment"])
        return discriminate(disc, extra["disc"], seen, cond, cfg)

    x = spec.encode(batch)
    real = critic(x)  # matters to the relativistic game alone
    fake = critic(sampled)
    loss = cfg.game.gen(real, fake) + penalty
    first = made[:, 0]  # layer 0 is never mixed
    return {"loss": loss, "penalty": penalty, "length": length, "w": first}


def _means(parts: Parts) -> tuple[jax.Array, Parts]:
    """What `descend` asks of a loss: its mean over the batch, and those of its other parts; w's is [latent]."""
    means = {name: jnp.mean(value, 0) for name, value in parts.items()}
    return means.pop("loss"), means


def _towards(mean: jax.Array, value: jax.Array, decay: float) -> jax.Array:
    """A moving average after one more value."""
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
    disc_turn, gen_turn = jax.random.split(key)
    tx = cfg.optimiser(spec.steps)
    disc_tx = cfg.disc_optimiser(spec.steps)
    gen = state.params["gen"]
    disc = state.params["disc"]
    extra = state.extra
    how = {"axis": axis, "microbatches": spec.microbatches}
    batch = in_groups(batch, cfg.disc, spec.microbatches)

    # the first argument is differentiated, the second cut into microbatches, the rest stays
    def mean_disc(disc, batch, gen, extra):
        parts = disc_loss(disc, gen, extra, disc_turn, batch, cfg, spec, r1)
        return _means(parts)

    def mean_gen(gen, batch, disc, extra):
        parts = gen_loss(gen, disc, extra, gen_turn, batch, cfg, spec, path)
        return _means(parts)

    disc_opt = state.opt["disc"]
    disc, disc_opt, metrics = descend(
        mean_disc, disc_tx, disc, disc_opt, batch, gen, extra, **how
    )
    x = spec.encode(batch)
    cond = told(cfg.condition, batch, spec)
    memory = remembered(disc, extra["disc"], x, cond, cfg)
    # p follows the sign of D on data
    adapted = cfg.augment.adapt(extra["augment"], metrics, everywhere(batch, axis))
    extra = extra | {"disc": memory, "augment": adapted}

    # G plays against the discriminator as it is now
    opt = state.opt["gen"]
    gen, opt, of_gen = descend(mean_gen, tx, gen, opt, batch, disc, extra, **how)
    mean_path = _towards(extra["path"], of_gen["length"], cfg.path_decay)
    mean_w = _towards(extra["w"], of_gen["w"], cfg.w_decay)
    extra = extra | {"path": mean_path, "w": mean_w}

    metrics["gen_loss"] = of_gen["loss"]
    metrics["gen_grad_norm"] = of_gen["grad_norm"]
    metrics["gen_penalty"] = of_gen["penalty"]
    metrics["path_length"] = mean_path
    metrics |= cfg.augment.metrics(extra["augment"])
    new = state.replace(
        step=state.step + 1,
        params={"gen": gen, "disc": disc},
        opt={"gen": opt, "disc": disc_opt},
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),
        extra=extra,
    )
    return new, metrics


def generated(
    gen: Any,
    key: jax.Array,
    given: Batch,
    mean: Any,
    psi: float,
    cfg: StyleGAN2,
    spec: Spec,
) -> jax.Array:
    """Unmixed samples [B, *shape], images in [-1, 1], truncated by psi; the same z and noise for every psi."""
    index = given["index"]
    at, noise = jax.random.split(key)
    z = latents(at, index, cfg.latent)
    cond = told(cfg.condition, given, spec)
    style = w(gen, z, cond, cfg)  # [B, latent]
    # nearer to the mean style: likelier pictures, less of a choice
    nearer = truncated(style, mean, psi)
    return synthesise(gen, nearer, example_keys(noise, index), cfg, spec)


def evaluate(key: jax.Array, state: State, batch: Batch, cfg: StyleGAN2, spec: Spec) -> Parts:
    """As `gan.evaluate`: D on unseen data and on samples of the averaged generator, neither mixed nor truncated."""
    cond = told(cfg.condition, batch, spec)
    params = averaged(state)
    x = spec.encode(batch)
    sampled = generated(params["gen"], key, batch, state.extra["w"], 1.0, cfg, spec)  # psi 1
    return compared(params["disc"], state, x, sampled, cond, cfg)


def sample(key: jax.Array, state: State, given: Batch, cfg: StyleGAN2, spec: Spec) -> jax.Array:
    """Samples [B, *shape], images in [0, 1], truncated; number i is a function of (key, given["index"][i])."""
    gen = averaged(state)["gen"]
    images = generated(gen, key, given, state.extra["w"], cfg.psi, cfg, spec)
    return spec.decode(images)


def check(cfg: StyleGAN2, spec: Spec) -> None:
    """Raises UserError for what cannot be trained."""
    at_least(
        1,
        algorithm__latent=cfg.latent,
        algorithm__r1_every=cfg.r1_every,
        algorithm__path_every=cfg.path_every,
    )
    at_least(0, algorithm__r1__gamma=cfg.r1.gamma, algorithm__path_weight=cfg.path_weight)
    # shares: beyond 1 a mean would run away
    for name in ("mixing", "path_decay", "w_decay"):
        share = getattr(cfg, name)
        if not 0.0 <= share <= 1.0:
            raise UserError(f"--algorithm.{name}={share} must lie between 0 and 1.")
    if not isinstance(spec.x, Image):
        raise UserError(
            f"StyleGAN2 makes images [H, W, C] and this data set has examples of shape {tuple(spec.shape)}: use "
            "--algorithm='GAN()'."
        )
    check_given(cfg, spec)


def turns(cfg: StyleGAN2, spec: Spec) -> tuple[Callable, ...]:
    """The steps of one cycle in order: one function for each pair of penalties that are due together."""
    due = []  # of every step (R1, path length)
    for i in range(math.lcm(cfg.r1_every, cfg.path_every)):
        r1 = cfg.r1.gamma > 0 and i % cfg.r1_every == 0
        path = cfg.path_weight > 0 and i % cfg.path_every == 0
        due.append((r1, path))
    # four functions at most: each is a program of its own to compile
    steps = {}
    for r1, path in due:
        steps[r1, path] = functools.partial(step, cfg=cfg, spec=spec, r1=r1, path=path)
    return tuple(steps[pair] for pair in due)


def algorithm(cfg: StyleGAN2, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(key: jax.Array, batch: Batch) -> State:
        x = spec.encode(batch)
        cond = told(cfg.condition, batch, spec)
        keys = jax.random.split(key, 3)
        z = jnp.zeros((len(x), cfg.latent))
        made = jnp.zeros((len(x), cfg.synthesis.layers, cfg.latent))
        mapping = cfg.mapping.init(keys[0], z, cond, (cfg.latent,))
        # None: the weights do not depend on what noise is drawn
        synthesis = cfg.synthesis.init(keys[1], made, None, spec.shape)
        gen = {"mapping": mapping["params"], "synthesis": synthesis["params"]}
        memory = cfg.disc.init(keys[2], x, cond, (1,))
        disc = memory.pop("params")  # what is left is the net's memory
        tx = cfg.optimiser(spec.steps)
        disc_tx = cfg.disc_optimiser(spec.steps)
        opt = {"gen": tx.init(gen), "disc": disc_tx.init(disc)}
        # from 0, which both means soon forget
        means = {"path": jnp.zeros(()), "w": jnp.zeros(cfg.latent)}
        extra = {"disc": memory, "augment": cfg.augment.init(), **means}
        zero = jnp.zeros((), jnp.int32)
        params = {"gen": gen, "disc": disc}
        return State(zero, params, opt, cfg.ema.init({"gen": gen}), extra)

    cycle = turns(cfg, spec)
    evaluation = functools.partial(evaluate, cfg=cfg, spec=spec)
    sampling = functools.partial(sample, cfg=cfg, spec=spec)
    turning = cycle if len(set(cycle)) > 1 else ()  # () = `step` always
    asks = conditions.asks(cfg.condition)
    return Algorithm(init, cycle[0], evaluation, sampling, turning, asks)
