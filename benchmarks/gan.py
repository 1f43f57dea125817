"""A whole step of a GAN, both players, and the sampling of its generator beside the same in plain PyTorch, on CPU.

    python -m benchmarks.gan              five minutes with --rounds 5 --seconds 2; --quick: does it run at all
    python -m benchmarks.gan --stylegan2  what each kind of step of our StyleGAN2 costs at 64x64

28x28 images without labels, two pairs of nets: `dcgan`, the non-saturating game without a penalty, and `r3gan`, the
relativistic game with R1 and R2 at every step. A step draws samples and takes an Adam step of the discriminator, draws
new samples and takes one of the generator, then averages the generator's weights; samples are of that average. Prints
Markdown tables; how they are measured is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import tempfile
import time
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
SIDE, CHANNELS = 28, 1  # of the images
LATENT, LR, DECAY = (
    64,
    2e-4,
    0.999,
)  # of z; of both players; of the average of the generator's weights
CHECK_LR = 2e-5  # at LR the players turn so fast that rounding errors grow to 1e-3 in three steps
SAMPLES, DRAWN = 64, 500  # samples in the check; in a draw that is timed
BATCHES = 50  # made before the first block and then taken in turn


class Dcgan(NamedTuple):
    """`genjax.gan.named.DCGAN`."""

    widths: tuple[int, ...] = (64, 128)
    betas: tuple[float, float] = (0.5, 0.999)  # of Adam
    relativistic: bool = False
    gamma: float = 0.0  # of R1 and R2
    batch: int = 64

    def generator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return LATENT * self._features() + self._convolutions()

    def discriminator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return self._convolutions() + self._features()

    def _features(self) -> int:
        return (SIDE // 2 ** len(self.widths)) ** 2 * self.widths[-1]

    def _convolutions(self) -> int:
        """3x3 at half the size of every level, four times the narrower maps on one side; the same in both nets."""
        pairs = zip((CHANNELS, *self.widths), self.widths, strict=False)
        return sum((SIDE // 2**level) ** 2 * 9 * 4 * a * b for level, (a, b) in enumerate(pairs, 1))


class R3gan(NamedTuple):
    """The nets and the game of `python -m experiments.gan`, without labels."""

    widths: tuple[int, ...] = (32, 64)
    patch: int = 2
    expansion: int = 2
    betas: tuple[float, float] = (0.0, 0.99)
    relativistic: bool = True
    gamma: float = 0.3
    batch: int = 64

    def generator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return LATENT * self.widths[-1] + self._convolutions()

    def discriminator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return self._convolutions() + self.widths[-1]

    def _convolutions(self) -> int:
        """Pixels to maps or back, the blocks, and 1x1 between the levels at the smaller size; the same in both nets."""
        side, total = SIDE // self.patch, SIDE**2 * CHANNELS * self.widths[0]
        for level, width in enumerate(self.widths):
            inner, here = self.expansion * width, (side // 2**level) ** 2
            total += here * (2 * width * inner + 9 * inner**2)
            total += here * self.widths[level - 1] * width if level else 0
        return total


NETS = {"dcgan": Dcgan(), "r3gan": R3gan()}
TITLES = {"dcgan": "DCGAN", "r3gan": "R3GAN"}
JOBS = {"train": "pair training step", "sample": "sampling"}
OURS = "ours, one by one"


class Style(NamedTuple):
    """A StyleGAN2 on images of noise with three channels."""

    side: int
    widths: tuple[int, ...]
    batch: int


STYLES = {"full": Style(64, (32, 64, 128, 128, 128), 16), "quick": Style(16, (8, 16), 4)}


def work(name: str, job: str = "train") -> float:
    """FLOPs of the products and convolutions in a step or a draw, two for each multiplication, counted by hand.

    The gradient of a net's weights costs two more forward passes, that in its input alone one. With R1 and R2, D's
    input gradient is itself differentiated, so data and samples cost six passes of D each instead of three.
    """
    net = NETS[name]
    g, d = net.generator(), net.discriminator()
    if job == "sample":
        return 2.0 * DRAWN * g
    of_disc = g + 2 * d * (6 if net.gamma else 3)
    of_gen = 3 * g + d * (3 if net.relativistic else 2)  # a relativistic generator wants D(x) too
    return 2.0 * net.batch * (of_disc + of_gen)


def same_computation(name: str, images: Path, folder: Path) -> str:
    """Runs both sides from the same weights on the same draws; a line of what agreed, SystemExit if it did not."""
    import numpy as np

    saved, drawn = folder / f"{name}.npz", folder / f"{name}.npy"
    ours = answer("gan_genjax", "check", name, str(images), str(saved))
    theirs = answer("gan_torch", "check", name, str(saved), str(drawn))
    error = agreement(name, ours, theirs, TOLERANCE)
    apart = samples_agreement(name, np.load(saved)["samples"], np.load(drawn), TOLERANCE)
    first = " and ".join(
        f"{disc:.4f}, {gen:.4f}" for disc, gen, *_ in (ours["loss"], theirs["loss"])
    )
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first losses (discriminator, generator) {first}; "
        f"losses and gradient norms of both players in {CHECKED} steps agree to {error:.0e}, samples from the averaged "
        f"weights to {apart:.0e}; a step is {work(name) / 1e9:.2f} GFLOP counted by hand, "
        f"{ours['flops'] / 1e9:.2f} by XLA"
    )


def sides(
    name: str, job: str, images: Path, chosen: dict, eager: bool
) -> dict[str, tuple[str, ...]]:
    """The commands of all sides of one pair and job; `chosen`: what PyTorch's eager mode is fastest with."""
    what, how = (job, name, str(images)), (chosen["choice"], str(chosen["threads"]))
    commands = {
        EAGER: ("gan", "worker", "eager", *what, *how),
        COMPILED: ("gan", "worker", "compile", *what, *how),
        OURS: ("gan_genjax", "ours", name, str(images))
        if job == "train"
        else ("gan", "draws", name, str(images)),
    }
    if eager:
        del commands[COMPILED]
    return commands


def draws(name: str, path: str) -> None:
    """Our process: blocks of draws by the averaged generator as a run draws them, brought to the host."""
    from benchmarks.diffusion_genjax import peak, sample
    from benchmarks.gan_genjax import model
    from benchmarks.vae_genjax import Images, experiment
    from genjax.training.loop import start

    with tempfile.TemporaryDirectory() as runs:
        run, _ = start(
            experiment(Images(path), model(name), NETS[name].batch, 1, runs), "benchmark", name
        )
        sample(run, DRAWN, peak=peak("cpu"))


def sampler(name: str, layout: str, compiled: bool = False) -> Callable[[int], None]:
    """A function that makes so many draws with PyTorch's generator, images in [0, 1]."""
    import torch

    from benchmarks.gan_torch import FAMILIES, LAYOUTS
    from benchmarks.vae_torch import wrapped

    gen = FAMILIES[name][0](NETS[name]).to(memory_format=LAYOUTS[layout]).requires_grad_(False)
    images = wrapped(lambda z: 0.5 * (gen(z) + 1.0), compiled)

    @torch.inference_mode()
    def run(draws: int) -> None:
        for _ in range(draws):
            images(torch.randn(DRAWN, LATENT)).numpy()

    return run


def worker(side: str, job: str, name: str, path: str, choice: str = "", threads: str = "") -> None:
    """PyTorch's process: it chooses orders of maps and threads, or does steps or draws with what was chosen."""
    import torch

    from benchmarks.gan_torch import CHOICES, LAYOUTS, trainer
    from benchmarks.vae_torch import choose, serve

    torch.manual_seed(0)
    make = (
        functools.partial(trainer, name, path)
        if job == "train"
        else functools.partial(sampler, name)
    )
    if side == "choose":
        choose({choice: make(choice) for choice in (CHOICES if job == "train" else LAYOUTS)})
    else:
        serve(functools.partial(make, choice, compiled=side == "compile"), int(threads))


def table(name: str, job: str, workers: dict[str, Worker], chosen: dict) -> str:
    """Markdown: time (median), ratio to the reference round by round, FLOP/s by hand count, their share of the peak."""
    flops, peak = work(name, job), workers[OURS].hello["peak"]
    what = f"batch {NETS[name].batch}" if job == "train" else f"{DRAWN} images"
    lines = [
        f"**{name}, {JOBS[job]}**, {what}: {flops / 1e9:.1f} GFLOP; the fastest single product here "
        f"{peak / 1e9:.0f} GFLOP/s; PyTorch's fastest here: {chosen['choice']}, threads: {chosen['threads']}",
        "",
        *rows(workers, EAGER, flops, peak),
    ]
    return "\n".join(lines)


def stylegan2(size: str, rounds: int) -> str:
    """Markdown: what each kind of step of our StyleGAN2 costs, and a cycle of them."""
    style = STYLES[size]
    found = answer("gan_genjax", "stylegan2", size, str(rounds), str(time.time()))
    length = sum(kind["turns"] for kind in found["kinds"].values())
    lines = [
        f"**StyleGAN2, {style.side}x{style.side}x3**, batch {style.batch}, widths {style.widths}, "
        f"{found['parameters']:,} parameters, {rounds} cycles",
        "",
        "| step | of a cycle | time, median (least, most) | the first, with compiling |",
        "|---|---|---|---|",
    ]
    for name, kind in found["kinds"].items():
        median, least, most = (1000 * f(kind["seconds"]) for f in (statistics.median, min, max))
        share = f"{kind['turns']} of {length}"
        lines.append(
            f"| {name} | {share} | {median:.0f} ms ({least:.0f}, {most:.0f}) | {kind['first']:.1f} s |"
        )
    mean, least, most = (1000 * f(found["cycles"]) / length for f in (statistics.median, min, max))
    lines += [
        "",
        f"Mean over a cycle {mean:.0f} ms a step ({least:.0f}, {most:.0f} over the cycles); peak memory "
        f"{found['peak']:.0f} MiB; the first step is done {found['start']:.1f} s after the process is started.",
    ]
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan", description="GANs beside PyTorch."
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a block")
    parser.add_argument(
        "--rounds", type=int, default=9, help="blocks of every side; of StyleGAN2: cycles"
    )
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument(
        "--eager", action="store_true", help="leave out torch.compile, which takes minutes to start"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the time goes, on one core, eager only"
    )
    parser.add_argument("--stylegan2", action="store_true", help="only the steps of our StyleGAN2")
    parser.add_argument(
        "--quick", action="store_true", help="only whether it runs: the numbers mean nothing"
    )
    args = parser.parse_args(argv)
    args.eager = args.eager or args.profile
    if args.quick:
        args.seconds, args.rounds, args.eager = 0.2, 2, True
    return args


def compare(images: Path, folder: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Prints what agrees, then a table for every pair and job; yields what was measured as it comes."""
    if args.profile:
        profile.one_core()
    for name in args.nets:
        print(same_computation(name, images, folder), flush=True)
    for name in args.nets:
        for job in args.jobs:
            chosen = answer("gan", "worker", "choose", job, name, str(images))
            commands = sides(name, job, images, chosen, args.eager)
            workers = measure(
                commands, args.seconds, args.rounds, 1, (COMPILED,), profile.STEPS * args.profile
            )
            print("\n" + table(name, job, workers, chosen), flush=True)
            if args.profile:
                print("\n" + profile.table(workers[EAGER], workers[OURS]), flush=True)
            yield Row(TITLES[name], JOBS[job], workers, EAGER, OURS)


def main() -> None:
    if sys.argv[1:2] in (["worker"], ["draws"]):
        return {"worker": worker, "draws": draws}[sys.argv[1]](*sys.argv[2:])
    args = arguments()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    if args.stylegan2:
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # its first steps are timed
        print(machine() + "\n", flush=True)
        print(stylegan2("quick" if args.quick else "full", args.rounds))
        return
    need_torch()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        data = save_images(images)
        print(f"{machine()}; {data}; {args.rounds} rounds of {args.seconds:g} s\n", flush=True)
        for _ in compare(images, Path(folder), args):
            pass


if __name__ == "__main__":
    main()
