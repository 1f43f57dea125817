"""A net of ours beside PyTorch eager and torch.compile: training and sampling, all sides in turns.

All processes of a row start at a time, so that what is compiled is compiled side by side; they take turns when all of
them have done a first step. A side that has not by then is left out, and that is told. Rows may run at a time: no block
is measured while another row compiles or measures, and only one of ours chooses its kernels at a time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import COMPILED, EAGER, against, answer
from benchmarks.gpu import lines
from benchmarks.tasks import CHANNELS, SIDE
from benchmarks.tasks.gpu import SIZES, Sizes
from benchmarks.turns import Failed, Worker, alternate

OURS = "ours"
JOBS = {"train": "training step", "sample": "draw"}
STEPS = {"train": 10, "sample": 1}  # of which a block has a multiple
MODULES = {OURS: "benchmarks.gpu.speed_genjax"}
MODULES |= dict.fromkeys((EAGER, COMPILED), "benchmarks.gpu.speed_torch")
NAMES = {OURS: "ours", EAGER: "eager", COMPILED: "compile"}  # as the modules know the sides


class Side(NamedTuple):
    """A process of a row."""

    job: str
    name: str


class Started(Worker):
    """A worker that can be ended while it is waited for."""

    def __init__(self, made: list[Started], *args: str):
        made.append(self)  # first, for the start may hang too
        super().__init__(*args)

    def kill(self) -> None:
        self._process.kill()


def save_noise(path: Path, examples: int) -> None:
    """Pictures of noise: for speed it does not matter what they show."""
    import numpy as np

    rng = np.random.default_rng(0)
    np.save(path, rng.integers(0, 256, (examples, SIDE, SIDE, CHANNELS), np.uint8))


def sides(sizes: Sizes) -> list[Side]:
    """All that there are here."""
    names = [OURS]
    if importlib.util.find_spec("torch") is not None:
        names = [EAGER, *[COMPILED] * sizes.compile, OURS]
    return [Side(job, name) for job in JOBS for name in names]


# --- their first steps ------------------------------------------------------------------------------------------------


class Row:
    """The workers of a net, by sides, with the time that each took to its first step, its start included [s]."""

    def __init__(self, net: str, size: str, images: Path, lock: Path):
        self.net, self.size, self.images, self.lock = net, size, images, lock
        self.workers: dict[Side, Worker] = {}
        self.firsts: dict[Side, float] = {}
        self.lost: dict[Side, str] = {}  # why a side is left out
        self._made: dict[Side, list[Started]] = {}

    def start(self) -> None:
        """Returns when every side has done a first step or is lost."""
        sizes = SIZES[self.size]
        todo = sides(sizes)
        at_once = len(todo) if sizes.device == "gpu" else 1
        with ThreadPoolExecutor(at_once) as pool:
            pending = {side: pool.submit(self._first, side) for side in todo}
            wait(pending.values(), sizes.patience * len(todo) / at_once)
            for side, future in pending.items():
                if not future.done():
                    self._give_up(side, future)
        for side, future in pending.items():
            self._take(side, future)

    def _first(self, side: Side) -> Worker:
        """The worker after its first block."""
        begun = time.monotonic()
        made = self._made.setdefault(side, [])
        what = (NAMES[side.name], side.job, self.net, self.size, str(self.images))
        worker = Started(made, side.name, MODULES[side.name], *what)
        # XLA tries kernels: another that tries at the time would spoil its choice
        tries = contextlib.nullcontext()
        if side.name == OURS:
            tries = lines.locked(self.lock.with_suffix(".tries"), alone=True)
        with tries:
            worker.block(STEPS[side.job])
        self.firsts[side] = time.monotonic() - begun
        return worker

    def _give_up(self, side: Side, future: Future) -> None:
        future.cancel()  # if it has not begun
        for worker in self._made.get(side, ()):
            with contextlib.suppress(AttributeError):  # it has no process yet
                worker.kill()

    def _take(self, side: Side, future: Future) -> None:
        """The worker of a side, or why there is none."""
        if future.cancelled():
            self.lost[side] = "not begun in time"
            return
        error = future.exception()
        if error is None:
            self.workers[side] = future.result()
            return
        # its last words, or what was wrong with asking
        self.lost[side] = str(error)[-1500:] or repr(error)

    def of(self, job: str) -> list[Worker]:
        return [worker for side, worker in self.workers.items() if side.job == job]

    def close(self) -> None:
        for made in self._made.values():
            for worker in made:
                with contextlib.suppress(Exception):  # one that never started
                    worker.close()


# --- what is told -----------------------------------------------------------------------------------------------------


def told(
    row: Row, job: str, work: Mapping[str, float], product: float | None
) -> Iterator[dict]:
    """A line for each side of a job."""
    for side, reason in row.lost.items():
        if side.job == job:
            yield {"what": JOBS[job], "side": side.name, "left out": reason[-300:]}
    measured = {worker.name: worker for worker in row.of(job) if worker.rates}
    # of whole rounds alone, where a side has failed in one
    rounds = min((len(worker.rates) for worker in measured.values()), default=0)
    for worker in measured.values():
        worker.rates = worker.rates[:rounds]
    for name, worker in measured.items():
        rate = statistics.median(worker.rates)  # steps/s
        line = {"what": JOBS[job], "side": name, "ms": 1000.0 / rate}
        for other in (EAGER, COMPILED):
            if other in measured and name == OURS:
                line[f"against {other}"] = against(worker, measured[other])
        if job in work:  # the same for all sides: that of our program
            line["TFLOP/s"] = rate * work[job] / 1e12
            line["of JAX's product"] = product and rate * work[job] / product
        line["start and first [s]"] = row.firsts[Side(job, name)]
        yield line | {key: value for key, value in worker.hello.items() if key == "attention"}


def counted(net: str, size: str) -> dict[str, float]:
    """FLOPs of both jobs; {} where they cannot be counted, and why on stderr."""
    try:
        return answer("gpu.speed_genjax", "count", net, size)
    except Exception as error:  # the times are worth having without
        print(f"the work of {net} was not counted: {error}", file=sys.stderr)
        return {}


def measure(row: Row, job: str) -> str | None:
    """Turns of all sides of a job; why they failed, if they did."""
    sizes = SIZES[row.size]
    workers = row.of(job)
    optional = tuple(worker.name for worker in workers)
    try:
        alternate(workers, sizes.seconds, sizes.rounds, STEPS[job], optional)
    except Failed as failed:
        return str(failed)
    return None


def main(net: str, size: str, path: str) -> None:
    """Lines of a net as soon as they are known; exit code 1 where ours is not among them."""
    file, sizes = Path(path), SIZES[size]
    lock = file.with_suffix(".lock")
    bad: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as pool:
        images = Path(scratch) / "images.npy"
        save_noise(images, sizes.examples)
        row = Row(net, size, images, lock)
        try:
            with lines.locked(lock, alone=False):
                counting = pool.submit(counted, net, size)
                row.start()
                work = counting.result()
            with lines.locked(lock, alone=True):
                for job in JOBS:
                    if words := measure(row, job):
                        bad[job] = words
                    product = lines.value(lines.read(file), "product", lines.PRODUCT)
                    for line in told(row, job, work, product):
                        lines.write(file, net, **line)
        finally:
            row.close()
    for side, reason in row.lost.items():
        print(f"left out: {side.name}, {side.job}: {reason}", file=sys.stderr)
        if side.name == OURS:
            bad[side.job] = reason
    if bad:
        sys.exit("\n".join(f"{job}: {words}" for job, words in bad.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
