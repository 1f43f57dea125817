"""Which of XLA's flags make a training step the same to the bit in two processes, and what each costs.

For each setting two processes compile the step of the U-Net, side by side with all others, which disturbs whoever
chooses kernels by trying them: as hard a test as a shared machine gives. Each takes some steps twice from one state.
Then all take turns at timed blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import statistics
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import side_genjax
from benchmarks.gpu import lines
from benchmarks.gpu.row import STEPS, Started, save_noise
from benchmarks.gpu.speed_genjax import MODELS, Steps
from benchmarks.side_genjax import Images
from benchmarks.tasks.diffusion import STEPS as EULER
from benchmarks.tasks.gpu import FLAGGED, FLAGS, SIZES
from benchmarks.turns import Worker, alternate, blocks

MULTIPLE = STEPS["train"]


def worker(flags: str, size: str, images: str) -> None:
    """Tells the bits after some steps, twice from one state; then blocks of steps."""
    lines.with_flags(flags)
    sizes = SIZES[size]
    config, classes = MODELS[FLAGGED]
    data, cfg = Images(images, classes), config(sizes, FLAGGED, EULER)
    with side_genjax.started(data, cfg, sizes.nets[FLAGGED].batch, "flags") as (run, _):
        # compiled once: what differs within a process is what the same program does
        steps, bits = Steps(run), []
        for _ in range(2):
            state = jax.tree.map(jnp.copy, run.state)  # a step gives its state away
            steps.again()
            bits.append(digest(steps(state, sizes.compared)))
        state = run.state
        for n in blocks(bits=bits):
            state = steps(state, n)


def digest(tree: Any) -> str:
    """Of all bits of all arrays."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(tree)):
        found.update(leaf.tobytes())
    return found.hexdigest()[:16]


def started(made: list[Started], name: str, flags: str, more: Sequence[str]) -> Worker | str:
    """The worker once it has compiled and told its bits; else why not."""
    try:
        return Started(made, name, "benchmarks.gpu.flags_genjax", "worker", flags, *more)
    except Exception:  # a flag that this release does not know ends the process
        return traceback.format_exc()[-1500:]


def told(pair: Sequence[Worker], none: float) -> dict[str, Any]:
    """A line of the table; `none`: steps/s without flags."""
    first, second = (worker.hello["bits"] for worker in pair)
    rates = [rate for worker in pair for rate in worker.rates]
    rate = statistics.median(rates)
    return {
        "the same twice in a process": len(set(first)) == len(set(second)) == 1,
        "the same in two processes": first[0] == second[0],
        "ms": 1000.0 / rate,
        "least": 1000.0 / max(rates),
        "most": 1000.0 / min(rates),
        "time against no flags": none / rate,
    }


def main(part: str, size: str, path: str) -> None:
    """A line for each setting; exit code 1 where one could not be tried."""
    sizes = SIZES[size]
    settings = dict(list(FLAGS.items())[: sizes.settings])
    made: list[Started] = []
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images.npy"
        save_noise(images, sizes.examples)
        kept = Path(scratch) / "kept.textproto"
        more = (size, str(images))
        pairs: dict[str, list] = {name: [] for name in settings}
        try:
            # the second of a pair when the first is done: it may read what that has left
            for turn in range(2):
                with ThreadPoolExecutor(len(settings) if sizes.device == "gpu" else 1) as pool:
                    pending = {}
                    for name, flags in settings.items():
                        its = flags[turn].format(file=kept)
                        pending[name] = pool.submit(started, made, name, its, more)
                for name, future in pending.items():
                    pairs[name].append(future.result())
            report(Path(path), part, size, pairs)
        finally:
            for one in made:
                with contextlib.suppress(AttributeError):  # it has no process
                    one.kill()


def report(file: Path, part: str, size: str, pairs: dict[str, list]) -> None:
    """Measures what has started and writes the table."""
    bad = {}
    for name, pair in pairs.items():
        words = [one for one in pair if type(one) is str]
        if words:
            bad[name] = words[0]
            lines.write(file, part, flags=name, stack=words[0])
    whole = {name: pair for name, pair in pairs.items() if name not in bad}
    for name, pair in whole.items():  # at once, for the blocks may fail
        print(name, json.dumps([worker.hello for worker in pair]), flush=True)
    sizes = SIZES[size]
    every = [worker for pair in whole.values() for worker in pair]
    alternate(every, sizes.seconds / 2, sizes.rounds, MULTIPLE)
    none = statistics.median(rate for worker in whole["none"] for rate in worker.rates)
    for name, pair in whole.items():
        lines.write(file, part, flags=name, **told(pair, none))
    if bad:
        sys.exit(f"could not be tried: {', '.join(bad)}")


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
