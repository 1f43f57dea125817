"""A classifier: nothing to sample, and a summary that no mean of examples gives: calibration."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import UP, Algorithm, Criterion, Spec, single
from genjax.data import Digits
from genjax.ema import Decay
from genjax.nets import MLP, Gelu
from genjax.optim import Adam


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: |confidence - accuracy| of equal bins, weighted by what falls into each."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        np.sum(place == b) * abs(confidence[place == b].mean() - right[place == b].mean())
        for b in np.unique(place)
    ]
    return float(np.sum(gaps) / len(place))


@dataclasses.dataclass(frozen=True)
class Reader:
    """p(label | image), by cross-entropy."""

    net: nn.Module = field(MLP((64,), Gelu()), "image -> logits")

    def __call__(self, spec: Spec) -> Algorithm:
        def logits(params, batch):
            x = spec.encode(batch)
            return self.net.apply({"params": params["net"]}, x, None, (spec.classes,))

        def loss(params, key, batch, step):
            log_p = jax.nn.log_softmax(logits(params, batch))
            of_label = jnp.take_along_axis(log_p, batch["label"][:, None], 1)
            return {"loss": -of_label[:, 0]}

        def init_params(key, batch):
            x = spec.encode(batch)
            return {"net": self.net.init(key, x, None, (spec.classes,))["params"]}

        def evaluate(key, state, batch):
            p = jax.nn.softmax(logits(state.params, batch))
            right = (jnp.argmax(p, -1) == batch["label"]).astype(jnp.float32)
            return {"confidence": jnp.max(p, -1), "right": right}

        def summary(values):
            error = calibration(values["confidence"], values["right"])
            return {"accuracy": float(values["right"].mean()), "calibration_error": error}

        init, step = single(init_params, loss, Adam(3e-3)(spec.steps), Decay(0.0))
        return Algorithm(
            init, step, evaluate, summary=summary, criterion=Criterion("accuracy", UP)
        )


DATA, ALGORITHM = Digits(), Reader()


def truth(this) -> None:
    """It reads, and is as sure as it should be."""
    found = this.summary(this.evaluate(this.source.test))
    assert found["accuracy"] > 0.9 and found["calibration_error"] < 0.15
