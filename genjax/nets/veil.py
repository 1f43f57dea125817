"""A net for what lies over a picture in one colour and one opacity: it finds where, and fits a line for the rest.

A picture x under a mark of coverage s, opacity a and colour c is y = (1 - a s) x + a s c. Two nets say what is local:
`find` the coverage, and `net` what is left to mend. Between them a and c, which are one for all of a picture, come of
least squares: with a smooth filling u of what is covered in the place of x,

    y - u = s (b - a u) + what the filling is off,    b = a c                                                  (1)

is a line in the unknown a and b. What they take off,

    x = (y - s b) / (1 - s a)                                                                                  (2)

is exact where s, a and b are, and errors of the filling over a thousand pixels are averaged. On plain ground the
filling itself is better than what shines through, so `net` chooses between the two, pixel by pixel.
"""

from __future__ import annotations

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
DOUBT = 4  # of a pixel that is covered by s the filling takes (1 - s)^4


class Unveil(nn.Module):
    """(x [B, H, W, C], time, condition or None) -> what is to be taken away from x, [B, H, W, C], as `PlainUNet`.

    A condition's maps [B, H, W, 1] tell where the mark is: -1 there, 1 elsewhere. Least squares go over the whole
    picture: it has no reach, and tiles would be seen.
    """

    find: nn.Module = field(PlainUNet(bias=True), "net(x, time, cond, out) of the coverage")
    net: nn.Module = field(PlainUNet(bias=True), "net(x, time, cond, out) that mends the rest")

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
        """(what is to be taken away from x, logits [B, H, W, 1] of where anything is to be taken away)."""
        height, width, channels = out
        known = None if cond is None or cond.maps is None else 0.5 * (cond.maps + 1.0)
        # who is told where sees besides how far each pixel is from its surroundings
        looked = x if known is None else jnp.concatenate([x, x - push_pull(x, known)], -1)
        # copies: a net that stands in both places has other weights in each
        find = self.find.copy(name="finder")
        mend = self.net.copy(name="mend")
        logits = find(looked, time, cond, (height, width, 1)) - RARE
        s = nn.sigmoid(logits)
        if known is not None:
            s = s * (1.0 - known)
        free = (1.0 - s) ** DOUBT if known is None else known
        under = push_pull(x, free)
        a, b = fitted(x, under, s)
        taken = (x - s * b) / (1.0 - s * a)

        everywhere = jnp.broadcast_to(a, s.shape)
        seen = [taken, x - under, taken - under, s, everywhere]
        maps = mend(jnp.concatenate(seen, -1), time, None, (height, width, channels + 1))
        rest, plain = jnp.split(maps, [channels], -1)
        filled = s * nn.sigmoid(plain)
        best = taken + filled * (under - taken)
        return x - best + s * rest, logits

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example: those of the two nets inside, see `genjax.nets.flops`."""
        height, width, channels = out
        # channels beyond the picture's own are the map of where
        twice = shape[-1] > channels
        looked = (height, width, shape[-1] + channels * twice)
        seen = (height, width, 3 * channels + 2)
        finding = self.find.flops(looked, (height, width, 1), told)
        return finding + self.net.flops(seen, (height, width, channels + 1), told)


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
    along = jnp.sum(s * apart * left, (1, 2, 3), keepdims=True)
    length = jnp.sum(square * jnp.square(apart), (1, 2, 3), keepdims=True)
    a = jnp.clip(-along / (length + SOME), 0.0, MOST)
    return a, offset + a * mean
