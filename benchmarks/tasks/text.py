"""A causal transformer and masked diffusion on bytes of text, in the sizes of `python -m experiments.text corpus`.

Causal: the bits a token of text whose end is token 0. Masked: at a time t in (0, 1) every token is hidden with the
chance t, and the bits of what is hidden are weighted by 1 / t. Adam, an average of the weights. Work is counted by
hand: `flops` are two for each multiplication.
"""

from __future__ import annotations

from typing import NamedTuple

LR = 2e-3
DECAY = 0.99  # of the average of the weights
VOCABULARY = 256  # the number behind it begins a text, or hides a token
END = 0
BASE = 10_000.0  # of the rotary positions
KINDS = ("causal", "masked")


class Transformer(NamedTuple):
    """The net of both."""

    width: int = 128
    depth: int = 3
    heads: int = 4
    mlp_ratio: int = 4
    length: int = 128
    batch: int = 32

    def flops(self) -> float:
        """Of the products in a forward pass of one text."""
        n, d = self.length, self.width
        attention = (
            4 * n * d * d + 2 * n * n * d
        )  # qkv and out; scores and their sums, those ahead too
        mlp = 2 * n * self.mlp_ratio * d * d
        last = n * d * VOCABULARY
        return 2.0 * (self.depth * (attention + mlp) + last)

    def work(self) -> float:
        """FLOPs of a training step: the gradient costs two more forward passes."""
        return self.flops() * (3 * self.batch)


NET = Transformer()
