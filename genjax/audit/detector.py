"""A net that tells generated pictures from real ones: logistic regression on what a front shows it.

With y = 1 for what was generated and the net's logit f(x),

    loss = -y log s(f) - (1 - y) log(1 - s(f)),    s the logistic function; of both kinds alike many,

which is least at f = log p_generated(x) - log p_real(x): the best detector that there is (Neyman & Pearson 1933).
Three detectors of the field are configs of it:

* a convolutional net of pixels, trained under blur and JPEG (`augment.BlurJpeg`): Wang et al. 2020, arXiv:1912.11035
* one of noise residuals: `front=Residual()`
* a linear map of the radial power spectrum: `front=Spectrum(), net=MLP()`; Durall et al. 2020, arXiv:2003.01826

It samples nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.audit.fronts import Front, Pixels
from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    means,
    single,
)
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Image, need
from genjax.metrics.prediction import auroc, average_precision
from genjax.nets import ConvEncoder
from genjax.optim import Adam, Optimiser

KINDS = ("real", "generated")  # labels 0 and 1
HELD = "scores.npz"  # of a run's folder: logits of held-out real pictures, and of the test's both kinds
DRAWS = 100  # of the bootstrap in a summary, whose interval nobody reads


@dataclasses.dataclass(frozen=True)
class Detector:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    front: Front = field(Pixels(), "what the net sees of a picture")
    net: nn.Module = field(ConvEncoder((32, 64), patch=1), "what is seen -> one logit")
    optimiser: Optimiser = field(Adam(), "of the net")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def logit(params: dict, x: jax.Array, cfg: Detector) -> jax.Array:
    """f [B] of pictures [B, H, W, C] in [0, 1]: above 0 the net takes them for generated."""
    # the same in training and in tests
    seen = cfg.front(x)
    weights = {"params": params["net"]}
    out = cfg.net.apply(weights, seen, None, (1,))  # None: there is no condition
    return out[:, 0]


def loss(params: dict, batch: Batch, cfg: Detector, spec: Spec) -> Parts:
    """The cross-entropy [nats] and whether the side is right, each [B]."""
    f = logit(params, spec.unit(batch), cfg)
    y = batch["label"].astype(jnp.float32)
    # -log s(f) of what was generated, -log s(-f) of what is real: no logarithm of 0
    signed = (2.0 * y - 1.0) * f
    right = signed > 0.0
    return {
        "loss": jax.nn.softplus(-signed),
        "accuracy": right.astype(jnp.float32),
    }


def evaluate(params: dict, batch: Batch, cfg: Detector, spec: Spec) -> Parts:
    """As `loss`, with the logit and the truth of each example, [B], which a ranking is made of."""
    parts = loss(params, batch, cfg, spec)
    f = logit(params, spec.unit(batch), cfg)
    return {**parts, "logit": f, "generated": batch["label"]}


def summary(values: dict[str, Any]) -> dict[str, float]:
    """Loss and accuracy in the mean, average precision and AUROC of the ranking; of one kind alone no ranking."""
    found = dict(values)
    scores = np.asarray(found.pop("logit"), np.float64)
    truth = np.asarray(found.pop("generated")) == 1
    told = means(found)
    both = truth.any() and not truth.all()
    # a net that has diverged ranks nothing, and its loss says so
    if both and np.isfinite(scores).all():
        told["average_precision"] = average_precision(scores, truth, DRAWS).value
        told["auroc"] = auroc(scores, truth).value
    return told


def algorithm(cfg: Detector, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for data without pictures of two kinds."""
    need("Detector", spec.main, spec.x, Image)
    cfg.front.check(spec.shape)
    if spec.classes != len(KINDS):
        raise UserError(
            f"Detector tells two kinds apart, and the data have {spec.classes} classes: use "
            "--data='RealAndGenerated(...)', or any set whose label is 0 = real, 1 = generated."
        )

    def init_params(key, batch):
        seen = cfg.front(spec.unit(batch))
        net = cfg.net.init(key, seen, None, (1,))
        return {"net": net["params"]}

    def telling_loss(params, key, batch, step):
        return loss(params, batch, cfg, spec)

    init, step = single(
        init_params,
        telling_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    return Algorithm(
        init,
        step,
        measured,
        sample=None,  # there is nothing to draw: it is measured alone
        summary=summary,
        criterion=LOSS,
    )
