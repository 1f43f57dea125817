"""StarGAN: one translator for a number that pictures have, such as an age, without pairs (arXiv:1711.09020).

    L_D = -L_adv + a L_read(real),     L_G = L_adv + a L_read(made) + w L_rec                               (eq. 5, 6)

The generator G(x, c) is told what is asked, c; the critic D judges a picture and reads c of it. Reading is learned from
real pictures and their own c (eq. 3), and asked of what is made (eq. 2); the way back, |x - G(G(x, c), c')| with the
picture's own c' (eq. 4), keeps what c does not speak of. Choi et al. have yes-or-no attributes, which D reads as
probabilities; a number is read in units of `low` to `high`, by squared error, and G is told it by `Numbers`.

Or D is told the number (`told`) and reads none: D(x, c) scores whether picture and number belong together (Mirza &
Osindero 2014, arXiv:1411.1784, eq. 2), so a real x with its own c' is played against G(x, c) with c,

    L_D = -L_adv + a L_adv(x with c' against x with c),     L_G = L_adv + w L_rec,

where a weighs real pictures that are told the asked number in the place of their own (arXiv:1605.05396, sec. 4.1): what
is wrong of them is the number alone.
Strength: an answer is x + s (G(x, c) - x), with s = 1 in training.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

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
    told: bool = field(
        False,
        "whether the critic is told the number in the place of reading it: its score is of both together",
        added=True,
    )
    game: Game = field(LeastSquares(), "what both play for, patch by patch")
    penalties: tuple[Penalty, ...] = field((), "added to the critic's loss")
    every: int = field(1, "steps from one time that penalties are due to the next", added=True)
    # of eq. 5 and 6, where a read number in [-1, 1] has a squared error and not a cross-entropy
    read: float = field(
        1.0,
        "a, weight of the squared error of what is read, in [-1, 1], or of the wrongly told",
    )
    cycle: float = field(10.0, "w, weight of the mean absolute error of the way back")
    # execution: it changes samples, not what is trained
    strength: float = field(
        1.0, "s, how far samples go from what is given to the answer", execution=True
    )
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


class Verdict(NamedTuple):
    """What a critic says of pictures."""

    scores: jax.Array  # [B, P], patch by patch
    # [B], squared error in [-1, 1] of the number that is read; 0 of a critic that reads none
    misread: jax.Array


def judged(
    cfg: StarGAN,
    disc: Any,
    x: jax.Array,
    number: jax.Array,
    spec: Spec,
) -> Verdict:
    """The verdict on pictures in [-1, 1] that have, or should have, the numbers [B, 1]."""
    weights = {"params": disc}
    if cfg.told:
        found = cfg.disc.apply(weights, x, told(cfg, number, spec), (1,))
        return Verdict(found.reshape(len(x), -1), jnp.zeros(len(x)))
    found = cfg.disc.apply(weights, x, None, (2,))
    # [B, P, 2]: a score and a number of each patch
    flat = found.reshape(len(x), -1, 2)
    # a patch knows a part: together they read the whole picture
    read = jnp.mean(flat[..., 1], -1)
    return Verdict(flat[..., 0], jnp.square(read - scaled(cfg, number)))


def disc_loss(
    disc: Any,
    gen: Any,
    key: jax.Array,
    batch: Batch,
    cfg: StarGAN,
    spec: Spec,
    due: bool = True,
) -> Parts:
    """The critic's loss and its parts, each [B]: eq. 5, or the module's, with the penalties only if `due`."""
    x = paired.encoded(batch, cfg.given, spec)
    own, asked = batch[cfg.own], batch[cfg.asked.of]
    made = translate(cfg, gen, x, asked, spec)
    made = jax.lax.stop_gradient(made)  # this is D's turn
    real = judged(cfg, disc, x, own, spec)
    # what D reads of it is not learned from: G would teach it mistakes
    fake = judged(cfg, disc, made, asked, spec).scores
    game = jnp.mean(cfg.game.disc(real.scores, fake), -1)
    # of real pictures alone: eq. 3
    number = real.misread
    if cfg.told and cfg.read:
        # real, but of another number than it is told
        wrong = judged(cfg, disc, x, asked, spec).scores
        number = jnp.mean(cfg.game.disc(real.scores, wrong), -1)
    penalty = jnp.zeros(len(x))
    if due:
        penalty = penalised(disc, x, made, key, batch, cfg, spec)
    # patch by patch: 1/2 = no critic
    higher = real.scores > fake
    return {
        "loss": game + penalty + cfg.read * number,
        "penalty": penalty,
        "misread": number,
        "higher": jnp.mean(higher.astype(jnp.float32), -1),
    }


def penalised(
    disc: Any,
    x: jax.Array,
    made: jax.Array,
    key: jax.Array,
    batch: Batch,
    cfg: StarGAN,
    spec: Spec,
) -> jax.Array:
    """The sum of the penalties, [B], as many times over as there are steps from one time to the next."""

    # a penalty calls for points, and a point is a picture with its number in one more channel
    def critic(point: jax.Array) -> jax.Array:
        # slopes are in the picture alone
        number = jax.lax.stop_gradient(point[:, 0, 0, -1:])
        scores = judged(cfg, disc, point[..., :-1], number, spec).scores
        # of one number an example: the mean of its patches
        return jnp.mean(scores, -1)

    real = _beside(x, batch[cfg.own])
    fake = _beside(made, batch[cfg.asked.of])
    # by index, so that no layout of devices changes a draw
    keys = example_keys(key, batch["index"])
    terms = [term(critic, real, fake, keys) for term in cfg.penalties]
    # lazy: due every so many steps, they weigh as many times as much
    return cfg.every * sum(terms, start=jnp.zeros(len(x)))


def _beside(x: jax.Array, number: jax.Array) -> jax.Array:
    """Pictures with their numbers [B, 1] as one more channel."""
    channel = jnp.broadcast_to(number[:, None, None], (*x.shape[:3], 1))
    return jnp.concatenate([x, channel.astype(x.dtype)], -1)


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
    own, asked = batch[cfg.own], batch[cfg.asked.of]
    made = translate(cfg, gen, x, asked, spec)
    # what matters to a relativistic game alone
    real = judged(cfg, disc, x, own, spec)
    fake = judged(cfg, disc, made, asked, spec)
    # back to the picture's own number: eq. 4
    back = translate(cfg, gen, made, own, spec)
    parts = {
        "game": jnp.mean(cfg.game.gen(real.scores, fake.scores), -1),
        "asked": cfg.read * fake.misread,  # eq. 2
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
    due: bool = True,
) -> tuple[State, dict[str, jax.Array]]:
    """The critic's descent, with penalties if `due`, then the generator's against the critic as it is then."""
    how = {"axis": axis, "microbatches": spec.microbatches}
    gen = state.params["gen"]
    disc = state.params["disc"]
    tx = cfg.disc_optimiser(spec.steps)
    loss = _mean_of(functools.partial(disc_loss, due=due), cfg, spec)
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
    at_least(1, algorithm__every=cfg.every)
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
        seen, answers = (told(cfg, batch[cfg.own], spec), 1) if cfg.told else (None, 2)
        disc = cfg.disc.init(of_disc, x, seen, (answers,))["params"]
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
    cycle = ()
    if cfg.penalties and cfg.every > 1:
        # second derivatives are not even compiled where they are not due
        plain = functools.partial(whole, due=False)
        cycle = (whole, *[plain] * (cfg.every - 1))
    # the truth is shown beside, and never trained on
    asks = (cfg.given, spec.main, cfg.asked.of)
    return Algorithm(init, whole, evaluate, sampled, cycle, asks=asks, picture=drawn)


def _probe(init: Any, spec: Spec) -> None:
    """Builds the shapes of a state, so that a net that does not fit the pictures says so before anything else."""
    # one example of each field, without any numbers in it
    batch: Batch = {"index": jax.ShapeDtypeStruct((1,), jnp.uint32)}
    for name, kind in spec.fields:
        shape = (1, *getattr(kind, "shape", ()))
        batch[name] = jax.ShapeDtypeStruct(shape, kind.dtype)
    jax.eval_shape(init, jax.random.key(0), batch)
