"""The one training loop, for every family: `run` carries out an `Experiment`.

Everything is a function of (seed, step): a run that was killed and started again gives the same bits as one that was
not. Run directory: <runs>/<experiment>/<ablation>-<digest>/ with config.json, run.json, metrics.jsonl, speed.jsonl,
results.json, heartbeat.json, report.html, data.json, given.npz, samples/, checkpoints/ and, where a best state is
kept, best/. Trackers add track.json, tensorboard/ and wandb/.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax import report
from genjax.config import identity, to_json
from genjax.core import Algorithm, guarded, size
from genjax.data import Source, fingerprint, train_batches
from genjax.data.summary import summary
from genjax.errors import Preempted, UserError
from genjax.machine import hosts, platform
from genjax.training.basis import changed, code, settings
from genjax.training.checkpoint import Checkpoints, Reader
from genjax.training.experiment import Experiment, cadences, check, directory, home
from genjax.training.fit import fitted
from genjax.training.kept import keep
from genjax.training.log import Log, make_directory
from genjax.training.longer import STABLE, keep_best, level, prolonged
from genjax.training.preempt import alone, stop_requests
from genjax.training.pulse import Pulse
from genjax.training.rehearse import rehearse
from genjax.training.run import IN_FLIGHT, Run
from genjax.training.task import bind, check_data, example_of, fastest, unreached
from genjax.training.trackers import Tracking
from genjax.training.warm import warmed
from genjax.training.watch import told

MOST_SKIPS = 20  # steps in a row that may be skipped because something was not finite


def start(exp: Experiment, experiment: str, name: str) -> tuple[Run, Checkpoints]:
    """Loads the data, builds the state or restores it, opens the logs."""
    begun = time.perf_counter()
    check(exp)  # what needs no data comes first: loading may take minutes
    platform.enable_compilation_cache()
    path = make_directory(directory(exp, experiment, name))
    source = exp.data.load()
    check_data(exp, source)
    for finding in exp.finish:
        check_finding = getattr(finding, "check", _no_check)
        check_finding(exp, source)
    spec, algorithm = bind(exp, source)
    held = source.test
    if size(source.valid):
        held = source.valid
    exp.watch.check(spec, algorithm, size(held), bool(exp.every.evaluate))
    if exp.watch.metrics and spec.shape != source.shape:
        raise UserError(
            f"--view makes examples of {spec.shape} out of {source.shape}, and --watch.metrics compare samples with "
            "the data as they are: use views that keep the shape, or --watch.metrics='()'."
        )
    state, meta, checkpoints, restored = _state(exp, path, source, algorithm)
    step = int(state.step)
    # before config.json is written anew
    before = settings(path / "config.json", exp.algorithm) if restored else {}
    ideal = None
    if step < exp.steps:  # a finished run has no speed
        ideal = fastest(exp, source, algorithm, state)
    log = Log(path, exp.steps, exp.batch, step, begun=begun, ideal=ideal)
    log.open(to_json(exp), finished=step >= exp.steps)
    if step < exp.steps and meta.get(
        "best"
    ):  # `open` forgets what is to be measured again, and these are known
        best = {
            name: {"step": b["step"], "value": b["value"]} for name, b in meta["best"].items()
        }
        log.result("best", best)
    resumed = f", resumed at step {step}" if restored else ""
    if jax.process_index() == 0:
        keep(path, source, held if size(held) else source.train, algorithm.asks)
    log.note(f"run directory {directory(exp, experiment, name)}{resumed}")
    log.note(summary(source))
    told_of_rate = unreached(exp)
    if told_of_rate and step < exp.steps:
        log.note(told_of_rate)
    if before:
        sets = ", ".join(f"{path}={value}" for path, value in before.items())
        log.note(f"measured with {sets}, unlike what was measured of this run before")
    measure = None
    if exp.watch.metrics:
        # beside the runs: features of one data set serve them all
        features = home(exp) / "features"
        measure = exp.watch.start(source.train, held, features, exp.layout, spec.main)
    return Run(exp, source, spec, algorithm, log, state, meta, measure), checkpoints


def _no_check(exp: Experiment, source: Source) -> None:
    """Of a finding that can do with any data."""


def _state(exp: Experiment, path: Path, source: Source, algorithm: Algorithm) -> tuple:
    """(state, meta, checkpoints, whether it was restored)."""
    example = example_of(source)
    seed = jax.random.key(exp.seed)
    key = jax.random.fold_in(seed, 3)  # purpose 3, see `Run.key`: there is no run yet
    checkpoints = Checkpoints(path / "checkpoints", identity(exp), exp.keep)
    # shapes and places only: nothing is computed for a run that is restored
    like = exp.layout.like(algorithm.init, key, example)
    restored = checkpoints.restore(like)
    if restored is None:
        restored = prolonged(exp, path, source, like)
    if restored is not None:
        state, meta = restored
    else:
        state = exp.layout.init(algorithm.init, key, example)
        meta = {}
        if jax.process_index() == 0:  # left by a kill before the first checkpoint
            shutil.rmtree(path / "best", ignore_errors=True)
        if exp.start is not None:
            state = warmed(exp.start, state)
            if jax.process_index() == 0:
                step = exp.start.of.rpartition("@")[2]
                whose = f"{exp.start.run}@{step}"
                print(
                    f"begins with the weights of {whose}: --start={whose} is the same",
                    file=sys.stderr,
                )
    # "code" as it was when the run began
    meta = {"sums": {}, "count": 0, "skips": 0, "code": code(exp), **meta}
    # the digest knows the config of the data, not what lies in the files
    mark = fingerprint(source)
    known = meta.setdefault("data", mark)
    if known != mark:
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
    # gcd(k, 0) = k: a cadence of 0, never, does not matter
    most = math.gcd(chunk, *cadences(exp))
    while step < exp.steps:
        aligned = step % most == 0
        fits = step + most <= exp.steps
        k = most if aligned and fits else 1  # two programs at most are compiled
        yield step, k
        step += k


def _feed(run: Run, first: int, turns: int) -> Iterator[tuple[int, int, dict]]:
    """(first step, step after it, batches [K, B, ...]) of every dispatch.

    Made in the loop's own thread, while the dispatch before is still computed: another thread costs more than it saves.
    """
    exp = run.exp
    batches: Any = train_batches(  # a generator: it closes
        run.source, exp.seed, first, exp.batch, hosts.process(), exp.resident
    )
    with contextlib.closing(batches):  # its readers end with the loop, however that ends
        for step, k in _dispatches(exp, first, turns):
            steps = [next(batches) for _ in range(k)]
            if k > 1:
                stacked = jax.tree.map(lambda *rows: np.stack(rows), *steps)
            else:
                stacked = jax.tree.map(lambda x: x[None], steps[0])  # a view: no copy
            placed = exp.layout.put(stacked, 1)  # axis 1 is the batch
            yield step, step + k, placed


def _retire(run: Run, metrics: dict[str, Any]) -> None:
    """Awaits the metrics of one dispatch and adds its K steps to the window; stops a run that keeps failing."""
    values = jax.device_get(metrics)  # {name: [K]}
    meta = run.meta
    sums = meta["sums"]
    for i, skipped in enumerate(values["skipped"]):
        meta["skips"] = meta["skips"] + 1 if skipped else 0  # in a row
        meta["count"] += 1
        for name, value in values.items():
            if skipped and name != "skipped":  # the mean is over the steps that were taken
                continue
            before = sums.get(name, 0.0)
            sums[name] = before + float(value[i])
        if meta["skips"] >= MOST_SKIPS:
            raise UserError(
                f"the loss or a gradient was not finite in {MOST_SKIPS} steps in a row: stopped. Lower "
                "--algorithm.optimiser.lr or clip gradients, --algorithm.optimiser.clip=1"
                f"{_onward(run.log.directory)}."
            )


def _onward(path: Path) -> str:
    """How another config goes on from the last good checkpoint of a run; "" where none was saved."""
    steps = Reader(path / "checkpoints").steps()
    if not steps:
        return ""
    return f", and go on from the intact checkpoint by --start={path}@{steps[-1]}"


def _window(meta: dict) -> dict[str, float]:
    """Means over the window's steps that were taken, the count of those that were skipped; empties the window."""
    sums = meta["sums"]
    skipped = sums.pop("skipped", 0.0)
    taken = max(meta["count"] - skipped, 1)  # no division by 0 where all were skipped
    meta.update(sums={}, count=0)
    # the loss first, the others in their order: a progress bar has room for one
    names = sorted(sums, key=lambda name: name != "loss")
    means = {name: sums[name] / taken for name in names}
    return {**means, "skipped": skipped}


def _events(run: Run, step: int) -> None:
    """What is due after `step`: a line of metrics, an evaluation, metrics of samples, a picture."""
    exp = run.exp
    known = {}  # what is measured now, which the best state may be chosen by

    def due(every: int) -> bool:
        if not every:  # 0 = never
            return False
        return step % every == 0 or step == exp.steps  # and always at the end

    if due(exp.every.log):
        run.log.scalars(step, _window(run.meta))
    if due(exp.every.evaluate):
        split, arrays = run.held_out()
        known = run.summary(run.evaluate(arrays))
        _check_criterion(run, known)
        run.log.scalars(step, known, split)
    if exp.watch.metrics and due(exp.watch.every):
        quality = run.quality()
        values = {name: value.value for name, value in quality.items()}
        run.log.scalars(step, values, "samples")
        known = known | values
    best = exp.watch.best
    if best is not None and best in known:
        _keep(run, step, best, known[best])
    if run.algorithm.sample is not None and due(exp.every.sample):
        image = run.picture(exp.samples)
        run.log.picture(f"{step:08d}", image, step)  # eight digits: names sort as steps do


def _check_criterion(run: Run, known: Mapping[str, float]) -> None:
    """Raises UserError where the held-out numbers lack the one that the best state is to be chosen by."""
    criterion = run.algorithm.criterion
    wanted = run.exp.watch.best
    if criterion is not None and wanted == criterion.name and wanted not in known:
        raise UserError(
            f"--watch.best={wanted}: the algorithm's evaluation gives {', '.join(known)} and no {wanted}: mend its "
            "criterion."
        )


def _keep(run: Run, step: int, name: str, value: float) -> None:
    """Saves the state if it is the best so far by `name`; the best value is in `meta`, so a resumed run knows it."""
    watch = run.exp.watch
    best = run.meta.setdefault("best", {})
    # a value that was measured otherwise, before the run was stopped, is none to compare with
    what = (watch.metrics, watch.extractor, watch.samples)
    of = run.basis(what, step=0)["hash"]
    so_far = best.get(name, {})
    comparable = so_far.get("of", of) == of
    before = so_far.get("value") if comparable else None
    if not watch.better(value, before, run.algorithm.criterion):
        return
    best[name] = {"step": step, "value": float(value), "of": of}
    # closing waits for the save: what results.json tells of is on disk by then
    with contextlib.closing(run.bests(name)) as checkpoints:
        checkpoints.save(step, run.state, {})
    run.log.result("best", {name: {"step": step, "value": float(value)}})


def _due(exp: Experiment, step: int) -> bool:
    """Whether something is to be done after `step` that the next dispatch must wait for."""
    if step == exp.steps:
        return True
    return any(n and step % n == 0 for n in cadences(exp))


def train(run: Run, checkpoints: Checkpoints) -> Run:
    """Steps from run.state.step to exp.steps; raises Preempted, with everything saved, when asked to stop."""
    exp = run.exp
    first = int(run.state.step)
    if first >= exp.steps:
        return run
    turns = run.algorithm.cycle or (run.algorithm.step,)
    # a cycle has each of its steps many times: once compiled is enough
    compiled = {}
    for fn in dict.fromkeys(turns):
        compiled[fn] = exp.layout.train(guarded(fn), run.state)
    resident = {}
    if exp.resident:
        resident = exp.layout.put(dict(run.source.train), None)
    key = run.key(0)
    pending = deque()  # metrics of dispatches that were not awaited
    beats = run.log.directory if jax.process_index() == 0 else None
    with stop_requests() as asked_to_stop, Pulse(beats, exp.watchdog) as run.pulse:
        run.pulse.beat(first)
        for begun, step, batches in _feed(run, first, len(turns)):
            # the turn is a function of the step, so a resumed run takes the right one
            turn = turns[begun % len(turns)]
            take_steps = compiled[turn]
            run.state, metrics = take_steps(key, run.state, resident, batches)
            pending.append(metrics)
            asked = asked_to_stop()
            due = _due(exp, step)
            # what writes or saves sees the metrics of all steps before it
            most = 0 if due or asked else IN_FLIGHT - 1
            while len(pending) > most:
                _retire(run, pending.popleft())
            run.log.advance(step)
            run.pulse.beat(step)
            if due or asked:
                with run.log.apart():
                    _events(run, step)
                    _save(run, checkpoints, step, asked)
            if asked and step < exp.steps:
                checkpoints.wait()
                raise Preempted(
                    f"stopped and saved at step {step}: run the same command again to go on."
                )
    checkpoints.wait()
    return run


def _save(run: Run, checkpoints: Checkpoints, step: int, asked: bool) -> None:
    """Saves the state where that is due, at the end, and before the run stops."""
    exp = run.exp
    if step % exp.every.save == 0 or step == exp.steps or asked:
        # a copy: the save goes on in the background while the window fills
        sums = dict(run.meta["sums"])
        meta = dict(run.meta, sums=sums)
        checkpoints.save(step, run.state, meta)
        if step == level(exp):
            folder = run.log.directory / STABLE
            with contextlib.closing(Checkpoints(folder, identity(exp), 1)) as stable:
                stable.save(step, run.state, meta)
            if jax.process_index() == 0:
                keep_best(run.log.directory)


def _beside(run: Run) -> None:
    """Tells and keeps the published numbers that are of the same data and settings as this run's own."""
    standing = [other for other in run.exp.published if other.stands(run.exp)]
    kept = []
    for other in standing:
        kept.append(
            {name: getattr(other, name) for name in ("entry", "name", "value", "source")}
        )
    run.log.beside(kept)
    for other in standing:
        entry = run.log.result(other.entry) or {}
        mine = entry.get(other.name)
        if isinstance(mine, dict):  # a metric with its interval
            mine = mine.get("value")
        if mine is not None:
            run.log.note(
                f"{other.entry} {other.name} {mine:.5g}; published {other.value:.5g}: {other.source}"
            )


def _tell_code(run: Run) -> None:
    """Says which classes' code is another than when the run began, and than when a result was measured."""
    now = code(run.exp)
    trained = changed(run.meta["code"], now)
    if trained:
        run.log.note(f"code changed since this run began: {', '.join(trained)}")
    for name, measured in run.log.measured().items():
        other = changed(measured.get("code", {}), now)
        if other:
            run.log.note(
                f"{name} was measured before the code of {', '.join(other)} changed: remove results.json to measure "
                "all again."
            )


def _about(run: Run, experiment: str, name: str, origin: Mapping[str, Any] | None) -> None:
    """Writes run.json: what a report tells of a run besides its numbers."""
    leaves = jax.tree.leaves(run.state.params)
    parameters = sum(leaf.size for leaf in leaves)
    names = {
        "experiment": experiment,
        "ablation": name,
        "seed": run.exp.seed,
        "parameters": parameters,
        "data": summary(run.source),
    }
    start = run.exp.start
    if start is not None:
        names["start"] = f"the weights of {start.of}, in {start.run}"
    # the origin is last: what the caller knows goes before what is found here
    machine = platform.facts()
    run.log.about({**names, **machine, **(origin or {})})


def _conclude(run: Run) -> None:
    """Writes the metrics of the final samples to results.json, unless they are there, measured on the same."""
    watch = run.exp.watch
    _, held = run.held_out()
    n = watch.count(size(held))
    # most metrics depend on the number of samples
    what = (watch.metrics, watch.extractor, n)
    with run.log.measuring(run.basis(what)):
        known = run.log.result("metrics") or {}
        missing = [name for name in watch.names() if name not in known]
        # all processes measure or none does, whatever each reads on its disk
        if not hosts.from_first(bool(missing)):
            return
        values = run.quality()
        entry = {name: value._asdict() for name, value in values.items()}
        run.log.result("metrics", entry)
    run.log.note(told(values))


@contextlib.contextmanager
def _nothing_left(path: Path, made: Sequence[Path]) -> Iterator[None]:
    """Removes a run directory and the folders `made` for it if a mistake ends the run untrained.

    Within its lock: a directory that another process is at work in is never removed.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt):
        trained = (path / "metrics.jsonl").exists() or Reader(path / "checkpoints").steps()
        if path in made and not trained and jax.process_index() == 0:
            shutil.rmtree(path, ignore_errors=True)
            for folder in made[1:]:
                with contextlib.suppress(
                    OSError
                ):  # features of the data may lie there, which are of use
                    folder.rmdir()
        raise


def run(
    experiment: str, exp: Experiment, name: str, origin: Mapping[str, Any] | None = None
) -> Run:
    """Carries out an experiment from wherever its directory stands, then its findings; returns the finished run.

    With `exp.rehearse` it is compiled for a machine that is not here instead, see `rehearse`.
    origin: what `cli.main` knows of where the run comes from, for its report. A finding of `exp.finish` may have a
    method check(exp, source), called before training, which raises UserError for what it cannot do.
    """
    if exp.rehearse:
        # neither computes or writes anything
        return (fitted if exp.fit else rehearse)(exp, experiment, name)
    exp.hosts.join()  # before JAX looks for devices
    exp = exp.resolved()
    check(exp)  # before anything is written
    path = directory(exp, experiment, name)
    first = hosts.from_first(path.name)
    if path.name != first:
        raise UserError(
            f"process {jax.process_index()} finds other data, or other weights to start with, than process 0 "
            f"({path.name}, not {first}): let all see the same files, and give --start a step, RUN@STEP."
        )
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    # two runs in one directory would overwrite each other
    with (
        alone(make_directory(path)),
        _nothing_left(path, made),
        Tracking(exp.track) as tracking,
    ):
        this, checkpoints = start(exp, experiment, name)
        tracking.open(this, experiment, name)
        trained = int(this.state.step) < exp.steps
        try:
            train(this, checkpoints)
        finally:  # a run that fails keeps what it has logged and saved
            this.log.close()
            checkpoints.close()
        _conclude(this)
        for finding in exp.finish:
            this.find(finding)
        _beside(this)
        _tell_code(this)
        place = this.log.directory
        described = (place / "run.json").exists()
        if trained or not described:  # not of who only looks at a finished run
            _about(this, experiment, name, origin)
        if jax.process_index() == 0:
            page = report.write([place])
            this.log.note(f"report {page}")
        this.log.note(f"done: {place}, peak memory {platform.peak_memory():.0f} MiB")
        return this
