"""Diffusion of tokens: masked (MD4, Shi et al. 2024, arXiv:2406.04329; MDLM, arXiv:2406.07524) or uniform-state.

    q(z_t | x) = alpha(t) 1[z = x] + (1 - alpha(t)) m(z),   m = the mask, or 1 / V for every token

The loss is a bound on -log p(x) in continuous time. Of masks it is a weighted cross-entropy (MD4, eq. 5):

    E_t [ -alpha'(t) / (1 - alpha(t)) sum over masked i of -log p(x_i | z_t) ]
        = sum_k 1/k, mean over sets S of k places, sum over i in S of -log p(x_i | x outside S)

so that it is the mean over all orders of writing a text, whatever alpha is. With the exact conditionals it is -log p(x)
itself. The pseudo-likelihood, sum_i -log p(x_i | all others), is no bound: it may lie below -log p(x), and mostly does.

Of uniform noise it compares jump rates (UDLM, Schiff et al. 2024, arXiv:2412.10193), beta = -alpha' / alpha:

    E_t [ beta / V sum_i sum over y != z_i of r_net(y) - r(y) + r(y) log (r(y) / r_net(y)) ]

with r(y) = q(y | x) / q(z_i | x), and of the net's law of x in its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

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
from genjax.diffusion import times
from genjax.draws import PLAIN, Sharpness, TokenGuidance, draw
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least
from genjax.fields import Tokens, need
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, Optimiser

LOG2 = 0.6931471805599453  # nats in a bit


@dataclasses.dataclass(frozen=True)
class EvenShare:
    """alpha(t) = 1 - t: the share of noise is the time."""

    def alpha(self, t: jax.Array) -> jax.Array:
        return 1.0 - t

    def speed(self, t: jax.Array) -> jax.Array:
        """-alpha'(t)."""
        return jnp.ones_like(t)


@dataclasses.dataclass(frozen=True)
class CosineShare:
    """alpha(t) = 1 - cos(pi (1 - t) / 2), of MD4: more time is spent where most is hidden."""

    def alpha(self, t: jax.Array) -> jax.Array:
        # 1 - cos(2 a) = 2 sin²(a), which late in time does not round to 0
        return 2.0 * jnp.sin(0.25 * jnp.pi * (1.0 - t)) ** 2

    def speed(self, t: jax.Array) -> jax.Array:
        """-alpha'(t)."""
        return 0.5 * jnp.pi * jnp.sin(0.5 * jnp.pi * (1.0 - t))


@dataclasses.dataclass(frozen=True)
class Masking:
    """What is forgotten is hidden: one number more than there are tokens stands for it."""

    timed = False  # what is hidden says how late it is

    def start(self, keys: jax.Array, length: int, vocabulary: int) -> jax.Array:
        """Everything hidden, [B, T]."""
        return jnp.full((len(keys), length), vocabulary, jnp.int32)

    def noised(self, key: jax.Array, x: jax.Array, alpha: jax.Array, size: int) -> jax.Array:
        """z [T] of one text x [T]."""
        # each place by itself, at the rate alpha: the bound sums over places
        kept = jax.random.uniform(key, x.shape) < alpha
        return jnp.where(kept, x, size)

    def bound(
        self, logits: jax.Array, z: jax.Array, x: jax.Array, alpha: jax.Array, speed: jax.Array
    ) -> jax.Array:
        """What the time t adds to the bound, nats [B]; logits [B, T, V], alpha and speed [B]."""
        # only what is hidden costs anything: the rest is seen
        hidden = z == logits.shape[-1]
        log_p = jax.nn.log_softmax(logits)
        cost = -jnp.take_along_axis(log_p, x[..., None], -1)[..., 0]
        # eq. 5: the weight has no limit as less is hidden, and the sum falls as fast in the mean
        return speed / (1.0 - alpha) * jnp.sum(cost * hidden, -1)

    def earlier(
        self, logits: jax.Array, z: jax.Array, after: jax.Array, before: jax.Array
    ) -> jax.Array:
        """Logits [B, T, V + 1] of z at an earlier time, alpha `before` > `after` (MD4, eq. 3)."""
        size = logits.shape[-1]
        # the chance that what is hidden at the later time is seen at the earlier one
        shown = (before - after) / (1.0 - after)
        token = jax.nn.log_softmax(logits) + jnp.log(shown)
        # -inf at the last step, after which nothing is hidden
        rest = jnp.log1p(-jnp.minimum(shown, 1.0))
        mask = jnp.broadcast_to(rest, (*z.shape, 1))
        law = jnp.concatenate([token, mask], -1)
        # what is shown stays as it is
        fixed = jnp.where(jax.nn.one_hot(z, size + 1) > 0, 0.0, -jnp.inf)
        return jnp.where((z == size)[..., None], law, fixed)


@dataclasses.dataclass(frozen=True)
class UniformState:
    """What is forgotten becomes any token, all equally likely: a token may be changed several times."""

    timed = True  # nothing in z says how late it is

    def start(self, keys: jax.Array, length: int, vocabulary: int) -> jax.Array:
        """Tokens that are equally likely, [B, T]."""
        logits = jnp.zeros((len(keys), length, vocabulary))
        return draw(keys, logits)

    def noised(self, key: jax.Array, x: jax.Array, alpha: jax.Array, size: int) -> jax.Array:
        """z [T] of one text x [T]."""
        # a token that is drawn anew may be the old one again
        keep, new = jax.random.split(key)
        kept = jax.random.uniform(keep, x.shape) < alpha
        other = jax.random.randint(new, x.shape, 0, size)
        return jnp.where(kept, x, other)

    def bound(
        self, logits: jax.Array, z: jax.Array, x: jax.Array, alpha: jax.Array, speed: jax.Array
    ) -> jax.Array:
        """What the time t adds to the bound, nats [B]; logits [B, T, V], alpha and speed [B]."""
        size = logits.shape[-1]
        share = alpha[:, None, None]
        noise = (1.0 - share) / size
        clean = jax.nn.one_hot(x, size)
        q = share * clean + noise  # the law of each token at this time
        r = q / _own(q, z)
        # r_net / r = 1 + d: the difference by itself, since late in time it is tiny and beta is large
        error = share * (jax.nn.softmax(logits) - clean) / q
        at_z = _own(error, z)
        d = (error - at_z) / (1.0 + at_z)
        # r_net - r + r log (r / r_net), 0 where y = z
        terms = r * (d - jnp.log1p(d))
        # beta / V of the equation above
        return speed / alpha / size * jnp.sum(terms, (1, 2))

    def earlier(
        self, logits: jax.Array, z: jax.Array, after: jax.Array, before: jax.Array
    ) -> jax.Array:
        """Logits [B, T, V] of z at an earlier time, alpha `before` > `after` (D3PM, arXiv:2107.03006, eq. 3)."""
        size = logits.shape[-1]
        ratio = after / before
        # q(z | the token at the earlier time), as a function of that token
        there = ratio * jax.nn.one_hot(z, size) + (1.0 - ratio) / size
        # of the token at the earlier time, whatever is there now
        law = before * jax.nn.softmax(logits) + (1.0 - before) / size
        # Bayes: the product of both, which need not sum to 1 to be drawn from
        return jnp.log(there) + jnp.log(law)


def _own(q: jax.Array, z: jax.Array) -> jax.Array:
    """q of the token that is there, [B, T, 1]."""
    return jnp.take_along_axis(q, z[..., None], -1)


@dataclasses.dataclass(frozen=True)
class MaskedDiffusion:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(Transformer(), "what says the text behind the noise")
    noise: Masking | UniformState = field(Masking(), "what tokens become")
    schedule: EvenShare | CosineShare = field(
        EvenShare(), "alpha(t), the share that is still there"
    )
    condition: tuple[Conditioner, ...] = field((), "what the net is told, e.g. (Label(),)")
    drop: float = field(
        0.0, "share of training examples whose condition is hidden, for guidance", added=True
    )
    guidance: TokenGuidance = field(
        TokenGuidance(), "of the condition against none, in sampling", execution=True
    )
    times: int = field(
        8, "times and orders that evaluation takes the mean over", execution=True
    )
    steps: int | None = field(
        None, "steps of sampling; None = a token a step, exact, of masks alone", execution=True
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
    z: jax.Array,
    t: jax.Array,
    cond: Cond | None,
    cfg: MaskedDiffusion,
    spec: Spec,
    keys: jax.Array | None = None,
) -> jax.Array:
    """Of every token of the text, [B, T, V]; z [B, T], t [B]; keys: the examples' own, for dropout, None = none."""
    variables = {"params": params["net"]}
    if keys is not None:  # a net without dropout does not look at them
        variables["dropout"] = {"keys": keys}
    # of masks the time is seen, and the best answer does not depend on it (MD4, sec. 3)
    clock = t if cfg.noise.timed else None
    return cfg.net.apply(variables, z, cond, spec.x.vocabulary, False, time=clock)


def bound(
    params: dict,
    key: jax.Array,
    u: jax.Array,
    batch: Batch,
    cfg: MaskedDiffusion,
    spec: Spec,
    shown: jax.Array | None = None,
    masks: jax.Array | None = None,
) -> jax.Array:
    """An unbiased estimate of the bound on -log p(x), nats [B], at times u [B] that are uniform in (0, 1).

    shown: see `conditions.told`. masks: keys [B] for dropout, or None.
    """
    x = batch[spec.main].astype(jnp.int32)
    alpha = cfg.schedule.alpha(u)
    # keys of examples: the noise of a text does not depend on its batch
    keys = example_keys(key, batch["index"])
    size = spec.x.vocabulary
    z = jax.vmap(lambda own, x, a: cfg.noise.noised(own, x, a, size))(keys, x, alpha)
    cond = told(cfg.condition, batch, spec, shown)
    said = logits(params, z, u, cond, cfg, spec, masks)
    return cfg.noise.bound(said, z, x, alpha, cfg.schedule.speed(u))


def _parts(nats: jax.Array, spec: Spec) -> Parts:
    text = nats / LOG2
    # of the whole length: unlike Causal's, nothing is left out behind an end
    return {"loss": text / spec.x.length, "text": text}


def loss(params: dict, key: jax.Array, batch: Batch, cfg: MaskedDiffusion, spec: Spec) -> Parts:
    """The bound in bits a token [B], and of the whole text, at one time for each example, evenly spread.

    The condition is hidden from a share `drop` of the examples.
    """
    level, noise = jax.random.split(key)
    u = times.strata(level, batch)
    shown = None
    if cfg.drop:
        # beside the two keys, which stay what they were
        hide = jax.random.fold_in(key, 2)
        shown = conditions.shown(hide, batch, cfg.drop)
    masks = example_keys(jax.random.fold_in(key, 3), batch["index"])
    return _parts(bound(params, noise, u, batch, cfg, spec, shown, masks), spec)


def evaluate(
    params: dict, key: jax.Array, batch: Batch, cfg: MaskedDiffusion, spec: Spec
) -> Parts:
    """As `loss`, the mean over `times` times, evenly spread for each example, and as many orders."""
    level, noise = jax.random.split(key)
    # without places: what an example is measured at depends on its index alone
    first = times.strata(level, times.unplaced(batch))

    def add(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        # 1 / times apart, around the circle: each is uniform still, and their mean less noisy
        u = jnp.mod(first + i / cfg.times, 1.0)
        # at time 0 nothing is hidden, and the weight of that is infinite
        u = jnp.clip(u, times.EDGE, 1.0 - times.EDGE)
        own = jax.random.fold_in(noise, i)
        return total + bound(params, own, u, batch, cfg, spec), None

    # one after the other: no more memory than one time takes
    total, _ = jax.lax.scan(add, jnp.zeros(len(first)), jnp.arange(cfg.times))
    return _parts(total / cfg.times, spec)


def sample(
    params: dict,
    key: jax.Array,
    given: Batch,
    cfg: MaskedDiffusion,
    spec: Spec,
    known: jax.Array | None = None,
) -> jax.Array:
    """Texts int32 [B, T], number i a function of (key, given["index"][i]).

    known: int [B, T], tokens that are there already and -1 elsewhere; the rest is filled in given them. Of masks alone,
    whose conditionals are of just this kind; UserError for uniform noise.
    """
    if known is not None and cfg.noise.timed:
        raise UserError(
            "infilling needs a net that has learned from masks: use --algorithm.noise='Masking()'."
        )
    keys = example_keys(key, given["index"])
    # what the net is told and, where that guides, what its weak side is told
    conds = [told(cfg.condition, given, spec)]
    if not cfg.guidance.plain:
        conds.append(blank(cfg.condition, given, spec))
    # a stream of its own for the beginning
    begin = jax.vmap(jax.random.fold_in, (0, None))(keys, 2**31)
    z = cfg.noise.start(begin, spec.x.length, spec.x.vocabulary)
    if known is not None:
        # what is shown stays as it is to the end, in both samplers
        z = jnp.where(known >= 0, known, z)

    def guided(z: jax.Array, t: jax.Array) -> jax.Array:
        laws = [logits(params, z, t, cond, cfg, spec) for cond in conds]
        return cfg.guidance(*laws)

    way = _ancestral if cfg.steps else _one_by_one
    return way(keys, z, guided, cfg, spec)


Law = Callable[[jax.Array, jax.Array], jax.Array]  # (z [B, T], t [B]) -> logits [B, T, V]


def _each(keys: jax.Array, i: jax.Array | int) -> jax.Array:
    """Keys of step i, [B]."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, i)


def _ancestral(
    keys: jax.Array, z: jax.Array, law: Law, cfg: MaskedDiffusion, spec: Spec
) -> jax.Array:
    """Even steps in time. Tokens that change in one step are drawn each by itself: no longer the model's law."""

    def back(z: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        # from t = 1, all noise, down to s = 0 in the last step
        t, s = 1.0 - i / cfg.steps, 1.0 - (i + 1) / cfg.steps
        said = law(z, jnp.full(len(keys), t))
        # the law of the tokens is guided and sharpened; when each is shown is not
        said = cfg.sharpness(said)
        before = cfg.schedule.alpha(s)
        earlier = cfg.noise.earlier(said, z, cfg.schedule.alpha(t), before)
        return draw(_each(keys, i), earlier), None

    z, _ = jax.lax.scan(back, z, jnp.arange(cfg.steps))
    return z


def _one_by_one(
    keys: jax.Array, z: jax.Array, law: Law, cfg: MaskedDiffusion, spec: Spec
) -> jax.Array:
    """What infinitely many steps draw, by as many calls of the net as there are tokens (arXiv:2409.02908, prop. 4.1).

    All orders of showing the hidden tokens are equally likely whatever alpha is, and the net is not told the time.
    """
    mask = spec.x.vocabulary

    def show(z: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        own = jax.vmap(jax.random.split)(_each(keys, i))
        hidden = z == mask
        # the place that is shown next: any hidden one
        place = draw(own[:, 0], jnp.where(hidden, 0.0, -jnp.inf))
        said = law(z, jnp.ones(len(keys)))
        here = jnp.take_along_axis(said, place[:, None, None], 1)[:, 0]  # [B, V]
        token = draw(own[:, 1], here, cfg.sharpness)
        chosen = jnp.arange(z.shape[1]) == place[:, None]
        # of a text that is complete, no place is hidden and nothing changes
        return jnp.where(chosen & hidden, token[:, None], z), None

    z, _ = jax.lax.scan(show, z, jnp.arange(z.shape[1]))
    return z


def check(cfg: MaskedDiffusion, spec: Spec) -> None:
    """Raises UserError for what cannot be trained or sampled."""
    need("MaskedDiffusion", spec.main, spec.x, Tokens)
    at_least(1, algorithm__times=cfg.times)
    if cfg.steps is not None:
        at_least(1, algorithm__steps=cfg.steps)
    elif cfg.noise.timed:
        raise UserError(
            "--algorithm.steps=None needs masks: tokens that change several times have no order; use 64, for example."
        )
    conditions.check(cfg.condition, spec)
    conditions.check_guidance(cfg.condition, cfg.drop, cfg.guidance)
    cfg.sharpness.check(spec.x.vocabulary)


def algorithm(cfg: MaskedDiffusion, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init_params(key: jax.Array, batch: Batch) -> dict:
        cond = told(cfg.condition, batch, spec)
        x = batch[spec.main].astype(jnp.int32)
        # as in training: a layer that is not used here would have no weights there
        time = jnp.ones(len(x)) if cfg.noise.timed else None
        variables = cfg.net.init(key, x, cond, spec.x.vocabulary, False, time=time)
        return {"net": variables["params"]}

    init, step = single(
        init_params,
        lambda params, key, batch, step: loss(params, key, batch, cfg, spec),
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    def evaluation(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), key, batch, cfg, spec)

    return Algorithm(
        init,
        step,
        evaluation,
        lambda key, state, given: sample(averaged(state), key, given, cfg, spec),
        asks=conditions.asks(cfg.condition),
        criterion=LOSS,
    )
