"""The contract that every family keeps: an `Algorithm` is four pure functions over one `State`.

The training loop knows nothing else. Families differ only inside `step`: how many losses, in which order, with what
memory. Keys: the loop hands `step` a key that is already folded with the step number; whatever noise belongs to an
example is drawn from `example_keys(key, batch["index"])`, so that every device layout draws the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

# "image" [B, ...], "label" [B] int32, "index" [B] uint32: the example's number in its split; in training also
# "position" [B] uint32: its place in the global batch
Batch = dict[str, jax.Array]
Parts = dict[str, jax.Array]  # "loss" [B] and its named parts, each [B]


class Spec(NamedTuple):
    """What an algorithm must know of its task before it sees a batch."""

    shape: tuple[int, ...]  # of one example: (28, 28, 1), or (2,) for points of the plane
    classes: int = 0  # number of labels, 0 = unlabelled
    steps: int = 1  # length of the run, for schedules
    microbatches: int = 1  # parts of a batch whose gradients are averaged one after the other


@struct.dataclass
class State:
    """All that a run carries from one step to the next: data only, so it is checkpointed, sharded and donated whole."""

    step: jax.Array  # int32 scalar
    params: dict[str, Any]  # by network
    opt: dict[str, Any]  # by objective
    ema: dict[str, Any]  # by network; empty = no averaging
    extra: dict[str, Any]  # codebook counts, path length, augmentation probability …


class Algorithm(NamedTuple):
    """A generative model with its training rule.

    `step` returns scalar metrics that include the gradient norms: the loop skips a step as a whole when one of them is
    not finite. `given` of `sample` is {"index": [B]} and, where the model takes them, "label", "image" …; sample number
    i is a function of (key, i) alone.
    """

    init: Callable[[jax.Array, Batch], State]
    step: Callable[..., tuple[State, dict[str, jax.Array]]]  # (key, state, batch, axis=None)
    evaluate: Callable[[jax.Array, State, Batch], Parts]  # per example, [B]
    sample: Callable[[jax.Array, State, Batch], jax.Array]  # [B, ...]
    cycle: tuple[
        Callable, ...
    ] = ()  # steps taken in turn, for work that is due only every so many; () = `step` always


def example_keys(key: jax.Array, index: jax.Array) -> jax.Array:
    """One key per example, [B]: a function of the example's global number, whatever the layout of devices."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def example_normal(key: jax.Array, index: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise [B, *shape], example by example."""
    return jax.vmap(lambda k: jax.random.normal(k, shape))(example_keys(key, index))


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
    grad = jax.value_and_grad(loss, has_aux=True)
    (value, parts), grads = accumulated(lambda part: grad(params, part, *args), batch, microbatches)
    if axis is not None:
        value, parts, grads = jax.lax.pmean((value, parts, grads), axis)
    updates, opt = tx.update(grads, opt, params)
    return (
        optax.apply_updates(params, updates),
        opt,
        {**parts, "loss": value, "grad_norm": norm(grads)},
    )


def accumulated(fn: Callable[[Batch], Any], batch: Batch, n: int) -> Any:
    """The mean of fn(part) over n parts of a batch, one after the other: what is in memory at a time is one part's.

    It is fn(batch) where fn is a mean over examples; statistics over a batch, such as StyleGAN2's deviation of a group,
    become those of a part. (On CPU leave n = 1 with convolutions: their gradients are slow inside a loop, jax#12868.)
    """
    if n == 1:
        return fn(batch)
    first, *rest = divided(batch, n)
    rest = jax.tree.map(lambda *x: jnp.stack(x), *rest)
    total, _ = jax.lax.scan(
        lambda total, part: (jax.tree.map(jnp.add, total, fn(part)), None), fn(first), rest
    )
    return jax.tree.map(lambda x: x / n, total)


def divided(batch: Batch, n: int) -> list[Batch]:
    """n parts of a batch, part i with the examples i, i + n, …: the same parts however the batch lies on devices."""
    rows = jax.tree.map(lambda x: x.reshape(len(x) // n, n, *x.shape[1:]), batch)
    return [jax.tree.map(lambda x, i=i: x[:, i], rows) for i in range(n)]


def norm(tree: Any) -> jax.Array:
    """The global L2 norm of a tree of arrays: sqrt of the sum of all squares, a float32 scalar.

    By products, not by `optax.tree.norm`'s reduction, which XLA runs on one core and three times slower on CPU.
    """
    exact = {"precision": jax.lax.Precision.HIGHEST, "preferred_element_type": jnp.float32}
    dots = [jnp.tensordot(x, x, x.ndim, **exact) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(dots))


def averaged(state: State) -> dict[str, Any]:
    """The parameters to evaluate and sample with: the averaged ones where there are any."""
    return {**state.params, **state.ema}


def single(
    init_params: Callable,
    loss: Callable,
    tx: optax.GradientTransformation,
    ema: Any,
    microbatches: int = 1,
):
    """`init` and `step` of every family with one loss.

    init_params(key, batch) -> params by network; loss(params, key, batch, step) -> Parts, per example; `ema` is an
    average of `genjax.ema`.
    """

    def init(key: jax.Array, batch: Batch) -> State:
        params = init_params(key, batch)
        return State(
            jnp.zeros((), jnp.int32), params, {"loss": tx.init(params)}, ema.init(params), {}
        )

    def step(key: jax.Array, state: State, batch: Batch, axis: str | None = None):
        def mean_loss(params, batch):
            means = {
                name: jnp.mean(value)
                for name, value in loss(params, key, batch, state.step).items()
            }
            return means.pop("loss"), means

        old = state.params, state.opt["loss"]
        params, opt, metrics = descend(
            mean_loss, tx, *old, batch, axis=axis, microbatches=microbatches
        )
        averages = ema.update(state.ema, params, state.step)
        return state.replace(
            step=state.step + 1, params=params, opt={"loss": opt}, ema=averages
        ), metrics

    return init, step


def guarded(step: Callable) -> Callable:
    """A step that is taken whole or not at all: if a metric is not finite, only the step counter moves.

    Adds the metric "skipped" (0 or 1). Every gradient norm is among the metrics, so a NaN anywhere in a gradient shows;
    testing scalars instead of the whole state costs nothing. (`optax.apply_if_finite` gives in after its limit.)
    """

    def run(key: jax.Array, state: State, batch: Batch, axis: str | None = None):
        new, metrics = step(key, state, batch, axis)
        ok = jnp.stack([jnp.all(jnp.isfinite(value)) for value in metrics.values()]).all()
        kept = jax.tree.map(lambda a, b: jnp.where(ok, a, b), new, state)
        return kept.replace(step=state.step + 1), {
            **metrics,
            "skipped": 1.0 - ok.astype(jnp.float32),
        }

    return run
