"""A convolution with few channels is Flax's, with its parameters and its start, in every form and with its gradient."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.thin import FEW_INPUTS, FEW_OUTPUTS, Conv

SIZES = {  # (inputs, outputs), by the form that they have on CPU
    "few inputs": (FEW_INPUTS, FEW_OUTPUTS + 1),
    "few outputs": (FEW_INPUTS + 1, FEW_OUTPUTS),
    "few of both": (1, 1),
    "many": (FEW_INPUTS + 1, FEW_OUTPUTS + 1),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_it_is_flax_s_convolution_with_its_start_and_its_gradient(sizes):
    inputs, outputs = sizes
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, inputs))

    @functools.partial(jax.jit, static_argnums=0)
    def both_ways(net):
        params = net.init(jax.random.key(1), x)
        y, back = jax.vjp(net.apply, params, x)
        return params, y, back(jnp.cos(y))

    found = both_ways(Conv(outputs))
    known = both_ways(nn.Conv(outputs, (3, 3)))
    jax.tree.map(np.testing.assert_array_equal, found[0], known[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-4), found, known)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_computes_in_the_type_that_it_is_told(dtype):
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3 * FEW_INPUTS))
    net = Conv(2, dtype=dtype)
    params = jax.jit(net.init)(jax.random.key(1), x)
    y = net.apply(params, x)
    assert y.dtype == dtype
    exact = Conv(2).apply(params, x)
    np.testing.assert_allclose(y.astype("float32"), exact, 0, 5e-2)


def test_a_gpu_convolves_as_ever():
    x = jnp.ones((1, 4, 4, 2))
    net = Conv(2)
    params = jax.jit(net.init)(jax.random.key(0), x)
    convolves = {}
    for platform in ("cpu", "cuda"):
        text = jax.jit(net.apply).trace(params, x).lower(lowering_platforms=(platform,))
        convolves[platform] = "convolution" in text.as_text()
    assert convolves == {"cpu": False, "cuda": True}
