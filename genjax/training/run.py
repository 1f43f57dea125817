"""A run in progress, and what one does with it: evaluate, sample, look at its checkpoints.

`loop.run` makes one and hands it to `Experiment.finish`; notebooks hold it too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from genjax.config import identity
from genjax.core import Algorithm, Spec, State, means, size
from genjax.data.batches import chosen, eval_batches, share
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.machine import hosts
from genjax.machine.parallel import Layout
from genjax.pictures.draw import grid
from genjax.training.checkpoint import Checkpoints
from genjax.training.experiment import Experiment
from genjax.training.log import Log
from genjax.training.pulse import Pulse
from genjax.training.watch import Measure

IN_FLIGHT = 2  # programs dispatched and not yet awaited; more can deadlock collectives on virtual CPU devices


@dataclasses.dataclass
class Run:
    """A run in progress: what `finish` and notebooks work with."""

    exp: Experiment
    source: Source
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

    def given(self, n: int, **fixed: Any) -> dict[str, Any]:
        """What `sample` is asked for in a draw of n: "index", and the fields it asks for, of held-out examples.

        All fields come from the same rows, so labels are as frequent as in the data, and agree with the images beside
        them. `fixed` sets fields, e.g. label=7 or an array [n]; UserError for one that the model does not ask for.
        """
        asks = self.algorithm.asks
        if strange := [name for name in fixed if name not in asks]:
            raise UserError(
                f"this model does not ask for {strange[0]!r}: it samples "
                f"{'given ' + ', '.join(asks) if asks else 'without conditions'}; train one with --algorithm.condition."
            )
        held = next((s for s in (self.held_out()[1], self.source.train) if size(s)), {})
        drawn = {"index": np.arange(n, dtype=np.uint32)}
        for name in asks:
            if name in fixed:
                value = np.asarray(fixed[name])
                drawn[name] = (
                    np.resize(value, (n, *value.shape[1:])) if value.ndim else np.full(n, value)
                )
            elif isinstance(held[name], dict):  # a domain
                rows = chosen(n, size(held[name]))
                drawn[name] = {field: np.asarray(x[rows]) for field, x in held[name].items()}
            else:
                drawn[name] = np.asarray(held[name][chosen(n, size(held))])
        return drawn

    def compiled(self, fn: Callable) -> Callable:
        """fn(key, state, batch) -> tree of [B, ...], compiled for the layout once per function."""
        return _compiled(self.exp.layout, fn)

    def evaluate(
        self, arrays: dict, fn: Callable | None = None, batch: int | None = None
    ) -> dict[str, np.ndarray]:
        """Per-example values over a whole split, {name: [N]}; fn defaults to the algorithm's own `evaluate`."""
        batch = batch or min(self.exp.evaluate_batch, size(arrays))
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

    def summary(self, values: dict[str, np.ndarray]) -> dict[str, float]:
        """The numbers of a whole split out of `evaluate`'s values: the algorithm's own, or the mean of each."""
        return (self.algorithm.summary or means)(values)

    def sample(self, n: int, **fixed: Any) -> Any:
        """Samples 0..n-1, [n, ...] or {name: [n, ...]}; to be read only, as those of one part are JAX's own memory.

        fixed: see `given`. UserError for a model that makes no samples.
        """
        if self.algorithm.sample is None:
            name = type(self.exp.algorithm).__name__
            raise UserError(f"{name} makes no samples: it is measured by `evaluate` alone.")
        return self.draw(self.algorithm.sample, self.given(n, **fixed))

    def picture(self, n: int, **fixed: Any) -> np.ndarray:
        """Samples 0..n-1 for people, uint8 [H, W, C]."""
        samples = self.sample(n, **fixed)
        if self.algorithm.picture is not None:
            return self.algorithm.picture(samples, self.given(n, **fixed))
        if isinstance(samples, dict):  # one column for each of several outputs
            columns = np.stack([np.asarray(x, np.float32) for x in samples.values()], 1)
            return grid(columns.reshape(-1, *columns.shape[2:]), len(samples))
        return self.source.picture(samples)

    def encode(self, arrays: dict) -> np.ndarray:
        """The codes of a whole split, [N, ...]; UserError for a model that has none."""
        if self.algorithm.encode is None:
            raise UserError(f"{type(self.exp.algorithm).__name__} has no codes to encode data in.")
        return self.evaluate(arrays, _coding(self.algorithm.encode))["code"]

    def draw(self, fn: Callable, given: dict[str, Any], state: Any = None) -> Any:
        """fn(key, state, given) -> [B, ...] over all rows of `given`, evaluate_batch at a time; tells how far it is.

        `state` is the run's own, or any tree of arrays that fn wants instead.
        """
        state = self.state if state is None else state
        ways, n = self.exp.layout.ways(), len(given["index"])
        compiled, key, parts = self.compiled(fn), self.key(2), []
        most = min(self.exp.evaluate_batch, n)
        most += -most % ways
        mine = share(most, hosts.process())
        start = told = time.monotonic()
        for i in range(0, n, most):
            self._beat()
            # the last part is filled up, so that one compiled program serves all
            rows = np.arange(i, i + most)[mine] % n
            part = self.exp.layout.put(jax.tree.map(lambda x, rows=rows: x[rows], given))
            made = compiled(key, state, part)
            parts.append(jax.tree.map(lambda x, left=n - i: np.asarray(x)[:left], made))
            if time.monotonic() - told > 20.0 and i + most < n:
                told = time.monotonic()
                left = (told - start) * (n - i - most) / (i + most)
                self.log.note(f"{i + most} of {n} samples drawn, {left:.0f} s left")
        if len(parts) == 1:
            return parts[0]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

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
        n = self.exp.watch.count(size(self.held_out()[1]))
        given = self.given(n)
        samples = self.draw(self.algorithm.sample, given)
        label = given.get("label", np.zeros(n, np.int32))  # of a model that is not told any
        return self.measure(samples, label)

    def held_out(self) -> tuple[str, dict]:
        """The split that is looked at during training: "valid" where some is held out, else "test"."""
        valid = self.source.valid
        return ("valid", valid) if size(valid) else ("test", self.source.test)

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
def _coding(encode: Callable) -> Callable:
    """`encode` as `evaluate` calls it; one function for one `encode`, so that it is compiled once."""
    return lambda key, state, batch: {"code": encode(key, state, batch)}


@functools.lru_cache(maxsize=32)
def _compiled(layout: Layout, fn: Callable) -> Callable:
    return layout.apply(fn)
