"""Lossless compression by bits back coding with asymmetric numeral systems (Townsend et al. 2019, arXiv:1901.04866).

A latent variable model codes x through a z of which the decoder needs no particular one, so z may carry other bits:

    1. take z from the stack of bits by q(z | x)     - log q(z | x) bits come back
    2. put x on it by p(x | z)                       + log 1 / p(x | z)
    3. put z on it by p(z)                           + log 1 / p(z)

What the stack grows by is -log w of `vae.log_weights`, on average -ELBO (Hinton & van Camp 1993; Frey & Hinton 1996);
the decoder does the steps backwards, which gives the bits of step 1 back to whoever put them there. So the next
example's z is taken from the bits of the last one, and only the first one borrows bits that say nothing.

z is discretised into 2^bits buckets of equal mass under the prior N(0, 1) (appendix B of the paper): step 3 is then
exact at `bits` a dimension, and a bucket stands for the normal quantile of its middle. All probabilities are whole
numbers over 2^24, none of them 0. Both sides must compute the same ones, so the nets see one example at a time through
one compiled program; another processor or another release of XLA may round otherwise, which `fingerprint` tells.

The bits that step 1 takes must be fair coins. They are those that step 3 of the last example has put there, and they
are not where codes as a whole do not follow the prior: the number of a bucket, coded as it is, makes the next z sit
at the same quantile. So it is coded with a number added, modulo 2^bits, that both sides draw: any order of the buckets
costs the same, and a sum with a fair number is fair.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import Batch, Spec
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Image, need
from genjax.vae import vae

WHOLE = 1 << 24  # of constriction's tables: a probability is a whole number over it
WORD = 32  # bits of a word of the stack


class Nets(NamedTuple):
    """A latent variable model as functions of one example, and its sizes; the same numbers at every call."""

    posterior: Callable[
        [np.ndarray], tuple[Any, Any]
    ]  # x [D] -> mean, deviation [K] of q(z | x)
    likelihood: Callable[[np.ndarray], Any]  # z [K] -> p(x_d = level | z), [D, levels]
    latent: int  # K
    levels: int  # values of x are whole numbers below it


class Cost(NamedTuple):
    """Bits of one example; grown = given + prior - back, but for what the coder itself rounds."""

    given: float  # -log2 p(x | z)
    prior: float  # -log2 p(z), of the bucket
    back: float  # -log2 q(z | x), of the bucket
    grown: float  # by which the stack is longer, measured


class Packed(NamedTuple):
    """Examples as a stack of bits."""

    words: np.ndarray  # uint32 [M], the bottom first
    borrowed: int  # of them say nothing: the first example's z was taken from them
    costs: np.ndarray  # [N, 4], the rows of `Cost`


class Mismatch(Exception):
    """What was decoded is not what was encoded: the nets of the two sides gave different numbers."""


# The latent's buckets.


@dataclasses.dataclass(frozen=True)
class Buckets:
    """2^bits intervals of the line, each with the same mass under N(0, 1)."""

    bits: int = field(12, "log2 of the buckets of each latent dimension")
    fair: bool = field(True, "code numbers of buckets with a number added that both sides draw")

    def __post_init__(self):
        at_least(2, "Buckets: ", bits=self.bits)
        at_most(20, "Buckets: ", bits=self.bits)

    @property
    def coarse(self) -> int:
        """Bits of a bucket's number that are coded first: two small tables cost less than one of 2^bits."""
        return (self.bits + 1) // 2

    @property
    def fine(self) -> int:
        return self.bits - self.coarse

    def edge(self, number: np.ndarray) -> np.ndarray:
        """The lower end of a bucket; that of number 2^bits is infinity."""
        from scipy.special import ndtri

        return ndtri(np.asarray(number) / 2.0**self.bits)

    def added(self, example: int, latent: int) -> np.ndarray:
        """What is added to the numbers of the buckets of an example, [K] below 2^bits."""
        if not self.fair:
            return np.zeros(latent, np.int64)
        # a counter of its own for each example: a decoder comes from behind
        generator = np.random.Philox(key=1, counter=[0, example, 0, 0])
        raw = generator.random_raw(latent)
        return (raw >> np.uint64(64 - self.bits)).astype(np.int64)

    def middle(self, number: np.ndarray) -> np.ndarray:
        """The z that a bucket stands for: half of its mass lies on each side."""
        return self.edge(np.asarray(number) + 0.5)


def masses(mean: np.ndarray, deviation: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The mass of N(mean, deviation²) [K] between edges [K or 1, n + 1], [K, n]."""
    from scipy.special import ndtr

    scaled = (edges - mean[:, None]) / deviation[:, None]
    low, high = scaled[:, :-1], scaled[:, 1:]
    # right of the mean both are near 1: their mirror images have all digits
    mirrored = low > 0
    upper = np.where(mirrored, -low, high)
    lower = np.where(mirrored, -high, low)
    return ndtr(upper) - ndtr(lower)


# Whole numbers.


def counts(p: np.ndarray) -> np.ndarray:
    """Rows of probabilities [N, n] as whole numbers that sum to 2^24 - n, float64: the coder adds one to each.

    A row without any mass, a place far from the posterior, becomes uniform. UserError for what is no probability.
    """
    p = np.asarray(p, np.float64)
    n = p.shape[1]
    total = p.sum(1, keepdims=True)
    if not np.isfinite(total).all() or p.min() < 0:
        raise UserError(
            "the model gives probabilities that are no numbers: its training has diverged."
        )
    empty = total == 0
    share = np.where(empty, 1.0 / n, p / np.where(empty, 1.0, total))
    free = WHOLE - n
    found = np.floor(share * free)
    # what rounding down has left goes where it matters least
    left = free - found.sum(1)
    rows = np.arange(len(found))
    found[rows, found.argmax(1)] += left
    return found


def ideal(tables: np.ndarray, symbols: np.ndarray) -> float:
    """Bits of symbols [N] by tables [N, n] of `counts`: -sum log2 ((count + 1) / 2^24)."""
    rows = np.arange(len(tables))
    chosen = tables[rows, symbols] + 1.0
    bits = math.log2(WHOLE) - np.log2(chosen)
    return float(bits.sum())


# The stack. constriction's coder is one object that changes: these are the only functions that touch it.


def library() -> Any:
    """constriction's module of coders; UserError where it is not installed."""
    try:
        import constriction
    except ImportError as error:
        raise UserError(
            "coding needs constriction, which is not installed: pip install 'deepgenjax[codec]'."
        ) from error
    return constriction.stream


def stack(words: np.ndarray) -> Any:
    """A coder with these words on it, uint32 [M] with the bottom first; the last must not be 0."""
    return library().stack.AnsCoder(words)


def length(coder: Any) -> float:
    """Bits on a stack, with the fraction of the last one."""
    words, state = coder.pos()
    return WORD * words + math.log2(state)


def _put(coder: Any, symbols: np.ndarray, tables: np.ndarray) -> None:
    table = library().model.Categorical(perfect=False)
    coder.encode_reverse(symbols.astype(np.int32), table, tables)


def _taken(coder: Any, tables: np.ndarray) -> np.ndarray:
    table = library().model.Categorical(perfect=False)
    return coder.decode(table, tables)


def _uniform(bits: int) -> Any:
    # a power of two: each number has exactly the same probability
    return library().model.Uniform(1 << bits)


class _Coarse(NamedTuple):
    """q(z | x) of one example: the table of the coarse parts is there, that of the fine ones hangs on them."""

    mean: np.ndarray  # [K]
    deviation: np.ndarray  # [K]
    table: np.ndarray  # [K, 2^coarse]


def _posterior(nets: Nets, x: np.ndarray, buckets: Buckets) -> _Coarse:
    found = nets.posterior(x)
    mean, deviation = (np.asarray(each, np.float64) for each in found)
    number = np.arange((1 << buckets.coarse) + 1) << buckets.fine
    edges = buckets.edge(number)
    table = counts(masses(mean, deviation, edges[None]))
    return _Coarse(mean, deviation, table)


def _within(q: _Coarse, coarse: np.ndarray, buckets: Buckets) -> np.ndarray:
    """The table of the fine parts, given the coarse ones [K]: [K, 2^fine]."""
    first = coarse[:, None] << buckets.fine
    number = first + np.arange((1 << buckets.fine) + 1)  # [K, 2^fine + 1]
    edges = buckets.edge(number)
    return counts(masses(q.mean, q.deviation, edges))


def _take_latent(coder: Any, q: _Coarse, buckets: Buckets) -> tuple[np.ndarray, float]:
    """(numbers of buckets [K] taken from the stack by q, the bits that came back)."""
    coarse = _taken(coder, q.table)
    table = _within(q, coarse, buckets)
    fine = _taken(coder, table)
    back = ideal(q.table, coarse) + ideal(table, fine)
    return (coarse << buckets.fine) + fine, back


def _put_latent(coder: Any, number: np.ndarray, q: _Coarse, buckets: Buckets) -> None:
    """The inverse of `_take_latent`: the stack is what it was before."""
    coarse = number >> buckets.fine
    fine = number & ((1 << buckets.fine) - 1)
    # last in, first out
    _put(coder, fine, _within(q, coarse, buckets))
    _put(coder, coarse, q.table)


def _likelihood(nets: Nets, number: np.ndarray, buckets: Buckets) -> np.ndarray:
    """The tables of x [D, levels] for the buckets of z."""
    z = buckets.middle(number)
    return counts(nets.likelihood(z.astype(np.float32)))


# One example, and many.


def put(
    coder: Any, x: np.ndarray, example: int, nets: Nets, buckets: Buckets
) -> tuple[Cost, int]:
    """Puts one example [D] on a stack; (its bits, words on the stack when it was lowest). example: its number there."""
    before = length(coder)
    q = _posterior(nets, x, buckets)
    number, back = _take_latent(coder, q, buckets)
    lowest = coder.num_words()
    table = _likelihood(nets, number, buckets)
    _put(coder, x, table)
    added = buckets.added(example, nets.latent)
    sent = (number + added) % (1 << buckets.bits)
    coder.encode_reverse(sent.astype(np.int32), _uniform(buckets.bits))
    prior = float(nets.latent * buckets.bits)
    grown = length(coder) - before
    return Cost(ideal(table, x), prior, back, grown), lowest


def take(coder: Any, example: int, nets: Nets, buckets: Buckets) -> np.ndarray:
    """Takes one example off a stack, int32 [D]: the inverse of `put`, step by step backwards."""
    sent = coder.decode(_uniform(buckets.bits), nets.latent)
    added = buckets.added(example, nets.latent)
    number = (sent - added) % (1 << buckets.bits)
    table = _likelihood(nets, number, buckets)
    x = _taken(coder, table)
    q = _posterior(nets, x, buckets)
    _put_latent(coder, number, q, buckets)
    return x


def borrowed(n: int) -> np.ndarray:
    """n words that say nothing, uint32, the bottom first: whatever n is, the top ones are the same."""
    # the raw stream of a numpy bit generator never changes (NEP 19)
    raw = np.random.Philox(key=0).random_raw(n)
    words = (raw >> np.uint64(WORD)).astype(np.uint32)
    # a stack does not keep a 0 on its top
    return (words | np.uint32(1))[::-1]


def encode(examples: np.ndarray, nets: Nets, buckets: Buckets) -> Packed:
    """Whole numbers [N, D] below `levels` as one stack."""
    # at most two words of 24 bits a latent are taken for one example
    reserve = 2 * nets.latent + 4
    while True:
        coder = stack(borrowed(reserve))
        costs = []
        lowest = reserve
        for i, x in enumerate(examples):
            cost, low = put(coder, x, i, nets, buckets)
            costs.append(cost)
            lowest = min(lowest, low)
        # the coder's state, two words, may only be empty at the very bottom
        if lowest > 2:
            break
        reserve *= 2
    # words that nothing was taken from need not be kept
    untouched = lowest - 2
    words = coder.get_compressed()[untouched:]
    return Packed(words, reserve - untouched, np.array(costs).reshape(-1, 4))


def decode(words: np.ndarray, lent: int, n: int, nets: Nets, buckets: Buckets) -> np.ndarray:
    """The n examples of a stack, int32 [n, D]; Mismatch where it does not end in the `lent` borrowed words."""
    coder = stack(words)
    # the last that was put on it comes first
    found = [take(coder, i, nets, buckets) for i in reversed(range(n))]
    left = coder.get_compressed()
    if not np.array_equal(left, borrowed(lent)):
        raise Mismatch("the stack does not end in what was borrowed")
    return np.stack(found[::-1])


def fingerprint(nets: Nets, buckets: Buckets) -> int:
    """The CRC-32 of the nets' tables at a fixed z and of the posterior of what they give there.

    Two machines whose nets round differently differ here, as good as always.
    """
    number = (np.arange(nets.latent) * 37 + 11) % (1 << buckets.bits)
    table = _likelihood(nets, number, buckets)
    likeliest = table.argmax(1)
    q = _posterior(nets, likeliest, buckets)
    crc = zlib.crc32(table.tobytes())
    return zlib.crc32(q.table.tobytes(), crc)


# A VAE as such a model.


def check(cfg: Any) -> None:
    """Raises UserError for an algorithm whose bits cannot be coded so."""
    if not isinstance(cfg, vae.VAE):
        raise UserError(
            f"bits back is for a VAE, and this is {type(cfg).__name__}: train one by experiments.lossless."
        )
    if not cfg.likelihood.discrete:
        name = type(cfg.likelihood).__name__
        raise UserError(
            f"--algorithm.likelihood={name}: it gives no probability of grey values: use DiscretisedLogistic()."
        )
    if cfg.condition:
        raise UserError(
            "--algorithm.condition: what the nets are told would have to be sent too: train without."
        )


def levels(cfg: Any) -> int:
    """The values that a pixel can have: 2 where it is black or white."""
    return getattr(cfg.likelihood, "levels", 2)


def observed(key: jax.Array, batch: Batch, cfg: Any, spec: Spec) -> tuple[jax.Array, jax.Array]:
    """What `vae.elbo` observes of the data under a key, [B, *shape], and the key of its noise: binary images are drawn.

    So the images that are coded are those that the bound is of.
    """
    of_pixels, noise = jax.random.split(key)
    grey = spec.unit(batch)
    return cfg.likelihood.observe(of_pixels, grey, batch["index"]), noise


def probabilities(likelihood: Any, out: jax.Array, levels: int) -> jax.Array:
    """p(x_d = level | z) of every value, [D, levels], from the decoder's output [1, *space, outputs times channels]."""
    # a likelihood finds its parameters side by side in the last axis
    parts = jnp.split(out, likelihood.outputs, -1)
    own = jnp.stack(parts, -1)
    own = own.reshape(-1, likelihood.outputs)  # [D, outputs]
    values = jnp.arange(levels) / (levels - 1)
    # every value with every level is an example of one pixel to `log_prob`
    repeated = jnp.repeat(own, levels, 0)  # [D levels, outputs]
    x = jnp.tile(values, len(own))
    log_p = likelihood.log_prob(repeated, x[:, None])
    return jnp.exp(log_p).reshape(-1, levels)


def of_vae(params: dict, cfg: Any, spec: Spec, compiled: Callable) -> Nets:
    """The nets of a VAE; `compiled` is JAX's jit. UserError for a VAE whose bits cannot be coded so."""
    check(cfg)
    need("A file of pictures", spec.main, spec.x, Image)
    n = levels(cfg)

    def posterior(params: dict, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        one = x.astype(jnp.float32).reshape(1, *spec.shape)
        mu, log_var = vae.encode(params, one / (n - 1), None, cfg)
        return mu[0], jnp.exp(0.5 * log_var[0])

    def likelihood(params: dict, z: jax.Array) -> jax.Array:
        out = vae.decode(params, z[None], None, cfg, spec)
        return probabilities(cfg.likelihood, out, n)

    # one program each, for one example: the same numbers whatever is coded beside it
    of_x = compiled(posterior)
    of_z = compiled(likelihood)
    return Nets(
        lambda x: of_x(params, np.asarray(x, np.int32)),
        lambda z: of_z(params, z),
        cfg.latent,
        n,
    )
