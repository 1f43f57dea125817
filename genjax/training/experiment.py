"""A whole run as a config, and what can be said of it before anything is loaded or compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genjax.config import diff, digest, edit, field, identity, is_config, lookup
from genjax.core import Algorithm, Spec
from genjax.data import Known
from genjax.errors import UserError, at_least
from genjax.machine.files import typed
from genjax.machine.hosts import Hosts
from genjax.machine.parallel import Jit, Layout, check_batch
from genjax.training.begin import Start
from genjax.training.trackers import Tracker
from genjax.training.trackers import check as check_trackers
from genjax.training.watch import Watch
from genjax.views import View


@dataclasses.dataclass(frozen=True)
class Published:
    """A number of somebody else, which reports show beside ours."""

    # entry and name are the two keys of results.json
    entry: str = field("metrics", "entry of results.json")
    name: str = field("", "name of the number in it")
    value: float = field(0.0, "the published number")
    source: str = field("", "where, and of what")
    # a number stands beside ours only where it may be compared
    of: tuple[tuple[str, Any], ...] = field(
        (), "(path, value) of the data and of each setting that the number is of"
    )

    def stands(self, exp: Experiment) -> bool:
        """Whether it is of an experiment's data and settings; never one that does not say of which data it is."""
        if "data" not in dict(self.of):
            return False
        return all(_same(exp, path, value) for path, value in self.of)


@dataclasses.dataclass(frozen=True)
class Every:
    """How many steps lie between things that a run does beside training; 0 = never."""

    # all are looked at after a dispatch: `chunk` is cut so that it divides them
    log: int = field(100, "lines of metrics", execution=True)
    evaluate: int = field(1000, "evaluations on held-out data", execution=True)
    sample: int = field(1000, "sample grids", execution=True)
    save: int = field(1000, "checkpoints", execution=True)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run. Fields marked execution change how it is carried out, not its result, and are no part of its digest."""

    # Any: a data set of one's own is as good as these
    data: Known | Any = field(None, "the data set; any config with load()")
    # any config that a Spec turns into an Algorithm
    algorithm: Callable[[Spec], Algorithm] = field(None, "the model with its training rule")
    # a part of the digest: schedules depend on it
    steps: int = field(1000, "training steps")
    batch: int = field(128, "examples a step, over all devices")
    seed: int = field(0, "of initial weights, order of the data and all noise")
    view: tuple[View, ...] = field((), "what is done to every example in training, in order")
    every: Every = field(Every(), "steps between lines, evaluations, pictures, saves", True)
    evaluate_batch: int = field(500, "examples an evaluation batch", execution=True)
    samples: int = field(64, "samples in a grid", execution=True)
    # execution: it looks at the state and never changes it
    watch: Watch = field(
        Watch(), "metrics of samples, in training and at its end", execution=True
    )
    published: tuple[Published, ...] = field((), "numbers to compare with", execution=True)
    finish: tuple[Callable[[Any], None], ...] = field(
        (), "what is measured and drawn after training, in order", execution=True
    )
    track: tuple[Tracker, ...] = field(
        (), "where numbers and pictures go besides the run directory", execution=True
    )
    # execution: every layout gives the same state but for rounding
    layout: Layout = field(Jit(), "how a step is laid over devices", execution=True)
    hosts: Hosts = field(Hosts(), "the processes that work together", execution=True)
    microbatches: int = field(
        1, "parts of a batch that go through a step in turn: memory of one part", execution=True
    )
    # gradients of convolutions are slow inside XLA's loops on CPU (jax#12868)
    chunk: int = field(
        1, "most steps in one dispatch; on CPU 1 with convolutions", execution=True
    )
    resident: bool = field(False, "keep the training set on the device", execution=True)
    keep: int = field(2, "checkpoints kept", execution=True)
    # a lost device makes a program wait for ever, which no exception tells
    watchdog: float = field(
        30.0,
        "time without a step after which the process ends with its stacks [minutes], 0 = any",
        execution=True,
    )
    runs: str = field("runs", "folder of the run directories", execution=True)
    rehearse: str = field("", "compile for this TPU slice and stop: v5e:16x16", execution=True)
    fit: float = field(
        0.0,
        "with --rehearse: look for the largest batch that fits, begin no try after so many [minutes]",
        execution=True,
    )
    start: Start | None = field(
        None, "a run whose weights this one begins with: RUN or RUN@STEP", added=True
    )

    def resolved(self) -> Experiment:
        """The same with the marks of what lies in files filled in, which its digest needs: of data, of `start`.

        UserError where they cannot be read.
        """
        found = {}
        for name in ("data", "start"):
            value = getattr(self, name)
            fill = getattr(value, "resolved", None)
            if fill is not None:
                found[name] = fill()
        return edit(self, found)


def _same(exp: Experiment, path: str, value: Any) -> bool:
    """Whether the field at a path has a value, execution fields aside."""
    try:
        _, here = lookup(exp, path)
    except UserError:  # an algorithm without such a setting
        return False
    if is_config(value) and is_config(here):
        return identity(value) == identity(here)
    return not diff(value, here)


def cadences(exp: Experiment) -> tuple[int, ...]:
    """Steps between things that need the state as it is then, 0 = never."""
    every = exp.every
    return every.log, every.save, every.evaluate, every.sample, exp.watch.every


def home(exp: Experiment) -> Path:
    """The folder of the run directories."""
    return typed(exp.runs)


def directory(exp: Experiment, experiment: str, name: str) -> Path:
    """<runs>/<experiment>/<ablation>-<digest>: one config, one directory, so running it again resumes it."""
    # the digest alone decides; the names are for people
    return home(exp) / experiment / f"{name}-{digest(exp)}"


def check(exp: Experiment) -> None:
    """Raises UserError for a config that cannot run, before anything is loaded or compiled."""
    # a 0 would be divided by, or make an empty array, far from here
    positive = ("steps", "batch", "chunk", "keep", "evaluate_batch", "samples", "microbatches")
    at_least(1, **{name: getattr(exp, name) for name in positive})
    at_least(1, every__log=exp.every.log, every__save=exp.every.save)
    at_least(0, every__evaluate=exp.every.evaluate, every__sample=exp.every.sample)
    at_least(0, seed=exp.seed, watchdog=exp.watchdog, fit=exp.fit)
    # jax.random.key would drop the upper half without a word
    if exp.seed >= 2**32:
        raise UserError(
            f"--seed={exp.seed} must be less than 2**32: JAX's keys have no room for more."
        )
    if not callable(getattr(exp.data, "load", None)) or not callable(exp.algorithm):
        raise UserError(
            "--data and --algorithm must be configs: --data='Digits()', --algorithm='VAE()' for instance."
        )
    if exp.fit and not exp.rehearse:
        raise UserError(
            f"--fit={exp.fit:g} looks for a batch by rehearsals: add --rehearse=v5e:16x16."
        )
    digest(exp)  # complains of two classes of one name
    check_trackers(exp.track)
    # last, as it asks JAX for its devices
    check_batch(exp.layout, exp.batch, exp.microbatches)
