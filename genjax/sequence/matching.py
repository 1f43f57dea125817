"""Pictures and sentences that know each other: two nets trained by contrast, place by place and piece by piece.

Yao et al. 2022 (FILIP, arXiv:2111.07783, sec. 3.2): of picture i every place k is a vector a_ik, of sentence j every
piece r a vector b_jr, all of length 1, and

    s_ij = mean_k max_r a_ik . b_jr,    t_ij = mean_r max_k a_ik . b_jr
    loss_i = -1/2 [ log softmax_j(c s_ij)_i + log softmax_j(c t_ji)_i ],    c learned

(Radford et al. 2021, arXiv:2103.00020, fig. 3, has one vector of each.) A sentence that is true of another picture of
the batch is left out of that picture's sums: see `metrics.towers`. A place finds the piece that tells of it, so that
what a piece says must be said by itself; a vector of the whole sentence may learn pairs of things by heart.

Its encoder of sentences can be the beginning of a model that is told them, as CLIP's is of Stable Diffusion
(`--start=RUN --start.partial=true`): most of a denoiser's loss is about noise, and teaches words slowly. Under `Pmap`,
and with microbatches, a picture is held against the sentences of its own part alone. It samples nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Caption
from genjax.config import field
from genjax.core import LOSS, Algorithm, Batch, Parts, Spec, State, averaged, single
from genjax.ema import Decay
from genjax.fields import Image, need
from genjax.metrics.towers import LOG_SCALE, apart, contrast, unit
from genjax.nets.places import ConvPlaces
from genjax.nets.words import TokenEncoder
from genjax.optim import Muon, Optimiser, StableDecay

TX = Muon(2e-3, warmup=100, decay=StableDecay(0.3), clip=1.0)


class Sides(NamedTuple):
    """B pictures and B sentences in one space."""

    places: jax.Array  # a [B, K, D], of length 1
    pieces: jax.Array  # b [B, R, D], of length 1
    there: jax.Array  # [B, R] bool: which pieces are no filling
    scale: jax.Array  # c


class Matched(nn.Module):
    """(pictures [B, H, W, C] in [-1, 1], tokens [B, T, V]) -> `Sides`."""

    picture: nn.Module
    encoder: TokenEncoder

    @nn.compact
    def __call__(self, x: jax.Array, tokens: jax.Array) -> Sides:
        places = self.picture(x)
        reading = self.encoder(tokens)
        pieces = nn.Dense(places.shape[-1], name="read")(reading.pieces)
        log_scale = self.param("scale", nn.initializers.constant(LOG_SCALE), ())
        return Sides(unit(places), unit(pieces), reading.there, jnp.exp(log_scale))


@dataclasses.dataclass(frozen=True)
class Contrastive:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    picture: nn.Module = field(ConvPlaces(), "pictures -> vectors of places: net(x) [B, K, D]")
    encoder: TokenEncoder = field(TokenEncoder(), "of the sentences")
    caption: Caption = field(Caption(), "which field the sentences are")
    optimiser: Optimiser = field(TX, "of both nets")
    ema: Decay = field(Decay(0.99), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def likeness(sides: Sides) -> tuple[jax.Array, jax.Array]:
    """s and t, [B, B] each, of picture i and sentence j; on the way there are B B K R numbers."""
    pairs = jnp.einsum("ikd,jrd->ijkr", sides.places, sides.pieces)  # [B, B, K, R]
    there = sides.there[None]  # [1, B, R]
    # -1 is as far as vectors of length 1 go: what fills up is never the nearest
    known = jnp.where(there[:, :, None], pairs, -1.0)
    by_place = known.max(3).mean(2)
    of_pieces = jnp.where(there, pairs.max(2), 0.0)
    by_piece = of_pieces.sum(2) / there.sum(2)
    return by_place, by_piece


def wrong(batch: Batch, cfg: Contrastive, spec: Spec) -> jax.Array:
    """Whether sentence j is wrong of picture i, bool [B, B]: by attributes where the data have them, else by its words.

    Of other words nobody knows whether they are true of a picture: they count as wrong, unless it is the same picture.
    """
    if spec.find("attributes") is not None and spec.find("said") is not None:
        return apart(batch)
    return _unlike(batch[cfg.caption.of]) & _unlike(batch[spec.main])


def _unlike(rows: jax.Array) -> jax.Array:
    """Whether rows [B, ...] differ, pair by pair: bool [B, B]."""
    flat = rows.reshape(len(rows), -1)
    return (flat[:, None] != flat[None]).any(-1)


def loss(params: dict, batch: Batch, cfg: Contrastive, spec: Spec) -> Parts:
    """[B] each: the loss [nats]; whether of the batch's sentences none that is wrong is as near as the own one; c."""
    tokens = cfg.caption(batch, spec).tokens
    weights = {"params": params["net"]}
    sides = Matched(cfg.picture, cfg.encoder).apply(weights, spec.encode(batch), tokens)
    by_place, by_piece = likeness(sides)
    against = wrong(batch, cfg, spec)
    # no likeness is below -1
    others = jnp.where(against, by_place, -1.0).max(1)
    nearest = jnp.diagonal(by_place) > others
    return {
        "loss": contrast(sides.scale * by_place, sides.scale * by_piece, against),
        "nearest": nearest.astype(jnp.float32),
        "scale": jnp.full(len(against), sides.scale),
    }


def algorithm(cfg: Contrastive, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for data without pictures or captions."""
    need("Contrastive", spec.main, spec.x, Image)
    cfg.caption.check(spec)
    net = Matched(cfg.picture, cfg.encoder)

    def init_params(key: jax.Array, batch: Batch) -> dict:
        tokens = cfg.caption(batch, spec).tokens
        return {"net": net.init(key, spec.encode(batch), tokens)["params"]}

    def matching_loss(params: dict, key: jax.Array, batch: Batch, step: Any) -> Parts:
        return loss(params, batch, cfg, spec)

    # one loss moves both nets
    init, step = single(
        init_params,
        matching_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    # the share that is nearest is one of the evaluation's batch
    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        return loss(averaged(state), batch, cfg, spec)

    return Algorithm(init, step, evaluate, criterion=LOSS)
