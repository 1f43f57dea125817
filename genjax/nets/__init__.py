"""Linen modules, called `net(x, cond, out)`: input, what is told (`conditions.Cond`) or None, output shape.

Discriminators have out = (1,); some remember vectors in the collection "spectral".
Denoisers (DiT, UNet, PlainUNet, Unveil, TimeMLP) are called `net(x, time, cond, out)` with clocks [B] or [B, k].
"""

# Inception, a judge of samples and no part of a model, is not among them: `genjax.nets.inception`.
from genjax.nets.blocks import Gelu, Identity, Relu, Silu, Tanh
from genjax.nets.conv import ConvDecoder, ConvEncoder
from genjax.nets.dit import Context, Cross, DiT, Learned, Rope
from genjax.nets.fill import Filled
from genjax.nets.gan import (
    DcganDiscriminator,
    DcganGenerator,
    ResnetDiscriminator,
    ResnetGenerator,
)
from genjax.nets.mlp import MLP, GatedMLP, TimeMLP
from genjax.nets.plain import PlainUNet
from genjax.nets.r3gan import R3Discriminator, R3Generator
from genjax.nets.stylegan2 import StyleDiscriminator, StyleMapping, StyleSynthesis
from genjax.nets.unet import UNet
from genjax.nets.veil import Unveil
from genjax.nets.words import TokenEncoder, Worded

__all__ = [
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "Context",
    "Cross",
    "DcganDiscriminator",
    "DcganGenerator",
    "DiT",
    "GatedMLP",
    "Gelu",
    "Identity",
    "Learned",
    "PlainUNet",
    "R3Discriminator",
    "R3Generator",
    "Relu",
    "ResnetDiscriminator",
    "ResnetGenerator",
    "Rope",
    "Silu",
    "StyleDiscriminator",
    "StyleMapping",
    "StyleSynthesis",
    "Tanh",
    "TokenEncoder",
    "TimeMLP",
    "UNet",
    "Filled",
    "Unveil",
    "Worded",
]
