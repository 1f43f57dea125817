"""Who is drawn and how: people, and the shots that are taken of them, as arrays of numbers.

Both are values: `shots._replace(years=...)` is the same person, pose and light at another age.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genjax.data.heads.shapes import KNOTS, MACROS

GROUPS = ("child", "young", "middle", "old")
# years at which the groups begin, and the end of all
GROUP_YEARS = (1.0, 13.0, 35.0, 60.0, 90.0)


class People(NamedTuple):
    """N people: all that does not change from shot to shot; float32, colours sRGB in [0, 1]."""

    number: np.ndarray  # int [N]
    male: np.ndarray  # [N]: 0 female, 1 male, between them a mixture
    ancestry: np.ndarray  # [N, 3], sum 1: african, asian, caucasian
    identity: (
        np.ndarray
    )  # [N, 224]: weights of `model().identity`, of a grown head; drawn up to 0.7
    skin: np.ndarray  # [N, 3]
    iris: np.ndarray  # [N, 3]
    hair: np.ndarray  # [N, 3], before it greys
    greying: np.ndarray  # [N]: years at which half of the hair is grey
    volume: np.ndarray  # [N]: how far the hair stands off [decimetres of a grown head]
    long: np.ndarray  # [N]: 0 short, 1 down to the shoulders
    fringe: np.ndarray  # [N]: 0 none, 1 over the forehead
    bald: np.ndarray  # [N]: the share of the hair at the top that goes with the years
    beard: np.ndarray  # [N]: 0 none, 1 full


class Shots(NamedTuple):
    """M pictures to take of people; float32."""

    person: np.ndarray  # int [M]: the row of People
    years: np.ndarray  # [M], 1 to 90
    expression: np.ndarray  # [M, 52]: weights of `model().expressions`, 0 to 1
    yaw: np.ndarray  # [M], radians: above 0 the face turns to the right of the picture
    pitch: np.ndarray  # [M], radians: above 0 the face looks up
    light: np.ndarray  # [M, 3]: unit vector to it; x right, y up, z to the viewer
    background: np.ndarray  # [M, 3], sRGB in [0, 1]


def group(years: np.ndarray) -> np.ndarray:
    """The number in GROUPS of each age, int32."""
    inner = GROUP_YEARS[1:-1]
    return np.searchsorted(inner, years, side="right").astype(np.int32)


def rgb(*colours: str) -> np.ndarray:
    """Colours of six hex digits, sRGB float32 in [0, 1], [C, 3]."""
    digits = [list(bytes.fromhex(colour)) for colour in colours]
    return np.array(digits, np.float32) / 255


GREY = rgb("bdbdbf")


def grey(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The grey share of the hair in each shot, float32 [M] in 0 to 1: a sigmoid of the years past the person's own."""
    past = shots.years - people.greying[shots.person]
    share = 1 / (1 + np.exp(-past / 5.0))
    return share.astype(np.float32)


def hair_colour(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The colour of the hair with its grey, float32 [M, 3]."""
    share = grey(people, shots)[:, None]
    own = people.hair[shots.person]
    return own + share * (GREY - own)


def hair_length(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """How long the hair is, [M], 0 to 1: babies have none that hangs, nor have the bald."""
    length = people.long[shots.person] * _grown(shots)
    return np.where(_lost(people, shots) < 0.3, length, 0)


def _grown(shots: Shots) -> np.ndarray:
    """How far the hair of children has grown, [M]."""
    return np.interp(shots.years, (1, 8), (0, 1))


def _lost(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The share of the hair at the top that is gone, [M]."""
    late = np.interp(shots.years, (28, 65), (0, 1))
    return people.bald[shots.person] * late


class Weights(NamedTuple):
    """Of the model's shapes in each of M shots, by kind and in their order; all but the first are for a grown head."""

    macro: np.ndarray  # [M, 32]
    identity: np.ndarray  # [M, 224]
    expression: np.ndarray  # [M, 52]
    hair: np.ndarray  # [M, 5]


def weights(people: People, shots: Shots) -> Weights:
    """The weights of the shapes that make these people in these shots."""
    row = shots.person
    male = people.male[row]
    return Weights(
        macro=macro(shots.years, male, people.ancestry[row]),
        identity=people.identity[row],
        expression=shots.expression,
        hair=_hair(people, shots),
    )


def macro(
    years: np.ndarray,
    male: np.ndarray,
    ancestry: np.ndarray,
) -> np.ndarray:
    """Weights of the 32 shapes of age, sex and ancestry, [M, 32]: products of what is between two ages."""
    number = np.arange(len(KNOTS))
    place = np.interp(years, KNOTS, number)
    apart = np.abs(place[:, None] - number)
    age = np.maximum(1 - apart, 0)  # [M, 4]
    sex = np.stack([1 - male, male], 1)
    # the universal shape comes once, whatever the ancestry
    once = np.ones((len(years), 1))
    kind = np.concatenate([ancestry, once], 1)
    product = np.einsum("mk,ms,ma->mksa", kind, sex, age)
    return product.reshape(len(years), MACROS)


def _hair(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """Weights of the hair's shapes, [M, 5]: babies have little hair, and the old have less."""
    row = shots.person
    grown = _grown(shots)
    lost = _lost(people, shots)
    thin = (0.25 + 0.75 * grown) * (1 - 0.5 * lost)
    volume = people.volume[row] * thin
    shapes = [
        np.ones_like(volume),
        volume,
        people.fringe[row] * grown * (1 - lost),
        lost * (1 + 5 * volume),  # what stands off further has further to go
        hair_length(people, shots),
    ]
    return np.stack(shapes, 1)
