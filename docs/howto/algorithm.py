"""A family of one's own: a normalising flow of affine couplings (Dinh et al. 2017, arXiv:1605.08803).

    python -m algorithm             two half moons, half a minute on two cores
    python -m algorithm deep        the ablation
    python -m algorithm --help      every field is a flag

A coupling changes half of x by a scale and a shift that a net makes of the other half:
z_b = (x_b - t(x_a)) exp(-s(x_a)), so that log p(x) = log N(z; 0, I) - sum s is exact.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax import cli
from genjax.config import edit, field
from genjax.core import LOSS, Algorithm, Batch, Parts, Spec, averaged, example_normal, single
from genjax.data import Moons, Toy
from genjax.ema import Decay
from genjax.errors import at_least
from genjax.fields import Points, need
from genjax.nets import MLP, Gelu
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

# 1. The config: a frozen dataclass whose choices are values. Called with what the data are, it is an algorithm.


@dataclasses.dataclass(frozen=True)
class Couplings:
    """A stack of affine couplings; which half of x is changed alternates."""

    couplings: int = field(6, "affine couplings")
    net: nn.Module = field(
        MLP((64, 64), Gelu(), waves=2), "one half -> log scale and shift of the other"
    )
    optimiser: Adam = field(Adam(1e-3, decay=CosineDecay(), clip=1.0), "of all nets together")
    ema: Decay = field(Decay(0.99), "average of the weights that evaluation and samples use")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


# 2. Bare functions of parameters and arrays. Losses are per example: the mean is the loop's.


def told(params: dict, i: int, half: jax.Array, cfg: Couplings) -> tuple[jax.Array, jax.Array]:
    """Log scale and shift, each [B, D / 2], that net i makes of one half of x."""
    weights = {"params": params[f"net{i}"]}
    out = cfg.net.apply(weights, half, None, (2 * half.shape[1],))
    log_scale, shift = jnp.split(out, 2, -1)
    return jnp.tanh(log_scale), shift  # bounded, so that no step can overflow


def forward(params: dict, x: jax.Array, cfg: Couplings) -> tuple[jax.Array, jax.Array]:
    """The code z [B, D] of x [B, D], and log |det dz / dx| [B]."""
    log_det = jnp.zeros(len(x))
    for i in range(cfg.couplings):
        a, b = jnp.split(x, 2, -1)
        log_scale, shift = told(params, i, a, cfg)
        z = (b - shift) * jnp.exp(-log_scale)
        log_det -= jnp.sum(log_scale, -1)
        x = jnp.concatenate([z, a], -1)  # the halves change places
    return x, log_det


def inverse(params: dict, z: jax.Array, cfg: Couplings) -> jax.Array:
    """The x [B, D] of a code z [B, D]."""
    for i in reversed(range(cfg.couplings)):
        b, a = jnp.split(z, 2, -1)
        log_scale, shift = told(params, i, a, cfg)
        z = jnp.concatenate([a, b * jnp.exp(log_scale) + shift], -1)
    return z


def log_prob(params: dict, x: jax.Array, cfg: Couplings) -> jax.Array:
    """Exact log density [B] in nats."""
    z, log_det = forward(params, x, cfg)
    normal = jax.scipy.stats.norm.logpdf(z)
    return jnp.sum(normal, -1) + log_det


# 3. The functions above, bound to the config: what the loop calls.


def algorithm(cfg: Couplings, spec: Spec) -> Algorithm:
    """UserError for data that are no points, and for a config that cannot be trained."""
    at_least(1, algorithm__couplings=cfg.couplings)
    need("A flow of couplings", spec.main, spec.x, Points)

    def init_params(key: jax.Array, batch: Batch) -> dict:
        x = spec.unit(batch)
        half, _ = jnp.split(x, 2, -1)
        keys = jax.random.split(key, cfg.couplings)
        params = {}
        for i, own in enumerate(keys):
            net = cfg.net.init(own, half, None, (2 * half.shape[1],))
            params[f"net{i}"] = net["params"]
        return params

    def loss(params: dict, key: jax.Array, batch: Batch, step: jax.Array) -> Parts:
        return {"loss": -log_prob(params, spec.unit(batch), cfg)}

    def evaluate(key: jax.Array, state, batch: Batch) -> Parts:
        return loss(averaged(state), key, batch, state.step)

    def sample(key: jax.Array, state, given: Batch) -> jax.Array:
        # noise example by example: sample i is the same on every layout of devices
        z = example_normal(key, given["index"], spec.shape)
        return inverse(averaged(state), z, cfg)

    tx = cfg.optimiser(spec.steps)  # its schedule ends with the run
    init, step = single(init_params, loss, tx, cfg.ema, spec.microbatches)
    return Algorithm(init, step, evaluate, sample, criterion=LOSS)


# 4. An experiment, as for every family.

BASE = Experiment(
    data=Toy(Moons()),
    algorithm=Couplings(),
    steps=3000,
    batch=256,
    every=Every(log=500, evaluate=1000, sample=1000, save=1000),
    samples=2000,
)
EXPERIMENTS = {"base": BASE, "deep": edit(BASE, {"algorithm.couplings": 12})}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "couplings"), __doc__)
