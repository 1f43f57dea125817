"""What the training loop costs a step beyond the compiled step itself, on CPU.

    python -m benchmarks.overhead            about a minute; --quick: does it run at all

The step is as small as a step can be (a linear autoencoder with one code on digits), so that what is left is the loop:
the batch, its way to the device, the metrics and the log. "bare" calls the same compiled step from a plain
Python loop on one batch that lies on the device, with as many steps in flight.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import deque

BATCHES = (16, 128, 1024)  # examples a step
SIDES = {"bare": "1", "loop": "1", "loop, 10 in a scan": "10"}


def experiment(batch: int, chunk: int, runs: str):
    """A run that never ends, and never evaluates, draws or saves."""
    from genjax.ae.autoencoder import Autoencoder
    from genjax.data import Digits
    from genjax.training.loop import Experiment

    never = 10**9
    cadence = {"evaluate_every": 0, "sample_every": 0, "save_every": never, "log_every": 1000}
    exp = Experiment(
        data=Digits(),
        algorithm=Autoencoder(latent=1),
        steps=never,
        batch=batch,
        chunk=chunk,
        runs=runs,
    )
    return exp.__class__(**{**exp.__dict__, **cadence})


def bare(run) -> None:
    """Blocks of the compiled step alone."""
    import jax
    import numpy as np

    from benchmarks.turns import blocks
    from genjax.core import guarded
    from genjax.data.batches import batch_at
    from genjax.training.loop import IN_FLIGHT

    exp = run.exp
    step = exp.layout.train(guarded(run.algorithm.step), run.state)
    batch = batch_at(run.source.train, exp.seed, 0, exp.batch)
    batch = jax.device_put({name: np.stack([x]) for name, x in batch.items()})
    state, key, pending = run.state, run.key(0), deque()
    for steps in blocks():
        for _ in range(steps):
            state, metrics = step(key, state, {}, batch)
            pending.append(metrics)
            if len(pending) >= IN_FLIGHT:
                jax.device_get(pending.popleft())
        jax.block_until_ready(state)


def worker(side: str, batch: int, chunk: int) -> None:
    """The process of one side."""
    from benchmarks.vae_genjax import loop
    from genjax.training.loop import start

    with tempfile.TemporaryDirectory() as runs:
        run, checkpoints = start(experiment(batch, chunk, runs), "benchmark", "overhead")
        if side == "bare":
            bare(run)
        else:
            loop(run, checkpoints)


def rows(batch: int, seconds: float, rounds: int) -> list[str]:
    """Lines of the table for one batch size."""
    from benchmarks.common import measure

    commands = {
        side: ("overhead", "worker", side, str(batch), chunk) for side, chunk in SIDES.items()
    }
    workers, lines = measure(commands, seconds, rounds, 10), []
    for side, one in workers.items():
        more = [1e6 / a - 1e6 / b for a, b in zip(one.rates, workers["bare"].rates, strict=True)]
        took = 1e6 / statistics.median(one.rates)
        over = (
            ""
            if side == "bare"
            else f"{statistics.median(more):.0f} ({min(more):.0f}, {max(more):.0f})"
        )
        lines.append(f"| {batch} | {side} | {took:.0f} | {over} | {1e6 * one.cpu:.0f} |")
    return lines


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        return worker(sys.argv[2], *map(int, sys.argv[3:5]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a block")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of every side")
    parser.add_argument("--quick", action="store_true", help="does it run at all")
    args = parser.parse_args()
    seconds, rounds, batches = (
        (0.05, 2, BATCHES[:1]) if args.quick else (args.seconds, args.rounds, BATCHES)
    )
    print(
        "| batch | | µs a step | more than bare, median (least, most) | CPU time, µs a step |\n|---|---|---|---|---|"
    )
    for batch in batches:
        print("\n".join(rows(batch, seconds, rounds)), flush=True)


if __name__ == "__main__":
    main()
