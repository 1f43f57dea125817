"""Our side, what its families share: images, the run behind a worker, its blocks, and the check beside PyTorch.

All that the comparisons must know of a data set, of a run's config and of its labels is here, once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.tasks import CHECKED
from benchmarks.turns import blocks
from genjax.conditions import Label
from genjax.config import field
from genjax.core import Spec, State, guarded, labelled
from genjax.data import Source, train_batches
from genjax.fields import Category, Image
from genjax.training.experiment import Every, Experiment
from genjax.training.log import Log
from genjax.training.loop import start, train
from genjax.training.run import IN_FLIGHT, Run

FOREVER = 10**9  # steps: the parent says when it is enough
LABELLED = {
    "condition": (Label(),)
}  # what has to be changed in a config, so that its net sees labels
METRICS = {"loss": ("loss",), "grad_norm": ("grad_norm",)}  # of a step, under the check's names
TYPES = {  # of a device: what to compute in, the size of the products of `peak`
    "cpu": ("float32", 1024),
    "gpu": ("bfloat16", 8192),
}

Tree = dict[str, Any]  # parameters, by the names of their modules
Batch = dict[str, np.ndarray]  # {"image": [B, H, W, C], "label": [B], "index": [B], …}


# --- the data and the run ---------------------------------------------------------------------------------------------


def spec(shape: Sequence[int], classes: int = 0) -> Spec:
    """What an algorithm must know of images of `shape` [H, W, C] with so many labels."""
    return labelled(Image(tuple(shape)), classes)


@dataclasses.dataclass(frozen=True)
class Images:
    """Training images from a .npy file, uint8 [N, H, W, C], labels in turn; the parent wrote them for both sides."""

    path: str = field("", "the file")
    classes: int = field(0, "number of labels")

    def load(self) -> Source:
        images = np.load(self.path, mmap_mode="r")  # in the page cache, once for all workers
        index = np.arange(len(images), dtype=np.int32)
        labels = index % max(self.classes, 1)  # 0 everywhere where there are none
        split = {"image": images, "label": labels}
        none = {name: array[:0] for name, array in split.items()}  # nothing is held out
        fields = {"image": Image(images.shape[1:]), "label": Category(self.classes)}
        return Source("images", fields, train=split, valid=none, test=none)


def experiment(
    data: Any,
    algorithm: Any,
    batch: int,
    chunk: int,
    runs: str,
    log: int = 100,
) -> Experiment:
    """The run behind a worker: metrics every `log` steps, no evaluation, pictures or checkpoints."""
    return Experiment(
        data,
        algorithm,
        steps=FOREVER,
        batch=batch,
        chunk=chunk,
        runs=runs,
        every=Every(log=log, evaluate=0, sample=0, save=FOREVER),
    )


@contextlib.contextmanager
def started(
    data: Any,
    algorithm: Any,
    batch: int,
    name: str,
    chunk: int = 1,
    log: int = 100,
) -> Iterator[tuple[Run, Any]]:
    """(the run, its checkpoints) of a config, in a folder that goes with it."""
    with tempfile.TemporaryDirectory() as runs:
        exp = experiment(data, algorithm, batch, chunk, runs, log)
        yield start(exp, "benchmark", name)


# --- blocks -----------------------------------------------------------------------------------------------------------


class InFlight:
    """Steps that were dispatched and not awaited: no more than the loop has."""

    def __init__(self):
        self._pending = []

    def add(self, metrics: Any) -> None:
        """Waits for the oldest where there are too many."""
        self._pending.append(metrics)
        if len(self._pending) >= IN_FLIGHT:
            # JAX returns before its results are there: without this the queue would grow
            jax.block_until_ready(self._pending.pop(0))


def compiled_step(run: Run) -> Callable:
    """The guarded step as the loop lays it out: step(key, state, watched, batches) -> (state, metrics)."""
    guarded_step = guarded(run.algorithm.step)
    return run.exp.layout.train(guarded_step, run.state)


def step(run: Run, **hello: Any) -> None:
    """Blocks of the bare step: gather on the host, put, step; the loop without metrics and bookkeeping."""
    exp = run.exp
    step_fn = compiled_step(run)
    batches = train_batches(run.source, exp.seed, 0, exp.batch)
    state, key = run.state, run.key(0)
    in_flight = InFlight()
    for steps in blocks(**hello):
        for _ in range(steps // exp.chunk):
            # gathered for every step, as the loop does
            parts = [next(batches) for _ in range(exp.chunk)]
            stacked = exp.layout.put(stack(parts), 1)
            state, metrics = step_fn(key, state, {}, stacked)  # {}: nothing is watched
            in_flight.add(metrics)
        jax.block_until_ready(state)


def stack(batches: Sequence[Batch]) -> Batch:
    """Batches of one dispatch, {name: [steps, B, ...]}, of data with domains those of each."""

    def stacked(*parts: np.ndarray) -> np.ndarray:
        return np.stack(parts)

    return jax.tree.map(stacked, *batches)


class Turns:
    """A log for `train` that holds the loop still between blocks, and ends it when the parent has seen enough."""

    def __init__(self, log: Log):
        self.directory, self.apart = log.directory, log.apart
        self.scalars, self.note = log.scalars, log.note
        self._blocks = blocks()
        self._until = next(self._blocks)

    def advance(self, step: int) -> None:
        """Called by the loop after every dispatch; up to two more are on the way, in every block alike."""
        if step >= self._until:
            steps = next(self._blocks, None)
            if steps is None:  # the parent has closed the worker's input
                sys.exit()
            self._until += steps


def loop(run: Run, checkpoints: Any) -> None:
    """Blocks of `genjax.training.loop.train` itself."""
    run.log = Turns(run.log)
    train(run, checkpoints)


def sample(run: Run, images: int, **hello: Any) -> None:
    """Blocks of draws of so many images, each brought to the host."""
    for draws in blocks(**hello):
        for _ in range(draws):
            run.sample(images)


def peak(device: str = "cpu", repeats: int = 30) -> float:
    """FLOP/s of the fastest of some products of two square matrices."""
    dtype, n = TYPES[device]
    key = jax.random.key(0)
    a = jax.random.normal(key, (n, n), dtype)
    product = jax.jit(jnp.matmul)
    seconds = []  # of each; the first compiles
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - begun)
    flops = 2.0 * n**3  # n³ multiplications, as many additions
    return flops / min(seconds)


# --- the check --------------------------------------------------------------------------------------------------------


def noisy(params: Tree, scale: float) -> Tree:
    """The weights with seeded noise on all of them: layers that start at zero would hide what is before them."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))  # a key of its own for each weight
    moved = []
    for key, p in zip(keys, leaves, strict=True):
        noise = jax.random.normal(key, p.shape)
        moved.append(p + scale * noise)
    return jax.tree.unflatten(tree, moved)


def ahead(step: Callable, key: jax.Array, state: State, batch: dict) -> tuple[Callable, float]:
    """(the compiled step, its FLOPs as XLA counts them)."""
    lowered = jax.jit(guarded(step)).lower(key, state, batch)
    compiled = lowered.compile()
    return compiled, compiled.cost_analysis()["flops"]


def checked_steps(
    step: Callable,
    key: jax.Array,
    state: State,
    batches: Iterator[dict],
    draws: Callable[[jax.Array, dict], dict[str, Any]],
    metrics: dict[str, Sequence[str]] = METRICS,
) -> tuple[State, dict[str, list], dict[str, Any]]:
    """(the state, what every step drew, what it found) of some steps with the key and batches that the loop has.

    draws(key, batch) draws what the step draws, for PyTorch; `metrics`: the step's names of what is compared.
    """
    weights = jax.tree.leaves(state.params)
    found: dict[str, Any] = {name: [] for name in metrics}
    found["parameters"] = sum(p.size for p in weights)
    drawn: dict[str, list] = {}
    for i in range(CHECKED):
        batch = next(batches)
        folded = jax.random.fold_in(key, i)  # the key of step i, as the loop folds it
        for name, value in draws(folded, batch).items():
            drawn.setdefault(name, []).append(np.asarray(value))
        # the step draws the same again from the same key
        state, told = step(folded, state, batch)
        for name, sources in metrics.items():
            found[name] += [float(told[source]) for source in sources]
    return state, drawn, found


# --- our parameters under PyTorch's names -----------------------------------------------------------------------------


def places(params: Tree) -> Iterator[tuple[str, np.ndarray]]:
    """(place, parameter) of a tree, a place written as "block_0/attention/qkv/kernel"."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        place = "/".join(entry.key for entry in path)
        yield place, np.asarray(leaf)


def renamed(place: str, rules: Sequence[tuple[str, str]]) -> str:
    """The place after all rules (pattern, what stands there instead), in their order."""
    for pattern, new in rules:
        place = re.sub(pattern, new, place)
    return place


def turned(p: np.ndarray, axis: int, pixels: int) -> np.ndarray:
    """p with an axis that runs over (pixels, channels) as one over (channels, pixels)."""
    axis %= p.ndim
    before = p.shape[:axis]
    after = p.shape[axis + 1 :]
    parts = p.reshape(*before, pixels, -1, *after)
    return parts.swapaxes(axis, axis + 1).reshape(p.shape)


def all_turned(place: str, p: np.ndarray, rules: Sequence[tuple[str, int, int]]) -> np.ndarray:
    """p with the axes turned whose rules (pattern of the place, axis, pixels) fit."""
    for pattern, axis, pixels in rules:
        if re.match(pattern, place):
            p = turned(p, axis, pixels)
    return p
