"""Our side of the models of text: their configs, the worker of the table, the check beside PyTorch."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import sys

import jax
import numpy as np

from benchmarks import side_genjax
from benchmarks.side_genjax import Tree
from benchmarks.tasks.text import BASE, DECAY, END, LR, NET, VOCABULARY
from genjax.config import field
from genjax.core import example_keys, labelled
from genjax.data import Source, train_batches
from genjax.diffusion import times
from genjax.diffusion.discrete import MaskedDiffusion
from genjax.ema import Decay
from genjax.fields import Category, Tokens
from genjax.nets.transformer import Transformer
from genjax.optim import Adam
from genjax.sequence.causal import Causal

KIND = Tokens(NET.length, VOCABULARY)
SPEC = labelled(KIND, name="tokens")
NOISE = 0.1  # added to all weights before the check: layers that start at zero would hide what is before them


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of text from a .npy file, int32 [N, T]; the parent wrote them for both sides."""

    path: str = field("", "the file")

    def load(self) -> Source:
        tokens = np.load(self.path)
        split = {"tokens": tokens, "label": np.zeros(len(tokens), np.int32)}
        none = {name: array[:0] for name, array in split.items()}  # nothing is held out
        fields = {"tokens": KIND, "label": Category(0)}
        return Source("windows", fields, train=split, valid=none, test=none)


def model(name: str) -> Causal | MaskedDiffusion:
    """The config of one row of the table."""
    net = Transformer(NET.width, NET.depth, NET.heads, NET.mlp_ratio, BASE)
    if name == "causal":
        return Causal(net, END, optimiser=Adam(LR), ema=Decay(DECAY))
    return MaskedDiffusion(net, optimiser=Adam(LR), ema=Decay(DECAY))


# --- the check --------------------------------------------------------------------------------------------------------


def nothing(key: jax.Array, batch: dict, cfg: Causal) -> dict[str, jax.Array]:
    """A likelihood draws nothing: the texts themselves."""
    return {"x": batch["tokens"]}


def hidden(key: jax.Array, batch: dict, cfg: MaskedDiffusion) -> dict[str, jax.Array]:
    """What the bound draws of a batch, as the algorithm does; if that changes, the sides disagree."""
    x = batch["tokens"]
    level, noise = jax.random.split(key)
    t = times.strata(level, batch)
    keys = example_keys(noise, batch["index"])
    hide = functools.partial(cfg.noise.noised, size=VOCABULARY)
    z = jax.vmap(hide)(keys, x, cfg.schedule.alpha(t))
    return {"x": x, "z": z, "t": t}


DRAWS = {"causal": nothing, "masked": hidden}
# ours -> PyTorch's, in this order; a place in the tree is written "attention_0/qkv/kernel"
NAMES = (
    (r"^attention_(\d+)/", r"blocks/\1/"),
    (r"^mlp_(\d+)_(\d)/", r"blocks/\1/mlp_\2/"),
    (r"(kernel|embedding)$", "weight"),
    ("/", "."),
)


def torch_names(params: Tree) -> dict[str, np.ndarray]:
    """{"blocks.0.qkv.weight": [out, in], …}: our parameters under the names that the PyTorch net has."""
    out = {}
    for place, p in side_genjax.places(params):
        name = side_genjax.renamed(place, NAMES)
        # tables of tokens and of places are the same on both sides
        out[name] = p.T if place.endswith("kernel") else p
    return out


def check(name: str, path: str, out: str) -> None:
    """Adam steps by the algorithm itself; saves weights and draws, prints the metrics."""
    cfg, key = model(name), jax.random.key(0)
    source = Windows(path).load()
    algorithm = cfg(SPEC)
    batches = train_batches(source, 0, 0, NET.batch)
    first = next(batches)
    state = jax.jit(algorithm.init)(key, first)
    params = side_genjax.noisy(state.params, NOISE)
    state = state.replace(params=params, ema=params)
    weights = torch_names(state.params["net"])
    step, flops = side_genjax.ahead(algorithm.step, key, state, first)
    again = itertools.chain([first], batches)
    drawn_by = jax.jit(functools.partial(DRAWS[name], cfg=cfg))
    _, drawn, found = side_genjax.checked_steps(step, key, state, again, drawn_by)
    np.savez(out, **weights, **drawn)
    print(json.dumps(found | {"flops": flops}))


# --- the worker -------------------------------------------------------------------------------------------------------


def work(name: str, path: str, chunk: str) -> None:
    """Blocks of training steps."""
    started = side_genjax.started(Windows(path), model(name), NET.batch, name, int(chunk))
    with started as (run, _):
        fastest = side_genjax.peak()  # before the first block, in the same process
        side_genjax.step(run, peak=fastest)


def main(what: str, *args: str) -> None:
    check(*args) if what == "check" else work(*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
