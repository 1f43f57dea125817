"""pix2pix: from one picture to another by absolute errors and a game (Isola et al. 2017, arXiv:1611.07004).

    G* = arg min_G max_D  a E[game(D(x, y), D(x, G(x, z)))] + w E|y - G(x, z)|                              (eq. 4)

x is given, y the truth, z the source of variety. The absolute error alone (a = 0) has one best answer, the median of
what could be, which is grey where that is uncertain; the game alone (w = 0) asks that an answer look like a true one
beside x, and forgives it where it lies. z is noise that the generator is told, or its dropout, which stays on when
samples are drawn, as in the paper; whether answers vary at all is to be measured (`genjax.findings.translating`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax import conditions
from genjax.conditions import Cond, Conditioner
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
from genjax.gan.games import Game, NonSaturating
from genjax.gan.penalties import Penalty
from genjax.nets import UNet
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam, Optimiser
from genjax.translate import paired

TX = Adam(2e-4, b1=0.5, b2=0.999)  # sec. 3.3


@dataclasses.dataclass(frozen=True)
class Pix2pix:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # what goes in, what makes pictures of it, who judges them
    given: str = field("input", "name of the field that is translated")
    gen: nn.Module = field(
        UNet((64, 128), blocks=1, patch=2, attention=(), dropout=0.5),
        "what is given -> what is modelled: net(x, time, cond, out); it needs no time and is told 0",
    )
    disc: nn.Module = field(PatchGAN(), "both -> a number for each patch: net(x, cond, (1,))")
    game: Game = field(NonSaturating(), "what both play for, patch by patch")
    penalties: tuple[Penalty, ...] = field((), "added to the discriminator's loss")
    # the two parts of the generator's loss
    weight: float = field(100.0, "w, of the mean absolute error in [-1, 1]; 0 = the game alone")
    play: float = field(1.0, "a, of the game; 0 = the absolute error alone, without a game")
    # the paper found it ignored beside so large a weight, and took dropout
    latent: int = field(0, "size of z ~ N(0, I) that the generator is told; 0 = none")
    # half of the usual momentum: the gradient of a game turns
    optimiser: Optimiser = field(TX, "of the generator")
    disc_optimiser: Optimiser = field(TX, "of the discriminator")
    ema: Decay = field(
        Decay(0.0), "average of the generator's weights that evaluation and samples use"
    )
    condition: tuple[Conditioner, ...] = field(
        (), "what both nets are told beside what is given: how it is to be changed", added=True
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    @property
    def varied(self) -> bool:
        """Whether one input may have several answers."""
        # other nets have no such field
        return bool(self.latent or getattr(self.gen, "dropout", 0.0))


def generate(
    gen: Any,
    key: jax.Array,
    batch: Batch,
    cfg: Pix2pix,
    spec: Spec,
) -> jax.Array:
    """G(x, z) [B, *shape] in [-1, 1]; z number i is a function of (key, batch["index"][i])."""
    x = paired.encoded(batch, cfg.given, spec)
    index = batch["index"]
    # noise and dropout are draws of their own
    at, hide = jax.random.split(key)
    known = [conditions.told(cfg.condition, batch, spec)]
    if cfg.latent:
        z = example_normal(at, index, (cfg.latent,))
        known.append(Cond(vector=z))
    told = _together(known)
    # a net without dropout does not look at them
    masks = {"keys": example_keys(hide, index)}
    weights = {"params": gen, "dropout": masks}
    # denoisers are told a time; here there is one, always 0
    made = cfg.gen.apply(weights, x, jnp.zeros(len(x)), told, spec.shape)
    # within the range of pictures, whatever the net says
    return jnp.tanh(made)


def translate(
    params: dict,
    key: jax.Array,
    given: Batch,
    cfg: Pix2pix,
    spec: Spec,
) -> jax.Array:
    """What is given, translated: [B, *shape] in [0, 1]."""
    made = generate(params["gen"], key, given, cfg, spec)
    return spec.decode(made)


def _together(known: list[Cond | None]) -> Cond | None:
    """Several things to be told as one; None where there is nothing."""
    there = [cond for cond in known if cond is not None]
    return conditions.joined(there) if there else None


def shown(
    batch: Batch,
    cfg: Pix2pix,
    spec: Spec,
) -> Cond | None:
    """What D sees beside a picture: what is given, and what is asked of it."""
    x = paired.encoded(batch, cfg.given, spec)
    return _together([Cond(maps=x), conditions.told(cfg.condition, batch, spec)])


def discriminate(
    disc: Any,
    y: jax.Array,
    beside: Cond | None,
    cfg: Pix2pix,
) -> jax.Array:
    """D(x, y) of every patch, [B, P]."""
    scores = cfg.disc.apply({"params": disc}, y, beside, (1,))
    # a discriminator of whole pictures has one patch
    return scores.reshape(len(y), -1)


def disc_loss(
    disc: Any,
    gen: Any,
    key: jax.Array,
    batch: Batch,
    cfg: Pix2pix,
    spec: Spec,
) -> Parts:
    """The discriminator's loss and its parts, each [B]: means over patches."""
    # the sample that is judged, the place of a penalty between it and the truth
    of_gen, line = jax.random.split(key)
    x = shown(batch, cfg, spec)
    y = spec.encode(batch)
    made = generate(gen, of_gen, batch, cfg, spec)
    made = jax.lax.stop_gradient(made)  # this is D's turn
    # beside what is given: a good picture of something else is no answer
    real = discriminate(disc, y, x, cfg)  # [B, P]
    fake = discriminate(disc, made, x, cfg)

    # penalties are on the slope of one number an example
    def critic(y: jax.Array) -> jax.Array:
        patches = discriminate(disc, y, x, cfg)
        return jnp.mean(patches, -1)

    keys = example_keys(line, batch["index"])
    terms = [term(critic, y, made, keys) for term in cfg.penalties]
    penalty = sum(terms, start=jnp.zeros(len(y)))
    played = jnp.mean(cfg.game.disc(real, fake), -1)
    higher = real > fake
    return {
        "loss": played + penalty,
        "penalty": penalty,
        "real": jnp.mean(real, -1),
        "fake": jnp.mean(fake, -1),
        # of the patches in which the true one scores higher: 1/2 when D cannot tell them apart
        "higher": jnp.mean(higher.astype(jnp.float32), -1),
    }


def gen_loss(
    gen: Any,
    disc: Any,
    key: jax.Array,
    batch: Batch,
    cfg: Pix2pix,
    spec: Spec,
) -> Parts:
    """The generator's loss and its two parts, each [B], against the discriminator as it is."""
    of_gen, _ = jax.random.split(key)  # as in `disc_loss`
    y = spec.encode(batch)
    made = generate(gen, of_gen, batch, cfg, spec)
    # in [-1, 1], as the paper has it: twice the error of unit values
    parts = {"absolute": paired.mean(jnp.abs(made - y))}
    loss = cfg.weight * parts["absolute"]
    # without a game D is neither made nor asked
    if cfg.play:
        x = shown(batch, cfg, spec)
        # what matters to a relativistic game alone
        real = discriminate(disc, y, x, cfg)
        fake = discriminate(disc, made, x, cfg)
        parts["game"] = jnp.mean(cfg.game.gen(real, fake), -1)
        loss = loss + cfg.play * parts["game"]
    return {"loss": loss, **parts}


def mean_of(
    loss: Callable[..., Parts],
    cfg: Pix2pix,
    spec: Spec,
) -> Callable:
    """`descend`'s form of a loss(mine, other's, key, batch, cfg, spec): (mean, {name: mean})."""

    def averaged_loss(mine, batch, other, key):
        parts = loss(mine, other, key, batch, cfg, spec)
        means = {name: jnp.mean(value) for name, value in parts.items()}
        return means.pop("loss"), means

    return averaged_loss


def step(
    key: jax.Array,
    state: State,
    batch: Batch,
    axis: str | None = None,
    *,
    cfg: Pix2pix,
    spec: Spec,
) -> tuple[State, dict[str, jax.Array]]:
    """The discriminator's step, then the generator's; without a game the latter alone."""
    how = {"axis": axis, "microbatches": spec.microbatches}
    # each player sees a sample of its own
    of_disc, of_gen = jax.random.split(key)
    gen = state.params["gen"]
    # copies: the old state is what the guard falls back on
    params = dict(state.params)
    opt = dict(state.opt)
    metrics = {}
    if cfg.play:
        tx = cfg.disc_optimiser(spec.steps)
        loss = mean_of(disc_loss, cfg, spec)
        params["disc"], opt["disc"], played = descend(
            loss, tx, params["disc"], opt["disc"], batch, gen, of_disc, **how
        )
        # the generator has a loss and a gradient norm too
        metrics = {f"disc_{name}": value for name, value in played.items()}
    tx = cfg.optimiser(spec.steps)
    loss = mean_of(gen_loss, cfg, spec)
    # as it is after its own step, as in algorithm 1 of Goodfellow et al.
    disc = params.get("disc", {})
    gen, opt["gen"], made = descend(loss, tx, gen, opt["gen"], batch, disc, of_gen, **how)
    params["gen"] = gen
    new = state.replace(
        step=state.step + 1,
        params=params,
        opt=opt,
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),  # D is not averaged
    )
    return new, {**metrics, **made}


def evaluate(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: Pix2pix,
    spec: Spec,
) -> dict[str, jax.Array]:
    """Of held-out pairs, each [B]: the generator's loss and its parts, PSNR, and what D makes of both."""
    parts = gen_loss(params["gen"], params.get("disc"), key, batch, cfg, spec)
    # the answer that the loss was of
    of_gen, _ = jax.random.split(key)
    made = translate(params, of_gen, batch, cfg, spec)
    near = paired.nearness(made, spec.unit(batch))
    parts["psnr"] = near["psnr"]
    if cfg.play:
        played = disc_loss(params["disc"], params["gen"], key, batch, cfg, spec)
        parts |= {name: played[name] for name in ("real", "fake", "higher")}
    return parts


def check(
    cfg: Pix2pix,
    spec: Spec,
) -> None:
    """Raises UserError for what cannot be trained, before anything is compiled."""
    paired.check_pair("Pix2pix", cfg.given, spec)
    conditions.check(cfg.condition, spec)
    at_least(
        0,
        algorithm__weight=cfg.weight,
        algorithm__play=cfg.play,
        algorithm__latent=cfg.latent,
    )
    if not cfg.weight and not cfg.play:
        raise UserError(
            "--algorithm.weight=0 and --algorithm.play=0 leave the generator nothing to learn: set one of them."
        )
    # shapes alone: nets refuse what does not fit before anything is computed
    made = jax.eval_shape(functools.partial(start, cfg=cfg, spec=spec), jax.random.key(0))
    if cfg.play and set(made["disc"]) != {"params"}:
        raise UserError(
            f"--algorithm.disc={type(cfg.disc).__name__}: Pix2pix keeps no memory of a discriminator, as of spectral "
            "norms: use PatchGAN(), or --algorithm.disc.spectral=false."
        )


def start(
    key: jax.Array,
    cfg: Pix2pix,
    spec: Spec,
) -> dict[str, Any]:
    """The variables of both nets, of the generator alone where there is no game; nets refuse sizes here."""
    of_gen, of_disc = jax.random.split(key)
    x = jnp.zeros((1, *spec.find(cfg.given).shape))
    y = jnp.zeros((1, *spec.shape))
    # the parameters know how many numbers of noise there are
    asked = conditions.told(cfg.condition, _example(cfg, spec), spec)
    noise = Cond(vector=jnp.zeros((1, cfg.latent))) if cfg.latent else None
    told = _together([asked, noise])
    made = {"gen": cfg.gen.init(of_gen, x, jnp.zeros(1), told, spec.shape)}
    if cfg.play:
        beside = _together([Cond(maps=x), asked])
        made["disc"] = cfg.disc.init(of_disc, y, beside, (1,))
    return made


def _example(
    cfg: Pix2pix,
    spec: Spec,
) -> Batch:
    """One example of zeros of what conditions are made of."""
    found = {}
    for name in conditions.asks(cfg.condition):
        kind = spec.find(name)
        shape = getattr(kind, "shape", ())
        found[name] = jnp.zeros((1, *shape), kind.dtype)
    return found


def algorithm(
    cfg: Pix2pix,
    spec: Spec,
) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(
        key: jax.Array,
        batch: Batch,
    ) -> State:
        made = start(key, cfg, spec)
        params = {name: variables["params"] for name, variables in made.items()}
        opt = {"gen": cfg.optimiser(spec.steps).init(params["gen"])}
        if cfg.play:
            opt["disc"] = cfg.disc_optimiser(spec.steps).init(params["disc"])
        average = cfg.ema.init({"gen": params["gen"]})
        zero = jnp.zeros((), jnp.int32)
        return State(zero, params, opt, average, {})

    def measured(
        key: jax.Array,
        state: State,
        batch: Batch,
    ) -> Parts:
        return evaluate(averaged(state), key, batch, cfg, spec)

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> jax.Array:
        return translate(averaged(state), key, given, cfg, spec)

    def drawn(
        samples: Any,
        given: Batch,
    ) -> np.ndarray:
        return paired.picture(samples, given, cfg.given, spec)

    whole = functools.partial(step, cfg=cfg, spec=spec)
    # what is given, and the truth that is shown beside
    asks = (cfg.given, spec.main, *conditions.asks(cfg.condition))
    return Algorithm(init, whole, measured, sampled, asks=asks, picture=drawn)
