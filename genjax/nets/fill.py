"""A net for what is lost: it begins at a smooth filling of the holes, and says what that is off.

The filling is push-pull's (Gortler et al. 1996, 10.1145/237170.237200, section 3.4): averages of what is known, each
level at half the size of the one before, until nothing is unknown; on the way back what is still unknown at a level is
taken from the coarser one. A border that is plain is continued plainly before anything is learned, where a net that
sees zeros in a hole would have to learn the colour of every sky. What the filling is off is said in units of the
picture's own contrast, about its own mean: of a sky with little in it little is changed.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets.flops import NOTHING, Told
from genjax.nets.plain import PlainUNet

PLAIN = 1e-3  # the least contrast: of a picture of one colour nothing is made


class Filled(nn.Module):
    """(x [B, H, W, C], time, condition with maps) -> what is to be taken away from x, [B, H, W, C], as `PlainUNet`.

    The maps [B, H, W, 1] are 1 where x is known and -1 where it is lost. The filling has no reach: a hole's colour may
    come from anywhere.
    """

    net: nn.Module = field(
        PlainUNet(), "net(x, time, cond, out) that is given the filled picture"
    )

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        if cond is None or cond.maps is None:
            raise UserError(
                "Filled is not told what is lost: use --algorithm.blind=False and damage that tells, as Holes()."
            )
        known = 0.5 * (cond.maps + 1.0)
        filled = push_pull(x, known)
        middle = jnp.mean(filled, (1, 2), keepdims=True)  # [B, 1, 1, C]
        square = jnp.square(filled - middle)
        variance = jnp.mean(square, (1, 2, 3), keepdims=True)
        spread = jnp.sqrt(variance + PLAIN**2)  # one for all channels
        seen = (filled - middle) / spread
        off = self.net(seen, time, cond, out)
        return (x - filled) + spread * off

    def flops(self, shape: tuple[int, ...], out: tuple[int, ...], told: Told = NOTHING) -> int:
        """Operations of a forward pass of one example: those of the net inside, see `genjax.nets.flops`."""
        return self.net.flops(shape, out, told)


def push_pull(x: jax.Array, known: jax.Array) -> jax.Array:
    """x [B, H, W, C] where known [B, H, W, 1] is 1, and a smooth continuation of it where it is 0.

    A share between 0 and 1 mixes the two. Where nothing at all is known it is 0.
    """
    height, width = x.shape[1:3]
    if max(height, width) == 1:
        return known * x
    # pull: the mean of what is known among each 2x2, and whether there is any
    weight = _halved(known)
    mean = _halved(known * x) / jnp.maximum(weight, 1e-6)
    coarse = push_pull(mean, jnp.minimum(4.0 * weight, 1.0))
    # push: between the coarse pixels' centres
    above = jax.image.resize(coarse, x.shape, "linear")
    return known * x + (1.0 - known) * above


def _halved(x: jax.Array) -> jax.Array:
    """The mean of each 2x2, [B, ⌈H / 2⌉, ⌈W / 2⌉, C]; a side that is odd is continued by zeros."""
    height, width = x.shape[1:3]
    even = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    return nn.avg_pool(even, (2, 2), (2, 2))
