"""Attention a few examples at a time is the attention of the whole batch, with its derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets import attention
from genjax.nets.attention import attend, examples_in_turn, in_turns, whole

B, N, L, HEADS, SIZE = 6, 5, 7, 6, 4


@pytest.fixture(autouse=True)
def small_cache(monkeypatch):
    monkeypatch.setattr(attention, "CACHED", 2 * HEADS * N * L)  # of two examples


def arrays(dtype="float32"):
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = [(B, N, HEADS, SIZE), (B, L, HEADS, SIZE), (B, L, HEADS, SIZE)]
    return [
        3 * jax.random.normal(key, shape, dtype)
        for key, shape in zip(keys, shapes, strict=True)
    ]


def doubled(q, k):
    return 2 * q, jnp.sin(k)


@pytest.mark.parametrize(("examples", "turn"), [(6, 2), (7, 1), (4, 2), (2, 2), (1, 1)])
def test_a_turn_has_a_divisor_of_the_batch_that_fits(examples, turn):
    assert examples_in_turn(examples, HEADS * N * L) == turn


def test_one_example_is_a_turn_even_where_its_scores_do_not_fit():
    assert examples_in_turn(6, 10 * HEADS * N * L) == 1


@pytest.mark.parametrize(
    ("dtype", "error"), [("float32", 1e-5), ("bfloat16", 5e-2), ("float16", 5e-3)]
)
def test_turns_give_what_the_whole_batch_gives(dtype, error):
    given = arrays(dtype)
    turns = jax.jit(functools.partial(in_turns, prepare=doubled))(*given)
    expected = whole(*given, prepare=doubled)
    assert turns.dtype == expected.dtype == dtype
    np.testing.assert_allclose(turns.astype("float32"), expected.astype("float32"), 0, error)


def test_turns_have_the_derivatives_of_the_whole_batch():
    given = arrays()
    moved = [jnp.cos(x) for x in given]

    def both_ways(f):
        f = functools.partial(f, prepare=doubled)
        out, back = jax.vjp(f, *given)
        return back(jnp.cos(out)), jax.jvp(f, given, moved)

    expected = jax.tree.leaves(both_ways(whole))
    for found, known in zip(jax.tree.leaves(both_ways(in_turns)), expected, strict=True):
        np.testing.assert_allclose(found, known, 1e-4, 1e-5)


def test_large_scores_do_not_overflow():
    q, k, v = arrays()
    given = (1e3 * q, 1e3 * k, v)
    np.testing.assert_allclose(in_turns(*given), whole(*given), 0, 1e-5)


def test_on_a_cpu_a_batch_that_does_not_fit_is_attended_to_in_turns_and_on_a_gpu_at_once():
    loops = {}
    for platform in ("cpu", "cuda"):
        lowered = jax.jit(attend).trace(*arrays()).lower(lowering_platforms=(platform,))
        loops[platform] = "while" in lowered.as_text()
    assert loops == {"cpu": True, "cuda": False}


def test_a_batch_that_fits_is_the_definition_itself(monkeypatch):
    monkeypatch.setattr(attention, "CACHED", B * HEADS * N * L)
    given = arrays()
    np.testing.assert_array_equal(in_turns(*given), whole(*given))


def test_turns_send_no_example_from_device_to_device():
    devices = jax.device_count()
    automatic = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((devices,), ("data",), automatic)
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x = jax.ShapeDtypeStruct((4 * devices, N, HEADS, SIZE), "float32", sharding=split)

    def gradients(*given):
        return jax.grad(lambda *a: jnp.sum(in_turns(*a) ** 2), (0, 1, 2))(*given)

    text = jax.jit(gradients, out_shardings=split).lower(x, x, x).compile().as_text()
    assert devices > 1 and "while" in text  # there are turns
    sent = [kind for kind in ("all-", "collective-", "reduce-scatter") if kind in text]
    assert not sent
