"""Our side of the rows: their configs, the workers, the count of their work; the product that all is measured by.

The training set lies on the device, as `--resident=true` has it, and PyTorch's does too.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import side_genjax
from benchmarks.common import answer
from benchmarks.gpu import lines
from benchmarks.side_genjax import LABELLED, TYPES, Images, InFlight
from benchmarks.tasks import CHANNELS, SIDE
from benchmarks.tasks.diffusion import CLASSES, DECAY, DROP, FIRST, STD, STEPS
from benchmarks.tasks.diffusion import LR as FLOW_LR
from benchmarks.tasks.gan import LATENT
from benchmarks.tasks.gan import LR as GAME_LR
from benchmarks.tasks.gpu import SIZES, Sizes
from benchmarks.turns import blocks
from genjax.config import edit
from genjax.core import guarded
from genjax.data import train_batches
from genjax.diffusion import named
from genjax.diffusion.samplers import Euler
from genjax.diffusion.schedules import Times
from genjax.ema import Decay
from genjax.gan.named import R3GAN
from genjax.gan.penalties import R1, R2
from genjax.machine import platform
from genjax.nets import DiT, R3Discriminator, R3Generator, UNet
from genjax.optim import Adam
from genjax.training.run import Run

# --- configs ----------------------------------------------------------------------------------------------------------


def flow(family: type, sizes: Sizes, name: str, steps: int) -> Any:
    """A velocity field, as `benchmarks.diffusion` trains it."""
    net = sizes.nets[name]._asdict()
    del net["batch"]  # of the run, not of the net
    dtype, _ = TYPES[sizes.device]
    changes = {
        "net": family(**net, dtype=dtype),
        "std": STD,
        "drop": DROP,
        "sampler": Euler(),
        "schedule": Times(steps, FIRST),
        "optimiser": Adam(FLOW_LR),
        "ema": Decay(DECAY),
    }
    return edit(named.FLOW, changes | LABELLED)


def transformer(sizes: Sizes, name: str, steps: int) -> Any:
    return flow(DiT, sizes, name, steps)


def unet(sizes: Sizes, name: str, steps: int) -> Any:
    return flow(UNet, sizes, name, steps)


def game(sizes: Sizes, name: str, steps: int) -> Any:
    """R3GAN, as `benchmarks.gan` trains it; in float32, which is TF32 on a GPU: its nets have no other type."""
    net = sizes.nets[name]
    optimiser = Adam(GAME_LR, *net.betas)
    changes = {
        "latent": LATENT,
        "gen": R3Generator(**net.sizes()),
        "disc": R3Discriminator(**net.sizes()),
        "penalties": (R1(net.gamma), R2(net.gamma)),
        "optimiser": optimiser,
        "disc_optimiser": optimiser,
        "ema": Decay(DECAY),
    }
    return edit(R3GAN, changes)


# (config, labels)
MODELS: dict[str, tuple[Callable, int]] = {
    "dit-b4": (transformer, CLASSES),
    "dit-s2": (transformer, CLASSES),
    "unet": (unet, CLASSES),
    "r3gan": (game, 0),
}


# --- the workers ------------------------------------------------------------------------------------------------------


class Steps:
    """The guarded step of a run, one to a dispatch, as the loop dispatches it."""

    def __init__(self, run: Run):
        exp = run.exp
        self._step = side_genjax.compiled_step(run)
        self._key = run.key(0)
        self._resident = exp.layout.put(dict(run.source.train), None)
        # the numbers of the examples alone are moved
        self._batches = functools.partial(
            train_batches, run.source, exp.seed, 0, exp.batch, only_index=True
        )
        self.again()

    def again(self) -> None:
        """Goes on with the first batch."""
        self._next = self._batches()

    def __call__(self, state: Any, steps: int) -> Any:
        """The state after so many steps more, which are done; the one before is given away."""
        in_flight = InFlight()
        for _ in range(steps):
            batch = jax.tree.map(lambda x: x[None], next(self._next))
            state, metrics = self._step(self._key, state, self._resident, batch)
            in_flight.add(metrics)
        jax.block_until_ready(state)
        if np.asarray(metrics["skipped"]).any():
            raise SystemExit("our loss or a gradient is not finite")
        return state


def train(run: Run, sizes: Sizes) -> None:
    """Blocks of training steps."""
    steps, state = Steps(run), run.state
    for n in blocks():
        state = steps(state, n)


def sample(run: Run, sizes: Sizes) -> None:
    """Blocks of draws, each brought to the host."""
    side_genjax.sample(run, sizes.drawn)


JOBS = {"train": train, "sample": sample}


def work(job: str, name: str, size: str, images: str) -> None:
    """Blocks of a job of a net."""
    sizes = SIZES[size]
    config, classes = MODELS[name]
    data, cfg = Images(images, classes), config(sizes, name, STEPS)
    with side_genjax.started(data, cfg, sizes.nets[name].batch, name) as (run, _):
        JOBS[job](run, sizes)


# --- their work -------------------------------------------------------------------------------------------------------


def count(name: str, size: str) -> None:
    """Prints the FLOPs of a training step and of a draw by XLA's cost analysis of our programs.

    On the CPU and before XLA changes them: of a program for a GPU it does not count products that cuBLAS or cuDNN do.
    Pointwise operations are counted, and what is done in a loop once: so a draw is a draw of one step, times the steps.
    """
    jax.config.update("jax_platforms", "cpu")
    sizes = SIZES[size]
    config, classes = MODELS[name]
    spec = side_genjax.spec((SIDE, SIDE, CHANNELS), classes)
    algorithm = config(sizes, name, 1)(spec)
    batch = of_zeros(sizes.nets[name].batch, classes)
    drawn = of_zeros(sizes.drawn, classes)
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key, batch)
    draws = STEPS if classes else 1  # a generator is called once
    found = {
        "train": flops(guarded(algorithm.step), key, state, batch),
        "sample": draws * flops(algorithm.sample, key, state, drawn),
    }
    print(json.dumps(found))


def of_zeros(n: int, classes: int) -> dict[str, np.ndarray]:
    """n examples."""
    return {
        "image": np.zeros((n, SIDE, SIDE, CHANNELS), np.uint8),
        "label": np.zeros(n, np.int32),
        "index": np.arange(n, dtype=np.uint32),
        "position": np.arange(n, dtype=np.uint32),
    }


def flops(fn: Callable, *args: Any) -> float:
    """Of fn(*args), as XLA counts them."""
    # the program for a GPU: that for a CPU attends in a loop, which would be counted once
    lowered = jax.jit(fn).trace(*args).lower(lowering_platforms=("cuda",))
    return lowered.cost_analysis()["flops"]


# --- the product ------------------------------------------------------------------------------------------------------


def product(device: str, n: int, queued: int = 10, repeats: int = 5) -> float:
    """FLOP/s of products of two square matrices of normal numbers, n to a side: the median of some queues of them."""
    dtype, _ = TYPES[device]
    a = jax.random.normal(jax.random.key(0), (n, n), dtype)
    multiply = jax.jit(jnp.matmul)
    rates = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        # queued: a dispatch is not a part of what is measured
        done = [multiply(a, a) for _ in range(queued)]
        jax.block_until_ready(done)
        rates.append(queued / (time.perf_counter() - begun))
    flops = 2.0 * n**3  # n³ multiplications, as many additions
    return flops * statistics.median(rates[1:])  # the first compiles


def measured(part: str, size: str, path: str) -> None:
    """Tells of the machine, then of the product by JAX and by PyTorch."""
    sizes, file = SIZES[size], Path(path)
    versions = {"jax": importlib.metadata.version("jax"), "machine": platform.hardware()}
    dtype, _ = TYPES[sizes.device]
    what = f"{dtype} product, {sizes.product} to a side"
    rate = product(sizes.device, sizes.product)
    lines.write(file, part, what=what, **{lines.PRODUCT: rate}, **versions)
    if importlib.util.find_spec("torch") is None:
        lines.write(file, part, what="PyTorch is not installed: rows are of ours alone")
        return
    found = answer("gpu.speed_torch", "product", size)
    lines.write(file, part, what=what, **found)


def main(what: str, *args: str) -> None:
    {"ours": work, "count": count}[what](*args)


if __name__ == "__main__":
    if sys.argv[1] == "product":
        measured(*sys.argv[1:])
    else:
        main(*sys.argv[1:])
