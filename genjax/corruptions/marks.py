"""Text and logos over pictures: what agencies lay over previews, drawn anew for each example.

With the coverage m of a pixel in [0, 1], the mark's opacity a and its colour c,

    y = (1 - a m) x + a m c                                                                                    (1)

so whoever knows m, a and c has x = (y - a m c) / (1 - a m) where a m < 1 (`removed`), and nobody does: the same y comes
of a light picture and a dark one. Opacity and colour are one for all of a picture, which is what gives them away
(Dekel et al. 2017, 10.1109/CVPR.2017.726, from many pictures with one mark).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from genjax.config import field
from genjax.corruptions.damage import Damaged
from genjax.corruptions.stencils import SEEN, Bank, Letters, Logos
from genjax.errors import UserError, at_least, at_most

TRIES = 32  # draws of a mark, until its share of the pixels is as asked
SMALLEST, LARGEST = (
    0.7,
    1.5,
)  # zooms of a stencil: more would blur its edges or make them jagged
AWAY = 1e6  # from a mark that is alone to the next [pixels]


class Mark(NamedTuple):
    """What lies over pictures."""

    coverage: Array  # [B, H, W, 1] in [0, 1]; below a bound it is 0
    alpha: Array  # [B]: opacity
    colour: Array  # [B, C] in [0, 1]

    @property
    def veil(self) -> Array:
        """a m, the share of the mark in each pixel, [B, H, W, 1]."""
        alpha = jnp.reshape(self.alpha, (-1, 1, 1, 1))
        return alpha * self.coverage

    @property
    def light(self) -> Array:
        """a m c, what comes of the mark itself, [B, H, W, C]."""
        colour = jnp.expand_dims(self.colour, (1, 2))
        return self.veil * colour


def laid(x: Array, mark: Mark) -> Array:
    """Pictures [B, H, W, C] under a mark: eq. 1."""
    through = 1.0 - mark.veil
    return through * x + mark.light


def removed(y: Array, mark: Mark) -> Array:
    """The inverse of `laid`, exact where a m < 1: what only who knows all of the mark can do."""
    through = 1.0 - mark.veil
    return (y - mark.light) / through


class Stencils(NamedTuple):
    """All banks in one, and what must be known of each stencil to place it."""

    maps: np.ndarray  # uint8 [N, S, S]
    ink: np.ndarray  # [N]: pixels that are covered
    sides: np.ndarray  # [N, 2]: height and width of what is covered


@functools.lru_cache(maxsize=8)
def stencils(banks: tuple[Bank, ...], count: int, side: int) -> Stencils:
    """`count` stencils of each bank."""
    of_banks = []
    for bank in banks:
        of_banks.append(bank.maps(count, side))
    maps = np.concatenate(of_banks)
    covered = maps >= SEEN
    ink = covered.sum((1, 2))
    in_rows = covered.any(2)
    in_columns = covered.any(1)
    sides = [in_rows.sum(1), in_columns.sum(1)]
    return Stencils(maps, ink, np.stack(sides, 1))


class Place(NamedTuple):
    """Where one mark lies in a picture: turned, scaled, on a lattice whose cells hold a stencil each."""

    which: Array  # its number among the stencils
    zoom: Array  # of a stencil's pixel [pixels]
    angle: Array  # [radians]
    centre: Array  # [2], row and column of the middle [pixels]
    cell: Array  # [2], height and width of a cell [a stencil's pixels]
    phase: Array  # [2], how far a cell's middle is from the mark's [cells]
    stagger: Array  # of a row of cells against the one before [cells]


@dataclasses.dataclass(frozen=True)
class Marks:
    """Lays a mark over each picture, once or repeated all over, and tells where. Its level is the opacity."""

    banks: tuple[Bank, ...] = field(
        (Letters(), Logos()),
        "what is drawn, each as often",
    )
    low: float = field(0.3, "least opacity alpha")
    high: float = field(0.7, "greatest opacity")
    least: float = field(0.05, "least share of the pixels that a mark covers, if in part")
    most: float = field(0.15, "greatest share")
    alone: float = field(0.5, "share of the marks that are there once, if their size allows it")
    tilt: float = field(45.0, "greatest rotation either way, of two in three marks [degrees]")
    white: float = field(0.5, "share of the marks that are white")
    black: float = field(0.15, "share of black ones; of the others every second is grey")
    side: int = field(128, "most pixels of a stencil: pictures have as many a side or more")
    count: int = field(192, "stencils of each bank")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for shares and opacities that are none, and for pictures smaller than a stencil."""
        _check_between("the opacity", self.low, self.high, 1.0)
        _check_between("the share", self.least, self.most, 0.5)
        shares = {"alone": self.alone, "white": self.white, "black": self.black}
        at_least(0, "Marks: ", tilt=self.tilt, **shares)
        at_most(1, "Marks: ", **shares)
        at_most(1, "Marks: white + ", black=self.white + self.black)
        at_least(1, "Marks: ", count=self.count)
        at_least(16, "Marks: ", side=self.side)
        if not self.banks:
            raise UserError("Marks(banks=()) has nothing to draw: name one, e.g. (Letters(),).")
        for bank in self.banks:
            bank.check()
        side = min(shape[:2])
        if side < self.side:
            raise UserError(
                f"Marks(side={self.side}) draws over pictures of {self.side} pixels a side or more, and these have "
                f"{side}: use a side of at most that."
            )

    def __call__(self, keys: Array, x: Array) -> Damaged:
        mark = self.draw(keys, x.shape[1:])
        known = mark.coverage == 0
        told = known.astype(jnp.float32)
        return Damaged(laid(x, mark), mark.alpha, told)

    def draw(self, keys: Array, shape: tuple[int, ...]) -> Mark:
        """The marks of pictures of a shape (H, W, C), by their keys [B] alone."""
        one = functools.partial(self._one, shape=shape)
        drawn = jax.vmap(one)(keys)
        return Mark(*drawn)

    def _one(self, key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
        """(coverage [H, W, 1], alpha, colour [C]) of one picture."""
        h, w, channels = shape
        of_place, of_alpha, of_colour = random.split(key, 3)
        alpha = random.uniform(of_alpha, minval=self.low, maxval=self.high)
        coverage = self._coverage(of_place, h, w)
        colour = self._colour(of_colour, channels)
        return coverage[..., None], alpha, colour

    def _colour(self, key: Array, channels: int) -> Array:
        """White, black, a grey or any colour, [C]."""
        of_kind, of_grey, of_colour = random.split(key, 3)
        kind = random.uniform(of_kind)
        grey = random.uniform(of_grey)
        colour = random.uniform(of_colour, (channels,))
        plain = self.white + self.black
        # half of what is neither white nor black
        greyish = kind < 0.5 * (1.0 + plain)
        drawn = jnp.where(greyish, grey, colour)
        drawn = jnp.where(kind < plain, 0.0, drawn)
        return jnp.where(kind < self.white, 1.0, drawn)

    def _coverage(self, key: Array, h: int, w: int) -> Array:
        """A mark that covers a share of the pixels as asked, [h, w]: the first of several draws that does."""

        def unfit(carry: tuple) -> Array:
            tries, coverage = carry
            share = jnp.mean(coverage > 0)
            little = share < self.least
            much = share > self.most
            return (little | much) & (tries < TRIES)

        def again(carry: tuple) -> tuple:
            tries, _ = carry
            own = random.fold_in(key, tries)
            place = self._place(own, h, w)
            return tries + 1, self._drawn(place, h, w)

        nothing = jnp.zeros((h, w))
        first = jnp.zeros((), jnp.int32)
        _, coverage = jax.lax.while_loop(unfit, again, (first, nothing))
        return coverage

    def _place(self, key: Array, h: int, w: int) -> Place:
        """One draw of a place, with cells so wide, or a mark so large, that its share is near one that is drawn."""
        keys = random.split(key, 9)
        _, inks, all_sides = stencils(self.banks, self.count, self.side)
        which = random.randint(keys[0], (), 0, len(inks))
        ink = jnp.asarray(inks)[which]
        sides = jnp.asarray(all_sides)[which]
        share = random.uniform(keys[1], minval=self.least, maxval=self.most)
        angle = self._angle(keys[2])

        # there once, it has the size that gives the share, unless that would spoil its edges
        area = share * h * w
        fitting = jnp.sqrt(area / ink)
        small = fitting < SMALLEST
        large = fitting > LARGEST
        wanted = random.bernoulli(keys[3], self.alone)
        alone = wanted & ~small & ~large
        drawn = random.uniform(keys[4], minval=SMALLEST, maxval=LARGEST)
        zoom = jnp.where(alone, fitting, drawn)
        centre = _centre(keys[5], zoom * sides, angle, (h, w))

        cell = _cell(ink / share, sides)
        phase = random.uniform(keys[6], (2,))
        stagger = random.bernoulli(keys[7])
        return Place(
            which,
            zoom,
            angle,
            centre,
            jnp.where(alone, AWAY, cell),
            jnp.where(alone, 0.0, phase),
            jnp.where(stagger, 0.5, 0.0),
        )

    def _drawn(self, place: Place, h: int, w: int) -> Array:
        """The coverage of a mark at its place, [h, w]."""
        y, x = _turned(place, h, w)
        # in cells from the middle of the first, [h, w] each
        down = y / place.cell[0] + place.phase[0]
        row = jnp.round(down)
        across = x / place.cell[1] + place.phase[1]
        across += place.stagger * row
        column = jnp.round(across)
        # each pixel against the stencil of its own cell
        y = (down - row) * place.cell[0]
        x = (across - column) * place.cell[1]
        held = stencils(self.banks, self.count, self.side)
        coverage = _read(held.maps, place.which, y, x)
        # what is outside is as it was, and not nearly so
        seen = coverage >= SEEN / 255.0
        return jnp.where(seen, coverage, 0.0)

    def _angle(self, key: Array) -> Array:
        """In radians; one mark in three stands upright."""
        of_kind, of_angle = random.split(key)
        upright = random.bernoulli(of_kind, 1 / 3)
        most = math.radians(self.tilt)
        angle = random.uniform(of_angle, minval=-most, maxval=most)
        return jnp.where(upright, 0.0, angle)


def _check_between(what: str, low: float, high: float, most: float) -> None:
    """Raises UserError unless 0 < low <= high <= most."""
    if not 0 < low <= high <= most:
        raise UserError(
            f"{what} of Marks() is drawn between two numbers, 0 < low <= high <= {most:g}: got {low:g} and {high:g}."
        )


def _cell(area: Array, sides: Array) -> Array:
    """Height and width [2] of a cell of an area, with the same gap on both axes around what has these sides [2].

    (high + gap) (wide + gap) = area, solved for the gap: what fills more than the cell keeps a little all the same.
    """
    high, wide = sides
    apart = jnp.square(high - wide)
    root = jnp.sqrt(apart + 4.0 * area)
    gap = 0.5 * (root - high - wide)
    return sides + jnp.maximum(gap, 2.0)


def _centre(key: Array, sides: Array, angle: Array, shape: tuple[int, int]) -> Array:
    """Where a mark's middle is, [2]: so that all of a turned one is in the picture, else in the picture's middle."""
    high, wide = sides
    sine = jnp.abs(jnp.sin(angle))
    cosine = jnp.abs(jnp.cos(angle))
    tall = high * cosine + wide * sine
    broad = wide * cosine + high * sine
    reach = jnp.stack([tall, broad])
    room = jnp.array(shape) - reach
    free = jnp.maximum(room, 0.0)
    first = 0.5 * (jnp.array(shape) - free)
    draw = random.uniform(key, (2,))
    return first + draw * free


def _turned(place: Place, h: int, w: int) -> tuple[Array, Array]:
    """(y, x), each [h, w]: where each pixel lies in the axes of a stencil about its middle [its pixels]."""
    rows = jnp.arange(h) + 0.5
    columns = jnp.arange(w) + 0.5
    down = jnp.expand_dims(rows - place.centre[0], 1)
    across = columns - place.centre[1]
    sine = jnp.sin(place.angle) / place.zoom
    cosine = jnp.cos(place.angle) / place.zoom
    y = cosine * down - sine * across
    x = sine * down + cosine * across
    return y, x


def _read(maps: np.ndarray, which: Array, y: Array, x: Array) -> Array:
    """Coverage in [0, 1] at places about the middle of a map, by bilinear weights; none beyond it."""
    side = maps.shape[1]
    flat = jnp.ravel(maps)
    top, down = _split(y, side)
    left, across = _split(x, side)
    first = (which * side + top) * side + left

    def along(start: Array) -> Array:
        """Between two neighbours in a row."""
        one = flat[start].astype(jnp.float32)
        next_one = flat[start + 1].astype(jnp.float32)
        return one + across * (next_one - one)

    upper = along(first)
    lower = along(first + side)
    covered = upper + down * (lower - upper)
    return covered / 255.0


def _split(offset: Array, side: int) -> tuple[Array, Array]:
    """(pixel before, share of the way to the next) of an offset from a map's middle; at its empty border it ends."""
    # the middle of the first pixel is at 0
    middle = 0.5 * (side - 1)
    place = jnp.clip(offset + middle, 0.0, side - 1.0)
    before = jnp.floor(place)
    before = jnp.minimum(before, side - 2.0)
    return before.astype(jnp.int32), place - before
