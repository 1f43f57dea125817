"""What a GPU trains: BASE of experiments/diffusion.py for some minutes, to its distance; the steps of StyleGAN2.

A run knows its number of steps before it begins, for schedules depend on it. So its speed is measured first, by a short
run of the same config, and the steps are that speed times the time it is to train.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.gan_genjax import Clock
from benchmarks.gpu import lines
from benchmarks.tasks.gan import STYLES
from benchmarks.tasks.gpu import SIZES
from experiments.diffusion import EXPERIMENTS
from genjax.config import edit
from genjax.diffusion.schedules import Times
from genjax.errors import UserError
from genjax.metrics.evaluate import Frechet
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.watch import Watch

CHUNK, LINE = 50, 500  # steps in a dispatch, between two lines of metrics
NEVER = 10**9
HOW = "from genjax.data import FashionMNIST; FashionMNIST().load()"  # where it and TFDS are at hand
TIMED = 20  # steps of each kind of StyleGAN2


# --- the flow ---------------------------------------------------------------------------------------------------------


def experiment(size: str, runs: str) -> Experiment:
    """The experiment as it stands, its set on the device; only what is measured at its end is less."""
    sizes = SIZES[size]
    exp = EXPERIMENTS[sizes.flow]
    changes = {
        "finish": (),
        "watch": dataclasses.replace(exp.watch, metrics=(Frechet(),)),
        "every": Every(log=LINE, evaluate=0, sample=0, save=NEVER),
        "resident": True,
        "chunk": CHUNK,
        "evaluate_batch": 2000,
        "runs": runs,
    }
    if size == "quick":
        changes |= {
            "every.log": 10,
            "chunk": 10,
            "batch": 8,
            "evaluate_batch": 20,
            "watch.samples": 64,
            "algorithm.schedule": Times(2),
            "algorithm.net.depth": 1,
            "algorithm.net.width": 16,
        }
    return edit(exp, changes)


def speed(exp: Experiment, steps: int) -> float:
    """Steps/s of a short run: the median of its lines but the first."""
    short = edit(exp, {"steps": steps, "watch": Watch()})
    done = run("gpu", short, "speed")
    text = (done.log.directory / "speed.jsonl").read_text()
    _, *rates = [json.loads(line)["steps/s"] for line in text.splitlines()]
    return statistics.median(rates)


def flow(part: str, size: str, file: Path) -> None:
    """Trains for the time that is asked for; tells the distance with its interval and the floor of real pictures."""
    sizes = SIZES[size]
    with tempfile.TemporaryDirectory() as runs:
        exp = experiment(size, runs)
        try:
            exp.data.load()
        except UserError as error:
            print(f"error: {error}")
            how = f'GENJAX_CACHE=FOLDER python -c "{HOW}", then GENJAX_CACHE=FOLDER here'
            lines.write(file, part, **{"left out": f"the set is not in the cache: {how}"})
            sys.exit(lines.LEFT_OUT)
        rate = speed(exp, sizes.pilot)
        steps = max(int(rate * sizes.training) // exp.chunk, 2) * exp.chunk
        asked = {"steps/s": rate, "time [s]": sizes.training, "steps": steps}
        lines.write(file, part, what="speed of a short run, and what it gives", **asked)
        begun = time.monotonic()
        done = run("gpu", edit(exp, {"steps": steps}), sizes.flow)
        took = time.monotonic() - begun
        measured = done.log.result("metrics") or {}
        for name, value in measured.items():
            kept = {key: value[key] for key in ("value", "low", "high", "floor")}
            what = f"{name} of {value['n']} samples"
            told = {"what": what, **kept, "steps": steps, "all of the run [s]": took}
            lines.write(file, part, **told)


# --- StyleGAN2 --------------------------------------------------------------------------------------------------------


def stylegan2(part: str, size: str, file: Path) -> None:
    """Times of its kinds of steps on noise, each awaited, and the mean over a cycle of lazy regularisation."""
    style = STYLES[SIZES[size].style]
    clock = Clock(style)
    turns, steps = clock.turns, TIMED
    if size == "quick":  # one program in place of three
        turns, steps = ["plain"], 1
    kinds = list(dict.fromkeys(turns))
    compiled = {}
    begun = time.monotonic()
    with ThreadPoolExecutor(len(kinds)) as pool:  # side by side: that is most of the time
        for name in kinds:
            compiled[name] = pool.submit(ahead, clock, name)
    for name in kinds:
        clock.steps[name] = compiled[name].result()
    took = time.monotonic() - begun
    what = f"StyleGAN2, {style.side}x{style.side}x3, batch {style.batch}, float32, on noise"
    lines.write(file, part, what=what, **{"compiling [s]": took})
    seconds = {}
    for name in kinds:
        clock(name)  # warms up
        seconds[name] = statistics.median(clock(name) for _ in range(steps))
        share = f"{turns.count(name)} of {len(turns)}"
        told = {"what": f"step: {name}", "of a cycle": share}
        lines.write(file, part, **told, **{"ms": 1000.0 * seconds[name]})
    mean = sum(seconds[name] for name in turns) / len(turns)
    last = {"what": "mean over a cycle", "ms": 1000.0 * mean, "steps/s": 1.0 / mean}
    lines.write(file, part, **last)


def ahead(clock: Clock, name: str):
    """A kind of step, compiled."""
    lowered = clock.steps[name].lower(clock.key, clock.state, {}, clock.batches)
    return lowered.compile()


def main(part: str, size: str, path: str) -> None:
    {"flow": flow, "stylegan2": stylegan2}[part](part, size, Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
