"""Floating-point operations of nets by hand: what their matrix products cost, before anything is built or compiled.

A net's `flops(shape, out, told)` is one forward pass of one example: two operations for each multiplication with its
addition, in dense layers, convolutions and attention's two products. Norms, activations and softmax are left out: in
nets that are worth counting they are a few percent. Papers on transformers print half of this number as "Gflops".
"""

from __future__ import annotations

import math
from typing import NamedTuple

TRAINING = 3  # a step costs the forward pass, and twice that for the gradients of inputs and of weights


class Told(NamedTuple):
    """The sizes of what a net is told, as `conditions.Cond` holds it; maps are channels of the input's shape."""

    vector: int = 0  # values of the vector
    tokens: tuple[int, int] = (0, 0)  # length of the sequence, values of a token
    clocks: int = 1  # times that the net sees


NOTHING = Told()


def dense(rows: int, inputs: int, outputs: int) -> int:
    """A layer from `inputs` to `outputs` values on each of some rows."""
    return 2 * rows * inputs * outputs


def convolution(pixels: int, side: int, inputs: int, outputs: int) -> int:
    """A layer of side x side taps at every pixel, those at the border counted as if they were within."""
    return dense(pixels, side * side * inputs, outputs)


def attention(tokens: int, width: int) -> int:
    """Self-attention: the four layers and the two products with scores of every pair."""
    layers = dense(tokens, width, 3 * width) + dense(tokens, width, width)
    return layers + scores(tokens, tokens, width)


def scores(tokens: int, length: int, width: int) -> int:
    """q k' and its product with v, of `tokens` that attend to `length` others; all heads together are as one."""
    return 2 * dense(tokens, width, length)


def chain(rows: int, *sizes: int) -> int:
    """Dense layers one after the other, of these sizes."""
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    return sum(dense(rows, inputs, outputs) for inputs, outputs in pairs)


def condition(width: int, told: Told, features: int) -> int:
    """`blocks.Condition`: two layers on the features of all clocks, one on the vector."""
    clocks = chain(1, told.clocks * features, width, width)
    return clocks + dense(1, told.vector, width)


def flat(shape: tuple[int, ...], told: Told) -> int:
    """The values that a net of dense layers sees of an input that is joined with what it is told."""
    return math.prod(shape) + told.vector + math.prod(told.tokens)
