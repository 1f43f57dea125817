"""Diffusion transformer, adaLN-zero (Peebles & Xie 2022, arXiv:2212.09748).

Patches are tokens; every block is attention and an MLP, each inside a norm whose shift, scale and gate are linear in an
embedding c of time and label, and start at zero, so that the net starts as the identity on tokens:

    x <- x + gate_1(c) attention(norm(x) (1 + scale_1(c)) + shift_1(c))
    x <- x + gate_2(c) mlp(norm(x) (1 + scale_2(c)) + shift_2(c))                                  (fig. 3, sec. 3.2)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets import flops as cost
from genjax.nets.blocks import (
    FEATURES,
    Attention,
    Condition,
    CrossAttention,
    beside,
    check_dropout,
    check_heads,
    check_images,
    check_sizes,
    compute_type,
    depth_to_space,
    dropout,
    folded,
    masks,
    rowwise,
    space_to_depth,
    standardise,
    xavier,
)
from genjax.nets.flops import NOTHING, Told

zeros = nn.initializers.zeros


@dataclasses.dataclass(frozen=True)
class Rope:
    """Axial rotary positions (arXiv:2104.09864; in 2-D arXiv:2403.13298, eq. 8): scores depend on differences only.

    Half of the pairs of a head turn with the row, half with the column, at d/4 geometric frequencies from 1 down.
    """

    base: float = field(100.0, "the slowest pair turns about 1 / base rad a patch")

    def embedding(self, net: nn.Module, h: int, w: int, width: int) -> jax.Array | float:
        """Nothing is added to the tokens."""
        return 0.0

    def turn(self, h: int, w: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(cos, sin) [h * w, size / 2] of the angles by which a head's pairs turn; `size`: channels of a head."""
        if size % 4:
            raise UserError(
                f"DiT: heads of {size} channels cannot turn with rows and columns: Rope needs width / heads divisible "
                "by 4, e.g. --algorithm.net.positions='Learned()'."
            )
        # [size / 4] rad a patch, from 1 down to about 1 / base
        speed = self.base ** -(np.arange(size // 4) / (size // 4))
        row, column = np.divmod(np.arange(h * w), w)
        down = row[:, None] * speed  # [h w, size / 4] rad
        across = column[:, None] * speed
        angles = np.concatenate([down, across], -1).astype(np.float32)
        return np.cos(angles), np.sin(angles)


@dataclasses.dataclass(frozen=True)
class Learned:
    """A learned vector for each patch, added to the tokens: for one image size only."""

    std: float = field(0.02, "standard deviation at the start")
    decayed: bool = field(
        False,
        "an optimiser's kernels_only takes them for a kernel, as before there was this field",
    )

    def embedding(self, net: nn.Module, h: int, w: int, width: int) -> jax.Array | float:
        """[h * w, width], a parameter of `net`."""
        # optimisers know what is no kernel by such names (optim.SPARED)
        name = "positions" if self.decayed else "places"
        return net.param(name, nn.initializers.normal(self.std), (h * w, width))

    def turn(self, h: int, w: int, size: int) -> None:
        """Nothing turns."""


@dataclasses.dataclass(frozen=True)
class Cross:
    """Patches attend to the sequence after each block, in layers of their own (arXiv:2112.10752, sec. 3.3)."""

    within = False


@dataclasses.dataclass(frozen=True)
class Context:
    """The sequence stands beside the patches in the blocks' own attention (arXiv:2212.09748, sec. 3.2, in-context)."""

    within = True


class Block(nn.Module):
    """One adaLN-zero block: tokens [B, N, D], modulation [B, 6 D] -> tokens."""

    heads: int
    mlp_ratio: int
    qk_norm: bool
    dtype: Any
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        modulation: jax.Array,
        turn: tuple[jax.Array, jax.Array] | None,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        # one for all tokens, each [B, 1, D]
        shift1, scale1, gate1, shift2, scale2, gate2 = jnp.split(modulation[:, None], 6, -1)
        attention = Attention(self.heads, self.qk_norm, self.dtype, name="attention")
        # norms and modulations in float32, what they feed in the type to compute in
        h = (standardise(x) * (1 + scale1) + shift1).astype(self.dtype)
        h = dropout(attention(h, turn), self.dropout, folded(keys, 0))
        x = x + gate1.astype(self.dtype) * h
        h = (standardise(x) * (1 + scale2) + shift2).astype(self.dtype)
        # the MLP looks at one token at a time
        h = dropout(rowwise(self.mlp, h), self.dropout, folded(keys, 1))
        return x + gate2.astype(self.dtype) * h

    def mlp(self, x: jax.Array) -> jax.Array:
        """Two layers with a GELU on [rows, D]."""
        width = x.shape[-1]
        h = nn.Dense(
            self.mlp_ratio * width, dtype=self.dtype, kernel_init=xavier, name="mlp_0"
        )(x)
        return nn.Dense(width, dtype=self.dtype, kernel_init=xavier, name="mlp_1")(nn.gelu(h))


class DiT(nn.Module):
    """(x [B, H, W, C], time [B] or [B, k], condition or None) -> [B, *out] float32, out = (H, W, any C)."""

    patch: int = field(4, "side of a patch [pixels]: a token")
    width: int = field(192, "channels of a token")
    depth: int = field(6, "blocks")
    heads: int = field(3, "attention heads")
    mlp_ratio: int = field(4, "hidden width of the MLP, in widths")
    positions: Rope | Learned = field(Rope(), "how a token knows its place")
    qk_norm: bool = field(True, "RMS norm of queries and keys")
    dtype: str = field(
        "float32", "type to compute in: float32, bfloat16, float16; parameters stay float32"
    )
    remat: bool = field(
        False,
        "recompute each block in the backward pass: less memory, more time",
        execution=True,
    )
    scan: bool = field(
        False,
        "one block in a loop: the same to rounding; many layers are compiled much sooner, on CPU a step is slower",
        execution=True,
    )
    frequency: float = field(
        1000.0, "highest frequency of the time features [rad per unit of time]"
    )

    dropout: float = field(
        0.0, "share of what a block adds that is hidden in training", added=True
    )
    words: Cross | Context = field(
        Cross(), "how a sequence is attended to, where one is told", added=True
    )

    @nn.compact
    def __call__(
        self, x: jax.Array, time: jax.Array, cond: Cond | None, out: tuple[int, ...]
    ) -> jax.Array:
        dtype = self._check(
            x.shape[1:], out
        )  # complains of a flag before XLA complains of a shape
        h, w = out[0] // self.patch, out[1] // self.patch
        patches = space_to_depth(beside(x, cond), self.patch)  # [B, h, w, patch² C]
        patches = patches.reshape(x.shape[0], h * w, -1)
        embed = nn.Dense(self.width, dtype=dtype, kernel_init=xavier, name="patches")
        tokens = rowwise(embed, patches)  # [B, h w, width]
        places = self.positions.embedding(self, h, w, self.width)
        tokens = tokens + jnp.asarray(places, dtype)
        # constants, shared by all blocks
        turn = self.positions.turn(h, w, self.width // self.heads)
        condition = Condition(self.width, self.frequency, name="condition")(time, cond)
        words = None if cond is None else cond.tokens
        if words is not None and self.words.within:
            tokens, turn = self._joined(tokens, turn, words, dtype)
            words = None  # the blocks themselves attend to them
        told = {"condition": condition, "turn": turn, "words": words, "keys": masks(self)}
        layer = functools.partial(self._layer, **told)
        if self.scan and not self.is_initializing():  # one tree of parameters for both
            tokens = self._looped(tokens, layer, dtype)
        else:
            for i in range(self.depth):
                tokens = layer(self._parts(dtype, i), tokens, i)
        tokens = tokens[:, : h * w]  # the patches alone
        modulation = nn.Dense(2 * self.width, kernel_init=zeros, name="modulation")(condition)
        shift, scale = jnp.split(modulation[:, None], 2, -1)
        tokens = standardise(tokens) * (1 + scale) + shift
        channels = self.patch**2 * out[2]
        last = nn.Dense(
            channels, kernel_init=zeros, name="last"
        )  # in float32, whatever the dtype
        patches = rowwise(last, tokens).reshape(-1, h, w, channels)
        return depth_to_space(patches, self.patch)  # [B, *out]

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        width = self.width
        n = math.prod(out[:2]) // self.patch**2  # tokens
        patch = self.patch**2
        ends = cost.dense(n, patch * shape[-1], width) + cost.dense(n, width, patch * out[-1])
        embedded = cost.condition(width, told, FEATURES) + cost.dense(1, width, 2 * width)
        layer = cost.dense(1, width, 6 * width) + cost.attention(n, width)
        layer += cost.chain(n, width, self.mlp_ratio * width, width)
        length, size = told.tokens
        if length and self.words.within:
            both = n + length
            layer = cost.dense(1, width, 6 * width) + cost.attention(both, width)
            layer += cost.chain(both, width, self.mlp_ratio * width, width)
            ends += cost.dense(length, size, width)
        elif length:  # of the words: embedded, then keys and values of them
            layer += cost.dense(n, width, 2 * width) + cost.scores(n, length, width)
            layer += cost.dense(length, size + 2 * width, width)
        return ends + embedded + self.depth * layer

    def _joined(
        self, tokens: jax.Array, turn: Any, words: jax.Array, dtype: Any
    ) -> tuple[jax.Array, Any]:
        """The patches [B, N, D] with the words [B, L, E] behind them, [B, N + L, D], and the turns of both."""
        length = words.shape[1]
        # without a bias: what is hidden says only where it would be
        embed = nn.Dense(
            self.width, use_bias=False, dtype=dtype, kernel_init=xavier, name="words"
        )
        place = self.param("word_places", nn.initializers.normal(0.02), (length, self.width))
        beyond = rowwise(embed, words) + jnp.asarray(place, dtype)
        if turn is not None:
            # words have no row and no column: they do not turn
            cos, sin = turn
            still = np.ones((length, cos.shape[1]), np.float32)
            turn = np.concatenate([cos, still]), np.concatenate([sin, 0 * still])
        return jnp.concatenate([tokens, beyond], 1), turn

    def _parts(self, dtype: Any, i: int | None) -> dict[str, nn.Module]:
        """What layer i is made of, by the names of its parameters without the number; of None apart from this net."""

        def place(kind: str) -> dict[str, Any]:
            # named, so that remat does not rename the parameters
            return {"parent": None} if i is None else {"name": f"{kind}_{i}"}

        # a block's activations are most of the memory of training; a loop computes its whole turn again
        block = nn.remat(Block) if self.remat and i is not None else Block
        shape = (self.heads, self.mlp_ratio, self.qk_norm, dtype, self.dropout)
        return {
            "modulation": nn.Dense(6 * self.width, kernel_init=zeros, **place("modulation")),
            "block": block(*shape, **place("block")),
            # a sequence is attended to after each block, by layers of its own
            "cross": CrossAttention(self.heads, dtype, **place("cross")),
        }

    def _layer(
        self,
        parts: dict[str, Callable],
        tokens: jax.Array,
        number: int | jax.Array,
        condition: jax.Array,
        turn: tuple[jax.Array, jax.Array] | None,
        words: jax.Array | None,
        keys: jax.Array | None,
    ) -> jax.Array:
        """tokens [B, N, D] -> [B, N, D] after one block, and attention to the words [B, L, E] where there are any."""
        modulation = parts["modulation"](condition)
        tokens = parts["block"](tokens, modulation, turn, folded(keys, number))
        if words is None:
            return tokens
        return tokens + parts["cross"](tokens, words)

    def _looped(self, tokens: jax.Array, layer: Callable, dtype: Any) -> jax.Array:
        """All layers as turns of one loop, whose parameters are stacked for it: in the state they are as they were."""
        params = self.variables["params"]
        modules = self._parts(dtype, None)
        kinds = [kind for kind in modules if f"{kind}_0" in params]
        rows = [{kind: params[f"{kind}_{i}"] for kind in kinds} for i in range(self.depth)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)  # [depth, ...]

        def turn_of(tokens: jax.Array, row: tuple[jax.Array, Any]) -> tuple[jax.Array, None]:
            number, own = row
            bound = {}
            for kind in kinds:
                bound[kind] = functools.partial(modules[kind].apply, {"params": own[kind]})
            return layer(bound, tokens, number), None

        if self.remat:
            # XLA cannot merge what two loops compute, so nothing is needed to keep it from that
            turn_of = jax.checkpoint(turn_of, prevent_cse=False)
        numbers = jnp.arange(self.depth)
        tokens, _ = jax.lax.scan(turn_of, tokens, (numbers, stacked))
        return tokens

    def _check(self, shape: tuple[int, ...], out: tuple[int, ...]) -> Any:
        """Raises UserError for sizes that do not fit; returns the type to compute in."""
        names = ("patch", "width", "depth", "heads", "mlp_ratio", "frequency")
        sizes = {name: getattr(self, name) for name in names}
        check_sizes("DiT", **sizes)
        check_images("DiT", shape, out)
        check_heads("DiT", self.width, self.heads)
        check_dropout("DiT", self.dropout)
        h, w = out[:2]
        if h % self.patch or w % self.patch:
            # the nearest below what was asked: 1 divides every size
            fit = max(n for n in range(1, self.patch + 1) if h % n == 0 and w % n == 0)
            raise UserError(
                f"DiT: image {h}x{w} does not divide into patches of {self.patch}: use a patch that divides both, "
                f"e.g. --algorithm.net.patch={fit}."
            )
        return compute_type("DiT", self.dtype)
