"""Worker processes that take turns: each runs a timed block of steps while all others wait in a blocking read.

Thread pools of different libraries in one process fight for the cores, and two processes measured one after the other
meet a machine in two moods. Here every contender keeps its own process and the blocks alternate, so a slow minute
hits all of them. Neither PyTorch nor JAX is imported here: each is only in the workers that measure it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.profile import operations

PAUSE = 0.05  # [s] between blocks: OpenMP threads spin for some milliseconds before they sleep


class Failed(Exception):
    """A worker ended before it answered."""


class Worker:
    """The parent's end: `python -m module *args` in a process of its own."""

    def __init__(self, name: str, module: str, *args: str, python: str = sys.executable):
        """Starts the worker and waits until it is ready; raises `Failed` if it does not get that far."""
        self.name = name
        self.rates: list[float] = []  # of its blocks, a round each [steps/s]
        # the first block, with compiling [s]; a step of the last one over all threads [s]; memory [MiB]
        self.first, self.cpu, self.peak = math.nan, 0.0, 0.0
        self.operations, self.profiled = {}, math.nan
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (its stderr, shown if it fails)
        self._compiled = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # compiling takes memory and time: with a cache of compiled code both would depend on what ran here before
        no_cache = {
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "TORCHINDUCTOR_CACHE_DIR": self._compiled.name,
        }
        self._process = subprocess.Popen(
            [python, "-m", module, *args],
            env=os.environ | no_cache,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,  # a file, not a pipe: one that nobody reads would fill up and stop it
        )
        self.hello = self._answer()

    def block(self, steps: int) -> float:
        """Runs `steps` steps there; returns steps/s and notes the processor time a step took, over all threads [s]."""
        answer = self._ask(f"{steps}")  # it times itself: the pipe is no part of a block
        self.cpu, self.peak = answer["cpu"] / steps, answer["peak"]
        time.sleep(PAUSE)
        return steps / answer["seconds"]

    def profile(self, steps: int) -> None:
        """Runs `steps` steps under a profiler: notes the time of a step [s] and of its operations by name [s]."""
        answer = self._ask(f"{steps} profiled")
        self.profiled = answer["seconds"] / steps
        found = answer["operations"]
        self.operations = {name: seconds / steps for name, seconds in found.items()}

    def close(self) -> None:
        """Ends the worker: its input is at an end."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._said.close()
        self._compiled.cleanup()

    def _ask(self, what: str) -> dict[str, Any]:
        # a broken pipe: it has ended, so there is no answer, and that is told
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            words = self._said.read()
            ended = f"{self.name}: the worker ended with exit code {code}"
            raise Failed(f"{ended} and these words:\n{words}")
        return json.loads(line)


def blocks(**hello: Any) -> Iterator[int]:
    """The worker's end: yields the number of steps of the next block; it is timed until the next one is asked for.

    Finish the work before asking: JAX returns before its results are there.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr and cannot be taken for an answer
    _write(answers, **hello)
    for line in sys.stdin:  # "20", or "20 profiled"; ends when the parent closes it
        steps, *profiled = line.split()
        found = Counter()
        with operations(found) if profiled else contextlib.nullcontext():
            start, cpu = time.perf_counter(), time.process_time()
            yield int(steps)
            took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        _write(answers, **took, peak=peak_memory(), operations=found)


def _write(file, **values: Any) -> None:
    print(json.dumps(values), file=file, flush=True)


def peak_memory() -> float:
    """This process's largest resident memory so far [MiB]."""
    scale = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def alternate(
    workers: list[Worker],
    seconds: float,
    rounds: int,
    multiple: int = 10,
    optional: tuple[str, ...] = (),
) -> list[Worker]:
    """Fills `worker.rates` [steps/s], one a round, with blocks of about `seconds` and a multiple of `multiple` steps.

    Every other round goes backwards (A B C, C B A), so that a machine that slowly warms up or slows favours nobody.
    `worker.first` is the time of its first block, of `multiple` steps, with compiling [s]. A worker named in `optional`
    that fails there is left out, with the reason. Returns those that took turns.
    """
    steps = {}
    for worker in workers:
        try:
            worker.first = multiple / worker.block(multiple)
        except Failed as failed:
            if worker.name not in optional:
                raise
            print(f"left out: {failed}", file=sys.stderr)
            continue
        steps[worker] = _steps(worker, seconds, multiple)
    for i in range(rounds):
        order = reversed(steps) if i % 2 else steps
        for worker in order:
            worker.rates.append(worker.block(steps[worker]))
    return list(steps)


def _steps(worker: Worker, seconds: float, multiple: int) -> int:
    """How many steps take about so many seconds."""
    worker.block(multiple)  # fills caches
    dispatches = worker.block(2 * multiple) * seconds / multiple
    return max(1, round(dispatches)) * multiple


def ratio(worker: Worker, reference: Worker) -> tuple[float, float, float]:
    """(median, least, most) over the rounds of worker's rate over the reference's in the same round."""
    # within a round, so that a change of the machine's speed hits both
    pairs = zip(worker.rates, reference.rates, strict=True)
    ratios = [rate / other for rate, other in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)
