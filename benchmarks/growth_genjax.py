"""A point of `benchmarks.growth` in a process of its own: a net of one size, compiled once, and blocks of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import side_genjax
from benchmarks.diffusion_genjax import model
from benchmarks.side_genjax import InFlight
from benchmarks.tasks.diffusion import CLASSES
from benchmarks.tasks.growth import Point
from benchmarks.turns import blocks
from genjax.config import edit
from genjax.core import guarded
from genjax.machine.parallel import Jit, Mesh
from genjax.nets import MLP, ConvDecoder, ConvEncoder
from genjax.optim import Adam
from genjax.vae.vae import VAE

Known = dict[str, float]  # of a program: seconds of compiling, MiB that XLA plans for


def dit(point: Point) -> Any:
    """The transformer of `benchmarks.diffusion` in another size."""
    changes = {
        "schedule.steps": point.steps,
        "net.width": point.width,
        "net.depth": point.depth,
    }
    return edit(model("dit"), changes)


def unet(point: Point) -> Any:
    """The U-Net of `benchmarks.diffusion` in another size."""
    changes = {
        "schedule.steps": point.steps,
        "net.widths": (point.width, 2 * point.width),
        "net.attention": (point.side // 4,),  # at the smaller of its two levels
    }
    return edit(model("unet"), changes)


def mlp(point: Point) -> VAE:
    """Hidden layers (2 w, w)."""
    hidden = (2 * point.width, point.width)  # of the encoder; the decoder's are mirrored
    return VAE(32, MLP(hidden), MLP(hidden[::-1]), optimiser=Adam(1e-3))


def conv(point: Point) -> VAE:
    """Widths (w, 2 w) in both halves: the decoder takes the encoder's."""
    widths = (point.width, 2 * point.width)
    return VAE(32, ConvEncoder(widths), ConvDecoder(widths), optimiser=Adam(1e-3))


NETS = {"dit": dit, "unet": unet, "mlp": mlp, "conv": conv}


def algorithm(point: Point) -> Any:
    """The config of a point's net."""
    return NETS[point.net](point)


def images(point: Point) -> dict[str, Any]:
    """A batch of noise with labels: the cost does not depend on the picture."""
    index = np.arange(point.batch, dtype=np.uint32)
    shape = (point.batch, point.side, point.side, 1)
    return {
        "image": np.random.default_rng(0).integers(
            0, 256, shape, np.uint8
        ),  # bytes, as on disk
        "label": (index % CLASSES).astype(np.int32),
        "index": index,
        "position": index,
    }


def program(point: Point) -> tuple[Callable[[int], None], Known]:
    """(run(n): n steps or draws, awaited; what is known of it)."""
    layout = Mesh() if point.devices else Jit()
    built = algorithm(point)(side_genjax.spec((point.side, point.side, 1), CLASSES))
    key, batch = jax.random.key(0), images(point)
    one = {name: array[:1] for name, array in batch.items()}  # shapes are all that init wants
    state = layout.init(built.init, key, one)
    make = {"train": training, "sample": sampling}[point.job]
    return make(built, layout, key, state, batch)


def training(
    built: Any,
    layout: Any,
    key: Any,
    state: Any,
    batch: dict,
) -> tuple[Callable[[int], None], Known]:
    """The guarded step as the loop runs it: a batch is put on the device, loss, gradient, Adam."""
    stacked = {name: array[None] for name, array in batch.items()}  # one step to a dispatch
    step = layout.train(guarded(built.step), state)
    # ahead of time: compiling is told by itself, and the first block is like all others
    compiled, known = _compiled(step, key, state, {}, layout.put(stacked, 1))

    def run(n: int) -> None:
        nonlocal state
        in_flight = InFlight()
        for _ in range(n):
            # put anew for every step, as the loop does; the state is given away to the next one
            state, metrics = compiled(key, state, {}, layout.put(stacked, 1))
            in_flight.add(metrics)
        jax.block_until_ready(state)

    return run, known


def sampling(
    built: Any,
    layout: Any,
    key: Any,
    state: Any,
    batch: dict,
) -> tuple[Callable[[int], None], Known]:
    """Draws with the labels of a batch, each brought to the host."""
    given = {name: batch[name] for name in ("index", "label")}
    compiled, known = _compiled(layout.apply(built.sample), key, state, layout.put(given))

    def run(n: int) -> None:
        for _ in range(n):
            jax.device_get(compiled(key, state, layout.put(given)))

    return run, known


def _compiled(fn: Any, *args: Any) -> tuple[Any, Known]:
    begun = time.perf_counter()
    compiled = fn.lower(*args).compile()
    seconds = time.perf_counter() - begun
    # what the program needs beside its arguments and results
    planned = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return compiled, {"compile": seconds, "planned": planned}


def main(net: str, job: str, *sizes: str) -> None:
    point = Point(net, job, *map(int, sizes))  # in the order of its fields
    if point.devices:  # before JAX's first backend, which is started with them
        jax.config.update("jax_num_cpu_devices", point.devices)
    run, known = program(point)
    for steps in blocks(**known):
        run(steps)


if __name__ == "__main__":
    main(*sys.argv[1:])
