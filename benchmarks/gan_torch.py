"""The contender: the same pairs of nets and the same games as one writes them in plain PyTorch, as fast as they go.

Fused Adam, no gradients of the discriminator's weights in the generator's step, `pixel_shuffle` for folding; on one
thread or on all cores, maps channels first or last, data and samples in one batch or in two, whichever is faster. R1
and R2 differentiate the slope that `torch.autograd.grad(…, create_graph=True)` gives.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import side_torch
from benchmarks.side_torch import EPS, LAYOUTS, Average, Run, signed, wrapped
from benchmarks.tasks import CHANNELS, CHECKED, SIDE
from benchmarks.tasks.gan import (
    BATCHES,
    CHECK_LR,
    DECAY,
    DRAWN,
    LATENT,
    LR,
    NETS,
    Dcgan,
    R3gan,
)

lrelu = functools.partial(F.leaky_relu, negative_slope=0.2)


# --- DCGAN's nets -----------------------------------------------------------------------------------------------------


def group_norms(widths: Sequence[int]) -> nn.ModuleList:
    """Eight groups each."""
    norms = nn.ModuleList()
    for width in widths:
        norms.append(nn.GroupNorm(8, width, EPS))
    return norms


def convolutions(inputs: Sequence[int], outputs: Sequence[int]) -> nn.ModuleList:
    """3x3, the same size."""
    convs = nn.ModuleList()
    for before, after in zip(inputs, outputs, strict=True):
        convs.append(nn.Conv2d(before, after, 3, padding=1))
    return convs


def smallest(net: Dcgan) -> int:
    """The side of the last maps of DCGAN's discriminator, the first of its generator."""
    return SIDE // 2 ** len(net.widths)


class DcganGenerator(nn.Module):
    """z [B, D] -> [B, C, H, W]."""

    def __init__(self, net: Dcgan):
        super().__init__()
        widths = net.widths[::-1]  # from the smallest maps on
        self.side = smallest(net)
        features = self.side**2 * widths[0]
        self.dense = nn.Linear(LATENT, features)
        self.norm = group_norms(widths)
        following = (*widths[1:], CHANNELS)
        folded = [4 * width for width in following]  # four pixels of the next level
        self.conv = convolutions(widths, folded)

    def forward(self, z: Tensor) -> Tensor:
        maps = (-1, self.side, self.side)
        x = self.dense(z).unflatten(1, maps)
        for norm, conv in zip(self.norm, self.conv, strict=True):
            h = F.relu(norm(x))
            x = F.pixel_shuffle(conv(h), 2)  # [B, width, 2 H, 2 W]
        return torch.tanh(x)  # in [-1, 1], as the data


class DcganDiscriminator(nn.Module):
    """[B, C, H, W] -> [B]."""

    def __init__(self, net: Dcgan):
        super().__init__()
        preceding = (CHANNELS, *net.widths[:-1])
        folded = [4 * width for width in preceding]  # four pixels of the level before
        self.conv = convolutions(folded, net.widths)
        self.norm = group_norms(net.widths[1:])
        cells = smallest(net) ** 2
        features = cells * net.widths[-1]
        self.dense = nn.Linear(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        norms = (nn.Identity(), *self.norm)  # none before the first activation
        for norm, conv in zip(norms, self.conv, strict=True):
            h = conv(F.pixel_unshuffle(x, 2))  # [B, width, H / 2, W / 2]
            x = lrelu(norm(h))
        scores = self.dense(x.flatten(1))  # [B, 1]
        return scores[:, 0]


# --- R3GAN's nets -----------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """[B, C, H, W] -> the same, a residual bottleneck."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        reduce = nn.Conv2d(width, inner, 1)
        middle = nn.Conv2d(inner, inner, 3, padding=1)
        expand = nn.Conv2d(inner, width, 1, bias=False)
        self.conv = nn.ModuleList([reduce, middle, expand])

    def forward(self, x: Tensor) -> Tensor:
        h = lrelu(self.conv[0](x))
        h = lrelu(self.conv[1](h))
        return x + self.conv[2](h)


def blocks(net: R3gan, widths: Sequence[int]) -> nn.ModuleList:
    """A block for each level."""
    levels = nn.ModuleList()
    for width in widths:
        inner = net.expansion * width
        levels.append(Block(width, inner))
    return levels


def pointwise(inputs: int, outputs: int, bias: bool = False) -> nn.Conv2d:
    """1x1."""
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


def between(widths: Sequence[int]) -> list[nn.Conv2d]:
    """From each level to the next."""
    maps = []
    for before, after in itertools.pairwise(widths):
        maps.append(pointwise(before, after))
    return maps


def basis(net: R3gan) -> nn.Parameter:
    """What the smallest maps are multiplied by, [widest, side, side]."""
    largest = SIDE // net.patch
    halvings = len(net.widths) - 1
    side = largest // 2**halvings
    widest = net.widths[-1]
    values = torch.randn(widest, side, side)
    return nn.Parameter(values)


def resized(x: Tensor, factor: float) -> Tensor:
    """Bilinear, with a filter wide enough when it shrinks."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", antialias=factor < 1.0)


class R3Generator(nn.Module):
    """z [B, D] -> [B, C, H, W]."""

    def __init__(self, net: R3gan):
        super().__init__()
        self.patch = net.patch
        widths = net.widths[::-1]  # from the smallest maps on
        self.basis = basis(net)
        self.dense = nn.Linear(LATENT, widths[0], bias=False)
        folded = net.patch**2 * CHANNELS  # the pixels of a patch
        pixels = pointwise(widths[-1], folded, bias=True)
        self.conv = nn.ModuleList([*between(widths), pixels])
        self.block = blocks(net, widths)

    def forward(self, z: Tensor) -> Tensor:
        square = z.square().mean(-1, keepdim=True)
        z = z * torch.rsqrt(square + 1e-6)  # on a sphere
        weights = self.dense(z)[:, :, None, None]  # [B, widest, 1, 1]
        first, *others = self.block
        *between_levels, pixels = self.conv
        x = first(self.basis * weights)
        for conv, block in zip(between_levels, others, strict=True):
            larger = resized(conv(x), 2.0)
            x = block(larger)  # [B, width, 2 H, 2 W]
        return F.pixel_shuffle(pixels(x), self.patch)


class R3Discriminator(nn.Module):
    """[B, C, H, W] -> [B]."""

    def __init__(self, net: R3gan):
        super().__init__()
        self.patch = net.patch
        widths = net.widths
        folded = net.patch**2 * CHANNELS  # the pixels of a patch
        pixels = pointwise(folded, widths[0], bias=True)
        self.conv = nn.ModuleList([pixels, *between(widths)])
        self.block = blocks(net, widths)
        self.basis = basis(net)
        self.dense = nn.Linear(widths[-1], 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(x, self.patch)
        first, *others = self.block
        pixels, *between_levels = self.conv
        x = first(pixels(folded))
        for conv, block in zip(between_levels, others, strict=True):
            smaller = resized(x, 0.5)
            x = block(conv(smaller))  # [B, width, H / 2, W / 2]
        cells = self.basis[0].numel()
        weighed = x * self.basis
        h = weighed.sum((2, 3)) / cells**0.5  # [B, widest]
        return self.dense(h)[:, 0]


FAMILIES = {
    "dcgan": (DcganGenerator, DcganDiscriminator),
    "r3gan": (R3Generator, R3Discriminator),
}


# --- the games --------------------------------------------------------------------------------------------------------


def plain(disc: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) [B], and 0 for the slope that nobody asks for."""
    return disc(x), x.new_zeros(())


def by_autograd(disc: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) [B] and its gradient in x, which can be differentiated."""
    scores = disc(x.requires_grad_())
    (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return scores, slope


def by_func(disc: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same for torch.compile, which refuses the other: it has no second derivative of what it has compiled."""

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        scores = disc(x)
        return scores.sum(), scores

    slope, scores = torch.func.grad(total, has_aux=True)(x)
    return scores, slope


class Game(nn.Module):
    """Both players and what they minimise, of images as bytes [B, C, H, W] and z [B, D].

    The discriminator sees data and samples in so many `calls`: as one batch or as two.
    """

    def __init__(self, name: str, calls: int = 1, sloped: Callable = by_autograd):
        super().__init__()
        net = NETS[name]
        self.net, self.calls = net, calls
        self.judge = sloped if net.gamma else plain
        gen, disc = FAMILIES[name]
        self.gen = gen(net)
        self.disc = disc(net)

    def disc_loss(self, image: Tensor, z: Tensor) -> Tensor:
        """The discriminator's loss with R1 and R2."""
        with torch.no_grad():
            fakes = self.gen(z)
            x = torch.cat([signed(image), fakes])  # [2 B, C, H, W]
        parts = x.chunk(self.calls)
        # group norm sees one image at a time, so the scores are the same in one batch or in two
        judged = [self.judge(self.disc, part) for part in parts]
        scores, slopes = zip(*judged, strict=True)
        real, fake = torch.cat(scores).chunk(2)
        loss = self._of_scores(real, fake)
        # gamma / 2 E |grad D(x)|², of data (R1) and of samples (R2) together
        squares = sum(slope.square().sum() for slope in slopes)
        half = 0.5 * self.net.gamma
        penalty = half * squares / len(image)
        return loss.mean() + penalty

    def _of_scores(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.net.relativistic:
            return F.softplus(fake - real)
        return F.softplus(-real) + F.softplus(fake)

    def gen_loss(self, image: Tensor, z: Tensor) -> Tensor:
        """The generator's loss; only the relativistic game looks at the images."""
        fake = self.disc(self.gen(z))
        if not self.net.relativistic:
            return F.softplus(-fake).mean()
        with torch.no_grad():  # the generator has no part in them
            real = self.disc(signed(image))
        return F.softplus(real - fake).mean()


Losses = tuple[Tensor, Tensor]  # of the discriminator, of the generator


def stepper(
    game: Game,
    compiled: bool = False,
    lr: float = LR,
) -> tuple[Callable[..., Losses], nn.Module]:
    """A function that takes a step on (image, z of the discriminator's turn, z of the generator's) and returns both
    losses; the averaged generator."""
    gen, disc = game.gen, game.disc
    optimisers = []
    for player in (disc, gen):
        weights = player.parameters()
        adam = torch.optim.Adam(weights, lr, game.net.betas, fused=True)
        optimisers.append(adam)
    disc_loss = wrapped(game.disc_loss, compiled)
    losses = (disc_loss, wrapped(game.gen_loss, compiled))
    average = Average(gen, DECAY)  # samples are of it, for the players turn round each other

    def descend(player: int, *batch: Tensor) -> Tensor:
        optimisers[player].zero_grad(set_to_none=True)
        loss = losses[player](*batch)
        loss.backward()
        optimisers[player].step()
        return loss.detach()

    def step(image: Tensor, z_disc: Tensor, z_gen: Tensor) -> Losses:
        disc.requires_grad_(True)
        of_disc = descend(0, image, z_disc)
        disc.requires_grad_(False)  # the generator's step wants no gradients of its weights
        of_gen = descend(1, image, z_gen)
        average.update()
        return of_disc, of_gen

    return step, average.model


# --- training and sampling --------------------------------------------------------------------------------------------

CHOICES = {  # name -> (memory format, calls of the discriminator)
    "channels first, data and samples in one batch": (torch.contiguous_format, 1),
    "channels first, data and samples in two batches": (torch.contiguous_format, 2),
    "channels last, data and samples in one batch": (torch.channels_last, 1),
    "channels last, data and samples in two batches": (torch.channels_last, 2),
}


def trainer(name: str, path: str, choice: str, compiled: bool = False) -> Run:
    """A function that trains so many steps more, on the first images of the file at `path`, batches lying ready."""
    batch = NETS[name].batch
    layout, calls = CHOICES[choice]
    sloped = by_func if compiled else by_autograd
    game = Game(name, calls, sloped).to(memory_format=layout)
    step, _ = stepper(game, compiled)
    stored = np.load(path, mmap_mode="r")
    first = stored[: BATCHES * batch]
    images = side_torch.channels_first(np.array(first))  # a copy: the file is read only
    ready = itertools.cycle(images.split(batch))

    def train(steps: int) -> None:
        total = torch.zeros(())
        for _ in range(steps):
            z_disc = torch.randn(batch, LATENT)
            z_gen = torch.randn(batch, LATENT)
            of_disc, of_gen = step(next(ready), z_disc, z_gen)
            total += of_disc + of_gen
        side_torch.demand_finite(total)

    return train


def sampler(name: str, layout: str, compiled: bool = False) -> Run:
    """A function that makes so many draws with the generator, images in [0, 1]."""
    family, _ = FAMILIES[name]
    gen = family(NETS[name]).requires_grad_(False)
    gen = gen.to(memory_format=LAYOUTS[layout])

    def drawn(z: Tensor) -> Tensor:
        return 0.5 * (gen(z) + 1.0)

    images = wrapped(drawn, compiled)

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            z = torch.randn(DRAWN, LATENT)
            images(z).numpy()

    return run


def work(side: str, job: str, name: str, path: str, *how: str) -> None:
    """Chooses orders of maps and threads, or does steps or draws with what was chosen."""
    if job == "train":
        make = functools.partial(trainer, name, path)
        return side_torch.work(side, make, CHOICES, how)
    make = functools.partial(sampler, name)
    side_torch.work(side, make, LAYOUTS, how)


# --- the check --------------------------------------------------------------------------------------------------------


def check(name: str, path: str, out: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of steps on the draws saved at `path`; saves samples at `out`."""
    given = side_torch.saved(path)
    game = Game(name)
    side_torch.given_weights(game, given)
    step, average = stepper(game, lr=CHECK_LR)
    found = side_torch.empty_report(game)
    batches = zip(given["image"], given["z_disc"], given["z_gen"], strict=True)
    for image, z_disc, z_gen in itertools.islice(batches, CHECKED):
        maps = image.permute(0, 3, 1, 2)  # [B, C, H, W]
        losses = step(maps, z_disc, z_gen)
        found["loss"] += [loss.item() for loss in losses]
        for player in (game.disc, game.gen):
            found["grad_norm"].append(side_torch.gradient_norm(player))
    samples = 0.5 * (average(given["z"]) + 1.0)
    np.save(out, samples.permute(0, 2, 3, 1).numpy())
    print(json.dumps(found))


def main(side: str, *args: str) -> None:
    torch.manual_seed(0)
    if side == "check":
        return check(*args)
    work(side, *args)


if __name__ == "__main__":
    main(*sys.argv[1:])
