"""A causal model of tokens: each is drawn given those before it, so that the likelihood of a text is exact.

    log p(x) = sum_t log p(x_t | x_1 … x_(t-1))

The net is a transformer (arXiv:1706.03762); in sampling it keeps the keys and values of what is written already.
"""

from __future__ import annotations

import dataclasses

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
    single,
)
from genjax.draws import PLAIN, Sharpness, draw
from genjax.ema import Decay, Power
from genjax.errors import UserError
from genjax.fields import Tokens, need
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, Optimiser

LOG2 = 0.6931471805599453  # nats in a bit


@dataclasses.dataclass(frozen=True)
class Causal:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(Transformer(), "what says the next token")
    end: int | None = field(
        None, "the token that ends a text: what is behind it is not counted; None = all is"
    )
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    sharpness: Sharpness = field(PLAIN, "how samples are drawn", execution=True)
    optimiser: Optimiser = field(Adam(1e-3), "of the net")
    ema: Decay | Power = field(
        Decay(0.99), "average of the weights that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def logits(
    params: dict,
    x: jax.Array,
    cond: Cond | None,
    cfg: Causal,
    spec: Spec,
    keys: jax.Array | None = None,
) -> jax.Array:
    """Of every token given those before it, [B, T, V]; x [B, T]; keys: the examples' own, for dropout, None = none."""
    # the text moves one place on: its first token is told from the beginning alone
    begin = jnp.full_like(x[:, :1], spec.x.vocabulary)
    before = jnp.concatenate([begin, x[:, :-1]], 1)  # the last token is seen by nobody
    variables = {"params": params["net"]}
    if keys is not None:  # a net without dropout does not look at them
        variables["dropout"] = {"keys": keys}
    return cfg.net.apply(variables, before, cond, spec.x.vocabulary, True)


def bits(
    params: dict, batch: Batch, cfg: Causal, spec: Spec, keys: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """(what each token costs in bits [B, T], whether it is counted [B, T])."""
    # whatever type the data have: in uint8 the beginning, number 256 of bytes, would be 0
    x = batch[spec.main].astype(jnp.int32)
    cond = told(cfg.condition, batch, spec)
    log_p = jax.nn.log_softmax(logits(params, x, cond, cfg, spec, keys))
    own = jnp.take_along_axis(log_p, x[..., None], -1)[..., 0]  # [B, T]
    return -own / LOG2, counted(x, cfg.end)


def counted(x: jax.Array, end: int | None) -> jax.Array:
    """Whether a token belongs to its text, [B, T]: all up to the first end, that one included."""
    if end is None:
        return jnp.ones(x.shape, bool)
    # ends before a token, its own not among them
    ends = jnp.cumsum(x == end, -1)
    before = ends - (x == end)
    return before == 0


def loss(
    params: dict, batch: Batch, cfg: Causal, spec: Spec, keys: jax.Array | None = None
) -> Parts:
    """Bits a token [B]; "text" is the bits of the whole text [B]. keys: as in `logits`."""
    cost, inside = bits(params, batch, cfg, spec, keys)
    # behind the end nothing is left to say, so nothing is paid
    text = jnp.sum(cost * inside, -1)
    return {"loss": text / jnp.sum(inside, -1), "text": text}


def sample(params: dict, key: jax.Array, given: Batch, cfg: Causal, spec: Spec) -> jax.Array:
    """Texts int32 [B, T], number i a function of (key, given["index"][i]); behind an end are ends alone."""
    keys = example_keys(key, given["index"])
    examples = len(keys)
    cond = told(cfg.condition, given, spec)
    size = spec.x.vocabulary
    variables = {"params": params["net"]}

    def write(carried: tuple, at: jax.Array) -> tuple[tuple, jax.Array]:
        last, cache = carried
        said, cache = cfg.net.apply(
            variables, last[:, None], cond, size, True, cache=cache, at=at
        )
        # noise of the example and the place: a text does not depend on its batch
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, at)
        token = draw(own, said[:, 0], cfg.sharpness)
        if cfg.end is not None:
            # an end is final: training counts nothing behind it, so that the net knows no law there
            token = jnp.where(last == cfg.end, cfg.end, token)
        return (token, cache), token

    # the number behind the tokens begins a text
    begin = jnp.full(examples, size, jnp.int32)
    # as long as a text from the start: a scan needs shapes that do not change
    start = begin, cfg.net.empty(examples, spec.x.length)
    _, tokens = jax.lax.scan(write, start, jnp.arange(spec.x.length))
    return tokens.T  # [B, T]


def check(cfg: Causal, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    need("Causal", spec.main, spec.x, Tokens)
    conditions.check(cfg.condition, spec)
    cfg.sharpness.check(spec.x.vocabulary)
    last = spec.x.vocabulary - 1
    if cfg.end is not None and not 0 <= cfg.end <= last:
        raise UserError(
            f"--algorithm.end={cfg.end} is no token of the data, whose tokens are 0 to {last}."
        )


def algorithm(cfg: Causal, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key: jax.Array, batch: Batch) -> dict:
        cond = told(cfg.condition, batch, spec)
        x = batch[spec.main].astype(jnp.int32)
        # of the batch only the shapes matter here
        variables = cfg.net.init(key, x, cond, spec.x.vocabulary, True)
        return {"net": variables["params"]}

    init, step = single(
        init_params,
        # the likelihood is exact: what is drawn is what dropout hides
        lambda params, key, batch, step: loss(
            params, batch, cfg, spec, example_keys(key, batch["index"])
        ),
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    def evaluation(key: jax.Array, state: State, batch: Batch) -> Parts:
        # whatever the key: one look at a text says all
        return loss(averaged(state), batch, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluation,
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        asks=conditions.asks(cfg.condition),
        criterion=LOSS,
    )
