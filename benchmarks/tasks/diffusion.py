"""A DiT and a U-Net as velocity fields of flow matching, on images with labels.

Loss mean (net(z_t, t, label) - (eps - x))², z_t = (1 - t) x + t eps, Adam, an average of the weights; samples by
Euler's method from that average. Work is counted by hand: `flops` are two for each multiplication.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.tasks import CHANNELS, SAMPLES, SIDE

LR = 1e-3
CLASSES = 10  # of the labels
STD = 0.7  # of the data
DROP = 0.1  # share of labels hidden
DECAY = 0.999  # of the average of the weights
FEATURES, FREQUENCY = 128, 1000.0  # of the time: how many, the highest
STEPS, FIRST = 10, 0.999  # of a draw: Euler steps, the time to start from


class Transformer(NamedTuple):
    """The DiT of `python -m experiments.diffusion`."""

    patch: int = 4
    width: int = 128
    depth: int = 6
    heads: int = 4
    mlp_ratio: int = 4
    batch: int = 128

    def flops(self) -> float:
        """Of the products in a forward pass of one image."""
        d = self.width
        side = SIDE // self.patch
        n = side**2  # tokens
        pixels = self.patch**2 * CHANNELS  # of a token
        condition = (FEATURES + d + CLASSES) * d
        modulation = 6 * d * d  # shift, scale and gate, twice
        mlp = 2 * n * self.mlp_ratio * d * d
        block = modulation + attention(n, d) + mlp
        first_and_last_map = 2 * n * pixels * d
        last_modulation = 2 * d * d
        blocks = self.depth * block
        return 2.0 * (condition + first_and_last_map + blocks + last_modulation)


class Unet(NamedTuple):
    """The U-Net of `python -m experiments.diffusion unet`."""

    patch: int = 2
    widths: tuple[int, ...] = (32, 64)
    blocks: int = 1
    attention: tuple[int, ...] = (7,)  # sides of the maps that attend
    heads: int = 4
    batch: int = 64

    def flops(self) -> float:
        """Of the convolutions and products in a forward pass of one image."""
        first, last = self.widths[0], self.widths[-1]
        d = 4 * first  # of the condition
        condition = (FEATURES + d + CLASSES) * d
        pixels = self.patch**2 * CHANNELS
        largest = self._side(0)
        first_and_last_map = 2 * 9 * largest**2 * pixels * first  # both 3x3
        deepest = len(self.widths) - 1
        levels = sum(map(self._level, range(deepest + 1)))
        middle = self.block(self._side(deepest), last, last)
        return 2.0 * (condition + first_and_last_map + levels + middle)

    def _level(self, level: int) -> float:
        """Multiplications of a level: between it and the one above, and its blocks on both ways."""
        width = self.widths[level]
        side = self._side(level)
        down = self.block(side, width, width)
        joined = 2 * width  # where a skip comes in
        up = self.block(side, joined, width)
        blocks = self.blocks * (down + up)
        if level == 0:
            return blocks
        above = self.widths[level - 1]
        between = 4 * above * width  # a pixel, either way
        return 2 * side**2 * between + blocks

    def _side(self, level: int) -> int:
        """Of the maps at a level."""
        largest = SIDE // self.patch
        return largest // 2**level

    def block(self, side: int, inputs: int, width: int) -> float:
        """Multiplications in a residual block: two convolutions, the map of the skip, scale and shift, attention."""
        pixels = side**2
        both = 9 * (inputs + width) * width  # 3x3
        skip = inputs * width if inputs != width else 0
        condition = 4 * self.widths[0]
        scale_and_shift = condition * 2 * width
        attended = 0
        if side in self.attention:
            attended = attention(pixels, width)
        return pixels * (both + skip) + scale_and_shift + attended


def attention(n: int, d: int) -> int:
    """Multiplications in self-attention of n tokens of width d, with the maps before and after."""
    maps = 4 * n * d * d  # queries, keys, values, and the one after them
    products = 2 * n * n * d  # queries with keys, weights with values
    return maps + products


NETS = {
    "dit": Transformer(),
    # 196 tokens: attention's matrix of scores no longer fits into a cache
    "dit-196": Transformer(patch=2, width=192, heads=6),
    "unet": Unet(),
}


def work(name: str, job: str) -> float:
    """FLOPs of a training step (the gradient costs two more forward passes) or of a draw, counted by hand."""
    net = NETS[name]
    if job == "train":
        return net.flops() * (3 * net.batch)
    return net.flops() * (STEPS * SAMPLES)
