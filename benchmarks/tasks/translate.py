"""Three systems that translate pictures, in the sizes that their experiments have: pix2pix, CycleGAN and MUNIT.

The numbers are those of `experiments/pix2pix.py`, `cyclegan.py` and `munit.py`: our side reads them there, and
PyTorch's gets them as words. Work is counted by hand, in multiplications of convolutions and products.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SIZE = 32  # of the pictures of all three experiments [pixels]
DOMAINS = ("a", "b")  # of systems without pairs
CHANNELS = {"pix2pix": 3, "cyclegan": 3, "munit": 1}  # faces, emoji, icons
EXAMPLES = 1024  # pictures of each kind that are trained on: few, for memory is measured too
# Relative, of gradient norms, and of samples after the steps. Where |x - y| or a rectifier has its kink, rounding says
# which side a pixel is on, and the norm jumps: between float32 and float64 of PyTorch alone by up to 2e-4. Adam's first
# steps are the signs of gradients: where one is rounding alone, a weight goes either way, and samples show it.
KINKS = 1e-3
CHECK_LR = 1e-5  # at 2e-5 samples of PyTorch alone, in float32 and in float64, are 1e-3 apart
CHECK_POOL = 5  # smaller than a batch: full, and swapping, in the first step


class Adam(NamedTuple):
    """Of one player; at one rate, for a schedule is a number a step on either side."""

    lr: float
    b1: float
    b2: float
    weight_decay: float


class Average(NamedTuple):
    """Of the generators' weights; 0 = none."""

    decay: float


# --- the nets: multiplications of each layer, for one picture ---------------------------------------------------------


class Patches(NamedTuple):
    """`genjax.nets.patchgan.PatchGAN`."""

    widths: tuple[int, ...]
    halvings: int
    side: int
    norm: bool

    def layers(self, inputs: int) -> list[int]:
        """Convolutions with kernels of `side`, within a border of one zero where they are larger than a pixel."""
        border = 0 if self.side == 1 else 2
        size, counts = SIZE, []
        for layer, width in enumerate((*self.widths, 1)):
            stride = 2 if layer < self.halvings else 1
            size = (size + border - self.side) // stride + 1
            kernel = self.side**2 * inputs * width
            counts.append(size**2 * kernel)
            inputs = width
        return counts


class Unet(NamedTuple):
    """`genjax.nets.PlainUNet`."""

    widths: tuple[int, ...]
    blocks: int
    patch: int
    bias: bool

    def layers(self, inputs: int, channels: int) -> list[int]:
        """3x3 but between the levels, where 1x1 folds and unfolds."""
        largest = (SIZE // self.patch) ** 2
        first = self.widths[0]
        pixels = 9 * largest * self.patch**2 * first  # a channel of the picture
        counts = [pixels * inputs, pixels * channels]
        above = 0
        for level, width in enumerate(self.widths):
            here = largest // 4**level
            convolutions = 4 * self.blocks  # two in a block, down and up
            counts.append(convolutions * 9 * here * width**2)
            between = 4 * above * width  # nothing above the first level
            counts.append(2 * here * between)
            above = width
        return counts


class Resnet(NamedTuple):
    """`genjax.nets.translators.ResnetTranslator`; the two halves of it are an encoder and a decoder."""

    widths: tuple[int, ...]
    blocks: int
    patch: int

    def layers(self, channels: int) -> list[int]:
        """There and back, all 3x3."""
        down, up = levels(self, channels), levels(self, channels)
        return [*down, residuals(self), *up]


class Content(NamedTuple):
    """`genjax.nets.translators.ContentEncoder`."""

    widths: tuple[int, ...]
    blocks: int
    patch: int

    def layers(self, channels: int) -> list[int]:
        """3x3."""
        return [*levels(self, channels), residuals(self)]


class Reader(NamedTuple):
    """`genjax.nets.translators.StyleEncoder`."""

    widths: tuple[int, ...]
    patch: int

    def layers(self, channels: int, style: int) -> list[int]:
        """3x3, then a product."""
        dense = self.widths[-1] * style
        return [*levels(self, channels), dense]


class Decoder(NamedTuple):
    """`genjax.nets.translators.AdainDecoder`."""

    widths: tuple[int, ...]
    blocks: int
    patch: int
    hidden: int

    def layers(self, channels: int, style: int) -> list[int]:
        """Products that read the style, then 3x3."""
        asked = 4 * self.blocks * self.widths[-1]  # a mean and a deviation, twice a block
        dense = style + self.hidden + asked  # of as many numbers to or from `hidden`
        return [self.hidden * dense, residuals(self), *levels(self, channels)]


Net = Resnet | Content | Reader | Decoder


def levels(net: Net, channels: int) -> list[int]:
    """3x3 from pixels to the smallest maps, or as much back."""
    largest = (SIZE // net.patch) ** 2
    counts, above = [], net.patch**2 * channels
    for level, width in enumerate(net.widths):
        here = largest // 4**level
        counts.append(9 * here * above * width)
        above = 4 * width  # folded into the next level
    return counts


def residuals(net: Resnet | Content | Decoder) -> int:
    """Two 3x3 a block, at the smallest size."""
    deepest = len(net.widths) - 1
    pixels = (SIZE // net.patch) ** 2 // 4**deepest
    return 2 * net.blocks * 9 * pixels * net.widths[-1] ** 2


def learned(layers: list[int]) -> int:
    """Of a net that learns from data: forwards, gradients of weights, and of maps but for those of the data."""
    first, *_ = layers
    return 3 * sum(layers) - first


# --- the systems ------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """`genjax.translate.pix2pix.Pix2pix`: non-saturating, and the absolute error."""

    gen: Unet
    disc: Patches
    optimiser: Adam
    disc_optimiser: Adam
    ema: Average
    latent: int
    weight: float
    play: float
    batch: int
    channels: int

    def work(self) -> float:
        """FLOPs of a step, two for each multiplication."""
        inputs = self.channels + 1 + self.latent  # with the clock, always 0
        gen = self.gen.layers(inputs, self.channels)
        disc = self.disc.layers(2 * self.channels)  # the given picture beside
        of_disc = sum(gen) + 2 * learned(disc)
        of_gen = learned(gen) + 2 * sum(disc)  # no gradients of D's weights
        return 2.0 * self.batch * (of_disc + of_gen)


class Cycle(NamedTuple):
    """`genjax.translate.cycle.CycleGAN`: least squares, cycle and identity, a pool of older pictures."""

    gen: Resnet
    disc: Patches
    optimiser: Adam
    disc_optimiser: Adam
    ema: Average
    cycle: float
    identity: float
    pool: int
    batch: int
    channels: int

    def work(self) -> float:
        """FLOPs of a step, two for each multiplication; both domains are alike."""
        gen = self.gen.layers(self.channels)
        there = 2 * learned(gen)  # of the other domain's pictures and of its own
        back = 3 * sum(gen)  # of what was made
        players = there + back + critic(self.disc, self.channels)
        return 2.0 * self.batch * 2 * players


class Styles(NamedTuple):
    """`genjax.translate.munit.MUNIT`: least squares, pictures, contents and styles come back."""

    content: Content
    reader: Reader
    dec: Decoder
    disc: Patches
    optimiser: Adam
    disc_optimiser: Adam
    ema: Average
    style: int
    picture: float
    same_content: float
    same_style: float
    batch: int
    channels: int

    def work(self) -> float:
        """FLOPs of a step, two for each multiplication; both domains are alike."""
        content = self.content.layers(self.channels)
        reader = self.reader.layers(self.channels, self.style)
        dec = self.dec.layers(self.channels, self.style)
        codes = learned(content) + learned(reader)
        codes_again = 3 * (sum(content) + sum(reader))
        made = 2 * 3 * sum(dec)  # at home and abroad
        players = codes + codes_again + made + critic(self.disc, self.channels)
        return 2.0 * self.batch * 2 * players


def critic(disc: Patches, channels: int) -> int:
    """Multiplications of a domain's critic in both turns."""
    layers = disc.layers(channels)
    # data and samples, then samples alone without gradients of its weights
    return 2 * learned(layers) + 2 * sum(layers)


System = Pair | Cycle | Styles
PLAYERS = {
    "disc": Patches,
    "optimiser": Adam,
    "disc_optimiser": Adam,
    "ema": Average,
}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {  # what a system is, and its parts by name
    "pix2pix": (Pair, {"gen": Unet, **PLAYERS}),
    "cyclegan": (Cycle, {"gen": Resnet, **PLAYERS}),
    "munit": (
        Styles,
        {"content": Content, "reader": Reader, "dec": Decoder, **PLAYERS},
    ),
}


def words(system: System) -> str:
    """The numbers as JSON, for a command line."""
    return json.dumps(system._asdict())


def read(name: str, text: str) -> System:
    """The numbers that `words` has written."""
    kind, parts = KINDS[name]
    known = json.loads(text)
    for part, made in parts.items():
        known[part] = made(*known[part])
    return kind(**known)
