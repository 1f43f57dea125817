"""Linen modules, called `net(x, label, out)`: input, one-hot label [B, classes] or None, output shape.

Denoisers (DiT, UNet, TimeMLP) are called `net(x, time, label, out)` with clocks [B] or [B, k].
"""

from genjax.nets.blocks import Gelu, Identity, Relu, Silu, Tanh
from genjax.nets.conv import ConvDecoder, ConvEncoder
from genjax.nets.dit import DiT, Learned, Rope
from genjax.nets.mlp import MLP, GatedMLP, TimeMLP
from genjax.nets.unet import UNet

__all__ = [
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "DiT",
    "GatedMLP",
    "Gelu",
    "Identity",
    "Learned",
    "Relu",
    "Rope",
    "Silu",
    "Tanh",
    "TimeMLP",
    "UNet",
]
