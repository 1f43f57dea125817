"""How our own cost grows: with the batch, the net's width, the image's size, the number of devices, and in sampling.

    python -m benchmarks.growth               about three quarters of an hour on two quiet cores
    python -m benchmarks.growth --quick       does it run at all: two points an axis, numbers that mean nothing
    python -m benchmarks.growth --axes batch --nets dit mlp

A point is a size of one net, and a process of its own: it compiles its program once, without a cache, and then takes
turns with the other points of its line, so that a slow minute hits all of them. Training is the guarded step as the
loop runs it: put a batch on the device, loss, gradient, Adam. From the times t at sizes n of each round the exponent k
of t ~ n^k is fitted by least squares on the logarithms: over all points, and over the upper half of them, where costs
that do not grow weigh less. It runs on CPU. Virtual CPU devices share the same cores, so more of them cannot be
faster at a fixed batch: exponent 0 means that dividing the work costs nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.common import measure
from benchmarks.turns import Worker, blocks

IN_FLIGHT = 2  # steps dispatched and not yet awaited, as in the loop


class Point(NamedTuple):
    """One program: the size of everything."""

    net: str
    job: str = "train"
    batch: int = 64  # examples a step, or samples a draw
    width: int = 128
    side: int = 28  # of the square grey images [pixels]
    devices: int = 0  # virtual CPU devices of a mesh; 0 = one device, no mesh
    steps: int = 10  # of Euler's method, in sampling
    depth: int = 6  # of the transformer


class Axis(NamedTuple):
    """What grows, over which values, for which nets."""

    title: str
    field: str
    job: str
    values: dict[str, tuple[int, ...]]
    base: dict[str, int]  # what else is not as in `BASES`


BASES = {
    "dit": Point("dit", width=128),  # flow matching; the net of `benchmarks.diffusion`
    "unet": Point("unet", width=32),  # flow matching, widths (w, 2 w)
    "mlp": Point("mlp", width=256),  # VAE, hidden layers (2 w, w)
    "conv": Point("conv", width=32),  # VAE, widths (w, 2 w)
}
BATCHES = (16, 32, 64, 128, 256)
AXES = {
    "batch": Axis(
        "Training against the batch", "batch", "train", dict.fromkeys(BASES, BATCHES), {}
    ),
    "width": Axis(
        "Training against the width",
        "width",
        "train",
        {"dit": (32, 64, 128, 256), "mlp": (64, 128, 256, 512, 1024), "conv": (8, 16, 32, 64)},
        {"batch": 32},
    ),
    "size": Axis(
        "Training against the image's side",
        "side",
        "train",
        {"dit": (8, 16, 32, 64), "mlp": (8, 16, 32, 64, 128), "conv": (8, 16, 32, 64)},
        {"batch": 16},
    ),
    "devices": Axis(
        "Training against the number of virtual CPU devices, which share the same cores",
        "devices",
        "train",
        dict.fromkeys(("dit", "mlp", "conv"), (1, 2, 4)),
        {},
    ),
    "steps": Axis(
        "Sampling against Euler steps",
        "steps",
        "sample",
        dict.fromkeys(("dit", "unet"), (2, 4, 8, 16)),
        {},
    ),
    "images": Axis(
        "Sampling against images",
        "batch",
        "sample",
        dict.fromkeys(("dit", "unet"), (16, 32, 64, 128)),
        {},
    ),
}


# --- the fit ----------------------------------------------------------------------------------------------------------


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """k of time ~ size^k by least squares on the logarithms; nan for fewer than two sizes."""
    if len(sizes) < 2:
        return math.nan
    return statistics.linear_regression(
        [math.log(n) for n in sizes], [math.log(t) for t in times]
    ).slope


def upper(values: Sequence) -> Sequence:
    """The upper half of ascending values, the middle one included; two at least."""
    return values[min(len(values) // 2, max(len(values) - 2, 0)) :]


def exponents(
    sizes: Sequence[float], rates: Sequence[Sequence[float]]
) -> dict[str, tuple[float, float, float]]:
    """{"upper half", "whole range": (median, least, most) of k over the rounds}; rates [steps/s] by size, by round."""
    found = {"upper half": [], "whole range": []}
    for round_ in zip(*rates, strict=True):
        times = [1.0 / rate for rate in round_]
        found["upper half"].append(exponent(upper(sizes), upper(times)))
        found["whole range"].append(exponent(sizes, times))
    return {name: (statistics.median(ks), min(ks), max(ks)) for name, ks in found.items()}


# --- a point, in a process of its own ---------------------------------------------------------------------------------


def algorithm(point: Point) -> Any:
    """The config of a point's net."""
    from benchmarks.diffusion_genjax import model
    from genjax.config import edit
    from genjax.nets import MLP, ConvDecoder, ConvEncoder
    from genjax.optim import Adam
    from genjax.vae.vae import VAE

    w, steps = point.width, {"schedule.steps": point.steps}
    if point.net == "dit":
        return edit(model("dit"), {**steps, "net.width": w, "net.depth": point.depth})
    if point.net == "unet":
        return edit(
            model("unet"), {**steps, "net.widths": (w, 2 * w), "net.attention": (point.side // 4,)}
        )
    if point.net == "mlp":
        return VAE(32, MLP((2 * w, w)), MLP((w, 2 * w)), optimiser=Adam(1e-3))
    return VAE(32, ConvEncoder((w, 2 * w)), ConvDecoder((w, 2 * w)), optimiser=Adam(1e-3))


def images(point: Point) -> dict[str, Any]:
    """A batch of noise with labels: the cost does not depend on the picture."""
    import numpy as np

    from benchmarks.diffusion import CLASSES

    index = np.arange(point.batch, dtype=np.uint32)
    shape = (point.batch, point.side, point.side, 1)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return {
        "image": pixels,
        "label": (index % CLASSES).astype(np.int32),
        "index": index,
        "position": index,
    }


def program(point: Point) -> tuple[Callable[[int], None], dict[str, float]]:
    """(run(n): n steps or draws, awaited; what is known of it: seconds of compiling, MiB that XLA plans for)."""
    import jax

    from benchmarks.diffusion import CLASSES
    from genjax.core import Spec, guarded
    from genjax.machine.parallel import Jit, Mesh

    layout = Mesh() if point.devices else Jit()
    built = algorithm(point)(Spec((point.side, point.side, 1), CLASSES))
    key, batch = jax.random.key(0), images(point)
    state = layout.init(built.init, key, {name: array[:1] for name, array in batch.items()})
    if point.job == "train":
        step, stacked = (
            layout.train(guarded(built.step), state),
            {name: x[None] for name, x in batch.items()},
        )
        compiled, known = _compiled(step, key, state, {}, layout.put(stacked, 1))
        return _training(compiled, layout, key, state, stacked), known
    given = {name: batch[name] for name in ("index", "label")}
    compiled, known = _compiled(layout.apply(built.sample), key, state, layout.put(given))
    return lambda n: [
        jax.device_get(compiled(key, state, layout.put(given))) for _ in range(n)
    ], known


def _compiled(fn: Any, *args: Any) -> tuple[Any, dict[str, float]]:
    begun = time.perf_counter()
    compiled = fn.lower(*args).compile()
    known = {"compile": time.perf_counter() - begun}
    return compiled, known | {"planned": compiled.memory_analysis().temp_size_in_bytes / 2**20}


def _training(
    compiled: Callable, layout: Any, key: Any, state: Any, stacked: dict
) -> Callable[[int], None]:
    import jax

    def run(n: int) -> None:
        nonlocal state
        pending = []
        for _ in range(n):
            state, metrics = compiled(key, state, {}, layout.put(stacked, 1))
            pending.append(metrics)
            if len(pending) >= IN_FLIGHT:
                jax.block_until_ready(pending.pop(0))
        jax.block_until_ready(state)

    return run


def work(*args: str) -> None:
    """The worker's end: blocks of the point that its arguments name."""
    net, job, *sizes = args
    point = Point(net, job, *map(int, sizes))
    import genjax  # noqa: F401  (settles XLA's flags before JAX's first backend)

    if point.devices:
        import jax

        jax.config.update("jax_num_cpu_devices", point.devices)
    run, known = program(point)
    for steps in blocks(**known):
        run(steps)


# --- the tables -------------------------------------------------------------------------------------------------------


def points(axis: Axis, net: str, quick: bool = False) -> dict[int, Point]:
    """The points of one line of a table, by their sizes."""
    base = BASES[net]._replace(job=axis.job, **axis.base)
    base = base._replace(depth=1) if quick else base
    values = axis.values[net][: 2 if quick else None]
    return {value: base._replace(**{axis.field: value}) for value in values}


def row(net: str, workers: dict[int, Worker]) -> str:
    """A line of Markdown: times, exponents, memory and compile times of one net."""

    def listed(form: str, values: Callable[[Worker], float]) -> str:
        return ", ".join(f"{size}: {values(worker):{form}}" for size, worker in workers.items())

    found = exponents(list(workers), [worker.rates for worker in workers.values()])
    fits = [f"{k:.2f} ({least:.2f}, {most:.2f})" for k, least, most in found.values()]
    times = listed(".1f", lambda worker: 1000.0 / statistics.median(worker.rates))
    peak, planned = (
        listed(".0f", lambda worker: worker.peak),
        listed(".0f", lambda worker: worker.hello["planned"]),
    )
    seconds = listed(".1f", lambda worker: worker.hello["compile"])
    return f"| {' | '.join([net, times, *fits, peak, planned, seconds])} |"


def fixed(axis: Axis, nets: Sequence[str]) -> str:
    """What stays as it is along an axis, in words."""
    said = []
    for net in nets:
        base = BASES[net]._replace(**axis.base)
        kept = {"batch": base.batch, "width": base.width, "side": base.side}
        said.append(
            f"{net} {', '.join(f'{name} {n}' for name, n in kept.items() if name != axis.field)}"
        )
    return "; ".join(said)


def table(name: str, args: argparse.Namespace) -> None:
    """Prints the table of one axis, line by line as the nets are done."""
    axis = AXES[name]
    nets = [net for net in axis.values if net in args.nets]
    if not nets:
        return
    if args.quick:  # another net on every axis: compiling is what takes the time
        nets = [nets[list(AXES).index(name) % len(nets)]]
    print(f"\n**{axis.title}** ({fixed(axis, nets)})\n")
    print(
        f"| net | {axis.field}: time [ms] | exponent, upper half: median (least, most) | whole range | peak memory "
        "[MiB] | temporary arrays by XLA [MiB] | compile [s] |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for net in nets:
        line = points(axis, net, args.quick)
        commands = {
            str(size): ("growth", "point", *map(str, point)) for size, point in line.items()
        }
        workers = measure(commands, args.seconds, args.rounds, 1)
        print(row(net, {int(size): worker for size, worker in workers.items()}), flush=True)


def machine() -> str:
    """Cores, processor and versions."""
    from genjax.machine.platform import cpu_model

    jax = f"jax {importlib.metadata.version('jax')}"
    return ", ".join(
        [f"{os.cpu_count()} cores", cpu_model().rsplit(" ", 1)[0], platform.python_version(), jax]
    )


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description="How our own cost grows."
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="length of a block, one step at least"
    )
    parser.add_argument("--rounds", type=int, default=5, help="blocks of every point")
    parser.add_argument("--nets", nargs="+", choices=list(BASES), default=list(BASES))
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument(
        "--quick", action="store_true", help="only whether it runs: the numbers mean nothing"
    )
    args = parser.parse_args(argv)
    if args.quick:
        args.seconds, args.rounds = 0.05, 2
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers
    print(f"{machine()}; {args.rounds} rounds of {args.seconds:g} s", flush=True)
    for name in args.axes:
        table(name, args)


if __name__ == "__main__":
    work(*sys.argv[2:]) if sys.argv[1:2] == ["point"] else main(sys.argv[1:])
