"""The variational autoencoder with a Gaussian posterior, and its named relatives as config values.

ELBO(x) = E_{z ~ q(z|x)} log p(x|z) - beta KL(q(z|x) || N(0, I))   (Kingma & Welling 2014, arXiv:1312.6114, eq. 3)
beta > 1: beta-VAE (Higgins et al. 2017). free_bits: max(lambda, KL_j) per latent j (Kingma et al. 2016, here per
example). samples > 1: the importance-weighted bound L_K (Burda et al. 2016, arXiv:1509.00519).
condition: both nets see it (Sohn et al. 2015).
"""

from __future__ import annotations

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax import conditions
from genjax.conditions import Cond, Conditioner, told
from genjax.config import field
from genjax.core import (
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    example_keys,
    example_normal,
    single,
)
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.fields import REAL, need
from genjax.nets import GatedMLP
from genjax.optim import Adam
from genjax.vae.bounds import importance, importance_in_chunks, kl_normal, log_normal
from genjax.vae.likelihoods import Bernoulli, Likelihood, total


@dataclasses.dataclass(frozen=True)
class VAE:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    latent: int = field(40, "size of z")
    enc: nn.Module = field(GatedMLP(), "x -> mean and log variance of q(z | x)")
    dec: nn.Module = field(GatedMLP(), "z -> parameters of p(x | z)")
    likelihood: Likelihood = field(Bernoulli(), "p(x | z)")
    beta: float = field(1.0, "weight of the KL term")
    warmup: int = field(0, "steps over which beta rises from 0")
    free_bits: float = field(0.0, "least KL that counts per latent dimension [nats]")
    samples: int = field(1, "importance samples a training step, 1 = ELBO")
    condition: tuple[Conditioner, ...] = field((), "what both nets are told, e.g. (Label(),)")
    draw: bool = field(
        False, "samples are drawn from p(x | z); false = its mean, as is usual for pictures"
    )
    log_var: tuple[float, float] = field((-6.0, 2.0), "limits of the posterior's log variance")
    optimiser: Adam = field(Adam(), "of both nets together")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation and samples use")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def encode(params: dict, x: jax.Array, cond: Cond | None, cfg: VAE) -> tuple[jax.Array, jax.Array]:
    """Mean and log variance of q(z | x), each [B, latent]; cond is what is told, or None."""
    mu, log_var = jnp.split(
        cfg.enc.apply({"params": params["enc"]}, x, cond, (2 * cfg.latent,)), 2, -1
    )
    return mu, jnp.clip(log_var, *cfg.log_var)


def decode(params: dict, z: jax.Array, cond: Cond | None, cfg: VAE, spec: Spec) -> jax.Array:
    """Raw parameters of p(x | z), [B, *shape with likelihood.outputs times the channels]."""
    shape = (*spec.shape[:-1], spec.shape[-1] * cfg.likelihood.outputs)
    return cfg.dec.apply({"params": params["dec"]}, z, cond, shape)


def log_weights(
    params: dict,
    keys: jax.Array,
    x: jax.Array,
    posterior: tuple,
    cond,
    cfg: VAE,
    spec: Spec,
    k: int,
):
    """log w [k, B] for k samples of q(z | x) per example, and the first sample's -log p(x | z) [B]; keys [B]."""
    mu, log_var = posterior
    eps = jax.vmap(lambda key: jax.random.normal(key, (k, cfg.latent)), out_axes=1)(
        keys
    )  # [k, B, latent]
    z = mu + jnp.exp(0.5 * log_var) * eps
    spread = jnp.tile(x, (k, *[1] * (x.ndim - 1)))  # k-major, like z.reshape
    repeated = jax.tree.map(lambda c: jnp.tile(c, (k, *[1] * (c.ndim - 1))), cond)
    log_px = cfg.likelihood.log_prob(
        decode(params, z.reshape(-1, cfg.latent), repeated, cfg, spec), spread
    ).reshape(k, -1)
    return log_px + log_normal(z) - log_normal(z, mu, log_var), -log_px[0]


def loss(
    params: dict, key: jax.Array, batch: Batch, step: jax.Array, cfg: VAE, spec: Spec
) -> Parts:
    """The negative bound with its parts, each [B] in nats: distortion = -log p(x | z), rate = KL(q || p)."""
    observed, noise = jax.random.split(key)
    x = cfg.likelihood.observe(observed, spec.unit(batch), batch["index"])
    cond = told(cfg.condition, batch, spec)
    mu, log_var = encode(params, x, cond, cfg)
    keys = example_keys(noise, batch["index"])
    beta = cfg.beta * (jnp.minimum(1.0, step / cfg.warmup) if cfg.warmup else 1.0)
    log_w, distortion = log_weights(params, keys, x, (mu, log_var), cond, cfg, spec, cfg.samples)
    kl = kl_normal(mu, log_var)  # [B, latent], exact
    rate = jnp.sum(kl, -1)
    if cfg.samples > 1:
        return {"loss": -importance(log_w), "distortion": distortion, "rate": rate}
    counted = jnp.sum(jnp.maximum(kl, cfg.free_bits), -1) if cfg.free_bits else rate
    return {"loss": distortion + beta * counted, "distortion": distortion, "rate": rate}


def elbo(params: dict, key: jax.Array, batch: Batch, cfg: VAE, spec: Spec) -> Parts:
    """The one-sample ELBO with beta = 1 and its parts, and the mean squared error of the reconstruction; each [B].

    A discrete likelihood adds bits_per_dim = -ELBO / (D ln 2): bits per binary pixel, or per grey value of 256.
    """
    observed, noise = jax.random.split(key)
    x = cfg.likelihood.observe(observed, spec.unit(batch), batch["index"])
    cond = told(cfg.condition, batch, spec)
    mu, log_var = encode(params, x, cond, cfg)
    z = mu + jnp.exp(0.5 * log_var) * example_normal(noise, batch["index"], (cfg.latent,))
    distortion = -cfg.likelihood.log_prob(decode(params, z, cond, cfg, spec), x)
    rate = jnp.sum(kl_normal(mu, log_var), -1)
    mean = cfg.likelihood.mean(decode(params, mu, cond, cfg, spec))
    size = math.prod(spec.shape)
    parts = {"elbo": -distortion - rate, "distortion": distortion, "rate": rate}
    parts["mse"] = total(jnp.square(mean - spec.unit(batch))) / size
    if cfg.likelihood.discrete:
        parts["bits_per_dim"] = (distortion + rate) / (size * math.log(2))
    return parts


def log_likelihood(
    params: dict, key: jax.Array, batch: Batch, cfg: VAE, spec: Spec, k: int, chunk: int
) -> jax.Array:
    """The IWAE estimate of log p(x) from k samples, [B] nats, in memory for `chunk` of them (chunk divides k).

    x is what `elbo` observes under the same key, so the two bounds are of the same binary images.
    """
    observed, noise = jax.random.split(key)
    x = cfg.likelihood.observe(observed, spec.unit(batch), batch["index"])
    cond = told(cfg.condition, batch, spec)
    posterior = encode(params, x, cond, cfg)
    keys = example_keys(noise, batch["index"])

    def chunk_weights(i):
        folded = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        return log_weights(params, folded, x, posterior, cond, cfg, spec, chunk)[0]

    return importance_in_chunks(chunk_weights, k, chunk)


def reconstruct(params: dict, batch: Batch, cfg: VAE, spec: Spec) -> jax.Array:
    """E[x | z = posterior mean of the grey image], [B, *shape]."""
    cond = told(cfg.condition, batch, spec)
    mu, _ = encode(params, spec.unit(batch), cond, cfg)
    return cfg.likelihood.mean(decode(params, mu, cond, cfg, spec))


def render(params: dict, z: jax.Array, given: Batch, cfg: VAE, spec: Spec) -> jax.Array:
    """E[x | z] of codes [B, latent] -> [B, *shape]: interpolations, traversals, grids of the latent plane."""
    return cfg.likelihood.mean(decode(params, z, told(cfg.condition, given, spec), cfg, spec))


def sample(params: dict, key: jax.Array, given: Batch, cfg: VAE, spec: Spec) -> jax.Array:
    """x for z ~ N(0, I), [B, *shape]; number i is a function of (key, given["index"][i])."""
    prior, noise = jax.random.split(key)
    z = example_normal(prior, given["index"], (cfg.latent,))
    out = decode(params, z, told(cfg.condition, given, spec), cfg, spec)
    return (
        cfg.likelihood.sample(noise, out, given["index"]) if cfg.draw else cfg.likelihood.mean(out)
    )


def algorithm(cfg: VAE, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for conditions that the data lack."""
    at_least(1, algorithm__latent=cfg.latent, algorithm__samples=cfg.samples)
    at_least(
        0,
        algorithm__beta=cfg.beta,
        algorithm__warmup=cfg.warmup,
        algorithm__free_bits=cfg.free_bits,
    )
    if cfg.samples > 1 and (cfg.beta != 1 or cfg.warmup or cfg.free_bits):
        raise UserError(
            "--algorithm.samples above 1 trains the importance-weighted bound, which has no KL term to weigh: leave "
            "beta at 1, warmup and free_bits at 0."
        )
    need("A VAE", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)

    def init_params(key, batch):
        enc, dec = jax.random.split(key)
        x, cond = spec.unit(batch), told(cfg.condition, batch, spec)
        z, shape = (
            jnp.zeros((len(x), cfg.latent)),
            (*spec.shape[:-1], spec.shape[-1] * cfg.likelihood.outputs),
        )
        return {
            "enc": cfg.enc.init(enc, x, cond, (2 * cfg.latent,))["params"],
            "dec": cfg.dec.init(dec, z, cond, shape)["params"],
        }

    def bound_loss(params, key, batch, step):
        return loss(params, key, batch, step, cfg, spec)

    init, step = single(
        init_params, bound_loss, cfg.optimiser(spec.steps), cfg.ema, spec.microbatches
    )

    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        return elbo(averaged(state), key, batch, cfg, spec)

    def codes(key: jax.Array, state: State, batch: Batch) -> jax.Array:
        """The posterior means: a draw would add noise that the codes do not need."""
        cond = told(cfg.condition, batch, spec)
        return encode(averaged(state), spec.unit(batch), cond, cfg)[0]

    def decoded(key: jax.Array, state: State, z: jax.Array) -> jax.Array:
        return render(averaged(state), z, {}, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluate,
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        asks=conditions.asks(cfg.condition),
        encode=codes,
        decode=None if cfg.condition else decoded,
    )
