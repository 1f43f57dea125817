"""Defects painted on textures, each with the mask of exactly what was touched: what cameras over a production line see.

A family is a config value: called with a key and a picture [H, W, C] in [0, 1] it gives (the picture with one defect,
its mask bool [H, W]). Outside of the mask the picture is what it was, to the bit. `Defects` draws a family for each
example by its key, and is damage as `genjax.corruptions.damage` has it, so that a restorer can be trained on some
families; others, none of which it has seen, test it (as DRAEM has it, Zavrtanik et al. 2021, arXiv:2108.07610).
Lengths are shares of the picture's side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, random

from genjax.config import Own, field
from genjax.corruptions.damage import Damaged
from genjax.errors import UserError

One = tuple[Array, Array]  # a picture [H, W, C] with a defect, and its mask bool [H, W]
WAVES = 4  # of an outline: more would look like a saw
POINTS = 64  # of a bent line, at least


class Painted(NamedTuple):
    """Pictures with defects, where they are, and of which family."""

    x: Array  # [B, H, W, C]
    mask: Array  # bool [B, H, W]
    family: Array  # [B]


# What families share.


def _axes(x: Array) -> tuple[Array, Array]:
    """(y, x) of the middles of all pixels, in [0, 1], each [H, W]."""
    h, w, _ = x.shape
    rows = jnp.arange(h) + 0.5
    columns = jnp.arange(w) + 0.5
    # rows first, as pictures have them
    return jnp.meshgrid(rows / h, columns / w, indexing="ij")


def _about(centre: Array, x: Array) -> tuple[Array, Array]:
    """(down, across): how far all pixels are from a centre [2], each [H, W]."""
    down, across = _axes(x)
    row, column = centre
    return down - row, across - column


def _centre(key: Array) -> Array:
    """A place [2] that is not at the edge."""
    return random.uniform(
        key,
        (2,),
        minval=0.2,
        maxval=0.8,
    )


def _between(
    key: Array,
    low: float,
    high: float,
) -> Array:
    """One number."""
    return random.uniform(key, minval=low, maxval=high)


def _contrast(
    key: Array,
    low: float,
    high: float,
) -> Array:
    """A change of light, as often up as down."""
    of_size, of_sign = random.split(key)
    size = _between(of_size, low, high)
    up = random.bernoulli(of_sign)
    return jnp.where(up, size, -size)


def _width(
    key: Array,
    pixels: float,
    greatest: float,
    x: Array,
) -> Array:
    """The width of a line, of so many pixels or more."""
    # a thinner one would have holes
    least = pixels / min(x.shape[:2])
    most = max(greatest, least)
    return _between(key, least, most)


def _where(
    mask: Array,
    inside: Array,
    x: Array,
) -> One:
    """A picture that is `inside` within the mask, cut to what a picture can hold."""
    cut = jnp.clip(inside, 0.0, 1.0)
    # of all channels
    wide = mask[..., None]
    return jnp.where(wide, cut, x), mask


def _blob(
    key: Array,
    x: Array,
    low: float,
    high: float,
) -> Array:
    """A round region with a wavy outline, bool [H, W]; low and high: of its radius."""
    of_place, of_radius, of_waves, of_phase = random.split(key, 4)
    centre = _centre(of_place)
    down, across = _about(centre, x)
    angle = jnp.arctan2(down, across)
    radius = _between(of_radius, low, high)
    # the first wave would only move it
    orders = jnp.arange(2, 2 + WAVES)
    # higher waves are smaller, so that the outline stays one
    heights = random.uniform(of_waves, (WAVES,)) / orders
    phases = random.uniform(of_phase, (WAVES,), maxval=2.0 * jnp.pi)
    turns = angle[..., None] * orders + phases  # [H, W, WAVES]
    waves = jnp.cos(turns) @ heights
    outline = radius * (1.0 + 0.5 * waves)
    return jnp.hypot(down, across) < outline


# The families.


@dataclasses.dataclass(frozen=True)
class Scratch:
    """A thin bent line, lighter or darker than its ground."""

    low: float = field(0.15, "least change of light")
    high: float = field(0.45, "greatest change of light")
    width: float = field(0.03, "greatest width")

    def __call__(
        self,
        key: Array,
        x: Array,
    ) -> One:
        of_line, of_width, of_light = random.split(key, 3)
        # one point a pixel of a long side, or it would break into dots
        line = _bent(of_line, max(POINTS, *x.shape[:2]))
        rows, columns = line.T
        down, across = _axes(x)
        # from each pixel to all points of the line, [H, W, points]
        y = down[..., None] - rows
        z = across[..., None] - columns
        distance = jnp.hypot(y, z)
        nearest = jnp.min(distance, -1)
        width = _width(of_width, 1.5, self.width, x)
        light = _contrast(of_light, self.low, self.high)
        return _where(nearest < 0.5 * width, x + light, x)


def _bent(key: Array, points: int) -> Array:
    """A quadratic Bézier curve, by points [points, 2] that lie near enough to each other for every pixel."""
    of_ends, of_bend = random.split(key)
    ends = random.uniform(
        of_ends,
        (2, 2),
        minval=0.05,
        maxval=0.95,
    )
    bend = random.uniform(
        of_bend,
        (2,),
        minval=-0.25,
        maxval=0.25,
    )
    first, last = ends
    middle = 0.5 * (first + last) + bend
    t = jnp.linspace(0.0, 1.0, points)[:, None]
    # (1 - t)² first + 2 t (1 - t) middle + t² last
    rest = 1.0 - t
    line = rest**2 * first
    line += 2.0 * t * rest * middle
    return line + t**2 * last


@dataclasses.dataclass(frozen=True)
class Blot:
    """An opaque drop of one light, nearly flat."""

    low: float = field(0.06, "least radius")
    high: float = field(0.16, "greatest radius")

    def __call__(
        self,
        key: Array,
        x: Array,
    ) -> One:
        of_shape, of_colour, of_share = random.split(key, 3)
        mask = _blob(of_shape, x, self.low, self.high)
        channels = x.shape[-1:]
        colour = random.uniform(of_colour, channels)
        # a little of the grain is seen through it
        share = _between(of_share, 0.7, 1.0)
        inside = x + share * (colour - x)
        return _where(mask, inside, x)


@dataclasses.dataclass(frozen=True)
class Stain:
    """A region that is darker or lighter, by colours where there are any; the texture is seen through it."""

    low: float = field(0.08, "least radius")
    high: float = field(0.2, "greatest radius")

    def __call__(
        self,
        key: Array,
        x: Array,
    ) -> One:
        of_shape, of_tint, of_sign = random.split(key, 3)
        mask = _blob(of_shape, x, self.low, self.high)
        channels = x.shape[-1:]
        # of each channel its own: a stain has a colour
        strength = random.uniform(
            of_tint,
            channels,
            minval=0.25,
            maxval=0.6,
        )
        darker = (1.0 - strength) * x
        lighter = x + strength * (1.0 - x)
        up = random.bernoulli(of_sign)
        inside = jnp.where(up, lighter, darker)
        return _where(mask, inside, x)


@dataclasses.dataclass(frozen=True)
class Dent:
    """A disc in which the texture is seen enlarged, shaded from one side to the other as a hollow is."""

    low: float = field(0.1, "least radius")
    high: float = field(0.2, "greatest radius")

    def __call__(
        self,
        key: Array,
        x: Array,
    ) -> One:
        of_place, of_radius, of_power, of_light = random.split(key, 4)
        centre = _centre(of_place)
        radius = _between(of_radius, self.low, self.high)
        power = _between(of_power, 0.4, 0.6)
        down, across = _about(centre, x)
        distance = jnp.hypot(down, across) / radius
        # r -> r^(1 + p): the middle is enlarged, the edge stays; no derivative at 0 is needed
        pull = jnp.power(jnp.maximum(distance, 1e-6), power)
        h, w, _ = x.shape
        row, column = centre
        # back to numbers of pixels, whose middles lie at halves
        rows = h * (row + pull * down) - 0.5
        columns = w * (column + pull * across) - 0.5
        inside = _read(x, rows, columns)
        # of flat ground all that is seen; the middle and the far edge are as light as before
        depth = _contrast(of_light, 0.2, 0.4)
        slope = depth * distance * (1.0 - distance**2)
        side = jnp.sin(jnp.arctan2(down, across))
        shade = slope * side
        return _where(distance < 1.0, inside + shade[..., None], x)


def _read(
    x: Array,
    rows: Array,
    columns: Array,
) -> Array:
    """A picture [H, W, C] at places [H, W] between its pixels, bilinear."""

    def channel(plane: Array) -> Array:
        places = [rows, columns]
        return jax.scipy.ndimage.map_coordinates(
            plane,
            places,
            order=1,
            mode="nearest",
        )

    return jax.vmap(channel, -1, -1)(x)


@dataclasses.dataclass(frozen=True)
class Patch:
    """A turned rectangle copied from elsewhere in the picture, a little lighter or darker (CutPaste, Li et al. 2021,
    arXiv:2104.04015)."""

    low: float = field(0.15, "least side")
    high: float = field(0.35, "greatest side")

    def __call__(
        self,
        key: Array,
        x: Array,
    ) -> One:
        of_place, of_sides, of_angle, of_shift, of_light = random.split(key, 5)
        centre = _centre(of_place)
        sides = random.uniform(
            of_sides,
            (2,),
            minval=self.low,
            maxval=self.high,
        )
        angle = random.uniform(of_angle, maxval=jnp.pi)
        down, across = _about(centre, x)
        # in the rectangle's own axes
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        along = cosine * down + sine * across
        beside = cosine * across - sine * down
        high, wide = 0.5 * sides
        mask = jnp.abs(along) < high
        mask &= jnp.abs(beside) < wide
        # the picture goes on beyond its border, and is turned: a plain copy may fit by chance
        least = min(x.shape[:2])
        shift = random.randint(of_shift, (2,), 0, least)
        elsewhere = jnp.roll(x, shift, (0, 1))
        h, w, _ = x.shape
        source = elsewhere[::-1]
        if h == w:  # a quarter turn keeps the shape
            source = jnp.rot90(elsewhere)
        # of flat ground a copy alone would be nothing
        light = _contrast(of_light, 0.05, 0.15)
        return _where(mask, source + light, x)


@dataclasses.dataclass(frozen=True)
class Thread:
    """A thread that is missing: a straight line over all of the picture, level or upright, gone flat."""

    width: float = field(0.05, "greatest width")

    def __call__(
        self,
        key: Array,
        x: Array,
    ) -> One:
        of_place, of_width, of_turn, of_light = random.split(key, 4)
        down, across = _axes(x)
        upright = random.bernoulli(of_turn)
        place = _between(of_place, 0.1, 0.9)
        width = _width(of_width, 2.0, self.width, x)
        axis = jnp.where(upright, across, down)
        mask = jnp.abs(axis - place) < 0.5 * width
        light = _contrast(of_light, 0.05, 0.2)
        # what lies under a texture has its mean and none of its grain
        ground = jnp.mean(x, (0, 1)) + light
        inside = jnp.broadcast_to(ground, x.shape)
        return _where(mask, inside, x)


Family = Scratch | Blot | Stain | Dent | Patch | Thread | Own


@dataclasses.dataclass(frozen=True)
class Defects:
    """Paints a defect of one of some families on each picture. Its level is the share of the pixels it touches."""

    families: tuple[Family, ...] = field((Scratch(), Blot(), Stain()), "each as often")
    clean: float = field(0.0, "share of the pictures that stay as they are")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for no family, a share that is none, and what is no picture of 16 pixels a side or more."""
        if not self.families:
            raise UserError("Defects(families=()) paints nothing: name one, e.g. (Scratch(),).")
        if not 0.0 <= self.clean < 1.0:
            raise UserError(f"Defects(clean={self.clean:g}) must be a share from 0 to below 1.")
        if len(shape) != 3 or min(shape[:2]) < 16:
            raise UserError(
                f"Defects() are painted on pictures of 16 pixels a side or more, not on {shape}."
            )

    def __call__(
        self,
        keys: Array,
        x: Array,
    ) -> Damaged:
        painted = self.painted(keys, x)
        touched = jnp.mean(painted.mask, (1, 2))
        # one for all channels, as a restorer is told
        known = ~painted.mask[..., None]
        told = known.astype(jnp.float32)
        return Damaged(painted.x, touched, told)

    def painted(
        self,
        keys: Array,
        x: Array,
    ) -> Painted:
        """The pictures [B, H, W, C] with their masks, by the examples' keys [B] alone."""
        one = jax.vmap(self._one)
        drawn = one(keys, x)
        return Painted(*drawn)

    def _one(
        self,
        key: Array,
        x: Array,
    ) -> tuple[Array, Array, Array]:
        of_family, of_clean, of_defect = random.split(key, 3)
        count = len(self.families)
        number = random.randint(of_family, (), 0, count)
        # a family is called as a function is
        seen, mask = jax.lax.switch(number, self.families, of_defect, x)
        clean = random.bernoulli(of_clean, self.clean)
        left = jnp.where(clean, x, seen)
        return left, mask & ~clean, number


def shared(some: Sequence[Family], others: Sequence[Family]) -> list[str]:
    """The names of families that are on both sides, however they are set; [] where none is."""
    here = {type(family).__name__ for family in some}
    there = {type(family).__name__ for family in others}
    both = here & there
    return sorted(both)
