"""StarGAN: one translator for a number that pictures have, such as an age, without pairs (arXiv:1711.09020).

    L_D = -L_adv + a L_read(real),     L_G = L_adv + a L_read(made) + w L_rec                               (eq. 5, 6)

The generator G(x, c) is told what is asked, c; the critic D judges a picture and reads c of it. Reading is learned from
real pictures and their own c (eq. 3), and asked of what is made (eq. 2); the way back, |x - G(G(x, c), c')| with the
picture's own c' (eq. 4), keeps what c does not speak of. Choi et al. have yes-or-no attributes, which D reads as
probabilities; a number is read in units of `low` to `high`, by squared error, and G is told it by `Numbers`.
Strength: an answer is x + s (G(x, c) - x), with s = 1 in training.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond, Numbers
from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, State, averaged, descend, example_keys
from genjax.ema import Decay
from genjax.errors import UserError, above, at_least
from genjax.fields import Points
from genjax.gan.games import Game, LeastSquares
from genjax.gan.penalties import Penalty
from genjax.nets import UNet
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam, Optimiser
from genjax.translate import paired
from genjax.translate.unpaired import distance

TX = Adam(2e-4, b1=0.5, b2=0.999)


@dataclasses.dataclass(frozen=True)
class StarGAN:
    """Config of the algorithm; called with a `Spec` it becomes one.

    Of a pair it sees what is given, with its own number, and the number that is asked for: never the answer.
    """

    # what is translated, and what of it
    given: str = field("input", "name of the field of pictures")
    own: str = field("before", "name of the field of the number that such a picture has")
    asked: Numbers = field(Numbers("age", 0.0, 1.0), "the number that is asked for")
    gen: nn.Module = field(
        UNet((64, 128), blocks=1, patch=2, attention=()),
        "picture -> its change: net(x, time, cond, shape); it needs no time and is told 0",
    )
    disc: nn.Module = field(
        PatchGAN(), "picture -> [B, h, w, 2]: a score of each patch, and the number it reads"
    )
    game: Game = field(LeastSquares(), "what both play for, patch by patch")
    penalties: tuple[Penalty, ...] = field((), "added to the critic's loss")
    # of eq. 5 and 6, where a read number in [-1, 1] has a squared error and not a cross-entropy
    read: float = field(1.0, "a, weight of the squared error of what is read, in [-1, 1]")
    cycle: float = field(10.0, "w, weight of the mean absolute error of the way back")
    strength: float = field(1.0, "s, how far samples go from what is given to the answer")
    optimiser: Optimiser = field(TX, "of the generator")
    disc_optimiser: Optimiser = field(TX, "of the critic")
    ema: Decay = field(
        Decay(0.999), "average of the generator's weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def scaled(cfg: StarGAN, value: jax.Array) -> jax.Array:
    """A number [B, 1] of the data in [-1, 1], [B]: `low` is -1, `high` is 1."""
    low, high = cfg.asked.low, cfg.asked.high
    # not clipped at the ends, as `Numbers` is
    share = (value.reshape(-1) - low) / (high - low)
    return 2.0 * share - 1.0


def translate(
    cfg: StarGAN,
    gen: Any,
    x: jax.Array,
    number: jax.Array,
    spec: Spec,
) -> jax.Array:
    """G(x, c) [B, H, W, C] of pictures x in [-1, 1] and numbers [B, 1] in the data's unit."""
    cond = told(cfg, number, spec)
    # nets of denoisers are told a time; here there is one, always 0
    time = jnp.zeros(len(x))
    change = cfg.gen.apply({"params": gen}, x, time, cond, spec.shape)
    # a net of zeros, as at the start, leaves the picture as it is
    return x + change


def told(
    cfg: StarGAN,
    number: jax.Array,
    spec: Spec,
) -> Cond:
    """What the generator is told of a number [B, 1]."""
    # under the asked one's name, for the way back is told the own number
    return cfg.asked({cfg.asked.of: number}, spec)


def judged(
    cfg: StarGAN,
    disc: Any,
    x: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """(scores of patches [B, P], the number that is read [B] in [-1, 1])."""
    found = cfg.disc.apply({"params": disc}, x, None, (2,))
    # [B, P, 2]: a score and a number of each patch
    flat = found.reshape(len(x), -1, 2)
    # a patch knows a part: together they read the whole picture
    return flat[..., 0], jnp.mean(flat[..., 1], -1)


def disc_loss(
    disc: Any,
    gen: Any,
    key: jax.Array,
    batch: Batch,
    cfg: StarGAN,
    spec: Spec,
) -> Parts:
    """The critic's loss and its parts, each [B]: eq. 5."""
    x = paired.encoded(batch, cfg.given, spec)
    made = translate(cfg, gen, x, batch[cfg.asked.of], spec)
    made = jax.lax.stop_gradient(made)  # this is D's turn
    real, number = judged(cfg, disc, x)
    # what D reads of it is not learned from: G would teach it mistakes
    fake, _ = judged(cfg, disc, made)

    # penalties are on the slope of one number an example
    def critic(picture: jax.Array) -> jax.Array:
        patches, _ = judged(cfg, disc, picture)
        return jnp.mean(patches, -1)

    # by index, so that no layout of devices changes a draw
    keys = example_keys(key, batch["index"])
    terms = [term(critic, x, made, keys) for term in cfg.penalties]
    penalty = sum(terms, start=jnp.zeros(len(x)))
    game = jnp.mean(cfg.game.disc(real, fake), -1)
    # of real pictures alone: eq. 3
    misread = jnp.square(number - scaled(cfg, batch[cfg.own]))
    # patch by patch: 1/2 = no critic
    higher = real > fake
    return {
        "loss": game + penalty + cfg.read * misread,
        "penalty": penalty,
        "misread": misread,
        "higher": jnp.mean(higher.astype(jnp.float32), -1),
    }


def gen_loss(
    gen: Any,
    disc: Any,
    key: jax.Array,
    batch: Batch,
    cfg: StarGAN,
    spec: Spec,
) -> Parts:
    """The generator's loss and its parts, each [B], against the critic as it is: eq. 6."""
    x = paired.encoded(batch, cfg.given, spec)
    asked = batch[cfg.asked.of]
    made = translate(cfg, gen, x, asked, spec)
    # what matters to a relativistic game alone
    real, _ = judged(cfg, disc, x)
    fake, number = judged(cfg, disc, made)
    game = jnp.mean(cfg.game.gen(real, fake), -1)
    misread = jnp.square(number - scaled(cfg, asked))  # eq. 2
    # back to the picture's own number: eq. 4
    back = translate(cfg, gen, made, batch[cfg.own], spec)
    parts = {
        "game": game,
        "asked": cfg.read * misread,
        "cycle": cfg.cycle * distance(back, x),
    }
    return {"loss": sum(parts.values()), **parts}


def step(
    key: jax.Array,
    state: State,
    batch: Batch,
    axis: str | None = None,
    *,
    cfg: StarGAN,
    spec: Spec,
) -> tuple[State, dict[str, jax.Array]]:
    """The critic's descent, then the generator's against the critic as it is then."""
    how = {"axis": axis, "microbatches": spec.microbatches}
    gen = state.params["gen"]
    disc = state.params["disc"]
    tx = cfg.disc_optimiser(spec.steps)
    loss = _mean_of(disc_loss, cfg, spec)
    disc, disc_opt, played = descend(loss, tx, disc, state.opt["disc"], batch, gen, key, **how)
    # the generator has a loss and a gradient norm too
    metrics = {f"disc_{name}": value for name, value in played.items()}
    tx = cfg.optimiser(spec.steps)
    loss = _mean_of(gen_loss, cfg, spec)
    gen, opt, made = descend(loss, tx, gen, state.opt["gen"], batch, disc, key, **how)
    new = state.replace(
        step=state.step + 1,
        params={"gen": gen, "disc": disc},
        opt={"gen": opt, "disc": disc_opt},
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),  # D is not averaged
    )
    return new, {**metrics, **made}


def _mean_of(loss: Any, cfg: StarGAN, spec: Spec) -> Any:
    """`descend`'s form of a loss(mine, other's, key, batch, cfg, spec): (mean, {name: mean})."""

    def averaged_loss(mine, batch, other, key):
        parts = loss(mine, other, key, batch, cfg, spec)
        means = {name: jnp.mean(value) for name, value in parts.items()}
        return means.pop("loss"), means

    return averaged_loss


def check(cfg: StarGAN, spec: Spec) -> None:
    """Raises UserError for what cannot be trained, before anything is compiled."""
    paired.check_pair("StarGAN", cfg.given, spec)
    paired.check_alike("StarGAN", cfg.given, spec)
    cfg.asked.check(spec)
    # the second of D's two answers has to be a single number
    found = spec.find(cfg.own)
    if not isinstance(found, Points) or found.shape != (1,):
        known = ", ".join(name for name, _ in spec.fields)
        raise UserError(
            f"--algorithm.own={cfg.own}: StarGAN reads one number of each picture, and the data have no such field "
            f"among {known}."
        )
    at_least(0, algorithm__read=cfg.read, algorithm__cycle=cfg.cycle)
    # at 0 every answer would be the input
    above(0, algorithm__strength=cfg.strength)


def algorithm(cfg: StarGAN, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(key: jax.Array, batch: Batch) -> State:
        of_gen, of_disc = jax.random.split(key)
        x = paired.encoded(batch, cfg.given, spec)
        cond = told(cfg, batch[cfg.asked.of], spec)
        gen = cfg.gen.init(of_gen, x, jnp.zeros(len(x)), cond, spec.shape)["params"]
        disc = cfg.disc.init(of_disc, x, None, (2,))["params"]
        opt = {
            "gen": cfg.optimiser(spec.steps).init(gen),
            "disc": cfg.disc_optimiser(spec.steps).init(disc),
        }
        average = cfg.ema.init({"gen": gen})
        zero = jnp.zeros((), jnp.int32)
        return State(zero, {"gen": gen, "disc": disc}, opt, average, {})

    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        # against the critic as it is: it has no average
        gen = averaged(state)["gen"]
        parts = gen_loss(gen, state.params["disc"], key, batch, cfg, spec)
        # the data are pairs, so there is a truth, though no loss sees it
        near = paired.nearness(sampled(key, state, batch), spec.unit(batch))
        return {**parts, "psnr": near["psnr"]}

    def sampled(key: jax.Array, state: State, given: Batch) -> jax.Array:
        gen = averaged(state)["gen"]
        x = paired.encoded(given, cfg.given, spec)
        made = translate(cfg, gen, x, given[cfg.asked.of], spec)
        moved = x + cfg.strength * (made - x)
        # x + change has no end, as a tanh would have
        return jnp.clip(spec.decode(moved), 0.0, 1.0)

    def drawn(samples: Any, given: Batch) -> np.ndarray:
        return paired.picture(samples, given, cfg.given, spec)

    _probe(init, spec)
    whole = functools.partial(step, cfg=cfg, spec=spec)
    # the truth is shown beside, and never trained on
    asks = (cfg.given, spec.main, cfg.asked.of)
    return Algorithm(init, whole, evaluate, sampled, asks=asks, picture=drawn)


def _probe(init: Any, spec: Spec) -> None:
    """Builds the shapes of a state, so that a net that does not fit the pictures says so before anything else."""
    # one example of each field, without any numbers in it
    batch: Batch = {"index": jax.ShapeDtypeStruct((1,), jnp.uint32)}
    for name, kind in spec.fields:
        shape = (1, *getattr(kind, "shape", ()))
        batch[name] = jax.ShapeDtypeStruct(shape, kind.dtype)
    jax.eval_shape(init, jax.random.key(0), batch)
