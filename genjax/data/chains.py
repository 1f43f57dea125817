"""Sequences of known entropy: a Markov chain, and a hidden Markov model, with the exact law of everything about them.

    p(s) = start[s_1] prod_t move[s_(t-1), s_t],   p(x | s) = prod_t emit[s_t, x_t]        (Rabiner 1989, sec. II)

A chain is a hidden model that shows its states. What is not known is summed out, so one forward and one backward pass
give the likelihood of a sequence and the law of each place given the others (sec. III A).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from genjax.config import field
from genjax.data.source import Source, hold_out
from genjax.errors import above, at_least
from genjax.fields import Tokens

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Law(NamedTuple):
    """A hidden Markov model of S states and V tokens."""

    start: np.ndarray  # [S], stationary
    move: np.ndarray  # [S, S], rows sum to 1
    emit: np.ndarray  # [S, V], rows sum to 1


def stationary(move: np.ndarray) -> np.ndarray:
    """pi = pi move, [S]: the eigenvector of eigenvalue 1, of the move matrix's transpose."""
    values, vectors = np.linalg.eig(move.T)
    pi = np.real(vectors[:, np.argmax(np.real(values))])
    return pi / pi.sum()


def entropy_rate(law: Law) -> float:
    """Of the states, in bits a step: - sum_i pi_i sum_j move_ij log2 move_ij (Shannon 1948, sec. 7)."""
    rows = entropy(law.move)
    return float(law.start @ rows)


def entropy(p: np.ndarray) -> np.ndarray:
    """Bits of laws in the last axis; 0 log 0 is 0."""
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return -(p * logs).sum(-1)


def draw(law: Law, rng: np.random.Generator, n: int, length: int) -> np.ndarray:
    """n sequences, int32 [n, length], started in the stationary law."""
    x = np.zeros((n, length), np.int32)
    state = _drawn(np.broadcast_to(law.start, (n, len(law.start))), rng)
    for t in range(length):
        if t:
            state = _drawn(law.move[state], rng)
        x[:, t] = _drawn(law.emit[state], rng)
    return x


def _drawn(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number for each law [n, K], int64 [n], by the inverse of its distribution function."""
    u = rng.random((len(p), 1))
    below = u > np.cumsum(p, -1)
    # rounding may leave the sum a little below 1
    return np.minimum(below.sum(-1), p.shape[-1] - 1)


class Passes(NamedTuple):
    """What the known places before and after each place say of its state."""

    before: np.ndarray  # [N, T, S], p(s_t | known x before t)
    after: np.ndarray  # [N, T, S], p(known x after t | s_t), scaled
    log_p: np.ndarray  # [N], nats, of all that is known


def passes(law: Law, x: np.ndarray, known: np.ndarray | None = None) -> Passes:
    """The forward and the backward pass over x [N, T]; known: bool [N, T], None = all places."""
    n, length = x.shape
    # what each place says of its state: nothing where it is not known
    seen = np.moveaxis(law.emit[:, x], 0, -1)  # [N, T, S]
    if known is not None:
        seen = np.where(known[..., None], seen, 1.0)
    before = np.empty((n, length, len(law.start)))
    after = np.ones_like(before)
    log_p = np.zeros(n)
    ahead = np.broadcast_to(law.start, before[:, 0].shape)
    for t in range(length):
        before[:, t] = ahead
        joint = ahead * seen[:, t]
        scale = joint.sum(-1, keepdims=True)
        log_p += np.log(scale[:, 0])
        ahead = joint / scale @ law.move
    for t in range(length - 2, -1, -1):
        behind = (seen[:, t + 1] * after[:, t + 1]) @ law.move.T
        # any scale will do, and this one does not vanish
        after[:, t] = behind / behind.max(-1, keepdims=True)
    return Passes(before, after, log_p)


def log_likelihood(law: Law, x: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """log p(known places of x), nats [N]; x int [N, T]."""
    return passes(law, x, known).log_p


def conditional(law: Law, x: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """p(x_t = v | the known places other than t), [N, T, V]: of masked places what an infilling should say."""
    found = passes(law, x, known)
    state = found.before * found.after
    state = state / state.sum(-1, keepdims=True)
    return state @ law.emit


def law_of_rows(rng: np.random.Generator, rows: int, columns: int, spread: float) -> np.ndarray:
    """`rows` laws of `columns` things, from a Dirichlet: small `spread` makes a few of them likely."""
    p = rng.dirichlet(np.full(columns, spread), rows)
    # nothing is impossible, so that every logarithm is finite
    p = p + 1e-3 / columns
    return p / p.sum(-1, keepdims=True)


def _source(name: str, law: Law, cfg: Chain | HiddenChain) -> Source:
    at_least(1, data__train=cfg.train, data__test=cfg.test, data__length=cfg.length)
    splits = {}
    # a stream of its own for each split: the size of one leaves the other as it is
    for stream, (split, n) in enumerate({"train": cfg.train, "test": cfg.test}.items()):
        rng = np.random.Generator(np.random.Philox(key=[cfg.seed, stream]))
        splits[split] = {"tokens": draw(law, rng, n, cfg.length)}
    train, valid = hold_out(splits["train"], cfg.valid)
    vocabulary = law.emit.shape[1]
    letters = LETTERS[:vocabulary] if vocabulary <= len(LETTERS) else ""
    fields = {"tokens": Tokens(cfg.length, vocabulary, letters)}
    return Source(name, fields, train, valid, splits["test"])


@dataclasses.dataclass(frozen=True)
class Chain:
    """Sequences of a Markov chain: p(x) is exact, and so are its entropy and every conditional."""

    vocabulary: int = field(12, "tokens, which are the states")
    length: int = field(32, "tokens of a sequence")
    spread: float = field(
        0.3, "of the Dirichlet law that rows are drawn from; small = few likely"
    )
    train: int = field(50_000, "training sequences")
    valid: int = field(0, "sequences held out from the tail of the training sequences")
    test: int = field(2000, "test sequences")
    seed: int = field(0, "seed of the chain and its sequences, independent of the run's seed")

    def law(self) -> Law:
        """The chain: a function of the seed, the vocabulary and the spread."""
        at_least(2, data__vocabulary=self.vocabulary)
        above(0, data__spread=self.spread)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 7]))
        move = law_of_rows(rng, self.vocabulary, self.vocabulary, self.spread)
        return Law(stationary(move), move, np.eye(self.vocabulary))

    def bits(self) -> float:
        """The entropy of a sequence in bits a token: (H(pi) + (T - 1) h) / T."""
        law = self.law()
        first = float(entropy(law.start))
        return (first + (self.length - 1) * entropy_rate(law)) / self.length

    def load(self) -> Source:
        """Draws the sequences: {"tokens": int32 [N, T]}; UserError for sizes below 1."""
        return _source("chain", self.law(), self)


@dataclasses.dataclass(frozen=True)
class HiddenChain:
    """Sequences of a hidden Markov model, whose tokens depend on all before them; p(x) is exact."""

    states: int = field(6, "hidden states")
    vocabulary: int = field(8, "tokens")
    length: int = field(32, "tokens of a sequence")
    spread: float = field(0.3, "of the Dirichlet laws of moves and tokens; small = few likely")
    train: int = field(50_000, "training sequences")
    valid: int = field(0, "sequences held out from the tail of the training sequences")
    test: int = field(2000, "test sequences")
    seed: int = field(0, "seed of the model and its sequences, independent of the run's seed")

    def law(self) -> Law:
        """The model: a function of the seed, the sizes and the spread."""
        at_least(2, data__states=self.states, data__vocabulary=self.vocabulary)
        above(0, data__spread=self.spread)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 7]))
        move = law_of_rows(rng, self.states, self.states, self.spread)
        emit = law_of_rows(rng, self.states, self.vocabulary, self.spread)
        return Law(stationary(move), move, emit)

    def load(self) -> Source:
        """Draws the sequences: {"tokens": int32 [N, T]}; UserError for sizes below 1."""
        return _source("hidden chain", self.law(), self)
