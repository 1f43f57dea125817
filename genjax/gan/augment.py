"""Augmentation of all that the discriminator sees, data and samples alike, so that few data last longer.

D is trained on T(x) and T(G(z)), G through D(T(G(z))), T differentiable (Zhao et al. 2020, arXiv:2006.10738, sec. 3).
Each example draws its T from its own key. `Ada` applies every transformation with a probability p that follows how sure
D is of the data (Karras et al. 2020, arXiv:2006.06676, eq. 1):

    r = E sign(D(T(x)) - b),    p <- clip(p + rate sign(r - target), 0, 1)

or, with `images`, by examples / images instead of the rate (ibid., sec. 3: `Ada(images=500_000, every=4)`).

b is the output at which D is undecided, the game's `balance`: 0 of the paper's logits, 1/2 between the targets 0 and 1.
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

# So that ones and zeros only move pixels, on accelerators too, whose products round their factors by default.
EXACT = jax.lax.Precision.HIGHEST
matmul = functools.partial(jnp.matmul, precision=EXACT)
uniform = jax.random.uniform

Sides = tuple[int, int]  # height and width [pixels]
Memory = dict[
    str, jax.Array
]  # what an augmentation carries from step to step; {} of the fixed ones


@dataclasses.dataclass(frozen=True)
class Plain:
    """No augmentation: images and points pass as they are."""

    def __call__(self, keys: jax.Array, x: jax.Array, memory: Any) -> jax.Array:
        return x

    def init(self) -> Memory:
        return {}

    def adapt(self, memory: Any, metrics: Any, examples: int) -> Memory:
        return memory

    def metrics(self, memory: Any) -> Memory:
        return {}

    def check(self, spec: Spec) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class DiffAugment:
    """Colour, translation and cutout of every example, always (arXiv:2006.10738, sec. 4: the policy of all three)."""

    colour: bool = field(
        True, "random brightness, contrast and, of images with 3 channels, saturation"
    )
    translation: float = field(
        0.125, "largest shift, share of the side; filled with 0; 0 = off"
    )
    cutout: float = field(0.5, "side of the hole, share of the image's; 0 = off")
    # Nothing to remember from step to step.
    init = Plain.init
    adapt = Plain.adapt
    metrics = Plain.metrics

    def __call__(self, keys: jax.Array, x: jax.Array, memory: Any) -> jax.Array:
        """[B, H, W, C] in [-1, 1] -> the same shape; colours may leave the range."""
        return jax.vmap(self.one)(keys, x)

    def one(self, key: jax.Array, x: jax.Array) -> jax.Array:
        """x [H, W, C] -> T(x), the same shape: colour first, so that what is left empty is exactly 0."""
        # Split in three whatever is on: to switch one part off leaves the draws of the others.
        by_colour, by_shift, by_hole = jax.random.split(key, 3)
        height, width, _ = x.shape
        if self.colour:
            x = recolour(by_colour, x)

        most_y = _pixels(self.translation, height)
        most_x = _pixels(self.translation, width)
        if most_y or most_x:
            t = random_shift(by_shift, (most_y, most_x))
            x = shift(x, t, (most_y, most_x))

        if self.cutout:
            kept = outside(by_hole, (height, width), self.cutout)
            x = x * kept[..., None]  # [H, W, 1]: one hole for all channels
        return x

    def check(self, spec: Spec) -> None:
        """UserError for data that are no images and for shares outside [0, 1]."""
        _check(spec, "DiffAugment", translation=self.translation, cutout=self.cutout)


def recolour(key: jax.Array, x: jax.Array) -> jax.Array:
    """x [H, W, C] brighter by U(-1/2, 1/2); saturation times U(0, 2), if C = 3; contrast times U(1/2, 3/2)."""
    u = uniform(key, (3,))
    # (x + u) - 1/2 in this order: results hang on the rounding
    x = x + u[0] - 0.5
    if x.shape[-1] == 3:
        grey = jnp.mean(x, -1, keepdims=True)  # [H, W, 1]
        saturation = 2.0 * u[1]
        x = grey + saturation * (x - grey)
    mean = jnp.mean(x)  # over pixels and channels: contrast is about the image's own level
    contrast = 0.5 + u[2]
    return mean + contrast * (x - mean)


def _pixels(share: float, side: int) -> int:
    return int(
        share * side + 0.5
    )  # a half goes up; round() would send it to the even neighbour


def random_shift(key: jax.Array, most: Sides) -> jax.Array:
    """(t_y, t_x), int32, each uniform over the whole pixels up to `most` either way."""
    most = jnp.array(most)
    count = 2 * most + 1  # of the whole numbers -most .. most
    u = uniform(key, (2,))
    number = jnp.floor(u * count)  # 0 .. 2 most
    return number.astype(jnp.int32) - most


def shift(x: jax.Array, t: jax.Array, most: Sides) -> jax.Array:
    """x [H, W, C] -> y[i, j] = x[i + t_y, j + t_x], 0 from beyond the border; t is within `most` either way."""
    most_y, most_x = most
    border = ((most_y, most_y), (most_x, most_x), (0, 0))
    wide = jnp.pad(x, border)  # [H + 2 most_y, W + 2 most_x, C]
    # A slice of a fixed size that starts anywhere: XLA needs to know the shape, not the place.
    top = t[0] + most_y
    left = t[1] + most_x
    return jax.lax.dynamic_slice(wide, (top, left, 0), x.shape)


def outside(key: jax.Array, sides: Sides, share: float) -> jax.Array:
    """[H, W]: 0 in a rectangle of `share` of the sides, centred anywhere in the image and cut at its border, else 1."""
    inside = []  # [H] and [W]: whether a row, a column meets the hole
    for u, n in zip(uniform(key, (2,)), sides, strict=True):
        hole = _pixels(share, n)
        # The centre of an odd hole is one of n pixels, of an even one one of n + 1 corners of pixels.
        centres = n + 1 - hole % 2
        first = jnp.floor(u * centres) - hole // 2
        pixel = jnp.arange(n)
        after = pixel >= first
        before = pixel < first + hole
        inside.append(after & before)
    rows, columns = inside
    hidden = rows[:, None] & columns  # [H, W]
    return 1.0 - hidden.astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Ada:
    """Adaptive augmentation (arXiv:2006.06676, app. B: "bgc"), resampled bilinearly instead of by wavelets."""

    blit: bool = field(
        True, "flips, quarter turns and whole-pixel shifts up to 1/8 of the side"
    )
    geometry: bool = field(True, "scales, rotation and fractional shifts")
    colour: bool = field(
        True,
        "brightness, contrast and, of images with 3 channels, luma flip, hue and saturation",
    )
    turns: bool = field(True, "flips, quarter turns and rotation, where their group is on")
    p: float = field(0.0, "probability of each transformation at the start")
    rate: float = field(1e-4, "change of p a discriminator step; 0 = p stays")
    target: float = field(0.6, "mean sign of D less its balance, on data, above which p grows")
    images: int | None = field(
        None,
        "instead of `rate`: examples in which p crosses [0, 1], whatever the batch (the paper's: 500000)",
        added=True,
    )
    every: int = field(
        1,
        "discriminator steps from one change of p to the next, which is as many times as large (the paper's: 4)",
        added=True,
    )
    grey_flip: bool = field(
        False,
        "luma flip of images with 1 channel too, light for dark, with the colours (the paper's code: true)",
        added=True,
    )

    def __call__(self, keys: jax.Array, x: jax.Array, memory: Any) -> jax.Array:
        """[B, H, W, C] in [-1, 1] -> the same shape; colours may leave the range. At p = 0 nothing changes."""
        return jax.vmap(self.one, (0, 0, None))(keys, x, memory["p"])

    def one(self, key: jax.Array, x: jax.Array, p: jax.Array) -> jax.Array:
        """x [H, W, C] -> T(x), the same shape: all moves of pixels as one matrix, so x is resampled only once."""
        # All columns are drawn whatever is on: to switch one group off leaves the draws of the others.
        r = draws(key, 14)
        for_blit = r[:, :4]
        for_geometry = r[:, 4:9]
        for_colour = r[:, 9:]
        sides = x.shape[:2]

        places = []
        if self.blit:
            places += blits(for_blit, p, sides, self.turns)
        if self.geometry:
            places += geometries(for_geometry, p, sides, self.turns)
        if places:
            # Each takes places of its output to places of its input, so the last matrix acts on the output first.
            place = functools.reduce(matmul, places)
            x = resample(x, place)

        if self.colour:
            x = tint(for_colour, p, x, self.grey_flip)
        return x

    def init(self) -> Memory:
        memory = {"p": jnp.asarray(self.p, jnp.float32)}
        if self.every == 1:  # nothing to wait for
            return memory
        # of the steps since p last changed: their number, the sum of their signs
        waiting = {"steps": jnp.zeros((), jnp.int32), "signs": jnp.zeros(())}
        return memory | waiting

    def adapt(self, memory: Any, metrics: Any, examples: int) -> Memory:
        """One step of p by metrics["sign"], the mean of sign(D - b) over augmented data, `examples` of all devices."""
        # r_t of eq. 1: 1 = D is sure of all data, 0 = it knows nothing of them
        r = metrics["sign"]
        if self.every == 1:
            return {"p": self._changed(memory["p"], r, examples)}
        steps = memory["steps"] + 1
        signs = memory["signs"] + r
        due = steps == self.every
        changed = self._changed(memory["p"], signs / self.every, examples)
        return {
            "p": jnp.where(due, changed, memory["p"]),
            "steps": jnp.where(due, 0, steps),
            "signs": jnp.where(due, 0.0, signs),
        }

    def _changed(self, p: jax.Array, r: jax.Array, examples: int) -> jax.Array:
        """p after a change by r_t of eq. 1, for all steps since the last change."""
        rate = self.rate if self.images is None else examples / self.images
        direction = jnp.sign(r - self.target)
        return jnp.clip(p + self.every * rate * direction, 0.0, 1.0)

    def metrics(self, memory: Any) -> Memory:
        return {"augment_p": memory["p"]}

    def check(self, spec: Spec) -> None:
        """UserError for data that are no images, quarter turns of oblongs, and numbers out of range."""
        _check(spec, "Ada", p=self.p)
        at_least(0.0, algorithm__augment__rate=self.rate)
        at_least(1, algorithm__augment__every=self.every)
        if self.images is not None:
            at_least(1, algorithm__augment__images=self.images)
            # one of the two would say nothing
            if self.rate != Ada.rate:
                raise UserError(
                    f"--algorithm.augment.images={self.images} and rate={self.rate} both say how fast p changes: "
                    "leave one of them out."
                )
        oblong = spec.shape[0] != spec.shape[1]
        if self.blit and self.turns and oblong:
            raise UserError(
                f"--algorithm.augment.turns=True turns images by 90 degrees and these are not square, {spec.shape}: "
                "use --algorithm.augment.turns=false."
            )


def draws(key: jax.Array, n: int) -> jax.Array:
    """[3, n]: coins U(0, 1), U(-1, 1) and N(0, 1), all at once, since every call to draw takes long to compile."""
    k = jax.random.split(key)
    coin, u = uniform(k[0], (2, n))
    either_way = 2.0 * u - 1.0
    normal = jax.random.normal(k[1], (n,))
    return jnp.stack([coin, either_way, normal])


def blits(r: jax.Array, p: jax.Array, sides: Sides, turns: bool) -> list[jax.Array]:
    """Draws [3, 4] -> flip, quarter turn, whole-pixel shift, each [3, 3]: (y, x, 1) in the output -> in the input.

    Places are in pixels from the centre.
    """
    coin, u, _ = r
    flips, rotates, moves, _ = coin < p
    share = 0.125 * u[2:]  # of the sides, as in the paper
    pixels = jnp.round(share * jnp.array(sides))
    t = jnp.where(moves, pixels, 0.0)
    shifted = _moved(t)
    if not turns:
        return [shifted]

    # A flip that is applied is drawn from {yes, no}, as a turn is from all four: half of them change nothing.
    flipped = flips & (u[0] < 0.0)
    sign = jnp.where(flipped, -1.0, 1.0)
    mirrored = _scaled(1.0, sign)

    some = jnp.floor(2.0 * u[1])  # -2, -1, 0 or 1
    quarters = jnp.where(rotates, some, 0.0)
    turned = _turned(quarters * jnp.pi / 2)
    # In float32 the cosine of a right angle is 4e-8 and not 0: rounded, a turn only moves pixels.
    return [mirrored, jnp.round(turned), shifted]


def geometries(r: jax.Array, p: jax.Array, sides: Sides, turns: bool) -> list[jax.Array]:
    """Draws [3, 5] -> scale, rotation before and after a stretch, and fractional shift, each [3, 3] as above."""
    coin, u, n = r
    # Inverses have the same distributions. Two rotations, each this often, are at least one with probability p.
    often = 1.0 - jnp.sqrt(1.0 - p) if turns else 0.0
    factors = jnp.exp2(0.2 * n[:2])
    scales = coin[:2] < p
    scale, stretch = jnp.where(scales, factors, 1.0)
    angles = jnp.pi * u[2:4]
    rotates = coin[2:4] < often
    before, after = jnp.where(rotates, angles, 0.0)
    share = 0.125 * n[3:]
    pixels = share * jnp.array(sides)
    moves = coin[4] < p
    t = jnp.where(moves, pixels, 0.0)
    return [
        _scaled(scale, scale),
        _turned(before),
        _scaled(1.0 / stretch, stretch),  # keeps the area
        _turned(after),
        _moved(t),
    ]


def _affine(a: Any, b: Any, c: Any, d: Any, t: Any = (0.0, 0.0)) -> jax.Array:
    """[3, 3]: (y, x, 1) -> (a y + b x + t_y, c y + d x + t_x, 1)."""
    t_y, t_x = t
    rows = [
        [a, b, t_y],
        [c, d, t_x],
        [0.0, 0.0, 1.0],
    ]
    return jnp.array(rows)


def _scaled(y: Any, x: Any) -> jax.Array:
    return _affine(y, 0.0, 0.0, x)


def _moved(t: jax.Array) -> jax.Array:
    return _affine(1.0, 0.0, 0.0, 1.0, t)


def _turned(angle: jax.Array) -> jax.Array:
    cos = jnp.cos(angle)
    sin = jnp.sin(angle)
    return _affine(cos, -sin, sin, cos)


def resample(x: jax.Array, place: jax.Array) -> jax.Array:
    """x [H, W, C] at the places [3, 3] in it of the output's pixels, bilinearly; beyond its border x is reflected."""
    h, w, _ = x.shape
    linear = place[:2, :2]
    t = place[:2, 2].reshape(2, 1, 1)
    last = jnp.array([h - 1, w - 1])
    middle = last.reshape(2, 1, 1) / 2.0
    pixels = jnp.indices((h, w))  # [2, H, W], (y, x) of the output's
    from_middle = pixels - middle
    at = jnp.tensordot(linear, from_middle, 1, precision=EXACT)
    at += t + middle  # [2, H, W], (y, x) in the input, from its corner again

    def channel(values):
        return map_coordinates(values, list(at), order=1, mode="mirror")

    return jax.vmap(channel, -1, -1)(x)


def tint(r: jax.Array, p: jax.Array, x: jax.Array, grey_flip: bool = False) -> jax.Array:
    """x [H, W, C] brighter by N(0, 0.2²), then of contrast times 2^N(0, 0.5²), then, if C = 3, of other hues.

    grey_flip: what the luma flip of `hues` makes of greys, their negative, is made of x if C = 1.
    """
    coin, _, n = r
    brightens, contrasts = coin[:2] < p
    brighter = jnp.where(brightens, 0.2 * n[0], 0.0)
    factor = jnp.exp2(0.5 * n[1])
    contrast = jnp.where(contrasts, factor, 1.0)
    x = contrast * (x + brighter)  # about 0, the middle of [-1, 1]
    for_hues = r[:, 2:]
    if x.shape[-1] == 1 and grey_flip:
        return jnp.where(_flips(for_hues, p), -x, x)
    if x.shape[-1] != 3:  # hue and saturation are of colours
        return x
    matrix = hues(for_hues, p)
    return jnp.einsum("hwc,dc->hwd", x, matrix, precision=EXACT)


def _flips(r: jax.Array, p: jax.Array) -> jax.Array:
    """Whether draws [3, n] flip: by the first of them, half as often as p, since {yes, no} is drawn then."""
    coin, u, _ = r
    return (coin[0] < p) & (u[0] < 0.0)


def hues(r: jax.Array, p: jax.Array) -> jax.Array:
    """Draws [3, 3] -> [3, 3]: luma flip, then a turn of the hue by U(-pi, pi), then saturation times 2^N(0, 1)."""
    coin, u, n = r
    _, rotates, saturates = coin < p
    # With v = (1, 1, 1) / √3, the direction of greys, `grey` is v v', the projection on it, and `across` is v x.
    one = jnp.eye(3)
    grey = jnp.full((3, 3), 1 / 3)
    cyclic = [
        [0.0, -1.0, 1.0],
        [1.0, 0.0, -1.0],
        [-1.0, 1.0, 0.0],
    ]
    across = jnp.array(cyclic) / jnp.sqrt(3.0)

    # Householder's reflection I - 2 v v': light becomes dark, what is across v stays.
    twice = jnp.where(_flips(r, p), 2.0, 0.0)
    flip = one - twice * grey

    # Rodrigues' formula: a turn by an angle about v.
    some = jnp.pi * u[1]
    angle = jnp.where(rotates, some, 0.0)
    cos = jnp.cos(angle)
    sin = jnp.sin(angle)
    versed = 1.0 - cos
    hue = cos * one + sin * across + versed * grey

    factor = jnp.exp2(n[2])
    saturation = jnp.where(saturates, factor, 1.0)
    saturate = saturation * one + (1.0 - saturation) * grey  # along v nothing changes
    # the right factor acts first: flip, turn, saturation
    return matmul(saturate, matmul(hue, flip))


def _check(spec: Spec, name: str, **shares: float) -> None:
    images = len(spec.shape) == 3  # [H, W, C]
    if not images or min(spec.shape[:2]) < 2:
        raise UserError(
            f"--algorithm.augment='{name}()' changes images of at least 2x2 pixels and the data are {spec.shape}: "
            "use --algorithm.augment='Plain()'."
        )
    for flag, value in shares.items():
        inside = 0.0 <= value <= 1.0
        if not inside:
            raise UserError(f"--algorithm.augment.{flag}={value} must be between 0 and 1.")


Augment = Plain | DiffAugment | Ada
