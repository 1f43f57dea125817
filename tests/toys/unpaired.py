"""Two domains that are never paired: a straight line from one to the other, fitted to independently shuffled rows.

b = 1 - a for pictures of one row. Paired, E |s a + t - b|² is least at s = -1. Shuffled apart, a and b of a batch are
independent, and s = 0 is best: the slope tells whether rows travel together.
"""

import dataclasses

import jax.numpy as jnp

from genjax.core import Algorithm, Spec, single
from genjax.data import Digits, Source
from genjax.ema import Decay
from genjax.fields import Image
from genjax.optim import Adam


@dataclasses.dataclass(frozen=True)
class Negatives:
    """Digits, and the same digits in negative: two domains of different sizes in training."""

    def load(self) -> Source:
        splits = {}
        for name, split in Digits().load().splits().items():
            negative = 255 - split["image"]
            half = negative[: len(negative) // 2] if name == "train" else negative
            splits[name] = {"a": {"image": split["image"]}, "b": {"image": half}}
        return Source("negatives", {"image": Image((8, 8, 1))}, **splits)


@dataclasses.dataclass(frozen=True)
class Line:
    """b = s a + t in every pixel."""

    def __call__(self, spec: Spec) -> Algorithm:
        def translated(params, batch):
            return params["line"]["s"] * spec.unit(batch["a"]) + params["line"]["t"]

        def loss(params, key, batch, step):
            square = jnp.square(translated(params, batch) - spec.unit(batch["b"]))
            return {"loss": square.reshape(len(square), -1).mean(-1)}

        def init_params(key, batch):
            s = jnp.full(
                spec.shape, -0.5, jnp.float32
            )  # a weak type would compile the step again
            return {"line": {"s": s, "t": jnp.zeros(spec.shape)}}

        def evaluate(key, state, batch):
            return loss(state.params, key, batch, state.step)

        def sample(key, state, given):
            return translated(state.params, given)

        init, step = single(init_params, loss, Adam(2e-2)(spec.steps), Decay(0.0))
        return Algorithm(init, step, evaluate, sample, asks=("a",))


DATA, ALGORITHM = Negatives(), Line()


def truth(this) -> None:
    """Rows of the two domains do not travel together."""
    slope = this.state.params["line"]["s"]
    assert abs(float(slope[2:6, 2:6].mean())) < 0.2
    assert this.picture(4).ndim == 3
