"""Our group norm is Flax's, with its parameters; a condition's scale and shift come after it; both forms agree."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets import norm
from genjax.nets.norm import GroupNorm

SHAPE = (3, 5, 4, 12)  # four groups: 8 do not divide 12


def arrays():
    keys = jax.random.split(jax.random.key(0), 5)
    x = 2.0 + 3.0 * jax.random.normal(keys[0], SHAPE)
    own = {
        name: jax.random.normal(key, (12,))
        for name, key in zip(("scale", "bias"), keys[1:3], strict=True)
    }
    scale, shift = (jax.random.normal(key, (3, 12)) for key in keys[3:])
    return x, {"params": own}, scale, shift


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("bfloat16", 5e-2)])
def test_it_is_flax_s_group_norm_with_its_parameters(dtype, error):
    x, own, *_ = arrays()
    known = nn.GroupNorm(4, dtype=dtype)
    found = GroupNorm(dtype)
    shapes = [jax.tree.map(jnp.shape, n.init(jax.random.key(0), x)) for n in (found, known)]
    assert shapes[0] == shapes[1]
    y = found.apply(own, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(
        y.astype("float32"), known.apply(own, x).astype("float32"), 0, error
    )


def test_a_condition_scales_and_shifts_what_is_normed():
    x, own, scale, shift = arrays()
    plain = GroupNorm().apply(own, x)
    told = GroupNorm().apply(own, x, scale, shift)
    expected = plain * (1.0 + scale[:, None, None]) + shift[:, None, None]
    np.testing.assert_allclose(told, expected, 1e-5, 1e-5)


def test_products_have_the_values_and_derivatives_of_the_sums():
    x, _, factor, summand = arrays()
    pixels = x.reshape(3, -1, 12)

    def both_ways(moments, affine):
        def f(pixels, factor, summand):
            mean, power = moments(pixels)
            return affine(pixels, factor * power, summand + mean)

        given = (pixels, factor, summand)
        out, back = jax.vjp(f, *given)
        return back(jnp.cos(out)), jax.jvp(f, given, tuple(map(jnp.sin, given)))

    sums = both_ways(norm._moments, norm._affine)
    products = both_ways(norm._moments_by_products, norm._affine_by_products)
    for found, known in zip(jax.tree.leaves(products), jax.tree.leaves(sums), strict=True):
        np.testing.assert_allclose(found, known, 1e-4, 1e-3)


def test_a_constant_map_stays_finite_with_its_gradient():
    _, own, *_ = arrays()
    x = jnp.full(SHAPE, 1e3)  # of which rounding makes a variance below zero

    def total(x):
        return jnp.sum(jnp.square(GroupNorm().apply(own, x)))

    value, slope = jax.value_and_grad(total)(x)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_on_a_cpu_sums_are_products_and_on_a_gpu_reductions():
    products = {}
    x, own, *_ = arrays()
    for platform in ("cpu", "cuda"):
        traced = jax.jit(lambda x: GroupNorm().apply(own, x)).trace(x)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        products[platform] = "dot_general" in text
    assert products == {"cpu": True, "cuda": False}
