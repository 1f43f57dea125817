"""Optimisers as config values: a frozen dataclass, called with the number of steps, is an optax transformation."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import optax

from genjax.config import field
from genjax.errors import above, at_least, at_most, below

# How the names of parameters end that are no kernels, whatever their shape: norms and biases, and what is learned in
# the place of an input, as embeddings, positions and the constants that generators start from.
SPARED = ("scale", "bias", "embedding", "places", "basis", "constant")


@dataclasses.dataclass(frozen=True)
class Constant:
    """The learning rate stays where warm-up left it."""

    def __call__(self, lr: float, steps: int) -> optax.Schedule:
        return optax.constant_schedule(lr)

    def free(self, steps: int) -> int:
        """How many of the first of `steps` steps would have the same rate in a longer run."""
        return steps


@dataclasses.dataclass(frozen=True)
class CosineDecay:
    """Half a cosine from lr down to `final` times lr at the last step (Loshchilov & Hutter, arXiv:1608.03983)."""

    final: float = field(0.0, "share of the learning rate that is left at the end")

    def __call__(self, lr: float, steps: int) -> optax.Schedule:
        at_least(0, "CosineDecay: ", final=self.final)
        at_most(1, "CosineDecay: ", final=self.final)  # it decays
        steps = max(steps, 1)  # a warm-up as long as the run leaves none to decay in
        return optax.cosine_decay_schedule(lr, steps, alpha=self.final)

    def free(self, steps: int) -> int:
        """As `Constant.free`: none, as the rate falls from the first step on."""
        return 0


@dataclasses.dataclass(frozen=True)
class StableDecay:
    """The learning rate stays, then falls to `final` times lr in a straight line at the end.

    Warm-up, stable, decay of Hu et al. (arXiv:2404.06395), with the line and the fifth of Hägele et al.
    (arXiv:2405.18392). Unlike a cosine it can be prolonged: a longer run goes on from where this one began to fall.
    """

    share: float = field(0.2, "share of the run, without its warm-up, in which it falls")
    final: float = field(0.0, "share of the learning rate that is left at the end")

    def __call__(self, lr: float, steps: int) -> optax.Schedule:
        where = "StableDecay: "
        at_least(0, where, share=self.share, final=self.final)
        at_most(1, where, share=self.share, final=self.final)
        stays = self.free(steps)
        falling = max(steps - stays, 1)  # a share of 0 leaves none to fall in
        level = optax.constant_schedule(lr)
        fall = optax.linear_schedule(lr, self.final * lr, falling)
        return optax.join_schedules([level, fall], [stays])

    def free(self, steps: int) -> int:
        """As `Constant.free`: those before it falls."""
        return math.floor((1.0 - self.share) * steps)


Rate = Constant | CosineDecay | StableDecay


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (arXiv:1412.6980), AdamW when `weight_decay` is set, with linear warm-up, decay and clipping."""

    lr: float = field(1e-3, "peak learning rate")
    b1: float = field(0.9, "decay of the first moment")
    b2: float = field(0.999, "decay of the second moment")
    eps: float = field(1e-8, "added to the root of the second moment")
    weight_decay: float = field(0.0, "decoupled weight decay (AdamW)")
    warmup: int = field(0, "steps of linear warm-up from 0")
    decay: Rate = field(Constant(), "learning rate after warm-up")
    clip: float | None = field(None, "largest global norm of the gradient")
    kernels_only: bool = field(
        False, "weight decay spares norms, biases and embeddings, as is usual", added=True
    )

    def __call__(self, steps: int) -> optax.GradientTransformation:
        self._check()
        rate = self.decay(self.lr, steps - self.warmup)
        if self.warmup:
            rise = optax.linear_schedule(0.0, self.lr, self.warmup)
            rate = optax.join_schedules([rise, rate], [self.warmup])
        # None where all or nothing decays, and not a mask of ones: a mask is a link in the optimiser's state
        masked = self.kernels_only and self.weight_decay > 0
        adam = optax.adamw(
            rate,
            self.b1,
            self.b2,
            self.eps,
            weight_decay=self.weight_decay,
            mask=kernels if masked else None,
        )
        if self.clip is None:
            # A chain of one, not `adam` itself: checkpoints know the optimiser's state as a tuple of its links.
            return optax.chain(adam)
        # Before Adam, whose step does not depend on the gradient's scale: it tames outliers among gradients.
        return optax.chain(optax.clip_by_global_norm(self.clip), adam)

    def _check(self) -> None:
        """Raises UserError for a value with which another thing happens than is meant."""
        # by the class: a game has two of them, under flags that they do not know
        where = "Adam: "
        at_least(
            0, where, lr=self.lr
        )  # at 0 a net stands still, which one player of a game may
        at_least(0, where, b1=self.b1, b2=self.b2)
        below(1, where, b1=self.b1, b2=self.b2)  # averages over 1 / (1 - b) steps
        # 0 / (0 + eps): a weight without gradient, as at zero initialisation, must not become nan
        above(0, where, eps=self.eps)
        at_least(0, where, weight_decay=self.weight_decay, warmup=self.warmup)
        if self.clip is not None:
            above(0, where, clip=self.clip)  # None is off; at 0 no gradient is left


def kernels(params: Any) -> Any:
    """A tree of bool as `params`: True for the kernels, which weight decay is for.

    Flax's name tells most; a parameter of another name is a kernel if it is a matrix or has more axes. A scale for each
    channel is none, also where it is kept as [1, 1, 1, C].
    """

    def is_kernel(path: tuple, leaf: jax.Array) -> bool:
        name = jax.tree_util.keystr(path[-1:], simple=True)
        if name == "kernel":  # also of a single channel, [1, 1, 1, C]
            return True
        if name.endswith(SPARED):  # also [L, C], of L layers that are stacked
            return False
        inputs = math.prod(leaf.shape[:-1])
        return inputs > 1

    return jax.tree_util.tree_map_with_path(is_kernel, params)
