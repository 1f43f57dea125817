"""What JPEG leaves of a picture, by its own arithmetic: blocks of 8x8, cosines, tables, rounding (ITU-T T.81, 1992).

No bytes are written, since the entropy coder loses nothing. Colour keeps its resolution (4:4:4).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

SIDE = 8
EXACT = (
    jax.lax.Precision.HIGHEST
)  # accelerators would lose the bits that decide what is rounded to what
# T.81, tables K.1 and K.2: steps of the coefficients at quality 50
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
CHROMINANCE = np.array(
    [
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
    ],
    np.float32,
)
# JFIF: red, green, blue in [0, 255] -> luma, and blue and red less luma
TO_LUMA = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    np.float32,
)
TO_BYTES = np.array([0.0, 128.0, 128.0], np.float32)  # what is added to make bytes of them
TO_RGB = np.linalg.inv(TO_LUMA.astype(np.float64)).astype(np.float32)


def cosines() -> np.ndarray:
    """The orthonormal DCT-II of 8 values, [frequency, place] (T.81, A.3.3)."""
    frequency = np.arange(SIDE)[:, None]
    place = np.arange(SIDE)[None]
    basis = np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))
    basis *= np.sqrt(2.0 / SIDE)
    basis[0] *= np.sqrt(0.5)
    return basis.astype(np.float32)


def _tables(quality: jax.Array, base: np.ndarray) -> jax.Array:
    """The steps at a quality, as libjpeg scales them: whole numbers from 1 to 255."""
    coarse = 5000.0 / quality
    fine = 200.0 - 2.0 * quality
    scale = jnp.where(quality < 50.0, coarse, fine)  # percent
    steps = jnp.floor((base * jnp.floor(scale) + 50.0) / 100.0)
    return jnp.clip(steps, 1.0, 255.0)


def _rounded(channel: jax.Array, steps: jax.Array) -> jax.Array:
    """One channel [H, W] about 0, H and W divisible by 8, with its coefficients rounded to their steps."""
    h, w = channel.shape
    basis = cosines()
    blocks = channel.reshape(h // SIDE, SIDE, w // SIDE, SIDE)
    # y_uv = sum_ij C_ui C_vj x_ij
    y = jnp.einsum("ui,aibj,vj->aubv", basis, blocks, basis, precision=EXACT)
    table = steps[None, :, None, :]
    steps_taken = jnp.floor(jnp.abs(y) / table + 0.5)  # halves go away from 0, as in libjpeg
    y = jnp.sign(y) * steps_taken * table
    x = jnp.einsum("ui,aubv,vj->aibj", basis, y, basis, precision=EXACT)
    return x.reshape(h, w)


def jpeg(x: jax.Array, quality: jax.Array) -> jax.Array:
    """One picture [H, W, 1 or 3] in [0, 1] -> the same shape, in [0, 1]; quality 1 to 100 as libjpeg counts it."""
    h, w, channels = x.shape
    sticking_out = [(0, -h % SIDE), (0, -w % SIDE), (0, 0)]
    whole = jnp.pad(_byte(255.0 * x), sticking_out, mode="edge")
    colour = channels == 3
    middle = TO_BYTES[:channels]
    parts = _mixed(whole, TO_LUMA) if colour else whole
    parts = _byte(parts + middle) - 128.0  # coefficients are of what is about 0
    tables = [_tables(quality, LUMINANCE)]
    if colour:
        tables += 2 * [_tables(quality, CHROMINANCE)]
    kept = [_rounded(parts[..., c], table) for c, table in enumerate(tables)]
    # bytes again, before they become red, green and blue
    back = _byte(jnp.stack(kept, -1) + 128.0)
    if colour:
        back = _mixed(back - middle, TO_RGB)
    pixels = _byte(back) / 255.0
    return pixels[:h, :w]


def _mixed(x: jax.Array, matrix: np.ndarray) -> jax.Array:
    """Other channels [H, W, 3] of each pixel."""
    return jnp.matmul(x, matrix.T, precision=EXACT)


def _byte(x: jax.Array) -> jax.Array:
    """Whole numbers from 0 to 255."""
    return jnp.clip(jnp.round(x), 0.0, 255.0)
