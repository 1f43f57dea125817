"""Spectral normalisation: W / sigma(W), sigma the largest singular value (Miyato et al. 2018, arXiv:1802.05957).

sigma is found by power iteration from a vector u that is remembered in the collection "spectral" (algorithm 1). Where
the caller makes that collection mutable, once after each step of D, u goes `POWER` iterations on and is kept; other
calls take it as it is. A kernel [kh, kw, in, out] is the matrix [kh kw in, out].

The paper's one iteration a step lags behind weights that move: kernels start orthogonal, their singular values are all
the same, and Adam parts them by less than a power iteration can tell. In the first 60 steps of a small SNGAN at a
learning rate of 4e-4 sigma was up to 10 % too low with 3 iterations a call, 2 calls a step; with 64 a step it is up to
2 %, also at 1e-2 (tests/gan/test_gan.py holds both below 2.5 %). Twice as many halve that, and double what layouts
differ by: where singular values are close, u hangs on how the weights were rounded.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

SQUARINGS = 6
POWER = 2**SQUARINGS  # power iterations of a step
LEAST = 1e-12  # of sigma: a kernel of zeros stays one, and its gradient is finite
EXACT = jax.lax.Precision.HIGHEST  # squares of squares: what products round away would add up


def _unit(x: jax.Array) -> jax.Array:
    length = jnp.linalg.norm(x)
    return x / (length + 1e-12)  # a kernel of zeros has no direction


def iterate(w: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One power iteration on w [n, m] from u [m]: (u, v [n]), nearer to the first pair of singular vectors."""
    v = _unit(w @ u)
    return _unit(v @ w), v


def ahead(w: jax.Array, u: jax.Array) -> jax.Array:
    """u [m] after `POWER` power iterations on w [n, m], by squaring: (W' W)² is two of them, ((W' W)²)² four.

    A few products of [m, m], where as many iterations one by one would wait for each other.
    """
    gram = jnp.matmul(w.T, w, precision=EXACT)  # [m, m]
    for _ in range(SQUARINGS):
        # neither huge nor nothing after so many squares
        gram = gram / (jnp.linalg.norm(gram) + 1e-12)
        gram = jnp.matmul(gram, gram, precision=EXACT)
    return _unit(gram @ u)


def normalised(net: nn.Module, kernel: jax.Array, name: str = "u") -> jax.Array:
    """kernel / sigma as a part of `net`; u and v are constants for the gradient (ibid., sec. 2.1, eq. 12).

    A kernel whose sigma is below `LEAST` is divided by that.
    """
    w = kernel.reshape(-1, kernel.shape[-1])  # [kh kw in, out]
    fixed = jax.lax.stop_gradient(w)

    def first() -> jax.Array:
        # no random key is spent: a singular vector at right angles to this one is improbable
        return jnp.ones(w.shape[-1]) / w.shape[-1] ** 0.5

    memory = net.variable("spectral", name, first)
    u = memory.value
    # in training, and at the start, so that the first step sees a normalised net too; evaluation leaves no trace
    if net.is_mutable_collection("spectral"):
        u = ahead(fixed, u)
        memory.value = u
    u, v = iterate(fixed, u)
    sigma = v @ w @ u  # its gradient by w is the outer product of v and u
    return kernel / jnp.maximum(sigma, LEAST)


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
