"""Bounds on log p(x) from importance weights, and the KL terms of a diagonal Gaussian posterior. All in nats.

log w = log p(x | z) + log p(z) - log q(z | x), z ~ q(z | x)
L_K   = E log (1/K) sum_k w_k <= L_{K+1} <= log p(x)                      (Burda et al. 2016, arXiv:1509.00519, eq. 8)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

Number = jax.Array | float


def kl_normal(mu: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL(N(mu, exp log_var) || N(0, 1)) per dimension, same shape as mu (Kingma & Welling 2014, appendix B)."""
    var = jnp.exp(log_var)
    # KL = (mu² + var - 1 - log var) / 2
    moment = jnp.square(mu) + var  # E z² under the posterior
    return 0.5 * (moment - 1.0 - log_var)


def log_normal(z: jax.Array, mu: Number = 0.0, log_var: Number = 0.0) -> jax.Array:
    """log N(z; mu, exp log_var), summed over the last axis."""
    precision = jnp.exp(-log_var)
    miss = jnp.square(z - mu)
    distance = miss * precision
    # Per dimension -2 log N = (z - mu)² / var + log var + log 2 pi.
    constant = math.log(2 * math.pi)
    deviance = distance + log_var + constant
    total = jnp.sum(deviance, -1)
    return -0.5 * total


def importance(log_w: jax.Array) -> jax.Array:
    """L_K of log weights [K, B] -> [B]; the mean over K = 1 is the ELBO."""
    k = log_w.shape[0]
    # The weights themselves may be far below the smallest float.
    log_sum = jax.nn.logsumexp(log_w, 0)
    return log_sum - math.log(k)


def importance_in_chunks(log_weights: Callable, k: int, chunk: int) -> jax.Array:
    """L_K with memory for `chunk` samples at a time: log_weights(i) -> [chunk, B] for chunk number i; returns [B].

    k is the number of samples, a multiple of chunk (else ValueError).
    """
    if k < 1 or k % chunk:
        raise ValueError(f"k = {k} samples do not divide into chunks of {chunk}")

    def add(total, i):
        log_w = log_weights(i)  # [chunk, B]
        of_chunk = jax.nn.logsumexp(log_w, 0)
        return jnp.logaddexp(total, of_chunk), None

    # The batch's shape is known without computing a chunk.
    first = jnp.zeros((), jnp.int32)
    example = jax.eval_shape(log_weights, first)
    _, *shape = example.shape
    nothing = jnp.full(shape, -jnp.inf)  # log 0
    chunks = jnp.arange(k // chunk)  # one after the other: memory is that of one
    log_sum, _ = jax.lax.scan(add, nothing, chunks)  # [B]
    return log_sum - math.log(k)
