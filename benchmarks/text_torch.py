"""The contender: the transformer of `genjax.nets` as one writes it in plain PyTorch, and as fast as it goes.

Fused Adam and `scaled_dot_product_attention`; tokens in memory; on one thread or on all cores, whichever is faster.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import side_torch
from benchmarks.side_torch import EPS, Average, Run, wrapped
from benchmarks.tasks import CHECKED
from benchmarks.tasks.text import BASE, DECAY, END, LR, NET, VOCABULARY

LOG2 = math.log(2.0)  # nats in a bit
CHOICES = ("as it is",)  # there are no maps to put in order
Turn = tuple[Tensor, Tensor]


# --- the net ----------------------------------------------------------------------------------------------------------


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs (x_i, x_{i + d/2}) of [B, heads, N, d] by the angles whose cos and sin are [N, d / 2]."""
    a, b = x.chunk(2, -1)
    first = a * cos - b * sin
    second = a * sin + b * cos
    return torch.cat([first, second], -1)


def turns(size: int) -> Turn:
    """(cos, sin) [N, size / 2] for heads of `size` channels."""
    share = torch.arange(size // 2) / (size // 2)
    speed = BASE**-share
    angles = torch.arange(NET.length)[:, None] * speed
    return angles.cos(), angles.sin()


def layer_norm(x: Tensor) -> Tensor:
    """Over the last axis, with no weights of its own."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


class Block(nn.Module):
    """Attention and two layers, each behind a norm, [B, N, D] -> [B, N, D]."""

    def __init__(self, causal: bool):
        super().__init__()
        self.causal = causal
        width, hidden = NET.width, NET.mlp_ratio * NET.width
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_0 = nn.Linear(width, hidden)
        self.mlp_1 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        x = x + self._attended(layer_norm(x), turn)
        inner = F.gelu(self.mlp_0(layer_norm(x)), approximate="tanh")
        return x + self.mlp_1(inner)

    def _attended(self, x: Tensor, turn: Turn) -> Tensor:
        split = self.qkv(x).unflatten(-1, (3, NET.heads, -1))  # [B, N, 3, heads, d]
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each [B, heads, N, d]
        q = rotate(q, *turn)
        k = rotate(k, *turn)
        h = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        joined = h.transpose(1, 2).flatten(2)  # [B, N, D]
        return self.out(joined)


class Transformer(nn.Module):
    """Tokens [B, N] below V + 1 -> logits [B, N, V]."""

    def __init__(self, causal: bool):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY + 1, NET.width)
        self.places = None
        if not causal:
            start = 0.02 * torch.randn(NET.length, NET.width)
            self.places = nn.Parameter(start)
        self.blocks = nn.ModuleList(Block(causal) for _ in range(NET.depth))
        self.last = nn.Linear(NET.width, VOCABULARY)
        cos, sin = turns(NET.width // NET.heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if self.places is not None:
            x = x + self.places
        for block in self.blocks:
            x = block(x, (self.cos, self.sin))
        return self.last(layer_norm(x))


# --- the losses -------------------------------------------------------------------------------------------------------


def costs(logits: Tensor, x: Tensor) -> Tensor:
    """What each token costs, nats [B, N]."""
    flat = F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none")
    return flat.view_as(x)


def causal_loss(net: Transformer, x: Tensor) -> Tensor:
    """Bits a token, of all up to the first end."""
    begin = torch.full_like(x[:, :1], VOCABULARY)
    before = torch.cat([begin, x[:, :-1]], 1)
    ends = torch.cumsum(x == END, 1) - (x == END).long()
    inside = ends == 0
    nats = (costs(net(before), x) * inside).sum(1)
    return (nats / inside.sum(1)).mean() / LOG2


def masked_loss(net: Transformer, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """The bound in bits a token; z [B, N] is x with a share t [B] of it hidden."""
    hidden = z == VOCABULARY
    nats = (costs(net(z), x) * hidden).sum(1)
    return (nats / t).mean() / LOG2 / NET.length


LOSSES = {"causal": causal_loss, "masked": masked_loss}


def drawn(name: str, x: Tensor) -> tuple[Tensor, ...]:
    """What a loss is given of texts [B, N]."""
    if name == "causal":
        return (x,)
    # evenly spread over the batch, as ours are
    t = (torch.rand(()) + torch.arange(len(x)) / len(x)) % 1.0
    t = t.clamp(1e-5, 1.0)
    z = torch.where(torch.rand(x.shape) < t[:, None], VOCABULARY, x)
    return x, z, t


# --- training ---------------------------------------------------------------------------------------------------------


def stepper(name: str, net: Transformer, compiled: bool) -> Callable[..., Tensor]:
    """A function that takes one step on what the loss is given, and returns the loss."""
    optimiser = torch.optim.Adam(net.parameters(), LR, fused=True)  # one pass over the weights
    loss_fn = wrapped(functools.partial(LOSSES[name], net), compiled)
    average = Average(net, DECAY)

    def step(*batch: Tensor) -> Tensor:
        loss = loss_fn(*batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update()
        return loss.detach()

    return step


def trainer(name: str, path: str, choice: str, compiled: bool = False) -> Run:
    """A function that trains so many steps more on the windows of the file at `path`."""
    windows = torch.from_numpy(np.load(path)).long()
    step = stepper(name, Transformer(name == "causal"), compiled)
    order = side_torch.shuffled(len(windows), NET.batch)

    def train(steps: int) -> None:
        total = torch.zeros(())
        for _ in range(steps):
            x = windows.index_select(0, next(order))
            total += step(*drawn(name, x))
        side_torch.demand_finite(total)

    return train


def check(name: str, path: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of Adam steps on the draws saved at `path`."""
    given = side_torch.saved(path)
    net = Transformer(name == "causal")
    side_torch.given_weights(net, given)
    step = stepper(name, net, compiled=False)
    found = side_torch.empty_report(net)
    names = ("x", "z", "t") if name == "masked" else ("x",)
    # numbers of tokens are int64 here
    parts = [given[each] if each == "t" else given[each].long() for each in names]
    for batch in itertools.islice(zip(*parts, strict=True), CHECKED):
        loss = step(*batch)
        found["loss"].append(loss.item())
        found["grad_norm"].append(side_torch.gradient_norm(net))
    print(json.dumps(found))


def main(side: str, name: str, path: str, *how: str) -> None:
    torch.manual_seed(0)
    if side == "check":
        return check(name, path)
    make = functools.partial(trainer, name, path)
    side_torch.work(side, make, CHOICES, how)


if __name__ == "__main__":
    main(*sys.argv[1:])
