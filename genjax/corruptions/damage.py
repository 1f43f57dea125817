"""Damage that is drawn for each example: what a picture is restored from.

A corruption is a config value, called with one key an example and unit values x [B, ...], pictures [B, H, W, C] in
[0, 1]. It gives what is left, how much was done to it, and which pixels are as they were: what a restorer that is not
blind is told. Nothing is clipped or rounded, unless the corruption is one of rounding: noise that was cut to [0, 1] has
another mean, and a method that knows the cut would win by it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from genjax.config import Own, field
from genjax.corruptions.jpeg import jpeg
from genjax.corruptions.projections import Projection
from genjax.errors import UserError


class Damaged(NamedTuple):
    """What is left of examples, and what can be told of it."""

    x: jax.Array  # [B, ...]
    level: jax.Array  # [B]: how much was done, in the corruption's own unit
    known: jax.Array | None = (
        None  # [B, H, W, 1]: 1 where a pixel is as it was, 0 where it is lost
    )


def _check_range(what: str, low: float, high: float, most: float = jnp.inf) -> None:
    """Raises UserError unless 0 <= low <= high <= most."""
    if not 0 <= low <= high <= most:
        limit = "" if most == jnp.inf else f" <= {most:g}"
        raise UserError(
            f"{what} is drawn between low and high: 0 <= low <= high{limit}, got {low:g} and {high:g}."
        )


def _uniform(keys: jax.Array, low: float, high: float) -> jax.Array:
    """One number in [low, high] for each key, [B]."""

    def draw(key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, minval=low, maxval=high)

    return jax.vmap(draw)(keys)


def _of_level(
    keys: jax.Array, x: jax.Array, level: jax.Array, do: Callable[..., jax.Array]
) -> jax.Array:
    """do(key, example, level) for each example, with a key that has not drawn the level."""

    def one(key: jax.Array, example: jax.Array, amount: jax.Array) -> jax.Array:
        return do(jax.random.fold_in(key, 1), example, amount)

    return jax.vmap(one)(keys, x, level)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Adds N(0, sigma²), sigma drawn for each example; its level is sigma, in the field's own units."""

    unbiased: ClassVar[bool] = True  # its mean is the example

    low: float = field(0.0, "least sigma, of pixels in [0, 1]: 25/255 is 0.098")
    high: float = field(0.2, "greatest sigma; the same as low = fixed")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a range that is none."""
        _check_range("sigma of Gaussian()", self.low, self.high)

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        sigma = _uniform(keys, self.low, self.high)

        def noise(key: jax.Array, example: jax.Array, amount: jax.Array) -> jax.Array:
            eps = jax.random.normal(key, example.shape)
            return example + amount * eps

        return Damaged(_of_level(keys, x, sigma, noise), sigma)


@dataclasses.dataclass(frozen=True)
class Poisson:
    """Counts photons: y = n / peak with n ~ Poisson(peak x); its level is peak^-1/2, the deviation at white."""

    unbiased: ClassVar[bool] = True  # its mean is the example

    low: float = field(0.03, "least deviation at white; 0.03 = about 1,100 photons")
    high: float = field(0.2, "greatest deviation at white; 0.2 = 25 photons")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a range that is none; without any noise there are infinitely many photons."""
        _check_range("the deviation of Poisson()", self.low, self.high)
        if not self.low:
            raise UserError("the deviation of Poisson() is above 0: set low to 0.001 or more.")

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        deviation = _uniform(keys, self.low, self.high)

        def count(key: jax.Array, example: jax.Array, amount: jax.Array) -> jax.Array:
            peak = 1.0 / amount**2  # photons at white
            # other noise before may have left less than no light
            expected = jnp.maximum(peak * example, 0.0)
            photons = jax.random.poisson(key, expected)
            return photons / peak

        return Damaged(_of_level(keys, x, deviation, count), deviation)


@dataclasses.dataclass(frozen=True)
class SaltPepper:
    """Sets a share of the pixels to black or white, all channels at once, not told which. Its level is the share."""

    low: float = field(0.0, "least share of the pixels")
    high: float = field(0.2, "greatest share")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for shares outside [0, 1]."""
        _check_range("the share of SaltPepper()", self.low, self.high, 1.0)

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        share = _uniform(keys, self.low, self.high)

        def spoil(key: jax.Array, example: jax.Array, amount: jax.Array) -> jax.Array:
            pixels = (*example.shape[:2], 1)  # all channels at once
            draw = jax.random.uniform(key, pixels)
            half = 0.5 * amount
            black = draw < half
            white = draw > 1.0 - half
            salted = jnp.where(white, 1.0, example)
            return jnp.where(black, 0.0, salted)

        return Damaged(_of_level(keys, x, share, spoil), share)


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Loses a share of the pixels, all channels at once: 0 there, and told where. Its level is the share."""

    low: float = field(0.5, "least share of the pixels that is lost")
    high: float = field(0.9, "greatest share")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for shares outside [0, 1]."""
        _check_range("the share of Pixels()", self.low, self.high, 1.0)

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        share = _uniform(keys, self.low, self.high)
        nothing = jnp.zeros((*x.shape[:3], 1))

        def draw(key: jax.Array, example: jax.Array, amount: jax.Array) -> jax.Array:
            kept = jax.random.uniform(key, example.shape) >= amount
            return kept.astype(jnp.float32)

        known = _of_level(keys, nothing, share, draw)
        return Damaged(x * known, share, known)


@dataclasses.dataclass(frozen=True)
class Holes:
    """Loses rectangles at random places, each of sides drawn by itself: 0 there, and told where."""

    count: int = field(1, "rectangles, which may overlap")
    low: float = field(0.2, "least side, share of the picture's")
    high: float = field(0.5, "greatest side")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for sides outside [0, 1], and for no rectangle."""
        _check_range("the side of Holes()", self.low, self.high, 1.0)
        if self.count < 1:
            raise UserError(f"Holes(count={self.count}) loses nothing: use 1 or more.")

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        height, width = x.shape[1:3]
        one = functools.partial(self._known, height=height, width=width)
        known = jax.vmap(one)(keys)  # [B, H, W, 1]
        lost = 1.0 - jnp.mean(known, (1, 2, 3))
        return Damaged(x * known, lost, known)

    def _known(self, key: jax.Array, height: int, width: int) -> jax.Array:
        """1 outside all rectangles of one example, [H, W, 1]."""
        size_key, place_key = jax.random.split(key)
        shape = (self.count, 2)
        share = jax.random.uniform(size_key, shape, minval=self.low, maxval=self.high)
        picture = jnp.array([height, width])
        # whole pixels: one is lost or known
        sides = jnp.round(share * picture)  # [count, 2]
        places = picture - sides + 1.0  # where a side may begin
        draw = jax.random.uniform(place_key, shape)
        first = jnp.floor(draw * places)
        last = first + sides
        rows = jnp.arange(height)[:, None]  # [H, 1]: every row against every rectangle
        columns = jnp.arange(width)[:, None]
        in_rows = _between(rows, first[:, 0], last[:, 0])  # [H, count]
        in_columns = _between(columns, first[:, 1], last[:, 1])
        inside = in_rows[:, None] & in_columns[None]  # [H, W, count]
        known = ~jnp.any(inside, -1, keepdims=True)
        return known.astype(jnp.float32)


def _between(at: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    """Places from the first to the last, which is not among them."""
    return (at >= first) & (at < last)


@dataclasses.dataclass(frozen=True)
class Blur:
    """Averages with a Gaussian of a drawn width; edges are repeated. Its level is the width [pixels]."""

    low: float = field(0.5, "least standard deviation [pixels]")
    high: float = field(2.0, "greatest standard deviation")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a range that is none, and for a kernel wider than the picture."""
        _check_range("the width of Blur()", self.low, self.high)
        if not self.low:
            raise UserError("the width of Blur() is above 0: set low to 0.1 or more.")
        side = min(shape[:2])
        if self._reach >= side:
            most = (side - 1) / 3
            raise UserError(
                f"Blur(high={self.high:g}) reaches {self._reach} pixels, and pictures are {shape[0]}x{shape[1]}: use "
                f"a high of at most {most:g}."
            )

    @property
    def _reach(self) -> int:
        """Half the kernel's side: three deviations hold 99.7 % of a Gaussian."""
        pixels = math.ceil(3.0 * self.high)
        return max(1, pixels)

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        width = _uniform(keys, self.low, self.high)

        def smooth(key: jax.Array, example: jax.Array, amount: jax.Array) -> jax.Array:
            rows = self._along(example, amount, 0)
            return self._along(rows, amount, 1)

        return Damaged(_of_level(keys, x, width, smooth), width)

    def _along(self, x: jax.Array, width: jax.Array, axis: int) -> jax.Array:
        """One picture [H, W, C] smoothed along one axis: the Gaussian is a product."""
        reach = self._reach
        offset = jnp.arange(-reach, reach + 1)
        square = (offset / width) ** 2
        weight = jnp.exp(-0.5 * square)
        weight = weight / weight.sum()  # the mean stays
        around = [(0, 0)] * x.ndim
        around[axis] = (reach, reach)
        wide = jnp.pad(x, around, mode="edge")
        n = x.shape[axis]
        total = jnp.zeros_like(x)
        for i in range(2 * reach + 1):
            moved = jax.lax.slice_in_dim(wide, i, i + n, axis=axis)
            total += weight[i] * moved
        return total


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """What JPEG leaves at a drawn quality, colour at full resolution. Its level is 1 - quality / 100."""

    low: float = field(10.0, "least quality, 1 to 100 as in libjpeg")
    high: float = field(50.0, "greatest quality")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a quality outside 1 to 100, and for pictures of neither 1 nor 3 channels."""
        if not 1 <= self.low <= self.high <= 100:
            raise UserError(
                f"the quality of Jpeg() is drawn between low and high, 1 <= low <= high <= 100: got {self.low:g} and "
                f"{self.high:g}."
            )
        if shape[-1] not in (1, 3):
            raise UserError(
                f"Jpeg() takes pictures of 1 or 3 channels, and these have {shape[-1]}."
            )

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        quality = _uniform(keys, self.low, self.high)
        left = jax.vmap(jpeg)(x, quality)
        return Damaged(left, 1.0 - quality / 100.0)


@dataclasses.dataclass(frozen=True)
class Lost:
    """A projection as damage: grey, coarse, a fixed hole. Nothing is drawn, so its level is always 1."""

    by: Projection = field(dataclasses.MISSING, "what loses")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for pictures that the projection does not fit."""
        one = jnp.zeros((1, *shape))
        jax.eval_shape(self.by, one)

    def __call__(self, keys: jax.Array, x: jax.Array) -> Damaged:
        always = jnp.ones(len(x))
        return Damaged(self.by(x), always)


Corruption = Gaussian | Poisson | SaltPepper | Pixels | Holes | Blur | Jpeg | Lost | Own


def damaged(corruptions: Sequence[Corruption], keys: jax.Array, x: jax.Array) -> Damaged:
    """All corruptions in turn, each with keys of its own: levels [B, corruptions], and what all of them left known."""
    levels = []
    known = None
    for i, corruption in enumerate(corruptions):
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        x, level, left = corruption(own, x)
        levels.append(level)
        if left is not None:
            # a pixel that was lost before stays lost
            known = left if known is None else known * left
    return Damaged(x, jnp.stack(levels, -1), known)
