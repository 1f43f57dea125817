"""A detector of generated text that is trained: the logarithm of the odds that a text is generated.

    loss = -log sigmoid(s evidence(x)),   s = 1 of a generated text, -1 of a real one

With as many of either kind its optimum is log q(x) - log p(x), the best test of the two laws. It has nothing to sample.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import LOSS, Algorithm, Batch, Parts, Spec, State, averaged, means, single
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Tokens, need
from genjax.metrics.prediction import auroc
from genjax.nets.evidence import TokenEvidence
from genjax.optim import Adam, Optimiser

KINDS = ("real", "generated")  # labels 0 and 1


@dataclasses.dataclass(frozen=True)
class TextDetector:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(TokenEvidence(), "net(tokens, vocabulary) -> log odds [B]")
    optimiser: Optimiser = field(Adam(3e-3, clip=1.0), "of the net")
    ema: Decay = field(Decay(0.99), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def evidence(params: dict, batch: Batch, cfg: TextDetector, spec: Spec) -> jax.Array:
    """Log odds [B] that each text is generated; of texts of any length."""
    x = batch[spec.main].astype(jnp.int32)
    return cfg.net.apply({"params": params["net"]}, x, spec.x.vocabulary)


def loss(params: dict, batch: Batch, cfg: TextDetector, spec: Spec) -> Parts:
    """Nats [B], whether it is right [B], and the log odds [B]."""
    found = evidence(params, batch, cfg, spec)
    # 1 of generated, -1 of real
    side = 2.0 * batch["label"] - 1.0  # s
    # what is certain and right costs nothing, what is certain and wrong as much as it is certain
    margin = side * found
    right = (margin > 0.0).astype(jnp.float32)
    return {"loss": jax.nn.softplus(-margin), "accuracy": right, "evidence": found}


def summary(values: dict[str, Any]) -> dict[str, float]:
    """Means of loss and accuracy, and the area under the ROC curve where there are texts of both kinds."""
    # labels travel with the values: a summary sees nothing else
    label = np.asarray(values["label"])
    found = {name: values[name] for name in ("loss", "accuracy")}
    told = means(found)
    if 0 < label.sum() < len(label):
        told["auroc"] = auroc(np.asarray(values["evidence"]), label == 1).value
    return told


def check(cfg: TextDetector, spec: Spec) -> None:
    """Raises UserError for what is no text, and for labels other than real and generated."""
    need("TextDetector", spec.main, spec.x, Tokens)
    if spec.classes != len(KINDS):
        raise UserError(
            f"TextDetector tells {KINDS[0]} from {KINDS[1]}, and the data have {spec.classes} classes: give a field "
            "'label' of two, 1 = generated."
        )


def algorithm(cfg: TextDetector, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for data that it cannot learn from."""
    check(cfg, spec)

    def init_params(key: jax.Array, batch: Batch) -> dict:
        x = batch[spec.main].astype(jnp.int32)
        return {"net": cfg.net.init(key, x, spec.x.vocabulary)["params"]}

    def trained(params: dict, key: jax.Array, batch: Batch, step: jax.Array) -> Parts:
        parts = loss(params, batch, cfg, spec)
        # no metric, and it has no mean worth telling
        parts.pop("evidence")
        return parts

    init, step = single(
        init_params, trained, cfg.optimiser(spec.steps), cfg.ema, spec.microbatches
    )

    def evaluation(key: jax.Array, state: State, batch: Batch) -> Parts:
        found = loss(averaged(state), batch, cfg, spec)
        return {**found, "label": batch["label"]}

    return Algorithm(init, step, evaluation, summary=summary, criterion=LOSS)
