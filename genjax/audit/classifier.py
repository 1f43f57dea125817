"""A discriminative classifier: p(y | x) and nothing of x. Without hidden layers it is logistic regression.

    loss = -log p(label | x),   p(y | x) = softmax_y net(x)

Any net of `genjax.nets` that gives one number a class. It samples nothing; `evaluate` gives the loss, whether the
likeliest class is the label, and `logits` what probabilities are made of.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    single,
)
from genjax.ema import Decay
from genjax.errors import UserError, at_least, below
from genjax.fields import REAL, Category, need
from genjax.nets import ConvEncoder
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(
        ConvEncoder((32, 64)), "x -> one number a class; MLP() = logistic regression"
    )
    of: str = field("label", "the field that is told from what is modelled")
    smoothing: float = field(
        0.0, "share of the label that is spread over all classes (arXiv:1512.00567, sec. 7)"
    )
    optimiser: Optimiser = field(Adam(), "of the net; its decay is the penalty on the weights")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def logits(params: dict, batch: Batch, cfg: Classifier, spec: Spec) -> jax.Array:
    """log p(y | x) but for a constant of x, [B, classes]."""
    x = spec.encode(batch)  # [B, *shape], pictures in [-1, 1]
    classes = spec.find(cfg.of).classes
    return cfg.net.apply({"params": params["net"]}, x, None, (classes,))


def loss(
    params: dict, batch: Batch, cfg: Classifier, spec: Spec, smoothing: float = 0.0
) -> Parts:
    """The cross-entropy [nats] and whether the likeliest class is the label, each [B]."""
    scores = logits(params, batch, cfg, spec)
    label = batch[cfg.of]
    one_hot = jax.nn.one_hot(label, scores.shape[-1])
    target = optax.smooth_labels(one_hot, smoothing)
    hit = jnp.argmax(scores, -1) == label
    return {
        "loss": optax.softmax_cross_entropy(scores, target),
        "accuracy": hit.astype(jnp.float32),
    }


def check(cfg: Classifier, spec: Spec) -> None:
    """Raises UserError for data without classes, and for what is no share."""
    need("Classifier", spec.main, spec.x, *REAL)
    found = spec.find(cfg.of)
    need("Classifier", cfg.of, found, Category)
    if found.classes < 2:
        raise UserError(
            f"Classifier tells classes apart, and the field {cfg.of!r} has {found.classes}: use a set with labels, "
            "--data='Digits()' for instance."
        )
    at_least(0, algorithm__smoothing=cfg.smoothing)
    below(1, algorithm__smoothing=cfg.smoothing)


def algorithm(cfg: Classifier, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for data without classes."""
    check(cfg, spec)
    classes = spec.find(cfg.of).classes

    def init_params(key: jax.Array, batch: Batch) -> dict:
        x = spec.encode(batch)
        variables = cfg.net.init(key, x, None, (classes,))
        return {"net": variables["params"]}

    def training_loss(params, key, batch, step):
        return loss(params, batch, cfg, spec, cfg.smoothing)

    init, step = single(
        init_params,
        training_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    def evaluation(key: jax.Array, state: State, batch: Batch) -> Parts:
        # without smoothing: the log loss of the labels as they are
        return loss(averaged(state), batch, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluation,
        sample=None,  # of x nothing is known
        criterion=LOSS,
    )
