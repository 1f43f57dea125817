"""Our side: the guarded step as the loop runs it, one by one or K to a dispatch, the loop itself, samples of a run."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import tempfile
from typing import Any

import jax
import numpy as np

from benchmarks.common import CHECKED, LR
from benchmarks.turns import blocks
from benchmarks.vae import DRAWN, NETS, SAMPLES, Net
from genjax.config import field
from genjax.core import Spec, State, example_normal, guarded
from genjax.data import Source, train_batches
from genjax.nets import MLP, ConvDecoder, ConvEncoder, GatedMLP
from genjax.optim import Adam
from genjax.pictures.draw import grid, to_float
from genjax.training.log import Log
from genjax.training.loop import IN_FLIGHT, Experiment, Run, start, train
from genjax.vae.vae import VAE

FOREVER = 10**9  # steps: the parent says when it is enough
NOISE = 0.03  # added to all weights before the check: layers that start at zero would hide what is before them


@dataclasses.dataclass(frozen=True)
class Images:
    """Training images from a .npy file, uint8 [N, H, W, C], labels in turn; the parent wrote them for both sides."""

    path: str = field("", "the file")
    classes: int = field(0, "number of labels")

    def load(self) -> Source:
        images = np.load(self.path, mmap_mode="r")
        train = {
            "image": images,
            "label": np.arange(len(images), dtype=np.int32) % max(self.classes, 1),
        }
        none = {name: array[:0] for name, array in train.items()}
        names = tuple(map(str, range(self.classes)))
        return Source("images", images.shape[1:], self.classes, names, train, none, none, grid)


def model(net: Net) -> VAE:
    """The config of one row of the table."""
    if net.widths:
        return VAE(net.latent, ConvEncoder(net.widths), ConvDecoder(net.widths), optimiser=Adam(LR))
    family = GatedMLP if net.gated else MLP
    return VAE(net.latent, family(net.hidden), family(net.hidden[::-1]), optimiser=Adam(LR))


def experiment(images: Images, algorithm: Any, batch: int, chunk: int, runs: str) -> Experiment:
    """The run behind a worker: metrics every 100 steps as usual, no evaluation, pictures or checkpoints."""
    never = {"evaluate_every": 0, "sample_every": 0, "save_every": FOREVER}
    return Experiment(images, algorithm, FOREVER, batch, chunk=chunk, runs=runs, **never)


def step(run: Run, **hello: Any) -> None:
    """Blocks of the bare step: gather on the host, put, step; the loop without metrics and bookkeeping."""
    exp = run.exp
    step_fn = exp.layout.train(guarded(run.algorithm.step), run.state)
    batches = train_batches(run.source, exp.seed, 0, exp.batch)
    state, key, pending = run.state, run.key(0), []
    for steps in blocks(**hello):
        for _ in range(steps // exp.chunk):
            parts = [next(batches) for _ in range(exp.chunk)]
            stacked = exp.layout.put(
                {name: np.stack([part[name] for part in parts]) for name in parts[0]}, 1
            )
            state, metrics = step_fn(key, state, {}, stacked)
            pending.append(metrics)
            if len(pending) >= IN_FLIGHT:
                jax.block_until_ready(pending.pop(0))
        jax.block_until_ready(state)


class Turns:
    """A log for `train` that holds the loop still between blocks, and ends it when the parent has seen enough."""

    def __init__(self, log: Log):
        self.directory, self.scalars, self.note, self.apart = (
            log.directory,
            log.scalars,
            log.note,
            log.apart,
        )
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
    """Blocks of `genjax.training.loop.train` itself."""
    run.log = Turns(run.log)
    train(run, checkpoints)


def sample(run: Run, images: int) -> None:
    """Blocks of draws of so many images, each brought to the host."""
    for draws in blocks():
        for _ in range(draws):
            run.sample(images)


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights."""
    rng = np.random.default_rng(1)
    noisy = [
        np.asarray(p) + NOISE * rng.standard_normal(p.shape, np.float32)
        for p in jax.tree.leaves(state.params)
    ]
    return state.replace(params=jax.tree.unflatten(jax.tree.structure(state.params), noisy))


def draws(key: jax.Array, batch: dict, cfg: VAE) -> dict[str, jax.Array]:
    """What the loss draws of a batch, as `genjax.vae.vae.loss` does; if that changes, the two sides disagree."""
    observed, noise = jax.random.split(key)
    eps = example_normal(noise, batch["index"], (1, cfg.latent))  # one importance sample
    return {
        "x": cfg.likelihood.observe(observed, to_float(batch["image"]), batch["index"]),
        "eps": eps[:, 0],
    }


def mlp_names(params: dict) -> dict[str, np.ndarray]:
    """{"enc.hidden.0.weight": [out, in], …}: an MLP's parameters under the names that the PyTorch model has."""
    named = {}
    for half, layers in params.items():
        ordered = sorted(layers, key=lambda name: int(name.split("_")[-1]))
        for i, name in enumerate(ordered):
            place = f"{half}.last" if i == len(ordered) - 1 else f"{half}.hidden.{i}"
            named[f"{place}.weight"] = np.asarray(layers[name]["kernel"]).T
            named[f"{place}.bias"] = np.asarray(layers[name]["bias"])
    return named


def turned(p: np.ndarray, axis: int, pixels: int) -> np.ndarray:
    """p with an axis that runs over (pixels, channels) as one over (channels, pixels)."""
    axis %= p.ndim
    parts = p.reshape(*p.shape[:axis], pixels, -1, *p.shape[axis + 1 :])
    return parts.swapaxes(axis, axis + 1).reshape(p.shape)


# ours -> PyTorch's, in this order; a place in the tree is written "enc/Residual_0/GroupNorm_1/scale"
NAMES = (
    (r"^(enc|dec)/(GroupNorm|Dense)_0/", r"\1/\2/"),
    ("GroupNorm", "norm"),
    (r"_(\d+)", r".\1"),
    (r"(kernel|scale)$", "weight"),
    ("/", "."),
)
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of ours, in PyTorch's order


def conv_names(params: dict, shape: tuple[int, ...], levels: int) -> dict[str, np.ndarray]:
    """{"enc.conv.0.weight": [out, in, 3, 3], …}: a convolutional VAE's parameters for images of `shape` [H, W, C].

    Folded pixels and maps that are flattened run over (pixels, channels) here and over (channels, pixels) there.
    """
    cells, named = math.prod(shape[:2]) // 4**levels, {}
    folded = (
        (r"enc/Conv_\d/kernel", 2, 4),
        (r"enc/Dense_0/kernel", 0, cells),
        (r"dec/Dense_0/", -1, cells),
        (r"dec/Conv_\d*[13579]/", -1, 4),  # every other one is unfolded after it
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        place, p = "/".join(entry.key for entry in path), np.asarray(leaf)
        for pattern, axis, pixels in folded:
            p = turned(p, axis, pixels) if re.match(pattern, place) else p
        for pattern, new in NAMES:
            place = re.sub(pattern, new, place)
        named[place.lower()] = p.transpose(AXES[p.ndim])
    return named


def check(net: Net, path: str, out: str) -> None:
    """Adam steps by the algorithm itself, then samples; saves weights, noise and samples at `out`, prints the metrics.

    z is drawn as `genjax.vae.vae.sample` draws it.
    """
    source, cfg = Images(path).load(), model(net)
    algorithm, key = cfg(Spec(tuple(source.shape))), jax.random.key(0)
    batch = {name: array[:1] for name, array in source.train.items()} | {
        "index": np.zeros(1, np.uint32)
    }
    state = perturbed(jax.jit(algorithm.init)(key, batch))
    names = (
        conv_names(state.params, source.shape, len(net.widths))
        if net.widths
        else mlp_names(state.params)
    )
    saved = names | {"x": [], "eps": []}
    found = {
        "parameters": sum(p.size for p in jax.tree.leaves(state.params)),
        "loss": [],
        "grad_norm": [],
    }
    batches, step_fn = train_batches(source, 0, 0, net.batch), jax.jit(guarded(algorithm.step))
    drawn = jax.jit(draws, static_argnums=2)
    for i in range(CHECKED):
        batch, folded = next(batches), jax.random.fold_in(key, i)
        for name, value in drawn(folded, batch, cfg).items():
            saved[name].append(np.asarray(value))
        state, metrics = step_fn(folded, state, batch)
        for name in ("loss", "grad_norm"):
            found[name].append(float(metrics[name]))
    given = {"index": np.arange(SAMPLES, dtype=np.uint32)}
    z = example_normal(jax.random.split(key)[0], given["index"], (net.latent,))
    np.savez(
        out,
        **saved,
        z=np.asarray(z),
        samples=np.asarray(jax.jit(algorithm.sample)(key, state, given)),
    )
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
        elif side == "sample":
            sample(this, DRAWN)
        else:
            step(this)


if __name__ == "__main__":
    main(*sys.argv[1:])
