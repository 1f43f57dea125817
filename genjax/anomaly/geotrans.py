"""A net that learns to name transformations of normal pictures is lost on others.

Golan & El-Yaniv 2018 (arXiv:1805.10917, "Deep Anomaly Detection Using Geometric Transformations"). With K
transformations T_k of a picture x and y(x) the net's probabilities,

    loss = -mean_k log y_k(T_k(x))                                                         (sec. 3.2)
    n(x) = sum_k log p(y(T_k(x)); a_k)     p: a Dirichlet of the normal examples, see `dirichlet`    (sec. 3.3)

and the simpler score (their eq. 4) is the mean of y_k(T_k(x)), here of its logarithm. What the net has made of the K
pictures before the last layer is a code for the other scorers (Sohn et al. 2021, arXiv:2011.02578). It samples nothing.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.anomaly import dirichlet
from genjax.anomaly.transforms import Moves
from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    example_keys,
    single,
)
from genjax.ema import Decay
from genjax.errors import at_least
from genjax.fields import Image, need
from genjax.nets import MLP, ConvEncoder
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class GeoTrans:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    moves: Moves = field(Moves(), "the transformations")
    latent: int = field(64, "size of the code of one transformed picture")
    enc: nn.Module = field(ConvEncoder((32, 64)), "picture -> code")
    head: nn.Module = field(MLP(), "code -> one logit for each transformation")
    optimiser: Optimiser = field(Adam(), "of both nets together")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def signed(x: jax.Array) -> jax.Array:
    """[0, 1] -> [-1, 1], after the transformations: what comes in beside a shifted picture is black."""
    return 2.0 * x - 1.0


def codes(params: dict, x: jax.Array, cfg: GeoTrans) -> jax.Array:
    """Codes [B, latent] of pictures [B, H, W, C] in [0, 1] as they are."""
    weights = {"params": params["enc"]}
    return cfg.enc.apply(weights, signed(x), None, (cfg.latent,))


def named(params: dict, code: jax.Array, cfg: GeoTrans) -> jax.Array:
    """log y [B, K] of codes [B, latent]: which transformation the net takes it for."""
    weights = {"params": params["head"]}
    hidden = nn.silu(code)
    logits = cfg.head.apply(weights, hidden, None, (len(cfg.moves.moves()),))
    return jax.nn.log_softmax(logits)


def loss(params: dict, key: jax.Array, batch: Batch, cfg: GeoTrans, spec: Spec) -> Parts:
    """Cross-entropy of one transformation of each picture, drawn by its key, and whether it was named; each [B]."""
    x = spec.unit(batch)
    kinds = len(cfg.moves.moves())
    keys = example_keys(key, batch["index"])
    draw = jax.vmap(lambda own: jax.random.randint(own, (), 0, kinds))
    number = draw(keys)  # [B]
    view = cfg.moves.some(x, number)
    log_y = named(params, codes(params, view, cfg), cfg)
    right = jnp.take_along_axis(log_y, number[:, None], 1)
    hit = jnp.argmax(log_y, 1) == number
    return {"loss": -right[:, 0], "accuracy": hit.astype(jnp.float32)}


def looked(
    params: dict, batch: Batch, cfg: GeoTrans, spec: Spec
) -> tuple[jax.Array, jax.Array]:
    """(log y [B, K, K], codes [B, K, latent]) of every picture under every transformation, which is the first K."""
    views = cfg.moves.all(spec.unit(batch))  # [B, K, H, W, C]
    b, kinds = views.shape[:2]
    flat = views.reshape(b * kinds, *views.shape[2:])
    code = codes(params, flat, cfg)
    log_y = named(params, code, cfg)
    return log_y.reshape(b, kinds, kinds), code.reshape(b, kinds, -1)


def evaluate(params: dict, batch: Batch, cfg: GeoTrans, spec: Spec) -> Parts:
    """The cross-entropy [nats] and the share of names that are right over all K transformations, each [B]."""
    log_y, _ = looked(params, batch, cfg, spec)
    right = jnp.diagonal(log_y, axis1=1, axis2=2)  # [B, K]
    kinds = jnp.arange(right.shape[1])
    hit = jnp.argmax(log_y, 2) == kinds
    accuracy = jnp.mean(hit.astype(jnp.float32), 1)
    return {"loss": -jnp.mean(right, 1), "accuracy": accuracy}


def unnamed(log_y: np.ndarray) -> np.ndarray:
    """The simple score [N] of log y [N, K, K]: how little of the truth the net names, -mean_k log y_k(T_k(x))."""
    right = np.diagonal(log_y, axis1=1, axis2=2)
    return -right.mean(1)


def unlike(normal: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """-n(x) [M] of log y [M, K, K]: one Dirichlet for each transformation, fitted to the normals' [N, K, K]."""
    total = np.zeros(len(log_y))
    for k in range(log_y.shape[1]):
        a = dirichlet.fitted(normal[:, k])
        total -= dirichlet.log_density(log_y[:, k], a)
    return total


def algorithm(cfg: GeoTrans, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for what is no picture, or cannot be turned."""
    at_least(1, algorithm__latent=cfg.latent)
    need("GeoTrans", spec.main, spec.x, Image)
    cfg.moves.check(spec.shape)
    kinds = len(cfg.moves.moves())

    def init_params(key, batch):
        enc_key, head_key = jax.random.split(key)
        x = spec.unit(batch)
        code = jnp.zeros((len(x), cfg.latent))
        enc = cfg.enc.init(enc_key, x, None, (cfg.latent,))
        head = cfg.head.init(head_key, code, None, (kinds,))
        return {"enc": enc["params"], "head": head["params"]}

    def naming_loss(params, key, batch, step):
        return loss(params, key, batch, cfg, spec)

    tx = cfg.optimiser(spec.steps)
    init, step = single(init_params, naming_loss, tx, cfg.ema, spec.microbatches)

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    def coded(key: jax.Array, state: State, batch: Batch) -> jax.Array:
        _, code = looked(averaged(state), batch, cfg, spec)
        return code.reshape(len(code), -1)

    # there is nothing to draw: it is measured alone
    return Algorithm(init, step, measured, None, encode=coded, criterion=LOSS)
