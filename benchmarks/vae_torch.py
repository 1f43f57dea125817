"""The contender: the VAE of `genjax.vae` written as one would in plain PyTorch, and as fast as its eager mode goes.

Both maps of a gated layer are one matrix product (`F.glu`), the images wait in memory as bytes and a batch is one
`index_select` (no DataLoader: its workers cost more than the step), binarisation is `rand < x` (on CPU three times
faster than `torch.bernoulli`). Of Adam's three implementations, on one thread or on all cores, the fastest is used.
The side `defaults` is what one writes without measuring: `torch.optim.Adam(parameters)`, `torch.bernoulli`, all cores.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.common import CHECKED, LR
from benchmarks.turns import blocks
from benchmarks.vae import NETS, Net

DEFAULTS = {}  # torch.optim.Adam's own choice
ADAMS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "one by one": {"foreach": False}}


class MLP(nn.Module):
    """Dense layers, gated by a sigmoid or with ReLU."""

    def __init__(self, sizes: tuple[int, ...], gated: bool):
        super().__init__()
        *hidden, out = sizes[1:]
        self.gated = gated
        self.hidden = nn.ModuleList(nn.Linear(a, b * (1 + gated)) for a, b in zip(sizes, hidden, strict=False))
        self.last = nn.Linear(hidden[-1], out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.hidden:
            x = F.glu(layer(x)) if self.gated else F.relu(layer(x))
        return self.last(x)


class VAE(nn.Module):
    """Gaussian posterior, Bernoulli likelihood."""

    def __init__(self, net: Net, pixels: int):
        super().__init__()
        self.enc = MLP((pixels, *net.hidden, 2 * net.latent), net.gated)
        self.dec = MLP((net.latent, *net.hidden[::-1], pixels), net.gated)

    def loss(self, x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """The negative ELBO [nats], mean over the batch; x [B, pixels] in {0, 1}, eps [B, latent] normal."""
        mu, log_var = self.enc(x).chunk(2, -1)
        log_var = log_var.clamp(-6.0, 2.0)
        logits = self.dec(mu + torch.exp(0.5 * log_var) * eps)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * torch.sum(mu.square() + log_var.exp() - 1.0 - log_var)
        return (distortion + rate) / len(x)


def binarise(x: torch.Tensor) -> torch.Tensor:
    """Draws of Bernoulli(x) [B, pixels]: the fast way."""
    return (torch.rand_like(x) < x).float()


def trainer(
    net: Net, images: torch.Tensor, adam: dict, loss: Callable = lambda f: f, draw: Callable = binarise
) -> Callable[[int], None]:
    """A function that trains so many steps more; `loss` wraps the model's loss (torch.compile)."""
    model = VAE(net, images.shape[1])
    optimiser, loss_fn = torch.optim.Adam(model.parameters(), LR, **adam), loss(model.loss)
    order, at = torch.randperm(len(images)), 0

    def train(steps: int) -> None:
        nonlocal order, at
        total = torch.zeros(())
        for _ in range(steps):
            if at + net.batch > len(images):
                order, at = torch.randperm(len(images)), 0
            x = draw(images.index_select(0, order[at : at + net.batch]).float().mul_(1.0 / 255.0))
            value = loss_fn(x, torch.randn(net.batch, net.latent))
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            total += value.detach()
            at += net.batch
        if not torch.isfinite(total):
            raise SystemExit("PyTorch's loss is not finite")

    return train


def fastest(jobs: dict[str, Callable[[int], None]], rounds: int = 4, steps: int = 10) -> tuple[int, str]:
    """The number of threads and the name in `jobs` that are fastest here and now, by medians of alternating blocks.

    The threads are chosen with the first of the jobs. One can win: OpenMP's threads wait for each other after every
    operation, which is dear on a busy machine.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def best(choices: list[tuple[int, str]]) -> tuple[int, str]:
        if len(choices) == 1:
            return choices[0]
        seconds = {choice: [] for choice in choices}
        for threads, name in choices * rounds:
            torch.set_num_threads(threads)
            start = time.perf_counter()
            jobs[name](steps)
            seconds[threads, name].append(time.perf_counter() - start)
        return min(choices, key=lambda choice: statistics.median(seconds[choice][1:]))  # the first warms up

    threads, _ = best([(n, next(iter(jobs))) for n in sorted({1, cores})])
    return best([(threads, name) for name in jobs])


def check(net: Net, path: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of Adam steps with the weights and the noise saved at `path`."""
    given = np.load(path)
    model = VAE(net, given["x"].shape[-1])
    optimiser = torch.optim.Adam(model.parameters(), LR)
    for name, value in model.named_parameters():
        value.data.copy_(torch.from_numpy(given[name]))  # a wrong shape raises
    found = {"parameters": sum(p.numel() for p in model.parameters()), "loss": [], "grad_norm": []}
    for i in range(CHECKED):
        loss = model.loss(torch.from_numpy(given["x"][i]), torch.from_numpy(given["eps"][i]))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        found["loss"].append(loss.item())
        found["grad_norm"].append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
    print(json.dumps(found))


def main(side: str, name: str, path: str) -> None:
    torch.manual_seed(0)
    net = NETS[name]
    if side == "check":
        return check(net, path)
    images = torch.from_numpy(np.load(path)).flatten(1)
    if side == "defaults":
        threads, adam, train = torch.get_num_threads(), "default", trainer(net, images, DEFAULTS, draw=torch.bernoulli)
    else:
        threads, adam = fastest({name: trainer(net, images, adam) for name, adam in ADAMS.items()})
        torch.set_num_threads(threads)
        wrap = functools.partial(torch.compile, dynamic=False) if side == "compile" else lambda f: f
        train = trainer(net, images, ADAMS[adam], wrap)
    train(3)  # a compiler that does not work here fails before the worker says that it is ready
    for steps in blocks(adam=adam, threads=threads):
        train(steps)


if __name__ == "__main__":
    main(*sys.argv[1:])
