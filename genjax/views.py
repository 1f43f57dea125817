"""Views: what is done to every example inside the training step, drawn anew at every sight; evaluation sees none of it.

A view is a config value with `fields(fields)`, the fields that it leaves; `check(fields)`; `__call__(keys, batch)`,
from one key an example, so that every layout of devices draws the same; and `still(batch)`, what evaluation and
sampling see in its place: the same arrays where the shape stays, else the one most plain choice.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from genjax.config import Own, field
from genjax.core import Algorithm, Batch, Spec, example_keys
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Film, Image, Mask, Points, Series, need, to_float

LUMA = (0.299, 0.587, 0.114)  # of red, green, blue: BT.601
SALT = 0x5EED  # a purpose of its own for the keys: the algorithm's noise must not be that of its views


# A new dict: the caller's batch is left as it was
def _changed(batch: Batch, name: str, value: jax.Array) -> Batch:
    return {**batch, name: value}


def _like(fields: dict[str, Any], name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {**fields, name: dataclasses.replace(fields[name], shape=shape)}


def _same_sizes(view: str, of: Sequence[str], fields: dict[str, Any]) -> None:
    """Raises UserError for fields of different height and width: one place in both is not the same place."""
    sizes = {name: fields[name].shape[:2] for name in of}
    for name, (h, w) in sizes.items():
        first, (height, width) = next(iter(sizes.items()))
        if (h, w) != (height, width):
            raise UserError(
                f"--view={view}(of={tuple(of)}) needs fields of one size, and {first!r} is {height}x{width}, {name!r} "
                f"{h}x{w}: use data whose fields agree, or name one of them."
            )


@dataclasses.dataclass(frozen=True)
class Flip:
    """Left and right change places in half of the sights, in all the named pictures and masks at once."""

    of: tuple[str, ...] = field(("image",), "names of the fields")

    @property
    def moved(self) -> tuple[str, ...]:
        """Fields whose pixels change their places."""
        return self.of

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that has no left and right."""
        for name in self.of:
            need("the view Flip()", name, fields.get(name), Image, Mask)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        turned = jax.vmap(jax.random.bernoulli)(keys)  # [B]
        for name in self.of:
            x = batch[name]  # [B, H, W, ...]
            ones = [1] * (x.ndim - 1)
            which = turned.reshape(-1, *ones)
            mirrored = jnp.flip(x, 2)  # axis 2 is the width
            chosen = jnp.where(which, mirrored, x)
            batch = _changed(batch, name, chosen)
        return batch

    def still(self, batch: Batch) -> Batch:
        return batch


def _window(x: jax.Array, top: jax.Array, left: jax.Array, size: tuple[int, int]) -> jax.Array:
    """A part of one example [H, W, ...]."""
    rest = x.shape[2:]
    start = (top, left, *[0] * len(rest))
    # dynamic: the place is known only when the compiled step runs
    return jax.lax.dynamic_slice(x, start, (*size, *rest))


def _windows(x: jax.Array, places: jax.Array, size: tuple[int, int]) -> jax.Array:
    """A part of every example [B, H, W, ...], its upper left corner at places [B, 2]."""

    def cut(one: jax.Array, at: jax.Array) -> jax.Array:
        return _window(one, at[0], at[1], size)

    return jax.vmap(cut)(x, places)


def _places(keys: jax.Array, end: Any) -> jax.Array:
    """A place [B, 2], below `end`, for each example's key."""

    def place(key: jax.Array) -> jax.Array:
        return jax.random.randint(key, (2,), 0, end)

    return jax.vmap(place)(keys)


@dataclasses.dataclass(frozen=True)
class Shift:
    """Moves pictures and masks by up to `pixels` each way; what comes in repeats the edge."""

    pixels: int = field(1, "largest shift")
    of: tuple[str, ...] = field(("image",), "names of the fields")

    @property
    def moved(self) -> tuple[str, ...]:
        """Fields whose pixels change their places."""
        return self.of

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a shift below 1."""
        at_least(1, view__pixels=self.pixels)
        for name in self.of:
            need("the view Shift()", name, fields.get(name), Image, Mask)
        _same_sizes("Shift", self.of, fields)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        most = self.pixels
        places = _places(keys, 2 * most + 1)  # the place `most` moves nothing
        for name in self.of:
            x = batch[name]  # [B, H, W, ...]
            none, each = (0, 0), (most, most)
            channels = [none] * (x.ndim - 3)  # a mask has none
            wide = jnp.pad(x, [none, each, each, *channels], mode="edge")
            moved = _windows(wide, places, x.shape[1:3])
            batch = _changed(batch, name, moved)
        return batch

    def still(self, batch: Batch) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square part at a random place, the same of all the named fields; evaluation sees the middle."""

    size: int = field(16, "side [pixels]")
    of: tuple[str, ...] = field(("image",), "names of the fields")

    @property
    def moved(self) -> tuple[str, ...]:
        """Fields whose pixels change their places."""
        return self.of

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a part larger than it."""
        for name in self.of:
            need("the view Crop()", name, fields.get(name), Image, Mask)
            h, w = fields[name].shape[:2]
            most = min(h, w)
            if not 1 <= self.size <= most:
                raise UserError(
                    f"--view=Crop(size={self.size}) does not fit pictures of {h}x{w}: use 1 to {most}."
                )
        _same_sizes("Crop", self.of, fields)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        for name in self.of:
            channels = fields[name].shape[2:]
            shape = (self.size, self.size, *channels)  # a mask has no channels
            fields = _like(fields, name, shape)
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        # all named fields have the size of the first
        first = batch[self.of[0]]
        h, w = first.shape[1:3]
        end = jnp.array([h - self.size + 1, w - self.size + 1])
        places = _places(keys, end)  # one for all fields: a mask stays on its picture
        return self._cut(batch, places)

    def still(self, batch: Batch) -> Batch:
        there = [name for name in self.of if name in batch]
        if not there:  # sampling may be given none of them
            return batch
        first = batch[there[0]]
        h, w = first.shape[1:3]
        middle = jnp.array([(h - self.size) // 2, (w - self.size) // 2])
        places = jnp.broadcast_to(middle, (len(first), 2))
        return self._cut(batch, places)

    def _cut(self, batch: Batch, places: jax.Array) -> Batch:
        size = (self.size, self.size)
        for name in self.of:
            if name in batch:  # sampling may be given less than training
                cut = _windows(batch[name], places, size)
                batch = _changed(batch, name, cut)
        return batch


@dataclasses.dataclass(frozen=True)
class Luma:
    """Colour pictures in grey, one channel: the luma of ITU-R BT.601, in whole steps where the colours have them."""

    of: str = field("image", "name of the field")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for one without colour."""
        need("the view Luma()", self.of, fields.get(self.of), Image)
        shape = fields[self.of].shape
        if shape[-1] != 3:
            raise UserError(
                f"--view=Luma() takes pictures of 3 channels, and {self.of!r} is {shape}: leave it out."
            )

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        height, width, _ = fields[self.of].shape
        return _like(fields, self.of, (height, width, 1))

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        return self.still(batch)

    def still(self, batch: Batch) -> Batch:
        if self.of not in batch:  # sampling may be given less than training
            return batch
        stored = batch[self.of]
        colours = to_float(stored)  # bytes in [0, 1]
        grey = jnp.sum(colours * jnp.array(LUMA), -1)  # a product of matrices would round
        if jnp.issubdtype(stored.dtype, jnp.integer):
            grey = jnp.round(255.0 * grey).astype(stored.dtype)
        return _changed(batch, self.of, grey[..., None])


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
        x = to_float(
            stored
        )  # bytes become floats in [0, 1]: rounding back would eat small noise

        def draw(key: jax.Array) -> jax.Array:
            return jax.random.normal(key, x.shape[1:])

        noise = jax.vmap(draw)(keys)  # [B, *shape]
        noisy = x + self.scale * noise
        pixels = jnp.issubdtype(stored.dtype, jnp.integer)
        if pixels:
            noisy = jnp.clip(noisy, 0.0, 1.0)
        return _changed(batch, self.of, noisy)

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
        x = batch[self.of]  # [B, H, W, C]
        h, w = x.shape[1:3]
        # a centre may lie at the edge, as in the paper: part of the square is then outside
        centres = _places(keys, jnp.array([h, w]))  # [B, 2]
        in_rows = self._inside(h, centres[:, :1])  # [B, H]
        in_columns = self._inside(w, centres[:, 1:])  # [B, W]
        erased = in_rows[:, :, None, None] & in_columns[:, None, :, None]
        # 0 is black, not grey: views come before pictures are scaled to [-1, 1]
        zero = jnp.zeros((), x.dtype)  # of the stored type: bytes stay bytes
        kept = jnp.where(erased, zero, x)
        return _changed(batch, self.of, kept)

    def _inside(self, length: int, centres: jax.Array) -> jax.Array:
        """Which of the `length` lines the square covers whose centre is at centres [B, 1]: bool [B, length]."""
        lines = jnp.arange(length)[None, :]
        offset = lines - centres + self.size // 2  # from the square's first line
        return (offset >= 0) & (offset < self.size)

    def still(self, batch: Batch) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Turn:
    """Turns and scales pictures and masks about their centre, all the named fields alike.

    What comes in beyond the edge is mirrored. Pictures between pixels are bilinear, masks those of the nearest pixel.
    """

    degrees: float = field(15.0, "largest turn, either way")
    scale: float = field(1.25, "largest factor, up or down; 1 = none")
    of: tuple[str, ...] = field(("image",), "names of the fields")

    @property
    def moved(self) -> tuple[str, ...]:
        """Fields whose pixels change their places."""
        return self.of

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a scale below 1."""
        at_least(0, view__degrees=self.degrees)
        at_least(1, view__scale=self.scale)
        for name in self.of:
            need("the view Turn()", name, fields.get(name), Image, Mask)
        _same_sizes("Turn", self.of, fields)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        first = batch[self.of[0]]
        places = jax.vmap(lambda key: self._places(key, first.shape[1:3]))(keys)
        for name in self.of:
            x = batch[name]  # [B, H, W, ...]
            # between two classes there is no third
            order = 1 if x.ndim == 4 else 0
            moved = jax.vmap(functools.partial(_taken, order=order))(x, places)
            batch = _changed(batch, name, moved)
        return batch

    def _places(self, key: jax.Array, size: tuple[int, int]) -> jax.Array:
        """Where each pixel is taken from, [2, H, W]."""
        turn, factor = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        angle = jnp.deg2rad(self.degrees) * turn
        # even in its logarithm: as often half as large as twice
        zoom = self.scale**factor
        cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
        middle = jnp.array([(side - 1) / 2 for side in size])[:, None, None]
        y, x = jnp.indices(size) - middle
        return jnp.stack([cos * y - sin * x, sin * y + cos * x]) + middle

    def still(self, batch: Batch) -> Batch:
        return batch


def _taken(x: jax.Array, places: jax.Array, order: int) -> jax.Array:
    """One example [H, W, ...] at places [2, H, W]."""
    flat = x.reshape(*x.shape[:2], -1)

    def one(channel: jax.Array) -> jax.Array:
        return jax.scipy.ndimage.map_coordinates(channel, places, order, mode="mirror")

    return jax.vmap(one, -1, -1)(flat).reshape(x.shape)


@dataclasses.dataclass(frozen=True)
class Colours:
    """Other light and another camera: saturation, contrast, and a gain of each channel; cut to [0, 1] after it."""

    saturation: float = field(0.5, "largest change of the distance to grey, a share")
    contrast: float = field(0.3, "largest change of the distance to the mean, a share")
    gain: float = field(0.2, "largest change of a channel, in its logarithm")
    of: str = field("image", "name of the field")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no colour picture, and for changes that turn it inside out."""
        at_least(0, view__gain=self.gain)
        for name in ("saturation", "contrast"):
            share = getattr(self, name)
            at_least(0, **{f"view__{name}": share})
            at_most(1, **{f"view__{name}": share})
        need("the view Colours()", self.of, fields.get(self.of), Image)
        shape = fields[self.of].shape
        if shape[-1] != 3:
            raise UserError(
                f"--view=Colours() takes pictures of 3 channels, and {self.of!r} is {shape}: leave it out."
            )

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        x = to_float(batch[self.of])  # bytes in [0, 1]
        return _changed(batch, self.of, jax.vmap(self._one)(keys, x))

    def _one(self, key: jax.Array, x: jax.Array) -> jax.Array:
        """One picture [H, W, 3]."""
        saturation, contrast, *gains = jax.random.uniform(key, (5,), minval=-1.0, maxval=1.0)
        grey = jnp.sum(x * jnp.array(LUMA), -1, keepdims=True)
        x = grey + (1.0 + self.saturation * saturation) * (x - grey)
        mean = jnp.mean(x)
        x = mean + (1.0 + self.contrast * contrast) * (x - mean)
        x = x * jnp.exp(self.gain * jnp.stack(gains))
        return jnp.clip(x, 0.0, 1.0)

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
            shot = fields[name].shape[1:]  # without the axis of shots
            fields = _like(fields, name, (self.count, *shot))
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        n = batch[self.of[0]].shape[1]

        def choose(key: jax.Array) -> jax.Array:
            return jax.random.permutation(key, n)[: self.count]

        def pick(x: jax.Array, at: jax.Array) -> jax.Array:
            return x[at]

        chosen = jax.vmap(choose)(keys)  # [B, count], without repetition
        for name in self.of:
            shots = jax.vmap(pick)(batch[name], chosen)
            batch = _changed(batch, name, shots)
        return batch

    def still(self, batch: Batch) -> Batch:
        for name in self.of:
            if name in batch:  # sampling may be given less than training
                first = batch[name][:, : self.count]
                batch = _changed(batch, name, first)
        return batch


View = Flip | Shift | Crop | Turn | Luma | Colours | Noise | Erase | Frames | Own


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
        changed = dict(batch)  # "index" and "position" stay as they are
        for i, name in enumerate(spec.domains):
            changed[name] = change(batch[name], i)
        return changed

    def random(key: jax.Array, batch: Batch) -> Batch:
        def change(part: Batch, domain: int) -> Batch:
            for i, view in enumerate(views):
                of_view = jax.random.fold_in(key, SALT + i)
                at = jax.random.fold_in(of_view, domain)
                keys = example_keys(at, part["index"])  # [B]
                part = view(keys, part)
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
            # `key` is the step's own: a resumed run sees the same views
            seen = random(key, batch)
            return step(key, state, seen, axis)

        return run

    def looking(fn: Any) -> Any:
        if fn is None:  # what an algorithm cannot do stays absent
            return None

        def run(key, state, batch):
            return fn(key, state, still(batch))

        return run

    def drawing(picture: Any) -> Any:
        if picture is None:
            return None

        def run(samples, given):
            # truth beside an output is what the model saw: of its shape, in its colours
            return picture(samples, still(given))

        return run

    def init(key, batch):
        # the shapes that the nets will see
        return algorithm.init(key, still(batch))

    # one new function for each old one: a step that comes twice in the cycle is compiled once
    turns = {}
    for fn in (algorithm.step, *algorithm.cycle):
        turns.setdefault(fn, stepping(fn))
    return algorithm._replace(
        init=init,
        step=turns[algorithm.step],
        cycle=tuple(turns[fn] for fn in algorithm.cycle),
        evaluate=looking(algorithm.evaluate),
        sample=looking(algorithm.sample),
        encode=looking(algorithm.encode),
        picture=drawing(algorithm.picture),
    )
