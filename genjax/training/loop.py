"""The one training loop, for every family: `run` carries out an `Experiment`.

Everything is a function of (seed, step): a run that was killed and started again gives the same bits as one that was
not. Run directory: <runs>/<experiment>/<ablation>-<digest>/ with config.json, run.json, metrics.jsonl, speed.jsonl,
results.json, heartbeat.json, report.html, samples/, checkpoints/ and, where a best state is kept, best/.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax import report
from genjax.config import identity, to_json
from genjax.core import Algorithm, Spec, guarded, size
from genjax.data import Source, fingerprint, train_batches
from genjax.data.batches import domains, steps_per_epoch, take
from genjax.data.source import check as check_source
from genjax.errors import Preempted, UserError
from genjax.machine import hosts, platform
from genjax.training.checkpoint import Checkpoints
from genjax.training.experiment import Experiment, check, directory
from genjax.training.log import Log, make_directory
from genjax.training.preempt import alone, stop_requests
from genjax.training.pulse import Pulse
from genjax.training.run import IN_FLIGHT, Run
from genjax.training.watch import told
from genjax.views import seen_fields, viewed

MOST_SKIPS = 20  # steps in a row that may be skipped because something was not finite


def _check_data(exp: Experiment, source: Source) -> None:
    """Raises UserError for data that the run cannot be trained or measured on."""
    check_source(source)
    parts = [source.train[name] for name in domains(source.train)] or [source.train]
    steps_per_epoch(min(map(size, parts)), exp.batch)  # raises for a batch larger than the set
    test, valid = size(source.test), size(source.valid)
    if (exp.finish and not test) or (exp.every.evaluate and not test + valid):
        raise UserError(
            f"{source.name} has no test examples: give it some (a folder by --data.test=0.1 or a sub-folder `test`), "
            "or train without measuring by --every.evaluate=0 --finish='()'."
        )
    if exp.resident and source.records is not None:
        raise UserError(
            "--resident=true keeps the set on the device and --data.stream=true does not: choose one."
        )


def _bind(exp: Experiment, source: Source) -> tuple[Spec, Algorithm]:
    """The task and the algorithm on it; UserError where the two do not fit."""
    fields = seen_fields(exp.view, source.fields)
    parts = domains(source.train)
    spec = Spec(tuple(fields.items()), exp.steps, exp.microbatches, parts)
    algorithm = exp.algorithm(spec)
    known = (*fields, *parts)
    if lacking := [name for name in algorithm.asks if name not in known]:
        raise UserError(
            f"--algorithm={type(exp.algorithm).__name__} asks for the field {lacking[0]!r} to sample, and "
            f"{source.name} has {', '.join(known)}: use other data, or another condition."
        )
    return spec, viewed(algorithm, exp.view, spec)


def example_of(source: Source) -> dict[str, Any]:
    """The first training example as a batch: what `init` sees."""

    def first(arrays: dict[str, Any]) -> dict[str, Any]:
        return take(arrays, np.zeros(1, np.int64))

    parts = {name: first(source.train[name]) for name in domains(source.train)}
    return {"index": np.zeros(1, np.uint32), **parts} if parts else first(source.train)


def start(exp: Experiment, experiment: str, name: str) -> tuple[Run, Checkpoints]:
    """Loads the data, builds the state or restores it, opens the logs."""
    begun = time.perf_counter()
    check(exp)
    platform.enable_compilation_cache()
    path = make_directory(directory(exp, experiment, name))
    source = exp.data.load()
    _check_data(exp, source)
    for finding in exp.finish:
        getattr(finding, "check", lambda exp, source: None)(exp, source)
    spec, algorithm = _bind(exp, source)
    held = source.valid if size(source.valid) else source.test
    exp.watch.check(spec, algorithm, size(held), bool(exp.every.evaluate))
    state, meta, checkpoints, restored = _state(exp, path, source, algorithm)
    log = Log(path, exp.steps, exp.batch, int(state.step), begun=begun)
    log.open(to_json(exp), finished=int(state.step) >= exp.steps)
    resumed = f", resumed at step {int(state.step)}" if restored else ""
    log.note(f"run directory {directory(exp, experiment, name)}{resumed}")
    measure = None
    if exp.watch.metrics:
        features = Path(exp.runs) / "features"
        measure = exp.watch.start(source.train, held, features, exp.layout, spec.main)
    return Run(exp, source, spec, algorithm, log, state, meta, measure), checkpoints


def _state(exp: Experiment, path: Path, source: Source, algorithm: Algorithm) -> tuple:
    """(state, meta, checkpoints, whether it was restored)."""
    example, key = example_of(source), jax.random.fold_in(jax.random.key(exp.seed), 3)
    checkpoints = Checkpoints(path / "checkpoints", identity(exp), exp.keep)
    restored = checkpoints.restore(exp.layout.like(algorithm.init, key, example))
    if restored is None:
        state, meta = exp.layout.init(algorithm.init, key, example), {}
    else:
        state, meta = restored
    meta = {"sums": {}, "count": 0, "skips": 0, **meta}
    mark = fingerprint(source)
    if meta.setdefault("data", mark) != mark:
        raise UserError(
            f"{path} was trained on other data than {source.name} holds now: put that data back, choose another "
            "--runs, or remove the directory."
        )
    return state, meta, checkpoints, restored is not None


def _dispatches(exp: Experiment, first: int, turns: int) -> Iterator[tuple[int, int]]:
    """(step, K) of every dispatch: K divides chunk and all cadences; single steps where it is not aligned.

    Steps that take turns are single.
    """
    step = first
    chunk = exp.chunk if turns == 1 else 1
    most = math.gcd(chunk, *_cadences(exp))
    while step < exp.steps:
        k = most if step % most == 0 and step + most <= exp.steps else 1
        yield step, k
        step += k


def _feed(run: Run, first: int, turns: int) -> Iterator[tuple[int, int, dict]]:
    """(first step, step after it, batches [K, B, ...]) of every dispatch.

    Made in the loop's own thread, while the dispatch before is still computed: another thread costs more than it saves.
    """
    exp = run.exp
    batches = train_batches(run.source, exp.seed, first, exp.batch, hosts.process(), exp.resident)
    with contextlib.closing(batches):
        for step, k in _dispatches(exp, first, turns):
            steps = [next(batches) for _ in range(k)]
            if k > 1:
                stacked = jax.tree.map(lambda *rows: np.stack(rows), *steps)
            else:
                stacked = jax.tree.map(lambda x: x[None], steps[0])
            yield step, step + k, exp.layout.put(stacked, 1)


def _retire(run: Run, metrics: dict[str, Any]) -> None:
    """Awaits the metrics of one dispatch and adds its K steps to the window; stops a run that keeps failing."""
    values, meta = jax.device_get(metrics), run.meta
    for i, skipped in enumerate(values["skipped"]):
        meta["skips"] = meta["skips"] + 1 if skipped else 0
        meta["count"] += 1
        for name, value in values.items():
            if not skipped or name == "skipped":  # the mean is over the steps that were taken
                meta["sums"][name] = meta["sums"].get(name, 0.0) + float(value[i])
        if meta["skips"] >= MOST_SKIPS:
            raise UserError(
                f"the loss or a gradient was not finite in {MOST_SKIPS} steps in a row: stopped, the last good "
                "checkpoint is intact. Lower --algorithm.optimiser.lr or clip gradients: --algorithm.optimiser.clip=1."
            )


def _window(meta: dict) -> dict[str, float]:
    """Means over the window's steps that were taken, the count of those that were skipped; empties the window."""
    sums, count = meta["sums"], meta["count"]
    skipped = sums.pop("skipped", 0.0)
    means = {name: value / max(count - skipped, 1) for name, value in sums.items()}
    meta.update(sums={}, count=0)
    return {**dict(sorted(means.items(), key=lambda item: item[0] != "loss")), "skipped": skipped}


def _events(run: Run, step: int) -> None:
    """What is due after `step`: a line of metrics, an evaluation, metrics of samples, a picture."""
    exp, known = run.exp, {}

    def due(every: int) -> bool:
        return bool(every) and (step % every == 0 or step == exp.steps)

    if due(exp.every.log):
        run.log.scalars(step, _window(run.meta))
    if due(exp.every.evaluate):
        split, arrays = run.held_out()
        known = run.summary(run.evaluate(arrays))
        run.log.scalars(step, known, split)
    if exp.watch.metrics and due(exp.watch.every):
        values = {name: value.value for name, value in run.quality().items()}
        run.log.scalars(step, values, "samples")
        known = known | values
    if exp.watch.best in known:
        _keep(run, step, known[exp.watch.best])
    if run.algorithm.sample is not None and due(exp.every.sample):
        run.log.picture(f"{step:08d}", run.picture(exp.samples))


def _keep(run: Run, step: int, value: float) -> None:
    """Saves the state if it is the best so far; the best value is in `meta`, so a resumed run knows it."""
    name = run.exp.watch.best
    best = run.meta.setdefault("best", {})
    if run.exp.watch.better(value, best.get(name, {}).get("value")):
        best[name] = {"step": step, "value": float(value)}
        with contextlib.closing(run.bests(name)) as checkpoints:
            checkpoints.save(step, run.state, {})
        run.log.result("best", {name: best[name]})


def _cadences(exp: Experiment) -> tuple[int, ...]:
    every = exp.every
    return every.log, every.save, every.evaluate, every.sample, exp.watch.every


def _due(exp: Experiment, step: int) -> bool:
    return step == exp.steps or any(n and step % n == 0 for n in _cadences(exp))


def train(run: Run, checkpoints: Checkpoints) -> Run:
    """Steps from run.state.step to exp.steps; raises Preempted, with everything saved, when asked to stop."""
    exp, first = run.exp, int(run.state.step)
    if first >= exp.steps:
        return run
    turns = run.algorithm.cycle or (run.algorithm.step,)
    compiled = {fn: exp.layout.train(guarded(fn), run.state) for fn in dict.fromkeys(turns)}
    resident = exp.layout.put(dict(run.source.train), None) if exp.resident else {}
    key, pending = run.key(0), deque()
    home = run.log.directory if jax.process_index() == 0 else None
    with stop_requests() as asked_to_stop, Pulse(home, exp.watchdog) as run.pulse:
        run.pulse.beat(first)
        for begun, step, batches in _feed(run, first, len(turns)):
            run.state, metrics = compiled[turns[begun % len(turns)]](
                key, run.state, resident, batches
            )
            pending.append(metrics)
            asked, due = asked_to_stop(), _due(exp, step)
            while pending and (len(pending) >= IN_FLIGHT or due or asked):
                _retire(run, pending.popleft())
            run.log.advance(step)
            run.pulse.beat(step)
            if due or asked:
                with run.log.apart():
                    _events(run, step)
                    if step % exp.every.save == 0 or step == exp.steps or asked:
                        checkpoints.save(
                            step, run.state, dict(run.meta, sums=dict(run.meta["sums"]))
                        )
            if asked and step < exp.steps:
                checkpoints.wait()
                raise Preempted(
                    f"stopped and saved at step {step}: run the same command again to go on."
                )
    checkpoints.wait()
    return run


def _beside(run: Run) -> None:
    """Tells the published numbers beside this run's own."""
    for other in run.exp.published:
        mine = (run.log.result(other.entry) or {}).get(other.name)
        mine = mine.get("value") if isinstance(mine, dict) else mine
        if mine is not None:
            run.log.note(
                f"{other.entry} {other.name} {mine:.5g}; published {other.value:.5g}: {other.source}"
            )


def _about(run: Run, experiment: str, name: str, origin: Mapping[str, Any] | None) -> None:
    """Writes run.json: what a report tells of a run besides its numbers."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.state.params))
    names = {
        "experiment": experiment,
        "ablation": name,
        "seed": run.exp.seed,
        "parameters": parameters,
    }
    run.log.about({**names, **platform.facts(), **(origin or {})})


def _conclude(run: Run) -> None:
    """Writes the metrics of the final samples to results.json, unless they are there."""
    wanted, known = run.exp.watch.names(), run.log.result("metrics") or {}
    n = run.exp.watch.count(size(run.held_out()[1]))
    if hosts.from_first(any(known.get(name, {}).get("n") != n for name in wanted)):
        values = run.quality()
        run.log.result("metrics", {name: value._asdict() for name, value in values.items()})
        run.log.note(told(values))


def run(
    experiment: str, exp: Experiment, name: str, origin: Mapping[str, Any] | None = None
) -> Run:
    """Carries out an experiment from wherever its directory stands, then its findings; returns the finished run.

    origin: what `cli.main` knows of where the run comes from, for its report. A finding of `exp.finish` may have a
    method check(exp, source), called before training, which raises UserError for what it cannot do.
    """
    exp.hosts.join()
    with alone(make_directory(directory(exp, experiment, name))):
        this, checkpoints = start(exp, experiment, name)
        trained = int(this.state.step) < exp.steps
        try:
            train(this, checkpoints)
        finally:
            this.log.close()
            checkpoints.close()
        _conclude(this)
        for finding in exp.finish:
            finding(this)
        _beside(this)
        if (
            trained or not (this.log.directory / "run.json").exists()
        ):  # not of who only looks at a finished run
            _about(this, experiment, name, origin)
        if jax.process_index() == 0:
            this.log.note(f"report {report.write([this.log.directory])}")
        this.log.note(f"done: {this.log.directory}, peak memory {platform.peak_memory():.0f} MiB")
        return this
