"""PyTorch's side of the rows: the nets of `diffusion_torch` and `gan_torch` in the sizes for a GPU.

Velocity fields compute in bfloat16 on a GPU (`torch.autocast`) and attend by whichever of PyTorch's kernels is fastest
at the row's shape, tried forwards and backwards; the pair of nets computes in TF32. Fused Adam, maps channels last,
cuDNN chooses its algorithms by trial, pictures lie on the device.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import diffusion_torch, gan_torch, side_torch
from benchmarks.side_torch import Run, wrapped
from benchmarks.tasks import CHANNELS, SIDE
from benchmarks.tasks.diffusion import CLASSES
from benchmarks.tasks.gan import LATENT
from benchmarks.tasks.gpu import SIZES, Net, Sizes
from benchmarks.turns import blocks

PLACES = {"cpu": "cpu", "gpu": "cuda"}
KERNELS = {
    "cuDNN's attention": SDPBackend.CUDNN_ATTENTION,
    "flash attention": SDPBackend.FLASH_ATTENTION,
    "memory-efficient attention": SDPBackend.EFFICIENT_ATTENTION,
}
OWN = "PyTorch's own choice of attention"


class Flow(diffusion_torch.Flow):
    """The velocity field of a row."""

    def __init__(self, family: type, net: Net):
        nn.Module.__init__(self)  # the parent would look for the net among its own
        self.net = family(net)


class Game(gan_torch.Game):
    """The pair of nets of a row, which sees data and samples in one batch."""

    def __init__(self, net: Net, sloped: Callable):
        nn.Module.__init__(self)  # as above
        self.net, self.calls, self.judge = net, 1, sloped
        self.gen = gan_torch.R3Generator(net)
        self.disc = gan_torch.R3Discriminator(net)


# --- attention --------------------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """Of queries, keys and values."""

    batch: int
    heads: int
    tokens: int
    size: int  # channels of a head


def of_transformer(net: Net) -> Shape:
    """Of the attention of a DiT."""
    tokens = (SIDE // net.patch) ** 2
    return Shape(net.batch, net.heads, tokens, net.width // net.heads)


def of_unet(net: Net) -> Shape:
    """Of the attention of a U-Net at its smallest maps."""
    (side,) = net.attention
    return Shape(net.batch, net.heads, side**2, net.widths[-1] // net.heads)


def fastest(shape: Shape, device: torch.device) -> str:
    """The name of the kernel that is fastest on a GPU, forwards and backwards."""
    if device.type != "cuda":
        return OWN
    place = {"device": device, "dtype": torch.bfloat16, "requires_grad": True}
    full = (shape.batch, shape.heads, shape.tokens, shape.size)
    inputs = [torch.randn(full, **place) for _ in range(3)]
    seconds = {OWN: trial(inputs)}
    for name, kernel in KERNELS.items():
        # not every kernel takes every shape
        with contextlib.suppress(RuntimeError), sdpa_kernel(kernel):
            seconds[name] = trial(inputs)
    return min(seconds, key=seconds.get)


def trial(inputs: list[Tensor], calls: int = 20, repeats: int = 5) -> float:
    """The median time of some calls of the attention and its gradient [s]."""
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        for _ in range(calls):
            out = F.scaled_dot_product_attention(*inputs)
            torch.autograd.grad(out.sum(), inputs)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])  # the first warms up


def forced(name: str) -> contextlib.AbstractContextManager:
    """In it that kernel is taken."""
    kernel = KERNELS.get(name)
    return contextlib.nullcontext() if kernel is None else sdpa_kernel(kernel)


# --- jobs -------------------------------------------------------------------------------------------------------------


def flow_trainer(flow: Flow, images: Tensor, batch: int, compiled: bool) -> Run:
    """A function that trains so many steps more; images are bytes [N, C, H, W]."""
    device = images.device
    step, _ = diffusion_torch.stepper(flow, compiled)
    labels = diffusion_torch.labels_in_turn(len(images), device)
    order = side_torch.shuffled(len(images), batch, device)

    def train(steps: int) -> None:
        total = torch.zeros((), device=device)
        for _ in range(steps):
            chosen = next(order)
            image = images.index_select(0, chosen)
            label = labels.index_select(0, chosen)
            total += step(*diffusion_torch.noised(image, label))
        side_torch.demand_finite(total)

    return train


def flow_sampler(flow: Flow, device: torch.device, drawn: int, compiled: bool) -> Run:
    """A function that makes so many draws, each brought to the host."""
    velocity = wrapped(flow.requires_grad_(False).forward, compiled)
    labels = diffusion_torch.labels_in_turn(drawn, device)
    label = F.one_hot(labels, CLASSES).float()

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            eps = torch.randn(drawn, CHANNELS, SIDE, SIDE, device=device)
            diffusion_torch.draw(velocity, eps, label).cpu()

    return run


def game_trainer(game: Game, images: Tensor, batch: int, compiled: bool) -> Run:
    """A function that trains both players so many steps more; images are bytes [N, C, H, W]."""
    device = images.device
    step, _ = gan_torch.stepper(game, compiled)
    whole = len(images) // batch * batch
    ready = itertools.cycle(images[:whole].split(batch))

    def train(steps: int) -> None:
        total = torch.zeros((), device=device)
        for _ in range(steps):
            z_disc = torch.randn(batch, LATENT, device=device)
            z_gen = torch.randn(batch, LATENT, device=device)
            of_disc, of_gen = step(next(ready), z_disc, z_gen)
            total += of_disc + of_gen
        side_torch.demand_finite(total)

    return train


def game_sampler(game: Game, device: torch.device, drawn: int, compiled: bool) -> Run:
    """A function that makes so many draws with the generator, images in [0, 1]."""
    gen = game.gen.requires_grad_(False)

    def images(z: Tensor) -> Tensor:
        return 0.5 * (gen(z) + 1.0)

    generated = wrapped(images, compiled)

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            z = torch.randn(drawn, LATENT, device=device)
            generated(z).cpu()

    return run


# --- the worker -------------------------------------------------------------------------------------------------------


def pictures(path: str, device: torch.device) -> Tensor:
    """Bytes [N, C, H, W]."""
    return side_torch.channels_first(np.load(path)).to(device)


def flow_job(family: type, shape: Callable, job: str, sizes: Sizes, net: Net, more) -> tuple:
    """(a function that does the job, the kernel of attention to take)."""
    device, images, compiled = more
    flow = Flow(family, net).to(device, memory_format=torch.channels_last)
    name = fastest(shape(net), device)
    if job == "train":
        return flow_trainer(flow, images, net.batch, compiled), name
    return flow_sampler(flow, device, sizes.drawn, compiled), name


def game_job(job: str, sizes: Sizes, net: Net, more) -> tuple:
    """As `flow_job`; there is no attention."""
    device, images, compiled = more
    sloped = gan_torch.by_func if compiled else gan_torch.by_autograd
    game = Game(net, sloped).to(device, memory_format=torch.channels_last)
    if job == "train":
        return game_trainer(game, images, net.batch, compiled), OWN
    return game_sampler(game, device, sizes.drawn, compiled), OWN


def transformer(*args) -> tuple:
    return flow_job(diffusion_torch.DiT, of_transformer, *args)


def unet(*args) -> tuple:
    return flow_job(diffusion_torch.UNet, of_unet, *args)


MODELS = {"dit-b4": transformer, "dit-s2": transformer, "unet": unet, "r3gan": game_job}


def work(side: str, job: str, name: str, size: str, path: str) -> None:
    """Blocks of a job of a net, eager or compiled; what attention it takes is told first."""
    sizes = SIZES[size]
    device = torch.device(PLACES[sizes.device])
    more = (device, pictures(path, device), side == "compile")
    run, kernel = MODELS[name](job, sizes, sizes.nets[name], more)
    with forced(kernel):
        for steps in blocks(attention=kernel):
            run(steps)


def product(size: str) -> None:
    """Prints FLOP/s of the product that `speed_genjax.product` measures."""
    sizes = SIZES[size]
    n, device = sizes.product, torch.device(PLACES[sizes.device])
    dtype = {"cpu": torch.float32, "cuda": torch.bfloat16}[device.type]
    a = torch.randn(n, n, device=device, dtype=dtype)
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        for _ in range(10):
            out = a @ a
        out[0, 0].item()  # waits for it
        times.append((time.perf_counter() - begun) / 10)
    rate = 2.0 * n**3 / statistics.median(times[1:])  # the first warms up
    print(json.dumps({"PyTorch [FLOP/s]": rate, "torch": torch.__version__}))


def main(what: str, *args: str) -> None:
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")  # TF32, as XLA takes it
    torch.backends.cudnn.benchmark = True
    if what == "product":
        return product(*args)
    work(what, *args)


if __name__ == "__main__":
    main(*sys.argv[1:])
