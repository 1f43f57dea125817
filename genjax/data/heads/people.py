"""Who is drawn and how: people, and the shots that are taken of them, as arrays of numbers.

A person's numbers are a function of (seed, the person's number) and a shot's of (seed, person, shot): people and shots
that are added leave the others as they are. All of it comes from raw bits of Philox, which no release of numpy changes
(NEP 19). Both are values: `shots._replace(years=...)` is the same person, pose and light at another age.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genjax.data.heads import shapes

GROUPS = ("child", "young", "middle", "old")
# years at which the groups begin, and the end of all
GROUP_YEARS = (1.0, 13.0, 35.0, 60.0, 90.0)
_PERSON, _SHOT = 0, 1  # streams of bits
_TRAITS = 12  # identity shapes that a person has at most
_MOST = 0.7  # of an identity shape: beyond it faces are caricatures


class People(NamedTuple):
    """N people, all that does not change from shot to shot; colours are sRGB in [0, 1]."""

    number: np.ndarray  # int [N]
    male: np.ndarray  # float32 [N]: 0 female, 1 male, between them a mixture
    ancestry: np.ndarray  # float32 [N, 3], sum 1: african, asian, caucasian
    identity: np.ndarray  # float32 [N, 224]: weights of the shapes `model().identity`, 0 to 0.7
    skin: np.ndarray  # float32 [N, 3]
    iris: np.ndarray  # float32 [N, 3]
    hair: np.ndarray  # float32 [N, 3], before it greys
    greying: np.ndarray  # float32 [N]: years at which half of the hair is grey
    volume: np.ndarray  # float32 [N]: how far the hair stands off [decimetres of a grown head]
    long: np.ndarray  # float32 [N]: 0 short, 1 down to the shoulders
    fringe: np.ndarray  # float32 [N]: 0 none, 1 over the forehead
    bald: np.ndarray  # float32 [N]: 0 to 1 of the hair at the top that goes with the years
    beard: np.ndarray  # float32 [N]: 0 none, 1 full


class Shots(NamedTuple):
    """M pictures to take of people."""

    person: np.ndarray  # int [M]: the row of People
    years: np.ndarray  # float32 [M], 1 to 90
    expression: (
        np.ndarray
    )  # float32 [M, 52]: weights of the shapes `model().expressions`, 0 to 1
    yaw: np.ndarray  # float32 [M], radians: above 0 the face turns to the right of the picture
    pitch: np.ndarray  # float32 [M], radians: above 0 the face looks up
    light: (
        np.ndarray
    )  # float32 [M, 3]: unit vector to the light; x right, y up, z to the viewer
    background: np.ndarray  # float32 [M, 3], sRGB in [0, 1]


def draw_people(
    seed: int,
    numbers: Sequence[int] | np.ndarray,
) -> People:
    """The people of these numbers, each a function of (seed, its number)."""
    numbers = np.asarray(numbers, np.int64)
    draws = _Draws(_uniform(seed, _PERSON, numbers, np.zeros_like(numbers), 128))
    male = (draws.next() < 0.5).astype(np.float32)
    ancestry = _ancestry(draws)
    identity = _identity(draws)
    skin = _skin(draws, ancestry)
    hair, iris = _colours(draws, ancestry)
    long = np.where(draws.next() < 0.06 + 0.54 * (1 - male), 0.45 + 0.55 * draws.next(), 0.0)
    volume = 0.04 + 0.16 * draws.next() + 0.06 * (long > 0)
    fringe = np.where(draws.next() < 0.35, draws.next(), 0.0)
    bald = male * np.where(draws.next() < 0.45, draws.next(), 0.0)
    beard = male * np.where(draws.next() < 0.4, 0.2 + 0.8 * draws.next(), 0.1 * draws.next())
    greying = 60.0 + 9.0 * draws.normal()
    found = People(
        numbers,
        male,
        ancestry,
        identity,
        skin,
        iris,
        hair,
        greying,
        volume,
        long,
        fringe,
        bald,
        beard,
    )
    return People(numbers, *(np.asarray(part, np.float32) for part in found[1:]))


def draw_shots(
    seed: int,
    people: People,
    shots: int | Sequence[int],
) -> Shots:
    """Shots of every person, those of one after the other; `shots`: how many, or their numbers.

    All four age groups are alike in chance, and within a group all years.
    """
    taken = np.arange(shots) if np.ndim(shots) == 0 else np.asarray(shots)
    n = len(people.number)
    person = np.repeat(np.arange(n), len(taken))
    number = np.tile(taken, n).astype(np.int64)
    draws = _Draws(_uniform(seed, _SHOT, people.number[person], number, 64))
    edges = np.array(GROUP_YEARS)
    group = (4 * draws.next()).astype(int)
    years = edges[group] + (edges[group + 1] - edges[group]) * draws.next()
    yaw = 0.28 * draws.normal().clip(-2.2, 2.2)
    pitch = 0.1 * draws.normal().clip(-2.2, 2.2)
    light = _light(2.0 * draws.next() - 1, draws.next())
    background = 0.25 + 0.7 * draws.next()[:, None] + 0.12 * (draws.take(3) - 0.5)
    expression = _expression(draws)
    parts = years, expression, yaw, pitch, light, background.clip(0, 1)
    return Shots(person, *(np.asarray(part, np.float32) for part in parts))


def plain_shots(
    people: People,
    years: float | np.ndarray = 25.0,
) -> Shots:
    """One shot of each person: from the front, at rest, in frontal light, before grey; to be changed by `_replace`."""
    n = len(people.number)
    zeros = np.zeros(n, np.float32)
    still = np.zeros((n, len(shapes.model().expressions)), np.float32)
    light = _light(zeros, zeros + 0.4)
    grey = np.full((n, 3), 0.8, np.float32)
    years = zeros + np.asarray(years, np.float32)
    return Shots(np.arange(n), years, still, zeros, zeros, light, grey)


def group(years: np.ndarray) -> np.ndarray:
    """The number in GROUPS of each age, int32."""
    inner = GROUP_YEARS[1:-1]
    return np.searchsorted(inner, years, side="right").astype(np.int32)


def grey(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The grey share of the hair in each shot, float32 [M] in 0 to 1: a sigmoid of the years past the person's own."""
    past = shots.years - people.greying[shots.person]
    return (1 / (1 + np.exp(-past / 5.0))).astype(np.float32)


def hair_colour(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The colour of the hair with its grey, [M, 3]."""
    share = grey(people, shots)[:, None]
    own = people.hair[shots.person]
    return (1 - share) * own + share * GREY


def hair_length(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """How long the hair is, [M], 0 to 1: babies have none that hangs, nor have the bald."""
    grown = np.interp(shots.years, (1, 8), (0, 1))
    return people.long[shots.person] * grown * (_lost(people, shots) < 0.3)


def _lost(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The share of the hair at the top that is gone, [M]."""
    return people.bald[shots.person] * np.interp(shots.years, (28, 65), (0, 1))


def weights(
    people: People,
    shots: Shots,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The weights of the model's shapes in each shot, [M, k] each: macro, identity, expression and hair."""
    row = shots.person
    ages = macro(shots.years, people.male[row], people.ancestry[row])
    return ages, people.identity[row], shots.expression, _hair(people, shots)


def macro(
    years: np.ndarray,
    male: np.ndarray,
    ancestry: np.ndarray,
) -> np.ndarray:
    """Weights of the 32 shapes of age, sex and ancestry, [M, 32]: products of what is between two ages."""
    ages = len(shapes.KNOTS)
    place = np.interp(years, shapes.KNOTS, np.arange(ages))
    age = np.maximum(1 - np.abs(place[:, None] - np.arange(ages)), 0)  # [M, 4]
    sex = np.stack([1 - male, male], 1)
    # the universal shape comes once, whatever the ancestry
    kind = np.concatenate([ancestry, np.ones((len(ancestry), 1))], 1)
    product = kind[:, :, None, None] * sex[:, None, :, None] * age[:, None, None, :]
    return product.reshape(len(years), -1)


def _hair(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """Weights of the hair's shapes, [M, 5]: babies have little hair, and the old have less."""
    row = shots.person
    grown = np.interp(shots.years, (1, 8), (0, 1))
    lost = _lost(people, shots)
    volume = people.volume[row] * (0.25 + 0.75 * grown) * (1 - 0.5 * lost)
    fringe = people.fringe[row] * grown * (1 - lost)
    # what stands off further has further to go
    bald = lost * (1 + 5 * volume)
    return np.stack([np.ones_like(volume), volume, fringe, bald, hair_length(people, shots)], 1)


class _Draws:
    """Uniform numbers [N, k], handed out column by column: the order of the calls is part of the set."""

    def __init__(self, columns: np.ndarray):
        self.columns = columns
        self.used = 0

    def next(self) -> np.ndarray:
        """[N], uniform in [0, 1)."""
        return self.take(1)[:, 0]

    def take(self, k: int) -> np.ndarray:
        """[N, k], uniform in [0, 1)."""
        first, self.used = self.used, self.used + k
        return self.columns[:, first : self.used]

    def normal(self) -> np.ndarray:
        """[N], standard normal, by Box and Muller."""
        u, v = self.take(2).T
        return np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v)


def _uniform(
    seed: int,
    stream: int,
    people: np.ndarray,
    shots: np.ndarray,
    k: int,
) -> np.ndarray:
    """Numbers in [0, 1) of each (person, shot), float64 [N, k]: a counter of their own in the stream of the seed."""
    rows = np.empty((len(people), k), np.uint64)
    for i, (person, shot) in enumerate(zip(people.tolist(), shots.tolist(), strict=True)):
        bits = np.random.Philox(key=[seed, stream], counter=[0, shot, person, 0])
        rows[i] = bits.random_raw(k)
    return (rows >> np.uint64(11)) * 2.0**-53  # the 53 bits of a float


def _ancestry(draws: _Draws) -> np.ndarray:
    """[N, 3]: three people of four are mainly of one ancestry, the others of two in any shares."""
    main = (3 * draws.next()).astype(int)
    other = (main + 1 + (2 * draws.next()).astype(int)) % 3
    share = draws.next()
    mixed = draws.next() < 0.25
    less = np.where(mixed, 0.5 * share, 0.12 * share)
    rows = np.arange(len(main))
    found = np.zeros((len(main), 3))
    found[rows, main] = 1 - less
    found[rows, other] = less
    return found


def traits(names: Sequence[str]) -> np.ndarray:
    """The ways in which faces differ, float32 [T, 224] of 0 and 1: a shape, or the same shape of both sides of a face.

    What moves a feature of the middle to one side is left out: faces are drawn symmetric.
    """
    rows: dict[str, np.ndarray] = {}
    for i, name in enumerate(names):
        both = name.removeprefix("l-").removeprefix("r-")
        aside = both == name and name.endswith(("-trans-in", "-trans-out"))
        if aside:
            continue
        row = rows.setdefault(both, np.zeros(len(names), np.float32))
        row[i] = 1
    return np.stack(list(rows.values()))


def _identity(draws: _Draws) -> np.ndarray:
    """[N, 224]: a dozen traits each, the rest at rest."""
    known = traits(shapes.model().identity)
    which = (len(known) * draws.take(_TRAITS)).astype(int)  # [N, 12]
    much = 0.1 + (_MOST - 0.1) * draws.take(_TRAITS)
    found = np.zeros((len(which), known.shape[1]))
    for k in range(_TRAITS):
        # the greater where a trait is drawn twice, so that no weight is beyond the most
        found = np.maximum(found, much[:, k, None] * known[which[:, k]])
    return found


def rgb(*colours: str) -> np.ndarray:
    """Colours of six hex digits, sRGB in [0, 1], [C, 3]."""
    digits = [list(bytes.fromhex(colour)) for colour in colours]
    return np.array(digits) / 255


# from the lightest skin to the darkest
SKINS = rgb("f5d1bf", "edbfa6", "e0ad8a", "c7916b", "a3704f", "784f38", "4f3326")
# the mean place among them of each ancestry, whose spread is wide
_PLACES = np.array([4.6, 2.0, 1.1])
# black, dark brown, brown, light brown, fair, red; and how often each ancestry has them
HAIRS = rgb("120f0f", "2b1c14", "4f331f", "805730", "c2995c", "85381a")
_HAIR_ODDS = np.array(
    [
        [0.80, 0.17, 0.03, 0.0, 0.0, 0.0],
        [0.62, 0.33, 0.05, 0.0, 0.0, 0.0],
        [0.08, 0.22, 0.28, 0.2, 0.15, 0.07],
    ]
)
GREY = rgb("bdbdbf")
# dark brown, brown, hazel, green, blue, grey
IRISES = rgb("331f12", "57361a", "735c2e", "57734d", "5480ad", "7a8c99")
_IRIS_ODDS = np.array(
    [
        [0.8, 0.18, 0.02, 0.0, 0.0, 0.0],
        [0.6, 0.36, 0.04, 0.0, 0.0, 0.0],
        [0.1, 0.25, 0.20, 0.12, 0.25, 0.08],
    ]
)


def _skin(
    draws: _Draws,
    ancestry: np.ndarray,
) -> np.ndarray:
    """[N, 3]: a place on the line of skins about that of the ancestry, and a little redder or yellower."""
    place = ancestry @ _PLACES + 0.8 * draws.normal().clip(-2, 2)
    known = np.arange(len(SKINS))
    colour = [np.interp(place, known, channel) for channel in SKINS.T]
    tint = 0.04 * (draws.next() - 0.5)
    redder = np.stack([tint, 0 * tint, -tint], 1)
    return (np.stack(colour, 1) + redder).clip(0, 1)


def _colours(
    draws: _Draws,
    ancestry: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Natural colours of hair and irises, [N, 3] each: fair hair and fair eyes often come together."""
    fairness = draws.next()
    hair = _picked(fairness, ancestry @ _HAIR_ODDS, HAIRS)
    # half of the people draw their eyes anew
    again = draws.next()
    other = draws.next()
    chance = np.where(again < 0.5, fairness, other)
    iris = _picked(chance, ancestry @ _IRIS_ODDS, IRISES)
    shade = 0.85 + 0.3 * draws.take(2)
    hair = hair * shade[:, :1]
    iris = iris * shade[:, 1:]
    return hair.clip(0, 1), iris.clip(0, 1)


def _picked(
    chance: np.ndarray,
    odds: np.ndarray,
    colours: np.ndarray,
) -> np.ndarray:
    """One of the colours by its odds [N, C], [N, 3]."""
    total = np.cumsum(odds, 1)
    which = (chance[:, None] >= total[:, :-1]).sum(1)
    return colours[which]


def _light(
    side: np.ndarray,
    height: np.ndarray,
) -> np.ndarray:
    """Unit vectors to the light [N, 3]: side -1 from the left to 1 from the right, height 0 level to 1 from above."""
    along = np.stack([1.1 * side, 0.1 + 0.7 * height, np.ones_like(side)], 1)
    return along / np.linalg.norm(along, axis=1, keepdims=True)


def _expression(draws: _Draws) -> np.ndarray:
    """[N, 52]: a third at rest, else a smile, an open mouth, closed eyes or any three shapes, some of them together."""
    names = shapes.model().expressions
    place = {name: i for i, name in enumerate(names)}
    n = len(draws.columns)
    found = np.zeros((n, len(names)))

    def add(chance: np.ndarray, *shapes: str) -> None:
        much = 0.35 + 0.65 * draws.next()
        for name in shapes:
            found[:, place[name]] += chance * much

    kind, eyes, opened = draws.take(3).T
    smiles = kind < 0.35
    add(smiles, "mouthSmileLeft", "mouthSmileRight")
    add(eyes < 0.14, "eyeBlinkLeft", "eyeBlinkRight")
    add(0.8 * (opened < 0.22), "jawOpen")
    odd = (kind > 0.65).astype(float)
    for _ in range(3):
        which = (len(names) * draws.next()).astype(int)
        found[np.arange(n), which] += 0.6 * odd * draws.next()
    return found.clip(0, 1)
