"""The training step and the sampling of a DiT and a U-Net beside the same nets in plain PyTorch.

    python -m benchmarks.diffusion   about 20 minutes on two cores; --quick: does it run at all

Flow matching on 28x28 images with labels: loss mean (net(z_t, t, label) - (eps - x))², z_t = (1 - t) x + t eps, Adam,
an average of the weights; samples by Euler's method from that average. Prints Markdown tables; what they mean and what
they were is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import profile
from benchmarks.common import (
    CHECKED,
    COMPILED,
    EAGER,
    Row,
    agreement,
    answer,
    machine,
    measure,
    need_torch,
    rows,
    samples_agreement,
    save_images,
)
from benchmarks.turns import Worker

TOLERANCE = 1e-4  # relative, of losses, gradient norms and samples in float32
SIDE, CHANNELS, CLASSES = 28, 1, 10  # of the images
STD, DROP, DECAY = (
    0.7,
    0.1,
    0.999,
)  # of the data; share of labels hidden; of the average of the weights
FEATURES, FREQUENCY = 128, 1000.0  # of the time: how many, the highest
SAMPLES, STEPS, FIRST = 64, 10, 0.999  # of a draw: images, Euler steps, the time to start from


class Transformer(NamedTuple):
    """The DiT of `python -m experiments.diffusion`."""

    patch: int = 4
    width: int = 128
    depth: int = 6
    heads: int = 4
    mlp_ratio: int = 4
    batch: int = 128

    def flops(self) -> float:
        """Of the products in a forward pass of one image: two for each multiplication."""
        d, n, pixels = self.width, (SIDE // self.patch) ** 2, self.patch**2 * CHANNELS
        condition = (FEATURES + d + CLASSES) * d
        block = (
            6 * d * d + attention(n, d) + 2 * n * self.mlp_ratio * d * d
        )  # modulation, attention, MLP
        return 2.0 * (condition + n * pixels * d + self.depth * block + 2 * d * d + n * d * pixels)


class Unet(NamedTuple):
    """The U-Net of `python -m experiments.diffusion unet`."""

    patch: int = 2
    widths: tuple[int, ...] = (32, 64)
    blocks: int = 1
    attention: tuple[int, ...] = (7,)
    heads: int = 4
    batch: int = 64

    def flops(self) -> float:
        """Of the convolutions and products in a forward pass of one image: two for each multiplication."""
        first, last, pixels = self.widths[0], self.widths[-1], self.patch**2 * CHANNELS
        side, d = SIDE // self.patch, 4 * first
        total = (
            FEATURES + d + CLASSES
        ) * d + 2 * 9 * side**2 * pixels * first  # condition, first and last map
        for level, width in enumerate(self.widths):
            here, below = side // 2**level, self.widths[level - 1]
            if level:
                total += 2 * here**2 * 4 * below * width  # down and up
            same, joined = (self.block(here, inputs * width, width) for inputs in (1, 2))
            total += self.blocks * (
                same + joined
            )  # on the way down and on the way up, where a skip is joined
        return 2.0 * (total + self.block(side // 2 ** (len(self.widths) - 1), last, last))

    def block(self, side: int, inputs: int, width: int) -> float:
        """Multiplications in a residual block: two convolutions, the map of the skip, scale and shift, attention."""
        convolutions = side**2 * (9 * (inputs + width) * width + (inputs != width) * inputs * width)
        attended = attention(side**2, width) if side in self.attention else 0
        return convolutions + 4 * self.widths[0] * 2 * width + attended


def attention(n: int, d: int) -> int:
    """Multiplications in self-attention of n tokens of width d, with the maps before and after."""
    return 4 * n * d * d + 2 * n * n * d


NETS = {"dit": Transformer(), "unet": Unet()}
JOBS = {"train": "training step", "sample": "sampling"}
TITLES = {  # (net, job) -> its name in the one table of `python -m benchmarks`
    ("dit", "train"): ("DiT", "flow training step"),
    ("dit", "sample"): ("DiT", "sampling"),
    ("unet", "train"): ("U-Net", "diffusion training step"),
    ("unet", "sample"): ("U-Net", "sampling"),
}
OURS = "ours, one by one"


def work(name: str, job: str) -> float:
    """FLOPs of a training step (the gradient costs two more forward passes) or of a draw, counted by hand."""
    net = NETS[name]
    return net.flops() * (3 * net.batch if job == "train" else STEPS * SAMPLES)


def same_computation(name: str, images: Path, folder: Path) -> str:
    """Runs both sides from the same weights on the same draws; a line of what agreed, SystemExit if it did not."""
    import numpy as np

    saved, drawn = folder / f"{name}.npz", folder / f"{name}.npy"
    ours = answer("diffusion_genjax", "check", name, str(images), str(saved))
    theirs = answer("diffusion_torch", "check", name, str(saved), str(drawn))
    error = agreement(name, ours, theirs, TOLERANCE)
    apart = samples_agreement(name, np.load(saved)["samples"], np.load(drawn), TOLERANCE)
    first = " and ".join(f"{side['loss'][0]:.5f}" for side in (ours, theirs))
    hand = work(name, "train")
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first loss {first}; losses and gradient norms of "
        f"{CHECKED} Adam steps agree to {error:.0e}, samples from the averaged weights to {apart:.0e}; a training step "
        f"is {hand / 1e9:.2f} GFLOP counted by hand, {ours['flops'] / 1e9:.2f} by XLA"
    )


def sides(
    name: str, job: str, images: Path, device: str, chosen: dict, eager: bool
) -> dict[str, tuple[str, ...]]:
    """The commands of all sides of one net and job; `chosen`: what PyTorch's eager mode is fastest with."""
    what, how = (job, name, str(images), device), (chosen["choice"], str(chosen["threads"]))
    commands = {
        EAGER: ("diffusion", "worker", "eager", *what, *how),
        COMPILED: ("diffusion", "worker", "compile", *what, *how),
        OURS: ("diffusion_genjax", "ours", *what),
    }
    if eager:
        del commands[COMPILED]
    return commands


def worker(
    side: str, job: str, name: str, path: str, device: str, choice: str = "", threads: str = ""
) -> None:
    """PyTorch's process: it chooses the order of maps and the threads, or does steps or draws with what was chosen."""
    import numpy as np
    import torch

    from benchmarks.diffusion_torch import JOBS, LAYOUTS
    from benchmarks.vae_torch import choose, serve, wrapped

    torch.manual_seed(0)
    place = torch.device({"cpu": "cpu", "gpu": "cuda"}[device])
    wanted = np.load(path, mmap_mode="r")[
        : None if job == "train" else 1
    ]  # samples are drawn without
    images = torch.from_numpy(np.array(wanted)).permute(0, 3, 1, 2).contiguous().to(place)

    def make(layout: str) -> Callable[[int], None]:
        return JOBS[job](
            name, images, LAYOUTS[layout], functools.partial(wrapped, compiled=side == "compile")
        )

    if side == "choose":
        choose({layout: make(layout) for layout in list(LAYOUTS)[: 2 if name == "unet" else 1]})
    else:
        serve(functools.partial(make, choice), int(threads))


def table(name: str, job: str, workers: dict[str, Worker], chosen: dict) -> str:
    """Markdown: time (median), ratio to the reference round by round, FLOP/s by hand count, their share of the peak."""
    net, flops = NETS[name], work(name, job)
    peak = workers[OURS].hello["peak"]
    what = f"batch {net.batch}" if job == "train" else f"{SAMPLES} images, {STEPS} Euler steps"
    lines = [
        f"**{name}, {JOBS[job]}**, {what}: {flops / 1e9:.1f} GFLOP; the fastest single product here "
        f"{peak / 1e9:.0f} GFLOP/s; PyTorch's fastest here: {chosen['choice']}, threads: {chosen['threads']}",
        "",
        *rows(workers, EAGER, flops, peak),
    ]
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.diffusion", description="Diffusion beside PyTorch."
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a block")
    parser.add_argument("--rounds", type=int, default=9, help="blocks of every side")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument(
        "--eager", action="store_true", help="leave out torch.compile, which takes minutes to start"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the time goes, on one core, eager only"
    )
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="gpu: bfloat16 on both sides"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only whether it runs: the numbers mean nothing"
    )
    args = parser.parse_args(argv)
    args.eager = args.eager or args.profile
    if args.quick:
        args.seconds, args.rounds, args.eager = 0.2, 2, True
    return args


def compare(images: Path, folder: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every net and job; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    os.environ["JAX_PLATFORMS"] = (
        "cpu"  # both sides are compared there, in float32, wherever they are timed
    )
    for name in args.nets:
        print(same_computation(name, images, folder), flush=True)
    _place(args.device)
    for name in args.nets:
        for job in args.jobs:
            chosen = answer("diffusion", "worker", "choose", job, name, str(images), args.device)
            commands = sides(name, job, images, args.device, chosen, args.eager)
            workers = measure(
                commands, args.seconds, args.rounds, 1, (COMPILED,), profile.STEPS * args.profile
            )
            print("\n" + table(name, job, workers, chosen), flush=True)
            if args.profile:
                print("\n" + profile.table(workers[EAGER], workers[OURS]), flush=True)
            yield Row(*TITLES[name, job], workers, EAGER, OURS)


def _place(device: str) -> None:
    os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[
        device
    ]  # of the workers; without one JAX ends them


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        return worker(*sys.argv[2:])
    args = arguments()
    need_torch()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        data = save_images(images)
        print(
            f"{machine()}; {args.device}; {data}; {args.rounds} rounds of {args.seconds:g} s\n",
            flush=True,
        )
        for _ in compare(images, Path(folder), args):
            pass


if __name__ == "__main__":
    main()
