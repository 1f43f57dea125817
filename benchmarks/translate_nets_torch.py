"""The nets of pix2pix, CycleGAN and MUNIT in plain PyTorch, layer for layer those of `genjax.nets`.

Strided convolutions in the critics, `pixel_unshuffle` and `pixel_shuffle` where ours fold, `F.instance_norm`. Modules
are called as ours are, so that weights find their places.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.side_torch import EPS
from benchmarks.tasks import translate as tasks


def same_size(inputs: int, width: int, bias: bool = True) -> nn.Conv2d:
    """3x3."""
    return nn.Conv2d(inputs, width, 3, padding=1, bias=bias)


def pointwise(inputs: int, width: int) -> nn.Conv2d:
    """1x1."""
    return nn.Conv2d(inputs, width, 1, bias=False)


def group_norm(width: int) -> nn.GroupNorm:
    """Eight groups where they divide the channels."""
    groups = math.gcd(8, width)
    return nn.GroupNorm(groups, width, EPS)


# --- the critic -------------------------------------------------------------------------------------------------------


class PatchGAN(nn.Module):
    """[B, C, H, W] -> [B, h, w], a number for each patch."""

    def __init__(self, net: tasks.Patches, inputs: int):
        super().__init__()
        # all but the last, which says the scores
        self.layer = nn.ModuleList()
        # by the number of the layer, for the first has none
        self.norm = nn.ModuleDict()
        last = len(net.widths)
        for number, width in enumerate(net.widths):
            layer = self._layer(net, inputs, width, number)
            self.layer.append(layer)
            if number and net.norm:
                self.norm[str(number)] = group_norm(width)
            inputs = width
        self.score = self._layer(net, inputs, 1, last)

    def _layer(
        self,
        net: tasks.Patches,
        inputs: int,
        width: int,
        number: int,
    ) -> nn.Conv2d:
        # a single pixel has nothing around it
        border = 0 if net.side == 1 else 1
        stride = 2 if number < net.halvings else 1
        return nn.Conv2d(inputs, width, net.side, stride, border)

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layer):
            x = layer(x)
            place = str(number)
            if place in self.norm:
                x = self.norm[place](x)
            x = F.leaky_relu(x, 0.2)
        scores = self.score(x)  # [B, 1, h, w]
        return scores[:, 0]


# --- pix2pix's generator ----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int, bias: bool):
        super().__init__()
        self.conv = nn.ModuleList()
        for _ in range(2):
            conv = same_size(width, width, bias)
            self.conv.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv[0](x)
        h = F.relu(h)
        # no norm, and no activation after the sum
        return x + self.conv[1](h)


def blocks(net: tasks.Unet) -> nn.ModuleList:
    """Those of each level, one way."""
    levels = nn.ModuleList()
    for width in net.widths:
        level = nn.Sequential()
        for _ in range(net.blocks):
            block = Block(width, net.bias)
            level.append(block)
        levels.append(level)
    return levels


class PlainUnet(nn.Module):
    """(x [B, C, H, W], z [B, latent]) -> [B, channels, H, W]."""

    def __init__(self, net: tasks.Unet, inputs: int, channels: int):
        super().__init__()
        self.patch = net.patch
        pixels = net.patch**2
        first, *_ = net.widths
        self.patches = same_size(pixels * inputs, first, net.bias)
        # between two levels, by the number of the one that they lead to
        self.shrink = nn.ModuleDict()
        self.grow = nn.ModuleDict()
        pairs = itertools.pairwise(net.widths)
        for level, (above, width) in enumerate(pairs):
            folded = 4 * above
            self.shrink[str(level + 1)] = pointwise(folded, width)
            self.grow[str(level)] = pointwise(width, folded)
        # as many on the way down as on the way up
        self.down = blocks(net)
        self.up = blocks(net)
        self.last = same_size(first, pixels * channels, False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # the clock stands before the numbers, and is always 0
        numbers = F.pad(z, (1, 0))
        maps = numbers[:, :, None, None]
        maps = maps.expand(-1, -1, height, width)
        told = torch.cat([x, maps], 1)
        folded = F.pixel_unshuffle(told, self.patch)
        x = self.patches(folded)
        seen = []
        for level, down in enumerate(self.down):
            if level:
                folded = F.pixel_unshuffle(x, 2)
                x = self.shrink[str(level)](folded)
            x = down(x)
            # added again on the way up
            seen.append(x)
        # the lowest level has no way up into it
        deepest = len(seen) - 1
        x = self.up[deepest](x)
        for level in reversed(range(deepest)):
            folded = self.grow[str(level)](x)
            larger = F.pixel_shuffle(folded, 2)
            x = larger + seen[level]
            x = self.up[level](x)
        patches = self.last(x)
        return F.pixel_shuffle(patches, self.patch)


# --- the nets without pairs -------------------------------------------------------------------------------------------


def instance_norm(x: Tensor) -> Tensor:
    """Every channel of every picture with mean 0 and deviation 1."""
    return F.instance_norm(x, eps=EPS)


class Down(nn.Module):
    """Pixels -> maps of the smallest size; each level folds 2 x 2 of the one before."""

    def __init__(self, net: tasks.Net, channels: int, norm: bool = True):
        super().__init__()
        self.patch = net.patch
        # a reader of styles has none: it would take away what is read
        self.norm = instance_norm if norm else nn.Identity()
        self.conv = nn.ModuleList()
        inputs = net.patch**2 * channels
        for width in net.widths:
            conv = same_size(inputs, width)
            self.conv.append(conv)
            # of four pixels
            inputs = 4 * width

    def forward(self, x: Tensor) -> Tensor:
        fold = self.patch
        for conv in self.conv:
            folded = F.pixel_unshuffle(x, fold)
            h = self.norm(conv(folded))
            x = F.relu(h)
            # every level but the first
            fold = 2
        return x


class Residuals(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), several times; `style` [B, 2 blocks, 2, C]: means and deviations."""

    def __init__(self, net: tasks.Resnet | tasks.Content | tasks.Decoder):
        super().__init__()
        # where maps are smallest
        width = net.widths[-1]
        self.conv = nn.ModuleList()
        for _ in range(2 * net.blocks):
            conv = same_size(width, width)
            self.conv.append(conv)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        for first in range(0, len(self.conv), 2):
            second = first + 1
            h = self.conv[first](x)
            h = F.relu(styled(h, style, first))
            h = self.conv[second](h)
            # no activation after the sum
            x = x + styled(h, style, second)
        return x


def styled(h: Tensor, style: Tensor | None, place: int) -> Tensor:
    """Instance norm, or AdaIN where there is a style."""
    h = instance_norm(h)
    if style is None:
        return h
    asked = style[:, place, :, :, None, None]  # [B, 2, C, 1, 1]
    mean, deviation = asked.unbind(1)
    # one pass over the pixels
    return torch.addcmul(mean, deviation, h)


class Up(nn.Module):
    """Maps -> pixels in [-1, 1]: twice the size at each level; instance norm, or group norm after AdaIN."""

    def __init__(
        self,
        net: tasks.Resnet | tasks.Decoder,
        channels: int,
        instance: bool = True,
    ):
        super().__init__()
        self.patch = net.patch
        self.instance = instance
        self.conv = nn.ModuleList()
        self.norm = nn.ModuleList()
        # from the smallest maps on
        widths = net.widths[::-1]
        for width, larger in itertools.pairwise(widths):
            conv = same_size(width, 4 * larger)
            self.conv.append(conv)
            if not instance:
                norm = group_norm(larger)
                self.norm.append(norm)
        # and what unfolds the patches
        pixels = net.patch**2 * channels
        last = same_size(widths[-1], pixels)
        self.conv.append(last)

    def forward(self, h: Tensor) -> Tensor:
        last = len(self.conv) - 1
        for level in range(last):
            # by number: a slice of a ModuleList is a new module, which takes time
            folded = self.conv[level](h)
            h = F.pixel_shuffle(folded, 2)
            norm = instance_norm if self.instance else self.norm[level]
            h = F.relu(norm(h))
        patches = self.conv[last](h)
        pixels = F.pixel_shuffle(patches, self.patch)
        return torch.tanh(pixels)


class Translator(nn.Module):
    """CycleGAN's generator, [B, C, H, W] -> the same."""

    def __init__(self, net: tasks.Resnet, channels: int):
        super().__init__()
        self.down = Down(net, channels)
        self.residuals = Residuals(net)
        self.up = Up(net, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.down(x)
        # most of the work is here
        h = self.residuals(h)
        return self.up(h)


class Content(nn.Module):
    """[B, C, H, W] -> maps of what is shown."""

    def __init__(self, net: tasks.Content, channels: int):
        super().__init__()
        self.down = Down(net, channels)
        self.residuals = Residuals(net)

    def forward(self, x: Tensor) -> Tensor:
        h = self.down(x)
        return self.residuals(h)


class Reader(nn.Module):
    """[B, C, H, W] -> styles [B, S]."""

    def __init__(self, net: tasks.Reader, channels: int, style: int):
        super().__init__()
        self.down = Down(net, channels, False)
        widest = net.widths[-1]
        self.dense = dense((widest, style))

    def forward(self, x: Tensor) -> Tensor:
        h = self.down(x)
        # of the whole picture
        whole = h.mean((2, 3))
        return self.dense[0](whole)


class Decoder(nn.Module):
    """(maps, styles [B, S]) -> [B, C, H, W]."""

    def __init__(self, net: tasks.Decoder, channels: int, style: int):
        super().__init__()
        norms = 2 * net.blocks
        # a mean and a deviation for each channel of each norm
        self.shape = (norms, 2, net.widths[-1])
        asked = math.prod(self.shape)
        sizes = (style, net.hidden, net.hidden, asked)
        self.dense = dense(sizes)
        self.residuals = Residuals(net)
        self.up = Up(net, channels, False)
        # asked are differences from mean 0 and deviation 1
        about = torch.tensor([[0.0], [1.0]])
        self.register_buffer("about", about, persistent=False)

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        first, second, last = self.dense
        # the same for all places
        told = F.relu(first(style))
        told = F.relu(second(told))
        asked = last(told).unflatten(1, self.shape)
        h = self.residuals(h, asked + self.about)
        return self.up(h)


def dense(sizes: Sequence[int]) -> nn.ModuleList:
    """Linear layers from each size to the next."""
    layers = nn.ModuleList()
    for inputs, width in itertools.pairwise(sizes):
        layer = nn.Linear(inputs, width)
        layers.append(layer)
    return layers


class Domain(nn.Module):
    """MUNIT's three nets of a domain."""

    def __init__(self, net: tasks.Styles):
        super().__init__()
        self.content = Content(net.content, net.channels)
        self.reader = Reader(net.reader, net.channels, net.style)
        self.dec = Decoder(net.dec, net.channels, net.style)
