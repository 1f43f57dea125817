"""A run in progress, and what one does with it: evaluate, sample, look at its checkpoints.

`train.run` makes one and hands it to `Experiment.finish`; notebooks hold it too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from genjax.config import identity
from genjax.core import Algorithm, Spec, State
from genjax.data.batches import eval_batches, share
from genjax.errors import UserError
from genjax.machine import hosts
from genjax.machine.parallel import Layout
from genjax.training.checkpoint import Checkpoints
from genjax.training.log import Log
from genjax.training.pulse import Pulse
from genjax.training.watch import Measure

IN_FLIGHT = 2  # programs dispatched and not yet awaited; more can deadlock collectives on virtual CPU devices


@dataclasses.dataclass
class Run:
    """A run in progress: what `finish` and notebooks work with."""

    exp: Any  # train.Experiment
    source: Any
    spec: Spec
    algorithm: Algorithm
    log: Log
    state: State
    meta: dict  # what the checkpoint holds besides the state: the unfinished window of metrics, skips in a row, …
    measure: Measure | None = None  # metrics of samples and their labels, as `exp.watch` says
    pulse: Pulse | None = None  # in training: hears of every batch, for the watchdog

    def key(self, purpose: int) -> jax.Array:
        """One key per purpose: 0 training, 1 evaluation, 2 samples, 3 initial weights; 4 and up are free."""
        return _key(self.exp.seed, purpose)

    def given(self, n: int, labels: Sequence[int] = ()) -> dict[str, np.ndarray]:
        """What `sample` is asked for in a grid of n: indices, `labels` in turn (() = all), perhaps images."""
        index = np.arange(n, dtype=np.uint32)
        labels = np.resize(np.asarray(labels or range(max(self.spec.classes, 1)), np.int32), n)
        given = {"index": index, "label": labels}
        if (
            getattr(self.exp.algorithm, "given", None) is not None
        ):  # a model that starts from an image
            split = next(
                s
                for s in (self.source.test, self.source.valid, self.source.train)
                if len(s["image"])
            )
            given["image"] = np.asarray(split["image"][index % len(split["image"])])
        return given

    def compiled(self, fn: Callable) -> Callable:
        """fn(key, state, batch) -> tree of [B, ...], compiled for the layout once per function."""
        return _compiled(self.exp.layout, fn)

    def evaluate(
        self, arrays: dict, fn: Callable | None = None, batch: int | None = None
    ) -> dict[str, np.ndarray]:
        """Per-example values over a whole split, {name: [N]}; fn defaults to the algorithm's own `evaluate`."""
        batch = batch or min(self.exp.evaluate_batch, len(arrays["image"]))
        batch += -batch % self.exp.layout.ways()
        fn, parts, pending = self.compiled(fn or self.algorithm.evaluate), [], deque()
        for host, valid in eval_batches(arrays, batch, hosts.process()):
            self._beat()
            pending.append((fn(self.key(1), self.state, self.exp.layout.put(host)), valid))
            if (
                len(pending) >= IN_FLIGHT
            ):  # the next batch is read and moved while this one is computed
                parts.append(_valid(*pending.popleft()))
        parts += [_valid(*last) for last in pending]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def sample(self, n: int) -> np.ndarray:
        """Samples 0..n-1, [n, ...]; to be read only, as those of one part are JAX's own memory."""
        return self.draw(self.algorithm.sample, self.given(n))

    def draw(self, fn: Callable, given: dict[str, Any], state: Any = None) -> np.ndarray:
        """fn(key, state, given) -> [B, ...] over all rows of `given`, evaluate_batch at a time; tells how far it is.

        `state` is the run's own, or any tree of arrays that fn wants instead.
        """
        state, ways = self.state if state is None else state, self.exp.layout.ways()
        compiled, key, n, parts = self.compiled(fn), self.key(2), len(given["index"]), []
        most = min(self.exp.evaluate_batch, n)
        most += -most % ways
        mine = share(most, hosts.process())
        start = told = time.monotonic()
        for i in range(0, n, most):
            self._beat()
            rows = (
                np.arange(i, i + most)[mine] % n
            )  # the last part is filled up: one compiled program serves all
            part = self.exp.layout.put({name: x[rows] for name, x in given.items()})
            parts.append(np.asarray(compiled(key, state, part))[: n - i])
            if time.monotonic() - told > 20.0 and i + most < n:
                told = time.monotonic()
                left = (told - start) * (n - i - most) / (i + most)
                self.log.note(f"{i + most} of {n} samples drawn, {left:.0f} s left")
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def best(self) -> tuple[int, State]:
        """(step, state) of the best state by `exp.watch.best`; UserError where none was kept."""
        name = self.exp.watch.best
        if name not in self.meta.get("best", {}):
            raise UserError(
                f"--watch.best={name}: this run has kept no such state, as it was trained without."
            )
        step = self.meta["best"][name]["step"]
        with contextlib.closing(self.bests(name)) as checkpoints:
            return step, checkpoints.at(step, jax.tree.map(_struct, self.state))

    def bests(self, name: str) -> Checkpoints:
        """Where the best state by the metric `name` is kept."""
        return Checkpoints(self.log.directory / "best" / name, identity(self.exp), 1)

    def snapshots(self) -> Iterator[tuple[int, State]]:
        """(step, state) of every checkpoint that was kept (`--keep`), oldest first, one at a time in memory."""
        exp, like = self.exp, jax.tree.map(_struct, self.state)
        config = identity(exp)
        with contextlib.closing(
            Checkpoints(self.log.directory / "checkpoints", config, exp.keep)
        ) as checkpoints:
            for step in checkpoints.all_steps():
                yield step, checkpoints.at(step, like)

    def quality(self) -> dict[str, Any]:
        """The metrics of `exp.watch` of samples 0..n-1 of the state as it is, {name: metrics.evaluate.Value}."""
        n = self.exp.watch.count(len(self.held_out()[1]["image"]))
        return self.measure(self.sample(n), self.given(n)["label"])

    def held_out(self) -> tuple[str, dict]:
        """The split that is looked at during training: "valid" where some is held out, else "test"."""
        valid = self.source.valid
        return ("valid", valid) if len(valid["image"]) else ("test", self.source.test)

    def _beat(self) -> None:
        if self.pulse is not None:
            self.pulse.beat()


def _valid(values: dict[str, jax.Array], n: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[:n] for name, value in values.items()}


def _struct(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


@functools.lru_cache(maxsize=32)
def _key(seed: int, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), purpose)


@functools.lru_cache(maxsize=32)
def _compiled(layout: Layout, fn: Callable) -> Callable:
    return layout.apply(fn)
