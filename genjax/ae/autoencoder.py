"""The autoencoder: x -> z -> x with a narrow z. Linear, deep and convolutional are choices of the two nets.

With linear nets and squared error the best z spans the principal subspace (Baldi & Hornik 1989), so PCA is the exact
answer to compare with; deep nets: Hinton & Salakhutdinov 2006.
"""

from __future__ import annotations

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, averaged, example_normal, single
from genjax.ema import Decay
from genjax.errors import at_least
from genjax.fields import REAL, need
from genjax.nets import MLP
from genjax.optim import Adam


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """Mean squared error over the values of x, units of x squared; the output is x itself."""

    def __call__(self, out: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(out - x).reshape(len(x), -1), -1)

    def mean(self, out: jax.Array) -> jax.Array:
        return out


@dataclasses.dataclass(frozen=True)
class BernoulliError:
    """Cross-entropy of grey values in [0, 1] taken as probabilities, nats a value; the output is a logit."""

    def __call__(self, out: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.mean((jax.nn.softplus(out) - x * out).reshape(len(x), -1), -1)

    def mean(self, out: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(out)


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    latent: int = field(64, "size of z")
    enc: nn.Module = field(MLP(), "x -> z; MLP() without hidden layers is linear")
    dec: nn.Module = field(MLP(), "z -> x")
    error: SquaredError | BernoulliError = field(SquaredError(), "what training minimises")
    optimiser: Adam = field(Adam(), "of both nets together")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def encode(params: dict, x: jax.Array, cfg: Autoencoder) -> jax.Array:
    """Codes [B, latent] of x [B, *shape], in unit values."""
    return cfg.enc.apply({"params": params["enc"]}, x, None, (cfg.latent,))


def decode(params: dict, z: jax.Array, cfg: Autoencoder, spec: Spec) -> jax.Array:
    """Raw output [B, *shape] for codes [B, latent]: x, or its logits under `BernoulliError`."""
    return cfg.dec.apply({"params": params["dec"]}, z, None, spec.shape)


def render(params: dict, z: jax.Array, cfg: Autoencoder, spec: Spec) -> jax.Array:
    """Images [B, *shape] of codes [B, latent]."""
    return cfg.error.mean(decode(params, z, cfg, spec))


def loss(params: dict, batch: Batch, cfg: Autoencoder, spec: Spec) -> Parts:
    """The training error and the mean squared error of the reconstruction, each [B]."""
    x = spec.unit(batch)
    out = decode(params, encode(params, x, cfg), cfg, spec)
    return {"loss": cfg.error(out, x), "mse": SquaredError()(cfg.error.mean(out), x)}


def evaluate(params: dict, batch: Batch, cfg: Autoencoder, spec: Spec) -> Parts:
    """`loss` and the peak signal-to-noise ratio [dB] for pixels in [0, 1], each [B]."""
    parts = loss(params, batch, cfg, spec)
    return {**parts, "psnr": -10 / math.log(10) * jnp.log(parts["mse"])}


def sample(params: dict, key: jax.Array, given: Batch, cfg: Autoencoder, spec: Spec) -> jax.Array:
    """Decodes z ~ N(0, I), [B, *shape]. An autoencoder has no prior, so this shows its holes, not the data."""
    return render(params, example_normal(key, given["index"], (cfg.latent,)), cfg, spec)


def algorithm(cfg: Autoencoder, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a latent size below 1."""
    at_least(1, algorithm__latent=cfg.latent)
    need("An autoencoder", spec.main, spec.x, *REAL)

    def init_params(key, batch):
        enc, dec = jax.random.split(key)
        x, z = spec.unit(batch), jnp.zeros((len(batch["index"]), cfg.latent))
        return {
            "enc": cfg.enc.init(enc, x, None, (cfg.latent,))["params"],
            "dec": cfg.dec.init(dec, z, None, spec.shape)["params"],
        }

    init, step = single(
        init_params,
        lambda p, key, batch, step: loss(p, batch, cfg, spec),
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )
    return Algorithm(
        init,
        step,
        lambda key, state, batch: evaluate(averaged(state), batch, cfg, spec),
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        encode=lambda key, state, batch: encode(averaged(state), spec.unit(batch), cfg),
        decode=lambda key, state, z: render(averaged(state), z, cfg, spec),
    )
