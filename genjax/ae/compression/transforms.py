"""The two transforms of a codec: pixels to numbers that are rounded, and back.

Each is the orthonormal cosine transform of blocks of 16x16 pixels and of colours plus a net that starts at zero:
training begins with a codec, and improves it. The net sees cosine transforms too, each number divided by its usual
deviation, so that one learning rate serves all of them. All convolutions are on maps of an eighth of the picture's
side, where they are quick on every processor; the way up is depth-to-space.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.nets.blocks import depth_to_space, space_to_depth

# sides of the blocks of the codec that training begins with, and of those that the net sees [pixels]
BLOCK, FOLD = 16, 8
ABOVE = 2  # numbers y for one of z, a side
LEAK = 0.125  # a power of two: products with it are exact
# deviations of photographs within [-1/2, 1/2], about: of a pixel, their fall with frequency, the share of colours
LIGHT, FALL, COLOUR = 0.21, -1.3, 0.35
zeros = nn.initializers.zeros


def leaky(x: jax.Array) -> jax.Array:
    """max(x, LEAK x)."""
    return jnp.maximum(x, LEAK * x)


def chessboard(height: int, width: int) -> np.ndarray:
    """1 on the dark fields, which are coded first, [H, W, 1]."""
    rows = np.arange(height)
    columns = np.arange(width)
    # a step to any neighbour changes the colour
    sums = rows[:, None] + columns
    dark = sums % 2 == 0
    return dark[..., None].astype(np.float32)


class Told(nn.Module):
    """What is learned for each rate: [B] in [0, 1] -> [B, size], in straight lines between `knots` rates.

    Gains of Cui et al. (arXiv:2003.02012): between two rates the logarithms lie on a line.
    """

    size: int
    knots: int
    start: Any = zeros  # initialiser of [knots, size]

    @nn.compact
    def __call__(self, rate: jax.Array) -> jax.Array:
        table = self.param("table", self.start, (self.knots, self.size))
        return between(rate, self.knots) @ table


def between(rate: jax.Array, knots: int) -> jax.Array:
    """How much of each knot a rate in [0, 1] has, [B, knots]."""
    places = rate[:, None] * (knots - 1)
    distance = jnp.abs(places - jnp.arange(knots))
    return jnp.maximum(1.0 - distance, 0.0)


class Block(nn.Module):
    """x + conv(leaky(conv(x))), without a norm: a norm over a tile would make tiles visible."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        h = nn.Conv(width, (3, 3))(x)
        last = nn.Conv(width, (3, 3), kernel_init=zeros)
        return x + last(leaky(h))


def _scaled(x: jax.Array, by: jax.Array) -> jax.Array:
    """Maps [B, H, W, C], each channel scaled by 1 + by [B, C]."""
    return x * (1.0 + by[:, None, None])


class Analysis(nn.Module):
    """Pictures about 0 [B, H, W, C] -> numbers [B, H / 16, W / 16, latent] of deviations about 1, not rounded."""

    latent: int = field(320, "numbers for a block of 16x16 pixels")
    width: int = field(128, "channels of the net")
    blocks: int = field(3, "residual blocks of the net")
    knots: int = field(8, "rates between which it is told a rate")

    @nn.compact
    def __call__(self, x: jax.Array, rate: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        # what the codec would be without a net
        cosines = Cosines(BLOCK, channels, self.latent)
        large = cosines.forward(x)
        # what the net sees: nothing is left out
        all_ = FOLD * FOLD * channels
        folded = Cosines(FOLD, channels, all_)
        small = folded.forward(x)
        h = nn.Conv(self.width, (3, 3))(small)
        h = _scaled(h, Told(self.width, self.knots)(rate))
        for _ in range(self.blocks):
            h = Block()(h)
        h = space_to_depth(leaky(h), BLOCK // FOLD)
        mixed = nn.Dense(
            self.latent,
            use_bias=False,
            kernel_init=zeros,
        )(large)
        # zeros: both are learned from nothing
        rest = nn.Conv(self.latent, (1, 1), kernel_init=zeros)(h)
        return large + mixed + rest


class Synthesis(nn.Module):
    """Numbers [B, h, w, latent] -> pictures about 0 [B, 16 h, 16 w, channels]."""

    channels: int = field(3, "of the picture")
    width: int = field(128, "channels of the net")
    blocks: int = field(3, "residual blocks of the net")
    knots: int = field(8, "rates between which it is told a rate")

    @nn.compact
    def __call__(self, y: jax.Array, rate: jax.Array) -> jax.Array:
        latent = y.shape[-1]
        small = FOLD * FOLD * self.channels
        up = BLOCK // FOLD
        h = nn.Conv(up * up * self.width, (1, 1))(y)
        h = depth_to_space(h, up)  # [B, 2 h, 2 w, width]
        h = _scaled(h, Told(self.width, self.knots)(rate))
        for _ in range(self.blocks):
            h = Block()(h)
        mixed = nn.Dense(
            latent,
            use_bias=False,
            kernel_init=zeros,
        )(y)
        rest = nn.Conv(small, (3, 3), kernel_init=zeros)(leaky(h))
        # the codec without a net, and what the net adds
        large = Cosines(BLOCK, self.channels, latent)
        folded = Cosines(FOLD, self.channels, small)
        whole = large.backward(y + mixed)
        return whole + folded.backward(rest)


def cosine(n: int) -> np.ndarray:
    """The orthonormal cosine transform of n values, [frequency, place]."""
    frequency = np.arange(n)[:, None]
    place = np.arange(n) + 0.5
    waves = np.cos(np.pi / n * frequency * place) * np.sqrt(2.0 / n)
    waves[0] = np.sqrt(1.0 / n)
    return waves


class Cosines(NamedTuple):
    """The strongest numbers of the cosine transform of blocks and of colours, each by its usual deviation."""

    side: int  # of a block [pixels]
    channels: int  # of the picture
    size: int  # numbers that are kept of a block

    def forward(self, x: jax.Array) -> jax.Array:
        """Pictures [B, H, W, C] -> [B, H / side, W / side, size]."""
        basis, deviation = self.basis()
        scaled = jnp.asarray(basis / deviation, jnp.float32)
        blocks = space_to_depth(x, self.side)
        return blocks @ scaled

    def backward(self, y: jax.Array) -> jax.Array:
        """The inverse of `forward`, as far as numbers were kept."""
        basis, deviation = self.basis()
        scaled = jnp.asarray(basis * deviation, jnp.float32)
        blocks = y @ scaled.T  # the transpose is the inverse: the columns are orthonormal
        return depth_to_space(blocks, self.side)

    def basis(self) -> tuple[np.ndarray, np.ndarray]:
        """(orthonormal columns [pixels of a block, size], about the deviation of each number [size]).

        Power falls with frequency in photographs, and colours have less of it than light.
        """
        waves = cosine(self.side)
        colours = cosine(self.channels)  # of three: light, red against blue, green against both
        columns = np.einsum("ip,jq,kc->ijkpqc", waves, waves, colours)
        # frequencies as blocks of 16 have them, so that both sizes share one law
        places = np.arange(self.side) * (BLOCK / self.side)
        radius = np.hypot(places[:, None], places)
        falling = (1.0 + radius[..., None]) ** FALL
        colour = np.arange(self.channels) > 0
        share = np.where(colour, COLOUR, 1.0)
        deviation = LIGHT * self.side * falling * share
        flat = deviation.ravel()
        # stable: equal ones stay in their order on every machine
        order = np.argsort(-flat, kind="stable")
        strongest = order[: self.size]
        whole = columns.reshape(flat.size, -1)
        return whole[strongest].T, flat[strongest]
