"""Restoration: from damaged examples to what they were, the denoising autoencoder without a narrow z (Vincent 2008).

The best restorer in squared error is the mean of all clean examples that could lie behind what is seen, E[x | y]. For
y = x + sigma eps that is a score (Tweedie's formula, Robbins 1956; Efron 2011):

    E[x | y] = y + sigma² grad log p(y)                                                                        (1)

so a denoiser is a model of the data, and it can be checked where p is known. Three teachers give it a target:

* `Clean`: the example itself.
* `Second`: another damage of the same example, of mean x (Noise2Noise, Lehtinen et al. 2018, arXiv:1803.04189): the
  mean of noisy targets is the clean one.
* `BlindSpot`: the damaged picture itself, where the net does not see it (Noise2Void, Krull et al. 2019,
  arXiv:1811.10980): noise that is independent from pixel to pixel cannot be guessed from the neighbours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond
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
from genjax.corruptions import Corruption, Damaged, Gaussian, damaged
from genjax.ema import Decay
from genjax.errors import UserError, above, at_least
from genjax.fields import REAL, Image, need
from genjax.nets.plain import PlainUNet
from genjax.optim import Adam, Optimiser
from genjax.pictures.draw import grid

LEAST = 1e-10  # the least squared error that is told in decibels: 100 dB
SIGHT = 0x51647  # the purpose of the keys of damage that stays the same at every sight


class Lesson(NamedTuple):
    """What a teacher makes of an example: the net's input, what it should say, and where that counts."""

    x: jax.Array  # [B, ...]
    target: jax.Array  # [B, ...]
    weight: jax.Array | float  # [B, H, W, 1], of mean 1 over an example; 1 = everywhere


Redraw = Callable[[], jax.Array]  # another damage of the same examples, [B, ...]


def _check_mean(teacher: str, corruptions: Sequence[Corruption]) -> None:
    """Raises UserError for damage that moves the mean: what is learned from it would be the damaged mean."""
    for corruption in corruptions:
        if not getattr(corruption, "unbiased", False):
            name = type(corruption).__name__
            raise UserError(
                f"{teacher} learns from damage whose mean is the example, as Gaussian() and Poisson(), and {name}() is "
                "none: use --algorithm.teacher='Clean()'."
            )


@dataclasses.dataclass(frozen=True)
class Clean:
    """The examples as they were."""

    def check(self, x: Any, corruptions: Sequence[Corruption]) -> None:
        """Every kind of data has them, whatever the damage."""

    def __call__(
        self, keys: jax.Array, seen: jax.Array, clean: jax.Array, redraw: Redraw
    ) -> Lesson:
        return Lesson(seen, clean, 1.0)


@dataclasses.dataclass(frozen=True)
class Second:
    """Another damage of the same example: for damage whose mean is the example, as unclipped noise."""

    def check(self, x: Any, corruptions: Sequence[Corruption]) -> None:
        """Raises UserError for damage whose mean is not the example."""
        _check_mean("Second()", corruptions)

    def __call__(
        self, keys: jax.Array, seen: jax.Array, clean: jax.Array, redraw: Redraw
    ) -> Lesson:
        return Lesson(seen, redraw(), 1.0)


@dataclasses.dataclass(frozen=True)
class BlindSpot:
    """The damaged picture at a share of its pixels, of which the net sees a neighbour in their place."""

    share: float = field(0.02, "of the pixels that are hidden at a sight")
    reach: int = field(2, "greatest distance of the neighbour, rows and columns [pixels]")

    def check(self, x: Any, corruptions: Sequence[Corruption]) -> None:
        """Raises UserError for what has no pixels, no hidden pixel, and damage whose mean is not the example."""
        _check_mean("BlindSpot()", corruptions)
        need("BlindSpot()", "modelled", x, Image)
        if not 0 < self.share < 1 or self.reach < 1:
            raise UserError(
                f"BlindSpot(share={self.share:g}, reach={self.reach}) hides nothing, or all: use a share between 0 and "
                "1, and a reach of at least 1."
            )
        least = 2 * self.reach + 1  # else a step turned round would leave the picture too
        if min(x.shape[:2]) < least:
            raise UserError(
                f"BlindSpot(reach={self.reach}) needs pictures of {least} pixels a side, got {x.shape}: lower it."
            )

    def __call__(
        self, keys: jax.Array, seen: jax.Array, clean: jax.Array, redraw: Redraw
    ) -> Lesson:
        swapped, hidden = jax.vmap(self._swap)(keys, seen)
        return Lesson(swapped, seen, hidden / self.share)

    def _swap(self, key: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One picture [H, W, C] with hidden pixels replaced, and where: [H, W, 1], 1 = hidden."""
        h, w, _ = x.shape
        where_key, step_key = jax.random.split(key)
        hidden = jax.random.bernoulli(where_key, self.share, (h, w, 1))
        # 1 to (2 reach + 1)² - 1: every neighbour but the pixel itself, which is 0
        side = 2 * self.reach + 1
        neighbour = jax.random.randint(step_key, (h, w), 1, side * side)
        middle = side * side // 2
        place = (neighbour + middle) % (side * side)
        down = place // side - self.reach
        across = place % side - self.reach
        row = jnp.arange(h)[:, None]
        column = jnp.arange(w)[None, :]
        others = x[row + _inward(row, down, h), column + _inward(column, across, w)]
        return jnp.where(hidden, others, x), hidden.astype(x.dtype)


def _inward(at: jax.Array, step: jax.Array, n: int) -> jax.Array:
    """A step from each place within 0 ... n - 1, turned round where it would leave them."""
    there = at + step
    outside = (there < 0) | (there >= n)
    return jnp.where(outside, -step, step)


Teacher = Clean | Second | BlindSpot


@dataclasses.dataclass(frozen=True)
class Squared:
    """Squares of the error: the best answer is the mean of what could be."""

    def __call__(self, error: jax.Array) -> jax.Array:
        return jnp.square(error)


@dataclasses.dataclass(frozen=True)
class Absolute:
    """Absolute errors: the best answer is the median, sharper at edges."""

    def __call__(self, error: jax.Array) -> jax.Array:
        return jnp.abs(error)


@dataclasses.dataclass(frozen=True)
class Restoration:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    corruption: tuple[Corruption, ...] = field((Gaussian(),), "the damage, one after the other")
    net: nn.Module = field(PlainUNet(), "net(x, levels, told, shape) -> what is wrong with x")
    blind: bool = field(False, "the net is told neither how much was done nor where")
    teacher: Teacher = field(Clean(), "what the net is told to say")
    once: bool = field(
        False, "the same damage of an example at every sight, as of a set that was damaged once"
    )
    error: Squared | Absolute = field(Squared(), "what training minimises")
    optimiser: Optimiser = field(Adam(), "of the net")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")
    keep: bool = field(
        False, "pixels that are told to be as they were stay so: of holes and marks", added=True
    )
    amount: bool = field(
        True, "a net that is not blind is told how much was done, not only where", added=True
    )
    where: float = field(
        0.0,
        "weight of the cross-entropy [nats] of where the damage is, of a net that finds it, as Unveil",
        added=True,
    )
    rare: float = field(
        1.0,
        "weight of a damaged pixel against one that is not, in the error and in `where`: more, and less is left "
        "alone that may be damage",
        added=True,
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def damage(key: jax.Array, batch: Batch, cfg: Restoration, spec: Spec) -> Damaged:
    """The batch as the net gets it, in unit values, from the examples' keys."""
    keys = example_keys(key, batch["index"])
    return damaged(cfg.corruption, keys, spec.unit(batch))


def asked(seen: Damaged, cfg: Restoration, spec: Spec) -> tuple[Any, ...]:
    """What the net is called with, (x, levels, condition or None, shape): of a blind one less is told."""
    x = spec.x.encode(seen.x)  # pictures about 0, of range 2
    levels = seen.level
    known = seen.known
    if cfg.blind:
        levels = jnp.zeros_like(levels)
        known = None
    elif not cfg.amount:
        levels = jnp.ones_like(levels)
    told = None if known is None else Cond(maps=2.0 * known - 1.0)
    return x, levels, told, spec.shape


def restore(params: dict, seen: Damaged, cfg: Restoration, spec: Spec) -> jax.Array:
    """What is left [B, ...] -> what it was, in unit values: the net says what is to be taken away."""
    question = asked(seen, cfg, spec)
    wrong = cfg.net.apply({"params": params["net"]}, *question)
    return _kept(spec.decode(question[0] - wrong), seen, cfg)


def _kept(restored: jax.Array, seen: Damaged, cfg: Restoration) -> jax.Array:
    """With the pixels as they were that are told to be so, if these are to stay."""
    if not cfg.keep:
        return restored
    return seen.known * seen.x + (1.0 - seen.known) * restored


def found(
    params: dict, seen: Damaged, cfg: Restoration, spec: Spec
) -> tuple[jax.Array, jax.Array]:
    """(what `restore` gives; the weighted cross-entropy of where the net finds the damage [nats], [B])."""
    question = asked(seen, cfg, spec)
    both = type(cfg.net).found
    wrong, logits = cfg.net.apply({"params": params["net"]}, *question, method=both)
    restored = spec.decode(question[0] - wrong)
    damaged = 1.0 - seen.known
    nats = nn.softplus(logits) - damaged * logits
    return _kept(restored, seen, cfg), _mean(_weight(seen, cfg) * nats)


def _weight(seen: Damaged, cfg: Restoration) -> jax.Array | float:
    """What each pixel counts for, [B, H, W, 1]."""
    if cfg.rare == 1.0:
        return 1.0
    damaged = 1.0 - seen.known
    return 1.0 + (cfg.rare - 1.0) * damaged


def _mean(x: jax.Array) -> jax.Array:
    """The mean of each example, [B]."""
    flat = x.reshape(len(x), -1)
    return jnp.mean(flat, -1)


def loss(params: dict, key: jax.Array, batch: Batch, cfg: Restoration, spec: Spec) -> Parts:
    """The training error against the teacher's target, [B]."""
    sight = jax.random.key(SIGHT) if cfg.once else key
    seen = damage(sight, batch, cfg, spec)

    def redraw() -> jax.Array:
        other = jax.random.fold_in(sight, 1)
        return damage(other, batch, cfg, spec).x

    keys = example_keys(jax.random.fold_in(key, 2), batch["index"])
    lesson = cfg.teacher(keys, seen.x, spec.unit(batch), redraw)
    shown = seen._replace(x=lesson.x)
    if cfg.where:
        restored, nats = found(params, shown, cfg, spec)
    else:
        restored = restore(params, shown, cfg, spec)
    error = cfg.error(restored - lesson.target)
    total = _mean(_weight(seen, cfg) * lesson.weight * error)
    if not cfg.where:
        return {"loss": total}
    return {"loss": total + cfg.where * nats, "error": total, "missed": nats}


def evaluate(params: dict, key: jax.Array, batch: Batch, cfg: Restoration, spec: Spec) -> Parts:
    """Against the clean examples, each [B]: squared error, its ratio [dB] to the peak 1, and that of doing nothing."""
    clean = spec.unit(batch)
    seen = damage(key, batch, cfg, spec)
    restored = restore(params, seen, cfg, spec)
    mse = _mean(jnp.square(restored - clean))
    nothing = _mean(jnp.square(seen.x - clean))
    return {"loss": mse, "psnr": decibel(mse), "psnr_input": decibel(nothing)}


def decibel(mse: jax.Array) -> jax.Array:
    """-10 log10(mse): the signal-to-noise ratio of a peak of 1, at most 100 dB."""
    # drawn damage may leave an example as it was, and one infinity would be the mean of all
    told = jnp.maximum(mse, LEAST)
    return -10.0 / math.log(10.0) * jnp.log(told)


def sample(
    params: dict, key: jax.Array, given: Batch, cfg: Restoration, spec: Spec
) -> dict[str, jax.Array]:
    """Held-out examples as the net gets them, and what it makes of them."""
    seen = damage(key, given, cfg, spec)
    return {"input": seen.x, "restored": restore(params, seen, cfg, spec)}


def picture(samples: dict[str, Any], given: Batch, spec: Spec) -> np.ndarray:
    """Input, output and truth of each example in a row, uint8 [H, W, C]; of other than pictures the output alone."""
    if len(spec.shape) != 3:
        return spec.x.picture(np.asarray(samples["restored"]))
    truth = np.asarray(spec.unit(given))
    columns = [np.asarray(samples["input"]), np.asarray(samples["restored"]), truth]
    rows = np.stack(columns, 1)  # [B, 3, H, W, C]
    return grid(np.clip(rows, 0.0, 1.0).reshape(-1, *spec.shape), 3)


def _told_where(cfg: Restoration, spec: Spec) -> bool:
    """Whether each of the damages tells which pixels are as they were."""

    def left(key: jax.Array) -> list[Any]:
        one = jnp.zeros((1, *spec.shape))
        keys = key[None]
        return [corruption(keys, one).known for corruption in cfg.corruption]

    # of each: noise beside a hole is everywhere, and would be kept
    known = jax.eval_shape(left, jax.random.key(0))
    return None not in known


def _check_where(cfg: Restoration, spec: Spec) -> None:
    """Raises UserError for what is to be kept or found where nobody tells it."""
    at_least(0, algorithm__where=cfg.where)
    above(0, algorithm__rare=cfg.rare)
    weighs = cfg.rare != 1.0
    if not (cfg.keep or cfg.where or weighs):
        return
    told = _told_where(cfg, spec)
    if weighs and not told:
        raise UserError(
            f"--algorithm.rare={cfg.rare:g} weighs the pixels that are damaged, and nobody tells which: use it with "
            "damage that tells where, as Holes() or Marks(), or leave it at 1."
        )
    if cfg.keep and (cfg.blind or not told):
        raise UserError(
            "--algorithm.keep=True keeps what the net is told to be as it was, and it is told of no pixel: use it with "
            "damage that tells where, as Holes() or Marks(), and --algorithm.blind=False."
        )
    if cfg.where and not (told and hasattr(cfg.net, "found")):
        raise UserError(
            f"--algorithm.where={cfg.where:g} teaches a net to find the damage: use it with Unveil() and damage that "
            "tells where, as Marks(), or set it to 0."
        )


def algorithm(cfg: Restoration, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for damage that the data cannot have."""
    need("Restoration", spec.main, spec.x, *REAL)
    if not cfg.corruption:
        raise UserError(
            "--algorithm.corruption=() leaves nothing to restore: name one, e.g. (Gaussian(),)."
        )
    for corruption in cfg.corruption:
        corruption.check(spec.shape)
    cfg.teacher.check(spec.x, cfg.corruption)
    _check_where(cfg, spec)

    def init_params(key, batch):
        seen = damage(key, batch, cfg, spec)
        known = None if seen.known is None or cfg.blind else Cond(maps=seen.known)
        x = spec.x.encode(seen.x)
        return {"net": cfg.net.init(key, x, seen.level, known, spec.shape)["params"]}

    def error_loss(params, key, batch, step):
        return loss(params, key, batch, cfg, spec)

    init, step = single(
        init_params, error_loss, cfg.optimiser(spec.steps), cfg.ema, spec.microbatches
    )

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), key, batch, cfg, spec)

    def sampled(key: jax.Array, state: State, given: Batch) -> dict[str, jax.Array]:
        return sample(averaged(state), key, given, cfg, spec)

    def drawn(samples: Any, given: Batch) -> np.ndarray:
        return picture(samples, given, spec)

    return Algorithm(
        init, step, measured, sampled, asks=(spec.main,), picture=drawn, criterion=LOSS
    )
