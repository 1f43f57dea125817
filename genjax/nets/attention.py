"""Attention of queries to keys and values: softmax(q k' / sqrt(d)) v (arXiv:1706.03762, eq. 1), whole and in turns.

`whole` is the definition and what accelerators run. On CPU a matrix of scores that does not fit into the cache passes
through memory half a dozen times; `in_turns` takes as many examples at a time as fit, and computes their scores again
for the gradient rather than keep them (arXiv:2205.14135 does so on a GPU).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

CACHED = 2**19  # scores that a turn may have: 2 MiB of float32
SIDE_BY_SIDE = 3  # groups of heads in a turn, at most

# (queries, keys) as they come from their maps -> as they are multiplied: norms, rotations, types
Prepare = Callable[[jax.Array, jax.Array], Sequence[jax.Array]]


def unchanged(*pair: jax.Array) -> Sequence[jax.Array]:
    """Nothing is done to queries and keys."""
    return pair


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    prepare: Prepare = unchanged,
    causal: bool = False,
) -> jax.Array:
    """[B, N, heads, d] for q of that shape and k, v [B, L, heads, d], in the type of v.

    causal: query i sees the keys 0 to i alone, N = L.
    """
    at_once = functools.partial(whole, prepare=prepare, causal=causal)
    few = functools.partial(in_turns, prepare=prepare, causal=causal)
    # chosen where the program is compiled: one for a TPU may be made on a CPU
    return jax.lax.platform_dependent(q, k, v, cpu=few, default=at_once)


def whole(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    prepare: Prepare = unchanged,
    causal: bool = False,
) -> jax.Array:
    """As JAX has it, the whole batch at once."""
    q, k = prepare(q, k)
    # no implementation is named: XLA's, which has forward derivatives (cuDNN's has none) and any head size
    if v.dtype != jnp.float16:
        return jax.nn.dot_product_attention(q, k, v, is_causal=causal)
    # of float16 JAX asks for a kind of product that only GPUs have, and fails when compiled for others
    wide = [x.astype(jnp.float32) for x in (q, k, v)]
    return jax.nn.dot_product_attention(*wide, is_causal=causal).astype(v.dtype)


def in_turns(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    prepare: Prepare = unchanged,
    causal: bool = False,
) -> jax.Array:
    """The same to rounding, a few examples at a time; `whole` where all fit."""
    b, n, heads, _ = q.shape
    # a batch that lies over several devices stays there: each has some of its own in every turn
    devices = math.gcd(b, jax.device_count())
    own = b // devices
    few = examples_in_turn(own, heads * n * k.shape[1])
    if few == own:
        return whole(q, k, v, prepare, causal)
    turns = own // few

    def turn(taken: tuple[jax.Array, ...]) -> jax.Array:
        q, k, v = taken
        q, k = prepare(q, k)
        return _products(q, k, v, causal)

    # again for the gradient: scores that were kept would pass through memory
    turn = jax.checkpoint(turn)
    arrays = tuple(_turned(x, devices, turns) for x in (q, k, v))
    h = jax.lax.map(turn, arrays)  # [turns, devices * few, N, heads, d]
    apart = h.reshape(turns, devices, few, *q.shape[1:])
    h = apart.swapaxes(0, 1)
    return h.reshape(q.shape).astype(v.dtype)


def examples_in_turn(examples: int, scores: int) -> int:
    """How many of so many examples have their `scores` each in the cache; a divisor, at least one."""
    fitting = max(1, CACHED // scores)
    return _divisor(examples, fitting)


def _divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is no larger than `most`."""
    candidates = range(1, min(number, most) + 1)
    return max(n for n in candidates if number % n == 0)


def _turned(x: jax.Array, devices: int, turns: int) -> jax.Array:
    """[B, ...] -> [turns, B / turns, ...], in each turn some examples of every device."""
    rest = x.shape[1:]
    apart = x.reshape(devices, turns, -1, *rest)
    apart = apart.swapaxes(0, 1)
    return apart.reshape(turns, -1, *rest)


def _products(q: jax.Array, k: jax.Array, v: jax.Array, causal: bool = False) -> jax.Array:
    """softmax(q k' / sqrt(d)) v of a few examples, float32."""
    b, n, heads, d = q.shape
    # XLA computes a product of many small matrices on one core, so there are several such products
    groups = _divisor(heads, SIDE_BY_SIDE)
    q = _by_heads(q, groups)
    k = _by_heads(k, groups)
    v = _by_heads(v, groups)
    parts = [_softmax_product(q[i], k[i], v[i], causal) for i in range(groups)]
    h = jnp.stack(parts).reshape(groups, b, -1, n, d)
    h = h.transpose(1, 3, 0, 2, 4)
    return h.reshape(b, n, heads, d)


def _by_heads(x: jax.Array, groups: int) -> jax.Array:
    """[b, N, heads, d] -> [groups, b heads / groups, N, d] float32."""
    b, n, heads, d = x.shape
    x = x.astype(jnp.float32)
    # each group has heads of every example: examples of one device alone would have to be sent about
    x = x.reshape(b, n, groups, heads // groups, d)
    x = x.transpose(2, 0, 3, 1, 4)
    return x.reshape(groups, -1, n, d)


def _softmax_product(
    q: jax.Array, k: jax.Array, v: jax.Array, causal: bool = False
) -> jax.Array:
    """Of [M, N, d]: exp(scores) v over exp(scores) 1, so that autodiff needs no sum over a row of scores either."""
    q = q / math.sqrt(q.shape[-1])
    scores = jnp.einsum("mnd,mld->mnl", q, k)
    if causal:
        past = np.tri(*scores.shape[1:], dtype=bool)  # a constant of the program
        scores = jnp.where(past, scores, -jnp.inf)
    largest = scores.max(-1, keepdims=True)
    largest = jax.lax.stop_gradient(largest)  # it cancels
    weights = jnp.exp(scores - largest)
    # a product with ones: sums over more than 32 numbers are slow in XLA on CPU
    ones = jnp.ones((*k.shape[:2], 1))
    total = jnp.einsum("mnl,mld->mnd", weights, ones)
    return jnp.einsum("mnl,mld->mnd", weights, v) / total
