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

from genjax.conditions import Numbers
from genjax.config import identity, walk
from genjax.core import Algorithm, Spec, State, means, size
from genjax.data.batches import chosen, eval_batches, share
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Points
from genjax.machine import hosts
from genjax.machine.parallel import Layout
from genjax.pictures.draw import grid
from genjax.training.basis import Basis, basis, settings
from genjax.training.checkpoint import Checkpoints
from genjax.training.experiment import Experiment
from genjax.training.log import Log
from genjax.training.pulse import Pulse
from genjax.training.watch import Measure

IN_FLIGHT = 2  # programs dispatched and not yet awaited; more can deadlock collectives on virtual CPU devices


@dataclasses.dataclass
class Run:
    """A run in progress: what `finish` and notebooks work with."""

    # what was asked for, what it is trained on, what trains on it
    exp: Experiment
    source: Source
    spec: Spec
    algorithm: Algorithm
    log: Log
    # replaced at every step: the old one's buffers are donated
    state: State
    meta: dict  # what the checkpoint holds besides the state: the unfinished window of metrics, skips in a row, …
    measure: Measure | None = None  # metrics of samples and their labels, as `exp.watch` says
    pulse: Pulse | None = None  # in training: hears of every batch, for the watchdog

    def key(self, purpose: int) -> jax.Array:
        """One key per purpose: 0 training, 1 evaluation, 2 samples, 3 initial weights; 4 and up are free."""
        # of the seed alone, so that a resumed run draws the same
        return _key(self.exp.seed, purpose)

    def given(self, n: int, **fixed: Any) -> dict[str, Any]:
        """What `sample` is asked for in a draw of n: "index", and the fields it asks for, of held-out examples.

        All fields come from the same rows, so labels are as frequent as in the data, and agree with the images beside
        them. `fixed` sets fields, e.g. label=7, label="cat" or an array [n]; UserError for one that the model does not
        ask for, and for a value that the field cannot have.
        """
        asks = self.algorithm.asks
        strange = [name for name in fixed if name not in asks]
        if strange:
            samples = f"given {', '.join(asks)}" if asks else "without conditions"
            raise UserError(
                f"this model does not ask for {strange[0]!r}: it samples "
                f"{samples}; train one with --algorithm.condition."
            )
        _, held = self.held_out()
        if not size(held):
            held = self.source.train  # better than nothing to show
        drawn: dict[str, Any] = {"index": np.arange(n, dtype=np.uint32)}
        for name in asks:
            if name in fixed:
                drawn[name] = self._fixed(name, fixed[name], n)
                continue
            its = held[name]
            if isinstance(its, dict):  # a domain, which has rows of its own
                rows = chosen(n, size(its))
                drawn[name] = {}
                for field, values in its.items():
                    drawn[name][field] = np.asarray(values[rows])
            else:
                rows = chosen(n, size(held))  # the same for all names
                drawn[name] = np.asarray(its[rows])
        return drawn

    def _fixed(self, name: str, value: Any, n: int) -> np.ndarray:
        """One field that is set by the caller, for a draw of n."""
        kind = self.source.fields.get(name)
        number = getattr(kind, "number", None)
        if number is not None:  # classes have names
            value = number(value)
        if isinstance(kind, Points) and kind.shape == (1,):  # age=30, or age=[30, 40]
            value = np.reshape(value, (-1, 1)).astype(np.float32)
        repeated = _repeated(value, n)
        if kind is not None:  # a domain has fields of its own
            kind.check(f"the {name} asked for", repeated)
        for told in _numbers(self.exp.algorithm):
            if told.of == name:
                told.allow(repeated)
        return repeated

    def basis(self, what: Any, step: int | None = None) -> Basis:
        """What results of the config `what`, a finding say, depend on besides the run's digest: see `basis`.

        step: None = that of the state; for what is compared over steps one for all.
        """
        cfg = self.exp.algorithm
        if step is None:
            step = int(self.state.step)
        # of a finished run: the config that it was trained by, which may sample otherwise
        changed = settings(self.log.directory / "config.json", cfg)
        return basis(what, cfg, self.meta["data"], step, changed)

    def find(self, finding: Callable[[Run], Any]) -> Any:
        """What a finding makes of this run; all that it writes is kept as measured on the run as it is now."""
        with self.log.measuring(self.basis(finding)):
            return finding(self)

    def compiled(self, fn: Callable) -> Callable:
        """fn(key, state, batch) -> tree of [B, ...], compiled for the layout once per function."""
        return _compiled(self.exp.layout, fn)

    def evaluate(
        self, arrays: dict, fn: Callable | None = None, batch: int | None = None
    ) -> dict[str, np.ndarray]:
        """Per-example values over a whole split, {name: [N]}; fn defaults to the algorithm's own `evaluate`."""
        layout = self.exp.layout
        batch = batch or min(self.exp.evaluate_batch, size(arrays))
        batch += -batch % layout.ways()  # up to the next multiple of the devices
        # every batch has one size, so one program serves all
        fn = self.compiled(fn or self.algorithm.evaluate)
        parts = []
        pending = deque()
        for host, valid in eval_batches(arrays, batch, hosts.process()):
            self._beat()
            placed = layout.put(host)
            # one key for all batches: noise is that of an example's number, whatever the batch
            values = fn(self.key(1), self.state, placed)
            pending.append((values, valid))
            # the next batch is read and moved while this one is computed
            if len(pending) >= IN_FLIGHT:
                parts.append(_valid(*pending.popleft()))
        parts += [_valid(*last) for last in pending]
        joined = {}
        for name in parts[0]:
            joined[name] = np.concatenate([part[name] for part in parts])  # [N]
        return joined

    def summary(self, values: dict[str, np.ndarray]) -> dict[str, float]:
        """The numbers of a whole split out of `evaluate`'s values: the algorithm's own, or the mean of each."""
        summary = self.algorithm.summary or means
        return summary(values)

    def sample(self, n: int, **fixed: Any) -> Any:
        """Samples 0..n-1, [n, ...] or {name: [n, ...]}; to be read only, as those of one part are JAX's own memory.

        fixed: see `given`. UserError for a model that makes no samples.
        """
        if self.algorithm.sample is None:
            name = type(self.exp.algorithm).__name__
            raise UserError(f"{name} makes no samples: it is measured by `evaluate` alone.")
        given = self.given(n, **fixed)
        return self.draw(self.algorithm.sample, given)

    def picture(self, n: int, **fixed: Any) -> np.ndarray:
        """Samples 0..n-1 for people, uint8 [H, W, C]."""
        samples = self.sample(n, **fixed)
        if self.algorithm.picture is not None:
            return self.algorithm.picture(samples, self.given(n, **fixed))
        return self.shown(samples)

    def shown(self, samples: Any) -> np.ndarray:
        """Samples [n, ...], or {name: [n, ...]}, as the data's fields draw them: uint8 [H, W, C]."""
        if not isinstance(samples, dict):
            return self.source.picture(samples)
        # one column for each of several outputs
        outputs = [np.asarray(x, np.float32) for x in samples.values()]
        columns = np.stack(outputs, 1)  # [n, outputs, H, W, C]
        pictures = columns.reshape(-1, *columns.shape[2:])
        return grid(pictures, len(samples))

    def encode(self, arrays: dict) -> np.ndarray:
        """The codes of a whole split, [N, ...]; UserError for a model that has none."""
        if self.algorithm.encode is None:
            name = type(self.exp.algorithm).__name__
            raise UserError(f"{name} has no codes to encode data in.")
        coding = _coding(self.algorithm.encode)
        return self.evaluate(arrays, coding)["code"]

    def draw(self, fn: Callable, given: dict[str, Any], state: Any = None) -> Any:
        """fn(key, state, given) -> [B, ...] over all rows of `given`, evaluate_batch at a time; tells how far it is.

        `state` is the run's own, or any tree of arrays that fn wants instead.
        """
        if state is None:
            state = self.state
        layout = self.exp.layout
        n = len(given["index"])
        compiled = self.compiled(fn)
        key = self.key(2)
        parts = []
        most = min(self.exp.evaluate_batch, n)
        most += -most % layout.ways()  # up to the next multiple of the devices
        mine = share(most, hosts.process())
        start = told = time.monotonic()
        for i in range(0, n, most):
            self._beat()
            # the last part is filled up, so that one compiled program serves all
            rows = np.arange(i, i + most)
            rows = rows[mine] % n
            part = jax.tree.map(lambda x, rows=rows: x[rows], given)
            made = compiled(key, state, layout.put(part))
            # what filled it up is cut off again
            wanted = n - i
            parts.append(_first(made, wanted))
            done = i + most
            silent = time.monotonic() - told
            if silent > 20.0 and done < n:
                told = time.monotonic()
                left = (told - start) * (n - done) / done
                self.log.note(f"{done} of {n} samples drawn, {left:.0f} s left")
        if len(parts) == 1:
            return parts[0]  # no copy
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def best(self) -> tuple[int, State]:
        """(step, state) of the best state by `exp.watch.best`; UserError where none was kept."""
        name = self.exp.watch.best
        kept = self.meta.get("best", {})
        if name is None or name not in kept:
            raise UserError(
                f"--watch.best={name}: this run has kept no such state, as it was trained without."
            )
        step = kept[name]["step"]
        like = jax.tree.map(_struct, self.state)
        with contextlib.closing(self.bests(name)) as checkpoints:
            return step, checkpoints.at(step, like)

    def bests(self, name: str) -> Checkpoints:
        """Where the best state by the metric `name` is kept."""
        return Checkpoints(self.log.directory / "best" / name, identity(self.exp), 1)

    def snapshots(self) -> Iterator[tuple[int, State]]:
        """(step, state) of every checkpoint that was kept (`--keep`), oldest first, one at a time in memory."""
        exp = self.exp
        like = jax.tree.map(_struct, self.state)
        home = self.log.directory / "checkpoints"
        with contextlib.closing(Checkpoints(home, identity(exp), exp.keep)) as checkpoints:
            for step in checkpoints.all_steps():
                yield step, checkpoints.at(step, like)

    def quality(self) -> dict[str, Any]:
        """The metrics of `exp.watch` of samples 0..n-1 of the state as it is, {name: metrics.evaluate.Value}."""
        _, held = self.held_out()
        n = self.exp.watch.count(size(held))
        if self.algorithm.sample is None or self.measure is None:
            raise UserError("--watch.metrics='()': this run measures no samples.")
        given = self.given(n)
        samples = self.draw(self.algorithm.sample, given)
        zeros = np.zeros(n, np.int32)  # of a model that is not told any label
        label = given.get("label", zeros)
        return self.measure(samples, label)

    def held_out(self) -> tuple[str, dict]:
        """The split that is looked at during training: "valid" where some is held out, else "test"."""
        valid = self.source.valid
        if size(valid):
            return "valid", valid  # so that nothing is chosen by looking at test data
        return "test", self.source.test

    def _beat(self) -> None:
        # long evaluations are no hang: without this the watchdog would end them
        if self.pulse is not None:
            self.pulse.beat()


def _repeated(value: Any, n: int) -> np.ndarray:
    """A value that is fixed for a draw of n: one for all, or an array that is repeated as often as it takes."""
    value = np.asarray(value)
    if value.ndim:
        return np.resize(value, (n, *value.shape[1:]))
    return np.full(n, value)


def _numbers(cfg: Any) -> Iterator[Numbers]:
    """The conditions on a number in a config, wherever they lie: an algorithm may have one as a field of its own."""
    for _, _, value, _, _ in walk(cfg):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Numbers):
                yield part


def _first(tree: Any, n: int) -> Any:
    """The first n rows of every array, on the host."""
    return jax.tree.map(lambda x: np.asarray(x)[:n], tree)


def _valid(values: dict[str, jax.Array], n: int) -> dict[str, np.ndarray]:
    """The first n of each: the rest of a last batch is filling."""
    kept = {}
    for name, value in values.items():
        kept[name] = np.asarray(value)[:n]
    return kept


def _struct(x: jax.Array) -> jax.ShapeDtypeStruct:
    """What a checkpoint needs to know to put an array back where it is now."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


@functools.lru_cache(maxsize=32)
def _key(seed: int, purpose: int) -> jax.Array:
    # kept: a key is asked for at every batch, and is a dispatch of its own
    root = jax.random.key(seed)
    return jax.random.fold_in(root, purpose)


@functools.lru_cache(maxsize=32)
def _coding(encode: Callable) -> Callable:
    """`encode` as `evaluate` calls it; one function for one `encode`, so that it is compiled once."""
    return lambda key, state, batch: {"code": encode(key, state, batch)}


@functools.lru_cache(maxsize=32)
def _compiled(layout: Layout, fn: Callable) -> Callable:
    return layout.apply(fn)
