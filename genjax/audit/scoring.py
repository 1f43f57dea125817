"""What a causal model says of a text that somebody else may have written: three numbers, none of them trained.

    log p       mean over t of log p(x_t | x_<t)
    log rank    mean over t of log (1 + how many tokens are likelier than x_t)             (GLTR, arXiv:1906.04043)
    curvature   sum over t of log p(x_t | x_<t) - mu_t, over the root of the sum of sigma_t²,
                mu_t and sigma_t² of log p(y | x_<t) over y ~ p(. | x_<t)      (Fast-DetectGPT, arXiv:2310.05130)

A text that the model itself wrote has a curvature of mean 0 and variance 1, nearly: each term has mean 0 given what is
before it. Sampling draws what is likely: text of a like model has a higher log p and a lower rank than people's.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

LEAST = 1e-12  # of a variance: a model that is sure of every token has none
NAMES = ("log_p", "log_rank", "curvature")


def statistics(logits: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
    """{name: [B]}, nats, of logits [B, T, V] of each token given those before it, and the texts x int [B, T]."""
    log_p = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(log_p, x[..., None], -1)  # [B, T, 1]
    # of equals none is likelier: the rank of the likeliest is 1
    likelier = jnp.sum(log_p > own, -1)
    log_rank = jnp.log1p(likelier.astype(jnp.float32))
    p = jnp.exp(log_p)
    # a token that cannot come adds nothing, and not 0 times infinity
    finite = jnp.where(p > 0.0, log_p, 0.0)
    mean = jnp.sum(p * finite, -1)  # mu_t, [B, T]
    deviations = finite - mean[..., None]
    squares = deviations**2
    variance = jnp.sum(p * squares, -1)  # sigma_t²
    own = own[..., 0]
    above = jnp.sum(own - mean, -1)
    # terms have mean 0 given what is before them, so that variances add up
    total = jnp.sum(variance, -1)
    spread = jnp.sqrt(jnp.maximum(total, LEAST))
    return {
        "log_p": jnp.mean(own, -1),
        "log_rank": jnp.mean(log_rank, -1),
        "curvature": above / spread,
    }
