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
import math
import os
import statistics
import sys
from collections.abc import Callable, Sequence

from benchmarks.common import machine, measure
from benchmarks.tasks.growth import AXES, BASES, Axis, points
from benchmarks.turns import Worker

Fit = tuple[float, float, float]  # an exponent over the rounds: median, least, most


# --- the fit ----------------------------------------------------------------------------------------------------------


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """k of time ~ size^k by least squares on the logarithms; nan for fewer than two sizes."""
    if len(sizes) < 2:
        return math.nan
    # log t = k log n + c
    log_sizes = list(map(math.log, sizes))
    log_times = list(map(math.log, times))
    return statistics.linear_regression(log_sizes, log_times).slope


def upper(values: Sequence) -> Sequence:
    """The upper half of ascending values, the middle one included; two at least."""
    half = len(values) // 2
    last_two = max(len(values) - 2, 0)
    return values[min(half, last_two) :]


def exponents(sizes: Sequence[float], rates: Sequence[Sequence[float]]) -> dict[str, Fit]:
    """{"upper half", "whole range": (median, least, most) of k over the rounds}; rates [steps/s] by size, by round."""
    halves, wholes = [], []
    largest = upper(sizes)
    for round_ in zip(*rates, strict=True):  # within a round the machine has one speed
        times = [1.0 / rate for rate in round_]
        halves.append(exponent(largest, upper(times)))
        wholes.append(exponent(sizes, times))
    return {"upper half": spread(halves), "whole range": spread(wholes)}


def spread(values: Sequence[float]) -> Fit:
    """(median, least, most)."""
    return statistics.median(values), min(values), max(values)


# --- the tables -------------------------------------------------------------------------------------------------------

COLUMNS = (
    "exponent, upper half: median (least, most)",  # where costs that do not grow weigh less
    "whole range",
    "peak memory [MiB]",
    "temporary arrays by XLA [MiB]",
    "compile [s]",
)


def row(net: str, workers: dict[int, Worker]) -> str:
    """A line of Markdown: times, exponents, memory and compile times of one net."""

    # "16: 123.5, 32: 207.1": the value at every size
    def listed(form: str, value: Callable[[Worker], float]) -> str:
        told = [f"{size}: {value(worker):{form}}" for size, worker in workers.items()]
        return ", ".join(told)

    rates = [worker.rates for worker in workers.values()]
    found = exponents(list(workers), rates)
    fits = ["{:.2f} ({:.2f}, {:.2f})".format(*fit) for fit in found.values()]
    cells = (
        net,
        listed(".1f", lambda worker: 1000.0 / statistics.median(worker.rates)),
        *fits,
        listed(".0f", lambda worker: worker.peak),
        listed(".0f", lambda worker: worker.hello["planned"]),
        listed(".1f", lambda worker: worker.hello["compile"]),
    )
    return f"| {' | '.join(cells)} |"


def fixed(axis: Axis, nets: Sequence[str]) -> str:
    """What stays as it is along an axis, in words."""
    said = []
    for net in nets:
        base = BASES[net]._replace(**axis.base)
        # devices, steps and depth are in the title or the same everywhere
        kept = [name for name in ("batch", "width", "side") if name != axis.field]
        sizes = ", ".join(f"{name} {getattr(base, name)}" for name in kept)
        said.append(f"{net} {sizes}")
    return "; ".join(said)


def chosen(name: str, args: argparse.Namespace) -> list[str]:
    """The nets of an axis."""
    nets = [net for net in AXES[name].values if net in args.nets]
    if args.quick and nets:  # another net on every axis: compiling is what takes the time
        turn = list(AXES).index(name) % len(nets)
        return [nets[turn]]
    return nets


def table(name: str, args: argparse.Namespace) -> None:
    """Prints the table of one axis, line by line as the nets are done."""
    axis, nets = AXES[name], chosen(name, args)
    if not nets:
        return
    head = ("net", f"{axis.field}: time [ms]", *COLUMNS)
    titles = " | ".join(head)
    print(f"\n**{axis.title}** ({fixed(axis, nets)})\n")
    print(f"| {titles} |")
    print("|---" * len(head) + "|", flush=True)
    for net in nets:
        print(row(net, measured(axis, net, args)), flush=True)


def measured(axis: Axis, net: str, args: argparse.Namespace) -> dict[int, Worker]:
    """The points of a line by their sizes, after their rounds."""
    commands = {}
    for size, point in points(axis, net, args.quick).items():
        commands[str(size)] = ("growth_genjax", *map(str, point))  # as its command line has it
    # all points of a line at once, for they take turns
    workers = measure(commands, args.seconds, args.rounds, 1)
    return {int(size): worker for size, worker in workers.items()}


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="How our own cost grows.",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of a block, a step at least"
    )
    parser.add_argument("--rounds", type=int, default=5, help="blocks of every point")
    parser.add_argument("--nets", nargs="+", choices=list(BASES), default=list(BASES))
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    quick = "only whether it runs: the numbers mean nothing"
    parser.add_argument("--quick", action="store_true", help=quick)
    args = parser.parse_args(argv)
    if args.quick:
        args.seconds = 0.05
        args.rounds = 2
    return args


def main(argv: Sequence[str]) -> None:
    args = arguments(argv)
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers
    alone = machine(("jax",))  # PyTorch need not be there
    print(f"{alone}; {args.rounds} rounds of {args.seconds:g} s", flush=True)
    for name in args.axes:
        table(name, args)


if __name__ == "__main__":
    main(sys.argv[1:])
