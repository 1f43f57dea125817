"""Denoisers: what they start as, what they depend on, that remat and bf16 change nothing else, bad sizes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Cond
from genjax.config import digest, edit, from_json, to_json
from genjax.errors import UserError
from genjax.nets import DiT, Learned, Rope, TimeMLP, UNet
from genjax.nets.blocks import Attention, dropout, rotate, time_features

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
NETS = {
    "dit": DiT(patch=4, width=16, depth=2, heads=2, frequency=4.0),
    "learned": DiT(
        patch=4, width=16, depth=1, heads=2, positions=Learned(), qk_norm=False, frequency=4.0
    ),
    "unet": UNet(widths=(8, 16), blocks=1, patch=2, attention=(2,), heads=2, frequency=4.0),
    "mlp": TimeMLP(hidden=(16, 16), waves=2, frequency=4.0),
}
x = jax.random.normal(jax.random.fold_in(KEY, 1), (3, *SHAPE))
time = jax.random.uniform(jax.random.fold_in(KEY, 2), (3, 2))
label = jnp.eye(3, 5)
each = pytest.mark.parametrize("net", NETS.values(), ids=NETS)
images = pytest.mark.parametrize("net", [NETS["dit"], NETS["unet"]], ids=["dit", "unet"])


def tell(label):
    return None if label is None else Cond(vector=label)


@functools.partial(jax.jit, static_argnums=(0, 5))
def apply(net, params, x, time, label, out=SHAPE):
    return net.apply({"params": params}, x, time, tell(label), out)


@functools.partial(jax.jit, static_argnums=(0, 1))
def start(net, out=SHAPE):
    return net.init(KEY, x, time, tell(label), out)["params"]


@functools.partial(jax.jit, static_argnums=0)
def fit(net, params):
    """The mean square distance of the output to x and its gradient."""
    return jax.value_and_grad(functools.partial(loss, net))(params)


def loss(net, params):
    return jnp.square(net.apply({"params": params}, x, time, tell(label), SHAPE) - x).mean()


def noisy(params):
    """Parameters after a disturbance: what starts at zero hides everything before it."""
    rng = np.random.default_rng(7)
    return jax.tree.map(
        lambda p: (p + 0.2 * rng.normal(size=p.shape)).astype(np.float32),
        jax.device_get(params),
    )


@each
def test_a_denoiser_starts_at_zero_and_its_last_layer_learns(net):
    params = start(net)
    np.testing.assert_array_equal(apply(net, params, x, time, label), np.zeros((3, *SHAPE)))
    _, grads = fit(net, params)
    assert np.abs(grads["last"]["kernel"]).max() > 1e-4
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@each
def test_after_a_disturbance_every_parameter_has_a_gradient(net):
    _, grads = fit(net, noisy(start(net)))
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.abs(g).max() > 0, jax.tree_util.keystr(path)


@images
def test_the_output_may_have_other_channels_than_the_input(net):
    y, params = jax.eval_shape(
        lambda x: net.init_with_output(KEY, x, time, tell(label), (8, 8, 2)),
        jnp.zeros((3, 8, 8, 5)),
    )
    assert y.shape == (3, 8, 8, 2) and y.dtype == jnp.float32
    assert params["params"]["patches"]["kernel"].shape[-2] == 5 * net.patch**2


def test_an_mlp_maps_any_shape_to_any_shape():
    net = TimeMLP((8,), waves=4)
    y, params = jax.eval_shape(
        lambda x: net.init_with_output(KEY, x, time, None, (2, 3)), jnp.zeros((3, 5))
    )
    assert y.shape == (3, 2, 3) and y.dtype == jnp.float32
    assert params["params"]["hidden_0"]["kernel"].shape == (
        5 * (1 + 2 * 4),
        8,
    )  # x and four frequencies


@each
def test_each_clock_and_the_label_change_the_output_and_no_label_is_a_row_of_zeros(net):
    params = noisy(start(net))
    y = apply(net, params, x, time, label)
    assert (
        np.abs(y - apply(net, params, x, time, jnp.roll(label, 1, 0))).max(axis=(1, 2, 3)).min()
        > 1e-3
    )
    for clock in range(2):
        assert (
            np.abs(y - apply(net, params, x, time.at[:, clock].add(0.5), label))
            .max(axis=(1, 2, 3))
            .min()
            > 1e-3
        )
    none = apply(net, params, x, time, None)
    np.testing.assert_allclose(
        apply(net, params, x, time, label.at[1].set(0.0))[1], none[1], atol=1e-5
    )
    assert np.abs(none - y).max() > 1e-3


@each
def test_examples_do_not_see_each_other(net):
    params = noisy(start(net))
    y = apply(net, params, x, time, label)
    np.testing.assert_allclose(
        apply(net, params, x[::-1], time[::-1], label[::-1])[::-1], y, rtol=1e-4, atol=1e-5
    )


@each
def test_one_clock_may_come_without_an_axis(net):
    params = noisy(
        jax.jit(lambda: net.init(KEY, x, time[:, 0], tell(label), SHAPE)["params"])()
    )
    one = apply(net, params, x, time[:, 0], label)
    np.testing.assert_array_equal(apply(net, params, x, time[:, :1], label), one)


@each
def test_forward_derivatives_are_finite_differences(net):
    f = functools.partial(
        lambda params, x, time: apply(net, params, x, time, label), noisy(start(net))
    )
    v, tau = (
        jax.random.normal(jax.random.fold_in(KEY, 3), x.shape),
        jnp.array([1.0, -0.5]) * jnp.ones_like(time),
    )
    for dx, dt in ((v, 0 * tau), (0 * v, tau), (v, tau)):
        _, slope = jax.jit(lambda dx, dt: jax.jvp(f, (x, time), (dx, dt)))(dx, dt)
        h = 3e-3
        expected = (f(x + h * dx, time + h * dt) - f(x - h * dx, time - h * dt)) / (2 * h)
        assert np.abs(slope).max() > 1e-2
        assert np.linalg.norm(slope - expected) < 1e-2 * np.linalg.norm(slope)


@images
def test_remat_recomputes_and_changes_nothing(net):
    again = dataclasses.replace(net, remat=True)
    params = noisy(start(net))
    assert jax.tree.structure(params) == jax.tree.structure(start(again))
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(same, fit(net, params), fit(again, params))
    traces = [str(jax.make_jaxpr(functools.partial(loss, n))(params)) for n in (net, again)]
    assert ["checkpoint" in t or "remat" in t for t in traces] == [False, True]


def drawn(net, cond=None):
    """Parameters of the net's shapes, none of them at a start; nothing is compiled for it."""
    shapes = jax.eval_shape(lambda: net.init(KEY, x, time, cond, SHAPE)["params"])
    rng = np.random.default_rng(7)
    return jax.tree.map(lambda s: 0.3 * rng.normal(size=s.shape).astype(np.float32), shapes)


def test_a_loop_over_layers_has_the_same_parameters_outputs_gradients_and_dropout():
    net = dataclasses.replace(NETS["dit"], dropout=0.3, qk_norm=False)
    looped = dataclasses.replace(net, scan=True, remat=True)
    sequence = jnp.ones((3, 4, 5)) * jnp.arange(4.0)[:, None]
    cond = Cond(vector=label, tokens=sequence)
    params = drawn(net, cond)
    jax.tree.map(np.testing.assert_array_equal, drawn(looped, cond), params)
    assert "cross_1" in params  # of every layer

    def distance(net, params):
        told = {"params": params, "dropout": {"keys": jax.random.split(KEY, 3)}}
        y = net.apply(told, x, time, cond, SHAPE)
        return jnp.square(y - x).mean(), y

    found, products = [], []
    for each in (net, looped):
        step = jax.grad(functools.partial(distance, each), has_aux=True)
        found.append(jax.jit(step)(params))
        program = str(jax.make_jaxpr(functools.partial(distance, each))(params))
        products.append(program.count("dot_general"))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), *found)
    assert products[1] < 0.7 * products[0]  # of two layers one is in the program
    assert digest(looped) == digest(net)  # so a run may go on either way


@images
def test_dropout_is_drawn_for_each_example_and_only_where_there_are_keys(net):
    dropping = dataclasses.replace(net, dropout=0.4)
    params = drawn(net)
    keys = jax.random.split(KEY, 3)

    def call(net, params, x, time, keys):
        told = (
            {"params": params}
            if keys is None
            else {"params": params, "dropout": {"keys": keys}}
        )
        return net.apply(told, x, time, None, SHAPE)

    drop = jax.jit(functools.partial(call, dropping))
    y = drop(params, x, time, keys)
    # wherever an example stands in its batch: its bits are its own
    places = [jnp.roll(a, 1, 0) for a in (x, time, keys)]
    np.testing.assert_allclose(drop(params, *places), jnp.roll(y, 1, 0), rtol=1e-4, atol=1e-5)
    other = drop(params, x, time, jnp.roll(keys, 1, 0))
    assert np.linalg.norm(other - y) > 0.05 * np.linalg.norm(y)

    def program(net, keys):
        return str(jax.make_jaxpr(lambda p: call(net, p, x, time, keys))(params))

    # without keys, and without dropout, no operation is added
    assert program(dropping, None) == program(net, None) == program(net, keys)
    assert program(dropping, keys) != program(net, keys)


def test_dropout_keeps_the_mean_and_hides_its_share():
    ones = jnp.ones((2, 40, 50))
    keys = jax.random.split(KEY, 2)
    y = np.asarray(dropout(ones, 0.2, keys))
    assert set(np.unique(y)) == {np.float32(0.0), np.float32(1.25)}
    # 4,000 coins: the standard deviation of their share is 0.0063
    assert np.mean(y == 0.0) == pytest.approx(0.2, abs=0.02)
    assert (y[0] != y[1]).any()
    assert dropout(ones, 0.2, None) is ones and dropout(ones, 0.0, keys) is ones
    assert dropout(ones.astype(jnp.bfloat16), 0.2, keys).dtype == jnp.bfloat16


@images
def test_bfloat16_is_near_float32_and_keeps_float32_outside(net):
    half = dataclasses.replace(net, dtype="bfloat16")
    assert {p.dtype for p in jax.tree.leaves(jax.eval_shape(lambda: start(half)))} == {
        jnp.dtype("float32")
    }
    params = noisy(start(net))
    y, near = apply(net, params, x, time, label), apply(half, params, x, time, label)
    assert near.dtype == jnp.float32
    assert 1e-5 < np.linalg.norm(near - y) / np.linalg.norm(y) < 0.05


def test_attention_in_float16_has_gradients_on_every_machine():
    tokens = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    half, whole = Attention(2, dtype=jnp.float16), Attention(2)
    params = noisy(jax.jit(half.init)(KEY, tokens)["params"])

    def gradient(net):
        return jax.jit(jax.grad(lambda p: net.apply({"params": p}, tokens).sum()))(params)

    def near(a, b):
        np.testing.assert_allclose(a, b, atol=1e-2 * (1 + np.abs(b).max()))

    jax.tree.map(near, gradient(half), gradient(whole))
    assert half.apply({"params": params}, tokens).dtype == jnp.float16


def test_attention_is_the_equation():
    net = Attention(2, qk_norm=False)
    tokens = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    params = noisy(jax.jit(net.init)(KEY, tokens)["params"])
    qkv = np.asarray(tokens @ params["qkv"]["kernel"] + params["qkv"]["bias"]).reshape(
        2, 5, 3, 2, 4
    )
    q, k, v = np.moveaxis(qkv, 2, 0)
    weights = np.exp(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(4))
    mixed = np.einsum("bhnm,bmhd->bnhd", weights / weights.sum(-1, keepdims=True), v).reshape(
        2, 5, 8
    )
    expected = mixed @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(
        jax.jit(net.apply)({"params": params}, tokens), expected, rtol=1e-4, atol=1e-4
    )


def test_with_qk_norm_attention_does_not_feel_the_size_of_queries_and_keys():
    tokens = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    for qk_norm in (True, False):
        net = Attention(2, qk_norm=qk_norm)
        params = jax.jit(net.init)(KEY, tokens)["params"]
        y = jax.jit(net.apply)({"params": params}, tokens)
        params["qkv"]["kernel"] = params["qkv"]["kernel"] * np.where(
            np.arange(24) < 16, 10.0, 1.0
        ).astype(np.float32)
        assert (
            np.allclose(jax.jit(net.apply)({"params": params}, tokens), y, atol=1e-3) == qk_norm
        )


def test_rotary_scores_depend_only_on_differences_of_rows_and_columns():
    h, w = 4, 5
    q, k = jax.random.normal(KEY, (2, 1, 1, 1, 8))
    turn = Rope().turn(h, w, 8)
    turned = [rotate(jnp.broadcast_to(u, (1, h * w, 1, 8)), *turn)[0, :, 0] for u in (q, k)]
    scores = np.asarray(turned[0] @ turned[1].T).reshape(h, w, h, w)
    by_shift = {}
    for a, b, c, d in np.ndindex(h, w, h, w):
        by_shift.setdefault((a - c, b - d), []).append(scores[a, b, c, d])
    assert max(np.ptp(s) for s in by_shift.values()) < 1e-4
    means = np.sort([np.mean(s) for s in by_shift.values()])
    assert np.diff(means).min() > 1e-6  # and no two shifts have the same score
    np.testing.assert_allclose(scores[0, 0, 0, 0], (q * k).sum(), rtol=1e-5)


@pytest.mark.parametrize("positions", [Rope(), Learned(std=1.0)])
def test_a_transformer_knows_where_its_patches_are(positions):
    net = dataclasses.replace(NETS["dit"], positions=positions)
    params = noisy(start(net))
    swapped = jnp.roll(apply(net, params, jnp.roll(x, 4, 1), time, label), -4, 1)
    assert np.abs(swapped - apply(net, params, x, time, label)).max() > 1e-3


def test_patches_return_to_their_places():
    net, shape = DiT(patch=2, width=12, depth=1, heads=1), (4, 6, 3)
    image = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    params = jax.jit(lambda: net.init(KEY, image, time, None, shape)["params"])()
    for layer in ("patches", "last"):
        params[layer]["kernel"] = np.eye(12, dtype=np.float32)
    y = apply(net, params, image, time, None, shape)
    for i, j in np.ndindex(2, 3):
        patch = image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        flat = patch.reshape(3, 12)
        flat = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
        expected = flat.reshape(patch.shape)
        np.testing.assert_allclose(
            y[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2], expected, atol=1e-5
        )


def test_a_unet_attends_where_it_is_told_and_joins_its_skips():
    params = start(NETS["unet"])
    attending = {name for name, p in params.items() if "attention" in p}
    assert attending == {"down_1_0", "middle", "up_1_0"}
    assert params["up_0_0"]["Conv_0"]["kernel"].shape == (3, 3, 16, 8)
    assert params["up_1_0"]["Conv_0"]["kernel"].shape == (3, 3, 32, 16)


def test_a_unet_sees_fine_detail_through_its_skips_and_the_whole_image_through_its_depth():
    net, params = NETS["unet"], noisy(start(NETS["unet"]))
    change = apply(net, params, x.at[:, 0, 0].add(1.0), time, label) - apply(
        net, params, x, time, label
    )
    assert np.abs(change[:, -1, -1]).min() > 1e-4
    params["up_1"] = jax.tree.map(
        jnp.zeros_like, params["up_1"]
    )  # cuts the path through the lower level
    change = apply(net, params, x.at[:, 0, 0].add(1.0), time, label) - apply(
        net, params, x, time, label
    )
    assert np.abs(change[:, 0, 0]).min() > 1e-4


def test_time_features_are_sines_of_geometric_frequencies():
    t = jnp.array([0.0, 0.3, -1.7])
    features = np.asarray(time_features(t, 6, 100.0))
    angles = np.asarray(t)[:, None] * np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(
        features, np.concatenate([np.cos(angles), np.sin(angles)], 1), atol=1e-4
    )
    both = np.asarray(time_features(jnp.stack([t, 2 * t], 1), 6, 100.0))
    np.testing.assert_allclose(
        both, np.concatenate([features, time_features(2 * t, 6, 100.0)], 1), atol=1e-6
    )


def test_nets_are_config_values():
    for net in NETS.values():
        assert from_json(to_json(net)) == net
    assert edit(DiT(), {"positions.base": 50.0}).positions == Rope(50.0)
    assert edit(DiT(), {"positions": Learned()}).positions == Learned()


BAD = {
    "patch": (
        DiT(patch=5),
        (28, 28, 1),
        r"image 28x28 does not divide into patches of 5: .*--algorithm.net.patch=4",
    ),
    "heads": (
        DiT(width=16, heads=3),
        SHAPE,
        "DiT: 16 channels do not divide into 3 heads: .*net.heads=2",
    ),
    "rope": (
        DiT(width=12, heads=2),
        SHAPE,
        "heads of 6 channels cannot turn .*divisible by 4, .*Learned",
    ),
    "depth": (DiT(depth=0), SHAPE, "DiT: depth=0 must be at least 1"),
    "dit dtype": (
        DiT(dtype="float8"),
        SHAPE,
        "DiT: dtype='float8' .*float32, bfloat16 or float16",
    ),
    "dit plane": (
        DiT(),
        (2,),
        r"DiT maps images \[H, W, C\] .*got \(2,\) -> \(2,\): use TimeMLP",
    ),
    "unit": (
        UNet((8, 8, 8)),
        (28, 28, 1),
        r"UNet: image 28x28 does not divide by 8 = patch 2 x 2\^2 for 3 widths",
    ),
    "unet heads": (
        UNet((8, 10), attention=(2,)),
        SHAPE,
        "UNet: 10 channels do not divide into 4 heads: .*heads=5",
    ),
    "no widths": (UNet(()), SHAPE, "UNet: widths=0 must be at least 1"),
    "blocks": (UNet(blocks=0), SHAPE, "UNet: blocks=0 must be at least 1"),
    "unet attention": (
        UNet((8, 8)),
        (32, 32, 1),
        r"UNet: no map is 7 high, they are \[16, 8\]",
    ),
    "unet dtype": (UNet(dtype="int8", attention=()), SHAPE, "UNet: dtype='int8'"),
    "unet plane": (UNet(), (2,), "UNet maps images"),
    "dit dropout": (DiT(dropout=1.0), SHAPE, r"^DiT: dropout=1\.0 must be below 1\."),
    "unet dropout": (
        UNet(dropout=-0.1, attention=()),
        SHAPE,
        "UNet: dropout=-0.1 must be at least 0",
    ),
    "hidden": (TimeMLP(hidden=()), SHAPE, "TimeMLP: hidden=0 must be at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_sizes_are_named_before_anything_is_compiled(case):
    net, shape, message = BAD[case]
    with pytest.raises(UserError, match=message) as caught:
        jax.eval_shape(lambda: net.init(KEY, jnp.zeros((2, *shape)), jnp.zeros(2), None, shape))
    assert "\n" not in str(caught.value)


def test_another_size_of_the_output_is_an_error():
    with pytest.raises(UserError, match="same H and W"):
        jax.eval_shape(lambda: DiT().init(KEY, x, time, None, (4, 8, 1)))
