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
from scipy.special import ndtr, ndtri

from genjax.config import field
from genjax.core import Batch, Spec
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Image, need
from genjax.vae import vae

WHOLE = 1 << 24  # of constriction's tables: a probability is a whole number over it
WORD = 32  # bits of a word of the stack
STATE = 2  # words of the coder's state, which stay on a stack
Array = np.ndarray


class Cost(NamedTuple):
    """Bits of one example; grown = given + prior - back, but for what the coder itself rounds."""

    given: float  # -log2 p(x | z)
    prior: float  # -log2 p(z), of the bucket
    back: float  # -log2 q(z | x), of the bucket
    grown: float  # by which the stack is longer, measured


class Packed(NamedTuple):
    """Examples as a stack of bits."""

    words: Array  # uint32 [M], the bottom first
    borrowed: int  # of them say nothing: the first example's z was taken from them
    costs: Array  # [N, 4], the rows of `Cost`


class Mismatch(Exception):
    """What was decoded is not what was encoded: the nets of the two sides gave different numbers."""


# The latent's buckets.


@dataclasses.dataclass(frozen=True)
class Buckets:
    """2^bits intervals of the line, each with the same mass under N(0, 1)."""

    bits: int = field(16, "log2 of the buckets of each latent dimension")
    fair: bool = field(True, "code numbers of buckets with a number added that both sides draw")

    def __post_init__(self):
        at_least(2, "Buckets: ", bits=self.bits)
        at_most(20, "Buckets: ", bits=self.bits)

    @property
    def n(self) -> int:
        return 1 << self.bits

    @property
    def coarse(self) -> int:
        """Bits of a bucket's number that are coded first: two small tables cost less than one of 2^bits."""
        return (self.bits + 1) // 2

    @property
    def fine(self) -> int:
        """Bits of its place among those of the same coarse part."""
        return self.bits - self.coarse

    def edge(self, number: Array) -> Array:
        """The lower end of a bucket; that of number 2^bits is infinity."""
        return ndtri(number / self.n)

    def middle(self, number: Array) -> Array:
        """The z that a bucket stands for: half of its mass lies on each side."""
        return self.edge(number + 0.5)

    def added(self, example: int, latent: int) -> Array:
        """What is added to the numbers of the buckets of an example, [K] below 2^bits."""
        if not self.fair:
            return np.zeros(latent, np.int64)
        # a counter of its own for each example: a decoder comes from behind
        counter = [0, example, 0, 0]
        generator = np.random.Philox(key=1, counter=counter)
        raw = generator.random_raw(latent)
        unneeded = np.uint64(64 - self.bits)
        highest = raw >> unneeded
        return highest.astype(np.int64)


class Nets(NamedTuple):
    """A latent variable model as functions of one example, and its sizes; the same numbers at every call."""

    posterior: Callable  # x [D] -> mean, deviation [K] of q(z | x)
    likelihood: Callable  # z [K] -> p(x_d = level | z), [D, levels]
    latent: int  # K
    levels: int  # values of x are whole numbers below it
    buckets: Buckets = Buckets()


def masses(mean: Array, deviation: Array, edges: Array) -> Array:
    """The mass of N(mean, deviation²) [K] between edges [K or 1, n + 1], [K, n]."""
    centre = mean[:, None]
    scale = deviation[:, None]
    scaled = (edges - centre) / scale
    low = scaled[:, :-1]
    high = scaled[:, 1:]
    # right of the mean both are near 1: their mirror images have all digits
    mirrored = low > 0
    upper = np.where(mirrored, -low, high)
    lower = np.where(mirrored, -high, low)
    return ndtr(upper) - ndtr(lower)


# Whole numbers.


def counts(p: Array) -> Array:
    """Rows of probabilities [N, n] as whole numbers that sum to 2^24 - n, float64: the coder adds one to each.

    A row without any mass, a place far from the posterior, becomes uniform. UserError for what is no probability.
    """
    p = np.asarray(p, np.float64)
    rows, n = p.shape
    total = p.sum(1, keepdims=True)
    numbers = np.isfinite(total).all()
    if not numbers or p.min() < 0:
        raise UserError(
            "the model gives probabilities that are no numbers: its training has diverged."
        )
    empty = total == 0
    divisor = np.where(empty, 1.0, total)
    share = np.where(empty, 1.0 / n, p / divisor)
    free = WHOLE - n
    found = np.floor(share * free)
    # what rounding down has left goes where it matters least
    left = free - found.sum(1)
    likeliest = found.argmax(1)
    found[np.arange(rows), likeliest] += left
    return found


def ideal(tables: Array, symbols: Array) -> float:
    """Bits of symbols [N] by tables [N, n] of `counts`: -sum log2 ((count + 1) / 2^24)."""
    rows = np.arange(len(tables))
    chosen = tables[rows, symbols] + 1.0
    bits = np.log2(WHOLE / chosen)
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


def stack(words: Array) -> Any:
    """A coder with these words on it, uint32 [M] with the bottom first; the last must not be 0."""
    return library().stack.AnsCoder(words)


def length(coder: Any) -> float:
    """Bits on a stack, with the fraction of the last one."""
    words, state = coder.pos()
    return WORD * words + math.log2(state)


def push(coder: Any, symbols: Array, tables: Array) -> None:
    """Puts symbols [N] on a stack by their tables [N, n]."""
    by_table = library().model.Categorical(perfect=False)
    coder.encode_reverse(symbols.astype(np.int32), by_table, tables)


def pop(coder: Any, tables: Array) -> Array:
    """Takes symbols [N] off a stack, the inverse of `push`; of bits that nobody has put there, it draws them."""
    by_table = library().model.Categorical(perfect=False)
    return coder.decode(by_table, tables)


def _uniform(buckets: Buckets) -> Any:
    # a power of two: each number has exactly the same probability
    return library().model.Uniform(buckets.n)


class _Posterior(NamedTuple):
    """q(z | x) of one example: the table of the coarse parts is there, that of the fine ones hangs on them."""

    mean: Array  # [K]
    deviation: Array  # [K]
    table: Array  # [K, 2^coarse]


def _posterior(nets: Nets, x: Array) -> _Posterior:
    mean, deviation = nets.posterior(x)
    mean = np.asarray(mean, np.float64)
    deviation = np.asarray(deviation, np.float64)
    buckets = nets.buckets
    part = np.arange((1 << buckets.coarse) + 1)
    edges = buckets.edge(part << buckets.fine)
    mass = masses(mean, deviation, edges[None])
    return _Posterior(mean, deviation, counts(mass))


def _within(q: _Posterior, coarse: Array, buckets: Buckets) -> Array:
    """The table of the fine parts, given the coarse ones [K]: [K, 2^fine]."""
    first = coarse << buckets.fine
    place = np.arange((1 << buckets.fine) + 1)
    number = first[:, None] + place  # [K, 2^fine + 1]
    edges = buckets.edge(number)
    mass = masses(q.mean, q.deviation, edges)
    return counts(mass)


def _take_latent(coder: Any, q: _Posterior, buckets: Buckets) -> tuple[Array, float]:
    """(numbers of buckets [K] taken from the stack by q, the bits that came back)."""
    coarse = pop(coder, q.table)
    table = _within(q, coarse, buckets)
    fine = pop(coder, table)
    number = (coarse << buckets.fine) + fine
    back = ideal(q.table, coarse) + ideal(table, fine)
    return number, back


def _put_latent(coder: Any, number: Array, q: _Posterior, buckets: Buckets) -> None:
    """The inverse of `_take_latent`: the stack is what it was before."""
    coarse = number >> buckets.fine
    first = coarse << buckets.fine
    table = _within(q, coarse, buckets)
    # last in, first out
    push(coder, number - first, table)
    push(coder, coarse, q.table)


def _likelihood(nets: Nets, number: Array) -> Array:
    """The tables of x [D, levels] for the buckets of z."""
    z = nets.buckets.middle(number)
    p = nets.likelihood(z.astype(np.float32))
    return counts(p)


# One example, and many.


def put(coder: Any, x: Array, example: int, nets: Nets) -> tuple[Cost, int]:
    """Puts one example [D] on a stack; (its bits, words on the stack when it was lowest). example: its number there."""
    buckets = nets.buckets
    before = length(coder)

    q = _posterior(nets, x)
    number, back = _take_latent(coder, q, buckets)
    lowest = coder.num_words()

    table = _likelihood(nets, number)
    push(coder, x, table)

    added = buckets.added(example, nets.latent)
    sent = (number + added) % buckets.n
    coder.encode_reverse(sent.astype(np.int32), _uniform(buckets))

    given = ideal(table, x)
    prior = float(nets.latent * buckets.bits)
    grown = length(coder) - before
    return Cost(given, prior, back, grown), lowest


def take(coder: Any, example: int, nets: Nets) -> Array:
    """Takes one example off a stack, int32 [D]: the inverse of `put`, step by step backwards.

    Mismatch where the stack has no more.
    """
    buckets = nets.buckets
    sent = coder.decode(_uniform(buckets), nets.latent)
    added = buckets.added(example, nets.latent)
    number = (sent - added) % buckets.n

    table = _likelihood(nets, number)
    x = pop(coder, table)
    # here an example's stack is lowest, and an encoder leaves so many words below it; of a file that tells of more
    # examples than it holds this is mostly the end
    if coder.num_words() < STATE:
        raise Mismatch("the stack is empty within an example")

    q = _posterior(nets, x)
    _put_latent(coder, number, q, buckets)
    return x


def borrowed(n: int) -> Array:
    """n words that say nothing, uint32, the bottom first: whatever n is, the top ones are the same."""
    # the raw stream of a numpy bit generator never changes (NEP 19)
    generator = np.random.Philox(key=0)
    raw = generator.random_raw(n)
    upper = raw >> np.uint64(WORD)
    # a stack does not keep a 0 on its top
    odd = upper.astype(np.uint32) | np.uint32(1)
    return odd[::-1]


def encode(examples: Array, nets: Nets) -> Packed:
    """Whole numbers [N, D] below `levels` as one stack."""
    # at most two words of 24 bits a latent are taken for one example
    reserve = 2 * nets.latent + 4
    while True:
        coder = stack(borrowed(reserve))
        costs = []
        lowest = reserve
        for i, x in enumerate(examples):
            cost, low = put(coder, x, i, nets)
            costs.append(cost)
            lowest = min(lowest, low)
        # the coder's state may only be empty at the very bottom
        if lowest > STATE:
            break
        reserve *= 2
    # words that nothing was taken from need not be kept
    untouched = lowest - STATE
    words = coder.get_compressed()
    rows = np.array(costs).reshape(-1, 4)
    return Packed(words[untouched:], reserve - untouched, rows)


def decode(words: Array, lent: int, n: int, nets: Nets) -> Array:
    """The n examples of a stack, int32 [n, D]; Mismatch where it does not end in the `lent` borrowed words."""
    coder = stack(words)
    found = []
    # the last that was put on it comes first
    for i in reversed(range(n)):
        x = take(coder, i, nets)
        found.append(x)
    left = coder.get_compressed()
    if len(left) != lent or not np.array_equal(left, borrowed(lent)):
        raise Mismatch("the stack does not end in what was borrowed")
    return np.stack(found[::-1])


def fingerprint(nets: Nets) -> int:
    """The CRC-32 of the nets' tables at a fixed z, and of the posterior of what is likeliest there.

    Two machines whose nets round differently differ here, as good as always.
    """
    # numbers all over the line, the same for everybody
    number = Buckets(nets.buckets.bits).added(0, nets.latent)
    table = _likelihood(nets, number)
    likeliest = table.argmax(1)
    q = _posterior(nets, likeliest)
    crc = zlib.crc32(table.tobytes())
    return zlib.crc32(q.table.tobytes(), crc)


# A VAE as such a model.


def check(cfg: Any) -> None:
    """Raises UserError for an algorithm whose bits cannot be coded so."""
    if not hasattr(cfg, "likelihood"):
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


def observed(key: jax.Array, batch: Batch, cfg: Any, spec: Spec) -> tuple:
    """(what `vae.elbo` observes of the data under a key, [B, *shape]; the key of its noise): binary images are drawn.

    So the images that are coded are those that the bound is of.
    """
    of_pixels, noise = jax.random.split(key)
    grey = spec.unit(batch)
    x = cfg.likelihood.observe(of_pixels, grey, batch["index"])
    return x, noise


def probabilities(likelihood: Any, out: jax.Array, levels: int) -> jax.Array:
    """p(x_d = level | z) of every value, [D, levels], from the decoder's output [1, *space, outputs times channels]."""
    # a likelihood finds its parameters side by side in the last axis
    parameters = likelihood.outputs
    parts = jnp.split(out, parameters, -1)
    beside = jnp.stack(parts, -1)
    own = beside.reshape(-1, parameters)  # [D, outputs]
    # every value with every level is an example of one pixel to `log_prob`
    repeated = jnp.repeat(own, levels, 0)  # [D levels, outputs]
    values = jnp.arange(levels) / (levels - 1)
    x = jnp.tile(values, len(own))
    log_p = likelihood.log_prob(repeated, x[:, None])
    p = jnp.exp(log_p)
    return p.reshape(-1, levels)


def of_vae(params: dict, cfg: Any, spec: Spec, compiled: Callable) -> Nets:
    """The nets of a VAE; `compiled` is JAX's jit. UserError for a VAE whose bits cannot be coded so."""
    check(cfg)
    need("A file of pictures", spec.main, spec.x, Image)
    n = levels(cfg)

    def posterior(params, level):
        unit = level.astype(jnp.float32) / (n - 1)
        x = unit.reshape(1, *spec.shape)
        mu, log_var = vae.encode(params, x, None, cfg)
        deviation = jnp.exp(0.5 * log_var)
        return mu[0], deviation[0]

    def likelihood(params, z):
        out = vae.decode(params, z[None], None, cfg, spec)
        return probabilities(cfg.likelihood, out, n)

    # one program each, for one example: the same numbers whatever is coded beside it
    of_x = compiled(posterior)
    of_z = compiled(likelihood)

    def of_level(x):
        return of_x(params, x.astype(np.int32))

    def of_latent(z):
        return of_z(params, z)

    return Nets(of_level, of_latent, cfg.latent, n)
