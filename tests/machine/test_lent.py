"""Weights in parts: gathered once where a layer reads them, once before a loop that reads them in every turn."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from genjax.core import State, averaged, descend
from genjax.machine import hlo, lent
from genjax.machine.hlo import ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER
from genjax.machine.parallel import Jit, Mesh
from genjax.nets import DiT

LAYOUT = Mesh(data=1, fsdp=4, min_shard=256)  # biases stay whole
DEPTH, TURNS = 3, 5
LAYERS = DiT(patch=2, width=32, depth=DEPTH, heads=2, qk_norm=False, scan=True, remat=True)
TX = optax.sgd(0.1)
X = jax.ShapeDtypeStruct((8, 8, 8, 1), jnp.float32)
KEY = jax.eval_shape(lambda: jax.random.key(0))


class Two(nn.Module):
    """[B, 16] -> [B, 16] by two products."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(16)(nn.tanh(nn.Dense(64)(x)))


def of_loops(params, x):
    """A transformer, its layers in a loop."""
    return LAYERS.apply({"params": params}, x, jnp.zeros(len(x)), None, x.shape[1:])


def state_of(net, *args):
    """A state of a net's weights."""

    def init(key):
        params = {"net": net.init(key, *args)["params"]}
        zero = jnp.zeros((), jnp.int32)
        return State(zero, params, {"loss": TX.init(params)}, {}, {})

    return init


def step(fn, key, state, batch, axis=None):
    def loss(params, batch):
        return jnp.square(fn(params["net"], batch["x"])).mean(), {}

    old = state.params, state.opt["loss"]
    params, opt, metrics = descend(loss, TX, *old, batch, axis=axis)
    return state.replace(step=state.step + 1, params=params, opt={"loss": opt}), metrics


def collectives(lowered):
    """{kind: [(bytes, times)]} of a program on four devices."""
    found = {}
    for one in hlo.read(lowered.compile().as_text(), 4).collectives:
        found.setdefault(one.kind, []).append((one.size, one.times))
    return found


@pytest.mark.all
def test_a_training_step_gathers_each_layer_forwards_and_backwards_and_moves_no_activation():
    init = state_of(LAYERS, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1), None, (8, 8, 1))
    like = LAYOUT.like(init, KEY)
    batch = {"x": X, "index": jax.ShapeDtypeStruct((8,), np.uint32)}
    batches = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch)
    program = LAYOUT.train(functools.partial(step, of_loops), like)
    found = collectives(program.lower(KEY, like, {}, batches))
    assert set(found) <= {ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER}, found
    times = dict(found[ALL_GATHER])
    # of a layer: shifts, scales and gates; queries, keys and values; the two of the MLP; what attention ends with
    layer = {4 * 32 * 192: 1, 4 * 32 * 96: 1, 4 * 32 * 128: 2, 4 * 32 * 32: 1}
    # and as large as the last two: what the clock goes through, whose input needs no gradient
    clock = {4 * 32 * 128: 1, 4 * 32 * 32: 1}
    for size, each in layer.items():
        assert times[size] == 2 * DEPTH * each + clock.get(size, 0), found


def test_a_sampler_gathers_its_weights_before_its_loop_and_its_samples_after_it():
    net = Two()
    like = LAYOUT.like(state_of(net, jnp.zeros((1, 16))), KEY)

    def sample(key, state, batch):
        weights = {"params": averaged(state)["net"]}
        return jax.lax.fori_loop(0, TURNS, lambda _, x: net.apply(weights, x), batch["x"])

    split = NamedSharding(LAYOUT._mesh(), PartitionSpec(("data", "fsdp")))
    rows = jax.ShapeDtypeStruct((8, 16), jnp.float32, sharding=split)
    found = collectives(LAYOUT.apply(sample).lower(KEY, like, {"x": rows}))
    samples, weight = 4 * 8 * 16, 4 * 16 * 64
    assert found == {ALL_GATHER: [(weight, 2), (samples, 1)]}


def test_weights_that_are_too_large_to_be_gathered_at_once_are_lent(monkeypatch):
    monkeypatch.setattr(lent, "AT_ONCE", 255)
    told = []
    weights = {"kernel": jnp.ones((8, 8)), "bias": jnp.ones(8)}
    LAYOUT.apply(lambda w: told.append(lent.at_once(w)) or w)(weights)
    monkeypatch.setattr(lent, "AT_ONCE", 4 * 72)
    LAYOUT.apply(lambda w: told.append(lent.at_once(w)) or w)(weights)
    boxes, arrays = told
    assert isinstance(boxes["kernel"], lent.Lent) and not isinstance(boxes["bias"], lent.Lent)
    assert jax.tree.structure(arrays) == jax.tree.structure(weights)


def test_outside_a_mesh_that_has_parts_weights_are_as_they_were():
    weights = {"kernel": jnp.ones((2, 2))}
    told = [lent.lent(weights), lent.at_once(weights)]
    for layout in (Jit(), Mesh()):
        layout.apply(lambda x: told.append(lent.lent(weights)) or x)(jnp.ones(4))
    assert [tree["kernel"] is weights["kernel"] for tree in told] == 4 * [True]


def test_a_box_opens_for_linen_for_jax_and_for_an_index_and_has_both_derivatives():
    weights = {"kernel": jnp.arange(64.0).reshape(16, 4) / 64, "bias": jnp.ones(4)}
    x = jnp.ones((4, 16))

    def values(weights):
        boxes = lent.lent(weights)
        kernel = boxes["kernel"]
        y = nn.Dense(4).apply({"params": boxes}, x) + boxes["bias"]
        return y + x @ kernel + jnp.tanh(kernel)[:4] + kernel[3]

    def told(weights):
        back = jax.grad(lambda weights: jnp.square(values(weights)).sum())(weights)
        return values(weights), back, jax.jvp(values, (weights,), (weights,))[1]

    plain, boxed = jax.jit(told)(weights), LAYOUT.apply(told)(weights)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), plain, boxed)
