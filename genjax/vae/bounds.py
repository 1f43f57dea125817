"""Bounds on log p(x) from importance weights, and the KL terms of a diagonal Gaussian posterior. All in nats.

log w = log p(x | z) + log p(z) - log q(z | x), z ~ q(z | x)
L_K   = E log (1/K) sum_k w_k <= L_{K+1} <= log p(x)                      (Burda et al. 2016, arXiv:1509.00519, eq. 8)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp


def kl_normal(mu: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL(N(mu, exp log_var) || N(0, 1)) per dimension, same shape as mu (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (jnp.square(mu) + jnp.exp(log_var) - 1.0 - log_var)


def log_normal(
    z: jax.Array, mu: jax.Array | float = 0.0, log_var: jax.Array | float = 0.0
) -> jax.Array:
    """log N(z; mu, exp log_var), summed over the last axis."""
    return -0.5 * jnp.sum(
        jnp.square(z - mu) * jnp.exp(-log_var) + log_var + math.log(2 * math.pi), -1
    )


def importance(log_w: jax.Array) -> jax.Array:
    """L_K of log weights [K, B] -> [B]; the mean over K = 1 is the ELBO."""
    return jax.nn.logsumexp(log_w, 0) - math.log(log_w.shape[0])


def importance_in_chunks(log_weights: Callable, k: int, chunk: int) -> jax.Array:
    """L_K with memory for `chunk` samples at a time: log_weights(i) -> [chunk, B] for chunk number i; returns [B].

    k is the number of samples, a multiple of chunk (else ValueError).
    """
    if k < 1 or k % chunk:
        raise ValueError(f"k = {k} samples do not divide into chunks of {chunk}")

    def add(total, i):
        return jnp.logaddexp(total, jax.nn.logsumexp(log_weights(i), 0)), None

    shape = jax.eval_shape(log_weights, jnp.zeros((), jnp.int32)).shape[1:]
    total, _ = jax.lax.scan(add, jnp.full(shape, -jnp.inf), jnp.arange(k // chunk))
    return total - math.log(k)
