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
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import side_torch
from benchmarks.side_torch import EPS, LAYOUTS, Run, wrapped
from benchmarks.tasks import CHANNELS, CHECKED, SIDE
from benchmarks.tasks.vae import DRAWN, LR, NETS, Net

PIXELS = (CHANNELS, SIDE, SIDE)
ADAMS = {
    "fused": {"fused": True},
    "foreach": {"foreach": True},
    "one by one": {"foreach": False},
}
FOLDS = {"pixels folded": False, "strided convolutions": True}


class Choice(NamedTuple):
    """What PyTorch may choose: arguments of Adam, the order of maps in memory, how pixels are folded into channels."""

    adam: dict = ADAMS["fused"]
    layout: torch.memory_format = torch.contiguous_format
    strided: bool = False


DEFAULTS = Choice({})  # torch.optim.Adam's own choice


# --- the nets ---------------------------------------------------------------------------------------------------------


class MLP(nn.Module):
    """Dense layers, gated by a sigmoid or with ReLU; [B, sizes[0]] -> [B, sizes[-1]]."""

    def __init__(self, sizes: tuple[int, ...], gated: bool):
        super().__init__()
        *hidden, out = sizes[1:]
        self.gated = gated
        self.hidden = nn.ModuleList()
        for inputs, width in zip(sizes, hidden, strict=False):
            outputs = 2 * width if gated else width  # both maps of a gated layer in one product
            self.hidden.append(nn.Linear(inputs, outputs))
        self.last = nn.Linear(hidden[-1], out)  # neither gate nor ReLU after it

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            h = layer(x)
            x = F.glu(h) if self.gated else F.relu(h)
        return self.last(x)


def group_norm(width: int) -> nn.GroupNorm:
    """Eight groups where they divide the channels."""
    groups = math.gcd(8, width)
    return nn.GroupNorm(groups, width, EPS)


class Folded(nn.Conv2d):
    """A 3x3 convolution of 2x2 pixels folded into channels, [B, C, H, W] -> [B, width, H / 2, W / 2]."""

    def __init__(self, inputs: int, width: int):
        super().__init__(4 * inputs, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(x, 2)  # [B, 4 C, H / 2, W / 2]
        return super().forward(patches)


def strided(inputs: int, width: int) -> nn.Conv2d:
    """The same sums of products as `Folded`, of pixels where they are: 6x6 with stride 2."""
    return nn.Conv2d(inputs, width, 6, stride=2, padding=2)


def same_size(width: int) -> nn.Conv2d:
    """3x3 from so many maps to as many."""
    return nn.Conv2d(width, width, 3, padding=1)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))))))."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.ModuleList()
        self.conv = nn.ModuleList()
        for _ in range(2):
            self.norm.append(group_norm(width))
            self.conv.append(same_size(width))

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norm, self.conv, strict=True):
            h = conv(F.silu(norm(h)))
        return x + h


class ConvEncoder(nn.Module):
    """[B, C, H, W] -> [B, 2 latent]."""

    def __init__(self, net: Net, shape: tuple[int, ...], fold: Callable):
        super().__init__()
        widths, channels = net.widths, shape[0]
        inputs = (channels, *widths[:-1])
        self.conv = nn.ModuleList(map(fold, inputs, widths))
        self.residual = nn.ModuleList(map(Residual, widths))
        last = widths[-1]
        self.norm = group_norm(last)
        pixels = math.prod(shape[1:])
        cells = pixels // 4 ** len(widths)  # of the last maps
        self.dense = nn.Linear(cells * last, 2 * net.latent)

    def forward(self, x: Tensor) -> Tensor:
        for conv, residual in zip(self.conv, self.residual, strict=True):
            x = residual(conv(x))  # [B, width, H / 2, W / 2]
        flat = F.silu(self.norm(x)).flatten(1)
        return self.dense(flat)


class ConvDecoder(nn.Module):
    """[B, latent] -> [B, C, H, W]; after every even convolution a residual block, after every odd one the unfolding."""

    def __init__(self, net: Net, shape: tuple[int, ...]):
        super().__init__()
        widths = net.widths[::-1]  # from the smallest maps on
        channels, height, width = shape
        smaller = 2 ** len(widths)
        self.shape = (widths[0], height // smaller, width // smaller)
        features = math.prod(self.shape)
        self.dense = nn.Linear(net.latent, features)
        unfolded = []
        for before, after in itertools.pairwise(widths):
            unfolded.append(nn.Conv2d(before, 4 * after, 1))
        pixels = nn.Conv2d(widths[-1], 4 * channels, 3, padding=1)
        unfolded.append(pixels)
        self.conv = nn.ModuleList()
        for maps, unfold in zip(widths, unfolded, strict=True):
            self.conv.extend([same_size(maps), unfold])
        self.residual = nn.ModuleList(map(Residual, widths))
        self.norm = group_norm(widths[-1])

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).unflatten(1, self.shape)  # [B, maps, side, side]
        last = len(self.residual) - 1
        for level, residual in enumerate(self.residual):
            # by number: a slice of a ModuleList is a new module, which takes time
            same = self.conv[2 * level]
            unfold = self.conv[2 * level + 1]
            x = residual(same(x))
            if level == last:
                x = F.silu(self.norm(x))
            folded = unfold(x)  # [B, 4 maps of the next level, H, W]
            x = F.pixel_shuffle(folded, 2)
        return x


class VAE(nn.Module):
    """Gaussian posterior, Bernoulli likelihood; images of `shape` [C, H, W], flattened for an MLP."""

    def __init__(self, net: Net, shape: tuple[int, ...] = PIXELS, fold: Callable = Folded):
        super().__init__()
        if net.widths:
            self.enc = ConvEncoder(net, shape, fold)
            self.dec = ConvDecoder(net, shape)
        else:
            pixels = math.prod(shape)
            inwards = (pixels, *net.hidden, 2 * net.latent)  # mean and log variance
            outwards = (net.latent, *net.hidden[::-1], pixels)
            self.enc = MLP(inwards, net.gated)
            self.dec = MLP(outwards, net.gated)

    def loss(self, x: Tensor, eps: Tensor) -> Tensor:
        """The negative ELBO [nats], mean over the batch; x [B, ...] in {0, 1}, eps [B, latent] normal."""
        mu, log_var = self.enc(x).chunk(2, -1)  # each [B, latent]
        log_var = log_var.clamp(-6.0, 2.0)  # as `genjax.vae` has it
        sigma = torch.exp(0.5 * log_var)
        logits = self.dec(mu + sigma * eps)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        # KL(N(mu, sigma²) || N(0, 1)), in closed form
        divergence = mu.square() + log_var.exp() - 1.0 - log_var
        rate = 0.5 * torch.sum(divergence)
        return (distortion + rate) / len(x)

    def sample(self, z: Tensor) -> Tensor:
        """E[x | z] of codes [B, latent]."""
        return torch.sigmoid(self.dec(z))


# --- training and sampling --------------------------------------------------------------------------------------------


def shaped(net: Net, images: Tensor) -> Tensor:
    """Images [N, H, W, C] as the net takes them: flat, or [N, C, H, W]."""
    if net.widths:
        return images.permute(0, 3, 1, 2).contiguous()
    return images.flatten(1)


def built(net: Net, choice: Choice) -> VAE:
    """The model as chosen."""
    fold = strided if choice.strided else Folded
    return VAE(net, fold=fold).to(memory_format=choice.layout)


def binarise(x: Tensor) -> Tensor:
    """Draws of Bernoulli(x) [B, ...]: the fast way."""
    return (torch.rand_like(x) < x).float()


def trainer(
    net: Net,
    images: Tensor,
    choice: Choice,
    compiled: bool = False,
    draw: Callable = binarise,
) -> Run:
    """A function that trains so many steps more; images are bytes as `shaped` has them."""
    model = built(net, choice)
    optimiser = torch.optim.Adam(model.parameters(), LR, **choice.adam)
    loss_fn = wrapped(model.loss, compiled)
    order = side_torch.shuffled(len(images), net.batch)

    def train(steps: int) -> None:
        total = torch.zeros(())
        for _ in range(steps):
            taken = images.index_select(0, next(order))
            x = draw(taken.float().mul_(1.0 / 255.0))
            eps = torch.randn(net.batch, net.latent)
            loss = loss_fn(x, eps)
            # to None: zeros would be one more pass over all gradients
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total += loss.detach()  # .item() would wait in every step
        side_torch.demand_finite(total)

    return train


def sampler(net: Net, choice: Choice, compiled: bool = False) -> Run:
    """A function that makes so many draws of samples."""
    model = built(net, choice).requires_grad_(False)
    sample = wrapped(model.sample, compiled)

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            z = torch.randn(DRAWN, net.latent)
            sample(z).numpy()  # on the host, as ours are brought there

    return run


def choices(net: Net, job: str) -> dict[str, Choice]:
    """What PyTorch may choose from, by its words in the table."""
    if net.widths:
        return conv_choices(job)
    if job == "train":
        # which of the three is fastest depends on the machine
        return {f"{name} Adam": Choice(adam) for name, adam in ADAMS.items()}
    return {"nothing to choose": Choice()}


def conv_choices(job: str) -> dict[str, Choice]:
    """Of the convolutional net."""
    orders = {name: Choice(layout=layout) for name, layout in LAYOUTS.items()}
    if job == "sample":  # a decoder folds nothing
        return orders
    named = {}
    for order, choice in orders.items():
        for way, is_strided in FOLDS.items():
            named[f"{order}, {way}"] = choice._replace(strided=is_strided)
    return named


def maker(job: str, net: Net, path: str) -> Callable[..., Run]:
    """make(choice, compiled=False) -> a function that does so many steps or draws."""
    if job == "sample":
        return functools.partial(sampler, net)
    images = shaped(net, torch.from_numpy(np.load(path)))  # all of them in memory, as bytes
    return functools.partial(trainer, net, images)


# --- the check --------------------------------------------------------------------------------------------------------


def spread(weight: Tensor) -> Tensor:
    """The weight [width, 4 C, 3, 3] of `Folded` as that of `strided`, [width, C, 6, 6]."""
    parts = weight.unflatten(1, (-1, 2, 2))  # [width, C, row in the patch, column in it, 3, 3]
    interleaved = parts.permute(0, 1, 4, 2, 5, 3)  # [width, C, 3, row, 3, column]
    return interleaved.flatten(4, 5).flatten(2, 3)


def given_weights(model: VAE, given: dict[str, Tensor]) -> None:
    """Loads the weights, those of folded pixels spread where the model has strided convolutions."""
    for name, value in model.named_parameters():
        known = given[name]
        if known.shape[2:] != value.shape[2:]:
            known = spread(known)
        value.data.copy_(known)  # a wrong shape raises


def steps_of(model: VAE, images: list[Tensor], noise: Tensor) -> dict:
    """What Adam steps on the images [B, ...] with the noise [steps, B, latent] find."""
    optimiser = torch.optim.Adam(model.parameters(), LR)
    found = side_torch.empty_report(model)
    for x, eps in zip(images, noise, strict=True):
        loss = model.loss(x, eps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        found["loss"].append(loss.item())
        found["grad_norm"].append(side_torch.gradient_norm(model))
    return found


def check(net: Net, path: str, out: str) -> None:
    """Prints {way: {"parameters", "loss", "grad_norm"}} of Adam steps with the weights and the noise saved at `path`.

    Saves samples at `out`, those of each way; the ways are those of folding pixels, one for an MLP.
    """
    given = side_torch.saved(path)
    binary = given["x"][:CHECKED]
    noise = given["eps"][:CHECKED]
    images = [shaped(net, x) for x in binary]
    *_, height, width, channels = binary.shape  # [steps, B, H, W, C]
    ways = FOLDS if net.widths else {"dense": False}  # an MLP folds nothing
    found, samples = {}, {}
    for way, is_strided in ways.items():
        fold = strided if is_strided else Folded
        model = VAE(net, (channels, height, width), fold)
        given_weights(model, given)
        found[way] = steps_of(model, images, noise)
        drawn = model.sample(given["z"]).detach()
        channels_last = drawn.permute(0, 2, 3, 1) if net.widths else drawn
        samples[way] = channels_last.numpy()
    np.savez(out, **samples)
    print(json.dumps(found))


def main(side: str, *args: str) -> None:
    torch.manual_seed(0)
    if side == "check":
        name, *paths = args
        return check(NETS[name], *paths)
    job, name, path, *how = args
    net = NETS[name]
    make = maker(job, net, path)
    named = choices(net, job)
    if side == "defaults":
        unmeasured = functools.partial(make, DEFAULTS, draw=torch.bernoulli)
        return side_torch.serve(unmeasured, torch.get_num_threads())
    side_torch.work(
        side,
        lambda choice, compiled: make(named[choice], compiled),
        named,
        tuple(how),
        1 if net.widths else 10,  # steps of an MLP are short
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
