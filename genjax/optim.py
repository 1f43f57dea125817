"""Optimisers as config values: a frozen dataclass, called with the number of steps, is an optax transformation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import optax

from genjax.config import Own, field
from genjax.errors import UserError, above, at_least, at_most, below

Transformation = optax.GradientTransformation

# How the names of parameters end that are no kernels, whatever their shape: norms and biases, and what is learned in
# the place of an input, as embeddings, positions and the constants that generators start from. What is decayed hangs on
# it, and no digest does: a name that joins or leaves needs a field that says so, as `nets.dit.Learned.decayed` does.
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


class Usual(Protocol):
    """The fields that every optimiser here has beside its own."""

    lr: float
    weight_decay: float
    warmup: int
    decay: Rate
    clip: float | None
    kernels_only: bool


def rate(cfg: Usual, steps: int) -> optax.Schedule:
    """The learning rate of every step: `warmup` steps in a line from 0 to `lr`, then `decay` over the others."""
    after = cfg.decay(cfg.lr, steps - cfg.warmup)
    if not cfg.warmup:
        return after
    rise = optax.linear_schedule(0.0, cfg.lr, cfg.warmup)
    return optax.join_schedules([rise, after], [cfg.warmup])


def _mask(cfg: Usual) -> Any:
    # None where all or nothing decays, and not a mask of ones: a mask is a link in the optimiser's state
    masked = cfg.kernels_only and cfg.weight_decay > 0
    return kernels if masked else None


def _clipped(cfg: Usual, *links: Transformation) -> Transformation:
    """The links in a chain, behind the clipping of the gradient where there is any."""
    if cfg.clip is None:
        # A chain of one too, not the link itself: checkpoints know the optimiser's state as a tuple of its links.
        return optax.chain(*links)
    # Before Adam, whose step does not depend on the gradient's scale: it tames outliers among gradients.
    return optax.chain(optax.clip_by_global_norm(cfg.clip), *links)


def _descent(cfg: Usual, steps: int, direction: Transformation) -> Transformation:
    """Steps of -rate (direction + weight_decay w): the decay is decoupled, as AdamW's (arXiv:1711.05101)."""
    decay = optax.add_decayed_weights(cfg.weight_decay, _mask(cfg))
    return _clipped(cfg, direction, decay, optax.scale_by_learning_rate(rate(cfg, steps)))


def _check(
    cfg: Usual,
    averages: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
) -> None:
    """Raises UserError for a value with which another thing happens than is meant."""
    # by the class: a game has two of them, under flags that they do not know
    where = f"{type(cfg).__name__}: "
    # at 0 a net stands still, which one player of a game may
    at_least(0, where, lr=cfg.lr)
    kept = {name: getattr(cfg, name) for name in averages}
    at_least(0, where, **kept)
    below(1, where, **kept)  # averages over 1 / (1 - b) steps
    # 0 / (0 + eps): a weight without gradient, as at zero initialisation, must not become nan
    above(0, where, **{name: getattr(cfg, name) for name in positive})
    at_least(0, where, weight_decay=cfg.weight_decay, warmup=cfg.warmup)
    if cfg.clip is not None:
        above(0, where, clip=cfg.clip)  # None is off; at 0 no gradient is left


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

    def __call__(self, steps: int) -> Transformation:
        _check(self, ("b1", "b2"), ("eps",))
        adam = optax.adamw(
            rate(self, steps),
            self.b1,
            self.b2,
            self.eps,
            weight_decay=self.weight_decay,
            mask=_mask(self),
        )
        return _clipped(self, adam)


@dataclasses.dataclass(frozen=True)
class SGD:
    """Gradient descent with momentum m <- momentum m + g; by m, or with Nesterov's by momentum m + g.

    Polyak 1964; Sutskever et al. 2013 (Nesterov's for nets, in the form that takes the gradient at w itself).
    """

    lr: float = field(1e-2, "peak learning rate")
    momentum: float = field(0.9, "decay of the sum of gradients; 0 = none")
    nesterov: bool = field(False, "look one step of momentum ahead")
    weight_decay: float = field(0.0, "decoupled weight decay")
    warmup: int = field(0, "steps of linear warm-up from 0")
    decay: Rate = field(Constant(), "learning rate after warm-up")
    clip: float | None = field(None, "largest global norm of the gradient")
    kernels_only: bool = field(False, "weight decay spares norms, biases and embeddings")

    def __call__(self, steps: int) -> Transformation:
        _check(self, ("momentum",))
        if self.nesterov and not self.momentum:
            raise UserError("SGD: nesterov=True looks ahead by momentum: set momentum above 0.")
        direction = optax.identity()
        if self.momentum:
            direction = optax.trace(self.momentum, self.nesterov)
        return _descent(self, steps, direction)


@dataclasses.dataclass(frozen=True)
class RMSProp:
    """g / (sqrt(v) + eps) with v <- b2 v + (1 - b2) g² from 0 (Tieleman & Hinton 2012, lecture 6.5), then momentum."""

    lr: float = field(1e-3, "peak learning rate")
    b2: float = field(0.9, "decay of the second moment")
    eps: float = field(1e-8, "added to the root of the second moment")
    momentum: float = field(0.0, "decay of the sum of the scaled gradients; 0 = none")
    weight_decay: float = field(0.0, "decoupled weight decay")
    warmup: int = field(0, "steps of linear warm-up from 0")
    decay: Rate = field(Constant(), "learning rate after warm-up")
    clip: float | None = field(None, "largest global norm of the gradient")
    kernels_only: bool = field(False, "weight decay spares norms, biases and embeddings")

    def __call__(self, steps: int) -> Transformation:
        _check(self, ("b2", "momentum"), ("eps",))
        scaled = optax.scale_by_rms(self.b2, self.eps, eps_in_sqrt=False)
        if self.momentum:
            scaled = optax.chain(scaled, optax.trace(self.momentum))
        return _descent(self, steps, scaled)


@dataclasses.dataclass(frozen=True)
class Muon:
    """Momentum made orthogonal for the hidden kernels, Adam for the rest (Jordan et al. 2024; arXiv:2502.16982).

    A kernel is one matrix from all that goes in to all that comes out, a convolution's [kh kw cin, cout]; one that
    holds several side by side (`fused`) is made orthogonal matrix by matrix. Five Newton-Schulz steps bring the
    singular values of the momentum near 1, not to 1. One learning rate serves both: `rms` gives an update of a matrix
    the size that Adam's has. Adam takes embeddings, norms, biases and the layers in `ends`.
    """

    lr: float = field(1e-3, "peak learning rate")
    momentum: float = field(0.95, "decay of the average gradient of a kernel")
    nesterov: bool = field(True, "look one step of momentum ahead")
    rms: float | None = field(
        0.2,
        "root mean square of a kernel's update; None = sqrt(max(1, out / in)) times singular values near 1",
    )
    b1: float = field(0.9, "decay of Adam's first moment")
    b2: float = field(0.999, "decay of Adam's second moment")
    eps: float = field(1e-8, "added to the root of Adam's second moment, and to norms")
    weight_decay: float = field(0.0, "decoupled weight decay")
    warmup: int = field(0, "steps of linear warm-up from 0")
    decay: Rate = field(Constant(), "learning rate after warm-up")
    clip: float | None = field(None, "largest global norm of the gradient")
    kernels_only: bool = field(False, "weight decay spares norms, biases and embeddings")
    ends: tuple[str, ...] = field(
        ("patches", "label", "time_0", "embed", "positions", "last"),
        "layers that are Adam's, by name or dotted path: the first and last ones; an MLP's have numbers, enc.Dense_0",
    )
    fused: tuple[tuple[str, int], ...] = field(
        (("qkv", 3), ("film", 2), ("film_", 2), ("modulation", 2), ("modulation_", 6)),
        "(name of a layer without its number, matrices of equal width in its kernel)",
    )

    def __call__(self, steps: int) -> Transformation:
        _check(self, ("momentum", "b1", "b2"), ("eps",))
        if self.rms is not None:
            above(0, "Muon: ", rms=self.rms)
        at_least(1, "Muon: ", **{f"fused.{name}": parts for name, parts in self.fused})
        muon = optax.contrib.muon(
            -1.0,  # the direction itself: rate, sign and weight decay come after it, for both alike
            beta=self.momentum,
            eps=self.eps,
            nesterov=self.nesterov,
            adam_b1=self.b1,
            adam_b2=self.b2,
            muon_weight_dimension_numbers=self._numbers,
            consistent_rms=self.rms,
        )
        return _descent(self, steps, _as_matrices(muon, self._cut))

    def _takes(self, path: tuple, leaf: jax.Array) -> bool:
        """Whether a parameter is Muon's."""
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        at_an_end = any(f".{end}." in f".{name}." for end in self.ends)
        return _is_kernel(path, leaf) and not at_an_end

    def _cut(self, params: Any) -> Any:
        """The same tree, Muon's kernels as [in, matrices, out of each]."""

        def cut(path: tuple, leaf: jax.Array) -> jax.Array:
            if not self._takes(path, leaf):
                return leaf
            layer = jax.tree_util.keystr(path[-2:-1], simple=True).rstrip("0123456789")
            parts = dict(self.fused).get(layer, 1)
            inputs = math.prod(leaf.shape[:-1])
            return leaf.reshape(inputs, parts, -1)

        return jax.tree_util.tree_map_with_path(cut, params)

    def _numbers(self, params: Any) -> Any:
        """For each leaf of a cut tree which axes are a matrix's, None for Adam's."""
        matrices = optax.contrib.MuonDimensionNumbers(reduction_axis=0, output_axis=2)

        def numbers(path: tuple, leaf: jax.Array) -> Any:
            return matrices if self._takes(path, leaf) else None

        return jax.tree_util.tree_map_with_path(numbers, params)


def _as_matrices(tx: Transformation, cut: Callable[[Any], Any]) -> Transformation:
    """A transformation that sees parameters and gradients as `cut` shapes them."""

    def init(params: Any) -> Any:
        return tx.init(cut(params))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = tx.update(cut(grads), state, cut(params))
        whole = jax.tree.map(lambda new, old: new.reshape(old.shape), updates, grads)
        return whole, state

    return optax.GradientTransformation(init, update)


# any frozen config that, called with the number of steps, returns an optax transformation
Optimiser = Adam | SGD | RMSProp | Muon | Own


def _is_kernel(path: tuple, leaf: jax.Array) -> bool:
    name = jax.tree_util.keystr(path[-1:], simple=True)
    if name == "kernel":  # also of a single channel, [1, 1, 1, C]
        return True
    if name.endswith(SPARED):  # also [L, C], of L layers that are stacked
        return False
    inputs = math.prod(leaf.shape[:-1])
    return inputs > 1


def kernels(params: Any) -> Any:
    """A tree of bool as `params`: True for the kernels, which weight decay is for.

    Flax's name tells most; a parameter of another name is a kernel if it is a matrix or has more axes. A scale for each
    channel is none, also where it is kept as [1, 1, 1, C].
    """
    return jax.tree_util.tree_map_with_path(_is_kernel, params)
