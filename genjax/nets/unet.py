"""U-Net for denoising: DDPM's (Ho et al. 2020, arXiv:2006.11239, app. B) with the residual block of ADM.

The block (Dhariwal & Nichol 2021, arXiv:2105.05233, sec. 3.1) scales and shifts its second group norm by an embedding c
of time and label: h <- conv(silu(norm(conv(silu(norm(x)))) (1 + scale(c)) + shift(c))), added to x; the second
convolution starts at zero. A told sequence is attended to after the blocks of chosen sizes, as latent diffusion's U-Net
attends to a sentence (Rombach et al. 2022, arXiv:2112.10752, sec. 3.3). Pixels are folded into channels first
(`patch`), and sizes change by folding and unfolding: convolutions with few channels at full size, and transposed
convolutions, are slow.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

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
    space_to_depth,
)
from genjax.nets.flops import NOTHING, Told
from genjax.nets.norm import GroupNorm
from genjax.nets.thin import Conv

zeros = nn.initializers.zeros


class Residual(nn.Module):
    """Maps [B, H, W, C] and condition [B, D] -> [B, H, W, width]; then attention over the pixels if `heads`."""

    width: int
    heads: int
    dtype: Any
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array, keys: jax.Array | None = None
    ) -> jax.Array:
        h = nn.silu(GroupNorm(self.dtype)(x))
        h = nn.Conv(self.width, (3, 3), dtype=self.dtype)(h)
        film = nn.Dense(2 * self.width, dtype=self.dtype, name="film")(condition)
        scale, shift = jnp.split(film, 2, -1)  # [B, width] each
        h = nn.silu(GroupNorm(self.dtype)(h, scale, shift))
        h = dropout(h, self.dropout, keys)
        # zeros: a block starts as its skip
        h = nn.Conv(self.width, (3, 3), dtype=self.dtype, kernel_init=zeros)(h)
        if x.shape != h.shape:
            x = nn.Conv(self.width, (1, 1), dtype=self.dtype, name="skip")(x)
        x = x + h
        return self.attend(x) if self.heads else x

    def attend(self, x: jax.Array) -> jax.Array:
        """x + attention(norm(x)) over the H * W pixels."""
        tokens = GroupNorm(self.dtype)(x)
        tokens = tokens.reshape(x.shape[0], -1, x.shape[-1])  # [B, H W, C]
        attention = Attention(self.heads, dtype=self.dtype, name="attention")
        return x + attention(tokens).reshape(x.shape)


class UNet(nn.Module):
    """(x [B, H, W, C], time [B] or [B, k], condition or None) -> [B, *out] float32, out = (H, W, any C)."""

    widths: tuple[int, ...] = field(
        (64, 128), "channels of each level, each at half the size of the one before"
    )
    blocks: int = field(2, "residual blocks a level, down and up")
    patch: int = field(2, "side of the patch folded into channels first [pixels]")
    attention: tuple[int, ...] = field(
        (7,), "heights of the maps [patches] with self-attention"
    )
    heads: int = field(4, "attention heads")
    dtype: str = field(
        "float32", "type to compute in: float32, bfloat16, float16; parameters stay float32"
    )
    remat: bool = field(
        False,
        "recompute each block in the backward pass: less memory, more time",
        execution=True,
    )
    frequency: float = field(
        1000.0, "highest frequency of the time features [rad per unit of time]"
    )

    dropout: float = field(
        0.0,
        "share of a block's values that is hidden in training, before its second convolution",
        added=True,
    )
    words: tuple[int, ...] = field(
        (), "heights of the maps [patches] that attend to a told sequence", added=True
    )

    @nn.compact
    def __call__(
        self, x: jax.Array, time: jax.Array, cond: Cond | None, out: tuple[int, ...]
    ) -> jax.Array:
        dtype = self._check(x.shape[1:], out)
        words = self._sequence(cond)
        condition = Condition(4 * self.widths[0], self.frequency, name="condition")(time, cond)
        # keys of the examples, folded with the number of each block
        keys = masks(self)
        numbers = itertools.count()

        def block(x: jax.Array, width: int, name: str) -> jax.Array:
            x = self.block(x, condition, width, name, folded(keys, next(numbers)))
            if words is None or x.shape[1] not in self.words:
                return x
            return self._listen(x, words, f"words_{name}")

        patches = space_to_depth(beside(x, cond), self.patch)  # [B, h, w, patch² C]
        x = Conv(self.widths[0], dtype=dtype, name="patches")(patches)
        skips = []  # of every block on the way down, taken from the end on the way up
        for level, width in enumerate(self.widths):
            if level:  # half the size, nothing thrown away
                x = space_to_depth(x, 2)
                x = nn.Conv(width, (1, 1), dtype=dtype, name=f"down_{level}")(x)
            for i in range(self.blocks):
                x = block(x, width, f"down_{level}_{i}")
                skips.append(x)
        x = block(x, self.widths[-1], "middle")
        for level, width in reversed(list(enumerate(self.widths))):
            for i in range(self.blocks):
                both = jnp.concatenate([x, skips.pop()], -1)
                x = block(both, width, f"up_{level}_{i}")
            if level:  # four times the next width: unfolding takes it back
                wide = 4 * self.widths[level - 1]
                x = nn.Conv(wide, (1, 1), dtype=dtype, name=f"up_{level}")(x)
                x = depth_to_space(x, 2)  # [B, 2 h, 2 w, wide / 4]
        x = nn.silu(GroupNorm()(x))  # the end in float32, whatever the dtype
        channels = self.patch**2 * out[2]
        x = Conv(channels, zeros, name="last")(x)
        return depth_to_space(x, self.patch)

    def block(
        self,
        x: jax.Array,
        condition: jax.Array,
        width: int,
        name: str,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """A residual block, with attention at the chosen sizes; named, so that remat does not rename the parameters."""
        heads = self.heads if x.shape[1] in self.attention else 0  # attention costs pixels²
        block = nn.remat(Residual) if self.remat else Residual
        dtype = jnp.dtype(self.dtype)
        return block(width, heads, dtype, self.dropout, name=name)(x, condition, keys)

    def _listen(self, x: jax.Array, words: jax.Array, name: str) -> jax.Array:
        """x + attention(norm(x)) of the H * W pixels to the words [B, L, E]."""
        dtype = jnp.dtype(self.dtype)
        tokens = GroupNorm(dtype)(x)
        tokens = tokens.reshape(x.shape[0], -1, x.shape[-1])  # [B, H W, C]
        heard = CrossAttention(self.heads, dtype, name=name)(tokens, words)
        return x + heard.reshape(x.shape)

    def _sequence(self, cond: Cond | None) -> jax.Array | None:
        """The told sequence, or None; UserError where no map attends to one."""
        if cond is None or cond.tokens is None:
            return None
        if not self.words:
            raise UserError(
                "UNet: no map attends to the sequence that --algorithm.condition gives: name heights of maps, "
                "e.g. words=(8,), or use a DiT."
            )
        return cond.tokens

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        first = self.widths[0]
        patch = self.patch**2
        h, w = out[0] // self.patch, out[1] // self.patch
        ends = cost.convolution(h * w, 3, patch * shape[-1], first)
        ends += cost.convolution(h * w, 3, first, patch * out[-1])
        total = ends + cost.condition(4 * first, told, FEATURES)
        skips, x = [], first  # channels of what is kept on the way down, and of the map
        for level, width in enumerate(self.widths):
            side = (h >> level, w >> level)
            if level:
                total += cost.dense(math.prod(side), 4 * x, width)
                x = width
            for _ in range(self.blocks):
                total += self._block_flops(side, x, width, told)
                x = width
                skips.append(x)
        total += self._block_flops(side, x, x, told)
        for level, width in reversed(list(enumerate(self.widths))):
            side = (h >> level, w >> level)
            for _ in range(self.blocks):
                total += self._block_flops(side, x + skips.pop(), width, told)
                x = width
            if level:
                x = self.widths[level - 1]
                total += cost.dense(math.prod(side), width, 4 * x)
        return total

    def _block_flops(self, side: tuple[int, int], inputs: int, width: int, told: Told) -> int:
        """Operations of a residual block, with its attention to itself and to words."""
        pixels = math.prod(side)
        total = cost.convolution(pixels, 3, inputs + width, width)  # both convolutions
        total += cost.dense(1, 4 * self.widths[0], 2 * width)
        if inputs != width:
            total += cost.dense(pixels, inputs, width)
        if side[0] in self.attention:
            total += cost.attention(pixels, width)
        length, size = told.tokens
        if length and side[0] in self.words:
            # queries and the last layer, scores; the words are embedded, and keys and values of them
            total += cost.dense(pixels, width, 2 * width) + cost.scores(pixels, length, width)
            total += cost.dense(length, size + 2 * width, width)
        return total

    def _check(self, shape: tuple[int, ...], out: tuple[int, ...]) -> Any:
        """Raises UserError for sizes that do not fit; returns the type to compute in."""
        sizes = {
            name: getattr(self, name) for name in ("blocks", "patch", "heads", "frequency")
        }
        check_sizes("UNet", widths=min(self.widths, default=0), **sizes)
        check_images("UNet", shape, out)
        check_dropout("UNet", self.dropout)
        levels = len(self.widths)
        unit = self.patch * 2 ** (levels - 1)  # pixels of the smallest map's pixel
        h, w = out[:2]
        if h % unit or w % unit:
            raise UserError(
                f"UNet: image {h}x{w} does not divide by {unit} = patch {self.patch} x 2^{levels - 1} for {levels} "
                "widths: use a smaller --algorithm.net.patch or fewer --algorithm.net.widths."
            )
        # attention is chosen by height, as ADM chooses it by resolution
        heights = [h // self.patch // 2**level for level in range(levels)]
        for name, chosen in (("attention", self.attention), ("words", self.words)):
            if strange := [height for height in chosen if height not in heights]:
                raise UserError(
                    f"UNet: no map is {strange[0]} high, they are {heights}: choose --algorithm.net.{name} among "
                    "these, or () for none."
                )
        for height, width in zip(heights, self.widths, strict=True):
            if height in (*self.attention, *self.words):
                check_heads("UNet", width, self.heads)
        return compute_type("UNet", self.dtype)
