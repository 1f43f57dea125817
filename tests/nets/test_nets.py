"""Nets: shapes and what each layer computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Cond
from genjax.errors import UserError
from genjax.nets import MLP, ConvDecoder, ConvEncoder, GatedMLP, Relu
from genjax.nets.blocks import depth_to_space, join_maps, space_to_depth

KEY = jax.random.key(0)


def test_folding_pixels_is_undone_and_keeps_neighbours_together():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    folded = space_to_depth(x, 2)
    assert folded.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(folded[0, 1, 2].reshape(2, 2, 3), x[0, 2:4, 4:6])
    np.testing.assert_array_equal(depth_to_space(folded, 2), x)


def test_an_mlp_without_hidden_layers_is_affine():
    net, x = MLP(), jax.random.normal(KEY, (3, 4))
    f = jax.jit(lambda x: net.init_with_output(KEY, x, None, (2, 2))[0])
    assert f(x).shape == (3, 2, 2)
    zero = f(jnp.zeros_like(x))
    np.testing.assert_allclose(f(2 * x) - zero, 2 * (f(x) - zero), atol=1e-5)


def test_gated_layers_are_the_equation():
    net, x = GatedMLP((5,)), jax.random.normal(KEY, (3, 4))
    params = net.init(KEY, x, None, (2,))
    first, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    a, b = np.split(np.asarray(x @ first["kernel"] + first["bias"]), 2, -1)
    expected = a / (1 + np.exp(-b)) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(net.apply(params, x, None, (2,)), expected, rtol=1e-4, atol=1e-6)


def test_hidden_layers_apply_the_activation():
    net, x = MLP((7,), Relu()), jax.random.normal(KEY, (3, 4))
    p = net.init(KEY, x, None, (2,))
    hidden = np.maximum(
        x @ p["params"]["Dense_0"]["kernel"] + p["params"]["Dense_0"]["bias"], 0
    )
    expected = hidden @ p["params"]["Dense_1"]["kernel"] + p["params"]["Dense_1"]["bias"]
    np.testing.assert_allclose(net.apply(p, x, None, (2,)), expected, rtol=1e-4, atol=1e-6)


def test_with_a_skip_the_net_starts_linear():
    net, x = MLP((7,), Relu(), skip=True), jax.random.normal(KEY, (3, 4))
    params = net.init(KEY, x, None, (2,))
    np.testing.assert_allclose(
        net.apply(params, x, None, (2,)), x @ params["params"]["linear"]["kernel"], rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(28, 28, 1), (16, 24, 3)])
def test_convolutional_nets_keep_the_shapes_they_are_asked_for(shape):
    x, label = jnp.zeros((2, *shape)), Cond(jnp.eye(2))
    enc = lambda x: ConvEncoder((4, 8)).init_with_output(KEY, x, label, (6,))  # noqa: E731
    z, params = jax.eval_shape(enc, x)
    assert z.shape == (2, 6)
    y, _ = jax.eval_shape(
        lambda z: ConvDecoder((4, 8)).init_with_output(KEY, z, label, shape), z
    )
    assert y.shape == (2, *shape)
    assert (
        params["params"]["Conv_0"]["kernel"].shape[2] == 4 * shape[2] + 2
    )  # pixels of a patch and the label's maps


def test_a_convolution_moves_with_its_input():
    net = ConvEncoder((4,), blocks=0, patch=2)
    x = jnp.zeros((1, 12, 12, 1)).at[0, 4, 4].set(1.0)
    params = jax.jit(net.init, static_argnums=3)(KEY, x, None, (1,))

    @jax.jit
    def first(x):
        _, kept = net.apply(params, x, None, (1,), capture_intermediates=True)
        return kept["intermediates"]["Conv_0"]["__call__"][0]

    maps = [first(v) for v in (x, jnp.roll(x, 2, 1))]
    np.testing.assert_allclose(jnp.roll(maps[0], 1, 1), maps[1], atol=1e-6)


def test_sizes_that_cannot_be_folded_are_named():
    with pytest.raises(UserError, match=r"divisible by 8, got \(28, 28, 1\)"):
        ConvEncoder((4, 8, 16)).init(KEY, jnp.zeros((1, 28, 28, 1)), None, (2,))
    with pytest.raises(UserError, match="needs images"):
        ConvDecoder((4, 8)).init(KEY, jnp.zeros((1, 3)), None, (2,))


def test_any_width_has_a_group_norm():
    jax.eval_shape(
        lambda x: ConvEncoder((12,)).init(KEY, x, None, (2,)), jnp.zeros((1, 4, 4, 1))
    )


def test_labels_become_constant_maps():
    maps = join_maps("net", jnp.zeros((2, 3, 3, 1)), Cond(jnp.eye(2)))
    np.testing.assert_array_equal(maps[1, :, :, 2], np.ones((3, 3)))
    np.testing.assert_array_equal(maps[0, :, :, 2], np.zeros((3, 3)))
