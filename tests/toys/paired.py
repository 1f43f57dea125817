"""A paired image -> image regression: from a coarse picture to the fine one, with input, target and output in a row."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import Algorithm, Spec, averaged, single
from genjax.corruptions import Coarse
from genjax.data import Digits, Source
from genjax.ema import Decay
from genjax.fields import Image
from genjax.nets import MLP, Gelu
from genjax.optim import Adam
from genjax.pictures.draw import grid


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Digits beside what blocks of 2x2 equal pixels leave of them."""

    def load(self) -> Source:
        source = Digits().load()
        splits = {}
        for name, split in source.splits().items():
            coarse = np.asarray(Coarse(2)(np.asarray(split["image"], np.float32) / 255))
            splits[name] = {"image": split["image"], "input": coarse}
        return Source("pairs", {"image": Image((8, 8, 1)), "input": Image((8, 8, 1))}, **splits)


@dataclasses.dataclass(frozen=True)
class Regression:
    """The picture that is nearest on average: what minimises the squared error."""

    net: nn.Module = field(MLP((64,), Gelu()), "input -> target")

    def __call__(self, spec: Spec) -> Algorithm:
        def predict(params, batch):
            x = spec.find("input").unit(batch["input"])
            return self.net.apply({"params": params["net"]}, x, None, spec.shape)

        def loss(params, key, batch, step):
            square = jnp.square(predict(params, batch) - spec.unit(batch))
            return {"loss": square.reshape(len(square), -1).mean(-1)}

        def init_params(key, batch):
            x = spec.find("input").unit(batch["input"])
            return {"net": self.net.init(key, x, None, spec.shape)["params"]}

        def evaluate(key, state, batch):
            return loss(averaged(state), key, batch, state.step)

        def sample(key, state, given):
            return predict(averaged(state), given)

        def picture(samples, given):
            columns = [given["input"], np.asarray(given["image"]) / 255, samples]
            return grid(np.stack(columns, 1).reshape(-1, *spec.shape), 3)

        init, step = single(init_params, loss, Adam(3e-3)(spec.steps), Decay(0.0))
        asks = ("input", "image")
        return Algorithm(init, step, evaluate, sample, asks=asks, picture=picture)


DATA, ALGORITHM = Pairs(), Regression()


def truth(this) -> None:
    """Better than the input as it is."""
    test = this.source.test
    untouched = np.mean((test["input"] - test["image"] / 255.0) ** 2)
    assert this.summary(this.evaluate(test))["loss"] < untouched
    assert this.picture(5).shape[2] == 1
    assert jax.tree.leaves(this.given(3))[0].shape[0] == 3
