"""CUT: one generator, held in place by its own features (Park et al. 2020, arXiv:2007.15651).

A place of G(x) must be told from all other places of x by what the generator's encoder says of both: of S places of one
picture, cross-entropy of the right one (PatchNCE, eq. 3). There is no way back, so nothing need be hidden for it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, example_keys
from genjax.ema import Decay
from genjax.errors import UserError, above, at_least
from genjax.gan.games import Game, LeastSquares
from genjax.gan.penalties import Penalty
from genjax.nets import MLP
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import FEATURES, ResnetTranslator, UnetTranslator
from genjax.optim import Optimiser
from genjax.translate import unpaired
from genjax.translate.cycle import TX, translate
from genjax.translate.unpaired import Made, Makers


@dataclasses.dataclass(frozen=True)
class CUT:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    gen: ResnetTranslator | UnetTranslator | nn.Module = field(
        ResnetTranslator(),
        "picture -> picture: net(x, None, shape), which sows maps in the collection features",
    )
    disc: nn.Module = field(
        PatchGAN((32, 64), halvings=2, norm=True),
        "picture -> scores [B, h, w, 1]: net(x, None, (1,))",
    )
    # in their code 256 numbers of 256 places; pictures here have no more than that
    head: nn.Module = field(
        MLP((64,)), "features of a place -> what is compared: net(x, None, (64,))"
    )
    size: int = field(64, "numbers that are compared of each place")
    places: int = field(64, "places of each map that are compared, at most")
    temperature: float = field(0.07, "tau of the cross-entropy")
    contrast: float = field(1.0, "weight of PatchNCE between x and G(x)")
    # the paper calls it the external identity loss; FastCUT goes without
    identity: float = field(1.0, "and between y and G(y), y of the domain that is made")
    game: Game = field(LeastSquares(), "what generator and critic play for, place by place")
    penalties: tuple[Penalty, ...] = field(
        (), "added to the critic's loss, of the mean of all places"
    )
    every: int = field(
        1, "steps from one penalty to the next, which weighs as many times as much"
    )
    pool: int = field(0, "older pictures that the critic is shown too, 0 = none")
    optimiser: Optimiser = field(TX, "of the generator and the heads")
    disc_optimiser: Optimiser = field(TX, "of the critic")
    ema: Decay = field(Decay(0.999), "average of the generator that evaluation and samples use")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def features(
    cfg: CUT,
    net: Any,
    x: jax.Array,
) -> list[jax.Array]:
    """The maps that the generator sows on its way, each [B, h, w, C]."""
    weights = {"params": net}
    # what the generator makes of them is not asked for, and XLA leaves it out
    _, sown = cfg.gen.apply(weights, x, None, x.shape[1:], mutable=[FEATURES])
    return jax.tree.leaves(sown)


def drawn_places(
    key: jax.Array,
    index: jax.Array,
    pixels: int,
    most: int,
) -> jax.Array:
    """Different places of a map of so many pixels, int32 [B, S], by each example's own key."""
    # small maps have fewer places than are asked for
    count = min(pixels, most)

    def draw(own: jax.Array) -> jax.Array:
        return jax.random.permutation(own, pixels)[:count]

    keys = example_keys(key, index)
    return jax.vmap(draw)(keys)


def patch_nce(
    asked: jax.Array,
    known: jax.Array,
    temperature: float,
) -> jax.Array:
    """Cross-entropy of the right place among S, [B], for vectors [B, S, D] of length 1 (eq. 1, within a picture)."""
    logits = jnp.einsum("bsd,btd->bst", asked, known) / temperature
    log_shares = jax.nn.log_softmax(logits)
    # the same place is the right answer, all others of the picture are wrong ones
    right = jnp.diagonal(log_shares, axis1=1, axis2=2)  # [B, S]
    return -right.mean(-1)


def contrast(
    cfg: CUT,
    gen: Any,
    key: jax.Array,
    index: jax.Array,
    x: jax.Array,
    y: jax.Array,
) -> jax.Array:
    """PatchNCE between pictures x and what was made of them, y: the mean over maps, [B]."""
    # one call for both: the encoder looks at examples one by one
    both = jnp.concatenate([x, y])
    losses = []
    for i, maps in enumerate(features(cfg, gen["net"], both)):
        known, asked = jnp.split(maps, 2)
        own = jax.random.fold_in(key, i)
        pixels = known.shape[1] * known.shape[2]
        places = drawn_places(own, index, pixels, cfg.places)
        # a head for each map: their widths differ
        head = gen["heads"][str(i)]
        asked = _compared(cfg, head, asked, places)
        known = _compared(cfg, head, known, places)
        # what is known stands still: the answer moves towards it, as in their code
        known = jax.lax.stop_gradient(known)
        losses.append(patch_nce(asked, known, cfg.temperature))
    return sum(losses) / len(losses)


def _compared(
    cfg: CUT,
    head: Any,
    maps: jax.Array,
    places: jax.Array,
) -> jax.Array:
    """Vectors of length 1 for places [B, S] of maps [B, h, w, C]: [B, S, size]."""
    examples, *_, channels = maps.shape
    pixels = maps.reshape(examples, -1, channels)
    chosen = jnp.take_along_axis(pixels, places[..., None], 1)  # [B, S, C]
    rows = chosen.reshape(-1, channels)
    weights = {"params": head}
    vectors = cfg.head.apply(weights, rows, None, (cfg.size,))
    square = jnp.square(vectors).sum(-1, keepdims=True)
    # a place without features has a vector near 0, whose slope must stay small
    unit = vectors * jax.lax.rsqrt(square + 1e-6)
    return unit.reshape(examples, -1, cfg.size)


def algorithm(cfg: CUT, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    unpaired.check(cfg, spec)
    # a weight below 0 would reward what it is to punish
    weights = {"contrast": cfg.contrast, "identity": cfg.identity}
    at_least(0, "--algorithm.", **weights)
    at_least(1, algorithm__size=cfg.size)
    # of a single place there is nothing to tell it from
    at_least(2, algorithm__places=cfg.places)
    above(0, algorithm__temperature=cfg.temperature)
    first, second = spec.domains

    def init(key: jax.Array, batch: Batch) -> Any:
        at, of_heads = jax.random.split(key)
        x = spec.encode(batch[first])
        net = cfg.gen.init(at, x, None, spec.shape)["params"]
        heads = {}
        maps = features(cfg, net, x)
        if not maps:
            raise UserError(
                f"CUT: {type(cfg.gen).__name__} sows no maps to compare: use --algorithm.gen='ResnetTranslator()'."
            )
        for i, seen in enumerate(maps):
            own = jax.random.fold_in(of_heads, i)
            row = seen[:, 0, 0]  # [B, C]
            heads[str(i)] = cfg.head.init(own, row, None, (cfg.size,))["params"]
        return {"net": net, "heads": heads}

    def cost(
        gen: Any,
        key: jax.Array,
        batch: Batch,
    ) -> tuple[Made, Parts]:
        of_x, of_y = jax.random.split(key)
        x = spec.encode(batch[first])
        y = spec.encode(batch[second])
        both = jnp.concatenate([x, y])
        fake, same = jnp.split(translate(cfg, gen["net"], both), 2)
        index = batch[first]["index"]
        parts = {"contrast": cfg.contrast * contrast(cfg, gen, of_x, index, x, fake)}
        if cfg.identity:
            # rows of the other domain have numbers of their own
            index = batch[second]["index"]
            parts["identity"] = cfg.identity * contrast(cfg, gen, of_y, index, y, same)
        return {second: fake}, parts

    def sample(
        gen: Any,
        key: jax.Array,
        given: Batch,
    ) -> jax.Array:
        return translate(cfg, gen["net"], spec.encode(given[first]))

    # one way, so one domain has a critic
    makers = Makers(init, cost, (second,))
    return unpaired.algorithm(cfg, spec, makers, sample)
