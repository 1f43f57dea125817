"""A fully convolutional net for dense prediction: pools down to 1/32, scores at three depths, bilinear ways up.

Long, Shelhamer & Darrell 2015 (arXiv:1411.4038). What is deep knows what a thing is, what is shallow where it is:
scores of a coarse map are doubled and added to those of the map above it, and the last sum is brought to the pixels,

    32s: up(score 5)      16s: up(score 4 + up(score 5))      8s: up(score 3 + up(score 4 + up(score 5)))

Ways up are transposed convolutions that begin as bilinear interpolation; the last one stays it, as in the paper. Skips
begin at zero, so that a net with them starts as the one without.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets import flops as cost
from genjax.nets.blocks import beside, check_images, check_sizes, join_maps
from genjax.nets.flops import NOTHING, Told

DEPTHS = 5  # pools, each of 2x2
COARSEST = 2**DEPTHS  # pixels of the last map's pixel
STRIDES = (8, 16, 32)  # of the map that the last way up begins at


def triangle(factor: int) -> np.ndarray:
    """The weights [2 factor] of linear interpolation between places that lie `factor` pixels apart."""
    places = np.arange(2 * factor)
    # no pixel lies at the middle: there are as many on either side
    distance = np.abs(places - factor + 0.5)
    weights = 1.0 - distance / factor
    return weights.astype(np.float32)


def bilinear(key: jax.Array, shape: tuple[int, ...], dtype: type = jnp.float32) -> jax.Array:
    """A kernel [2 f, 2 f, K, K] that interpolates each of K maps by itself: an initialiser, which draws nothing."""
    side, _, maps, _ = shape
    line = triangle(side // 2)
    square = np.outer(line, line)
    each = np.eye(maps)
    kernel = square[:, :, None, None] * each
    return jnp.asarray(kernel, dtype)


class Doubled(nn.Module):
    """Maps [B, h, w, K] -> [B, 2 h, 2 w, K] by a transposed convolution that begins as bilinear interpolation."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        maps = x.shape[-1]
        kernel = self.param("kernel", bilinear, (4, 4, maps, maps))
        # the border's values go on beyond it: zeros there would pull the scores of the rim towards 0
        sides = ((0, 0), (1, 1), (1, 1), (0, 0))
        wide = jnp.pad(x, sides, mode="edge")
        doubled = jax.lax.conv_transpose(wide, kernel, (2, 2), "SAME")
        return doubled[:, 2:-2, 2:-2]


def enlarged(x: jax.Array, factor: int) -> jax.Array:
    """Maps [B, h, w, K] -> [B, factor h, factor w, K] by bilinear interpolation, the border's values going on."""
    b, h, w, maps = x.shape
    # two products with a matrix in the place of a convolution of 64 x 64 taps
    return jax.image.resize(x, (b, factor * h, factor * w, maps), "bilinear")


class FCN(nn.Module):
    """(x [B, H, W, C], time, condition or None) -> scores [B, H, W, K] float32; out = (H, W, K).

    It has no use for a time. H and W divide by 32; a picture of 64x64 has four places left at the depth of 32.
    """

    widths: tuple[int, ...] = field(
        (32, 64, 96, 128, 128), "channels before each of the five pools"
    )
    convolutions: int = field(2, "3x3 convolutions before each pool")
    head: int = field(256, "channels of the two layers on the last map")
    stride: int = field(8, "pixels of the map that the last way up begins at: 8, 16 or 32")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        self._check(x.shape[1:], out)
        x = join_maps("FCN", beside(x, cond), cond)
        pools = {}  # maps by the pixels of their pixel
        here = 1
        for level, width in enumerate(self.widths):
            for i in range(self.convolutions):
                layer = nn.Conv(width, (3, 3), name=f"stage_{level}_{i}")
                x = nn.relu(layer(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
            here = 2 * here
            pools[here] = x
        # the paper's layers of 7x7 and 1x1, which were dense ones of a classifier; ours has no 7 places
        first = nn.Conv(self.head, (3, 3), name="head_0")
        second = nn.Conv(self.head, (1, 1), name="head_1")
        x = nn.relu(first(x))
        x = nn.relu(second(x))
        classes = out[-1]
        last = nn.Conv(classes, (1, 1), name="last")
        score = last(x)
        while here > self.stride:
            here = here // 2
            score = Doubled(name=f"up_{here}")(score)
            # zeros: what is shallow is heard once it has something to say
            skip = nn.Conv(
                classes,
                (1, 1),
                kernel_init=nn.initializers.zeros,
                name=f"last_{here}",
            )
            score = score + skip(pools[here])
        return enlarged(score, here)

    def flops(
        self,
        shape: tuple[int, ...],
        out: tuple[int, ...],
        told: Told = NOTHING,
    ) -> int:
        """Operations of a forward pass of one example, see `genjax.nets.flops`; the last way up left out."""
        classes = out[-1]
        pixels = math.prod(out[:2])
        before = shape[-1] + told.vector
        total = 0
        others = self.convolutions - 1
        for level, width in enumerate(self.widths):
            here = pixels // 4**level
            total += cost.convolution(here, 3, before, width)
            # those behind the first of a stage
            total += others * cost.convolution(here, 3, width, width)
            before = width
        last = pixels // COARSEST**2
        total += cost.convolution(last, 3, before, self.head)
        total += cost.dense(last, self.head, self.head)
        total += cost.dense(last, self.head, classes)
        at = COARSEST
        # from the pool above the last one on, as deep as there are skips
        for width in reversed(self.widths[:-1]):
            at = at // 2
            if at < self.stride:
                break
            here = pixels // at**2
            # of the 4x4 taps of the way up four meet a score
            total += cost.convolution(here, 2, classes, classes)
            total += cost.dense(here, width, classes)
        return total

    @property
    def unit(self) -> int:
        """Pixels of the smallest map's pixel: sides must divide by it, and tiles begin at multiples of it."""
        return COARSEST

    @property
    def reach(self) -> int:
        """How many pixels away an input can matter to an output, at most."""
        total = 0
        for level in range(DEPTHS):
            scale = 2**level
            total += self.convolutions * scale
            total += scale  # of two in a pool the other one
        # the head has one layer that sees neighbours
        total += COARSEST
        at = COARSEST
        # every way up asks the neighbours of a place
        while at > self.stride:
            total += at
            at = at // 2
        return total + at

    def _check(self, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
        """Raises UserError for sizes that do not fit."""
        sizes = {
            "widths": min(self.widths, default=0),
            "convolutions": self.convolutions,
            "head": self.head,
        }
        check_sizes("FCN", **sizes)
        check_images("FCN", shape, out)
        named = len(self.widths)
        if named != DEPTHS:
            raise UserError(
                f"FCN: {named} widths, and there are {DEPTHS} pools: name one for each by --algorithm.net.widths."
            )
        if self.stride not in STRIDES:
            raise UserError(f"FCN: stride={self.stride} is none of 8, 16, 32.")
        h, w = out[:2]
        if h % COARSEST or w % COARSEST:
            raise UserError(
                f"FCN: image {h}x{w} does not divide by {COARSEST}, five pools of 2: use pictures that do, e.g. "
                "--data.size=64, or a PlainUNet."
            )
