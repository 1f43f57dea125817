"""Augmentation of all that the discriminator sees, data and samples alike, so that few data last longer.

D is trained on T(x) and T(G(z)), G through D(T(G(z))), T differentiable (Zhao et al. 2020, arXiv:2006.10738, sec. 3).
Each example draws its T from its own key. `Ada` applies every transformation with a probability p that follows how sure
D is of the data (Karras et al. 2020, arXiv:2006.06676, eq. 1):

    r = E sign(D(T(x))),    p <- clip(p + rate sign(r - target), 0, 1)

Flips and turns do not leak into samples while p < 0.8, say, since upright images are then the commonest; at p = 1 the
generator may learn any one of the turns (ibid., sec. 2). Digits and clothes have an upright, and half a turn makes a 6
a 9: `Ada(turns=False)` leaves turns out, a higher `target` keeps p low. Of 8x8 pixels 1/8 of the side is one pixel, and
the cutout hides 4x4. What `DiffAugment` leaves empty is 0, grey between black and white.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from genjax.config import field
from genjax.core import Spec
from genjax.errors import UserError, at_least

EXACT = jax.lax.Precision.HIGHEST  # so that ones and zeros only move pixels, on accelerators too
matmul = functools.partial(jnp.matmul, precision=EXACT)
uniform = jax.random.uniform


@dataclasses.dataclass(frozen=True)
class Plain:
    """No augmentation: images and points pass as they are."""

    def __call__(self, keys: jax.Array, x: jax.Array, memory: Any) -> jax.Array:
        return x

    def init(self) -> dict[str, jax.Array]:
        return {}

    def adapt(self, memory: Any, metrics: Any) -> dict[str, jax.Array]:
        return memory

    def metrics(self, memory: Any) -> dict[str, jax.Array]:
        return {}

    def check(self, spec: Spec) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class DiffAugment:
    """Colour, translation and cutout of every example, always (arXiv:2006.10738, sec. 4: the policy of all three)."""

    colour: bool = field(
        True, "random brightness, contrast and, of images with 3 channels, saturation"
    )
    translation: float = field(0.125, "largest shift, share of the side; filled with 0; 0 = off")
    cutout: float = field(0.5, "side of the hole, share of the image's; 0 = off")
    init, adapt, metrics = Plain.init, Plain.adapt, Plain.metrics  # nothing to remember

    def __call__(self, keys: jax.Array, x: jax.Array, memory: Any) -> jax.Array:
        """[B, H, W, C] in [-1, 1] -> the same shape; colours may leave the range."""
        return jax.vmap(self.one)(keys, x)

    def one(self, key: jax.Array, x: jax.Array) -> jax.Array:
        by_colour, by_shift, by_hole = jax.random.split(key, 3)
        x = recolour(by_colour, x) if self.colour else x
        most = (_pixels(self.translation, x.shape[0]), _pixels(self.translation, x.shape[1]))
        x = shift(x, random_shift(by_shift, most), most) if any(most) else x
        return x * outside(by_hole, x.shape[:2], self.cutout)[..., None] if self.cutout else x

    def check(self, spec: Spec) -> None:
        """UserError for data that are no images and for shares outside [0, 1]."""
        _check(spec, "DiffAugment", translation=self.translation, cutout=self.cutout)


def recolour(key: jax.Array, x: jax.Array) -> jax.Array:
    """x [H, W, C] brighter by U(-1/2, 1/2); saturation times U(0, 2), if C = 3; contrast times U(1/2, 3/2)."""
    u = uniform(key, (3,))
    x = x + u[0] - 0.5
    if x.shape[-1] == 3:
        grey = jnp.mean(x, -1, keepdims=True)
        x = grey + 2.0 * u[1] * (x - grey)
    mean = jnp.mean(x)
    return mean + (0.5 + u[2]) * (x - mean)


def _pixels(share: float, side: int) -> int:
    return int(share * side + 0.5)


def random_shift(key: jax.Array, most: tuple[int, int]) -> jax.Array:
    """(t_y, t_x), int32, each uniform over the whole pixels up to `most` either way."""
    most = jnp.array(most)
    return jnp.floor(uniform(key, (2,)) * (2 * most + 1)).astype(jnp.int32) - most


def shift(x: jax.Array, t: jax.Array, most: tuple[int, int]) -> jax.Array:
    """x [H, W, C] -> y[i, j] = x[i + t_y, j + t_x], 0 from beyond the border; t is within `most` either way."""
    wide = jnp.pad(x, ((most[0], most[0]), (most[1], most[1]), (0, 0)))
    return jax.lax.dynamic_slice(wide, (t[0] + most[0], t[1] + most[1], 0), x.shape)


def outside(key: jax.Array, sides: tuple[int, int], share: float) -> jax.Array:
    """[H, W]: 0 in a rectangle of `share` of the sides, centred anywhere in the image and cut at its border, else 1."""
    inside = []
    for u, n in zip(uniform(key, (2,)), sides, strict=True):
        hole = _pixels(share, n)
        first = (
            jnp.floor(u * (n + 1 - hole % 2)) - hole // 2
        )  # the hole's centre is a pixel, or a corner of pixels
        inside.append((jnp.arange(n) >= first) & (jnp.arange(n) < first + hole))
    return 1.0 - (inside[0][:, None] & inside[1]).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Ada:
    """Adaptive augmentation (arXiv:2006.06676, app. B: "bgc"), resampled bilinearly instead of by wavelets."""

    blit: bool = field(True, "flips, quarter turns and whole-pixel shifts up to 1/8 of the side")
    geometry: bool = field(True, "scales, rotation and fractional shifts")
    colour: bool = field(
        True, "brightness, contrast and, of images with 3 channels, luma flip, hue and saturation"
    )
    turns: bool = field(True, "flips, quarter turns and rotation, where their group is on")
    p: float = field(0.0, "probability of each transformation at the start")
    rate: float = field(
        1e-4, "change of p a discriminator step (the paper's: batch / 500,000); 0 = p stays"
    )
    target: float = field(0.6, "mean sign of D on data above which p grows")

    def __call__(self, keys: jax.Array, x: jax.Array, memory: Any) -> jax.Array:
        """[B, H, W, C] in [-1, 1] -> the same shape; colours may leave the range. At p = 0 nothing changes."""
        return jax.vmap(self.one, (0, 0, None))(keys, x, memory["p"])

    def one(self, key: jax.Array, x: jax.Array, p: jax.Array) -> jax.Array:
        r = draws(key, 14)
        places = blits(r[:, :4], p, x.shape[:2], self.turns) if self.blit else []
        places += geometries(r[:, 4:9], p, x.shape[:2], self.turns) if self.geometry else []
        x = resample(x, functools.reduce(matmul, places)) if places else x
        return tint(r[:, 9:], p, x) if self.colour else x

    def init(self) -> dict[str, jax.Array]:
        return {"p": jnp.asarray(self.p, jnp.float32)}

    def adapt(self, memory: Any, metrics: Any) -> dict[str, jax.Array]:
        """One step of p by metrics["sign"], the mean of sign(D) over augmented data."""
        return {
            "p": jnp.clip(
                memory["p"] + self.rate * jnp.sign(metrics["sign"] - self.target), 0.0, 1.0
            )
        }

    def metrics(self, memory: Any) -> dict[str, jax.Array]:
        return {"augment_p": memory["p"]}

    def check(self, spec: Spec) -> None:
        """UserError for data that are no images, quarter turns of oblongs, and numbers out of range."""
        _check(spec, "Ada", p=self.p)
        at_least(0.0, algorithm__augment__rate=self.rate)
        if self.blit and self.turns and spec.shape[0] != spec.shape[1]:
            raise UserError(
                f"--algorithm.augment.turns=True turns images by 90 degrees and these are not square, {spec.shape}: "
                "use --algorithm.augment.turns=false."
            )


def draws(key: jax.Array, n: int) -> jax.Array:
    """[3, n]: coins U(0, 1), U(-1, 1) and N(0, 1), all at once, since every call to draw takes long to compile."""
    k = jax.random.split(key)
    coin, u = uniform(k[0], (2, n))
    return jnp.stack([coin, 2.0 * u - 1.0, jax.random.normal(k[1], (n,))])


def blits(r: jax.Array, p: jax.Array, sides: tuple[int, int], turns: bool) -> list[jax.Array]:
    """Draws [3, 4] -> flip, quarter turn, whole-pixel shift, each [3, 3]: (y, x, 1) in the output -> in the input.

    Places are in pixels from the centre.
    """
    coin, u, _ = r
    flip = jnp.where((coin[0] < p) & (u[0] < 0.0), -1.0, 1.0)
    quarters = jnp.where(coin[1] < p, jnp.floor(2.0 * u[1]), 0.0)
    t = jnp.where(coin[2] < p, jnp.round(0.125 * u[2:] * jnp.array(sides)), 0.0)
    turned = (
        [_affine(1.0, 0.0, 0.0, flip), jnp.round(_turned(quarters * jnp.pi / 2))] if turns else []
    )
    return [*turned, _affine(1.0, 0.0, 0.0, 1.0, t)]


def geometries(r: jax.Array, p: jax.Array, sides: tuple[int, int], turns: bool) -> list[jax.Array]:
    """Draws [3, 5] -> scale, rotation before and after a stretch, and fractional shift, each [3, 3] as above."""
    coin, u, n = r
    # Inverses have the same distributions. Two rotations, each this often, are at least one with probability p.
    often = 1.0 - jnp.sqrt(1.0 - p) if turns else 0.0
    scale, stretch = jnp.where(coin[:2] < p, jnp.exp2(0.2 * n[:2]), 1.0)
    before, after = jnp.where(coin[2:4] < often, jnp.pi * u[2:4], 0.0)
    t = jnp.where(coin[4] < p, 0.125 * n[3:] * jnp.array(sides), 0.0)
    scaled, stretched = _affine(scale, 0.0, 0.0, scale), _affine(1.0 / stretch, 0.0, 0.0, stretch)
    return [scaled, _turned(before), stretched, _turned(after), _affine(1.0, 0.0, 0.0, 1.0, t)]


def _affine(a: Any, b: Any, c: Any, d: Any, t: Any = (0.0, 0.0)) -> jax.Array:
    return jnp.array([[a, b, t[0]], [c, d, t[1]], [0.0, 0.0, 1.0]])


def _turned(angle: jax.Array) -> jax.Array:
    return _affine(jnp.cos(angle), -jnp.sin(angle), jnp.sin(angle), jnp.cos(angle))


def resample(x: jax.Array, place: jax.Array) -> jax.Array:
    """x [H, W, C] at the places [3, 3] in it of the output's pixels, bilinearly; beyond its border x is reflected."""
    h, w, _ = x.shape
    middle = jnp.array([h - 1, w - 1]).reshape(2, 1, 1) / 2.0
    at = jnp.tensordot(place[:2, :2], jnp.indices((h, w)) - middle, 1, precision=EXACT)
    at += place[:2, 2].reshape(2, 1, 1) + middle  # [2, H, W]
    return jax.vmap(lambda x: map_coordinates(x, list(at), order=1, mode="mirror"), -1, -1)(x)


def tint(r: jax.Array, p: jax.Array, x: jax.Array) -> jax.Array:
    """x [H, W, C] brighter by N(0, 0.2²), then of contrast times 2^N(0, 0.5²), then, if C = 3, of other hues."""
    coin, _, n = r
    brighter, contrast = (
        jnp.where(coin[0] < p, 0.2 * n[0], 0.0),
        jnp.where(coin[1] < p, jnp.exp2(0.5 * n[1]), 1.0),
    )
    x = contrast * (x + brighter)
    return (
        jnp.einsum("hwc,dc->hwd", x, hues(r[:, 2:], p), precision=EXACT) if x.shape[-1] == 3 else x
    )


def hues(r: jax.Array, p: jax.Array) -> jax.Array:
    """Draws [3, 3] -> [3, 3]: luma flip, then a turn of the hue by U(-pi, pi), then saturation times 2^N(0, 1)."""
    (coin, u, n), one, grey = (
        r,
        jnp.eye(3),
        jnp.full((3, 3), 1 / 3),
    )  # grey = v v' of the direction v = (1, 1, 1) / √3
    flip = one - jnp.where((coin[0] < p) & (u[0] < 0.0), 2.0, 0.0) * grey
    angle = jnp.where(coin[1] < p, jnp.pi * u[1], 0.0)
    across = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / jnp.sqrt(
        3.0
    )  # v x
    hue = jnp.cos(angle) * one + jnp.sin(angle) * across + (1.0 - jnp.cos(angle)) * grey
    saturation = jnp.where(coin[2] < p, jnp.exp2(n[2]), 1.0)
    return matmul(saturation * one + (1.0 - saturation) * grey, matmul(hue, flip))


def _check(spec: Spec, name: str, **shares: float) -> None:
    if len(spec.shape) != 3 or min(spec.shape[:2]) < 2:
        raise UserError(
            f"--algorithm.augment='{name}()' changes images of at least 2x2 pixels and the data are {spec.shape}: "
            "use --algorithm.augment='Plain()'."
        )
    for flag, value in shares.items():
        if not 0.0 <= value <= 1.0:
            raise UserError(f"--algorithm.augment.{flag}={value} must be between 0 and 1.")


Augment = Plain | DiffAugment | Ada
