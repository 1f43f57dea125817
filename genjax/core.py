"""The contract that every family keeps: an `Algorithm` is a few pure functions over one `State`.

The training loop knows nothing else. Families differ only inside `step`: how many losses, in which order, with what
memory. Keys: the loop hands `step` a key that is already folded with the step number; whatever noise belongs to an
example is drawn from `example_keys(key, batch["index"])`, so that every device layout draws the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from genjax.fields import Category
from genjax.machine.lent import at_once, lent

# The data's fields by name, e.g. "image" [B, H, W, C] and "label" [B], and "index" [B] uint32: the example's number in
# its split; in training also "position" [B] uint32: its place in the global batch. Of data with domains each domain is
# a batch of its own under its name, and "index" is the number in the first.
Batch = dict[str, Any]
Parts = dict[str, jax.Array]  # "loss" [B] and its named parts, each [B]


class Spec(NamedTuple):
    """What an algorithm must know of its task before it sees a batch. The first field is what is modelled."""

    # (name, kind of genjax.fields) of each field of the data
    fields: tuple[tuple[str, Any], ...]
    steps: int = 1  # length of the run, for schedules
    microbatches: int = 1  # parts of a batch whose gradients are averaged one after the other
    # names of the parts of unpaired data, which have these fields each
    domains: tuple[str, ...] = ()

    @property
    def main(self) -> str:
        """The name of the field that is modelled."""
        return self.fields[0][0]

    @property
    def x(self) -> Any:
        """The kind of the field that is modelled."""
        return self.fields[0][1]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example of what is modelled: (28, 28, 1), or (2,) for points of the plane."""
        return tuple(self.x.shape)

    @property
    def classes(self) -> int:
        """The number of labels; 0 = unlabelled."""
        return getattr(self.find("label"), "classes", 0)

    def find(self, name: str) -> Any:
        """The kind of a field, or None if the data have none of that name."""
        return dict(self.fields).get(name)

    def unit(self, batch: Batch) -> jax.Array:
        """What is modelled, float32 [B, *shape] in its own units: pictures in [0, 1]."""
        return self.x.unit(batch[self.main])

    def encode(self, batch: Batch) -> jax.Array:
        """What is modelled, float32 [B, *shape], pictures in [-1, 1]."""
        return self.x.encode(batch[self.main])

    def decode(self, y: jax.Array) -> jax.Array:
        """The inverse of `encode`, into the field's own units."""
        return self.x.decode(y)


def labelled(
    x: Any, classes: int = 0, steps: int = 1, name: str = "image", **more: Any
) -> Spec:
    """The Spec of examples of kind `x` with one label each."""
    return Spec(((name, x), ("label", Category(classes))), steps, **more)


@struct.dataclass
class State:
    """All that a run carries from one step to the next: data only, so it is checkpointed, sharded and donated whole."""

    step: jax.Array  # int32 scalar
    params: dict[str, Any]  # by network
    opt: dict[str, Any]  # by objective
    ema: dict[str, Any]  # by network; empty = no averaging
    extra: dict[str, Any]  # codebook counts, path length, augmentation probability …

    if TYPE_CHECKING:  # flax makes it

        def replace(self, **changes: Any) -> State: ...


# which way is better
DOWN, UP = -1, 1


class Criterion(NamedTuple):
    """The number of `summary` that tells a better state from a worse one."""

    name: str
    way: int  # DOWN or UP


LOSS = Criterion("loss", DOWN)


class Algorithm(NamedTuple):
    """A model with its training rule.

    `step` returns scalar metrics that include the gradient norms: the loop skips a step as a whole when one of them is
    not finite. `given` of `sample` is {"index": [B]} and the fields that `asks` names, of examples that were not
    trained on; sample number i is a function of (key, i, what is given) alone.
    """

    init: Callable[[jax.Array, Batch], State]
    step: Callable[..., tuple[State, dict[str, jax.Array]]]  # (key, state, batch, axis=None)
    evaluate: Callable[[jax.Array, State, Batch], Parts]  # per example, [B, ...]
    # (key, state, given) -> samples [B, ...], or several {name: [B, ...]}; None: there is nothing to sample
    sample: Callable[[jax.Array, State, Batch], Any] | None = None
    # steps taken in turn, for work that is due only every so many; () = `step` always
    cycle: tuple[Callable, ...] = ()
    asks: tuple[str, ...] = ()  # fields that `sample` needs
    encode: Callable[[jax.Array, State, Batch], jax.Array] | None = None  # codes [B, ...]
    # codes [B, ...] -> examples [B, *shape] in unit values
    decode: Callable[[jax.Array, State, jax.Array], jax.Array] | None = None
    # of all held-out examples {name: [N, ...]} -> {name: number}; None = the mean of each
    summary: Callable[[dict[str, Any]], dict[str, float]] | None = None
    # (samples, given) as arrays -> uint8 [H, W, C]; None = as the field draws them
    picture: Callable[[Any, Batch], Any] | None = None
    # by which held-out number the best state is chosen; None: no such number tells it, as in a game
    criterion: Criterion | None = None


class Memory(NamedTuple):
    """What a loss keeps from step to step in `State.extra`: codebooks, pools, counts.

    `update(extra, seen)` makes of it, and of the mean over all examples of what the loss has seen, what the next step
    finds. Means, for they are the same whatever the layout of devices.
    """

    init: Callable[[jax.Array, Batch], dict[str, Any]]  # (key, batch) -> extra
    update: Callable[[dict[str, Any], Any], dict[str, Any]]


def example_keys(key: jax.Array, index: jax.Array) -> jax.Array:
    """One key per example, [B]: a function of the example's global number, whatever the layout of devices."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def example_normal(key: jax.Array, index: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise [B, *shape], example by example."""

    def draw(own: jax.Array) -> jax.Array:
        return jax.random.normal(own, shape)

    keys = example_keys(key, index)  # [B]
    return jax.vmap(draw)(keys)


def descend(
    loss: Callable,
    tx: optax.GradientTransformation,
    params: Any,
    opt: Any,
    batch: Batch,
    *args: Any,
    axis: str | None = None,
    microbatches: int = 1,
):
    """One optimiser step on `loss(params, batch, *args) -> (mean over the batch, {name: mean})`.

    Returns (params, opt, metrics). The only line that knows of devices is the `pmean`. Metrics are the loss's parts,
    "loss" and "grad_norm". `microbatches`: see `accumulated`.
    """

    def borrowing(params: Any, *rest: Any) -> Any:
        return loss(lent(params), *rest)

    # of the weights as they lie: the optimiser works on parts too
    grad = jax.value_and_grad(borrowing, has_aux=True)

    def of_part(part: Batch) -> Any:
        return grad(params, part, *args)

    (value, parts), grads = accumulated(of_part, batch, microbatches)
    if axis is not None:
        value, parts, grads = jax.lax.pmean((value, parts, grads), axis)
    updates, opt = tx.update(grads, opt, params)
    params = optax.apply_updates(params, updates)
    # of the whole gradient, after the mean over devices: the same number on each
    metrics = {**parts, "loss": value, "grad_norm": norm(grads)}
    return params, opt, metrics


def accumulated(fn: Callable[[Batch], Any], batch: Batch, n: int) -> Any:
    """The mean of fn(part) over n parts of a batch, one after the other: what is in memory at a time is one part's.

    It is fn(batch) where fn is a mean over examples; statistics over a batch become those of a part, unless the batch
    is ordered for it, as GANs order the groups of examples that D couples. (On CPU leave n = 1 with convolutions:
    their gradients are slow inside a loop, jax#12868.)
    """
    if n == 1:
        return fn(batch)
    first, *rest = divided(batch, n)
    rest = jax.tree.map(lambda *x: jnp.stack(x), *rest)  # [n - 1, B / n, ...]

    def add(total: Any, part: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, fn(part)), None

    # the first part gives the sum its shapes
    total, _ = jax.lax.scan(add, fn(first), rest)
    return jax.tree.map(lambda x: x / n, total)


def divided(batch: Batch, n: int) -> list[Batch]:
    """n parts of a batch, part i with the examples i, i + n, …: the same parts however the batch lies on devices."""

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(len(x) // n, n, *x.shape[1:])

    rows = jax.tree.map(split, batch)  # [B / n, n, ...]
    parts = []
    for i in range(n):
        part = jax.tree.map(lambda x, i=i: x[:, i], rows)
        parts.append(part)
    return parts


def norm(tree: Any) -> jax.Array:
    """The global L2 norm of a tree of arrays: sqrt of the sum of all squares, a float32 scalar.

    By products, not by `optax.tree.norm`'s reduction, which XLA runs on one core and three times slower on CPU.
    """
    exact = {"precision": jax.lax.Precision.HIGHEST, "preferred_element_type": jnp.float32}
    dots = [jnp.tensordot(x, x, x.ndim, **exact) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(dots))


def averaged(state: State) -> dict[str, Any]:
    """The parameters to evaluate and sample with: the averaged ones where there are any."""
    weights = {**state.params, **state.ema}
    return at_once(weights)


def single(
    init_params: Callable,
    loss: Callable,
    tx: optax.GradientTransformation,
    ema: Any,
    microbatches: int = 1,
    memory: Memory | None = None,
):
    """`init` and `step` of every family with one loss.

    init_params(key, batch) -> params by network; loss(params, key, batch, step) -> Parts, per example; `ema` is an
    average of `genjax.ema`. With a memory it is loss(params, extra, key, batch, step) -> (Parts, seen), where `seen`
    is a tree of arrays [B, ...] whose means over the batch the memory takes in.
    """

    def init(key: jax.Array, batch: Batch) -> State:
        params = init_params(key, batch)
        extra = {} if memory is None else memory.init(key, batch)
        zero = jnp.zeros((), jnp.int32)
        opt = {"loss": tx.init(params)}
        return State(zero, params, opt, ema.init(params), extra)

    def mean_loss(params, batch, extra, key, at):
        if memory is None:
            parts, seen = loss(params, key, batch, at), {}
        else:
            parts, seen = loss(params, extra, key, batch, at)
        means = {name: jnp.mean(value) for name, value in parts.items()}
        mean_seen = jax.tree.map(lambda x: jnp.mean(x, 0), seen)
        # what was seen travels with the metrics: `descend` averages both over parts and devices
        return means.pop("loss"), {**means, "seen": mean_seen}

    def step(key: jax.Array, state: State, batch: Batch, axis: str | None = None):
        old = state.params, state.opt["loss"]
        more = state.extra, key, state.step
        params, opt, metrics = descend(
            mean_loss, tx, *old, batch, *more, axis=axis, microbatches=microbatches
        )
        seen = metrics.pop("seen")
        extra = state.extra if memory is None else memory.update(state.extra, seen)
        average = ema.update(state.ema, params, state.step)
        new = state.replace(
            step=state.step + 1,
            params=params,
            opt={"loss": opt},
            ema=average,
            extra=extra,
        )
        return new, metrics

    return init, step


def means(values: dict[str, Any]) -> dict[str, float]:
    """The mean of each of {name: [N, ...]}, in float64: the usual `summary`."""
    found = {}
    for name, value in values.items():
        found[name] = np.asarray(value).mean(dtype=np.float64)
    return found


def size(arrays: dict[str, Any]) -> int:
    """The number of examples of a split {field: [N, ...]}; of one with domains that of the largest; 0 of none."""
    sizes = [size(a) if isinstance(a, dict) else len(a) for a in arrays.values()]
    return max(sizes, default=0)


def guarded(step: Callable) -> Callable:
    """A step that is taken whole or not at all: if a metric is not finite, only the step counter moves.

    Adds the metric "skipped" (0 or 1). Every gradient norm is among the metrics, so a NaN anywhere in a gradient shows;
    testing scalars instead of the whole state costs nothing. (`optax.apply_if_finite` gives in after its limit.)
    """

    def run(key: jax.Array, state: State, batch: Batch, axis: str | None = None):
        new, metrics = step(key, state, batch, axis)
        finite = [jnp.all(jnp.isfinite(value)) for value in metrics.values()]
        ok = jnp.stack(finite).all()
        kept = jax.tree.map(lambda a, b: jnp.where(ok, a, b), new, state)
        # the counter moves all the same: the next step has another batch and other noise
        counted = kept.replace(step=state.step + 1)
        skipped = 1.0 - ok.astype(jnp.float32)
        return counted, {**metrics, "skipped": skipped}

    return run
