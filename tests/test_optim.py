"""Optimisers: what is refused before a run starts, what weight decay is of, first steps by hand."""

import dataclasses
import math
from typing import get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.conditions import Cond
from genjax.config import digest, edit
from genjax.errors import UserError
from genjax.nets import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    DiT,
    Learned,
    R3Discriminator,
    R3Generator,
    StyleDiscriminator,
    StyleSynthesis,
    UNet,
)
from genjax.optim import (
    SGD,
    Adam,
    Constant,
    CosineDecay,
    Muon,
    Optimiser,
    RMSProp,
    StableDecay,
    kernels,
)
from genjax.vae.vae import VAE


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

    @jax.jit
    def updated(params):
        nothing = jax.tree.map(jnp.zeros_like, params)  # no gradient
        updates, _ = tx.update(nothing, tx.init(params), params)
        return optax.apply_updates(params, updates)

    left, _ = jax.tree_util.tree_flatten_with_path(updated(params))
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


X, OUT, TIME = jnp.ones((2, 8, 8, 1)), (8, 8, 1), jnp.ones(2)
TOLD = Cond(vector=jnp.ones((2, 4)), tokens=jnp.ones((2, 3, 5)))
SMALL = {"patch": 4, "width": 16, "depth": 1, "heads": 2}
LEARNED = DiT(**SMALL, positions=Learned())
EVERY = {  # nets that have all kinds of parameters among them, with what they are called with
    LEARNED: (X, TIME, TOLD, OUT),
    UNet((4,), blocks=1, patch=4, attention=()): (X, TIME, None, OUT),
    MLP((4,)): (X, None, (4,)),
    ConvEncoder(): (X, None, (4,)),
    ConvDecoder(): (jnp.ones((2, 3)), None, OUT),
    R3Generator((4, 8)): (jnp.ones((2, 3)), None, OUT),
    R3Discriminator((4, 8)): (X, None, (1,)),
    StyleSynthesis((4,)): (jnp.ones((2, 2, 3)), None, OUT),
    StyleDiscriminator((4,)): (X, None, (1,)),
}


def parts_of(net, *args):
    """(the parameters' shapes, {path: whether it is a kernel})."""
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), *args))["params"]
    told, _ = jax.tree_util.tree_flatten_with_path(kernels(shapes))
    named = {jax.tree_util.keystr(path, simple=True, separator="."): is_ for path, is_ in told}
    return shapes, named


def test_of_every_net_the_kernels_alone_are_kernels():
    ends = set()
    for net, args in EVERY.items():
        _, found = parts_of(net, *args)
        for path, is_kernel in found.items():
            name = path.split(".")[-1]
            assert is_kernel == (name == "kernel"), (net, path)
            ends.add(name)
    # what a matrix is by its shape, and is spared by its name alone, is among them
    assert ends > {"kernel", "bias", "places", "basis", "constant"}
    # and of parts that the nets above have as vectors: of layers that are stacked
    for name in ("bias", "scale", "q_scale", "embedding"):
        assert kernels({name: jnp.ones((3, 5))}) == {name: False}


def test_learned_positions_are_spared_and_those_of_before_are_what_they_were():
    before = dataclasses.replace(LEARNED, positions=Learned(decayed=True))
    assert digest(LEARNED) != digest(before)
    for net, name, left in ((LEARNED, "places", 1.0), (before, "positions", 1 - 0.1 * 0.2)):
        shapes, _ = parts_of(net, X, TIME, None, OUT)
        params = {"net": {name: jnp.ones(shapes[name].shape)}}
        for cfg in (Adam(0.1), SGD(0.1)):
            tx = dataclasses.replace(cfg, weight_decay=0.2, kernels_only=True)(10)
            zeros = jax.tree.map(jnp.zeros_like, params)
            updates, _ = tx.update(zeros, tx.init(params), params)
            np.testing.assert_allclose(1 + updates["net"][name], left, rtol=1e-6)


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


OTHERS = (SGD(0.1), RMSProp(0.1), Muon(0.1))


@pytest.mark.parametrize("cfg", OTHERS, ids=lambda cfg: type(cfg).__name__)
def test_the_others_refuse_what_adam_refuses(cfg):
    wrong = {
        "lr": (-1.0, "must be at least 0"),
        "momentum": (1.0, "must be below 1"),
        "weight_decay": (-0.1, "must be at least 0"),
        "warmup": (-1, "must be at least 0"),
        "clip": (0.0, "must be above 0"),
        "b2": (math.nan, "must be a finite number"),
        "eps": (0.0, "must be above 0"),
        "b1": (-0.1, "must be at least 0"),
        "rms": (0.0, "must be above 0"),
    }
    own = {field.name for field in dataclasses.fields(cfg)}
    for name in wrong.keys() & own:
        value, words = wrong[name]
        with pytest.raises(UserError) as refused:
            dataclasses.replace(cfg, **{name: value})(10)
        assert str(refused.value) == f"{type(cfg).__name__}: {name}={value} {words}."


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UserError, match="^SGD: nesterov=True looks ahead .*momentum above 0"):
        SGD(momentum=0.0, nesterov=True)(1)
    with pytest.raises(UserError, match=r"^Muon: fused\.qkv=0 must be at least 1"):
        Muon(fused=(("qkv", 0),))(1)


def path_of(cfg, steps=3, total=100):
    """The values of one weight w from 1 on, as `cfg` descends w² / 2, whose gradient is w."""
    tx, w = cfg(total), {"kernel": jnp.ones((1, 1))}

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(w, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w["kernel"][0, 0]

    _, found = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), length=steps))(w)
    return np.asarray(found)


def by_hand(step, memory=0.0, steps=3):
    """As `path_of`, of step(w, memory) -> (new w, new memory)."""
    w, found = 1.0, []
    for _ in range(steps):
        w, memory = step(w, memory)
        found.append(w)
    return np.array(found)


FIRST = {  # rate 0.1, momentum 0.9
    "sgd": (SGD(0.1), lambda w, m: (w - 0.1 * (0.9 * m + w), 0.9 * m + w)),
    "nesterov": (
        SGD(0.1, nesterov=True),
        lambda w, m: (w - 0.1 * (0.9 * (0.9 * m + w) + w), 0.9 * m + w),
    ),
    "no momentum": (SGD(0.1, momentum=0.0), lambda w, m: (0.9 * w, m)),
    "decay": (
        SGD(0.1, momentum=0.0, weight_decay=0.5),
        lambda w, m: (w - 0.1 * (w + 0.5 * w), m),
    ),
    "rmsprop": (
        RMSProp(0.1, b2=0.75, eps=0.5),
        lambda w, v: (
            w - 0.1 * w / (math.sqrt(0.75 * v + 0.25 * w * w) + 0.5),
            0.75 * v + 0.25 * w * w,
        ),
    ),
    # the singular value of a number is its size: of each step only the sign is left
    "adam": (Adam(0.1, b1=0.0, b2=0.0), lambda w, m: (w - 0.1, m)),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_steps_are_those_by_hand(name):
    cfg, step = FIRST[name]
    np.testing.assert_allclose(path_of(cfg), by_hand(step), rtol=1e-5)


def test_rmsprop_sums_up_scaled_gradients():
    plain = RMSProp(0.1, b2=0.0)  # every scaled gradient is 1
    np.testing.assert_allclose(path_of(plain), [0.9, 0.8, 0.7], rtol=1e-5)
    summed = edit(plain, {"momentum": 0.5})
    np.testing.assert_allclose(path_of(summed), [0.9, 0.75, 0.575], rtol=1e-5)


@pytest.mark.parametrize("decay", [Constant(), CosineDecay(), StableDecay()])
@pytest.mark.parametrize("cfg", OTHERS, ids=lambda cfg: type(cfg).__name__)
def test_warm_up_and_decay_are_those_of_adam(cfg, decay):
    when = {"lr": 1e-3, "warmup": 2, "decay": decay}
    # of an average of the moments nothing is left: steps are as long as the rate is
    alone = {name: 0.0 for name in ("momentum", "b1", "b2") if hasattr(cfg, name)}
    adam = Adam(b1=0.0, b2=0.0, **when)
    steps = -np.diff(path_of(dataclasses.replace(cfg, **when, **alone), 8, 8), prepend=1.0)
    rates = -np.diff(path_of(adam, 8, 8), prepend=1.0)
    assert rates[0] == 0.0 and rates[1] == pytest.approx(5e-4, rel=1e-3)
    seen = steps[1:] / rates[1:]
    np.testing.assert_allclose(seen, seen[0], rtol=2e-2)  # the gradient falls from 1 to 0.995


def orthogonal(x, rms):
    """Five Newton-Schulz steps in numpy, in float64, scaled."""
    y = np.asarray(x, np.float64) / np.linalg.norm(x)
    for _ in range(5):
        a = y @ y.T
        y = 3.4445 * y + (-4.7750 * a + 2.0315 * a @ a) @ y
    return y * rms * math.sqrt(max(x.shape))


def first_update(cfg, grads):
    """The first update of weights that are zero."""
    tx = cfg(10)

    @jax.jit
    def update(grads):
        zeros = jax.tree.map(jnp.zeros_like, grads)
        return tx.update(grads, tx.init(zeros), zeros)[0]

    return update(grads)


def test_an_update_of_muon_has_singular_values_near_one():
    x = np.random.default_rng(0).normal(size=(16, 24)).astype(np.float32)
    found = first_update(Muon(1.0, rms=None), {"kernel": x})["kernel"]
    scale = math.sqrt(24 / 16)  # √(out / in)
    u, s, vt = np.linalg.svd(-np.asarray(found) / scale)
    assert s.min() > 0.6 and s.max() < 1.3
    # only the singular values are other than the gradient's: as in numpy
    np.testing.assert_allclose(-found, orthogonal(x, scale / math.sqrt(24)), atol=1e-4)
    # the transposed gradient has the transposed update, but for the scale, 1 from many to few
    back = first_update(Muon(1.0, rms=None), {"kernel": x.T})["kernel"]
    np.testing.assert_allclose(back, found.T / scale, atol=1e-4)


def test_muon_takes_fused_kernels_apart_and_convolutions_as_matrices():
    draw = np.random.default_rng(1).normal
    parts = [draw(size=(8, 8)).astype(np.float32) for _ in range(3)]
    conv = draw(size=(3, 3, 4, 8)).astype(np.float32)
    grads = {
        "qkv": {"kernel": np.concatenate(parts, 1)},
        "film_0": {"kernel": np.concatenate(parts[:2], 1)},
        "whole": {"kernel": np.concatenate(parts, 1)},
        "Conv_0": {"kernel": conv},
        **{f"alone_{i}": {"kernel": part} for i, part in enumerate(parts)},
    }
    found = first_update(Muon(1.0), grads)
    alone = [found[f"alone_{i}"]["kernel"] for i in range(3)]
    np.testing.assert_allclose(found["qkv"]["kernel"], np.concatenate(alone, 1), atol=1e-6)
    np.testing.assert_allclose(
        found["film_0"]["kernel"], np.concatenate(alone[:2], 1), atol=1e-6
    )
    assert np.abs(found["whole"]["kernel"] - np.concatenate(alone, 1)).max() > 1e-2
    expected = orthogonal(conv.reshape(36, 8).T, 0.2).T.reshape(conv.shape)
    np.testing.assert_allclose(-found["Conv_0"]["kernel"], expected, atol=1e-4)
    # of one size with Adam's
    sizes = [float(jnp.sqrt(jnp.square(u).mean())) for u in jax.tree.leaves(found)]
    assert min(sizes) > 0.12 and max(sizes) < 0.26


@pytest.mark.parametrize(
    "net, ours",
    [
        (
            DiT(patch=4, width=16, depth=1, heads=2),
            {
                "condition.time_1",
                "modulation_0",
                "modulation",
                "block_0.attention.qkv",
                "block_0.attention.out",
                "block_0.mlp_0",
                "block_0.mlp_1",
            },
        ),
        (
            UNet((4,), blocks=1, patch=4, attention=()),
            {"condition.time_1"}
            | {
                f"{block}.{layer}"
                for block in ("down_0_0", "middle", "up_0_0")
                for layer in ("Conv_0", "Conv_1", "film")
            }
            | {"up_0_0.skip"},
        ),
    ],
    ids=["dit", "unet"],
)
def test_muon_has_the_hidden_kernels_and_adam_the_rest(net, ours):
    x, out = jnp.ones((2, 8, 8, 1)), (8, 8, 1)
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, jnp.ones(2), None, out))
    state = jax.eval_shape(Muon()(10).init, {"net": shapes["params"]})
    # what has one moment is Muon's, with two it is Adam's
    names = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, _ in jax.tree_util.tree_leaves_with_path(state)
    ]
    muon = {name.split(".net.")[1] for name in names if ".muon." in name and ".net." in name}
    adam = {name.split(".net.")[1] for name in names if ".adam." in name and ".net." in name}
    everything = jax.tree_util.tree_leaves_with_path(shapes["params"])
    assert muon == {f"{layer}.kernel" for layer in ours}
    assert not muon & adam and len(muon | adam) == len(everything)


def test_decay_of_kernels_is_of_kernels_whatever_the_optimiser():
    for cfg in OTHERS:
        left = shrunk(dataclasses.replace(cfg, weight_decay=0.2, kernels_only=True)(10))
        for name, value in left.items():
            decays = name in ("one_channel.kernel", "pointwise.kernel", "weight")
            np.testing.assert_allclose(value, 1 - 0.1 * 0.2 if decays else 1.0, rtol=1e-5)


@dataclasses.dataclass(frozen=True)
class Signs:
    """An optimiser of a user's own."""

    lr: float = 0.1

    def __call__(self, steps: int) -> optax.GradientTransformation:
        return optax.sign_sgd(self.lr)


def test_every_family_takes_any_optimiser():
    for cfg in (*OTHERS, Adam(), Signs()):
        assert edit(VAE(), {"optimiser": cfg}).optimiser == cfg
    with pytest.raises(UserError, match="optimiser: expected Adam | SGD .* Own"):
        edit(VAE(), {"optimiser": 1e-3})
    assert {SGD, Adam, RMSProp, Muon} < set(get_args(Optimiser))
