"""A 3x3 convolution with the parameters of Flax's that is quick on CPU with few channels on one side too.

XLA's convolutions on CPU are made for many channels: with four on either side they do a fifth of the work a second. Few
outputs are one product for all nine taps, whose results are shifted and added up; few inputs are nine shifted maps side
by side, then one product.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

FEW_INPUTS, FEW_OUTPUTS = 4, 8  # channels, up to which another form is quicker
ALONE, AROUND = (0, 0), (1, 1)  # zeros before and after an axis


class Conv(nn.Module):
    """[B, H, W, C] -> [B, H, W, features], zeros around it; the name is Flax's, for parameters are named by it."""

    features: int
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = x.shape[-1]
        shape = (3, 3, inputs, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.features <= FEW_OUTPUTS:
            on_cpu = few_outputs
        elif inputs <= FEW_INPUTS:
            on_cpu = few_inputs
        else:
            # not within a choice of platforms: gradients of convolutions are slow in branches on CPU (jax#12868)
            return convolved(x, kernel) + bias
        forms = {"cpu": on_cpu, "default": convolved}
        y = jax.lax.platform_dependent(x, kernel, **forms)
        return y + bias


def convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [B, H, W, C] convolved with a kernel [3, 3, C, features]: [B, H, W, features]."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


def few_outputs(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same as `convolved`."""
    b, h, w, inputs = x.shape
    flat = kernel.transpose(2, 0, 1, 3)  # [C, 3, 3, features]
    flat = flat.reshape(inputs, -1)
    rows = x.reshape(-1, inputs)
    # every pixel's part in the nine pixels around it; in float32, for nine are added up
    parts = jnp.matmul(rows, flat, preferred_element_type=jnp.float32)
    parts = parts.reshape(b, h, w, 9, -1)
    parts = jnp.pad(parts, (ALONE, AROUND, AROUND, ALONE, ALONE))
    total = 0.0
    for tap in range(9):
        part = parts[:, :, :, tap]
        total = total + _shifted(part, tap)
    return total.astype(x.dtype)


def few_inputs(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same as `convolved`."""
    b, h, w, _ = x.shape
    around = jnp.pad(x, (ALONE, AROUND, AROUND, ALONE))
    maps = [_shifted(around, tap) for tap in range(9)]
    columns = jnp.concatenate(maps, -1)  # [B, H, W, 9 C]
    flat = kernel.reshape(columns.shape[-1], -1)
    rows = columns.reshape(-1, len(flat))
    y = rows @ flat
    return y.reshape(b, h, w, -1)


def _shifted(padded: jax.Array, tap: int) -> jax.Array:
    """[B, H + 2, W + 2, ...] -> [B, H, W, ...] as one of the nine numbers of a kernel sees it."""
    down, right = divmod(tap, 3)
    height = padded.shape[1] - 2
    width = padded.shape[2] - 2
    rows = padded[:, down : down + height]
    return rows[:, :, right : right + width]
