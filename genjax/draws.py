"""How a token is drawn from logits: the one place where anything in genjax does so.

    p_i ~ exp(logits_i / temperature), of the `top_k` likeliest, of those that make up `top_p` together

`jax.random.categorical` draws with uniforms of 23 bits unless told otherwise: a token of probability 1e-8 is then never
drawn, or much too often. Here it is told otherwise. Top-k is of Fan et al. 2018 (arXiv:1805.04833), top-p, the
nucleus, of Holtzman et al. 2020 (arXiv:1904.09751, sec. 3.1).
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.errors import UserError, above, at_least, at_most


@dataclasses.dataclass(frozen=True)
class Sharpness:
    """How samples are made likelier, and less various, than the model has them; the defaults change nothing."""

    temperature: float = field(
        1.0, "what logits are divided by; 0 = the likeliest token always"
    )
    top_k: int = field(0, "only the k likeliest tokens are drawn; 0 = all")
    top_p: float = field(1.0, "only the fewest tokens that have this probability together")

    def check(self, vocabulary: int) -> None:
        """Raises UserError for what leaves no token, or more than there are."""
        where = "--algorithm.sharpness."
        at_least(0, where, temperature=self.temperature, top_k=self.top_k)
        above(0, where, top_p=self.top_p)
        at_most(1, where, top_p=self.top_p)
        if self.top_k > vocabulary:
            raise UserError(
                f"--algorithm.sharpness.top_k={self.top_k}: there are {vocabulary} tokens: use at most as many, or 0."
            )

    @property
    def plain(self) -> bool:
        """Whether the model's own law is drawn from."""
        return self.temperature == 1.0 and not self.top_k and self.top_p == 1.0

    def __call__(self, logits: jax.Array) -> jax.Array:
        """Logits [..., V] of the law that is drawn from; -inf of tokens that are never drawn."""
        # half precision would make ties of what is nearly as likely
        logits = logits.astype(jnp.float32)
        # 0 is a limit, not a divisor: it is dealt with below
        if self.temperature not in (0.0, 1.0):
            logits = logits / self.temperature
        # one token is left of temperature 0, as of top_k = 1
        most = 1 if self.temperature == 0.0 else self.top_k
        if most:
            logits = _likeliest(logits, most)
        # of what top_k has left, whose probabilities sum to 1 again
        if self.top_p < 1.0:
            logits = _nucleus(logits, self.top_p)
        return logits


PLAIN = Sharpness()


@dataclasses.dataclass(frozen=True)
class TokenGuidance:
    """p ~ p_main^scale p_weak^(1 - scale), normalised for each token by itself; 1 = none.

    Classifier-free guidance (arXiv:2207.12598; its w is scale - 1) of logits: the weak model is the same one with its
    condition hidden. Of one token this is the power law itself; of a text drawn token by token it is another law than
    p(x | c)^scale p(x)^(1 - scale), whose conditionals look ahead.
    """

    scale: float = field(1.0, "1 = none")

    def __post_init__(self):
        if not math.isfinite(self.scale):
            raise ValueError(f"guidance has a finite scale, got {self.scale}")

    @property
    def plain(self) -> bool:
        """Whether nothing is guided, so that the weak model is not asked at all."""
        return self.scale == 1.0

    def __call__(self, main: jax.Array, weak: jax.Array | None = None) -> jax.Array:
        """Logits [..., V] of the guided law; without a weak model those of the main one, to the bit."""
        if weak is None:
            return main
        # constants of a token's logits are of no matter: this only keeps numbers small
        strong = jax.nn.log_softmax(main)
        base = jax.nn.log_softmax(weak)
        return strong + (self.scale - 1.0) * (strong - base)


def draw(keys: jax.Array, logits: jax.Array, sharpness: Sharpness = PLAIN) -> jax.Array:
    """A token for each example, int32 [B, ...], from logits [B, ..., V]; keys [B], the examples' own."""
    law = sharpness(logits)

    def one(key: jax.Array, own: jax.Array) -> jax.Array:
        # "high": uniforms fine enough for tails of 1e-8
        return jax.random.categorical(key, own, mode="high")

    return jax.vmap(one)(keys, law).astype(jnp.int32)


def _likeliest(logits: jax.Array, most: int) -> jax.Array:
    """-inf for all but `most` tokens; of equal ones the first are kept."""
    kept = _rank(logits) < most
    return jnp.where(kept, logits, -jnp.inf)


def _nucleus(logits: jax.Array, share: float) -> jax.Array:
    """-inf for all but the fewest tokens with a probability of `share` together."""
    p = jax.nn.softmax(logits)
    falling = -jnp.sort(-p, -1)
    before = jnp.cumsum(falling, -1) - falling  # of all likelier tokens
    # the token that crosses the border is inside, so one is always left
    inside = (before < share).sum(-1, keepdims=True)
    return jnp.where(_rank(logits) < inside, logits, -jnp.inf)


def _rank(logits: jax.Array) -> jax.Array:
    """How many tokens are likelier than each, [..., V]."""
    order = jnp.argsort(-logits, -1)  # stable: of equal ones the first comes first
    # the inverse of the order: at each token, its rank
    return jnp.argsort(order, -1)
