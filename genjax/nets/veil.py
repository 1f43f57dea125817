"""A net for what lies over a picture in one colour and one opacity: it finds where, and fits a line for the rest.

A picture x under a mark of coverage s, opacity a and colour c is y = (1 - a s) x + a s c. Two nets say what is local:
`find` the coverage, and `net` what is left to mend. Between them a and c, which are one for all of a picture, come of
least squares: with a smooth filling u of what is covered in the place of x,

    y - u = s (b - a u) + what the filling is off,    b = a c                                                  (1)

is a line in the unknown a and b. What they take off,

    x = (y - s b) / (1 - s a)                                                                                  (2)

is exact where s, a and b are, and errors of the filling over a thousand pixels are averaged. On plain ground the
filling itself is better than what shines through, so `net` chooses between the two, pixel by pixel.

Where a and b are known, eq. 1 is turned round to what each pixel itself says of its coverage,

    s = <y - u, b - a u> / |b - a u|²                                                                          (3)

which tells an edge of the mark from one of the picture: the second has another colour, or another height. With `again`
the second net sees it, corrects what the first has found, and a and b are fitted once more. Then too the place p of the
mark, where anything is covered at all, is told apart from s: at an edge p is 1 and s is not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.nets.fill import push_pull
from genjax.nets.flops import NOTHING, Told
from genjax.nets.plain import PlainUNet

RARE = 2.0  # logits: at first a pixel is covered by 12 %; less, and it learns more slowly
MOST = 0.9  # a stays below: eq. 2 has a pole at 1
SOME = 1e-2  # pixels with something under them that are 0: nothing is fitted where nothing is covered
FLAT = 1e-3  # of |b - a u|²: where mark and picture are of one colour eq. 3 says nothing
FAR = 2.0  # eq. 3 is cut here either way: an edge of the picture may be many times as high as the mark's
DOUBT = 4  # of a pixel that is covered by s the filling takes (1 - s)^4


class Unveil(nn.Module):
    """(x [B, H, W, C], time, condition or None) -> what is to be taken away from x, [B, H, W, C], as `PlainUNet`.

    A condition's maps [B, H, W, 1] tell where the mark is: -1 there, 1 elsewhere. Least squares go over the whole
    picture: it has no reach, and tiles would be seen.
    """

    find: nn.Module = field(PlainUNet(bias=True), "net(x, time, cond, out) of the coverage")
    net: nn.Module = field(PlainUNet(bias=True), "net(x, time, cond, out) that mends the rest")
    again: bool = field(
        False,
        "coverage and place are told apart, `net` corrects both, and the line is fitted a second time",
        added=True,
    )

    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        wrong, _ = self.found(x, time, cond, out)
        return wrong

    @nn.compact
    def found(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> tuple[jax.Array, jax.Array]:
        """What is to be taken away from x, and logits of where anything is to be taken away.

        The logits are [B, H, W, 1]; with `again` [B, H, W, 2], of the first sight and of the second.
        """
        height, width, channels = out
        known = None if cond is None or cond.maps is None else 0.5 * (cond.maps + 1.0)
        looked = x
        if known is not None:
            # who is told where sees besides how far each pixel is from its surroundings
            off = x - push_pull(x, known)
            looked = jnp.concatenate([x, off], -1)
        # copies: a net that stands in both places has other weights in each
        find = self.find.copy(name="finder")
        mend = self.net.copy(name="mend")
        sights = (height, width, 1 + self.again)
        said = find(looked, time, cond, sights) - RARE
        first = lifted(x, said, known)

        seen = self._shown(x, first)
        answers = (height, width, self._says(channels))
        maps = mend(seen, time, None, answers)
        borders = [channels, channels + 1]
        rest, plain, more = jnp.split(maps, borders, -1)
        last = first
        logits = said[..., -1:]
        if self.again:
            second = said + more
            last = lifted(x, second, known)
            # both sights are taught where it is
            logits = jnp.concatenate([logits, second[..., -1:]], -1)
        # plain ground is filled, and elsewhere what shines through is kept
        filled = last.p * nn.sigmoid(plain)
        rather = last.under - last.taken
        best = last.taken + filled * rather
        wrong = x - best + last.p * rest
        return wrong, logits

    def _shown(self, x: jax.Array, first: Lifted) -> jax.Array:
        """What `net` sees: both answers and how far they are apart, the coverage, the opacity at every pixel."""
        opacity = jnp.broadcast_to(first.a, first.s.shape)
        off = x - first.under
        apart = first.taken - first.under
        seen = [first.taken, off, apart, first.s, opacity]
        if self.again:
            seen += [first.p, *implied(x, first)]
        return jnp.concatenate(seen, -1)

    def _says(self, channels: int) -> int:
        """Channels of what `net` says: the rest, how plain the ground is; by how much coverage and place are off."""
        return channels + 1 + 2 * self.again

    @property
    def unit(self) -> int:
        """Sides of pictures must divide by it: what both nets inside ask [pixels]."""
        return math.lcm(self.find.unit, self.net.unit)

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example: those of the two nets inside, see `genjax.nets.flops`."""
        height, width, channels = out
        # channels beyond the picture's own are the map of where
        twice = shape[-1] > channels
        looked = (height, width, shape[-1] + channels * twice)
        more = channels + 2
        seen = (height, width, 3 * channels + 2 + more * self.again)
        finding = self.find.flops(looked, (height, width, 1 + self.again), told)
        return finding + self.net.flops(seen, (height, width, self._says(channels)), told)


class Lifted(NamedTuple):
    """A picture without its mark, by a coverage and the line that is fitted to it."""

    s: jax.Array  # [B, H, W, 1]: the coverage
    p: jax.Array  # [B, H, W, 1]: whether there is any
    under: jax.Array  # [B, H, W, C]: the filling u
    a: jax.Array  # [B, 1, 1, 1]
    b: jax.Array  # [B, 1, 1, C]
    taken: jax.Array  # [B, H, W, C]: eq. 2


def lifted(y: jax.Array, logits: jax.Array, known: jax.Array | None) -> Lifted:
    """By logits [B, H, W, 2] of coverage and place, or [B, H, W, 1] of both in one.

    known: 1 where nothing is covered, None where nobody tells.
    """
    s = nn.sigmoid(logits[..., :1])
    p = nn.sigmoid(logits[..., -1:])
    free = (1.0 - p) ** DOUBT
    if known is not None:
        covered = 1.0 - known
        s = s * covered
        p = p * covered
        free = known
    under = push_pull(y, free)
    a, b = fitted(y, under, s)
    shines = 1.0 - s * a
    taken = (y - s * b) / shines
    return Lifted(s, p, under, a, b, taken)


def implied(y: jax.Array, first: Lifted) -> list[jax.Array]:
    """[eq. 3, [B, H, W, 1]; what it leaves of y - u, [B, H, W, C]] of pictures y [B, H, W, C], by a first fit."""
    off = y - first.under
    whole = first.b - first.a * first.under
    along = jnp.sum(off * whole, -1, keepdims=True)
    square = jnp.sum(jnp.square(whole), -1, keepdims=True)
    ratio = along / (square + FLAT)
    s = jnp.clip(ratio, -FAR, FAR)
    left = off - s * whole
    return [s, left]


def fitted(y: jax.Array, under: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(a [B, 1, 1, 1], b [B, 1, 1, C]) of eq. 1 by least squares, of a coverage s [B, H, W, 1]; a in [0, MOST]."""
    places = (1, 2)
    square = jnp.square(s)
    weight = jnp.sum(square, places, keepdims=True) + SOME
    # for any a the best b is offset + a mean
    off = y - under
    offset = jnp.sum(s * off, places, keepdims=True) / weight
    mean = jnp.sum(square * under, places, keepdims=True) / weight
    apart = under - mean
    left = off - s * offset
    # one slope for all channels
    whole = (1, 2, 3)
    along = jnp.sum(s * apart * left, whole, keepdims=True)
    length = jnp.sum(square * jnp.square(apart), whole, keepdims=True)
    best = -along / (length + SOME)
    a = jnp.clip(best, 0.0, MOST)
    b = offset + a * mean
    return a, b
