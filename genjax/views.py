"""Views: what is done to every example inside the training step, drawn anew at every sight; evaluation sees none of it.

A view is a config value with `fields(fields)`, the fields that it leaves; `check(fields)`; `__call__(keys, batch)`,
from one key an example, so that every layout of devices draws the same; and `still(batch)`, what evaluation and
sampling see in its place: the same arrays where the shape stays, else the one most plain choice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from genjax.config import Own, field
from genjax.core import Algorithm, Batch, Spec, example_keys
from genjax.errors import UserError, at_least
from genjax.fields import Film, Image, Mask, Points, Series, need, to_float

SALT = (
    0x5EED  # a purpose of its own for the keys: the algorithm's noise must not be that of its views
)


def _changed(batch: Batch, name: str, value: jax.Array) -> Batch:
    return {**batch, name: value}


def _like(fields: dict[str, Any], name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {**fields, name: dataclasses.replace(fields[name], shape=shape)}


@dataclasses.dataclass(frozen=True)
class Flip:
    """Left and right change places in half of the sights, in all the named pictures and masks at once."""

    of: tuple[str, ...] = field(("image",), "names of the fields")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that has no left and right."""
        for name in self.of:
            need("the view Flip()", name, fields.get(name), Image, Mask)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        turned = jax.vmap(jax.random.bernoulli)(keys)  # [B]
        for name in self.of:
            x = batch[name]
            which = turned.reshape(-1, *[1] * (x.ndim - 1))
            batch = _changed(batch, name, jnp.where(which, jnp.flip(x, 2), x))
        return batch

    def still(self, batch: Batch) -> Batch:
        return batch


def _window(x: jax.Array, top: jax.Array, left: jax.Array, size: tuple[int, int]) -> jax.Array:
    """A part of one example [H, W, ...]."""
    start = (top, left, *[0] * (x.ndim - 2))
    return jax.lax.dynamic_slice(x, start, (*size, *x.shape[2:]))


@dataclasses.dataclass(frozen=True)
class Shift:
    """Moves pictures and masks by up to `pixels` each way; what comes in repeats the edge."""

    pixels: int = field(1, "largest shift")
    of: tuple[str, ...] = field(("image",), "names of the fields")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a shift below 1."""
        at_least(1, view__pixels=self.pixels)
        for name in self.of:
            need("the view Shift()", name, fields.get(name), Image, Mask)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        most = self.pixels
        places = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, 2 * most + 1))(keys)
        for name in self.of:
            x = batch[name]
            h, w = x.shape[1:3]
            around = [(0, 0), (most, most), (most, most), *[(0, 0)] * (x.ndim - 3)]
            wide = jnp.pad(x, around, mode="edge")
            moved = jax.vmap(lambda x, at, size=(h, w): _window(x, at[0], at[1], size))(
                wide, places
            )
            batch = _changed(batch, name, moved)
        return batch

    def still(self, batch: Batch) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square part at a random place, the same of all the named fields; evaluation sees the middle."""

    size: int = field(16, "side [pixels]")
    of: tuple[str, ...] = field(("image",), "names of the fields")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a part larger than it."""
        for name in self.of:
            need("the view Crop()", name, fields.get(name), Image, Mask)
            h, w = fields[name].shape[:2]
            if not 1 <= self.size <= min(h, w):
                raise UserError(
                    f"--view=Crop(size={self.size}) does not fit pictures of {h}x{w}: use 1 to {min(h, w)}."
                )

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        for name in self.of:
            shape = (self.size, self.size, *fields[name].shape[2:])
            fields = _like(fields, name, shape)
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        h, w = batch[self.of[0]].shape[1:3]
        most = jnp.array([h - self.size + 1, w - self.size + 1])
        places = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, most))(keys)
        return self._cut(batch, places)

    def still(self, batch: Batch) -> Batch:
        x = batch[self.of[0]]
        middle = jnp.array([(n - self.size) // 2 for n in x.shape[1:3]])
        return self._cut(batch, jnp.broadcast_to(middle, (len(x), 2)))

    def _cut(self, batch: Batch, places: jax.Array) -> Batch:
        size = (self.size, self.size)
        for name in self.of:
            if name in batch:  # sampling may be given less than training
                cut = jax.vmap(lambda x, at: _window(x, at[0], at[1], size))(batch[name], places)
                batch = _changed(batch, name, cut)
        return batch


@dataclasses.dataclass(frozen=True)
class Noise:
    """Adds Gaussian noise, in the field's own units; pictures are cut to [0, 1] after it."""

    scale: float = field(0.05, "standard deviation")
    of: str = field("image", "name of the field")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that holds no real numbers."""
        at_least(0, view__scale=self.scale)
        need("the view Noise()", self.of, fields.get(self.of), Image, Film, Points, Series)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        stored = batch[self.of]
        x = to_float(stored)
        noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(keys)
        noisy = x + self.scale * noise
        pixels = jnp.issubdtype(stored.dtype, jnp.integer)
        return _changed(batch, self.of, jnp.clip(noisy, 0.0, 1.0) if pixels else noisy)

    def still(self, batch: Batch) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Erase:
    """Sets a square at a random place to 0 (cutout, arXiv:1708.04552)."""

    size: int = field(4, "side of the square [pixels]")
    of: str = field("image", "name of the field")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a square below 1."""
        at_least(1, view__size=self.size)
        need("the view Erase()", self.of, fields.get(self.of), Image)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        x = batch[self.of]
        h, w = x.shape[1:3]
        centres = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, jnp.array([h, w])))(keys)
        rows = jnp.arange(h)[None, :] - centres[:, :1] + self.size // 2  # [B, H]
        columns = jnp.arange(w)[None, :] - centres[:, 1:] + self.size // 2  # [B, W]
        in_rows = (rows >= 0) & (rows < self.size)
        in_columns = (columns >= 0) & (columns < self.size)
        erased = in_rows[:, :, None, None] & in_columns[:, None, :, None]
        return _changed(batch, self.of, jnp.where(erased, jnp.zeros((), x.dtype), x))

    def still(self, batch: Batch) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Frames:
    """K different shots out of the N that an example has, in random order; evaluation sees the first K.

    The named fields have the shots as their first axis: films, or several pictures of one person.
    """

    count: int = field(2, "K")
    of: tuple[str, ...] = field(("image",), "names of the fields")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field without an axis of shots, and for more shots than there are."""
        for name in self.of:
            need("the view Frames()", name, fields.get(name), Film, Points, Series)
            n = fields[name].shape[0]
            if not 1 <= self.count <= n:
                raise UserError(
                    f"--view=Frames(count={self.count}) of the {n} shots of {name!r}: use 1 to {n}."
                )

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        for name in self.of:
            fields = _like(fields, name, (self.count, *fields[name].shape[1:]))
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        n = batch[self.of[0]].shape[1]
        chosen = jax.vmap(lambda key: jax.random.permutation(key, n)[: self.count])(keys)
        for name in self.of:
            batch = _changed(batch, name, jax.vmap(lambda x, at: x[at])(batch[name], chosen))
        return batch

    def still(self, batch: Batch) -> Batch:
        first = {name: batch[name][:, : self.count] for name in self.of if name in batch}
        return {**batch, **first}


View = Flip | Shift | Crop | Noise | Erase | Frames | Own


def seen_fields(views: Sequence[Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are left after all views; UserError for a view that does not fit a field."""
    for view in views:
        view.check(fields)
        fields = view.fields(fields)
    return fields


def viewed(algorithm: Algorithm, views: Sequence[Any], spec: Spec) -> Algorithm:
    """The algorithm that sees its examples through `views`: in training at random, elsewhere the still ones.

    Of data with domains every domain has its own draws.
    """
    if not views:
        return algorithm

    def everywhere(change: Any, batch: Batch) -> Batch:
        if not spec.domains:
            return change(batch, 0)
        changed = {name: change(batch[name], i) for i, name in enumerate(spec.domains)}
        return {**batch, **changed}

    def random(key: jax.Array, batch: Batch) -> Batch:
        def change(part: Batch, domain: int) -> Batch:
            for i, view in enumerate(views):
                at = jax.random.fold_in(jax.random.fold_in(key, SALT + i), domain)
                part = view(example_keys(at, part["index"]), part)
            return part

        return everywhere(change, batch)

    def still(batch: Batch) -> Batch:
        def change(part: Batch, domain: int) -> Batch:
            for view in views:
                part = view.still(part)
            return part

        return everywhere(change, batch)

    def stepping(step: Any) -> Any:
        def run(key, state, batch, axis=None):
            return step(key, state, random(key, batch), axis)

        return run

    def looking(fn: Any) -> Any:
        return None if fn is None else lambda key, state, batch: fn(key, state, still(batch))

    turns = {fn: stepping(fn) for fn in dict.fromkeys((algorithm.step, *algorithm.cycle))}
    return algorithm._replace(
        init=lambda key, batch: algorithm.init(key, still(batch)),
        step=turns[algorithm.step],
        cycle=tuple(turns[fn] for fn in algorithm.cycle),
        evaluate=looking(algorithm.evaluate),
        sample=looking(algorithm.sample),
        encode=looking(algorithm.encode),
    )
