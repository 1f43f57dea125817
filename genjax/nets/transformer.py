"""A transformer of tokens (arXiv:1706.03762) with rotary positions (arXiv:2104.09864), causal or seeing both sides.

    x <- x + attention(norm(x)),   x <- x + mlp(norm(x)),   logits = W norm(x)      (norms first: arXiv:2002.04745)

One number more than there are tokens is embedded: it begins a text for a causal net, and hides a token from one that
sees both sides. A causal net takes one token at a time too, beside the keys and values that it has kept of the others.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError, above
from genjax.nets import attention
from genjax.nets.blocks import (
    FEATURES,
    Parts,
    check_dropout,
    check_heads,
    check_sizes,
    dropout,
    folded,
    masks,
    rotate,
    rowwise,
    standardise,
    time_features,
    vector,
    xavier,
)

zeros = nn.initializers.zeros
NAME = "Transformer"  # as messages have it


class Kept(NamedTuple):
    """Keys and values of the tokens so far, of one layer."""

    keys: jax.Array  # [B, T, heads, d], turned
    values: jax.Array


Cache = tuple[Kept, ...]


def rotations(length: int, size: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """(cos, sin) [length, size / 2] of the angles by which the pairs of a head of `size` channels turn (eq. 15)."""
    # from 1 to nearly 1 / base rad a token: fast pairs tell near places, slow ones far ones
    speed = base ** -(np.arange(size // 2) / (size // 2))
    angles = np.arange(length)[:, None] * speed
    angles = angles.astype(np.float32)
    return np.cos(angles), np.sin(angles)


class SelfAttention(nn.Module):
    """Of x [B, N, D]; with what was kept, N = 1 and x is the token at the place `at`."""

    heads: int
    causal: bool

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        turn: tuple[jax.Array, jax.Array],
        kept: Kept | None = None,
        at: jax.Array | int = 0,
    ) -> tuple[jax.Array, Kept | None]:
        b, n, d = x.shape
        size = d // self.heads
        # flat: on CPU a Dense of several leading axes has a slow gradient
        parts = Parts(3, d, name="qkv")(x.reshape(b * n, d))
        q, k, v = (part.reshape(b, n, self.heads, size) for part in parts)
        # values stay as they are: distance decides who attends, not what is passed on
        q, k = rotate(q, *turn), rotate(k, *turn)
        if kept is None:
            h = attention.attend(q, k, v, causal=self.causal)
        else:
            # keys are kept turned by their own places, so that none is turned twice
            kept = _with(kept, k, v, at)
            h = _one(q, kept, at)
        out = nn.Dense(d, kernel_init=xavier, name="out")
        return rowwise(out, h.reshape(b, n, d)), kept


def _with(kept: Kept, k: jax.Array, v: jax.Array, at: jax.Array | int) -> Kept:
    """What was kept, with the token at the place `at`."""
    place = (0, at, 0, 0)
    keys = jax.lax.dynamic_update_slice(kept.keys, k, place)
    values = jax.lax.dynamic_update_slice(kept.values, v, place)
    return Kept(keys, values)


def _one(q: jax.Array, kept: Kept, at: jax.Array | int) -> jax.Array:
    """Attention of one query [B, 1, heads, d] to the places up to `at`."""
    scores = jnp.einsum("bnhd,blhd->bhnl", q, kept.keys) / np.sqrt(q.shape[-1])
    # places behind hold zeros, or what another text left there
    past = jnp.arange(kept.keys.shape[1]) <= at
    scores = jnp.where(past, scores, -jnp.inf)
    weights = jax.nn.softmax(scores)
    return jnp.einsum("bhnl,blhd->bnhd", weights, kept.values)


class Transformer(nn.Module):
    """Tokens [B, N] below V + 1 -> logits [B, N, V] float32; with a cache (logits [B, 1, V], cache)."""

    width: int = field(128, "channels of a token")
    depth: int = field(3, "blocks")
    heads: int = field(4, "attention heads")
    mlp_ratio: int = field(4, "hidden width of the MLP, in widths")
    base: float = field(
        10_000.0, "the slowest pair of channels turns about 1 / base rad a token"
    )
    dropout: float = field(
        0.0, "share of what a block adds that is hidden in training", added=True
    )

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        cond: Cond | None,
        vocabulary: int,
        causal: bool,
        time: jax.Array | None = None,
        cache: Cache | None = None,
        at: jax.Array | int = 0,
    ) -> jax.Array | tuple[jax.Array, Cache]:
        self._check()
        # V + 1: the beginning or the mask is the last
        embed = nn.Embed(vocabulary + 1, self.width, name="embed")
        x = embed(tokens) + self._told(time, cond)  # [B, N, width]
        if not causal:
            # rotations tell differences alone: of a text that is all masks every place would look the same
            start = nn.initializers.normal(0.02)
            x = x + self.param("places", start, (tokens.shape[1], self.width))
        # the places of all tokens, or of the one
        length = tokens.shape[1] if cache is None else cache[0].keys.shape[1]
        turn = rotations(length, self.width // self.heads, self.base)
        if cache is not None:
            # a traced place: one row [1, size / 2] of each table, taken by index
            turn = tuple(jnp.asarray(part)[at][None] for part in turn)
        after = []
        keys = masks(self)
        for i in range(self.depth):
            attend = SelfAttention(self.heads, causal, name=f"attention_{i}")
            kept = None if cache is None else cache[i]
            h, kept = attend(standardise(x), turn, kept, at)
            x = x + dropout(h, self.dropout, folded(keys, 2 * i))
            h = rowwise(lambda rows, i=i: self._mlp(rows, i), standardise(x))
            x = x + dropout(h, self.dropout, folded(keys, 2 * i + 1))
            after.append(kept)
        # all tokens alike at the start
        last = nn.Dense(vocabulary, kernel_init=zeros, name="last")
        logits = rowwise(last, standardise(x))
        return logits if cache is None else (logits, tuple(after))

    def _told(self, time: jax.Array | None, cond: Cond | None) -> jax.Array | float:
        """What is added to every token, [B, 1, width]: the time, and the condition's vector."""
        total = 0.0
        if time is not None:
            # two layers, as other nets embed a clock
            h = nn.Dense(self.width, name="time_0")(time_features(time, FEATURES))
            total = total + nn.Dense(self.width, name="time_1")(nn.gelu(h))[:, None]
        label = vector(NAME, cond)
        if label is not None:  # without a bias: "nothing is said" adds nothing
            linear = nn.Dense(self.width, use_bias=False, name="label")
            total = total + linear(label)[:, None]
        return total

    def _mlp(self, rows: jax.Array, i: int) -> jax.Array:
        hidden = nn.Dense(self.mlp_ratio * self.width, kernel_init=xavier, name=f"mlp_{i}_0")
        out = nn.Dense(self.width, kernel_init=xavier, name=f"mlp_{i}_1")
        return out(nn.gelu(hidden(rows)))

    def empty(self, examples: int, length: int) -> Cache:
        """A cache for texts of so many tokens, with nothing in it."""
        shape = (examples, length, self.heads, self.width // self.heads)
        nothing = Kept(jnp.zeros(shape), jnp.zeros(shape))
        # one for all layers: no array is ever changed in place
        return (nothing,) * self.depth

    def _check(self) -> None:
        """Raises UserError for sizes that do not fit."""
        names = ("width", "depth", "heads", "mlp_ratio")
        check_sizes(NAME, **{name: getattr(self, name) for name in names})
        above(1, "--algorithm.net.", base=self.base)
        check_dropout(NAME, self.dropout)
        check_heads(NAME, self.width, self.heads)
        size = self.width // self.heads
        if size % 2:
            raise UserError(
                f"{NAME}: heads of {size} channels do not make pairs that turn: use --algorithm.net.heads so that "
                "width / heads is even."
            )
