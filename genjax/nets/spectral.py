"""Spectral normalisation: W / sigma(W), sigma the largest singular value (Miyato et al. 2018, arXiv:1802.05957).

sigma is found by power iteration from a vector u that is remembered in the collection "spectral" (algorithm 1): a call
goes a few iterations on, and keeps them where the caller makes that collection mutable. A kernel [kh, kw, in, out] is
the matrix [kh kw in, out].
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

WARM = 50  # iterations at the start, so that the first step sees a normalised net too
ITERATIONS = 3  # of a call: after one, as in the paper, a quick optimiser leaves norms more than 0.001 off


def _unit(x: jax.Array) -> jax.Array:
    length = jnp.linalg.norm(x)
    return x / (length + 1e-12)  # a kernel of zeros has no direction


def iterate(w: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One power iteration on w [n, m] from u [m]: (u, v [n]), nearer to the first pair of singular vectors."""
    v = _unit(w @ u)
    return _unit(v @ w), v


def normalised(net: nn.Module, kernel: jax.Array, name: str = "u") -> jax.Array:
    """kernel / sigma as a part of `net`; u and v are constants for the gradient (ibid., sec. 2.1, eq. 12)."""
    w = kernel.reshape(-1, kernel.shape[-1])  # [kh kw in, out]
    fixed = jax.lax.stop_gradient(w)

    def first() -> jax.Array:
        # no random key is spent: a singular vector at right angles to this one is improbable
        u = jnp.ones(w.shape[-1]) / w.shape[-1] ** 0.5
        return jax.lax.fori_loop(0, WARM, lambda _, u: iterate(fixed, u)[0], u)

    memory = net.variable("spectral", name, first)
    u = memory.value
    for _ in range(ITERATIONS):
        u, v = iterate(fixed, u)
    if net.is_mutable_collection("spectral"):  # in training; evaluation leaves no trace
        memory.value = u
    sigma = v @ w @ u  # its gradient by w is the outer product of v and u
    return kernel / sigma


class SpectralDense(nn.Module):
    """A dense layer; `spectral` divides its kernel by its largest singular value."""

    features: int
    spectral: bool = True
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param(
            "kernel", nn.initializers.orthogonal(), (x.shape[-1], self.features)
        )
        if self.spectral:
            kernel = normalised(self, kernel)
        y = x @ kernel  # [B, features]
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,))


class SpectralConv(nn.Module):
    """A convolution with kernel size x size, same padding; `spectral` as for `SpectralDense`."""

    features: int
    size: int = 3
    spectral: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel: Any = self.param("kernel", nn.initializers.orthogonal(), shape)
        if self.spectral:
            kernel = normalised(self, kernel)
        axes = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)
        return y + self.param("bias", nn.initializers.zeros, (self.features,))
