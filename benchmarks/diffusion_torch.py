"""The contender: the DiT and the U-Net of `genjax.nets` as one writes them in plain PyTorch, and as fast as they go.

Fused Adam, `scaled_dot_product_attention`, strided convolutions and `pixel_shuffle` for patches, images in memory as
bytes; on one thread or on all cores, the U-Net's maps channels first or last, whichever is faster: `diffusion.worker`.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.common import CHECKED, LR
from benchmarks.diffusion import (
    CHANNELS,
    CLASSES,
    DECAY,
    DROP,
    FEATURES,
    FIRST,
    FREQUENCY,
    NETS,
    SAMPLES,
    SIDE,
    STD,
    STEPS,
    Transformer,
    Unet,
)

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
EPS = 1e-6  # of all norms
Turn = tuple[torch.Tensor, torch.Tensor]


class Condition(nn.Module):
    """Time [B] and label [B, classes] -> [B, width]."""

    def __init__(self, width: int):
        super().__init__()
        self.time_0 = nn.Linear(FEATURES, width)
        self.time_1 = nn.Linear(width, width)
        self.label = nn.Linear(CLASSES, width, bias=False)
        clocks = torch.from_numpy(np.geomspace(1.0, FREQUENCY, FEATURES // 2)).float()
        self.register_buffer("clocks", clocks, persistent=False)

    def forward(self, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        angles = t[:, None] * self.clocks
        h = F.silu(self.time_0(torch.cat([angles.cos(), angles.sin()], -1)))
        return F.silu(self.time_1(h) + self.label(label))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns the pairs (x_i, x_{i + d/2}) of [B, heads, N, d] by the angles whose cos and sin are [N, d / 2]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Attention(nn.Module):
    """Self-attention [B, N, D] -> [B, N, D] with RMS norm of queries and keys."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.RMSNorm(width // heads, EPS)
        self.k_norm = nn.RMSNorm(width // heads, EPS)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, turn: Turn | None = None) -> torch.Tensor:
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # each [B, heads, N, d]
        q, k = self.q_norm(q), self.k_norm(k)
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        h = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return self.out(h.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """An adaLN-zero block."""

    def __init__(self, width: int, heads: int, mlp_ratio: int):
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = Attention(width, heads)
        self.mlp_0 = nn.Linear(width, mlp_ratio * width)
        self.mlp_1 = nn.Linear(mlp_ratio * width, width)

    def forward(self, x: torch.Tensor, condition: torch.Tensor, turn: Turn) -> torch.Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(
            6, -1
        )
        h = F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(h, turn)
        h = F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale2) + shift2
        return x + gate2 * self.mlp_1(F.gelu(self.mlp_0(h), approximate="tanh"))


def turns(side: int, size: int, base: float = 100.0) -> Turn:
    """(cos, sin) [side * side, size / 2] of axial rotary positions for heads of `size` channels."""
    speed = base ** -(torch.arange(size // 4) / (size // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.cat([row.reshape(-1, 1) * speed, column.reshape(-1, 1) * speed], -1)
    return angles.cos(), angles.sin()


class DiT(nn.Module):
    """(x [B, C, H, W], time [B], label [B, classes]) -> [B, C, H, W]."""

    def __init__(self, net: Transformer):
        super().__init__()
        self.patch, self.side, width = net.patch, SIDE // net.patch, net.width
        self.patches = nn.Conv2d(CHANNELS, width, net.patch, net.patch)
        self.condition = Condition(width)
        self.blocks = nn.ModuleList(
            Block(width, net.heads, net.mlp_ratio) for _ in range(net.depth)
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.last = nn.Linear(width, net.patch**2 * CHANNELS)
        for name, value in zip(("cos", "sin"), turns(self.side, width // net.heads), strict=True):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: torch.Tensor, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        condition = self.condition(t, label)
        for block in self.blocks:
            tokens = block(tokens, condition, (self.cos, self.sin))
        shift, scale = self.modulation(condition)[:, None].chunk(2, -1)
        tokens = self.last(F.layer_norm(tokens, tokens.shape[-1:], eps=EPS) * (1 + scale) + shift)
        return F.pixel_shuffle(
            tokens.transpose(1, 2).unflatten(2, (self.side, self.side)), self.patch
        )


def group_norm(width: int) -> nn.GroupNorm:
    """Eight groups."""
    return nn.GroupNorm(8, width, EPS)


class Residual(nn.Module):
    """ADM's residual block, [B, C, H, W] -> [B, width, H, W], with attention over the pixels if `heads`."""

    def __init__(self, inputs: int, width: int, condition: int, heads: int):
        super().__init__()
        self.norm_0 = group_norm(inputs)
        self.conv_0 = nn.Conv2d(inputs, width, 3, padding=1)
        self.film = nn.Linear(condition, 2 * width)
        self.norm_1 = group_norm(width)
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()
        if heads:
            self.norm_2 = group_norm(width)
            self.attention = Attention(width, heads)
        self.heads = heads

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = self.conv_0(F.silu(self.norm_0(x)))
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, 1)
        h = F.silu(self.norm_1(h) * (1 + scale) + shift)
        x = self.skip(x) + self.conv_1(h)
        if not self.heads:
            return x
        tokens = self.attention(self.norm_2(x).flatten(2).transpose(1, 2))
        return x + tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """(x [B, C, H, W], time [B], label [B, classes]) -> [B, C, H, W]."""

    def __init__(self, net: Unet):
        super().__init__()
        self.patch, self.levels, self.each = net.patch, range(len(net.widths)), range(net.blocks)
        first, pixels = net.widths[0], net.patch**2 * CHANNELS
        self.condition = Condition(4 * first)
        self.patches = nn.Conv2d(pixels, first, 3, padding=1)
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for level, width in enumerate(net.widths):
            heads = net.heads if SIDE // net.patch // 2**level in net.attention else 0
            if level:
                above = net.widths[level - 1]
                self.down[f"{level}"] = nn.Conv2d(above, width, 2, 2)
                self.up[f"{level}"] = nn.Conv2d(width, 4 * above, 1)
            for i in self.each:
                self.down[f"{level}_{i}"] = Residual(width, width, 4 * first, heads)
                self.up[f"{level}_{i}"] = Residual(2 * width, width, 4 * first, heads)
        self.middle = Residual(width, width, 4 * first, heads)
        self.norm_0 = group_norm(first)
        self.last = nn.Conv2d(first, pixels, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        condition, skips = self.condition(t, label), []
        x = self.patches(F.pixel_unshuffle(x, self.patch))
        for level in self.levels:
            x = self.down[f"{level}"](x) if level else x
            for i in self.each:
                x = self.down[f"{level}_{i}"](x, condition)
                skips.append(x)
        x = self.middle(x, condition)
        for level in reversed(self.levels):
            for i in self.each:
                x = self.up[f"{level}_{i}"](torch.cat([x, skips.pop()], 1), condition)
            x = F.pixel_shuffle(self.up[f"{level}"](x), 2) if level else x
        return F.pixel_shuffle(self.last(F.silu(self.norm_0(x))), self.patch)


FAMILIES = {"dit": DiT, "unet": UNet}


class Flow(nn.Module):
    """A velocity field and its flow-matching loss; on a GPU the net computes in bfloat16."""

    def __init__(self, name: str):
        super().__init__()
        self.net = FAMILIES[name](NETS[name])

    def forward(self, z: torch.Tensor, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The net's velocity [B, C, H, W] at z; its input is scaled to unit variance."""
        scale = torch.rsqrt((STD * (1 - t)) ** 2 + t**2)[:, None, None, None]
        with torch.autocast(z.device.type, torch.bfloat16, enabled=z.is_cuda):
            return self.net(scale * z, t, label).float()

    def loss(
        self, z: torch.Tensor, t: torch.Tensor, label: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """The mean square error of the velocity."""
        return F.mse_loss(self(z, t, label), target)


def stepper(flow: Flow, wrap: Callable) -> tuple[Callable[..., torch.Tensor], Flow]:
    """A function that takes one step on (z, t, label, target) and returns the loss; the average of the weights."""
    optimiser, loss_fn, taken = (
        torch.optim.Adam(flow.parameters(), LR, fused=True),
        wrap(flow.loss),
        0,
    )
    average = copy.deepcopy(flow).requires_grad_(False)
    averaged, weights = list(average.parameters()), list(flow.parameters())

    def step(*batch: torch.Tensor) -> torch.Tensor:
        nonlocal taken
        loss = loss_fn(*batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                averaged, weights, 1.0 - min(DECAY, (1.0 + taken) / (10.0 + taken))
            )
        taken += 1
        return loss.detach()

    return step, average


def noised(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(z, t, label, target) of images as bytes [B, C, H, W]: logit-normal times, a share of the labels hidden."""
    x = images.float().div_(127.5).sub_(1.0)
    t, eps = torch.sigmoid(torch.randn(len(x), device=x.device)), torch.randn_like(x)
    shown = torch.rand(len(x), 1, device=x.device) >= DROP
    at = t[:, None, None, None]
    return (1 - at) * x + at * eps, t, F.one_hot(labels, CLASSES) * shown.float(), eps - x


def draw(flow: Callable, eps: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Images [B, C, H, W] in [0, 1] from noise: Euler's method from time `FIRST` to 0."""
    times, z = [FIRST * (1 - i / STEPS) for i in range(STEPS + 1)], FIRST * eps
    for t, after in zip(times, times[1:], strict=False):
        z = z + (after - t) * flow(z, torch.full((len(z),), t, device=z.device), label)
    return 0.5 * (z + 1.0)


def labels_in_turn(n: int, device: torch.device) -> torch.Tensor:
    """0, 1, … 9, 0 …, [n]."""
    return torch.arange(n, device=device) % CLASSES


def trainer(
    name: str, images: torch.Tensor, layout: torch.memory_format, wrap: Callable
) -> Callable[[int], None]:
    """A function that trains so many steps more; images are bytes [N, C, H, W]."""
    batch, device = NETS[name].batch, images.device
    step, _ = stepper(Flow(name).to(device, memory_format=layout), wrap)
    labels, order, at = (
        labels_in_turn(len(images), device),
        torch.randperm(len(images), device=device),
        0,
    )

    def train(steps: int) -> None:
        nonlocal order, at
        total = torch.zeros((), device=device)
        for _ in range(steps):
            if at + batch > len(images):
                order, at = torch.randperm(len(images), device=device), 0
            chosen = order[at : at + batch]
            total += step(*noised(images.index_select(0, chosen), labels.index_select(0, chosen)))
            at += batch
        if not torch.isfinite(total):  # waits for a GPU too
            raise SystemExit("PyTorch's loss is not finite")

    return train


def sampler(
    name: str, images: torch.Tensor, layout: torch.memory_format, wrap: Callable
) -> Callable[[int], None]:
    """A function that makes so many draws of samples, each brought to the host."""
    flow = Flow(name).to(images.device, memory_format=layout).requires_grad_(False)
    velocity = wrap(flow.forward)
    label = F.one_hot(labels_in_turn(SAMPLES, images.device), CLASSES).float()

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            draw(
                velocity, torch.randn(SAMPLES, CHANNELS, SIDE, SIDE, device=images.device), label
            ).cpu()

    return run


JOBS = {"train": trainer, "sample": sampler}


def check(name: str, path: str, out: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of Adam steps on the draws saved at `path`; saves samples at `out`."""
    given = {what: torch.from_numpy(array) for what, array in np.load(path).items()}
    first = {
        what: given[what].permute(*range(given[what].ndim - 3), -1, -3, -2)
        for what in ("z", "target", "eps")
    }
    flow = Flow(name)
    flow.net.load_state_dict(
        {weight: given[weight] for weight in flow.net.state_dict()}
    )  # a wrong shape raises
    step, average = stepper(flow, lambda f: f)
    found = {"parameters": sum(p.numel() for p in flow.parameters()), "loss": [], "grad_norm": []}
    for i in range(CHECKED):
        found["loss"].append(
            step(first["z"][i], given["t"][i], given["label"][i], first["target"][i]).item()
        )
        found["grad_norm"].append(
            torch.cat([p.grad.flatten() for p in flow.parameters()]).double().norm().item()
        )
    label = F.one_hot(labels_in_turn(SAMPLES, torch.device("cpu")), CLASSES).float()
    np.save(out, draw(average, first["eps"], label).permute(0, 2, 3, 1).numpy())
    print(json.dumps(found))


def main(what: str, *args: str) -> None:
    torch.manual_seed(0)
    {"check": check}[what](*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
