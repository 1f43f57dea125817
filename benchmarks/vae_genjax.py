"""Our side of the VAEs: their configs, the worker of each row of the table, the check beside PyTorch."""

from __future__ import annotations

import functools
import json
import math
import sys

import jax
import numpy as np

from benchmarks import side_genjax
from benchmarks.side_genjax import Images, Tree
from benchmarks.tasks import SAMPLES
from benchmarks.tasks.vae import DRAWN, LR, NETS, Net
from genjax.core import State, example_normal, guarded
from genjax.data import train_batches
from genjax.fields import to_float
from genjax.nets import MLP, ConvDecoder, ConvEncoder, GatedMLP
from genjax.optim import Adam
from genjax.vae.vae import VAE

NOISE = 0.03  # added to all weights before the check: layers that start at zero would hide what is before them


def model(net: Net) -> VAE:
    """The config of one row of the table."""
    if net.widths:
        encoder, decoder = ConvEncoder(net.widths), ConvDecoder(net.widths)
    else:
        family = GatedMLP if net.gated else MLP
        encoder = family(net.hidden)
        decoder = family(net.hidden[::-1])
    return VAE(net.latent, encoder, decoder, optimiser=Adam(LR))


# --- the check --------------------------------------------------------------------------------------------------------


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights."""
    rng = np.random.default_rng(1)
    leaves, tree = jax.tree.flatten(state.params)
    noisy = []
    for p in leaves:
        noise = NOISE * rng.standard_normal(p.shape, np.float32)
        noisy.append(np.asarray(p) + noise)
    return state.replace(params=jax.tree.unflatten(tree, noisy))


def draws(key: jax.Array, batch: dict, cfg: VAE) -> dict[str, jax.Array]:
    """What the loss draws of a batch, as `genjax.vae.vae.loss` does; if that changes, the two sides disagree."""
    observed, noise = jax.random.split(key)
    index = batch["index"]
    eps = example_normal(noise, index, (1, cfg.latent))  # one importance sample
    x = cfg.likelihood.observe(observed, to_float(batch["image"]), index)
    return {"x": x, "eps": eps[:, 0]}


def mlp_names(params: Tree) -> dict[str, np.ndarray]:
    """{"enc.hidden.0.weight": [out, in], …}: an MLP's parameters under the names that the PyTorch model has."""
    named = {}
    for half, layers in params.items():
        # by number: as words "Dense_10" would come before "Dense_2"
        ordered = sorted(layers, key=lambda name: int(name.split("_")[-1]))
        last = len(ordered) - 1
        for i, name in enumerate(ordered):
            place = f"{half}.last" if i == last else f"{half}.hidden.{i}"
            layer = layers[name]
            kernel = np.asarray(layer["kernel"])  # [in, out]
            named[f"{place}.weight"] = kernel.T
            named[f"{place}.bias"] = np.asarray(layer["bias"])
    return named


# ours -> PyTorch's, in this order; a place in the tree is written "enc/Residual_0/GroupNorm_1/scale"
NAMES = (
    (r"^(enc|dec)/(GroupNorm|Dense)_0/", r"\1/\2/"),
    ("GroupNorm", "norm"),
    (r"_(\d+)", r".\1"),
    (r"(kernel|scale)$", "weight"),
    ("/", "."),
)
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of ours, in PyTorch's order


def conv_names(params: Tree, shape: tuple[int, ...], levels: int) -> dict[str, np.ndarray]:
    """{"enc.conv.0.weight": [out, in, 3, 3], …}: a convolutional VAE's parameters for images of `shape` [H, W, C].

    Folded pixels and maps that are flattened run over (pixels, channels) here and over (channels, pixels) there.
    """
    pixels = math.prod(shape[:2])
    cells = pixels // 4**levels  # of the smallest maps
    folded = (
        (r"enc/Conv_\d/kernel", 2, 4),
        (r"enc/Dense_0/kernel", 0, cells),
        (r"dec/Dense_0/", -1, cells),
        (r"dec/Conv_\d*[13579]/", -1, 4),  # every other one is unfolded after it
    )
    named = {}
    for place, p in side_genjax.places(params):
        alike = side_genjax.all_turned(place, p, folded)
        name = side_genjax.renamed(place, NAMES).lower()
        named[name] = alike.transpose(AXES[p.ndim])
    return named


def torch_names(net: Net, params: Tree, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Our parameters under the names that the PyTorch model has, for images of `shape` [H, W, C]."""
    if net.widths:
        return conv_names(params, shape, len(net.widths))
    return mlp_names(params)


def check(net: Net, path: str, out: str) -> None:
    """Adam steps by the algorithm itself, then samples; saves weights, noise and samples at `out`, prints the metrics.

    z is drawn as `genjax.vae.vae.sample` draws it.
    """
    source = Images(path).load()
    cfg, key = model(net), jax.random.key(0)
    algorithm = cfg(side_genjax.spec(source.shape))
    first = {name: array[:1] for name, array in source.train.items()}
    first["index"] = np.zeros(1, np.uint32)  # a batch of one: init wants shapes alone
    state = perturbed(jax.jit(algorithm.init)(key, first))
    weights = torch_names(net, state.params, source.shape)
    state, drawn, found = side_genjax.checked_steps(
        jax.jit(guarded(algorithm.step)),
        key,
        state,
        train_batches(source, 0, 0, net.batch),
        jax.jit(functools.partial(draws, cfg=cfg)),
    )
    index = np.arange(SAMPLES, dtype=np.uint32)
    of_codes, _ = jax.random.split(key)  # the other one draws pixels
    z = example_normal(of_codes, index, (net.latent,))
    samples = jax.jit(algorithm.sample)(key, state, {"index": index})
    # on the host, for PyTorch's process: [64, latent] and images in [0, 1]
    np.savez(out, **weights, **drawn, z=np.asarray(z), samples=np.asarray(samples))
    print(json.dumps(found))


# --- the workers ------------------------------------------------------------------------------------------------------


def work(side: str, net: Net, name: str, path: str, chunk: int) -> None:
    """Blocks of bare steps, of the loop's, or of draws; `chunk` steps to a dispatch."""
    data, cfg = Images(path), model(net)
    with side_genjax.started(data, cfg, net.batch, name, chunk) as (run, checkpoints):
        if side == "loop":
            side_genjax.loop(run, checkpoints)
        elif side == "sample":
            side_genjax.sample(run, DRAWN)
        else:
            side_genjax.step(run)


def main(side: str, name: str, path: str, more: str) -> None:
    net = NETS[name]
    if side == "check":
        return check(net, path, more)
    work(side, net, name, path, int(more))


if __name__ == "__main__":
    main(*sys.argv[1:])
