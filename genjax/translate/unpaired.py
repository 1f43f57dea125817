"""What all unpaired translation shares: a game in every domain, a pool of older answers, and how a step goes.

Two domains, each a batch of its own: `batch[name]`, rows of which belong together in held-out data alone. What makes
the pictures of a domain plays against that domain's critic, a net called `net(x, None, (1,))` whose answers
[B, h, w, 1] are scores of places. A step is one descent of all critics, then one of all that makes pictures, against
the critics as they are then, as in `genjax.gan`. A system says three things of itself, `Makers`; the rest is here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Algorithm, Batch, Parts, Spec, State, averaged, descend, example_keys
from genjax.errors import UserError, at_least
from genjax.fields import Image, need
from genjax.pictures.draw import grid

# by domain: what was made there, [B, H, W, C] in [-1, 1]
Made = dict[str, jax.Array]


class Makers(NamedTuple):
    """What a system says of itself: how its pictures are made, and what they cost beside the game."""

    init: Callable[[jax.Array, Batch], Any]  # (key, batch) -> weights
    # (weights, key, batch) -> (what is made in each domain that has a critic, the other losses [B], weighed)
    cost: Callable[[Any, jax.Array, Batch], tuple[Made, Parts]]
    into: tuple[str, ...]  # the domains that have a critic


def check(cfg: Any, spec: Spec) -> None:
    """Raises UserError for data that are not pictures of two domains, and for numbers that make no sense."""
    # the data first: what a config says is of no use on others
    name = type(cfg).__name__
    need(f"{name}()", spec.main, spec.x, Image)
    if len(spec.domains) != 2:
        found = ", ".join(spec.domains) or "none"
        raise UserError(
            f"--algorithm={name}() translates between two domains, and the data have {found}: use "
            "--data=\"Unpaired(Pairs('inputs', 'targets'))\" or --data=\"Domains(Folder('a'), Folder('b'))\"."
        )
    at_least(0, algorithm__pool=cfg.pool)
    at_least(1, algorithm__every=cfg.every)


def adversarial(
    cfg: Any,
    disc: Any,
    real: jax.Array,
    fake: jax.Array,
) -> jax.Array:
    """What a maker pays to the critic of a domain for `fake`, [B]: the mean of the game over places."""
    # games that look at samples alone leave r out, and XLA with it
    r = scores(cfg, disc, real)
    f = scores(cfg, disc, fake)
    each = cfg.game.gen(r, f)
    return each.mean((1, 2))


def scores(
    cfg: Any,
    disc: Any,
    x: jax.Array,
) -> jax.Array:
    """D(x) place by place, [B, h, w]."""
    # a critic has no memory: spectral norms would need one
    weights = {"params": disc}
    # a number for each place, and no condition
    return cfg.disc.apply(weights, x, None, (1,))[..., 0]


def distance(x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean absolute difference of each example, [B]."""
    # L1, as all of these papers: squares would blur
    away = jnp.abs(x - y)
    return away.reshape(len(away), -1).mean(-1)


def disc_loss(
    disc: Any,
    key: jax.Array,
    batch: Batch,
    shown: Made,
    cfg: Any,
    spec: Spec,
    due: bool,
) -> Parts:
    """The critics' loss and its parts, summed over domains, each [B]; `shown` stands for what was made."""
    loss = {}
    for name, fake in shown.items():
        part = batch[name]
        real = spec.encode(part)
        own = disc[name]

        # a penalty is of the mean of all places
        def critic(x, own=own):
            return scores(cfg, own, x).mean((1, 2))

        lines = example_keys(key, part["index"])
        terms = []
        if due:
            for term in cfg.penalties:
                # lazy: due every so many steps, each weighs as many times as much
                terms.append(cfg.every * term(critic, real, fake, lines))
        # one call for both: a critic looks at examples one by one
        both = jnp.concatenate([real, fake])
        r, f = jnp.split(scores(cfg, own, both), 2)
        game = cfg.game.disc(r, f).mean((1, 2))
        penalty = sum(terms, start=jnp.zeros_like(game))
        found = {
            "loss": game + penalty,
            "penalty": penalty,
            # how often the true place scores higher than the made one beside it: 1/2 = no critic
            "higher": (r > f).astype(jnp.float32).mean((1, 2)) / len(shown),
        }
        loss = {name: value + loss.get(name, 0.0) for name, value in found.items()}
    return loss


def make_loss(
    weights: Any,
    disc: Any,
    key: jax.Array,
    batch: Batch,
    makers: Makers,
    cfg: Any,
    spec: Spec,
) -> Parts:
    """The makers' loss and its parts, each [B]."""
    # all in one: the pictures are made once for both
    made, parts = makers.cost(weights, key, batch)
    game = []
    for name, fake in made.items():
        real = spec.encode(batch[name])
        game.append(adversarial(cfg, disc[name], real, fake))
    parts = {"adversarial": sum(game), **parts}
    return {"loss": sum(parts.values()), **parts}


# The pool


def empty_pool(size: int, shape: tuple[int, ...]) -> dict[str, jax.Array]:
    """A pool that holds nothing yet; `held` counts its pictures."""
    # zeros are never shown: `held` is looked at first
    pictures = jnp.zeros((size, *shape))
    held = jnp.zeros((), jnp.int32)
    return {"pictures": pictures, "held": held}


def pooled(
    key: jax.Array,
    pool: dict[str, jax.Array],
    fresh: jax.Array,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """(pool, what a critic is shown) of fresh pictures [B, ...], one after the other (arXiv:1703.10593, sec. 4).

    Until the pool is full a picture is kept, and shown. Then, by a fair coin, it is shown and forgotten; or it is kept
    in the place of one of the pool's, which is shown instead (Shrivastava et al. 2017, arXiv:1612.07828, sec. 2.3).
    """
    size = len(pool["pictures"])

    def take(state: Any, turn: Any) -> tuple[Any, jax.Array]:
        pictures, held = state
        number, picture = turn
        own = jax.random.fold_in(key, number)
        # two draws: whether, and which
        coin, which = jax.random.split(own)
        full = held >= size
        swap = full & jax.random.bernoulli(coin)
        drawn = jax.random.randint(which, (), 0, size)
        place = jnp.where(full, drawn, held)
        old = pictures[place]
        kept = swap | ~full
        # written either way, for the shape of a program cannot depend on a coin
        pictures = pictures.at[place].set(jnp.where(kept, picture, old))
        held = jnp.minimum(held + 1, size)
        return (pictures, held), jnp.where(swap, old, picture)

    numbers = jnp.arange(len(fresh))
    start = (pool["pictures"], pool["held"])
    (pictures, held), shown = jax.lax.scan(take, start, (numbers, fresh))
    return {"pictures": pictures, "held": held}, shown


def _everywhere(
    key: jax.Array,
    pool: Any,
    fresh: jax.Array,
    axis: str | None,
):
    """`pooled` of the whole batch, whatever part of it this device has: the pool is the same on all of them."""
    if axis is None:
        return pooled(key, pool, fresh)
    # in the order of the global batch, so that every layout keeps the same pictures
    whole = jax.lax.all_gather(fresh, axis, tiled=True)
    pool, shown = pooled(key, pool, whole)
    here = len(fresh)
    first = jax.lax.axis_index(axis) * here
    return pool, jax.lax.dynamic_slice_in_dim(shown, first, here)


# The algorithm


def algorithm(
    cfg: Any,
    spec: Spec,
    makers: Makers,
    sample: Callable[[Any, jax.Array, Batch], jax.Array],
) -> Algorithm:
    """A system out of its makers; sample(weights, key, given) -> pictures of the second domain in [-1, 1]."""

    def init(key: jax.Array, batch: Batch) -> State:
        gen_key, disc_key = jax.random.split(key)
        gen = makers.init(gen_key, batch)
        disc, pools = {}, {}
        for i, name in enumerate(makers.into):
            x = spec.encode(batch[name])
            own = jax.random.fold_in(disc_key, i)
            disc[name] = cfg.disc.init(own, x, None, (1,))["params"]
            # one a domain: a critic sees its own domain's alone
            if cfg.pool:
                pools[name] = empty_pool(cfg.pool, spec.shape)
        opt = {
            "gen": cfg.optimiser(spec.steps).init(gen),
            "disc": cfg.disc_optimiser(spec.steps).init(disc),
        }
        params = {"gen": gen, "disc": disc}
        zero = jnp.zeros((), jnp.int32)
        average = cfg.ema.init({"gen": gen})
        return State(zero, params, opt, average, {"pool": pools})

    def evaluate(
        key: jax.Array,
        state: State,
        batch: Batch,
    ) -> Parts:
        # against the critics as they are: they have no average
        gen = averaged(state)["gen"]
        return make_loss(gen, state.params["disc"], key, batch, makers, cfg, spec)

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> jax.Array:
        gen = averaged(state)["gen"]
        answer = sample(gen, key, given)
        # a net that adds to its input may lead beyond the range of pictures
        return spec.decode(jnp.clip(answer, -1.0, 1.0))

    def drawn(samples: Any, given: Batch) -> np.ndarray:
        return picture(samples, given, spec)

    # before a run has a folder
    _probe(init, spec)
    steps = functools.partial(step, makers=makers, cfg=cfg, spec=spec)
    # two programs: the penalties' second derivatives are not even compiled where they are not due
    whole = functools.partial(steps, due=True)
    plain = functools.partial(steps, due=False)
    cycle = ()
    if cfg.penalties:
        cycle = (whole, *[plain] * (cfg.every - 1))
    return Algorithm(init, whole, evaluate, sampled, cycle, asks=spec.domains, picture=drawn)


def step(
    key: jax.Array,
    state: State,
    batch: Batch,
    axis: str | None = None,
    *,
    makers: Makers,
    cfg: Any,
    spec: Spec,
    due: bool = True,
) -> tuple[State, dict[str, jax.Array]]:
    """The critics' descent, then the makers'."""
    gen = state.params["gen"]
    disc = state.params["disc"]
    how = {"axis": axis, "microbatches": spec.microbatches}
    at, line, coins = jax.random.split(key, 3)
    # computed again in the makers' descent: within one program XLA does it once, and the cost not at all
    shown, _ = makers.cost(gen, at, batch)
    pools = state.extra["pool"]
    if cfg.pool:
        pools, shown = _shown(coins, pools, shown, axis)

    def mean_disc(disc, both):
        parts = disc_loss(disc, line, both["batch"], both["shown"], cfg, spec, due)
        return _mean(parts)

    def mean_gen(
        gen,
        batch,
        disc,
    ):
        parts = make_loss(gen, disc, at, batch, makers, cfg, spec)
        return _mean(parts)

    # as one tree, so that microbatches divide both alike
    both = {"batch": batch, "shown": shown}
    tx = cfg.disc_optimiser(spec.steps)
    disc, disc_opt, metrics = descend(mean_disc, tx, disc, state.opt["disc"], both, **how)
    tx = cfg.optimiser(spec.steps)
    gen, opt, of_gen = descend(mean_gen, tx, gen, state.opt["gen"], batch, disc, **how)
    # two descents: those of the makers get a name of their own
    for name in ("loss", "grad_norm"):
        metrics[f"gen_{name}"] = of_gen.pop(name)
    metrics |= of_gen
    new = state.replace(
        step=state.step + 1,
        params={"gen": gen, "disc": disc},
        opt={"gen": opt, "disc": disc_opt},
        ema=cfg.ema.update(state.ema, {"gen": gen}, state.step),  # critics are not averaged
        extra={"pool": pools},
    )
    return new, metrics


def _shown(
    key: jax.Array,
    pools: Any,
    fresh: Made,
    axis: str | None,
) -> tuple[Any, Made]:
    """Every domain's pool after this step, and what its critic is shown."""
    kept, shown = {}, {}
    for i, (name, pictures) in enumerate(fresh.items()):
        # the two pools do not swap in step
        own = jax.random.fold_in(key, i)
        kept[name], shown[name] = _everywhere(own, pools[name], pictures, axis)
    return kept, shown


def _mean(parts: Parts) -> tuple[jax.Array, dict[str, jax.Array]]:
    means = {name: value.mean() for name, value in parts.items()}
    return means.pop("loss"), means


def _probe(init: Callable, spec: Spec) -> None:
    """Builds the shapes of a state, so that a net that does not fit the pictures says so before anything else."""
    # one example: shapes do not depend on how many
    shape = (1, *spec.shape)
    image = jax.ShapeDtypeStruct(shape, jnp.uint8)
    index = jax.ShapeDtypeStruct((1,), jnp.uint32)
    batch: Batch = {"index": index}
    for name in spec.domains:
        batch[name] = {"index": index, spec.main: image}
    jax.eval_shape(init, jax.random.key(0), batch)


def picture(
    samples: Any,
    given: Batch,
    spec: Spec,
) -> np.ndarray:
    """Input, output and the other domain's picture of the same row side by side, uint8 [H, W, C].

    Of held-out pairs, whose rows belong together, the third is the hidden truth; of other data it is any picture.
    """
    first, second = spec.domains
    output = np.asarray(samples)
    columns = [spec.unit(given[first]), output, spec.unit(given[second])]
    rows = np.stack([np.asarray(x) for x in columns], 1)  # [n, 3, H, W, C]
    tiles = rows.reshape(-1, *rows.shape[2:])
    # three tiles are a row's; as many rows beside each other as make it near square
    beside = max(round(math.sqrt(len(rows) / 3)), 1)
    return grid(tiles, 3 * beside)
