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
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    example_normal,
    single,
)
from genjax.ema import Decay
from genjax.errors import at_least
from genjax.fields import REAL, need
from genjax.nets import MLP
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """Mean squared error over the values of x, units of x squared; the output is x itself."""

    def __call__(self, out: jax.Array, x: jax.Array) -> jax.Array:
        squares = jnp.square(out - x)
        flat = squares.reshape(len(x), -1)  # [B, D]
        return jnp.mean(flat, -1)

    def mean(self, out: jax.Array) -> jax.Array:
        return out


@dataclasses.dataclass(frozen=True)
class BernoulliError:
    """Cross-entropy of grey values in [0, 1] taken as probabilities, nats a value; the output is a logit."""

    def __call__(self, out: jax.Array, x: jax.Array) -> jax.Array:
        # -x log s(out) - (1 - x) log s(-out) = softplus(out) - x out, s = sigmoid: no log of 0
        nats = jax.nn.softplus(out) - x * out
        flat = nats.reshape(len(x), -1)  # [B, D]
        return jnp.mean(flat, -1)

    def mean(self, out: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(out)  # the probability is the grey value


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # below the data's own dimension, else x could pass unchanged
    latent: int = field(64, "size of z")
    enc: nn.Module = field(MLP(), "x -> z; MLP() without hidden layers is linear")
    dec: nn.Module = field(MLP(), "z -> x")
    # the choice fixes what the decoder's output means
    error: SquaredError | BernoulliError = field(SquaredError(), "what training minimises")
    optimiser: Optimiser = field(Adam(), "of both nets together")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def encode(params: dict, x: jax.Array, cfg: Autoencoder) -> jax.Array:
    """Codes [B, latent] of x [B, *shape], in unit values."""
    weights = {"params": params["enc"]}
    return cfg.enc.apply(weights, x, None, (cfg.latent,))  # None: there is no condition


def decode(params: dict, z: jax.Array, cfg: Autoencoder, spec: Spec) -> jax.Array:
    """Raw output [B, *shape] for codes [B, latent]: x, or its logits under `BernoulliError`."""
    weights = {"params": params["dec"]}
    return cfg.dec.apply(weights, z, None, spec.shape)


def render(params: dict, z: jax.Array, cfg: Autoencoder, spec: Spec) -> jax.Array:
    """Images [B, *shape] of codes [B, latent]."""
    out = decode(params, z, cfg, spec)
    return cfg.error.mean(out)


def loss(params: dict, batch: Batch, cfg: Autoencoder, spec: Spec) -> Parts:
    """The training error and the mean squared error of the reconstruction, each [B]."""
    x = spec.unit(batch)  # [B, *shape]
    z = encode(params, x, cfg)  # [B, latent]
    out = decode(params, z, cfg, spec)
    error = cfg.error(out, x)
    # the same measure under either error, so that runs compare
    squared = SquaredError()  # [B]
    mse = squared(cfg.error.mean(out), x)
    return {"loss": error, "mse": mse}


def evaluate(params: dict, batch: Batch, cfg: Autoencoder, spec: Spec) -> Parts:
    """`loss` and the peak signal-to-noise ratio [dB] for pixels in [0, 1], each [B]."""
    parts = loss(params, batch, cfg, spec)
    # -10 log10(mse): the peak is 1
    decibel = -10 / math.log(10)
    return {**parts, "psnr": decibel * jnp.log(parts["mse"])}


def sample(
    params: dict, key: jax.Array, given: Batch, cfg: Autoencoder, spec: Spec
) -> jax.Array:
    """Decodes z ~ N(0, I), [B, *shape]. An autoencoder has no prior, so this shows its holes, not the data."""
    z = example_normal(key, given["index"], (cfg.latent,))
    return render(params, z, cfg, spec)


def algorithm(cfg: Autoencoder, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a latent size below 1."""
    at_least(1, algorithm__latent=cfg.latent)
    need("An autoencoder", spec.main, spec.x, *REAL)

    def init_params(key, batch):
        enc_key, dec_key = jax.random.split(key)
        x = spec.unit(batch)
        z = jnp.zeros((len(batch["index"]), cfg.latent))
        enc = cfg.enc.init(enc_key, x, None, (cfg.latent,))
        dec = cfg.dec.init(dec_key, z, None, spec.shape)
        return {"enc": enc["params"], "dec": dec["params"]}

    # `single` hands every loss a key and the step: this one needs neither
    def error_loss(params, key, batch, step):
        return loss(params, batch, cfg, spec)

    tx = cfg.optimiser(spec.steps)  # its schedule ends with the run
    init, step = single(init_params, error_loss, tx, cfg.ema, spec.microbatches)

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    def sampled(key: jax.Array, state: State, given: Batch) -> jax.Array:
        return sample(averaged(state), key, given, cfg, spec)

    def codes(key: jax.Array, state: State, batch: Batch) -> jax.Array:
        return encode(averaged(state), spec.unit(batch), cfg)

    def decoded(key: jax.Array, state: State, z: jax.Array) -> jax.Array:
        return render(averaged(state), z, cfg, spec)

    return Algorithm(
        init, step, measured, sampled, encode=codes, decode=decoded, criterion=LOSS
    )
