"""The one training loop, for every family: an `Experiment` is the whole run as a config, `run` carries it out.

Everything is a function of (seed, step): a run that was killed and started again gives the same bits as one that was
not. Run directory: <runs>/<experiment>/<ablation>-<digest>/ with config.json, run.json, metrics.jsonl, speed.jsonl,
results.json, heartbeat.json, report.html, samples/, checkpoints/ and, where a best state is kept, best/.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax import report
from genjax.config import digest, field, identity, to_json
from genjax.core import Algorithm, Spec, guarded
from genjax.data import (
    Digits,
    FashionMNIST,
    Folder,
    Photographs,
    Stock,
    Toy,
    fingerprint,
    train_batches,
)
from genjax.data.batches import steps_per_epoch
from genjax.errors import Preempted, UserError, at_least
from genjax.machine import hosts, platform
from genjax.machine.hosts import Hosts
from genjax.machine.parallel import Jit, Layout, check_batch
from genjax.training.checkpoint import Checkpoints
from genjax.training.log import Log, make_directory
from genjax.training.preempt import alone, stop_requests
from genjax.training.pulse import Pulse
from genjax.training.run import IN_FLIGHT, Run
from genjax.training.watch import Watch, told

MOST_SKIPS = 20  # steps in a row that may be skipped because something was not finite


@dataclasses.dataclass(frozen=True)
class Published:
    """A number of somebody else, which reports show beside ours."""

    entry: str = field("metrics", "entry of results.json")
    name: str = field("", "name of the number in it")
    value: float = field(0.0, "the published number")
    source: str = field("", "where, and of what")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run. Fields marked execution change how it is carried out, not its result, and are no part of its digest."""

    data: Digits | FashionMNIST | Folder | Photographs | Stock | Toy | Any = field(
        None, "the data set; any config with load()"
    )
    algorithm: Callable[[Spec], Algorithm] = field(None, "the model with its training rule")
    steps: int = field(1000, "training steps")
    batch: int = field(128, "examples a step, over all devices")
    seed: int = field(0, "of initial weights, order of the data and all noise")
    evaluate_every: int = field(1000, "steps between evaluations on held-out data, 0 = never")
    evaluate_batch: int = field(500, "examples an evaluation batch", execution=True)
    sample_every: int = field(1000, "steps between sample grids, 0 = never", execution=True)
    samples: int = field(64, "samples in a grid", execution=True)
    watch: Watch = field(Watch(), "metrics of samples, in training and at its end", execution=True)
    published: tuple[Published, ...] = field((), "numbers to compare with", execution=True)
    finish: Callable[[Any], None] | None = field(
        None, "what is measured and drawn after training", execution=True
    )
    layout: Layout = field(Jit(), "how a step is laid over devices", execution=True)
    hosts: Hosts = field(Hosts(), "the processes that work together", execution=True)
    microbatches: int = field(
        1,
        "parts of a batch that go through a step one after the other: memory of one part",
        execution=True,
    )
    chunk: int = field(1, "most steps in one dispatch; on CPU 1 with convolutions", execution=True)
    resident: bool = field(False, "keep the training set on the device", execution=True)
    log_every: int = field(100, "steps between lines of metrics", execution=True)
    save_every: int = field(1000, "steps between checkpoints", execution=True)
    keep: int = field(2, "checkpoints kept", execution=True)
    watchdog: float = field(
        30.0,
        "time without a step after which the process ends with its stacks [minutes], 0 = any",
        execution=True,
    )
    runs: str = field("runs", "folder of the run directories", execution=True)


def directory(exp: Experiment, experiment: str, name: str) -> Path:
    """<runs>/<experiment>/<ablation>-<digest>: one config, one directory, so running it again resumes it."""
    return Path(exp.runs) / experiment / f"{name}-{digest(exp)}"


def check(exp: Experiment) -> None:
    """Raises UserError for a config that cannot run, before anything is loaded or compiled."""
    positive = (
        "steps",
        "batch",
        "log_every",
        "save_every",
        "chunk",
        "keep",
        "evaluate_batch",
        "samples",
    )
    at_least(1, **{name: getattr(exp, name) for name in positive}, microbatches=exp.microbatches)
    at_least(
        0,
        **{
            name: getattr(exp, name)
            for name in ("evaluate_every", "sample_every", "seed", "watchdog")
        },
    )
    if exp.seed >= 2**32:
        raise UserError(
            f"--seed={exp.seed} must be less than 2**32: JAX's keys have no room for more."
        )
    if not callable(getattr(exp.data, "load", None)) or not callable(exp.algorithm):
        raise UserError(
            "--data and --algorithm must be configs: --data='Digits()', --algorithm='VAE()' for instance."
        )
    check_batch(exp.layout, exp.batch, exp.microbatches)


def _check_held_out(exp: Experiment, source: Any) -> None:
    test, either = len(source.test["image"]), len(source.test["image"]) + len(source.valid["image"])
    if (exp.finish is not None and not test) or (exp.evaluate_every and not either):
        raise UserError(
            f"{source.name} has no test examples: give it some (a folder by --data.test=0.1 or a sub-folder `test`), "
            "or train without measuring by --evaluate_every=0 --finish=None."
        )


def _check_labels(source: Any) -> None:
    if (
        source.records is not None or not source.classes
    ):  # streamed: not read before they are needed
        return
    for name in ("train", "valid", "test"):
        label = np.asarray(getattr(source, name)["label"])
        if len(label) and not 0 <= label.min() <= label.max() < source.classes:
            raise UserError(
                f"{source.name} ({name}) has labels from {label.min()} to {label.max()} and {source.classes} classes: "
                f"labels must be 0 to {source.classes - 1}."
            )


def start(exp: Experiment, experiment: str, name: str) -> tuple[Run, Checkpoints]:
    """Loads the data, builds the state or restores it, opens the logs."""
    begun = time.perf_counter()
    check(exp)
    platform.enable_compilation_cache()
    path = make_directory(directory(exp, experiment, name))
    source = exp.data.load()
    spec = Spec(tuple(source.shape), source.classes, exp.steps, exp.microbatches)
    steps_per_epoch(len(source.train["image"]), exp.batch)  # raises for a batch larger than the set
    _check_held_out(exp, source)
    _check_labels(source)
    if exp.resident and source.records is not None:
        raise UserError(
            "--resident=true keeps the set on the device and --data.stream=true does not: choose one."
        )
    getattr(exp.finish, "check", lambda exp, source: None)(exp, source)
    held = source.valid if len(source.valid["image"]) else source.test
    labelled = bool(source.classes) and getattr(exp.algorithm, "conditional", False)
    exp.watch.check(spec.shape, labelled, len(held["image"]), bool(exp.evaluate_every))
    algorithm = exp.algorithm(spec)
    example = {k: v[:1] for k, v in source.train.items()} | {"index": np.zeros(1, np.uint32)}
    key = jax.random.fold_in(jax.random.key(exp.seed), 3)
    checkpoints = Checkpoints(path / "checkpoints", identity(exp), exp.keep)
    restored = checkpoints.restore(exp.layout.like(algorithm.init, key, example))
    mark = fingerprint(source)
    state, meta = restored or (
        exp.layout.init(algorithm.init, key, example),
        {"sums": {}, "count": 0, "skips": 0},
    )
    if meta.setdefault("data", mark) != mark:
        raise UserError(
            f"{path} was trained on other data than {source.name} holds now: put that data back, choose another "
            "--runs, or remove the directory."
        )
    log = Log(path, exp.steps, exp.batch, int(state.step), begun=begun)
    log.open(to_json(exp), finished=int(state.step) >= exp.steps)
    resumed = f", resumed at step {int(state.step)}" if restored else ""
    log.note(f"run directory {directory(exp, experiment, name)}{resumed}")
    measure = None
    if exp.watch.metrics:
        measure = exp.watch.start(source.train, held, Path(exp.runs) / "features", exp.layout)
    return Run(exp, source, spec, algorithm, log, state, meta, measure), checkpoints


def _dispatches(exp: Experiment, first: int, turns: int) -> Iterator[tuple[int, int]]:
    """(step, K) of every dispatch: K divides chunk and all cadences; single steps where it is not aligned.

    Steps that take turns are single.
    """
    step = first
    chunk = exp.chunk if turns == 1 else 1
    most = math.gcd(
        chunk, exp.log_every, exp.save_every, exp.evaluate_every, exp.sample_every, exp.watch.every
    )
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
            stacked = {
                name: np.stack([b[name] for b in steps]) if k > 1 else x[None]
                for name, x in steps[0].items()
            }
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
    exp, last, known = run.exp, step == run.exp.steps, {}
    if step % exp.log_every == 0 or last:
        run.log.scalars(step, _window(run.meta))
    if exp.evaluate_every and (step % exp.evaluate_every == 0 or last):
        split, arrays = run.held_out()
        known = {k: v.mean(dtype=np.float64) for k, v in run.evaluate(arrays).items()}
        run.log.scalars(step, known, split)
    if exp.watch.metrics and exp.watch.every and (step % exp.watch.every == 0 or last):
        values = {name: value.value for name, value in run.quality().items()}
        run.log.scalars(step, values, "samples")
        known = known | values
    if exp.watch.best in known:
        _keep(run, step, known[exp.watch.best])
    if exp.sample_every and (step % exp.sample_every == 0 or last):
        run.log.picture(f"{step:08d}", run.source.picture(run.sample(exp.samples)))


def _keep(run: Run, step: int, value: float) -> None:
    """Saves the state if it is the best so far; the best value is in `meta`, so a resumed run knows it."""
    name = run.exp.watch.best
    best = run.meta.setdefault("best", {})
    if run.exp.watch.better(value, best.get(name, {}).get("value")):
        best[name] = {"step": step, "value": float(value)}
        with contextlib.closing(run.bests(name)) as checkpoints:
            checkpoints.save(step, run.state, {})
        run.log.result("best", {name: best[name]})


def _due(exp: Experiment, step: int) -> bool:
    every = (exp.log_every, exp.save_every, exp.evaluate_every, exp.sample_every, exp.watch.every)
    return step == exp.steps or any(n and step % n == 0 for n in every)


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
                    if step % exp.save_every == 0 or step == exp.steps or asked:
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
    n = run.exp.watch.count(len(run.held_out()[1]["image"]))
    if hosts.from_first(any(known.get(name, {}).get("n") != n for name in wanted)):
        values = run.quality()
        run.log.result("metrics", {name: value._asdict() for name, value in values.items()})
        run.log.note(told(values))


def run(
    experiment: str, exp: Experiment, name: str, origin: Mapping[str, Any] | None = None
) -> Run:
    """Carries out an experiment from wherever its directory stands, then `exp.finish`; returns the finished run.

    origin: what `cli.main` knows of where the run comes from, for its report. `finish` may have
    a method check(exp, source), called before training, which raises UserError for what it cannot do.
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
        if exp.finish is not None:
            exp.finish(this)
        _beside(this)
        if (
            trained or not (this.log.directory / "run.json").exists()
        ):  # not of who only looks at a finished run
            _about(this, experiment, name, origin)
        if jax.process_index() == 0:
            this.log.note(f"report {report.write([this.log.directory])}")
        this.log.note(f"done: {this.log.directory}, peak memory {platform.peak_memory():.0f} MiB")
        return this
