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
from genjax.conditions import Cond, Conditioner, blank, told
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
from genjax.draws import PLAIN, Sharpness, TokenGuidance, draw
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
    drop: float = field(
        0.0, "share of training examples whose condition is hidden, for guidance", added=True
    )
    guidance: TokenGuidance = field(
        TokenGuidance(), "of the condition against none, in sampling", execution=True
    )
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
    params: dict,
    batch: Batch,
    cfg: Causal,
    spec: Spec,
    shown: jax.Array | None = None,
    keys: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(what each token costs in bits [B, T], whether it is counted [B, T]); `shown`: see `conditions.told`."""
    # whatever type the data have: in uint8 the beginning, number 256 of bytes, would be 0
    x = batch[spec.main].astype(jnp.int32)
    cond = told(cfg.condition, batch, spec, shown)
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
    params: dict,
    batch: Batch,
    cfg: Causal,
    spec: Spec,
    shown: jax.Array | None = None,
    keys: jax.Array | None = None,
) -> Parts:
    """Bits a token [B]; "text" is the bits of the whole text [B]. shown: see `conditions.told`; keys: see `logits`."""
    cost, inside = bits(params, batch, cfg, spec, shown, keys)
    # behind the end nothing is left to say, so nothing is paid
    text = jnp.sum(cost * inside, -1)
    return {"loss": text / jnp.sum(inside, -1), "text": text}


def trained(params: dict, key: jax.Array, batch: Batch, cfg: Causal, spec: Spec) -> Parts:
    """As `loss`, with the condition hidden from a share `drop` of the examples, and what the net's dropout hides.

    Without either nothing is drawn, since the likelihood is exact.
    """
    shown = conditions.shown(key, batch, cfg.drop) if cfg.drop else None
    # a purpose of its own: which condition is hidden has nothing to do with what is dropped
    keys = example_keys(jax.random.fold_in(key, 1), batch["index"])
    return loss(params, batch, cfg, spec, shown, keys)


def sample(params: dict, key: jax.Array, given: Batch, cfg: Causal, spec: Spec) -> jax.Array:
    """Texts int32 [B, T], number i a function of (key, given["index"][i]); behind an end are ends alone."""
    keys = example_keys(key, given["index"])
    examples = len(keys)
    # what the net is told and, where that guides, what its weak side is told
    conds = [told(cfg.condition, given, spec)]
    if not cfg.guidance.plain:
        conds.append(blank(cfg.condition, given, spec))
    size = spec.x.vocabulary
    variables = {"params": params["net"]}

    def write(carried: tuple, at: jax.Array) -> tuple[tuple, jax.Array]:
        last, caches = carried
        laws, after = [], []
        for cond, cache in zip(conds, caches, strict=True):
            said, cache = cfg.net.apply(
                variables, last[:, None], cond, size, True, cache=cache, at=at
            )
            laws.append(said[:, 0])
            after.append(cache)
        # noise of the example and the place: a text does not depend on its batch
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, at)
        token = draw(own, cfg.guidance(*laws), cfg.sharpness)
        if cfg.end is not None:
            # an end is final: training counts nothing behind it, so that the net knows no law there
            token = jnp.where(last == cfg.end, cfg.end, token)
        return (token, after), token

    # the number behind the tokens begins a text
    begin = jnp.full(examples, size, jnp.int32)
    # as long as a text from the start: a scan needs shapes that do not change
    empty = [cfg.net.empty(examples, spec.x.length) for _ in conds]
    _, tokens = jax.lax.scan(write, (begin, empty), jnp.arange(spec.x.length))
    return tokens.T  # [B, T]


def check(cfg: Causal, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    need("Causal", spec.main, spec.x, Tokens)
    conditions.check(cfg.condition, spec)
    conditions.check_guidance(cfg.condition, cfg.drop, cfg.guidance)
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
        lambda params, key, batch, step: trained(params, key, batch, cfg, spec),
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
