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
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class GAN:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # z -> x and x -> a number: the two players
    latent: int = field(64, "size of z ~ N(0, I)")
    gen: nn.Module = field(MLP((256, 256, 256)), "z -> x: net(z, cond, shape)")
    disc: nn.Module = field(MLP((256, 256, 256)), "x -> a number: net(x, cond, (1,))")
    game: Game = field(Relativistic(), "what both play for")
    penalties: tuple[Penalty, ...] = field((R1(), R2()), "added to the discriminator's loss")
    # lazily, as in StyleGAN2 (arXiv:1912.04958, sec. 3.1)
    every: int = field(
        1, "steps from one penalty to the next, which weighs as many times as much"
    )
    critic_steps: int = field(
        1, "discriminator steps for each of the generator; the batch is divided among them"
    )
    # WGAN's way to bound D's slope; None for all that have a penalty
    weight_clip: float | None = field(
        None, "largest weight of the discriminator, cut after each of its steps (WGAN)"
    )
    # labels steer both: D must see them too, or G could ignore them
    condition: tuple[Conditioner, ...] = field((), "what both nets are told, e.g. (Label(),)")
    augment: Augment = field(Plain(), "of all that the discriminator sees")
    truncation: float | None = field(
        None, "samples come from |z_i| below this; None = all of N(0, I)", execution=True
    )
    # b1 = 0: the gradient of a game turns, and momentum would carry past
    optimiser: Optimiser = field(Adam(2e-4, b1=0.0, b2=0.99), "of the generator")
    disc_optimiser: Optimiser = field(Adam(2e-4, b1=0.0, b2=0.99), "of the discriminator")
    ema: Decay = field(
        Decay(0.999), "average of the generator's weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def latents(
    key: jax.Array, index: jax.Array, size: int, most: float | None = None
) -> jax.Array:
    """z [B, size], normal, or normal given |z_i| < most (the truncation trick: arXiv:1809.11096, sec. 3.1)."""

    def draw(key):
        if most is None:
            return jax.random.normal(key, (size,))
        return jax.random.truncated_normal(key, -most, most, size)

    keys = example_keys(key, index)
    return jax.vmap(draw)(keys)


def generate(gen: Any, z: jax.Array, cond: Cond | None, cfg: GAN, spec: Spec) -> jax.Array:
    """G(z) [B, *shape], images in [-1, 1]."""
    weights = {"params": gen}
    return cfg.gen.apply(weights, z, cond, spec.shape)


def discriminate(
    disc: Any, memory: Any, x: jax.Array, cond: Cond | None, cfg: GAN
) -> jax.Array:
    """D(x) [B]; `memory` is the net's own: vectors of spectral norms, or nothing."""
    weights = {"params": disc, **memory}
    out = cfg.disc.apply(weights, x, cond, (1,))  # [B, 1]
    return out[:, 0]


def remembered(disc: Any, memory: Any, x: jax.Array, cond: Cond | None, cfg: GAN) -> Any:
    """The net's memory after it has seen its weights once more: its spectral norms are those of now."""
    if not memory:  # most nets have none: spare them the forward
        return memory
    weights = {"params": disc, **memory}
    changing = list(memory)  # the names of its collections
    _, seen = cfg.disc.apply(weights, x, cond, (1,), mutable=changing)
    return seen


def judged(game: Game, penalty: jax.Array, real: jax.Array, fake: jax.Array) -> Parts:
    """The parts of a discriminator's loss, each [B], from its game, its penalty, D(x) and D(G(z)), each [B].

    sign: of D(x) less the game's balance, at which D is undecided; its mean nears 1 as D learns the training set by
    heart (Karras et al. 2020, arXiv:2006.06676, eq. 1). Where the game has no balance the sample of the same place in
    the batch stands for it. higher: 1 where the real example scores higher than its sample; 1/2 on average when D
    cannot tell them apart, whatever the game.
    """
    whole = game.disc(real, fake) + penalty
    undecided = fake if game.balance is None else game.balance
    sign = jnp.sign(real - undecided)
    return {
        "loss": whole,
        "penalty": penalty,
        "real": real,
        "fake": fake,
        "sign": sign,
        "higher": _higher(real, fake),
    }


def _higher(real: jax.Array, fake: jax.Array) -> jax.Array:
    higher = real > fake
    return higher.astype(jnp.float32)  # its mean is a frequency


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
    index = batch["index"]
    # the generator's latents, the augmentation, the place of a penalty between data and samples
    at, change, line = jax.random.split(key, 3)
    x = spec.encode(batch)  # [B, *shape], in [-1, 1]
    cond = told(cfg.condition, batch, spec)
    z = latents(at, index, cfg.latent)
    sampled = generate(gen, z, cond, cfg, spec)
    sampled = jax.lax.stop_gradient(sampled)  # this is D's turn
    changes = example_keys(change, index)

    # augmentation is part of D: what a penalty says of the slope is meant of T(x)
    def critic(x):
        seen = cfg.augment(changes, x, extra["augment"])
        return discriminate(disc, extra["disc"], seen, cond, cfg)

    real = critic(x)
    fake = critic(sampled)
    lines = example_keys(line, index)
    terms = []
    if due:
        for term in cfg.penalties:
            # lazy: due every so many steps, each weighs as many times as much
            terms.append(cfg.every * term(critic, x, sampled, lines))
    penalty = sum(terms, start=jnp.zeros_like(real))
    return judged(cfg.game, penalty, real, fake)


def gen_loss(
    gen: Any,
    disc: Any,
    extra: dict,
    key: jax.Array,
    batch: Batch,
    cfg: GAN,
    spec: Spec,
) -> jax.Array:
    """The generator's loss [B] against the discriminator as it is; data matter to the relativistic game alone."""
    index = batch["index"]
    at, change, _ = jax.random.split(key, 3)  # as in `disc_loss`
    x = spec.encode(batch)
    cond = told(cfg.condition, batch, spec)
    z = latents(at, index, cfg.latent)
    sampled = generate(gen, z, cond, cfg, spec)
    keys = example_keys(change, index)

    def critic(x):
        seen = cfg.augment(keys, x, extra["augment"])  # G learns through T as well
        return discriminate(disc, extra["disc"], seen, cond, cfg)

    real = critic(x)
    fake = critic(sampled)
    return cfg.game.gen(real, fake)


def _check_division(batch: Batch, cfg: GAN, spec: Spec) -> None:
    """Raises UserError where a device's examples do not divide into turns, or a turn's into microbatches."""
    examples = len(batch["index"])
    if examples % cfg.critic_steps:
        raise UserError(
            f"--algorithm.critic_steps={cfg.critic_steps} does not divide the {examples} examples a device "
            f"has: use a --batch that is a multiple of {cfg.critic_steps} times the devices."
        )
    turn = examples // cfg.critic_steps
    if turn % spec.microbatches:
        raise UserError(
            f"--microbatches={spec.microbatches} does not divide the {turn} examples of each of "
            f"--algorithm.critic_steps={cfg.critic_steps}: use a larger --batch or fewer microbatches."
        )


def everywhere(batch: Batch, axis: str | None) -> int:
    """The number of a batch's examples on all devices of an axis."""
    here = len(batch["index"])
    return here if axis is None else here * jax.lax.axis_size(axis)


def in_groups(batch: Batch, disc: nn.Module, n: int) -> Batch:
    """A batch in the order in which `divided` cuts it into n parts that hold whole groups of neighbours.

    `disc` couples as many neighbours as its attribute `coupled` says (StyleGAN2's minibatch deviation), if it has one.
    They stay together, so that D gives each example what it gives it in the whole batch; noise goes by the example's
    number and not by its place.
    """
    # not by the name of the field, which in other nets means groups of channels
    group = getattr(disc, "coupled", 0)
    if n == 1 or group < 2:
        return batch
    examples = len(batch["index"])
    if examples % (n * group):
        raise UserError(
            f"--microbatches={n} would tear the groups of --algorithm.disc.group={group} in {examples} examples: "
            f"use a --batch that gives a device (a turn of its critic_steps) a multiple of {n * group}, or group=0."
        )

    def arranged(x: jax.Array) -> jax.Array:
        # group number r n + i is for part i, which takes every n-th example from i on
        groups = x.reshape(-1, n, group, *x.shape[1:])  # [r, i, member, ...]
        places = groups.swapaxes(1, 2)  # [r, member, i, ...]
        return places.reshape(x.shape)

    return jax.tree.map(arranged, batch)


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
    tx = cfg.optimiser(spec.steps)
    disc_tx = cfg.disc_optimiser(
        spec.steps * cfg.critic_steps
    )  # its schedule counts its own steps
    gen = state.params["gen"]
    disc = state.params["disc"]
    disc_opt = state.opt["disc"]
    extra = state.extra
    how = {"axis": axis, "microbatches": spec.microbatches}
    _check_division(batch, cfg, spec)
    batches = divided(batch, cfg.critic_steps)
    batches = [in_groups(part, cfg.disc, spec.microbatches) for part in batches]
    for i, part in enumerate(batches):
        turn = jax.random.fold_in(key, i)  # fresh samples each time

        # turn=turn: a closure would see the last turn's, were it called later
        def mean_disc(disc, part, gen, extra, turn=turn):
            parts = disc_loss(disc, gen, extra, turn, part, cfg, spec, due)
            means = {name: jnp.mean(value) for name, value in parts.items()}
            return means.pop("loss"), means

        disc, disc_opt, metrics = descend(
            mean_disc, disc_tx, disc, disc_opt, part, gen, extra, **how
        )
        if cfg.weight_clip is not None:
            # WGAN: a bounded slope by bounded weights (arXiv:1701.07875, algorithm 1)
            disc = jax.tree.map(lambda w: jnp.clip(w, -cfg.weight_clip, cfg.weight_clip), disc)
        x = spec.encode(part)
        cond = told(cfg.condition, part, spec)
        memory = remembered(disc, extra["disc"], x, cond, cfg)
        # p follows the sign of D on this turn's data
        adapted = cfg.augment.adapt(extra["augment"], metrics, everywhere(part, axis))
        extra = {"disc": memory, "augment": adapted}
    turn = jax.random.fold_in(key, cfg.critic_steps)
    part = batches[-1]  # one part: G's step costs as much as one of D's

    def mean_gen(gen, part, disc, extra):
        loss = gen_loss(gen, disc, extra, turn, part, cfg, spec)
        return jnp.mean(loss), {}

    opt = state.opt["gen"]
    gen, opt, of_gen = descend(mean_gen, tx, gen, opt, part, disc, extra, **how)
    # those of D are of its last step
    metrics["gen_loss"] = of_gen["loss"]
    metrics["gen_grad_norm"] = of_gen["grad_norm"]
    metrics |= cfg.augment.metrics(extra["augment"])
    # one descent of each is one step of the run, however many D took
    new = state.replace(
        step=state.step + 1,
        params={"gen": gen, "disc": disc},
        opt={"gen": opt, "disc": disc_opt},
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),  # D is not averaged
        extra=extra,
    )
    return new, metrics


def evaluate(key: jax.Array, state: State, batch: Batch, cfg: GAN, spec: Spec) -> Parts:
    """D on data that it never saw and on as many samples of the averaged generator, without augmentation; each [B]."""
    cond = told(cfg.condition, batch, spec)
    params = averaged(state)
    z = latents(key, batch["index"], cfg.latent)  # of all of N(0, I), whatever `truncation`
    sampled = generate(params["gen"], z, cond, cfg, spec)
    x = spec.encode(batch)
    return compared(params["disc"], state, x, sampled, cond, cfg)


def compared(
    disc: Any,
    state: State,
    x: jax.Array,
    sampled: jax.Array,
    cond: Cond | None,
    cfg: Any,
) -> Parts:
    """Both players' losses on x and on samples [B, *shape], with D(x), D(G(z)) and how often D is right; each [B]."""
    memory = state.extra["disc"]
    real = discriminate(disc, memory, x, cond, cfg)
    fake = discriminate(disc, memory, sampled, cond, cfg)
    return {
        "loss": cfg.game.disc(real, fake),
        "gen_loss": cfg.game.gen(real, fake),
        "real": real,
        "fake": fake,
        "higher": _higher(real, fake),
    }


def sample(params: dict, key: jax.Array, given: Batch, cfg: GAN, spec: Spec) -> jax.Array:
    """Samples [B, *shape], images in [0, 1]; number i is a function of (key, given["index"][i])."""
    z = latents(key, given["index"], cfg.latent, cfg.truncation)
    cond = told(cfg.condition, given, spec)
    sampled = generate(params["gen"], z, cond, cfg, spec)
    return spec.decode(sampled)


def check_given(cfg: Any, spec: Spec) -> None:
    """Raises UserError for conditions that the data lack and for augmentation that neither data nor game can bear."""
    # gradients must pass through x, so tokens are no data for it
    need("A GAN", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)
    # Not the sign of D(x) - D(G(z)) instead: it says how often D is right of a pair, whereas ADA's target was found
    # for how often D stands on the data's side of a level that both share.
    adaptive = getattr(cfg.augment, "rate", 0.0)
    if adaptive and cfg.game.balance is None:
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
    # None is off; at 0 all weights, or all latents, would be 0
    for name, value in (("weight_clip", cfg.weight_clip), ("truncation", cfg.truncation)):
        if value is not None and value <= 0:
            raise UserError(f"--algorithm.{name}={value} must be above 0, or None.")
    check_given(cfg, spec)


def algorithm(cfg: GAN, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(key: jax.Array, batch: Batch) -> State:
        x = spec.encode(batch)
        cond = told(cfg.condition, batch, spec)
        gen_key, disc_key = jax.random.split(key)
        z = jnp.zeros((len(x), cfg.latent))
        made = cfg.gen.init(gen_key, z, cond, spec.shape)
        gen = made.get("params", {})  # a net without weights is one too
        memory = cfg.disc.init(disc_key, x, cond, (1,))
        disc = memory.pop("params")  # what is left is the net's memory
        tx = cfg.optimiser(spec.steps)
        disc_tx = cfg.disc_optimiser(spec.steps * cfg.critic_steps)
        params = {"gen": gen, "disc": disc}
        opt = {"gen": tx.init(gen), "disc": disc_tx.init(disc)}
        extra = {"disc": memory, "augment": cfg.augment.init()}
        zero = jnp.zeros((), jnp.int32)
        return State(zero, params, opt, cfg.ema.init({"gen": gen}), extra)

    def sampled(key: jax.Array, state: State, given: Batch) -> jax.Array:
        return sample(averaged(state), key, given, cfg, spec)

    # two programs: the penalties' second derivatives are not even compiled where they are not due
    whole = functools.partial(step, cfg=cfg, spec=spec, due=True)
    plain = functools.partial(step, cfg=cfg, spec=spec, due=False)
    cycle = ()
    if cfg.penalties:
        cycle = (whole, *[plain] * (cfg.every - 1))
    evaluation = functools.partial(evaluate, cfg=cfg, spec=spec)
    asks = conditions.asks(cfg.condition)
    return Algorithm(init, whole, evaluation, sampled, cycle, asks=asks)
