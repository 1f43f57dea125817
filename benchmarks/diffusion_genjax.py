"""Our side of the DiT and the U-Net: their configs, the workers of the table, the check beside PyTorch."""

from __future__ import annotations

import functools
import itertools
import json
import re
import sys

import jax
import numpy as np

from benchmarks import side_genjax
from benchmarks.side_genjax import LABELLED, TYPES, Images, Tree
from benchmarks.tasks import CHANNELS, SAMPLES, SIDE
from benchmarks.tasks.diffusion import CLASSES, DECAY, DROP, FIRST, LR, NETS, STD, STEPS
from genjax.config import edit
from genjax.core import State, example_keys, example_normal
from genjax.data import train_batches
from genjax.diffusion import gaussian, named, times
from genjax.diffusion.gaussian import Diffusion
from genjax.diffusion.samplers import Euler
from genjax.diffusion.schedules import Times
from genjax.ema import Decay
from genjax.nets import DiT, UNet
from genjax.optim import Adam

SPEC = side_genjax.spec((SIDE, SIDE, CHANNELS), CLASSES)
FAMILIES = {"dit": DiT, "dit-196": DiT, "unet": UNet}
NOISE = 0.1  # added to all weights before the check: layers that start at zero would hide what is before them


def model(name: str, steps: int = STEPS, dtype: str = "float32") -> Diffusion:
    """The config of one row of the table."""
    sizes = NETS[name]._asdict()
    del sizes["batch"]  # of the run, not of the net
    changes = {
        "net": FAMILIES[name](**sizes, dtype=dtype),
        "std": STD,
        "drop": DROP,
        "sampler": Euler(),
        "schedule": Times(steps, FIRST),
        "optimiser": Adam(LR),
        "ema": Decay(DECAY),
    }
    return edit(named.FLOW, changes | LABELLED)


# --- the check --------------------------------------------------------------------------------------------------------


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights, the average with them."""
    params = side_genjax.noisy(state.params, NOISE)
    return state.replace(params=params, ema=params)


def draws(key: jax.Array, batch: dict, cfg: Diffusion) -> dict[str, jax.Array]:
    """What the loss draws of a batch, as `genjax.diffusion.gaussian.loss` does; if that changes, the sides disagree."""
    level, noise, hide = jax.random.split(key, 3)
    index = batch["index"]
    x = SPEC.encode(batch)  # [B, H, W, C] in [-1, 1]
    strata = times.strata(level, batch)
    t = cfg.time(strata)
    eps = example_normal(noise, index, SPEC.shape)
    keys = example_keys(hide, index)
    shown = jax.vmap(jax.random.uniform)(keys) >= cfg.drop
    one_hot = jax.nn.one_hot(batch["label"], CLASSES)
    label = one_hot * shown[:, None]  # all zeros: hidden
    at = t[:, None, None, None]
    z = (1.0 - at) * x + at * eps
    return {"z": z, "t": t, "label": label, "target": eps - x}


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
        return side_genjax.turned(p, -1, 4)
    # a transformer's: [patch * patch * C, width] -> [patch, patch, C, width]
    if place == "patches/kernel" and p.ndim == 2:
        side = round((p.shape[0] / CHANNELS) ** 0.5)
        return p.reshape(side, side, CHANNELS, -1)
    return p


def torch_names(params: Tree) -> dict[str, np.ndarray]:
    """{"blocks.0.attention.qkv.weight": [out, in], …}: our parameters under the names that the PyTorch nets have."""
    out = {}
    for place, leaf in side_genjax.places(params):
        p = folded(place, leaf)
        name = side_genjax.renamed(place, NAMES)
        # of convolutions [height, width, in, out] -> [out, in, height, width]
        out[name] = p.transpose(3, 2, 0, 1) if p.ndim == 4 else p.T
    return out


def check(name: str, path: str, out: str) -> None:
    """Adam steps by the algorithm itself, then samples; saves weights, draws and samples, prints the metrics."""
    cfg, key = model(name), jax.random.key(0)
    source = Images(path, CLASSES).load()
    algorithm = cfg(SPEC)
    batches = train_batches(source, 0, 0, NETS[name].batch)
    first = next(batches)
    state = perturbed(jax.jit(algorithm.init)(key, first))
    weights = torch_names(state.params["net"])
    step, flops = side_genjax.ahead(algorithm.step, key, state, first)
    state, drawn, found = side_genjax.checked_steps(
        step,
        key,
        state,
        itertools.chain([first], batches),
        jax.jit(functools.partial(draws, cfg=cfg)),
    )
    index = np.arange(SAMPLES, dtype=np.uint32)
    x, sigmas, _ = gaussian.start(key, index, cfg, SPEC)
    eps = np.asarray(x / sigmas[0])  # the noise of unit variance that a draw starts from
    in_turn = (index % CLASSES).astype(np.int32)
    given = {"index": index, "label": in_turn}
    samples = jax.jit(algorithm.sample)(key, state, given)
    np.savez(out, **weights, **drawn, eps=eps, samples=np.asarray(samples))
    print(json.dumps(found | {"flops": flops}))


# --- the workers ------------------------------------------------------------------------------------------------------


def work(job: str, name: str, path: str, device: str) -> None:
    """Blocks of training steps or of draws."""
    dtype, _ = TYPES[device]
    data, batch = Images(path, CLASSES), NETS[name].batch
    cfg = model(name, dtype=dtype)
    with side_genjax.started(data, cfg, batch, f"{name}-{job}") as (run, _):
        fastest = side_genjax.peak(device)  # before the first block, in the same process
        if job == "train":
            side_genjax.step(run, peak=fastest)
        else:
            side_genjax.sample(run, SAMPLES, peak=fastest)


def main(what: str, *args: str) -> None:
    check(*args) if what == "check" else work(*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
