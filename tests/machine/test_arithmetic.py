"""Operations counted in a trace: by hand, against the nets' own count, and against XLA's of single convolutions."""

import dataclasses
from collections import Counter

import jax
import jax.numpy as jnp
import pytest

from genjax.machine import chips
from genjax.machine.arithmetic import Numbers, arithmetic, seconds
from genjax.machine.chips import RATES, Rates
from genjax.nets import DiT, TimeMLP, attention

F32, EXACT, BF16 = (
    Numbers("float32", False),
    Numbers("float32", True),
    Numbers("bfloat16", False),
)


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def total(fn, *args):
    return arithmetic(fn, *args).total()


def test_products_count_as_often_as_they_are_made():
    a, b = struct(5, 3, 4), struct(5, 4, 7)
    one = 2 * 5 * 3 * 7 * 4
    assert arithmetic(jnp.matmul, a, b) == {F32: one}
    assert total(jax.jit(jax.vmap(jnp.dot)), a, b) == one

    def looped(a, b):
        return jax.lax.fori_loop(0, 6, lambda i, x: x + a @ b, a @ b)

    assert total(looped, a, b) == 7 * one

    # what nobody uses is not made: neither here, nor within a function
    def wasteful(a, b):
        first, _ = jax.jit(lambda a, b: (a @ b, (a @ b) @ jnp.ones((7, 7))))(a, b)
        return first, (a @ b)[:0]

    assert total(lambda a, b: wasteful(a, b)[0], a, b) == one
    branches = [lambda a, b: a @ b, lambda a, b: 2.0 * (a @ b) @ jnp.ones((7, 7))]
    largest = one + 2 * 5 * 3 * 7 * 7
    assert total(lambda i, a, b: jax.lax.switch(i, branches, a, b)[0], 0, a, b) == largest


def test_types_and_precisions_are_told_apart():
    a, b = struct(3, 4), struct(4, 7)
    half = struct(4, 7, dtype="bfloat16")

    def all_kinds(a, b, half, whole):
        exact = jnp.matmul(a, b, precision="highest")
        return exact + a @ b, half.T @ half, whole.T @ whole, jnp.dot(a, half)

    found = arithmetic(all_kinds, a, b, half, struct(4, 7, dtype="int32"))
    one = 2 * 3 * 4 * 7
    assert found == {F32: 2 * one, EXACT: one, BF16: 2 * 7 * 7 * 4}


def xla(fn, *args):
    return jax.jit(fn).lower(*args).cost_analysis()["flops"]


@pytest.mark.parametrize(
    "how",
    [
        {"padding": "SAME"},
        {"padding": "VALID", "window_strides": (2, 3)},
        {"padding": ((2, 1), (0, 3)), "rhs_dilation": (2, 1)},
        {"padding": "SAME", "feature_group_count": 2},
    ],
    ids=str,
)
def test_convolutions_and_their_gradients_are_what_xla_counts(how):
    groups = how.get("feature_group_count", 1)
    image, kernel = struct(2, 9, 8, 4), struct(3, 2, 4 // groups, 6)

    def convolved(image, kernel):
        strides = how.get("window_strides", (1, 1))
        rest = {
            name: value
            for name, value in how.items()
            if name not in ("window_strides", "padding")
        }
        names = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            image, kernel, strides, how["padding"], dimension_numbers=names, **rest
        )

    assert total(convolved, image, kernel) == xla(convolved, image, kernel)
    out = jax.eval_shape(convolved, image, kernel)
    for i in (0, 1):

        def back(image, kernel, seen, i=i):
            return jax.vjp(convolved, image, kernel)[1](seen)[i]

        # the forward pass is in neither: nobody uses it
        assert total(back, image, kernel, out) == xla(back, image, kernel, out)


@pytest.mark.parametrize(
    "net",
    [DiT(patch=4, width=16, depth=3, heads=2), TimeMLP((32, 16))],
    ids=["dit", "mlp"],
)
def test_a_net_costs_what_it_says(net):
    shape = (8, 8, 1)
    x, time = struct(5, *shape), struct(5)

    def forward(params, x, time, net=net):
        return net.apply(params, x, time, None, shape)

    params = jax.eval_shape(
        lambda: net.init(jax.random.key(0), jnp.zeros(x.shape), jnp.zeros(5), None, shape)
    )
    wanted = 5 * net.flops(shape, shape)
    assert total(forward, params, x, time) == wanted
    if not isinstance(net, DiT):
        return
    looped = dataclasses.replace(net, scan=True)
    assert total(lambda *args: forward(*args, net=looped), params, x, time) == wanted

    def loss(params, x, time, net=net):
        return jnp.sum(forward(params, x, time, net=net))

    # remat makes the blocks' forward pass twice
    plain = total(jax.grad(loss), params, x, time)
    again = dataclasses.replace(net, remat=True)
    more = total(jax.grad(lambda *args: loss(*args, net=again)), params, x, time)
    assert plain + 0.7 * wanted < more < plain + wanted


def test_the_least_time_is_that_of_each_type_at_its_peak():
    rates = Rates(8.0, 4.0, 2.0)
    assert seconds(Counter({F32: 8, EXACT: 8, BF16: 8}), rates) == 2 + 4 + 1
    assert seconds(Counter({F32: 8, Numbers("float64", False): 1}), rates) is None


def test_a_device_has_its_published_peak():
    assert RATES["TPU v5 lite"].half == chips.V5E.flops
    # JAX sees each of these chips as two
    assert RATES["TPU7x"].half == chips.TPU7X.flops / 2
    assert RATES["NVIDIA H200"].half == 989.4e12
    for name, rates in RATES.items():
        assert 1e13 < rates.exact <= rates.rounded <= rates.half < 1e16, name
    assert "cpu" not in RATES


def test_of_attention_it_counts_what_accelerators_run_in_its_own_numbers(monkeypatch):
    # on a CPU this batch is taken in turns, whose scores are computed again, in float32
    monkeypatch.setattr(attention, "CACHED", 64)
    x = struct(64, 32, 2, 8, dtype="bfloat16")
    found = []
    for fn in (attention.attend, attention.whole):
        gradient = jax.grad(lambda *pair, fn=fn: jnp.sum(fn(*pair) ** 2), (0, 1, 2))
        both = arithmetic(fn, x, x, x), arithmetic(gradient, x, x, x)
        found.append(both)
    ours, definition = found
    assert ours == definition
