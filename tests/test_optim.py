"""Optimisers: what is refused before a run starts, and what weight decay is of."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.config import digest
from genjax.errors import UserError
from genjax.optim import Adam, CosineDecay


@pytest.mark.parametrize(
    "name, wrong, words",
    [
        ("lr", (-1.0,), "must be at least 0"),
        ("b1", (-0.1,), "must be at least 0"),
        ("b1", (1.0, 1.5), "must be below 1"),
        ("b2", (-0.1,), "must be at least 0"),
        ("b2", (1.0, 1.5), "must be below 1"),
        ("eps", (-1e-8, 0.0), "must be above 0"),
        ("weight_decay", (-0.1,), "must be at least 0"),
        ("warmup", (-1,), "must be at least 0"),
        ("clip", (0.0, -1.0), "must be above 0"),
        ("lr", (math.nan, math.inf), "must be a finite number"),
        ("b1", (math.nan,), "must be a finite number"),
        ("b2", (math.nan,), "must be a finite number"),
        ("eps", (math.nan, math.inf), "must be a finite number"),
        ("weight_decay", (math.nan, math.inf), "must be a finite number"),
        ("clip", (math.nan, math.inf), "must be a finite number"),
    ],
)
def test_an_optimiser_that_cannot_learn_is_refused_by_the_name_of_its_value(name, wrong, words):
    for value in wrong:
        with pytest.raises(UserError) as refused:
            Adam(**{name: value})(10)
        assert str(refused.value) == f"Adam: {name}={value} {words}."


@pytest.mark.parametrize("final", [-0.1, 1.1, math.nan])
def test_a_decay_ends_between_nothing_and_all_of_the_learning_rate(final):
    with pytest.raises(UserError, match=f"^CosineDecay: final={final} must be "):
        Adam(decay=CosineDecay(final))(10)


def test_values_at_their_ends_are_admitted():
    Adam(b1=0.0, b2=0.0, warmup=20, decay=CosineDecay(0.0), clip=1e-6)(10)
    Adam(decay=CosineDecay(1.0))(0)


class Net(nn.Module):
    """One of each kind of parameter."""

    @nn.compact
    def __call__(self, x, word):
        one = nn.initializers.ones
        x = nn.Conv(1, (3, 3), name="one_channel")(x)  # [3, 3, 1, 1]
        x = nn.Conv(4, (1, 1), name="pointwise")(x)  # [1, 1, 1, 4], as a scale would be
        x = nn.GroupNorm(2, name="norm")(x) + self.param("noise", one, ())
        x = x * self.param("gains", one, (1, 1, 1, 4)) + self.param("constant", one, (2, 2, 4))
        x = x + nn.Embed(3, 4, name="embed")(word)[:, None, None]
        return x @ self.param("weight", one, (4, 5)) * self.param("q_scale", one, (3, 5))[0]


def shrunk(tx):
    """What weight decay alone makes of Net's parameters, which are all 1: {path: what is left}."""
    x, word = jnp.ones((1, 2, 2, 1)), jnp.zeros(1, jnp.int32)
    shapes = jax.eval_shape(Net().init, jax.random.key(0), x, word)["params"]
    params = jax.tree.map(lambda s: jnp.ones(s.shape), shapes)
    nothing = jax.tree.map(jnp.zeros_like, params)  # no gradient
    updates, _ = tx.update(nothing, tx.init(params), params)
    left, _ = jax.tree_util.tree_flatten_with_path(optax.apply_updates(params, updates))
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): value for path, value in left
    }


def test_decay_of_kernels_only_spares_norms_biases_and_embeddings():
    decay = {"lr": 0.1, "weight_decay": 0.2}
    for kernels_only in (False, True):
        left = shrunk(Adam(**decay, kernels_only=kernels_only)(10))
        kernels = {"one_channel.kernel", "pointwise.kernel", "weight"}
        assert len(left) == 12 and kernels < set(left)
        for name, value in left.items():
            decays = name in kernels or not kernels_only
            np.testing.assert_allclose(value, 1 - 0.1 * 0.2 if decays else 1.0, rtol=1e-6)


def test_the_state_of_old_checkpoints_and_their_digest_are_as_they_were():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    for weight_decay in (0.0, 0.1):
        cfg = Adam(weight_decay=weight_decay)
        # a schedule's count is a leaf of it, as in every run of Adam
        rate = optax.constant_schedule(cfg.lr)
        old = optax.chain(optax.adamw(rate, weight_decay=weight_decay))
        assert jax.tree.structure(cfg(1).init(params)) == jax.tree.structure(old.init(params))
        # no more arrays to store with the mask either
        masked = Adam(weight_decay=weight_decay, kernels_only=True)(1)
        assert len(jax.tree.leaves(masked.init(params))) == len(
            jax.tree.leaves(old.init(params))
        )
    assert digest(Adam(kernels_only=True)) != digest(Adam()) == "b6a43dae"
