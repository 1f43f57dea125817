"""The task of a run: its data, known to be fit for it, and its algorithm on them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from genjax.config import walk
from genjax.core import Algorithm, Spec, State, size
from genjax.data import Source
from genjax.data.batches import domains, steps_per_epoch, take
from genjax.data.source import check as check_source
from genjax.errors import UserError
from genjax.machine import chips
from genjax.machine.arithmetic import arithmetic, seconds
from genjax.training.experiment import Experiment
from genjax.views import seen_fields, viewed


def check_data(exp: Experiment, source: Source) -> None:
    """Raises UserError for data that the run cannot be trained or measured on."""
    check_source(source)
    # the domains of unpaired data are drawn from independently: each must fill a batch
    parts = [source.train[name] for name in domains(source.train)]
    if not parts:
        parts = [source.train]
    smallest = min(map(size, parts))
    steps_per_epoch(smallest, exp.batch)  # raises for a batch larger than the set
    test = size(source.test)
    held = test + size(source.valid)
    # findings are of test data alone; in training those held out for validation will do
    unfinished = exp.finish and not test
    unmeasured = exp.every.evaluate and not held
    if unfinished or unmeasured:
        raise UserError(
            f"{source.name} has no test examples: give it some (a folder by --data.test=0.1 or a sub-folder `test`), "
            "or train without measuring by --every.evaluate=0 --finish='()'."
        )
    if exp.resident and source.records is not None:
        raise UserError(
            "--resident=true keeps the set on the device and --data.stream=true does not: choose one."
        )


def bind(exp: Experiment, source: Source) -> tuple[Spec, Algorithm]:
    """The task and the algorithm on it; UserError where the two do not fit."""
    # a view may add fields or change their kind
    fields = seen_fields(exp.view, source.fields)
    parts = domains(source.train)
    spec = Spec(tuple(fields.items()), exp.steps, exp.microbatches, parts)
    _check_optimisers(exp)
    # of an algorithm whose fields must stay on each other
    check_views = getattr(exp.algorithm, "check_views", None)
    if check_views is not None:
        check_views(exp.view, spec.main)
    algorithm = exp.algorithm(spec)
    known = (*fields, *parts)
    lacking = [name for name in algorithm.asks if name not in known]
    if lacking:
        raise UserError(
            f"--algorithm={type(exp.algorithm).__name__} asks for the field {lacking[0]!r} to sample, and "
            f"{source.name} has {', '.join(known)}: use other data, or another condition."
        )
    return spec, viewed(algorithm, exp.view, spec)


def _check_optimisers(exp: Experiment) -> None:
    """Raises UserError for a config in the place of an optimiser that makes none."""
    for path, _, value, _, _ in walk(exp):
        if not (path.startswith("algorithm.") and path.endswith("optimiser")):
            continue
        try:
            found = value(exp.steps)
        except TypeError:  # it wants more than the number of steps
            found = None
        if not hasattr(found, "update"):
            raise UserError(
                f"--{path}={type(value).__name__}() makes no optimiser out of a number of steps: use Adam(), SGD(), "
                "RMSProp(), Muon(), or a config of your own that returns an optax transformation."
            )


def unreached(exp: Experiment) -> str | None:
    """What is to be told of an optimiser whose warm-up is longer than the run; None of others."""
    optimiser = getattr(exp.algorithm, "optimiser", None)
    warmup = getattr(optimiser, "warmup", 0)
    # no mistake: every try of a few steps is cut off in the warm-up
    if not isinstance(warmup, int) or warmup <= exp.steps:
        return None
    reached = 100 * exp.steps / warmup
    return (
        f"the warm-up is longer than the run: the learning rate gets to {reached:.2g} % of its peak "
        f"(--algorithm.optimiser.warmup={warmup}, --steps={exp.steps})"
    )


def batch_like(source: Source, n: int) -> dict[str, Any]:
    """Shapes and types of a training batch of n."""
    number = jax.ShapeDtypeStruct((n,), np.uint32)

    def rows(arrays: dict[str, Any]) -> dict[str, Any]:
        like = {"index": number}
        for name, array in arrays.items():
            like[name] = jax.ShapeDtypeStruct((n, *array.shape[1:]), array.dtype)
        return like

    names = domains(source.train)
    if not names:
        return {"position": number, **rows(source.train)}
    parts = {name: rows(source.train[name]) for name in names}
    return {"position": number, "index": number, **parts}


def fastest(
    exp: Experiment, source: Source, algorithm: Algorithm, state: State
) -> float | None:
    """Seconds that a step would take with all devices at their peak; None where that is not known, as on a CPU.

    Of steps that are taken in turn it is the mean.
    """
    first = exp.layout.devices()[0]
    rates = chips.RATES.get(first.device_kind)
    if rates is None:
        return None
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    key = jax.eval_shape(lambda: jax.random.key(exp.seed))
    # the whole batch at once, whatever the layout: together the devices do what one would
    batch = batch_like(source, exp.batch)
    turns = algorithm.cycle or (algorithm.step,)
    total = 0.0
    for step in dict.fromkeys(turns):
        work = arithmetic(step, key, like, batch)
        its = seconds(work, rates)
        if its is None:  # numbers of a type without a peak
            return None
        total += turns.count(step) * its
    return total / len(turns) / exp.layout.ways()


def example_of(source: Source) -> dict[str, Any]:
    """The first training example as a batch: what `init` sees."""

    row = np.zeros(1, np.int64)  # a batch of one: shapes without the cost of a whole batch
    parts = {}  # of data with domains: a batch of each
    for name in domains(source.train):
        parts[name] = take(source.train[name], row)
    if not parts:
        return take(source.train, row)
    index = np.zeros(1, np.uint32)
    return {"index": index, **parts}
