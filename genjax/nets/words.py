"""A net that reads a sentence: a bidirectional transformer over its tokens, trained along with what it tells.

Neighbouring tokens are joined to pieces first, as letters are fewer things than words (Clark et al. 2022,
arXiv:2103.06874, sec. 3.2, by strided convolution there too); then every layer is

    x <- x + attention(norm(x)),   x <- x + mlp(norm(x)),

attention over all pieces of the sentence, with rotary positions (Su et al. 2021, arXiv:2104.09864). A first piece of
its own is always there: what is read of an empty sentence is that alone, and it stands for the whole sentence.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets import flops as cost
from genjax.nets.blocks import (
    Parts,
    check_heads,
    check_sizes,
    no_dropout,
    rotate,
    rowwise,
    standardise,
    xavier,
)
from genjax.nets.dit import DiT
from genjax.nets.flops import NOTHING, Told


class Reading(NamedTuple):
    """What an encoder makes of B sentences."""

    pieces: jax.Array  # [B, 1 + P, width], zeros beyond the end of a sentence
    whole: jax.Array  # [B, width], of the sentence as one
    there: jax.Array  # [B, 1 + P] bool: what is no filling


class TokenEncoder(nn.Module):
    """Tokens [B, T, V], one-hot or real, zeros where there is none -> `Reading`."""

    width: int = field(96, "channels of a piece")
    depth: int = field(2, "layers")
    heads: int = field(4, "attention heads")
    stride: int = field(4, "tokens that become one piece, which sees as many more behind them")
    letter: int = field(32, "channels of a token before it is joined with others")
    base: float = field(1000.0, "the slowest pair turns about 1 / base rad a piece")

    @nn.compact
    def __call__(self, tokens: jax.Array) -> Reading:
        self._check()
        pieces, there = self._pieces(tokens)
        first = self.param("first", nn.initializers.normal(0.02), (1, 1, self.width))
        first = jnp.broadcast_to(first, (len(tokens), 1, self.width))
        x = jnp.concatenate([first, pieces], 1)  # [B, 1 + P, width]
        always = jnp.ones((len(tokens), 1), bool)
        there = jnp.concatenate([always, there], 1)
        turn = self._turn(x.shape[1])
        for i in range(self.depth):
            # norms before each part, so that the way through the layers stays open
            x = x + self._attention(i, standardise(x), there, turn)
            x = x + rowwise(functools.partial(self._mlp, i), standardise(x))
        x = standardise(x) * there[..., None]
        return Reading(x, x[:, 0], there)

    def flops(self, told: Told) -> int:
        """Operations of reading one sentence, see `genjax.nets.flops`."""
        length, size = told.tokens
        # the first piece is always there
        pieces = 1 + -(-length // self.stride)
        ends = cost.dense(length, size, self.letter)
        ends += cost.dense(pieces, 2 * self.stride * self.letter, self.width)
        layer = cost.attention(pieces, self.width)
        layer += cost.chain(pieces, self.width, 4 * self.width, self.width)
        return ends + self.depth * layer

    def _pieces(self, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(pieces [B, P, width], whether a piece has any token [B, P])."""
        b, length, _ = tokens.shape
        more = -length % self.stride
        # without a bias: what fills up, and a sentence that is hidden, stays zeros
        embed = nn.Dense(self.letter, use_bias=False, name="letters")
        letters = rowwise(embed, tokens)
        letters = jnp.pad(letters, ((0, 0), (0, more), (0, 0)))
        own = letters.reshape(b, -1, self.stride * self.letter)  # [B, P, stride letter]
        # a word that is cut in two is still seen whole: each piece sees the next one's tokens
        following = jnp.pad(own[:, 1:], ((0, 0), (0, 1), (0, 0)))
        windows = jnp.concatenate([own, following], -1)
        said = jnp.pad(jnp.any(tokens != 0, -1), ((0, 0), (0, more)))
        there = said.reshape(b, -1, self.stride).any(-1)
        join = nn.Dense(self.width, kernel_init=xavier, name="pieces")
        return rowwise(join, windows), there

    def _attention(
        self, i: int, x: jax.Array, there: jax.Array, turn: tuple[np.ndarray, np.ndarray]
    ) -> jax.Array:
        """Self-attention [B, N, D] -> [B, N, D] over what is there."""
        b, n, d = x.shape
        size = d // self.heads
        parts = Parts(3, d, name=f"qkv_{i}")(x.reshape(b * n, d))
        q, k, v = (part.reshape(b, n, self.heads, size) for part in parts)
        # what fills up is not looked at; what it looks at does not matter
        mask = there[:, None, None]  # [B, 1, 1, N]: of keys
        h = jax.nn.dot_product_attention(rotate(q, *turn), rotate(k, *turn), v, mask=mask)
        out = nn.Dense(d, kernel_init=xavier, name=f"out_{i}")
        return rowwise(out, h.reshape(b, n, d))

    def _mlp(self, i: int, x: jax.Array) -> jax.Array:
        """Two layers with a GELU on [rows, D]."""
        dense = functools.partial(nn.Dense, kernel_init=xavier)
        h = dense(4 * self.width, name=f"mlp_{i}_0")(x)
        return dense(self.width, name=f"mlp_{i}_1")(nn.gelu(h))

    def _turn(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """(cos, sin) [n, size / 2] of the angles by which the pairs of a head turn."""
        size = self.width // self.heads
        speed = self.base ** -(np.arange(size // 2) / (size // 2))
        angles = np.arange(n)[:, None] * speed  # rad
        return np.cos(angles, dtype=np.float32), np.sin(angles, dtype=np.float32)

    def _check(self) -> None:
        """Raises UserError for sizes that do not fit."""
        names = ("width", "depth", "heads", "stride", "letter")
        check_sizes("TokenEncoder", **{name: getattr(self, name) for name in names})
        check_heads("TokenEncoder", self.width, self.heads)
        if self.width // self.heads % 2:
            raise UserError(
                f"TokenEncoder: heads of {self.width // self.heads} channels cannot turn in pairs: use an even width / "
                "heads."
            )


class Worded(nn.Module):
    """A denoiser that is told a sentence: (x, time, condition with tokens, out), see `DiT`.

    What the encoder reads goes to the net as a sequence to attend to and, as `whole`, into its vector, beside the time
    (as in arXiv:2403.03206, sec. 4). Both are trained by the denoiser's loss, unless the encoder is `frozen`, as CLIP's
    is in latent diffusion (arXiv:2112.10752): `sequence.matching.Contrastive` teaches one beforehand.
    """

    net: nn.Module = field(DiT(), "the denoiser, which attends to a sequence")
    encoder: TokenEncoder = field(TokenEncoder(), "what reads the sentence")
    whole: bool = field(True, "the sentence as one, beside the time")
    pieces: bool = field(True, "the sentence piece by piece, to attend to")
    frozen: bool = field(
        False,
        "the encoder stays as it begins: for one that has learned before, by --start",
        added=True,
    )

    @nn.compact
    def __call__(
        self, x: jax.Array, time: jax.Array, cond: Cond | None, out: tuple[int, ...]
    ) -> jax.Array:
        if cond is None or cond.tokens is None:
            raise UserError(
                "Worded() reads a sentence, and the model is told none: use --algorithm.condition='(Caption(),)', or "
                "its net alone."
            )
        if not (self.whole or self.pieces):
            raise UserError("Worded(): with whole=False and pieces=False nothing is told.")
        no_dropout("Worded()", self.net)
        reading = self.encoder(cond.tokens)
        if self.frozen:
            reading = jax.lax.stop_gradient(reading)
        # a label, if there is one, stays beside the sentence
        vector = cond.vector
        if self.whole:
            given = [reading.whole] if vector is None else [vector, reading.whole]
            vector = jnp.concatenate(given, -1)
        sequence = reading.pieces if self.pieces else None
        return self.net(x, time, Cond(vector, sequence, cond.maps), out)

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`."""
        width = self.encoder.width
        pieces = 1 + math.ceil(told.tokens[0] / self.encoder.stride)
        read = told._replace(
            vector=told.vector + width * self.whole,
            tokens=(pieces, width) if self.pieces else (0, 0),
        )
        return self.encoder.flops(told) + self.net.flops(shape, out, read)
