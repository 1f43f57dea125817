"""Small pieces that nets are made of: activations, folding pixels into channels, time and label, attention, checks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
from genjax.errors import UserError, at_least, below
from genjax.nets import attention

FEATURES = 128  # sines and cosines of a clock
xavier = nn.initializers.xavier_uniform()  # of the transformers' kernels (arXiv:2212.09748)


# classes rather than functions: a command line spells them, Relu(), and a config's text shows them so
@dataclasses.dataclass(frozen=True)
class Identity:
    """f(x) = x: a net of such layers is linear."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


@dataclasses.dataclass(frozen=True)
class Relu:
    """max(x, 0)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x)


@dataclasses.dataclass(frozen=True)
class Gelu:
    """x Phi(x), tanh form (arXiv:1606.08415)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.gelu(x)


@dataclasses.dataclass(frozen=True)
class Silu:
    """x sigmoid(x) (arXiv:1702.03118)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.silu(x)


@dataclasses.dataclass(frozen=True)
class Tanh:
    """tanh(x)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x)


# a closed union: the command line can say what else there is
Activation = Identity | Relu | Gelu | Silu | Tanh


def join(x: jax.Array, cond: Cond | None) -> jax.Array:
    """Flattens x to [B, D] and appends all that is told, flat: a net of dense layers takes any condition."""
    flat = x.reshape(x.shape[0], -1)
    rows = [flat]
    for part in cond or ():  # vector, tokens, maps
        if part is None:
            continue
        row = part.reshape(part.shape[0], -1)
        rows.append(row.astype(flat.dtype))
    if len(rows) == 1:  # nothing is told: no operation is added
        return flat
    return jnp.concatenate(rows, -1)


def join_maps(net: str, x: jax.Array, cond: Cond | None) -> jax.Array:
    """Appends the condition to [B, H, W, C] as maps: a vector as constant ones; UserError for a sequence."""
    label = vector(net, cond)
    if label is None:
        return x
    maps = label[:, None, None, :].astype(x.dtype)  # [B, 1, 1, D]
    shape = (*x.shape[:3], label.shape[-1])
    maps = jnp.broadcast_to(maps, shape)  # [B, H, W, D]
    return jnp.concatenate([x, maps], -1)


def beside(x: jax.Array, cond: Cond | None) -> jax.Array:
    """The input [B, H, W, C] with the condition's maps, if it has any, as further channels."""
    if cond is None or cond.maps is None:
        return x
    maps = cond.maps.astype(x.dtype)
    return jnp.concatenate([x, maps], -1)


def vector(net: str, cond: Cond | None) -> jax.Array | None:
    """The condition's vector [B, D], or None; UserError for a sequence, to which such a net cannot attend."""
    if cond is None:
        return None
    if cond.tokens is not None:  # better to stop than to train a net that is not told
        raise UserError(
            f"{net} cannot attend to a sequence, which --algorithm.condition gives: use a DiT, or a net of dense "
            "layers, which takes it flat."
        )
    return cond.vector


def space_to_depth(x: jax.Array, patch: int) -> jax.Array:
    """[B, H, W, C] -> [B, H / patch, W / patch, patch * patch * C]."""
    b, h, w, c = x.shape
    rows = h // patch
    columns = w // patch
    x = x.reshape(b, rows, patch, columns, patch, c)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # [B, rows, columns, patch, patch, C]
    return x.reshape(b, rows, columns, patch * patch * c)


def depth_to_space(x: jax.Array, patch: int) -> jax.Array:
    """[B, H, W, patch * patch * C] -> [B, patch * H, patch * W, C]: the inverse of `space_to_depth`."""
    b, h, w, c = x.shape
    channels = c // (patch * patch)
    x = x.reshape(b, h, w, patch, patch, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # [B, H, patch, W, patch, C]
    return x.reshape(b, h * patch, w * patch, channels)


def time_features(time: jax.Array, size: int, frequency: float = 1000.0) -> jax.Array:
    """Sines and cosines of k clocks: [B] or [B, k] -> [B, k * size] float32 (arXiv:1706.03762, sec. 3.5).

    The size / 2 frequencies are geometric from 1 to `frequency` [rad per unit of time]: at 1000, two times that differ
    by 0.001 are told apart, and clocks within [-2, 2] are told apart by the lowest.
    """
    time = time.astype(jnp.float32)
    time = time.reshape(time.shape[0], -1)  # [B, k]
    # a constant of the program, so numpy's: nothing is left to compute on the device
    speeds = np.geomspace(1.0, frequency, size // 2, dtype=np.float32)
    angles = time[..., None] * speeds  # [B, k, size / 2]
    waves = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
    return waves.reshape(time.shape[0], -1)


def standardise(x: jax.Array) -> jax.Array:
    """(x - mean) / std over the last axis, in float32: layer norm without a learned scale (arXiv:1607.06450)."""
    x = x.astype(jnp.float32)
    # two passes: mean(x²) - mean(x)² would lose digits where the mean is large
    x = x - x.mean(-1, keepdims=True)
    variance = jnp.square(x).mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(variance + 1e-6)


def rowwise(layer: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """`layer` on [rows, D]: on CPU a Dense of an array with several leading axes has a slow gradient."""
    rows = x.reshape(-1, x.shape[-1])  # [rows, D]
    y = layer(rows)
    return y.reshape(*x.shape[:-1], -1)


def masks(net: Any) -> jax.Array | None:
    """The examples' keys [B] that dropout draws from, of the collection "dropout"; None: nothing is dropped.

    Not of linen's own random streams, which know a batch and no example: what is hidden would depend on the layout.
    """
    if not net.dropout:
        return None
    return net.get_variable("dropout", "keys")  # None in evaluation and sampling


def folded(keys: jax.Array | None, place: int | jax.Array) -> jax.Array | None:
    """Keys [B] of their own for one place of a net."""
    if keys is None:
        return None
    return jax.vmap(jax.random.fold_in, (0, None))(keys, place)


def dropout(x: jax.Array, share: float, keys: jax.Array | None) -> jax.Array:
    """x [B, ...] with a share of its values 0 and the others scaled up (arXiv:1207.0580), by keys [B]; None: x."""
    if keys is None or not share:  # no operation is added
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - share, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1.0 - share), 0.0).astype(x.dtype)


class Condition(nn.Module):
    """Time [B] or [B, k] and the condition's vector -> [B, width] float32: silu(MLP(time features) + W vector)."""

    width: int
    frequency: float = 1000.0
    size: int = FEATURES

    @nn.compact
    def __call__(self, time: jax.Array, cond: Cond | None) -> jax.Array:
        features = time_features(time, self.size, self.frequency)  # [B, k size]
        h = nn.silu(nn.Dense(self.width, name="time_0")(features))
        h = nn.Dense(self.width, name="time_1")(h)
        label = None if cond is None else cond.vector
        if label is not None:  # without a bias: a row of zeros, "no label", is the same as None
            embed = nn.Dense(self.width, use_bias=False, name="label")
            h = h + embed(label.astype(h.dtype))
        return nn.silu(h)


class Parts(nn.Module):
    """A Dense whose output [rows, parts * width] comes as `parts` arrays [rows, width]: each has its own product.

    On CPU faster in training than one product whose output is cut: gradients are not padded and added up.
    """

    parts: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        total = self.parts * self.width
        # one parameter for all parts, as a Dense has it: its start sees the whole fan-out
        kernel = self.param("kernel", xavier, (x.shape[-1], total))
        bias = self.param("bias", nn.initializers.zeros, (total,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        kernels = jnp.split(kernel, self.parts, -1)
        biases = jnp.split(bias, self.parts)
        return [x @ k + b for k, b in zip(kernels, biases, strict=True)]


class Attention(nn.Module):
    """Self-attention [B, N, D] -> [B, N, D] (arXiv:1706.03762, eq. 1); softmax and norms in float32.

    `qk_norm`: queries and keys are divided by their root mean square and scaled, so that the logits stay bounded
    (arXiv:2302.05442, sec. 3.1). `turn`: (cos, sin) [N, D / heads / 2], the rotations of `dit.Rope`, or None.
    """

    heads: int
    qk_norm: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, turn: tuple[jax.Array, jax.Array] | None = None
    ) -> jax.Array:
        b, n, d = x.shape
        size = d // self.heads
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=xavier)
        q, k, v = (
            a.reshape(b, n, self.heads, size)
            for a in Parts(3, d, self.dtype, name="qkv")(x.reshape(b * n, d))
        )  # each [B, N, heads, D / heads]
        h = attention.attend(q, k, v, self._prepared(size, turn))
        return rowwise(dense(d, name="out"), h.reshape(b, n, d))

    def _prepared(
        self, size: int, turn: tuple[jax.Array, jax.Array] | None
    ) -> attention.Prepare:
        """Norms and rotations of queries and keys."""
        # parameters are made here: what attends may run in a loop
        scales = None
        if self.qk_norm:
            ones = nn.initializers.ones
            scales = [self.param(name, ones, (size,)) for name in ("q_scale", "k_scale")]

        def prepare(*pair: jax.Array) -> list[jax.Array]:
            if scales is not None:
                pair = [_rms(x) * scale for x, scale in zip(pair, scales, strict=True)]
            if turn is not None:
                pair = [rotate(x, *turn) for x in pair]
            return [x.astype(self.dtype) for x in pair]  # norm and rotation are in float32

        return prepare


class CrossAttention(nn.Module):
    """Attention of x [B, N, D] to a sequence [B, L, E] -> [B, N, D]; starts at zero, so that the net starts without."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, sequence: jax.Array) -> jax.Array:
        b, n, d = x.shape
        length = sequence.shape[1]
        size = d // self.heads
        dense = functools.partial(nn.Dense, d, dtype=self.dtype, kernel_init=xavier)
        place = self.param("places", nn.initializers.normal(0.02), (length, d))
        # without a bias before the places: a hidden sequence is all zeros, and says only where its tokens would be
        embed = dense(use_bias=False, name="embed")
        words = rowwise(embed, sequence) + place  # [B, L, D]
        q = rowwise(dense(name="q"), x)
        k = rowwise(dense(name="k"), words)
        v = rowwise(dense(name="v"), words)
        q = q.reshape(b, n, self.heads, size)
        k = k.reshape(b, length, self.heads, size)
        v = v.reshape(b, length, self.heads, size)
        h = attention.attend(q, k, v)  # [B, N, heads, D / heads]
        last = nn.Dense(d, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="out")
        return rowwise(last, h.reshape(b, n, d))


def _rms(x: jax.Array) -> jax.Array:
    # RMS norm (arXiv:1910.07467), statistics in float32 whatever the net computes in
    x = x.astype(jnp.float32)
    power = jnp.square(x).mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(power + 1e-6)


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Turns the pairs (x_i, x_{i + d/2}) of [B, N, heads, d] by the angles whose cos and sin are [N, d / 2]."""
    a, b = jnp.split(x.astype(jnp.float32), 2, -1)
    cos = cos[:, None]  # [N, 1, d / 2]: one angle for all heads
    sin = sin[:, None]
    turned = [a * cos - b * sin, a * sin + b * cos]  # arXiv:2104.09864, eq. 34
    return jnp.concatenate(turned, -1)


def compute_type(net: str, dtype: str) -> Any:
    """The type that a net computes in; UserError for any but float32, bfloat16 and float16."""
    if dtype not in ("float32", "bfloat16", "float16"):
        raise UserError(
            f"{net}: dtype={dtype!r} is not a type to compute in: use float32, bfloat16 or float16, "
            "e.g. --algorithm.net.dtype=bfloat16."
        )
    return jnp.dtype(dtype)


def check_sizes(net: str, **sizes: float) -> None:
    """Raises UserError for the first of `sizes` below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise UserError(
                f"{net}: {name}={size} must be at least 1, e.g. --algorithm.net.{name}=1."
            )


def check_dropout(net: str, share: float) -> None:
    """Raises UserError unless a share of values is in [0, 1)."""
    where = f"{net}: "
    at_least(0, where, dropout=share)
    below(1, where, dropout=share)  # at 1 nothing is left


def no_dropout(model: str, net: Any) -> None:
    """Raises UserError for a net with dropout, for a model that gives it no keys to draw from."""
    share = getattr(net, "dropout", 0.0)
    if share:
        raise UserError(
            f"{model} does not train with dropout, and its net has dropout={share}: use --algorithm.net.dropout=0, or "
            "the algorithm Diffusion."
        )


def check_heads(net: str, width: int, heads: int) -> None:
    """Raises UserError unless `width` channels divide into `heads`."""
    if width % heads:
        fit = [n for n in range(1, width + 1) if width % n == 0]  # never empty: 1 divides all
        near = min(fit, key=lambda n: abs(n - heads))
        raise UserError(
            f"{net}: {width} channels do not divide into {heads} heads: use e.g. --algorithm.net.heads={near}."
        )


def check_images(net: str, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    """Raises UserError unless shape = (H, W, C) and out = (H, W, any C)."""
    images = len(shape) == 3 and len(out) == 3
    same_size = tuple(shape[:2]) == tuple(out[:2])
    if not images or not same_size:
        raise UserError(
            f"{net} maps images [H, W, C] to images of the same H and W, got {tuple(shape)} -> {tuple(out)}: "
            "use TimeMLP for other shapes, e.g. --algorithm.net='TimeMLP()'."
        )
