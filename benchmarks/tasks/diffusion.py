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
        d, n = self.width, (SIDE // self.patch) ** 2  # n tokens of width d
        pixels = self.patch**2 * CHANNELS
        condition = (FEATURES + d + CLASSES) * d
        modulation, mlp = 6 * d * d, 2 * n * self.mlp_ratio * d * d
        block = modulation + attention(n, d) + mlp
        first, last = n * pixels * d, n * d * pixels
        return 2.0 * (condition + first + self.depth * block + 2 * d * d + last)


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
        pixels, side, d = self.patch**2 * CHANNELS, SIDE // self.patch, 4 * first
        condition = (FEATURES + d + CLASSES) * d
        first_and_last_map = 2 * 9 * side**2 * pixels * first
        levels = sum(self._level(level) for level in range(len(self.widths)))
        smallest = side // 2 ** (len(self.widths) - 1)
        middle = self.block(smallest, last, last)
        return 2.0 * (condition + first_and_last_map + levels + middle)

    def _level(self, level: int) -> float:
        """Multiplications of a level: between it and the one above, and its blocks on both ways."""
        width, above = self.widths[level], self.widths[level - 1]
        side = SIDE // self.patch // 2**level
        between = 2 * side**2 * 4 * above * width if level else 0  # down and up
        down = self.block(side, width, width)
        up = self.block(side, 2 * width, width)  # where a skip is joined
        return between + self.blocks * (down + up)

    def block(self, side: int, inputs: int, width: int) -> float:
        """Multiplications in a residual block: two convolutions, the map of the skip, scale and shift, attention."""
        skip = (inputs != width) * inputs * width
        convolutions = side**2 * (9 * (inputs + width) * width + skip)
        scale_and_shift = 4 * self.widths[0] * 2 * width
        attended = attention(side**2, width) if side in self.attention else 0
        return convolutions + scale_and_shift + attended


def attention(n: int, d: int) -> int:
    """Multiplications in self-attention of n tokens of width d, with the maps before and after."""
    return 4 * n * d * d + 2 * n * n * d


NETS = {"dit": Transformer(), "unet": Unet()}


def work(name: str, job: str) -> float:
    """FLOPs of a training step (the gradient costs two more forward passes) or of a draw, counted by hand."""
    net = NETS[name]
    passes = 3 * net.batch if job == "train" else STEPS * SAMPLES
    return net.flops() * passes
