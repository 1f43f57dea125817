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

    def kinds(self) -> int:
        """K, the number of transformations."""
        return len(self.moves.moves())


def signed(x: jax.Array) -> jax.Array:
    """[0, 1] -> [-1, 1], after the transformations: what comes in beside a shifted picture is black."""
    return 2.0 * x - 1.0


def codes(params: dict, x: jax.Array, cfg: GeoTrans) -> jax.Array:
    """Codes [B, latent] of pictures [B, H, W, C] in [0, 1] as they are."""
    weights = {"params": params["enc"]}
    out = (cfg.latent,)
    return cfg.enc.apply(weights, signed(x), None, out)  # None: there is no condition


def named(params: dict, code: jax.Array, cfg: GeoTrans) -> jax.Array:
    """log y [B, K] of codes [B, latent]: which transformation the net takes it for."""
    weights = {"params": params["head"]}
    # the code itself is before the bend: scorers see both signs
    hidden = nn.silu(code)
    out = (cfg.kinds(),)
    logits = cfg.head.apply(weights, hidden, None, out)
    return jax.nn.log_softmax(logits)


def loss(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: GeoTrans,
    spec: Spec,
) -> Parts:
    """Cross-entropy of one transformation of each picture, drawn by its key, and whether it was named; each [B]."""
    x = spec.unit(batch)

    def draw(own: jax.Array) -> jax.Array:
        return jax.random.randint(own, (), 0, cfg.kinds())

    # each picture's by its own key: any layout of devices draws the same
    keys = example_keys(key, batch["index"])
    number = jax.vmap(draw)(keys)  # [B]
    view = cfg.moves.some(x, number)
    code = codes(params, view, cfg)
    log_y = named(params, code, cfg)
    rows = jnp.arange(len(x))
    right = log_y[rows, number]
    said = jnp.argmax(log_y, 1)
    hit = said == number
    return {
        "loss": -right,
        "accuracy": hit.astype(jnp.float32),
    }


def looked(
    params: dict,
    batch: Batch,
    cfg: GeoTrans,
    spec: Spec,
) -> tuple[jax.Array, jax.Array]:
    """(log y [B, K, K], codes [B, K, latent]) of every picture under every transformation, which is the first K."""
    x = spec.unit(batch)
    # in scoring all are looked at, in training one
    views = cfg.moves.all(x)  # [B, K, H, W, C]
    kinds = cfg.kinds()
    # one batch of all: the net knows nothing of what belongs together
    flat = views.reshape(-1, *x.shape[1:])
    code = codes(params, flat, cfg)
    log_y = named(params, code, cfg)
    by_picture = log_y.reshape(-1, kinds, kinds)
    return by_picture, code.reshape(-1, kinds, cfg.latent)


def evaluate(params: dict, batch: Batch, cfg: GeoTrans, spec: Spec) -> Parts:
    """The cross-entropy [nats] and the share of names that are right over all K transformations, each [B]."""
    log_y, _ = looked(params, batch, cfg, spec)
    right = jnp.diagonal(log_y, axis1=1, axis2=2)  # [B, K]
    said = jnp.argmax(log_y, 2)
    hit = said == jnp.arange(cfg.kinds())
    return {
        "loss": -jnp.mean(right, 1),
        "accuracy": jnp.mean(hit, 1),
    }


# Scores, on the host.


def unnamed(log_y: np.ndarray) -> np.ndarray:
    """The simple score [N] of log y [N, K, K]: how little of the truth the net names, -mean_k log y_k(T_k(x))."""
    right = np.diagonal(log_y, axis1=1, axis2=2)
    return -right.mean(1)


def unlike(normal: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """-n(x) [M] of log y [M, K, K]: one Dirichlet for each transformation, fitted to the normals' [N, K, K]."""
    total = np.zeros(len(log_y))
    for k in range(log_y.shape[1]):
        # each by itself: a turned shoe is not named as surely as one that stands
        known = normal[:, k]
        a = dirichlet.fitted(known)
        likeness = dirichlet.log_density(log_y[:, k], a)
        total -= likeness
    return total


def algorithm(cfg: GeoTrans, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for what is no picture, or cannot be turned."""
    at_least(1, algorithm__latent=cfg.latent)
    need("GeoTrans", spec.main, spec.x, Image)
    cfg.moves.check(spec.shape)

    def init_params(key, batch):
        enc_key, head_key = jax.random.split(key)
        x = spec.unit(batch)
        code_shape = (cfg.latent,)  # of one picture
        # shapes alone matter to `init`
        code = jnp.zeros((len(x), cfg.latent))
        enc = cfg.enc.init(enc_key, x, None, code_shape)
        head = cfg.head.init(head_key, code, None, (cfg.kinds(),))
        return {
            "enc": enc["params"],
            "head": head["params"],
        }

    def naming_loss(params, key, batch, step):
        return loss(params, key, batch, cfg, spec)

    init, step = single(
        init_params,
        naming_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    def coded(key: jax.Array, state: State, batch: Batch) -> jax.Array:
        """The codes under all transformations, one behind the other."""
        _, code = looked(averaged(state), batch, cfg, spec)
        return code.reshape(len(code), -1)

    return Algorithm(
        init,
        step,
        measured,
        sample=None,  # there is nothing to draw: it is measured alone
        encode=coded,
        criterion=LOSS,
    )
