"""The contender: the same pairs of nets and the same games as one writes them in plain PyTorch, as fast as they go.

Fused Adam, no gradients of the discriminator's weights in the generator's step, `pixel_shuffle` for folding; on one
thread or on all cores, maps channels first or last, data and samples in one batch or in two, whichever is faster. R1
and R2 differentiate the slope that `torch.autograd.grad(…, create_graph=True)` gives.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.common import CHECKED
from benchmarks.diffusion_torch import LAYOUTS
from benchmarks.gan import BATCHES, CHANNELS, CHECK_LR, DECAY, LATENT, LR, NETS, SIDE, Dcgan, R3gan

EPS = 1e-6  # of all norms

lrelu = functools.partial(F.leaky_relu, negative_slope=0.2)


def group_norms(widths: tuple[int, ...]) -> nn.ModuleList:
    """Eight groups each."""
    return nn.ModuleList(nn.GroupNorm(8, width, EPS) for width in widths)


def convolutions(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> nn.ModuleList:
    """3x3, the same size."""
    return nn.ModuleList(
        nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, outputs, strict=True)
    )


class DcganGenerator(nn.Module):
    """z [B, D] -> [B, C, H, W]."""

    def __init__(self, net: Dcgan):
        super().__init__()
        self.side, widths = SIDE // 2 ** len(net.widths), net.widths[::-1]
        self.dense = nn.Linear(LATENT, self.side**2 * widths[0])
        self.norm = group_norms(widths)
        self.conv = convolutions(widths, tuple(4 * width for width in (*widths[1:], CHANNELS)))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.dense(z).unflatten(1, (-1, self.side, self.side))
        for norm, conv in zip(self.norm, self.conv, strict=True):
            x = F.pixel_shuffle(conv(F.relu(norm(x))), 2)
        return torch.tanh(x)


class DcganDiscriminator(nn.Module):
    """[B, C, H, W] -> [B]."""

    def __init__(self, net: Dcgan):
        super().__init__()
        self.conv = convolutions(
            tuple(4 * width for width in (CHANNELS, *net.widths[:-1])), net.widths
        )
        self.norm = group_norms(net.widths[1:])
        self.dense = nn.Linear((SIDE // 2 ** len(net.widths)) ** 2 * net.widths[-1], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for norm, conv in zip((nn.Identity(), *self.norm), self.conv, strict=True):
            x = lrelu(norm(conv(F.pixel_unshuffle(x, 2))))
        return self.dense(x.flatten(1))[:, 0]


class Block(nn.Module):
    """[B, C, H, W] -> the same, a residual bottleneck."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        sizes = ((width, inner, 1), (inner, inner, 3), (inner, width, 1))
        self.conv = nn.ModuleList(
            nn.Conv2d(a, b, k, padding=k // 2, bias=i < 2) for i, (a, b, k) in enumerate(sizes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = lrelu(self.conv[0](x))
        return x + self.conv[2](lrelu(self.conv[1](h)))


def pointwise(inputs: int, outputs: int, bias: bool = False) -> nn.Conv2d:
    """1x1."""
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


def resized(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Bilinear, with a filter wide enough when it shrinks."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", antialias=factor < 1.0)


class R3Generator(nn.Module):
    """z [B, D] -> [B, C, H, W]."""

    def __init__(self, net: R3gan):
        super().__init__()
        self.patch, widths = net.patch, net.widths[::-1]
        side = SIDE // net.patch // 2 ** (len(widths) - 1)
        self.basis = nn.Parameter(torch.randn(widths[0], side, side))
        self.dense = nn.Linear(LATENT, widths[0], bias=False)
        between = [pointwise(a, b) for a, b in itertools.pairwise(widths)]
        self.conv = nn.ModuleList(
            [*between, pointwise(widths[-1], net.patch**2 * CHANNELS, bias=True)]
        )
        self.block = nn.ModuleList(Block(width, net.expansion * width) for width in widths)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        z = z * torch.rsqrt(z.square().mean(-1, keepdim=True) + 1e-6)
        x = self.block[0](self.basis * self.dense(z)[:, :, None, None])
        for conv, block in zip(self.conv, self.block[1:], strict=False):
            x = block(resized(conv(x), 2.0))
        return F.pixel_shuffle(self.conv[-1](x), self.patch)


class R3Discriminator(nn.Module):
    """[B, C, H, W] -> [B]."""

    def __init__(self, net: R3gan):
        super().__init__()
        self.patch, widths = net.patch, net.widths
        side = SIDE // net.patch // 2 ** (len(widths) - 1)
        between = [pointwise(a, b) for a, b in itertools.pairwise(widths)]
        self.conv = nn.ModuleList(
            [pointwise(net.patch**2 * CHANNELS, widths[0], bias=True), *between]
        )
        self.block = nn.ModuleList(Block(width, net.expansion * width) for width in widths)
        self.basis = nn.Parameter(torch.randn(widths[-1], side, side))
        self.dense = nn.Linear(widths[-1], 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block[0](self.conv[0](F.pixel_unshuffle(x, self.patch)))
        for conv, block in zip(self.conv[1:], self.block[1:], strict=True):
            x = block(conv(resized(x, 0.5)))
        h = (x * self.basis).sum((2, 3)) / self.basis[0].numel() ** 0.5
        return self.dense(h)[:, 0]


FAMILIES = {"dcgan": (DcganGenerator, DcganDiscriminator), "r3gan": (R3Generator, R3Discriminator)}


def plain(disc: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """D(x) [B], and 0 for the slope that nobody asks for."""
    return disc(x), x.new_zeros(())


def by_autograd(disc: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """D(x) [B] and its gradient in x, which can be differentiated."""
    scores = disc(x.requires_grad_())
    (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return scores, slope


def by_func(disc: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for torch.compile, which refuses the other: it has no second derivative of what it has compiled."""

    def total(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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
        self.net, self.calls = NETS[name], calls
        self.judge = sloped if self.net.gamma else plain
        self.gen, self.disc = (family(self.net) for family in FAMILIES[name])

    def disc_loss(self, image: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The discriminator's loss with R1 and R2."""
        with torch.no_grad():
            x = torch.cat([signed(image), self.gen(z)])
        scores, slopes = zip(
            *(self.judge(self.disc, part) for part in x.chunk(self.calls)), strict=True
        )
        real, fake = torch.cat(scores).chunk(2)
        loss = (
            F.softplus(fake - real)
            if self.net.relativistic
            else F.softplus(-real) + F.softplus(fake)
        )
        return loss.mean() + 0.5 * self.net.gamma * sum(
            slope.square().sum() for slope in slopes
        ) / len(image)

    def gen_loss(self, image: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The generator's loss; only the relativistic game looks at the images."""
        fake = self.disc(self.gen(z))
        if not self.net.relativistic:
            return F.softplus(-fake).mean()
        with torch.no_grad():
            real = self.disc(signed(image))
        return F.softplus(real - fake).mean()


def as_is(f: Callable) -> Callable:
    """Eager mode."""
    return f


def signed(image: torch.Tensor) -> torch.Tensor:
    """Bytes to [-1, 1]."""
    return image.float().div_(127.5).sub_(1.0)


def stepper(
    game: Game, wrap: Callable, lr: float = LR
) -> tuple[Callable[..., tuple[torch.Tensor, torch.Tensor]], nn.Module]:
    """A function that takes a step on (image, z of the discriminator's turn, z of the generator's) and returns both
    losses; the averaged generator."""
    gen, disc, taken = game.gen, game.disc, 0
    optimisers = [
        torch.optim.Adam(player.parameters(), lr, game.net.betas, fused=True)
        for player in (disc, gen)
    ]
    losses = wrap(game.disc_loss), wrap(game.gen_loss)
    average = copy.deepcopy(gen).requires_grad_(False)
    averaged, weights = list(average.parameters()), list(gen.parameters())

    def descend(player: int, *batch: torch.Tensor) -> torch.Tensor:
        optimisers[player].zero_grad(set_to_none=True)
        loss = losses[player](*batch)
        loss.backward()
        optimisers[player].step()
        return loss.detach()

    def step(
        image: torch.Tensor, z_disc: torch.Tensor, z_gen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal taken
        disc.requires_grad_(True)
        of_disc = descend(0, image, z_disc)
        disc.requires_grad_(False)
        of_gen = descend(1, image, z_gen)
        with torch.no_grad():
            torch._foreach_lerp_(
                averaged, weights, 1.0 - min(DECAY, (1.0 + taken) / (10.0 + taken))
            )
        taken += 1
        return of_disc, of_gen

    return step, average


CHOICES = {  # name -> (memory format, calls)
    f"{layout}, data and samples in {calls}": (order, i)
    for layout, order in LAYOUTS.items()
    for i, calls in enumerate(("one batch", "two batches"), 1)
}


def trainer(name: str, path: str, choice: str, compiled: bool = False) -> Callable[[int], None]:
    """A function that trains so many steps more, on the first images of the file at `path`, batches lying ready."""
    batch, (layout, calls) = NETS[name].batch, CHOICES[choice]
    wrap, sloped = (
        (functools.partial(torch.compile, dynamic=False), by_func)
        if compiled
        else (as_is, by_autograd)
    )
    step, _ = stepper(Game(name, calls, sloped).to(memory_format=layout), wrap)
    images = np.array(np.load(path, mmap_mode="r")[: BATCHES * batch])
    ready = itertools.cycle(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().split(batch))

    def train(steps: int) -> None:
        total = torch.zeros(())
        for _ in range(steps):
            total += sum(step(next(ready), torch.randn(batch, LATENT), torch.randn(batch, LATENT)))
        if not torch.isfinite(total):
            raise SystemExit("PyTorch's loss is not finite")

    return train


def norm(player: nn.Module) -> float:
    """Of the gradients that the player's last step left."""
    return torch.cat([p.grad.flatten() for p in player.parameters()]).double().norm().item()


def check(name: str, path: str, out: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of steps on the draws saved at `path`; saves samples at `out`."""
    given = {what: torch.from_numpy(array) for what, array in np.load(path).items()}
    game = Game(name)
    game.load_state_dict(
        {weight: given[weight] for weight in game.state_dict()}
    )  # a wrong shape raises
    step, average = stepper(game, as_is, CHECK_LR)
    found = {"parameters": sum(p.numel() for p in game.parameters()), "loss": [], "grad_norm": []}
    for i in range(CHECKED):
        image = given["image"][i].permute(0, 3, 1, 2)
        found["loss"] += [
            loss.item() for loss in step(image, given["z_disc"][i], given["z_gen"][i])
        ]
        found["grad_norm"] += [norm(player) for player in (game.disc, game.gen)]
    samples = 0.5 * (average(given["z"]) + 1.0)
    np.save(out, samples.permute(0, 2, 3, 1).numpy())
    print(json.dumps(found))


def main(what: str, *args: str) -> None:
    torch.manual_seed(0)
    {"check": check}[what](*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
