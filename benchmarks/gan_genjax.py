"""Our side of the GANs: configs, the workers of the table, the check beside PyTorch; StyleGAN2's steps by kind."""

from __future__ import annotations

import functools
import itertools
import json
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import side_genjax
from benchmarks.side_genjax import Images, InFlight, Tree
from benchmarks.tasks import CHANNELS, SAMPLES, SIDE
from benchmarks.tasks.gan import (
    BATCHES,
    CHECK_LR,
    DECAY,
    DRAWN,
    LATENT,
    LR,
    NETS,
    STYLES,
    Style,
)
from benchmarks.turns import blocks, peak_memory
from genjax.config import edit
from genjax.core import State, guarded
from genjax.data import train_batches
from genjax.ema import Decay
from genjax.gan import named, stylegan2
from genjax.gan.gan import GAN, latents
from genjax.gan.penalties import R1, R2
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
from genjax.training.loop import Run

SPEC = side_genjax.spec((SIDE, SIDE, CHANNELS))
FAMILIES = {
    "dcgan": (named.DCGAN, DcganGenerator, DcganDiscriminator),
    "r3gan": (named.R3GAN, R3Generator, R3Discriminator),
}
NOISE = 0.03  # added to all weights before the check: layers that start at zero would hide what is before them
METRICS = {  # of both players in turn, under the check's names
    "loss": ("loss", "gen_loss"),
    "grad_norm": ("grad_norm", "gen_grad_norm"),
}


def model(name: str, lr: float = LR) -> GAN:
    """The config of one row of the table."""
    net, (cfg, gen, disc) = NETS[name], FAMILIES[name]
    penalties = (R1(net.gamma), R2(net.gamma)) if net.gamma else ()
    optimiser = Adam(lr, *net.betas)
    changes = {
        "latent": LATENT,
        "gen": gen(**net.sizes()),
        "disc": disc(**net.sizes()),
        "penalties": penalties,
        "optimiser": optimiser,
        "disc_optimiser": optimiser,  # both players' are alike
        "ema": Decay(DECAY),
    }
    return edit(cfg, changes)


# --- the check --------------------------------------------------------------------------------------------------------


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights, the average of the generator's with them."""
    params = side_genjax.noisy(state.params, NOISE)
    return state.replace(params=params, ema={"gen": params["gen"]})


def draws(key: jax.Array, batch: dict) -> dict[str, jax.Array]:
    """The images, and z of both players as `genjax.gan.gan.step` draws them; if that changes, the sides disagree."""
    drawn = {"image": batch["image"]}
    for turn, name in enumerate(("z_disc", "z_gen")):
        player = jax.random.fold_in(key, turn)
        of_z, *_ = jax.random.split(player, 3)  # the first of the keys that a player's turn has
        drawn[name] = latents(of_z, batch["index"], LATENT)
    return drawn


# DCGAN's parameters with an axis that runs over (pixels, channels) here and over (channels, pixels) in PyTorch:
# where, which axis, how many pixels. The R3GAN pair folds images of one channel alone, where both are the same.
PIXELS = (SIDE // 2 ** len(NETS["dcgan"].widths)) ** 2
FOLDED = {
    "dcgan": (
        (r"gen/Conv_\d/", -1, 4),
        (r"gen/Dense_0/", -1, PIXELS),
        (r"disc/Conv_\d/kernel", 2, 4),
        (r"disc/Dense_0/kernel", 0, PIXELS),
    ),
    "r3gan": (),
}
NAMES = (
    (r"_(\d)", r".\1"),
    ("dense.0", "dense"),
    ("groupnorm", "norm"),
    (r"(kernel|scale)$", "weight"),
    ("/", "."),
)
AXES = {1: (0,), 2: (1, 0), 3: (2, 0, 1), 4: (3, 2, 0, 1)}  # of ours, in PyTorch's order


def torch_names(name: str, params: Tree) -> dict[str, np.ndarray]:
    """{"gen.conv.0.weight": [out, in, 3, 3], …}: our parameters under the names that the PyTorch nets have."""
    out = {}
    for place, p in side_genjax.places(params):
        alike = side_genjax.all_turned(place, p, FOLDED[name])
        theirs = side_genjax.renamed(place.lower(), NAMES)
        out[theirs] = alike.transpose(AXES[p.ndim])
    return out


def check(name: str, path: str, out: str) -> None:
    """Steps by the algorithm itself, then samples; saves weights, images, draws and samples, prints the metrics.

    "loss" and "grad_norm" are of the discriminator and the generator in turn.
    """
    key, source = jax.random.key(0), Images(path).load()
    algorithm = model(name, CHECK_LR)(SPEC)
    batches = train_batches(source, 0, 0, NETS[name].batch)
    first = next(batches)
    state = perturbed(jax.jit(algorithm.init)(key, first))
    weights = torch_names(name, state.params)
    step, flops = side_genjax.ahead(algorithm.step, key, state, first)
    every = itertools.chain([first], batches)
    state, drawn, found = side_genjax.checked_steps(step, key, state, every, draws, METRICS)
    index = np.arange(SAMPLES, dtype=np.uint32)
    z = np.asarray(latents(key, index, LATENT))
    # of the averaged generator, [64, H, W, C] in [0, 1]
    samples = jax.jit(algorithm.sample)(key, state, {"index": index})
    np.savez(out, **weights, **drawn, z=z, samples=np.asarray(samples))
    print(json.dumps(found | {"flops": flops}))


# --- the workers ------------------------------------------------------------------------------------------------------


def train(run: Run) -> None:
    """Blocks of steps as `genjax.training.loop.train` dispatches them, on batches that lie ready."""
    exp, step = run.exp, side_genjax.compiled_step(run)
    batches = train_batches(run.source, exp.seed, 0, exp.batch)
    first = itertools.islice(batches, BATCHES)
    made = [put(exp.layout, batch) for batch in first]
    ready = itertools.cycle(made)  # PyTorch's lie ready too
    state, key, in_flight = run.state, run.key(0), InFlight()
    for steps in blocks(peak=side_genjax.peak()):
        for _ in range(steps):
            state, metrics = step(key, state, {}, next(ready))  # {}: nothing is watched
            in_flight.add(metrics)
        jax.block_until_ready(state)
        demand_finite(metrics, "our loss is not finite")


def put(layout: Jit, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """A batch on the device, as one step of a dispatch: {name: [1, B, ...]}."""
    return layout.put({name: array[None] for name, array in batch.items()}, 1)


def demand_finite(metrics: dict[str, jax.Array], words: str) -> None:
    """Ends the process if the guard has left a step out: then it did less than it is timed for."""
    if np.asarray(metrics["skipped"]).any():
        raise SystemExit(words)


def sample(run: Run) -> None:
    """Blocks of draws by the averaged generator as a run draws them."""
    side_genjax.sample(run, DRAWN, peak=side_genjax.peak())


JOBS = {"train": train, "sample": sample}


def work(job: str, name: str, path: str) -> None:
    """Blocks of steps or of draws."""
    with side_genjax.started(Images(path), model(name), NETS[name].batch, name) as (run, _):
        JOBS[job](run)


# --- StyleGAN2 --------------------------------------------------------------------------------------------------------

KINDS = {  # (with R1, with the path length) -> its name
    (False, False): "plain",
    (False, True): "path length",
    (True, False): "R1",
    (True, True): "both",
}


def kind(step: Callable) -> str:
    """Which penalties a step of `genjax.gan.stylegan2.turns` takes in."""
    return KINDS[step.keywords["r1"], step.keywords["path"]]


class Clock:
    """StyleGAN2's steps by kind, each awaited and timed; the state goes on from one to the next."""

    def __init__(self, net: Style):
        spec = side_genjax.spec((net.side, net.side, 3))
        layout = Jit()
        cfg = stylegan2.StyleGAN2(
            synthesis=StyleSynthesis(net.widths),
            disc=StyleDiscriminator(net.widths),
        )
        algorithm = cfg(spec)  # its cycle: lazy regularisation, 16 steps
        self.key = jax.random.key(0)
        batch = self._batch(net, spec.shape)
        self.state = layout.init(algorithm.init, self.key, batch)
        self.batches = put(layout, batch)
        self.turns = [kind(step) for step in algorithm.cycle]
        # R1 without the path length has no turn in the cycle
        alone = functools.partial(stylegan2.step, cfg=cfg, spec=spec, r1=True, path=False)
        self.steps = {}
        for step in (*algorithm.cycle, alone):
            self.steps[kind(step)] = layout.train(guarded(step), self.state)

    def _batch(self, net: Style, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (net.batch, *shape), np.uint8)
        index = np.arange(net.batch, dtype=np.uint32)
        return {"image": image, "index": index}

    def __call__(self, name: str) -> float:
        """The time of a step [s]; SystemExit if it was not finite."""
        begun = time.perf_counter()
        done = self.steps[name](self.key, self.state, {}, self.batches)
        self.state, metrics = jax.block_until_ready(done)  # the old state was given away
        demand_finite(metrics, f"a step of StyleGAN2 was not finite ({name})")
        return time.perf_counter() - begun


def style(size: str, rounds: str, begun: str) -> None:
    """Prints the times of StyleGAN2's steps [s] by kind, each awaited, over whole cycles after a first step of each.

    The peak memory is that of the cycles. R1 without the path length has no turn in the cycle and comes after it.
    """
    clock, cycles = Clock(STYLES[size]), range(int(rounds))
    turns = clock.turns
    first = {turns[0]: clock(turns[0])}
    started = time.time() - float(begun)  # Python, imports and compiling included
    weights = jax.tree.leaves(clock.state.params)
    found = {"parameters": sum(p.size for p in weights), "start": started}
    for name in dict.fromkeys(turns):  # in the cycle's order
        if name not in first:
            first[name] = clock(name)
    seconds = {name: [] for name in clock.steps}
    found["cycles"] = []
    for _ in cycles:
        times = [clock(name) for name in turns]
        found["cycles"].append(sum(times))
        for name, took in zip(turns, times, strict=True):
            seconds[name].append(took)
    found["peak"] = peak_memory()  # before what is no part of a cycle
    for name in set(clock.steps) - set(first):  # R1 alone
        first[name] = clock(name)
        seconds[name] = [clock(name) for _ in cycles]
    found["kinds"] = {name: told(name, turns, first, seconds) for name in KINDS.values()}
    print(json.dumps(found))


def told(name: str, turns: list[str], first: dict, seconds: dict) -> dict:
    """What is printed of one kind."""
    return {"turns": turns.count(name), "first": first[name], "seconds": seconds[name]}


def main(what: str, *args: str) -> None:
    {"check": check, "ours": work, "stylegan2": style}[what](*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
