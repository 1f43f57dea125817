"""Our side: the guarded step as the loop runs it, one by one, and samples as a run draws them."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import CHECKED, LR
from benchmarks.diffusion import (
    CHANNELS,
    CLASSES,
    DECAY,
    DROP,
    FIRST,
    NETS,
    SAMPLES,
    SIDE,
    STD,
    STEPS,
)
from benchmarks.turns import blocks
from benchmarks.vae_genjax import Images, experiment, step
from genjax.config import edit
from genjax.core import Spec, State, example_keys, example_normal, guarded
from genjax.data import train_batches
from genjax.diffusion import gaussian, named, times
from genjax.diffusion.gaussian import Diffusion
from genjax.diffusion.samplers import Euler
from genjax.diffusion.schedules import Times
from genjax.ema import Decay
from genjax.nets import DiT, UNet
from genjax.optim import Adam
from genjax.pictures.draw import signed
from genjax.training.loop import Run, start

SPEC = Spec((SIDE, SIDE, CHANNELS), CLASSES)
FAMILIES = {"dit": DiT, "unet": UNet}
TYPES = {
    "cpu": ("float32", 1024),
    "gpu": ("bfloat16", 8192),
}  # to compute in; size of the products of the peak
NOISE = 0.1  # added to all weights before the check: layers that start at zero would hide what is before them


def model(name: str, steps: int = STEPS, dtype: str = "float32") -> Diffusion:
    """The config of one row of the table."""
    sizes = {field: value for field, value in NETS[name]._asdict().items() if field != "batch"}
    changes = {
        "net": FAMILIES[name](**sizes, dtype=dtype),
        "std": STD,
        "conditional": True,
        "drop": DROP,
        "sampler": Euler(),
        "schedule": Times(steps, FIRST),
        "optimiser": Adam(LR),
        "ema": Decay(DECAY),
    }
    return edit(named.FLOW, changes)


def peak(device: str, repeats: int = 30) -> float:
    """FLOP/s of the fastest of some products of two square matrices."""
    dtype, n = TYPES[device]
    a = jax.random.normal(jax.random.key(0), (n, n), dtype)
    product, seconds = jax.jit(jnp.matmul), []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - begun)
    return 2.0 * n**3 / min(seconds)


def sample(run: Run, images: int, **hello: float) -> None:
    """Blocks of draws of so many images, each brought to the host."""
    for draws in blocks(**hello):
        for _ in range(draws):
            run.sample(images)


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights, the average with them."""
    leaves, tree = jax.tree.flatten(state.params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [
        p + NOISE * jax.random.normal(key, p.shape) for key, p in zip(keys, leaves, strict=True)
    ]
    params = jax.tree.unflatten(tree, noisy)
    return state.replace(params=params, ema=params)


def draws(key: jax.Array, batch: dict, cfg: Diffusion) -> dict[str, jax.Array]:
    """What the loss draws of a batch, as `genjax.diffusion.gaussian.loss` does; if that changes, the sides disagree."""
    level, noise, hide = jax.random.split(key, 3)
    x, t = signed(batch["image"]), cfg.time(times.strata(level, batch))
    eps = example_normal(noise, batch["index"], SPEC.shape)
    shown = jax.vmap(jax.random.uniform)(example_keys(hide, batch["index"])) >= cfg.drop
    at = t[:, None, None, None]
    label = jax.nn.one_hot(batch["label"], CLASSES) * shown[:, None]
    return {"z": (1.0 - at) * x + at * eps, "t": t, "label": label, "target": eps - x}


# ours -> PyTorch's, in this order; a place in the tree is written "block_0/attention/qkv/kernel"
NAMES = (
    (r"^block_(\d+)/", r"blocks/\1/"),
    (r"^modulation_(\d+)/", r"blocks/\1/modulation/"),
    (r"^(down|up)_(\d)", r"\1/\2"),
    (r"(q|k)_scale$", r"\1_norm/weight"),
    (r"(kernel|scale)$", "weight"),
    ("GroupNorm", "norm"),
    ("Conv", "conv"),
    ("/", "."),
)


def folded(place: str, p: np.ndarray) -> np.ndarray:
    """Our map of folded pixels as PyTorch's: a strided convolution, or channels ordered as `pixel_shuffle` has them."""
    if re.fullmatch(r"down_\d+/kernel", place):  # [1, 1, 4 C, width] -> [2, 2, C, width]
        return p.reshape(2, 2, -1, p.shape[-1])
    if re.fullmatch(r"up_\d+/(kernel|bias)", place):  # [..., 4, C] -> [..., C, 4]
        return p.reshape(*p.shape[:-1], 4, -1).swapaxes(-1, -2).reshape(p.shape)
    if (
        place == "patches/kernel" and p.ndim == 2
    ):  # [patch * patch * C, width] -> [patch, patch, C, width]
        side = round((p.shape[0] / CHANNELS) ** 0.5)
        return p.reshape(side, side, CHANNELS, -1)
    return p


def torch_names(params: dict) -> dict[str, np.ndarray]:
    """{"blocks.0.attention.qkv.weight": [out, in], …}: our parameters under the names that the PyTorch nets have."""
    out = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        place = "/".join(entry.key for entry in path)
        p = folded(place, np.asarray(leaf))
        name = place
        for pattern, new in NAMES:
            name = re.sub(pattern, new, name)
        out[name] = p.transpose(3, 2, 0, 1) if p.ndim == 4 else p.T
    return out


def check(name: str, path: str, out: str) -> None:
    """Adam steps by the algorithm itself, then samples; saves weights, draws and samples, prints the metrics."""
    cfg, net, source, key = model(name), NETS[name], Images(path, CLASSES).load(), jax.random.key(0)
    algorithm, batches = cfg(SPEC), train_batches(source, 0, 0, net.batch)
    batch = next(batches)
    state = perturbed(jax.jit(algorithm.init)(key, batch))
    saved = torch_names(state.params["net"]) | {"z": [], "t": [], "label": [], "target": []}
    found = {
        "parameters": sum(p.size for p in jax.tree.leaves(state.params)),
        "loss": [],
        "grad_norm": [],
    }
    step_fn = jax.jit(guarded(algorithm.step)).lower(key, state, batch).compile()
    found["flops"] = step_fn.cost_analysis()["flops"]
    for i in range(CHECKED):
        folded_key = jax.random.fold_in(key, i)
        for what, value in jax.jit(draws, static_argnums=2)(folded_key, batch, cfg).items():
            saved[what].append(np.asarray(value))
        state, metrics = step_fn(folded_key, state, batch)
        for what in ("loss", "grad_norm"):
            found[what].append(float(metrics[what]))
        batch = next(batches)
    index = np.arange(SAMPLES, dtype=np.uint32)
    x, sigmas, _ = gaussian.start(key, index, cfg, SPEC)
    given = {"index": index, "label": (index % CLASSES).astype(np.int32)}
    samples = jax.jit(algorithm.sample)(key, state, given)
    np.savez(out, **saved, eps=np.asarray(x / sigmas[0]), samples=np.asarray(samples))
    print(json.dumps(found))


def work(job: str, name: str, path: str, device: str) -> None:
    """Blocks of training steps or of draws."""
    cfg = model(name, dtype=TYPES[device][0])
    with tempfile.TemporaryDirectory() as runs:
        exp = experiment(Images(path, CLASSES), cfg, NETS[name].batch, 1, runs)
        run, _ = start(exp, "benchmark", f"{name}-{job}")
        hello = {"peak": peak(device)}
        if job == "train":
            step(run, **hello)
        else:
            sample(run, SAMPLES, **hello)


def main(what: str, *args: str) -> None:
    check(*args) if what == "check" else work(*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
