"""A trained restorer at work on pictures of any size: whole, or tile by tile with the same numbers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ae.restoration import Restoration, restore
from genjax.ae.tiles import tiled
from genjax.core import Spec, averaged
from genjax.corruptions import Corruption, Damaged, damaged
from genjax.errors import UserError
from genjax.findings.restored import Method
from genjax.training.run import Run


def check_restoration(algorithm: Any) -> None:
    """Raises UserError for a model that restores nothing."""
    if not isinstance(algorithm, Restoration):
        name = type(algorithm).__name__
        raise UserError(
            f"{name} restores no pictures: use a run of experiments.denoise, inpaint or marks."
        )


def sized(spec: Spec, shape: tuple[int, ...]) -> Spec:
    """The same task with pictures of another size."""
    x = dataclasses.replace(spec.x, shape=shape)
    _, *others = spec.fields
    return spec._replace(fields=((spec.main, x), *others))


def damage_of(corruptions: Sequence[Corruption], shape: tuple[int, ...]) -> Damaged:
    """The shapes of what damage gives: how many levels, and whether it says what is lost."""

    def drawn() -> Damaged:
        keys = jax.random.split(jax.random.key(0), 1)
        picture = jnp.zeros((1, *shape))
        return damaged(corruptions, keys, picture)

    # shapes alone: nothing is drawn
    return jax.eval_shape(drawn)


def unit_of(net: Any, shape: tuple[int, ...]) -> int:
    """Pixels that sides must be multiples of: for a net around another, as `Filled`, those of the net inside.

    Of nets that tell none it is the size that they were trained on, [H, W, C].
    """
    inside = getattr(net, "net", None)
    for each in (net, inside):
        found = getattr(each, "unit", None)
        if found is not None:
            return found
    height, width, _ = shape
    return math.lcm(height, width)


def restorer(this: Run, side: int | None = None) -> Method:
    """What restores one picture by a run's weights. side: of tiles [pixels], None = the picture as a whole.

    A net without `reach` sees a picture whole, filled up to multiples of its `unit_of`.
    """
    net = this.exp.algorithm.net
    channels = this.spec.shape[-1]
    unit = unit_of(net, this.spec.shape)
    reach = getattr(net, "reach", None)
    params = averaged(this.state)
    run = jax.jit(functools.partial(_restored, this, channels))

    def one(seen: np.ndarray, level: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        part = np.asarray(seen, np.float32)
        if known is not None:
            # it travels as a channel, so that it is cut as the picture is
            part = np.concatenate([part, np.float32(known)], -1)
        levels = jnp.asarray(level, jnp.float32)
        of_part = functools.partial(run, params, levels[None])
        if reach is None or side is None:
            whole = max(part.shape)
            return tiled(of_part, part, unit, 0, whole)
        return tiled(of_part, part, unit, reach, side)

    return one


def _restored(
    this: Run, channels: int, params: Any, level: jax.Array, part: jax.Array
) -> jax.Array:
    """A part of a picture with what is known as its last channel, [1, h, w, C or C + 1] -> [1, h, w, C]."""
    seen = part[..., :channels]
    known = None
    if part.shape[-1] > channels:
        known = part[..., channels:]
    task = sized(this.spec, seen.shape[1:])
    left = Damaged(seen, level, known)
    return restore(params, left, this.exp.algorithm, task)
