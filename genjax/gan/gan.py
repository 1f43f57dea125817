"""Generative adversarial networks: one alternating game, of which DCGAN, WGAN-GP, SNGAN, R3GAN … are configs.

A step is `critic_steps` descents of the discriminator, each on its own part of the batch and fresh samples of the
generator as it stands, then one of the generator against the discriminator as it stands *then* (Goodfellow et al. 2014,
arXiv:1406.2661, algorithm 1). What both play for is `game`; what keeps D smooth are `penalties`.
"""

from __future__ import annotations

import dataclasses
import functools
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
    divided,
    example_keys,
)
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.fields import REAL, need
from genjax.gan.augment import Augment, Plain
from genjax.gan.games import Game, Relativistic
from genjax.gan.penalties import R1, R2, Penalty
from genjax.nets import MLP
from genjax.optim import Adam


@dataclasses.dataclass(frozen=True)
class GAN:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    latent: int = field(64, "size of z ~ N(0, I)")
    gen: nn.Module = field(MLP((256, 256, 256)), "z -> x: net(z, cond, shape)")
    disc: nn.Module = field(MLP((256, 256, 256)), "x -> a number: net(x, cond, (1,))")
    game: Game = field(Relativistic(), "what both play for")
    penalties: tuple[Penalty, ...] = field((R1(), R2()), "added to the discriminator's loss")
    every: int = field(1, "steps from one penalty to the next, which weighs as many times as much")
    critic_steps: int = field(
        1, "discriminator steps for each of the generator; the batch is divided among them"
    )
    clip: float | None = field(
        None, "largest weight of the discriminator, cut after each of its steps (WGAN)"
    )
    condition: tuple[Conditioner, ...] = field((), "what both nets are told, e.g. (Label(),)")
    augment: Augment = field(Plain(), "of all that the discriminator sees")
    truncation: float | None = field(
        None, "samples come from |z_i| below this; None = all of N(0, I)", execution=True
    )
    optimiser: Adam = field(Adam(2e-4, b1=0.0, b2=0.99), "of the generator")
    disc_optimiser: Adam = field(Adam(2e-4, b1=0.0, b2=0.99), "of the discriminator")
    ema: Decay = field(
        Decay(0.999), "average of the generator's weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def latents(key: jax.Array, index: jax.Array, size: int, most: float | None = None) -> jax.Array:
    """z [B, size], normal, or normal given |z_i| < most (the truncation trick: arXiv:1809.11096, sec. 3.1)."""

    def draw(key):
        return (
            jax.random.normal(key, (size,))
            if most is None
            else jax.random.truncated_normal(key, -most, most, size)
        )

    return jax.vmap(draw)(example_keys(key, index))


def generate(gen: Any, z: jax.Array, cond: Cond | None, cfg: GAN, spec: Spec) -> jax.Array:
    """G(z) [B, *shape], images in [-1, 1]."""
    return cfg.gen.apply({"params": gen}, z, cond, spec.shape)


def discriminate(disc: Any, memory: Any, x: jax.Array, cond: Cond | None, cfg: GAN) -> jax.Array:
    """D(x) [B]; `memory` is the net's own: vectors of spectral norms, or nothing."""
    return cfg.disc.apply({"params": disc, **memory}, x, cond, (1,))[:, 0]


def remembered(disc: Any, memory: Any, x: jax.Array, cond: Cond | None, cfg: GAN) -> Any:
    """The net's memory after it has seen its weights once more: one power iteration of every spectral norm."""
    if not memory:
        return memory
    return cfg.disc.apply({"params": disc, **memory}, x, cond, (1,), mutable=list(memory))[1]


def judged(loss: jax.Array, penalty: jax.Array, real: jax.Array, fake: jax.Array) -> Parts:
    """The parts of a discriminator's loss, each [B], from its game's loss, its penalty, D(x) and D(G(z)), each [B].

    sign: of D(x); its mean nears 1 as D learns the training set by heart (Karras et al. 2020, arXiv:2006.06676, eq. 1).
    higher: 1 where the real example scores higher than its sample; 1/2 on average when D cannot tell them apart,
    whatever the game.
    """
    parts = {"penalty": penalty, "real": real, "fake": fake, "sign": jnp.sign(real)}
    return {"loss": loss + penalty, **parts, "higher": (real > fake).astype(jnp.float32)}


def disc_loss(
    disc: Any,
    gen: Any,
    extra: dict,
    key: jax.Array,
    batch: Batch,
    cfg: GAN,
    spec: Spec,
    due: bool = True,
) -> Parts:
    """The discriminator's loss and its parts, each [B]; the penalties are there only if `due`.

    Augmentation does the same to an example and to its sample.
    """
    at, change, line = jax.random.split(key, 3)
    x, cond = spec.encode(batch), told(cfg.condition, batch, spec)
    sampled = jax.lax.stop_gradient(
        generate(gen, latents(at, batch["index"], cfg.latent), cond, cfg, spec)
    )
    keys = example_keys(change, batch["index"])

    def critic(x):
        return discriminate(disc, extra["disc"], cfg.augment(keys, x, extra["augment"]), cond, cfg)

    real, fake = critic(x), critic(sampled)
    loss, keys = cfg.game.disc(real, fake), example_keys(line, batch["index"])
    penalties = [cfg.every * penalty(critic, x, sampled, keys) for penalty in cfg.penalties if due]
    penalty = sum(penalties, start=jnp.zeros_like(loss))
    return judged(loss, penalty, real, fake)


def gen_loss(
    gen: Any, disc: Any, extra: dict, key: jax.Array, batch: Batch, cfg: GAN, spec: Spec
) -> jax.Array:
    """The generator's loss [B] against the discriminator as it is; data matter to the relativistic game alone."""
    at, change, _ = jax.random.split(key, 3)
    x, cond = spec.encode(batch), told(cfg.condition, batch, spec)
    sampled = generate(gen, latents(at, batch["index"], cfg.latent), cond, cfg, spec)
    keys = example_keys(change, batch["index"])
    real, fake = (
        discriminate(disc, extra["disc"], cfg.augment(keys, x, extra["augment"]), cond, cfg)
        for x in (x, sampled)
    )
    return cfg.game.gen(real, fake)


def step(
    key: jax.Array,
    state: State,
    batch: Batch,
    axis: str | None = None,
    *,
    cfg: GAN,
    spec: Spec,
    due: bool = True,
) -> tuple[State, dict[str, jax.Array]]:
    """The discriminator's steps, then the generator's."""
    tx, disc_tx = cfg.optimiser(spec.steps), cfg.disc_optimiser(spec.steps * cfg.critic_steps)
    gen, disc = state.params["gen"], state.params["disc"]
    opt, disc_opt, extra = state.opt["gen"], state.opt["disc"], state.extra
    how = {"axis": axis, "microbatches": spec.microbatches}
    if len(batch["index"]) % cfg.critic_steps:
        raise UserError(
            f"--algorithm.critic_steps={cfg.critic_steps} does not divide the {len(batch['index'])} examples a device "
            f"has: use a --batch that is a multiple of {cfg.critic_steps} times the devices."
        )
    if (turn := len(batch["index"]) // cfg.critic_steps) % spec.microbatches:
        raise UserError(
            f"--microbatches={spec.microbatches} does not divide the {turn} examples of each of "
            f"--algorithm.critic_steps={cfg.critic_steps}: use a larger --batch or fewer microbatches."
        )
    batches = divided(batch, cfg.critic_steps)
    for i, part in enumerate(batches):
        turn = jax.random.fold_in(key, i)

        def mean_disc(disc, part, gen, extra, turn=turn):
            means = {
                k: jnp.mean(v)
                for k, v in disc_loss(disc, gen, extra, turn, part, cfg, spec, due).items()
            }
            return means.pop("loss"), means

        disc, disc_opt, metrics = descend(
            mean_disc, disc_tx, disc, disc_opt, part, gen, extra, **how
        )
        if cfg.clip is not None:
            disc = jax.tree.map(lambda w: jnp.clip(w, -cfg.clip, cfg.clip), disc)
        memory = remembered(
            disc, extra["disc"], spec.encode(part), told(cfg.condition, part, spec), cfg
        )
        extra = {"disc": memory, "augment": cfg.augment.adapt(extra["augment"], metrics)}
    turn, part = jax.random.fold_in(key, cfg.critic_steps), batches[-1]

    def mean_gen(gen, part, disc, extra):
        return jnp.mean(gen_loss(gen, disc, extra, turn, part, cfg, spec)), {}

    gen, opt, of_gen = descend(mean_gen, tx, gen, opt, part, disc, extra, **how)
    metrics |= {
        "gen_loss": of_gen["loss"],
        "gen_grad_norm": of_gen["grad_norm"],
        **cfg.augment.metrics(extra["augment"]),
    }
    new = state.replace(
        step=state.step + 1,
        params={"gen": gen, "disc": disc},
        opt={"gen": opt, "disc": disc_opt},
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),
        extra=extra,
    )
    return new, metrics


def evaluate(key: jax.Array, state: State, batch: Batch, cfg: GAN, spec: Spec) -> Parts:
    """D on data that it never saw and on as many samples of the averaged generator, without augmentation; each [B]."""
    cond, params = told(cfg.condition, batch, spec), averaged(state)
    sampled = generate(params["gen"], latents(key, batch["index"], cfg.latent), cond, cfg, spec)
    real, fake = (
        discriminate(params["disc"], state.extra["disc"], x, cond, cfg)
        for x in (spec.encode(batch), sampled)
    )
    losses = {"loss": cfg.game.disc(real, fake), "gen_loss": cfg.game.gen(real, fake)}
    return {**losses, "real": real, "fake": fake, "higher": (real > fake).astype(jnp.float32)}


def sample(params: dict, key: jax.Array, given: Batch, cfg: GAN, spec: Spec) -> jax.Array:
    """Samples [B, *shape], images in [0, 1]; number i is a function of (key, given["index"][i])."""
    z = latents(key, given["index"], cfg.latent, cfg.truncation)
    return spec.decode(generate(params["gen"], z, told(cfg.condition, given, spec), cfg, spec))


def check_given(cfg: Any, spec: Spec) -> None:
    """Raises UserError for conditions that the data lack and for augmentation that neither data nor game can bear."""
    need("A GAN", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)
    if getattr(cfg.augment, "rate", 0.0) and cfg.game.free:
        raise UserError(
            f"--algorithm.augment={cfg.augment} adapts by the sign of D(x), which {type(cfg.game).__name__} leaves "
            "free: use rate=0, or --algorithm.game='NonSaturating()'."
        )
    cfg.augment.check(spec)


def check(cfg: GAN, spec: Spec) -> None:
    """Raises UserError for what cannot be trained."""
    at_least(
        1,
        algorithm__latent=cfg.latent,
        algorithm__critic_steps=cfg.critic_steps,
        algorithm__every=cfg.every,
    )
    for name, value in (("clip", cfg.clip), ("truncation", cfg.truncation)):
        if value is not None and value <= 0:
            raise UserError(f"--algorithm.{name}={value} must be above 0, or None.")
    check_given(cfg, spec)


def algorithm(cfg: GAN, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(key: jax.Array, batch: Batch) -> State:
        x, cond = spec.encode(batch), told(cfg.condition, batch, spec)
        gen_key, disc_key = jax.random.split(key)
        gen = cfg.gen.init(gen_key, jnp.zeros((len(x), cfg.latent)), cond, spec.shape).get(
            "params", {}
        )
        memory = cfg.disc.init(disc_key, x, cond, (1,))
        params = {"gen": gen, "disc": memory.pop("params")}
        opt = {
            "gen": cfg.optimiser(spec.steps).init(gen),
            "disc": cfg.disc_optimiser(spec.steps * cfg.critic_steps).init(params["disc"]),
        }
        extra = {"disc": memory, "augment": cfg.augment.init()}
        return State(jnp.zeros((), jnp.int32), params, opt, cfg.ema.init({"gen": gen}), extra)

    whole, plain = (functools.partial(step, cfg=cfg, spec=spec, due=due) for due in (True, False))
    return Algorithm(
        init,
        whole,
        functools.partial(evaluate, cfg=cfg, spec=spec),
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        (whole, *[plain] * (cfg.every - 1)) if cfg.penalties else (),
        asks=conditions.asks(cfg.condition),
    )
