"""A token model beside an exact answer: a Markov chain, whose entropy rate is known, learned as a table of logits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Algorithm, Spec, example_keys, single
from genjax.data import Source
from genjax.ema import Decay
from genjax.fields import Tokens
from genjax.optim import Adam

CHAIN = np.array([[0.8, 0.15, 0.05], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
LENGTH = 24


def entropy_rate() -> float:
    """sum_i pi_i H(row i) in nats, pi the stationary law."""
    pi = np.linalg.matrix_power(CHAIN, 200)[0]
    return float(-(pi[:, None] * CHAIN * np.log(CHAIN)).sum())


@dataclasses.dataclass(frozen=True)
class Chain:
    """Sequences of a three-state chain, started in its stationary law."""

    def load(self) -> Source:
        splits = {}
        for i, (name, n) in enumerate({"train": 2000, "valid": 0, "test": 1000}.items()):
            rng = np.random.default_rng(i)
            x = np.zeros((n, LENGTH), np.int32)
            x[:, 0] = rng.choice(3, n, p=np.linalg.matrix_power(CHAIN, 200)[0])
            for t in range(1, LENGTH):
                u = rng.random((n, 1))
                x[:, t] = (u > CHAIN.cumsum(1)[x[:, t - 1]]).sum(1)
            splits[name] = {"tokens": x}
        return Source("chain", {"tokens": Tokens(LENGTH, 3, "abc")}, **splits)


@dataclasses.dataclass(frozen=True)
class Bigram:
    """p(x_t | x_{t-1}) as a table of logits."""

    def __call__(self, spec: Spec) -> Algorithm:
        size = spec.x.vocabulary

        def loss(params, key, batch, step):
            x = batch[spec.main]
            log_p = jax.nn.log_softmax(params["net"]["logits"])[x[:, :-1], x[:, 1:]]
            return {"loss": -log_p.mean(-1)}  # nats a token

        def init_params(key, batch):
            return {"net": {"logits": jnp.zeros((size, size))}}

        def evaluate(key, state, batch):
            return loss(state.params, key, batch, state.step)

        def sample(key, state, given):
            logits = state.params["net"]["logits"]

            def draw(key):
                def after(
                    token, key
                ):  # "high": the default draws rare tokens wrongly in float32
                    new = jax.random.categorical(key, logits[token], mode="high")
                    return new, new

                keys = jax.random.split(key, spec.x.length)
                return jax.lax.scan(after, jnp.zeros((), jnp.int32), keys)[1]

            return jax.vmap(draw)(example_keys(key, given["index"]))

        init, step = single(init_params, loss, Adam(0.1)(spec.steps), Decay(0.0))
        return Algorithm(init, step, evaluate, sample)


DATA, ALGORITHM = Chain(), Bigram()


def truth(this) -> None:
    """The held-out loss is the entropy rate; sampled tokens follow the chain."""
    loss = this.summary(this.evaluate(this.source.test))["loss"]
    assert abs(loss - entropy_rate()) < 0.02
    x = this.sample(400)
    stays = np.mean(x[:, 1:][x[:, :-1] == 0] == 0)
    assert abs(stays - CHAIN[0, 0]) < 0.04
    assert len(this.source.fields["tokens"].text(x)[0]) == LENGTH
