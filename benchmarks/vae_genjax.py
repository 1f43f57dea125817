"""Our side: the guarded step as the loop runs it, one by one or K to a dispatch, and the loop itself."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from typing import Any

import jax
import numpy as np

from benchmarks.common import CHECKED, LR
from benchmarks.turns import blocks
from benchmarks.vae import NETS, Net
from genjax.config import field
from genjax.core import Spec, example_keys, guarded
from genjax.data import Source, train_batches
from genjax.data.images import grid, to_float
from genjax.log import Log
from genjax.nets import MLP, GatedMLP
from genjax.optim import Adam
from genjax.train import IN_FLIGHT, Experiment, Run, start, train
from genjax.vae.vae import VAE

FOREVER = 10**9  # steps: the parent says when it is enough


@dataclasses.dataclass(frozen=True)
class Images:
    """Training images from a .npy file, uint8 [N, H, W, C], labels in turn; the parent wrote them for both sides."""

    path: str = field("", "the file")
    classes: int = field(0, "number of labels")

    def load(self) -> Source:
        images = np.load(self.path, mmap_mode="r")
        train = {"image": images, "label": np.arange(len(images), dtype=np.int32) % max(self.classes, 1)}
        none = {name: array[:0] for name, array in train.items()}
        names = tuple(map(str, range(self.classes)))
        return Source("images", images.shape[1:], self.classes, names, train, none, none, grid)


def model(net: Net) -> VAE:
    """The config of one row of the table."""
    family = GatedMLP if net.gated else MLP
    return VAE(net.latent, family(net.hidden), family(net.hidden[::-1]), optimiser=Adam(LR))


def experiment(images: Images, algorithm: Any, batch: int, chunk: int, runs: str) -> Experiment:
    """The run behind a worker: metrics every 100 steps as usual, no evaluation, pictures or checkpoints."""
    never = {"evaluate_every": 0, "sample_every": 0, "save_every": FOREVER}
    return Experiment(images, algorithm, FOREVER, batch, chunk=chunk, runs=runs, **never)


def step(run: Run, **hello: Any) -> None:
    """Blocks of the bare step: gather on the host, put, step; the loop without its thread, metrics and bookkeeping."""
    exp = run.exp
    step_fn = exp.layout.train(guarded(run.algorithm.step), run.state)
    batches = train_batches(run.source, exp.seed, 0, exp.batch)
    state, key, pending = run.state, run.key(0), []
    for steps in blocks(**hello):
        for _ in range(steps // exp.chunk):
            parts = [next(batches) for _ in range(exp.chunk)]
            stacked = exp.layout.put({name: np.stack([part[name] for part in parts]) for name in parts[0]}, 1)
            state, metrics = step_fn(key, state, {}, stacked)
            pending.append(metrics)
            if len(pending) >= IN_FLIGHT:
                jax.block_until_ready(pending.pop(0))
        jax.block_until_ready(state)


class Turns:
    """A log for `train` that holds the loop still between blocks, and ends it when the parent has seen enough."""

    def __init__(self, log: Log):
        self.scalars, self.note = log.scalars, log.note
        self._blocks = blocks()
        self._until = next(self._blocks)

    def advance(self, step: int) -> None:
        """Called by the loop after every dispatch; up to two more are on the way, in every block alike."""
        if step >= self._until:
            steps = next(self._blocks, None)
            if steps is None:
                sys.exit()
            self._until += steps


def loop(run: Run, checkpoints) -> None:
    """Blocks of `genjax.train.train` itself."""
    run.log = Turns(run.log)
    train(run, checkpoints)


def _torch_names(params: dict) -> dict[str, np.ndarray]:
    """{"enc.hidden.0.weight": [out, in], …}: our parameters under the names that the PyTorch model has for them."""
    named = {}
    for half, layers in params.items():
        ordered = sorted(layers, key=lambda name: int(name.split("_")[-1]))
        for i, name in enumerate(ordered):
            place = f"{half}.last" if i == len(ordered) - 1 else f"{half}.hidden.{i}"
            named[f"{place}.weight"] = np.asarray(layers[name]["kernel"]).T
            named[f"{place}.bias"] = np.asarray(layers[name]["bias"])
    return named


def check(net: Net, path: str, out: str) -> None:
    """Adam steps by the algorithm itself; saves weights and noise at `out`, prints parameters, losses, gradient norms.

    The noise is drawn here as `genjax.vae.vae.loss` draws it: if that changes, the two sides disagree, loudly.
    """
    source, cfg = Images(path).load(), model(net)
    algorithm, key = cfg(Spec(tuple(source.shape))), jax.random.key(0)
    batch = {name: array[:1] for name, array in source.train.items()} | {"index": np.zeros(1, np.uint32)}
    state = jax.jit(algorithm.init)(key, batch)
    saved = _torch_names(state.params) | {"x": [], "eps": []}
    found = {"parameters": sum(p.size for p in jax.tree.leaves(state.params)), "loss": [], "grad_norm": []}
    batches, step_fn = train_batches(source, 0, 0, net.batch), jax.jit(guarded(algorithm.step))
    for i in range(CHECKED):
        batch, folded = next(batches), jax.random.fold_in(key, i)
        observed, noise = jax.random.split(folded)
        x = cfg.likelihood.observe(observed, to_float(batch["image"]), batch["index"])
        eps = jax.vmap(lambda k: jax.random.normal(k, (1, net.latent)))(example_keys(noise, batch["index"]))
        saved["x"].append(np.asarray(x).reshape(net.batch, -1))
        saved["eps"].append(np.asarray(eps)[:, 0])
        state, metrics = step_fn(folded, state, batch)
        for name in ("loss", "grad_norm"):
            found[name].append(float(metrics[name]))
    np.savez(out, **saved)
    print(json.dumps(found))


def main(side: str, name: str, path: str, more: str) -> None:
    net = NETS[name]
    if side == "check":
        return check(net, path, more)
    with tempfile.TemporaryDirectory() as runs:
        exp = experiment(Images(path), model(net), net.batch, int(more), runs)
        this, checkpoints = start(exp, "benchmark", name)
        if side == "loop":
            loop(this, checkpoints)
        else:
            step(this)


if __name__ == "__main__":
    main(*sys.argv[1:])
