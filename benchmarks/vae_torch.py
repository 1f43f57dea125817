"""The contender: the VAEs of `genjax.vae` written as one would in plain PyTorch, and as fast as its eager mode goes.

Both maps of a gated layer are one matrix product (`F.glu`), the images wait in memory as bytes and a batch is one
`index_select` (no DataLoader: its workers cost more than the step), binarisation is `rand < x` (on CPU three times
faster than `torch.bernoulli`). For an MLP the fastest of Adam's three implementations is used; for the convolutional
net maps channels first or last, and 3x3 convolutions of folded pixels as such or as 6x6 ones with stride 2; for all of
them one thread or all cores. The side `defaults` is what one writes without measuring:
`torch.optim.Adam(parameters)`, `torch.bernoulli`, all cores.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.common import CHECKED, LR
from benchmarks.turns import blocks
from benchmarks.vae import DRAWN, NETS, Net

EPS = 1e-6  # of all norms
PIXELS = (1, 28, 28)
ADAMS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "one by one": {"foreach": False}}
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
FOLDS = {"pixels folded": False, "strided convolutions": True}


class Choice(NamedTuple):
    """What PyTorch may choose: arguments of Adam, the order of maps in memory, how pixels are folded into channels."""

    adam: dict = ADAMS["fused"]
    layout: torch.memory_format = torch.contiguous_format
    strided: bool = False


DEFAULTS = Choice({})  # torch.optim.Adam's own choice


class MLP(nn.Module):
    """Dense layers, gated by a sigmoid or with ReLU."""

    def __init__(self, sizes: tuple[int, ...], gated: bool):
        super().__init__()
        *hidden, out = sizes[1:]
        self.gated = gated
        self.hidden = nn.ModuleList(
            nn.Linear(a, b * (1 + gated)) for a, b in zip(sizes, hidden, strict=False)
        )
        self.last = nn.Linear(hidden[-1], out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.hidden:
            x = F.glu(layer(x)) if self.gated else F.relu(layer(x))
        return self.last(x)


def group_norm(width: int) -> nn.GroupNorm:
    """Eight groups where they divide the channels."""
    return nn.GroupNorm(math.gcd(8, width), width, EPS)


class Folded(nn.Conv2d):
    """A 3x3 convolution of 2x2 pixels folded into channels, [B, C, H, W] -> [B, width, H / 2, W / 2]."""

    def __init__(self, inputs: int, width: int):
        super().__init__(4 * inputs, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pixel_unshuffle(x, 2))


def strided(inputs: int, width: int) -> nn.Conv2d:
    """The same sums of products as `Folded`, of pixels where they are: 6x6 with stride 2."""
    return nn.Conv2d(inputs, width, 6, stride=2, padding=2)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))))))."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.ModuleList(group_norm(width) for _ in range(2))
        self.conv = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv[0](F.silu(self.norm[0](x)))
        return x + self.conv[1](F.silu(self.norm[1](h)))


class ConvEncoder(nn.Module):
    """[B, C, H, W] -> [B, 2 latent]."""

    def __init__(self, net: Net, shape: tuple[int, ...], fold: Callable):
        super().__init__()
        widths, cells = net.widths, math.prod(shape[1:]) // 4 ** len(net.widths)
        self.conv = nn.ModuleList(
            fold(a, b) for a, b in zip((shape[0], *widths), widths, strict=False)
        )
        self.residual = nn.ModuleList(map(Residual, widths))
        self.norm = group_norm(widths[-1])
        self.dense = nn.Linear(cells * widths[-1], 2 * net.latent)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv, residual in zip(self.conv, self.residual, strict=True):
            x = residual(conv(x))
        return self.dense(F.silu(self.norm(x)).flatten(1))


class ConvDecoder(nn.Module):
    """[B, latent] -> [B, C, H, W]; after every even convolution a residual block, after every odd one the unfolding."""

    def __init__(self, net: Net, shape: tuple[int, ...]):
        super().__init__()
        widths, (height, width) = (
            net.widths[::-1],
            (side // 2 ** len(net.widths) for side in shape[1:]),
        )
        self.shape = (widths[0], height, width)
        self.dense = nn.Linear(net.latent, math.prod(self.shape))
        same = [nn.Conv2d(a, a, 3, padding=1) for a in widths]
        fewer = [nn.Conv2d(a, 4 * b, 1) for a, b in itertools.pairwise(widths)]
        pixels = nn.Conv2d(widths[-1], 4 * shape[0], 3, padding=1)
        pairs = zip(same, [*fewer, pixels], strict=True)
        self.conv = nn.ModuleList(conv for pair in pairs for conv in pair)
        self.residual = nn.ModuleList(map(Residual, widths))
        self.norm = group_norm(widths[-1])

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.dense(z).unflatten(1, self.shape)
        for i, residual in enumerate(self.residual):
            x = residual(self.conv[2 * i](x))
            x = F.silu(self.norm(x)) if i == len(self.residual) - 1 else x
            x = F.pixel_shuffle(self.conv[2 * i + 1](x), 2)
        return x


class VAE(nn.Module):
    """Gaussian posterior, Bernoulli likelihood; images of `shape` [C, H, W], flattened for an MLP."""

    def __init__(self, net: Net, shape: tuple[int, ...] = PIXELS, fold: Callable = Folded):
        super().__init__()
        if net.widths:
            self.enc, self.dec = ConvEncoder(net, shape, fold), ConvDecoder(net, shape)
        else:
            pixels = math.prod(shape)
            self.enc = MLP((pixels, *net.hidden, 2 * net.latent), net.gated)
            self.dec = MLP((net.latent, *net.hidden[::-1], pixels), net.gated)

    def loss(self, x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """The negative ELBO [nats], mean over the batch; x [B, ...] in {0, 1}, eps [B, latent] normal."""
        mu, log_var = self.enc(x).chunk(2, -1)
        log_var = log_var.clamp(-6.0, 2.0)
        logits = self.dec(mu + torch.exp(0.5 * log_var) * eps)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * torch.sum(mu.square() + log_var.exp() - 1.0 - log_var)
        return (distortion + rate) / len(x)

    def sample(self, z: torch.Tensor) -> torch.Tensor:
        """E[x | z] of codes [B, latent]."""
        return torch.sigmoid(self.dec(z))


def shaped(net: Net, images: torch.Tensor) -> torch.Tensor:
    """Images [N, H, W, C] as the net takes them: flat, or [N, C, H, W]."""
    return images.permute(0, 3, 1, 2).contiguous() if net.widths else images.flatten(1)


def built(net: Net, choice: Choice) -> VAE:
    """The model as chosen."""
    return VAE(net, fold=strided if choice.strided else Folded).to(memory_format=choice.layout)


def wrapped(fn: Callable, compiled: bool) -> Callable:
    """`fn` itself, or compiled."""
    return torch.compile(fn, dynamic=False) if compiled else fn


def binarise(x: torch.Tensor) -> torch.Tensor:
    """Draws of Bernoulli(x) [B, ...]: the fast way."""
    return (torch.rand_like(x) < x).float()


def trainer(
    net: Net,
    images: torch.Tensor,
    choice: Choice,
    compiled: bool = False,
    draw: Callable = binarise,
) -> Callable[[int], None]:
    """A function that trains so many steps more; images are bytes as `shaped` has them."""
    model = built(net, choice)
    optimiser, loss_fn = (
        torch.optim.Adam(model.parameters(), LR, **choice.adam),
        wrapped(model.loss, compiled),
    )
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


def sampler(net: Net, choice: Choice, compiled: bool = False) -> Callable[[int], None]:
    """A function that makes so many draws of samples."""
    sample = wrapped(built(net, choice).requires_grad_(False).sample, compiled)

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            sample(torch.randn(DRAWN, net.latent)).numpy()

    return run


def choices(net: Net, job: str) -> dict[str, Choice]:
    """What PyTorch may choose from, by its words in the table."""
    if not net.widths:
        named = {f"{name} Adam": Choice(adam) for name, adam in ADAMS.items()}
        return named if job == "train" else {"nothing to choose": Choice()}
    if job == "sample":
        return {name: Choice(layout=layout) for name, layout in LAYOUTS.items()}
    return {
        f"{order}, {way}": Choice(layout=layout, strided=is_strided)
        for order, layout in LAYOUTS.items()
        for way, is_strided in FOLDS.items()
    }


def maker(job: str, net: Net, path: str) -> Callable[..., Callable[[int], None]]:
    """make(choice, compiled=False) -> a function that does so many steps or draws."""
    if job == "sample":
        return functools.partial(sampler, net)
    return functools.partial(trainer, net, shaped(net, torch.from_numpy(np.load(path))))


def fastest(
    jobs: dict[str, Callable[[int], None]], rounds: int = 4, steps: int = 10
) -> tuple[int, str]:
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
        return min(
            choices, key=lambda choice: statistics.median(seconds[choice][1:])
        )  # the first warms up

    threads, _ = best([(n, next(iter(jobs))) for n in sorted({1, cores})])
    return best([(threads, name) for name in jobs])


def choose(jobs: dict[str, Callable[[int], None]], rounds: int = 5, steps: int = 1) -> None:
    """Prints the choice and the threads that eager mode is fastest with; the workers hold only what was chosen."""
    threads, choice = fastest(jobs, rounds, steps)
    print(json.dumps({"choice": choice, "threads": threads}))


def serve(make: Callable[[], Callable[[int], None]], threads: int) -> None:
    """Blocks of what `make` makes; the first step, with compiling, is in the first block."""
    torch.set_num_threads(threads)
    run = make()
    for steps in blocks():
        run(steps)


def check(net: Net, path: str, out: str) -> None:
    """Prints {way: {"parameters", "loss", "grad_norm"}} of Adam steps with the weights and the noise saved at `path`.

    Saves samples at `out`, those of each way; the ways are those of folding pixels, one for an MLP.
    """
    given = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    x, found, samples = [shaped(net, x) for x in given["x"]], {}, {}
    for way, is_strided in FOLDS.items() if net.widths else [("dense", False)]:
        model = VAE(
            net, given["x"].shape[-1:] + given["x"].shape[2:4], strided if is_strided else Folded
        )
        optimiser = torch.optim.Adam(model.parameters(), LR)
        for name, value in model.named_parameters():
            known = given[name]
            value.data.copy_(
                spread(known) if known.shape[2:] != value.shape[2:] else known
            )  # a wrong shape raises
        of = found[way] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "loss": [],
            "grad_norm": [],
        }
        for i in range(CHECKED):
            loss = model.loss(x[i], given["eps"][i])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            of["loss"].append(loss.item())
            of["grad_norm"].append(
                torch.cat([p.grad.flatten() for p in model.parameters()]).double().norm().item()
            )
        drawn = model.sample(given["z"]).detach()
        samples[way] = (drawn.permute(0, 2, 3, 1) if net.widths else drawn).numpy()
    np.savez(out, **samples)
    print(json.dumps(found))


def spread(weight: torch.Tensor) -> torch.Tensor:
    """The weight [width, 4 C, 3, 3] of `Folded` as that of `strided`, [width, C, 6, 6]."""
    parts = weight.unflatten(1, (-1, 2, 2))  # [width, C, row in the patch, column in it, 3, 3]
    return parts.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


def main(side: str, *args: str) -> None:
    torch.manual_seed(0)
    if side == "check":
        name, *paths = args
        return check(NETS[name], *paths)
    job, name, path, *how = args
    net = NETS[name]
    make, named = maker(job, net, path), choices(net, job)
    if side == "choose":
        return choose(
            {words: make(choice) for words, choice in named.items()}, 5, 1 if net.widths else 10
        )
    if side == "defaults":
        return serve(
            functools.partial(make, DEFAULTS, draw=torch.bernoulli), torch.get_num_threads()
        )
    choice, threads = how
    serve(functools.partial(make, named[choice], side == "compile"), int(threads))


if __name__ == "__main__":
    main(*sys.argv[1:])
