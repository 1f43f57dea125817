"""Linen modules. Every net is called `net(x, label, out)`: input, one-hot label [B, classes] or None, output shape."""

from genjax.nets.blocks import Gelu, Identity, Relu, Silu, Tanh
from genjax.nets.conv import ConvDecoder, ConvEncoder
from genjax.nets.mlp import MLP, GatedMLP

__all__ = ["MLP", "ConvDecoder", "ConvEncoder", "GatedMLP", "Gelu", "Identity", "Relu", "Silu", "Tanh"]
