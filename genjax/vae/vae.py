"""The variational autoencoder with a Gaussian posterior, and its named relatives as config values.

ELBO(x) = E_{z ~ q(z|x)} log p(x|z) - beta KL(q(z|x) || N(0, I))   (Kingma & Welling 2014, arXiv:1312.6114, eq. 3)
beta > 1: beta-VAE (Higgins et al. 2017). free_bits: max(lambda, KL_j) per latent j (Kingma et al. 2016, here per
example). samples > 1: the importance-weighted bound L_K (Burda et al. 2016, arXiv:1509.00519).
condition: both nets see it (Sohn et al. 2015).

From top to bottom: the config, the two nets, a step's loss, what is measured, pictures, and `algorithm`, which binds it
all to a data set.
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
    LOSS,
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
from genjax.errors import UserError, at_least, finite
from genjax.fields import REAL, need
from genjax.nets import GatedMLP
from genjax.optim import Adam, Optimiser
from genjax.vae.bounds import importance, importance_in_chunks, kl_normal, log_normal
from genjax.vae.likelihoods import Bernoulli, Likelihood, total


@dataclasses.dataclass(frozen=True)
class VAE:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # q(z | x) is diagonal: independent in each of these dimensions
    latent: int = field(40, "size of z")
    enc: nn.Module = field(GatedMLP(), "x -> mean and log variance of q(z | x)")
    dec: nn.Module = field(GatedMLP(), "z -> parameters of p(x | z)")
    likelihood: Likelihood = field(Bernoulli(), "p(x | z)")
    # the four below change what is trained, never what `elbo` measures
    beta: float = field(1.0, "weight of the KL term")
    warmup: int = field(0, "steps over which beta rises from 0")
    free_bits: float = field(0.0, "least KL that counts per latent dimension [nats]")
    samples: int = field(1, "importance samples a training step, 1 = ELBO")
    # a tuple: several conditions are told one beside the other
    condition: tuple[Conditioner, ...] = field((), "what both nets are told, e.g. (Label(),)")
    draw: bool = field(
        False, "samples are drawn from p(x | z); false = its mean, as is usual for pictures"
    )
    # exp(log_var) neither overflows at the start nor becomes a point mass, whose KL is infinite
    log_var: tuple[float, float] = field((-6.0, 2.0), "limits of the posterior's log variance")
    optimiser: Optimiser = field(Adam(), "of both nets together")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation and samples use")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


# The two nets.


def encode(
    params: dict, x: jax.Array, cond: Cond | None, cfg: VAE
) -> tuple[jax.Array, jax.Array]:
    """Mean and log variance of q(z | x), each [B, latent]; cond is what is told, or None."""
    weights = {"params": params["enc"]}
    out = cfg.enc.apply(weights, x, cond, (2 * cfg.latent,))  # [B, 2 latent]
    mu, log_var = jnp.split(out, 2, -1)
    return mu, jnp.clip(log_var, *cfg.log_var)


def decode(params: dict, z: jax.Array, cond: Cond | None, cfg: VAE, spec: Spec) -> jax.Array:
    """Raw parameters of p(x | z), [B, *shape with likelihood.outputs times the channels]."""
    weights = {"params": params["dec"]}
    return cfg.dec.apply(weights, z, cond, _out_shape(cfg, spec))


def _out_shape(cfg: VAE, spec: Spec) -> tuple[int, ...]:
    """The shape of the decoder's output for one example: a logit, or a mean and a log scale, for each value of x."""
    *space, channels = spec.shape
    return (*space, channels * cfg.likelihood.outputs)


# The loss of a step.


def log_weights(
    params: dict,
    keys: jax.Array,
    x: jax.Array,
    posterior: tuple,
    cond: Cond | None,
    cfg: VAE,
    spec: Spec,
    k: int,
) -> tuple[jax.Array, jax.Array]:
    """log w [k, B] for k samples of q(z | x) per example, and the first sample's -log p(x | z) [B]; keys [B]."""
    mu, log_var = posterior

    def noise(key):
        return jax.random.normal(key, (k, cfg.latent))

    # z = mu + sigma eps: the gradient passes through the sample (Kingma & Welling 2014, eq. 10)
    eps = jax.vmap(noise, out_axes=1)(keys)  # [k, B, latent]
    sigma = jnp.exp(0.5 * log_var)
    z = mu + sigma * eps

    # one call of the decoder for all samples: k batches in a row, [k B, ...]
    x_k = _repeated(x, k)
    cond_k = jax.tree.map(lambda c: _repeated(c, k), cond)
    z_k = z.reshape(-1, cfg.latent)
    out = decode(params, z_k, cond_k, cfg, spec)
    log_px = cfg.likelihood.log_prob(out, x_k)  # [k B]
    log_px = log_px.reshape(k, -1)

    # log w = log p(x | z) + log p(z) - log q(z | x)
    log_w = log_px + log_normal(z) - log_normal(z, mu, log_var)
    return log_w, -log_px[0]


def _repeated(x: jax.Array, k: int) -> jax.Array:
    """A batch k times in a row, [k B, ...]: the order that z [k, B, latent] has when it is flattened."""
    ones = [1] * (x.ndim - 1)
    return jnp.tile(x, (k, *ones))


def _observed(
    key: jax.Array, batch: Batch, cfg: VAE, spec: Spec
) -> tuple[jax.Array, jax.Array]:
    """What the likelihood observes of the data, [B, *shape], and a key for the posterior's noise.

    All bounds come through here, so that under one key they are of the same binary images.
    """
    observed, noise = jax.random.split(key)  # always in this order: results hang on it
    grey = spec.unit(batch)
    x = cfg.likelihood.observe(observed, grey, batch["index"])
    return x, noise


def _beta(step: jax.Array, cfg: VAE) -> jax.Array | float:
    """The weight of the KL term at a step: it rises from 0 so that z is used before it is paid for."""
    if not cfg.warmup:
        return cfg.beta
    share = jnp.minimum(1.0, step / cfg.warmup)
    return cfg.beta * share


def loss(
    params: dict,
    key: jax.Array,
    batch: Batch,
    step: jax.Array,
    cfg: VAE,
    spec: Spec,
) -> Parts:
    """The negative bound with its parts, each [B] in nats: distortion = -log p(x | z), rate = KL(q || p)."""
    x, noise = _observed(key, batch, cfg, spec)
    cond = told(cfg.condition, batch, spec)
    posterior = encode(params, x, cond, cfg)  # q(z | x)
    keys = example_keys(noise, batch["index"])
    beta = _beta(step, cfg)

    # -log p(x | z) of one sample is enough for the ELBO, as its other half, the KL, is exact
    k = cfg.samples
    log_w, distortion = log_weights(params, keys, x, posterior, cond, cfg, spec, k)
    mu, log_var = posterior
    kl = kl_normal(mu, log_var)  # [B, latent]
    rate = jnp.sum(kl, -1)
    parts = {"distortion": distortion, "rate": rate}

    if cfg.samples > 1:
        bound = importance(log_w)  # L_K: the KL is inside the weights
        return {"loss": -bound, **parts}

    # eq. 3: -ELBO = -log p(x | z) + beta KL
    counted = rate
    if cfg.free_bits:
        # max(lambda, KL_j): no gradient below lambda, so no latent is shut before it carries something
        floored = jnp.maximum(kl, cfg.free_bits)
        counted = jnp.sum(floored, -1)
    negative_elbo = distortion + beta * counted
    return {"loss": negative_elbo, **parts}


# What is measured.


def elbo(params: dict, key: jax.Array, batch: Batch, cfg: VAE, spec: Spec) -> Parts:
    """The one-sample ELBO with beta = 1 and its parts, and the mean squared error of the reconstruction; each [B].

    A discrete likelihood adds bits_per_dim = -ELBO / (D ln 2): bits per binary pixel, or per grey value of 256.
    """
    x, noise = _observed(key, batch, cfg, spec)
    cond = told(cfg.condition, batch, spec)
    mu, log_var = encode(params, x, cond, cfg)
    sigma = jnp.exp(0.5 * log_var)
    eps = example_normal(noise, batch["index"], (cfg.latent,))
    z = mu + sigma * eps

    out = decode(params, z, cond, cfg, spec)
    distortion = -cfg.likelihood.log_prob(out, x)
    kl = kl_normal(mu, log_var)
    rate = jnp.sum(kl, -1)

    # the reconstruction is of the mean of q, not of a draw: it is a picture, no bound
    at_mean = decode(params, mu, cond, cfg, spec)
    mean = cfg.likelihood.mean(at_mean)
    size = math.prod(spec.shape)  # D
    # beta = 1 whatever training weighed with: only then is it a bound on log p(x)
    parts = {"elbo": -distortion - rate, "distortion": distortion, "rate": rate}
    # against the grey image, also where x was binarised
    squares = jnp.square(mean - spec.unit(batch))
    parts["mse"] = total(squares) / size
    if cfg.likelihood.discrete:  # a density has no bits: they would depend on the unit of x
        parts["bits_per_dim"] = (distortion + rate) / (size * math.log(2))
    return parts


def log_likelihood(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: VAE,
    spec: Spec,
    k: int,
    chunk: int,
) -> jax.Array:
    """The IWAE estimate of log p(x) from k samples, [B] nats, in memory for `chunk` of them (chunk divides k).

    x is what `elbo` observes under the same key, so the two bounds are of the same binary images.
    """
    x, noise = _observed(key, batch, cfg, spec)
    cond = told(cfg.condition, batch, spec)
    posterior = encode(params, x, cond, cfg)  # once: it is the same for every chunk
    keys = example_keys(noise, batch["index"])

    def chunk_weights(i):
        folded = jax.vmap(jax.random.fold_in, (0, None))(keys, i)  # fresh noise in each chunk
        log_w, _ = log_weights(params, folded, x, posterior, cond, cfg, spec, chunk)
        return log_w  # [chunk, B]

    return importance_in_chunks(chunk_weights, k, chunk)


# Pictures.


def reconstruct(params: dict, batch: Batch, cfg: VAE, spec: Spec) -> jax.Array:
    """E[x | z = posterior mean of the grey image], [B, *shape]."""
    cond = told(cfg.condition, batch, spec)
    # grey, not binarised: a picture is wanted of what one sees
    mu, _ = encode(params, spec.unit(batch), cond, cfg)
    out = decode(params, mu, cond, cfg, spec)
    return cfg.likelihood.mean(out)


def render(params: dict, z: jax.Array, given: Batch, cfg: VAE, spec: Spec) -> jax.Array:
    """E[x | z] of codes [B, latent] -> [B, *shape]: interpolations, traversals, grids of the latent plane."""
    cond = told(cfg.condition, given, spec)
    out = decode(params, z, cond, cfg, spec)
    return cfg.likelihood.mean(out)


def sample(params: dict, key: jax.Array, given: Batch, cfg: VAE, spec: Spec) -> jax.Array:
    """x for z ~ N(0, I), [B, *shape]; number i is a function of (key, given["index"][i])."""
    index = given["index"]
    # z and x have keys of their own: `draw` does not change which z are drawn
    prior, noise = jax.random.split(key)
    z = example_normal(prior, index, (cfg.latent,))
    cond = told(cfg.condition, given, spec)
    out = decode(params, z, cond, cfg, spec)
    # E[x | z] is smooth; a draw adds the likelihood's own noise, pixel by pixel
    if cfg.draw:
        return cfg.likelihood.sample(noise, out, index)
    return cfg.likelihood.mean(out)


# The algorithm.


def check(cfg: VAE, spec: Spec) -> None:
    """Raises UserError for what cannot be trained."""
    at_least(1, algorithm__latent=cfg.latent, algorithm__samples=cfg.samples)
    at_least(
        0,
        algorithm__beta=cfg.beta,
        algorithm__warmup=cfg.warmup,
        algorithm__free_bits=cfg.free_bits,
    )
    low, high = cfg.log_var
    finite(algorithm__log_var=low)
    finite(algorithm__log_var=high)
    # the other way round clip gives `high` everywhere, and no gradient
    if low > high:
        raise UserError(
            f"--algorithm.log_var={cfg.log_var} must have the lower limit first, e.g. (-6.0,2.0)."
        )
    # L_K has the KL inside its weights, where nothing can weigh it apart
    weighed = cfg.beta != 1 or cfg.warmup or cfg.free_bits
    if cfg.samples > 1 and weighed:
        raise UserError(
            "--algorithm.samples above 1 trains the importance-weighted bound, which has no KL term to weigh: leave "
            "beta at 1, warmup and free_bits at 0."
        )
    need("A VAE", spec.main, spec.x, *REAL)
    conditions.check(cfg.condition, spec)


def algorithm(cfg: VAE, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for conditions that the data lack."""
    check(cfg, spec)

    def init_params(key, batch):
        enc_key, dec_key = jax.random.split(key)
        x = spec.unit(batch)  # [B, *shape]
        cond = told(cfg.condition, batch, spec)
        # shapes alone matter to `init`
        z = jnp.zeros((len(x), cfg.latent))
        enc = cfg.enc.init(enc_key, x, cond, (2 * cfg.latent,))
        dec = cfg.dec.init(dec_key, z, cond, _out_shape(cfg, spec))
        return {"enc": enc["params"], "dec": dec["params"]}

    def bound_loss(params, key, batch, step):
        return loss(params, key, batch, step, cfg, spec)

    tx = cfg.optimiser(spec.steps)
    init, step = single(init_params, bound_loss, tx, cfg.ema, spec.microbatches)

    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        return elbo(averaged(state), key, batch, cfg, spec)

    def sampled(key: jax.Array, state: State, given: Batch) -> jax.Array:
        return sample(averaged(state), key, given, cfg, spec)

    def codes(key: jax.Array, state: State, batch: Batch) -> jax.Array:
        """The posterior means: a draw would add noise that the codes do not need."""
        cond = told(cfg.condition, batch, spec)
        mu, _ = encode(averaged(state), spec.unit(batch), cond, cfg)
        return mu

    def decoded(key: jax.Array, state: State, z: jax.Array) -> jax.Array:
        return render(averaged(state), z, {}, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluate,
        sampled,
        asks=conditions.asks(cfg.condition),
        criterion=LOSS,
        encode=codes,
        # codes alone do not say what the decoder is to be told
        decode=None if cfg.condition else decoded,
    )
