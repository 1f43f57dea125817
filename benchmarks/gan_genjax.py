"""Our side: the guarded step of a GAN as the loop runs it, one by one; StyleGAN2's steps by kind."""

from __future__ import annotations

import functools
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.common import CHECKED
from benchmarks.diffusion_genjax import peak
from benchmarks.gan import (
    BATCHES,
    CHANNELS,
    CHECK_LR,
    DECAY,
    LATENT,
    LR,
    NETS,
    SAMPLES,
    SIDE,
    STYLES,
)
from benchmarks.turns import blocks
from benchmarks.vae_genjax import Images, experiment, turned
from genjax.config import edit
from genjax.core import Spec, State, guarded
from genjax.data import train_batches
from genjax.ema import Decay
from genjax.gan import named, stylegan2
from genjax.gan.gan import GAN, latents
from genjax.gan.penalties import R1, R2
from genjax.machine import platform
from genjax.machine.parallel import Jit
from genjax.nets import (
    DcganDiscriminator,
    DcganGenerator,
    R3Discriminator,
    R3Generator,
    StyleDiscriminator,
    StyleSynthesis,
)
from genjax.optim import Adam
from genjax.training.loop import IN_FLIGHT, Run, start

SPEC = Spec((SIDE, SIDE, CHANNELS))
FAMILIES = {
    "dcgan": (named.DCGAN, DcganGenerator, DcganDiscriminator),
    "r3gan": (named.R3GAN, R3Generator, R3Discriminator),
}
NOISE = 0.03  # added to all weights before the check: layers that start at zero would hide what is before them


def model(name: str, lr: float = LR) -> GAN:
    """The config of one row of the table."""
    net, (cfg, gen, disc) = NETS[name], FAMILIES[name]
    sizes = {
        field: getattr(net, field)
        for field in ("widths", "patch", "expansion")
        if hasattr(net, field)
    }
    tx = Adam(lr, *net.betas)
    changes = {
        "latent": LATENT,
        "gen": gen(**sizes),
        "disc": disc(**sizes),
        "penalties": (R1(net.gamma), R2(net.gamma)) if net.gamma else (),
        "optimiser": tx,
        "disc_optimiser": tx,
        "ema": Decay(DECAY),
    }
    return edit(cfg, changes)


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights, the average of the generator's with them."""
    leaves, tree = jax.tree.flatten(state.params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [
        p + NOISE * jax.random.normal(key, p.shape) for key, p in zip(keys, leaves, strict=True)
    ]
    params = jax.tree.unflatten(tree, noisy)
    return state.replace(params=params, ema={"gen": params["gen"]})


def draws(key: jax.Array, index: jax.Array) -> dict[str, jax.Array]:
    """z of both players as `genjax.gan.gan.step` draws them; if that changes, the two sides disagree."""
    turns = {"z_disc": jax.random.fold_in(key, 0), "z_gen": jax.random.fold_in(key, 1)}
    return {
        name: latents(jax.random.split(turn, 3)[0], index, LATENT) for name, turn in turns.items()
    }


# DCGAN's parameters with an axis that runs over (pixels, channels) here and over (channels, pixels) in PyTorch:
# where, which axis, how many pixels. The R3GAN pair folds images of one channel alone, where both are the same.
PIXELS = (SIDE // 2 ** len(NETS["dcgan"].widths)) ** 2
FOLDED = (
    (r"gen/Conv_\d/", -1, 4),
    (r"gen/Dense_0/", -1, PIXELS),
    (r"disc/Conv_\d/kernel", 2, 4),
    (r"disc/Dense_0/kernel", 0, PIXELS),
)
NAMES = (
    (r"_(\d)", r".\1"),
    ("dense.0", "dense"),
    ("groupnorm", "norm"),
    (r"(kernel|scale)$", "weight"),
    ("/", "."),
)
AXES = {1: (0,), 2: (1, 0), 3: (2, 0, 1), 4: (3, 2, 0, 1)}  # of ours, in PyTorch's order


def torch_names(name: str, params: dict) -> dict[str, np.ndarray]:
    """{"gen.conv.0.weight": [out, in, 3, 3], …}: our parameters under the names that the PyTorch nets have."""
    out = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        place, p = "/".join(entry.key for entry in path), np.asarray(leaf)
        for pattern, axis, pixels in FOLDED if name == "dcgan" else ():
            p = turned(p, axis, pixels) if re.match(pattern, place) else p
        place = place.lower()
        for pattern, new in NAMES:
            place = re.sub(pattern, new, place)
        out[place] = p.transpose(AXES[p.ndim])
    return out


def check(name: str, path: str, out: str) -> None:
    """Steps by the algorithm itself, then samples; saves weights, images, draws and samples, prints the metrics.

    "loss" and "grad_norm" are of the discriminator and the generator in turn.
    """
    net, source, key = NETS[name], Images(path).load(), jax.random.key(0)
    algorithm, batches = model(name, CHECK_LR)(SPEC), train_batches(source, 0, 0, net.batch)
    batch = next(batches)
    state = perturbed(jax.jit(algorithm.init)(key, batch))
    saved = torch_names(name, state.params) | {"image": [], "z_disc": [], "z_gen": []}
    found = {
        "parameters": sum(p.size for p in jax.tree.leaves(state.params)),
        "loss": [],
        "grad_norm": [],
    }
    step_fn = jax.jit(guarded(algorithm.step)).lower(key, state, batch).compile()
    found["flops"] = step_fn.cost_analysis()["flops"]
    for i in range(CHECKED):
        folded = jax.random.fold_in(key, i)
        for what, value in ({"image": batch["image"]} | draws(folded, batch["index"])).items():
            saved[what].append(np.asarray(value))
        state, metrics = step_fn(folded, state, batch)
        found["loss"] += [float(metrics["loss"]), float(metrics["gen_loss"])]
        found["grad_norm"] += [float(metrics["grad_norm"]), float(metrics["gen_grad_norm"])]
        batch = next(batches)
    index = np.arange(SAMPLES, dtype=np.uint32)
    samples = jax.jit(algorithm.sample)(key, state, {"index": index})
    np.savez(out, **saved, z=np.asarray(latents(key, index, LATENT)), samples=np.asarray(samples))
    print(json.dumps(found))


def train(run: Run) -> None:
    """Blocks of steps as `genjax.training.loop.train` dispatches them, on batches that lie ready."""
    exp = run.exp
    step_fn = exp.layout.train(guarded(run.algorithm.step), run.state)
    made = itertools.islice(train_batches(run.source, exp.seed, 0, exp.batch), BATCHES)
    ready = itertools.cycle(
        [exp.layout.put({k: v[None] for k, v in batch.items()}, 1) for batch in made]
    )
    state, key, pending = run.state, run.key(0), []
    for steps in blocks(peak=peak("cpu")):
        for _ in range(steps):
            state, metrics = step_fn(key, state, {}, next(ready))
            pending.append(metrics)
            if len(pending) >= IN_FLIGHT:
                jax.block_until_ready(pending.pop(0))
        jax.block_until_ready(state)
        if np.asarray(metrics["skipped"]).any():
            raise SystemExit("our loss is not finite")


def ours(name: str, path: str) -> None:
    """The worker of the table."""
    with tempfile.TemporaryDirectory() as runs:
        run, _ = start(
            experiment(Images(path), model(name), NETS[name].batch, 1, runs), "benchmark", name
        )
        train(run)


KINDS = {
    (False, False): "plain",
    (False, True): "path length",
    (True, False): "R1",
    (True, True): "both",
}


def kind(step: Callable) -> str:
    """Which penalties a step of `genjax.gan.stylegan2.turns` takes in."""
    return KINDS[step.keywords["r1"], step.keywords["path"]]


def style(size: str, rounds: str, begun: str) -> None:
    """Prints the times of StyleGAN2's steps [s] by kind, each awaited, over whole cycles after a first step of each.

    The peak memory is that of the cycles. R1 without the path length has no turn in the cycle and comes after it.
    """
    net, layout = STYLES[size], Jit()
    spec = Spec((net.side, net.side, 3))
    cfg = stylegan2.StyleGAN2(
        synthesis=StyleSynthesis(net.widths), disc=StyleDiscriminator(net.widths)
    )
    algorithm, key = cfg(spec), jax.random.key(0)
    image = np.random.default_rng(0).integers(0, 256, (net.batch, *spec.shape), np.uint8)
    batch = {"image": image, "index": np.arange(net.batch, dtype=np.uint32)}
    state = layout.init(algorithm.init, key, batch)
    batches = layout.put({k: v[None] for k, v in batch.items()}, 1)
    alone = functools.partial(stylegan2.step, cfg=cfg, spec=spec, r1=True, path=False)
    steps = {kind(step): layout.train(guarded(step), state) for step in (*algorithm.cycle, alone)}

    def timed(name: str) -> float:
        nonlocal state
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(steps[name](key, state, {}, batches))
        if np.asarray(metrics["skipped"]).any():
            raise SystemExit(f"a step of StyleGAN2 was not finite ({name})")
        return time.perf_counter() - start

    turns = [kind(step) for step in algorithm.cycle]
    first = {turns[0]: timed(turns[0])}
    found = {
        "parameters": sum(p.size for p in jax.tree.leaves(state.params)),
        "start": time.time() - float(begun),
    }
    first |= {name: timed(name) for name in dict.fromkeys(turns[1:]) if name not in first}
    cycles = [[timed(name) for name in turns] for _ in range(int(rounds))]
    found |= {"cycles": [sum(cycle) for cycle in cycles], "peak": platform.peak_memory()}
    seconds = {
        name: [s for cycle in cycles for n, s in zip(turns, cycle, strict=True) if n == name]
        for name in first
    }
    for name in set(steps) - set(first):
        first[name], seconds[name] = timed(name), [timed(name) for _ in range(int(rounds))]
    found["kinds"] = {
        name: {"turns": turns.count(name), "first": first[name], "seconds": seconds[name]}
        for name in KINDS.values()
    }
    print(json.dumps(found))


def main(what: str, *args: str) -> None:
    {"check": check, "ours": ours, "stylegan2": style}[what](*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
