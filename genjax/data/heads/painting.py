"""The colours of a head before light falls on it, painted on the unshaped head: they move with the face.

Brows, beard, blush, pupils and strands of hair are functions of a place there; x is to the person's left, y up and z
out of the face, in decimetres.
"""

from __future__ import annotations

import numpy as np

from genjax.data.heads.people import People, Shots, hair_colour, rgb
from genjax.data.heads.shapes import (
    EARS,
    FACE,
    HAIR,
    IRIS,
    LASHES,
    LIPS,
    MOUTH,
    PARTS,
    SKIN,
    TEETH,
    WHITE,
)

# how much of the lamp each part mirrors
SHINE = np.full(len(PARTS), 0.07, np.float32)
SHINE[[LIPS, MOUTH, HAIR]] = 0.1
SHINE[[WHITE, IRIS, TEETH]] = 0.2
SHINE[LASHES] = 0.0


def painted(
    people: People,
    shots: Shots,
    picture: np.ndarray,
    part: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """The own colours, sRGB float32 [M, 3], of places [3, M] on the parts [M] of the pictures [M]."""
    colour = palette(people, shots)[picture, part]
    skin = np.flatnonzero((part == SKIN) | (part == FACE))
    colour[skin] = _face(people, shots, picture[skin], colour[skin], place[:, skin])
    for parts, factor in ((HAIR, strands), (MOUTH, in_mouth), (TEETH, in_mouth), (IRIS, pupil)):
        some = np.flatnonzero(part == parts)
        much = factor(place[:, some])
        colour[some] *= much[:, None]
    return colour


def _face(
    people: People,
    shots: Shots,
    picture: np.ndarray,
    skin: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Skin [M, 3] with what is on it, at places [3, M]."""
    years = shots.years[picture]
    hair = hair_colour(people, shots)[picture]
    beard = people.beard[shots.person[picture]]
    blush = blushed(skin, place)
    below = bearded(blush, hair, beard * grown(years), place)
    return browed(below, hair, years, place)


def palette(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The colour of each part in each shot, sRGB float32 [n, 11, 3]."""
    hair = hair_colour(people, shots)
    skin = people.skin[shots.person]
    found = np.empty((len(skin), len(PARTS), 3), np.float32)
    for part in (0, SKIN, FACE, EARS):
        found[:, part] = skin
    found[:, LIPS] = skin * (1 - LIPS_BLUSH)
    found[:, WHITE] = EYE_WHITE
    found[:, HAIR] = hair
    found[:, MOUTH] = TONGUE
    found[:, IRIS] = people.iris[shots.person]
    found[:, LASHES] = 0.3 * hair + 0.02
    found[:, TEETH] = ENAMEL
    return found


# what blood takes from the colour of skin
BLUSH = np.array([0.02, 0.16, 0.16])
LIPS_BLUSH = np.array([0.1, 0.38, 0.38])
EYE_WHITE, TONGUE, ENAMEL = rgb("e0ded9", "9e4747", "e0dbcc")


def smooth(
    low: float,
    high: float,
    x: np.ndarray,
) -> np.ndarray:
    """0 at `low` and before, 1 at `high` and beyond, smooth between them; `low` may be the greater."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def spot(
    distance: np.ndarray,
    radius: float,
) -> np.ndarray:
    """A soft spot: 1 in the middle, exp(-1) at the radius."""
    return np.exp(-((distance / radius) ** 2))


def in_front(z: np.ndarray) -> np.ndarray:
    """1 on the face, 0 on the back of the head."""
    return smooth(0.6, 1.0, z)


def grown(years: np.ndarray) -> np.ndarray:
    """0 for children, 1 for those whose beard has come."""
    return smooth(14, 24, years)


def blushed(
    skin: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Redder cheeks and tip of the nose, [M, 3]."""
    x, y, z = place
    cheek = np.hypot(np.abs(x) - 0.42, y - 6.98)
    nose = np.hypot(x, y - 6.93)
    red = 0.6 * spot(cheek, 0.22) + 0.5 * spot(nose, 0.14)
    red *= in_front(z)
    return skin * (1 - red[:, None] * BLUSH)


def bearded(
    skin: np.ndarray,
    hair: np.ndarray,
    beard: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Cheeks, chin and upper lip in the colour of the hair as far as `beard` [M] says, [M, 3]."""
    x, y, z = place
    side = smooth(0.3, 0.65, np.abs(x))
    # the edge of the beard is higher before the ears
    cheeks = smooth(6.98, 6.55, y - 0.35 * side)
    lip = spot(y - 6.79, 0.055) * smooth(0.34, 0.2, np.abs(x))
    neck = smooth(6.0, 6.22, y) * smooth(0.3, 0.75, z)
    much = 0.8 * beard * np.maximum(cheeks, lip) * neck
    return _mixed(skin, hair, much)


def browed(
    skin: np.ndarray,
    hair: np.ndarray,
    years: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Brows a little darker than the hair, faint on babies, [M, 3]."""
    x, y, z = place
    out = np.abs(x) - 0.36  # from the middle of a brow, away from the nose
    arch = 7.56 - 1.5 * out**2
    thick = 0.045 - 0.05 * np.maximum(out, 0)
    across = spot(y - arch, thick)
    along = smooth(-0.26, -0.19, out) * smooth(0.2, 0.1, out)
    much = 0.85 * across * along * in_front(z) * smooth(-2, 6, years)
    return _mixed(skin, 0.8 * hair, much)


def _mixed(
    one: np.ndarray,
    other: np.ndarray,
    share: np.ndarray,
) -> np.ndarray:
    """Between two colours [M, 3], by the share [M] of the other."""
    return one + share[:, None] * (other - one)


def strands(place: np.ndarray) -> np.ndarray:
    """Lighter and darker strands of hair, a factor [M] about 1."""
    x, y, z = place
    # strands fall, and are nowhere quite straight
    phases = (
        31 * x + 4 * y + 3 * np.sin(9 * z),
        27 * z - 3 * y + 3 * np.sin(8 * x),
        67 * x - 41 * z + 4 * np.sin(5 * y),
    )
    waves = [np.sin(phase) for phase in phases]
    return 1 + 0.05 * sum(waves)


def in_mouth(place: np.ndarray) -> np.ndarray:
    """Little light comes in where the throat is, a factor [M]."""
    _, _, z = place
    near = smooth(0.9, 1.5, z)
    return 0.25 + 0.75 * near


def pupil(place: np.ndarray) -> np.ndarray:
    """Dark in the middle of the iris, a factor [M]."""
    x, y, _ = place
    aside = np.abs(x) - 0.305
    distance = np.hypot(aside, y - 7.284)
    outside = smooth(0.018, 0.03, distance)
    return 0.15 + 0.85 * outside
