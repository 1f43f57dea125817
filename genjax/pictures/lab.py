"""sRGB and CIE L*a*b* (CIE 15:2004, white D65 of the 2 degree observer), and what a picture is in light and in colour.

    xyz = M linear(rgb),   f(t) = t^(1/3) above (6/29)³, else t / (3 (6/29)²) + 4/29
    L = 116 f(Y) - 16,   a = 500 (f(X) - f(Y)),   b = 200 (f(Y) - f(Z)),   each of X, Y, Z as a part of the white's

`linear` is that of IEC 61966-2-1. L runs from 0 to 100; of sRGB colours a and b lie between -108 and 99. Written for
jnp, differentiable everywhere, also at black. White and M are printed with few digits: of grey a and b are within 0.01
of 0 and not 0.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.pictures.draw import grid

# rows X, Y, Z of linear red, green, blue
TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
# the same digits, so that there and back is where it was; once, in float64: no program has to invert it
FROM_XYZ = np.linalg.inv(TO_XYZ)
WHITE = (0.95047, 1.0, 1.08883)
BEND = 6.0 / 29.0  # f where its line meets its root
STEEP = 3.0 * BEND**2  # the line's slope is 1 over this
FLAT = 4.0 / 29.0  # the line at 0
SLACK = 2e-5  # of unit values: rounding puts colours on the gamut's border outside it
Ends = tuple[jax.Array, jax.Array]  # of an interval, each [..., 1]
HALVINGS = 16  # of the interval in which the greatest chroma lies: a part in 65,536


def _mixed(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """The colours of x [..., 3] through the rows of a matrix, in full float32."""
    return jnp.einsum(
        "...c,kc->...k",
        x,
        matrix,
        precision=jax.lax.Precision.HIGHEST,
    )


def _bent(x: jax.Array, low: jax.Array, bend: float, high) -> jax.Array:
    """`low` up to `bend`, high(x) above it."""
    # a root is never asked at 0, where its slope is infinite and 0 times it no number
    above = x > bend
    safe = jnp.where(above, x, 1.0)
    return jnp.where(above, high(safe), low)


def linear(rgb: jax.Array) -> jax.Array:
    """Stored unit values [...] in proportion to light."""

    def power(x: jax.Array) -> jax.Array:
        base = (x + 0.055) / 1.055
        return base**2.4

    return _bent(rgb, rgb / 12.92, 0.04045, power)


def stored(light: jax.Array) -> jax.Array:
    """The inverse of `linear`."""

    def root(x: jax.Array) -> jax.Array:
        return 1.055 * x ** (1.0 / 2.4) - 0.055

    return _bent(light, 12.92 * light, 0.0031308, root)


def to_lab(rgb: jax.Array) -> jax.Array:
    """Unit sRGB [..., 3] -> L, a, b [..., 3]."""
    matrix = jnp.array(TO_XYZ)
    white = jnp.array(WHITE)
    light = linear(jnp.asarray(rgb))
    xyz = _mixed(light, matrix)
    part = xyz / white
    line = part / STEEP
    line = line + FLAT
    f = _bent(part, line, BEND**3, jnp.cbrt)
    fx, fy, fz = jnp.moveaxis(f, -1, 0)
    l = 116.0 * fy - 16.0
    a = 500.0 * (fx - fy)
    b = 200.0 * (fy - fz)
    return jnp.stack([l, a, b], -1)


def _unclipped(lab: jax.Array) -> jax.Array:
    """L, a, b [..., 3] -> unit sRGB, which leaves [0, 1] where a screen has no such colour."""
    l, a, b = jnp.moveaxis(jnp.asarray(lab), -1, 0)
    fy = (l + 16.0) / 116.0
    fx = fy + a / 500.0
    fz = fy - b / 200.0
    # below 0 there is no such light, and its cube would not tell by how much
    fz = jnp.maximum(fz, 0.0)
    f = jnp.stack([fx, fy, fz], -1)
    line = STEEP * (f - FLAT)
    part = _bent(f, line, BEND, _cube)
    back = jnp.array(FROM_XYZ, jnp.float32)
    xyz = part * jnp.array(WHITE)
    light = _mixed(xyz, back)
    return stored(light)


def _cube(x: jax.Array) -> jax.Array:
    return x**3


def from_lab(lab: jax.Array) -> jax.Array:
    """L, a, b [..., 3] -> unit sRGB [..., 3]; what lies outside the gamut is clipped, which changes its L too."""
    rgb = _unclipped(lab)
    return jnp.clip(rgb, 0.0, 1.0)


def in_gamut(lab: jax.Array) -> jax.Array:
    """Whether sRGB has the colours [..., 3]: bool [...]."""
    rgb = _unclipped(lab)
    most = 1.0 + SLACK
    above = rgb >= -SLACK
    below = rgb <= most
    return jnp.all(above & below, -1)


def painted(light: jax.Array, ab: jax.Array) -> jax.Array:
    """Light L [..., 1] with colour ab [..., 2] as unit sRGB [..., 3], L kept whatever the colour.

    A colour that sRGB has not at this L becomes the most colourful one it has of the same hue; grey it always has.
    """
    low = jnp.zeros_like(light)
    high = jnp.ones_like(light)

    def at(share: jax.Array) -> jax.Array:
        less = share * ab
        return jnp.concatenate([light, less], -1)

    def fits(share: jax.Array) -> jax.Array:
        inside = in_gamut(at(share))
        return inside[..., None]

    def halve(_: jax.Array, ends: Ends) -> Ends:
        low, high = ends
        middle = 0.5 * (low + high)
        inside = fits(middle)
        return (
            jnp.where(inside, middle, low),
            jnp.where(inside, high, middle),
        )

    # halving comes near 1 and never to it
    whole = fits(high)
    # a loop of XLA's: written out, it would be compiled sixteen times
    most, _ = jax.lax.fori_loop(0, HALVINGS, halve, (low, high))
    share = jnp.where(whole, 1.0, most)
    return from_lab(at(share))


def apart(rgb: jax.Array, fold: int = 1) -> tuple[jax.Array, jax.Array]:
    """Unit sRGB [B, H, W, 3] -> light L [B, H, W, 1], and colour ab [B, H / fold, W / fold, 2]: means of blocks."""
    lab = to_lab(rgb)
    light = lab[..., :1]
    ab = lab[..., 1:]
    return light, means(ab, fold)


def means(planes: jax.Array, fold: int) -> jax.Array:
    """Planes [B, H, W, C] -> the means of blocks of fold x fold pixels, [B, H / fold, W / fold, C]."""
    b, h, w, c = planes.shape
    rows = h // fold
    columns = w // fold
    blocks = planes.reshape(b, rows, fold, columns, fold, c)
    return blocks.mean((2, 4))


def together(light: jax.Array, ab: jax.Array) -> jax.Array:
    """The inverse of `apart` but for what the means have lost: unit sRGB [B, H, W, 3] with the light L as it is given.

    Colour is drawn between the blocks' centres, as eyes that see less detail in it than in light forgive.
    """
    shape = (*light.shape[:3], 2)
    fine = jax.image.resize(ab, shape, "bilinear")
    return painted(light, fine)


def grey(light: jax.Array) -> jax.Array:
    """Light L [..., 1] without colour, as unit sRGB [..., 3]."""
    shape = (*light.shape[:-1], 2)
    none = jnp.zeros(shape)
    return painted(light, none)


def rows(samples: dict[str, Any], truth: Any) -> np.ndarray:
    """A row a picture: {"input": its light [B, H, W, 3], "coloured": colourings [B, K, H, W, 3]}, and the truth.

    uint8 [H', W', 3].
    """
    given = np.asarray(samples["input"])
    made = np.asarray(samples["coloured"])
    last = np.asarray(truth)
    row = [
        given[:, None],
        made,
        last[:, None],
    ]
    pictures = np.concatenate(row, 1)  # [B, K + 2, H, W, 3]
    _, columns, *shape = pictures.shape
    tiles = pictures.reshape(-1, *shape)
    return grid(tiles, columns)
