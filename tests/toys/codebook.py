"""A codebook in `State.extra`, moving averages of what falls to each code (van den Oord et al. 2017, app. A.1)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import Algorithm, Memory, Spec, single
from genjax.data import Ring, Toy
from genjax.ema import Decay
from genjax.optim import Adam


def nearest(codes: jax.Array, x: jax.Array) -> jax.Array:
    """The number of the code nearest to each x [B, D], one-hot [B, K]."""
    distance = jnp.sum(jnp.square(x[:, None] - codes), -1)
    return jax.nn.one_hot(jnp.argmin(distance, -1), len(codes))


@dataclasses.dataclass(frozen=True)
class Codebook:
    """x -> x + shift -> the nearest code; the shift learns, the codes are averages."""

    codes: int = field(8, "K")
    decay: float = field(0.9, "of the averages")

    def __call__(self, spec: Spec) -> Algorithm:
        def book(extra):
            return extra["sums"] / extra["counts"][:, None]

        def loss(params, extra, key, batch, step):
            x = spec.unit(batch) + params["enc"]["shift"]
            codes = jax.lax.stop_gradient(book(extra))
            which = nearest(codes, x)
            distance = jnp.sum(jnp.square(x - which @ codes), -1)
            seen = {
                "counts": which,
                "sums": which[:, :, None] * jax.lax.stop_gradient(x)[:, None],
            }
            return {"loss": distance}, seen

        def update(extra, seen):
            return jax.tree.map(lambda a, b: a + (1 - self.decay) * (b - a), extra, seen)

        def start(key, batch):
            angle = 2 * jnp.pi * (jnp.arange(self.codes, dtype=jnp.float32) + 0.3) / self.codes
            places = jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
            return {
                "counts": jnp.full(self.codes, 1 / self.codes, jnp.float32),
                "sums": places / self.codes,
            }

        def init_params(key, batch):
            return {"enc": {"shift": jnp.zeros(spec.shape)}}

        def evaluate(key, state, batch):
            return loss(state.params, state.extra, key, batch, state.step)[0]

        memory = Memory(start, update)
        init, step = single(
            init_params, loss, Adam(1e-3)(spec.steps), Decay(0.0), memory=memory
        )
        return Algorithm(init, step, evaluate)


DATA, ALGORITHM = Toy(Ring(), train=4000, test=500), Codebook()


def truth(this) -> None:
    """Every code has found a mode of the ring."""
    extra = this.state.extra
    codes = np.asarray(extra["sums"] / extra["counts"][:, None])
    means = Ring()().means
    away = np.linalg.norm(codes[:, None] - means[None], axis=-1).min(1)
    assert away.max() < 0.15
