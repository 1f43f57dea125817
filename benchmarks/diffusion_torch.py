"""The contender: the DiT and the U-Net of `genjax.nets` as one writes them in plain PyTorch, and as fast as they go.

Fused Adam, `scaled_dot_product_attention`, strided convolutions and `pixel_shuffle` for patches, images in memory as
bytes; on one thread or on all cores, the U-Net's maps channels first or last, whichever is faster.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import side_torch
from benchmarks.side_torch import EPS, LAYOUTS, Average, Run, wrapped
from benchmarks.tasks import CHANNELS, CHECKED, SAMPLES, SIDE
from benchmarks.tasks.diffusion import (
    CLASSES,
    DECAY,
    DROP,
    FEATURES,
    FIRST,
    FREQUENCY,
    LR,
    NETS,
    STD,
    STEPS,
    Transformer,
    Unet,
)

CHOICES = {
    "dit": ("channels first",),
    "dit-196": ("channels first",),
    "unet": tuple(LAYOUTS),
}  # a DiT has tokens, not maps
Turn = tuple[Tensor, Tensor]


# --- the nets ---------------------------------------------------------------------------------------------------------


class Condition(nn.Module):
    """Time [B] and label [B, classes] -> [B, width]."""

    def __init__(self, width: int):
        super().__init__()
        self.time_0 = nn.Linear(FEATURES, width)
        self.time_1 = nn.Linear(width, width)
        self.label = nn.Linear(CLASSES, width, bias=False)
        clocks = np.geomspace(1.0, FREQUENCY, FEATURES // 2)
        self.register_buffer("clocks", torch.from_numpy(clocks).float(), persistent=False)

    def forward(self, t: Tensor, label: Tensor) -> Tensor:
        angles = t[:, None] * self.clocks  # [B, features / 2]
        waves = [angles.cos(), angles.sin()]
        features = torch.cat(waves, -1)
        h = F.silu(self.time_0(features))
        time = self.time_1(h)
        return F.silu(time + self.label(label))  # [B, width]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs (x_i, x_{i + d/2}) of [B, heads, N, d] by the angles whose cos and sin are [N, d / 2]."""
    a, b = x.chunk(2, -1)
    first = a * cos - b * sin
    second = a * sin + b * cos
    return torch.cat([first, second], -1)


class Attention(nn.Module):
    """Self-attention [B, N, D] -> [B, N, D] with RMS norm of queries and keys."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        size = width // heads
        self.q_norm = nn.RMSNorm(size, EPS)
        self.k_norm = nn.RMSNorm(size, EPS)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, turn: Turn | None = None) -> Tensor:
        heads = (3, self.heads, -1)
        split = self.qkv(x).unflatten(-1, heads)  # [B, N, 3, heads, d]
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each [B, heads, N, d]
        q = self.q_norm(q)
        k = self.k_norm(k)
        if turn is not None:
            q = rotate(q, *turn)
            k = rotate(k, *turn)
        # under autocast the norms are in float32 and the values are not
        q = q.to(v.dtype)
        k = k.to(v.dtype)
        h = F.scaled_dot_product_attention(q, k, v)
        joined = h.transpose(1, 2).flatten(2)  # [B, N, D]
        return self.out(joined)


def layer_norm(x: Tensor) -> Tensor:
    """Over the last axis, with no weights of its own: the modulation has them."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


class Block(nn.Module):
    """An adaLN-zero block (arXiv:2212.09748)."""

    def __init__(self, width: int, heads: int, mlp_ratio: int):
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = Attention(width, heads)
        self.mlp_0 = nn.Linear(width, mlp_ratio * width)
        self.mlp_1 = nn.Linear(mlp_ratio * width, width)

    def forward(self, x: Tensor, condition: Tensor, turn: Turn) -> Tensor:
        modulation = self.modulation(condition)[:, None]  # [B, 1, 6 D]
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, -1)
        h = layer_norm(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(h, turn)
        h = layer_norm(x) * (1 + scale2) + shift2
        inner = F.gelu(self.mlp_0(h), approximate="tanh")
        return x + gate2 * self.mlp_1(inner)


def turns(side: int, size: int, base: float = 100.0) -> Turn:
    """(cos, sin) [side * side, size / 2] of axial rotary positions for heads of `size` channels."""
    each = size // 4  # pairs for either axis
    share = torch.arange(each) / each
    speed = base**-share
    places = torch.arange(side)
    row, column = torch.meshgrid(places, places, indexing="ij")
    down = row.reshape(-1, 1) * speed  # [side * side, each]
    across = column.reshape(-1, 1) * speed
    angles = torch.cat([down, across], -1)  # half of the pairs for either axis
    return angles.cos(), angles.sin()


class DiT(nn.Module):
    """(x [B, C, H, W], time [B], label [B, classes]) -> [B, C, H, W]."""

    def __init__(self, net: Transformer):
        super().__init__()
        self.patch = net.patch
        self.side = SIDE // net.patch  # of the grid of tokens
        width = net.width
        self.patches = nn.Conv2d(CHANNELS, width, net.patch, net.patch)
        self.condition = Condition(width)
        self.blocks = nn.ModuleList()
        for _ in range(net.depth):
            self.blocks.append(Block(width, net.heads, net.mlp_ratio))
        self.modulation = nn.Linear(width, 2 * width)
        pixels = net.patch**2 * CHANNELS  # of a token
        self.last = nn.Linear(width, pixels)
        size = width // net.heads  # channels of a head
        cos, sin = turns(self.side, size)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)  # [B, N, D]
        condition = self.condition(t, label)
        turn = (self.cos, self.sin)
        for block in self.blocks:
            tokens = block(tokens, condition, turn)
        modulation = self.modulation(condition)[:, None]  # [B, 1, 2 D]
        shift, scale = modulation.chunk(2, -1)
        h = layer_norm(tokens) * (1 + scale) + shift
        tokens = self.last(h)  # [B, N, pixels of a patch]
        grid = (self.side, self.side)
        maps = tokens.transpose(1, 2).unflatten(2, grid)  # [B, pixels of a patch, side, side]
        return F.pixel_shuffle(maps, self.patch)


def group_norm(width: int) -> nn.GroupNorm:
    """Eight groups."""
    return nn.GroupNorm(8, width, EPS)


def same_size(inputs: int, width: int) -> nn.Conv2d:
    """3x3."""
    return nn.Conv2d(inputs, width, 3, padding=1)


class Residual(nn.Module):
    """ADM's residual block, [B, C, H, W] -> [B, width, H, W], with attention over the pixels if `heads`."""

    def __init__(self, inputs: int, width: int, condition: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_0 = group_norm(inputs)
        self.conv_0 = same_size(inputs, width)
        self.film = nn.Linear(condition, 2 * width)
        self.norm_1 = group_norm(width)
        self.conv_1 = same_size(width, width)
        self.skip = nn.Identity()
        if inputs != width:
            self.skip = nn.Conv2d(inputs, width, 1)
        if heads:
            self.norm_2 = group_norm(width)
            self.attention = Attention(width, heads)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv_0(F.silu(self.norm_0(x)))
        film = self.film(condition)[:, :, None, None]  # [B, 2 width, 1, 1]
        scale, shift = film.chunk(2, 1)
        h = self.norm_1(h) * (1 + scale) + shift
        inner = self.conv_1(F.silu(h))
        x = self.skip(x) + inner
        if self.heads:
            x = x + self._attended(x)
        return x

    def _attended(self, x: Tensor) -> Tensor:
        tokens = self.norm_2(x).flatten(2).transpose(1, 2)  # [B, H W, width]
        attended = self.attention(tokens)
        return attended.transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """(x [B, C, H, W], time [B], label [B, classes]) -> [B, C, H, W]."""

    def __init__(self, net: Unet):
        super().__init__()
        self.patch = net.patch
        self.levels = range(len(net.widths))
        self.each = range(net.blocks)
        first = net.widths[0]
        last = net.widths[-1]
        pixels = net.patch**2 * CHANNELS
        condition = 4 * first  # the width of the condition
        self.condition = Condition(condition)
        self.patches = same_size(pixels, first)
        self.down = nn.ModuleDict()
        self.up = nn.ModuleDict()
        for level in self.levels:
            self._add_level(net, level, condition)
        heads = self._heads(net, self.levels[-1])
        self.middle = Residual(last, last, condition, heads)
        self.norm_0 = group_norm(first)
        self.last = same_size(first, pixels)

    def _heads(self, net: Unet, level: int) -> int:
        """Of the attention at a level, 0 where its maps are too large to attend."""
        largest = SIDE // net.patch
        side = largest // 2**level
        return net.heads if side in net.attention else 0

    def _add_level(self, net: Unet, level: int, condition: int) -> None:
        width = net.widths[level]
        heads = self._heads(net, level)
        if level:
            above = net.widths[level - 1]
            name = f"{level}"
            self.down[name] = nn.Conv2d(above, width, 2, 2)
            self.up[name] = nn.Conv2d(width, 4 * above, 1)  # four pixels, folded
        for i in self.each:
            name = f"{level}_{i}"
            self.down[name] = Residual(width, width, condition, heads)
            # on the way up the maps of the way down are joined on
            joined = 2 * width
            self.up[name] = Residual(joined, width, condition, heads)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        condition = self.condition(t, label)
        skips = []  # maps of the way down, the last of them first to be joined
        folded = F.pixel_unshuffle(x, self.patch)
        x = self.patches(folded)
        for level in self.levels:
            if level:
                x = self.down[f"{level}"](x)  # [B, width, H / 2, W / 2]
            for i in self.each:
                block = self.down[f"{level}_{i}"]
                x = block(x, condition)
                skips.append(x)
        x = self.middle(x, condition)
        for level in reversed(self.levels):
            for i in self.each:
                joined = torch.cat([x, skips.pop()], 1)
                block = self.up[f"{level}_{i}"]
                x = block(joined, condition)
            if level:
                unfolded = self.up[f"{level}"](x)  # [B, 4 above, H, W]
                x = F.pixel_shuffle(unfolded, 2)
        pixels = self.last(F.silu(self.norm_0(x)))
        return F.pixel_shuffle(pixels, self.patch)


FAMILIES = {"dit": DiT, "dit-196": DiT, "unet": UNet}


# --- training and sampling --------------------------------------------------------------------------------------------


class Flow(nn.Module):
    """A velocity field and its flow-matching loss; on a GPU the net computes in bfloat16."""

    def __init__(self, name: str):
        super().__init__()
        self.net = FAMILIES[name](NETS[name])

    def forward(self, z: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The net's velocity [B, C, H, W] at z; its input is scaled to unit variance."""
        of_data = (STD * (1 - t)) ** 2
        variance = of_data + t**2
        scale = torch.rsqrt(variance)[:, None, None, None]  # [B, 1, 1, 1]
        with torch.autocast(z.device.type, torch.bfloat16, enabled=z.is_cuda):
            velocity = self.net(scale * z, t, label)
            return velocity.float()

    def loss(
        self,
        z: Tensor,
        t: Tensor,
        label: Tensor,
        target: Tensor,
    ) -> Tensor:
        """The mean square error of the velocity."""
        return F.mse_loss(self(z, t, label), target)


def stepper(flow: Flow, compiled: bool) -> tuple[Callable[..., Tensor], Flow]:
    """A function that takes one step on (z, t, label, target) and returns the loss; the average of the weights."""
    optimiser = torch.optim.Adam(flow.parameters(), LR, fused=True)  # one pass over the weights
    loss_fn = wrapped(flow.loss, compiled)
    average = Average(flow, DECAY)

    def step(*batch: Tensor) -> Tensor:
        loss = loss_fn(*batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update()
        return loss.detach()

    return step, average.model


def noised(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """(z, t, label, target) of images as bytes [B, C, H, W]: logit-normal times, a share of the labels hidden."""
    x = side_torch.signed(images)
    n, device = len(images), images.device
    logits = torch.randn(n, device=device)
    t = torch.sigmoid(logits)
    eps = torch.randn_like(x)
    shown = torch.rand(n, 1, device=device) >= DROP
    one_hot = F.one_hot(labels, CLASSES)
    label = one_hot * shown.float()  # all zeros: hidden
    at = t[:, None, None, None]
    z = (1 - at) * x + at * eps
    return z, t, label, eps - x


def draw(flow: Callable, eps: Tensor, label: Tensor) -> Tensor:
    """Images [B, C, H, W] in [0, 1] from noise: Euler's method from time `FIRST` to 0."""
    times = [FIRST * (1 - i / STEPS) for i in range(STEPS + 1)]
    z = FIRST * eps
    for t, after in itertools.pairwise(times):
        batch = (len(z),)
        now = torch.full(batch, t, device=z.device)
        step = after - t  # below zero: time runs back
        z = z + step * flow(z, now, label)
    return 0.5 * (z + 1.0)


def labels_in_turn(n: int, device: torch.device) -> Tensor:
    """0, 1, … 9, 0 …, [n]."""
    return torch.arange(n, device=device) % CLASSES


def labels_of_samples(device: torch.device) -> Tensor:
    """[SAMPLES, classes], the labels in turn."""
    labels = labels_in_turn(SAMPLES, device)
    return F.one_hot(labels, CLASSES).float()


def trainer(
    name: str,
    images: Tensor,
    layout: torch.memory_format,
    compiled: bool,
) -> Run:
    """A function that trains so many steps more; images are bytes [N, C, H, W]."""
    device = images.device
    flow = Flow(name).to(device, memory_format=layout)
    step, _ = stepper(flow, compiled)
    labels = labels_in_turn(len(images), device)
    batch = NETS[name].batch
    order = side_torch.shuffled(len(images), batch, device)

    def train(steps: int) -> None:
        total = torch.zeros((), device=device)
        for _ in range(steps):
            chosen = next(order)
            image = images.index_select(0, chosen)
            label = labels.index_select(0, chosen)
            total += step(*noised(image, label))
        side_torch.demand_finite(total)

    return train


def sampler(
    name: str,
    images: Tensor,
    layout: torch.memory_format,
    compiled: bool,
) -> Run:
    """A function that makes so many draws of samples, each brought to the host; of `images` only the device counts."""
    device = images.device
    flow = Flow(name).to(device, memory_format=layout).requires_grad_(False)
    velocity = wrapped(flow.forward, compiled)
    label = labels_of_samples(device)

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            eps = torch.randn(SAMPLES, CHANNELS, SIDE, SIDE, device=device)
            draw(velocity, eps, label).cpu()  # on the host, as ours are brought there

    return run


JOBS = {"train": trainer, "sample": sampler}


def work(side: str, job: str, name: str, path: str, device: str, *how: str) -> None:
    """Chooses the order of maps and the threads, or does steps or draws with what was chosen."""
    place = torch.device({"cpu": "cpu", "gpu": "cuda"}[device])
    wanted = None if job == "train" else 1  # samples are drawn without images
    stored = np.load(path, mmap_mode="r")
    data = np.array(stored[:wanted])  # a copy: the file is read only
    images = side_torch.channels_first(data).to(place)

    def make(layout: str, compiled: bool) -> Run:
        return JOBS[job](name, images, LAYOUTS[layout], compiled)

    side_torch.work(side, make, CHOICES[name], how)


# --- the check --------------------------------------------------------------------------------------------------------


def maps_first(maps: Tensor) -> Tensor:
    """[..., H, W, C], as our side has them, -> [..., C, H, W]."""
    return maps.movedim(-1, -3)


def check(name: str, path: str, out: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of Adam steps on the draws saved at `path`; saves samples at `out`."""
    given = side_torch.saved(path)
    flow = Flow(name)
    side_torch.given_weights(flow.net, given)
    step, average = stepper(flow, compiled=False)
    found = side_torch.empty_report(flow)
    z = maps_first(given["z"])  # [steps, B, C, H, W]
    target = maps_first(given["target"])
    batches = zip(z, given["t"], given["label"], target, strict=True)
    for batch in itertools.islice(batches, CHECKED):
        loss = step(*batch)
        found["loss"].append(loss.item())
        found["grad_norm"].append(side_torch.gradient_norm(flow))
    label = labels_of_samples(torch.device("cpu"))
    samples = draw(average, maps_first(given["eps"]), label)
    np.save(out, samples.permute(0, 2, 3, 1).numpy())  # [B, H, W, C]
    print(json.dumps(found))


def main(side: str, *args: str) -> None:
    torch.manual_seed(0)
    if side == "check":
        return check(*args)
    work(side, *args)


if __name__ == "__main__":
    main(*sys.argv[1:])
