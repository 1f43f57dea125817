"""People and shots at random.

A person's numbers are a function of (seed, the person's number) and a shot's of (seed, person, shot): people and shots
that are added leave the others as they are. All of them come from raw bits of Philox, which no release of numpy changes
(NEP 19).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genjax.data.heads import shapes
from genjax.data.heads.people import GROUP_YEARS, GROUPS, People, Shots, rgb

_PERSON, _SHOT = 0, 1  # streams of bits
_BITS = 128  # numbers that are drawn for each person and each shot, more than are used
_TRAITS = 12  # identity shapes that a person has at most
_MOST = 0.7  # of each: beyond 0.8 faces are caricatures

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
# dark brown, brown, hazel, green, blue, grey
IRISES = rgb("331f12", "57361a", "735c2e", "57734d", "5480ad", "7a8c99")
_IRIS_ODDS = np.array(
    [
        [0.8, 0.18, 0.02, 0.0, 0.0, 0.0],
        [0.6, 0.36, 0.04, 0.0, 0.0, 0.0],
        [0.1, 0.25, 0.20, 0.12, 0.25, 0.08],
    ]
)


def draw_people(
    seed: int,
    numbers: Sequence[int] | np.ndarray,
) -> People:
    """The people of these numbers, each a function of (seed, its number)."""
    numbers = np.asarray(numbers, np.int64)
    draws = _Draws(seed, _PERSON, numbers, np.zeros_like(numbers))
    male = draws.chance(0.5).astype(float)
    ancestry = _ancestry(draws)
    identity = _identity(draws)
    skin = _skin(draws, ancestry)
    hair, iris = _colours(draws, ancestry)
    # more women than men have long hair; of men some are bald one day, and some have a beard
    long = draws.chance(0.6 - 0.54 * male) * draws.between(0.45, 1)
    volume = draws.between(0.04, 0.2) + 0.06 * (long > 0)
    fringe = draws.chance(0.35) * draws.between(0, 1)
    bald = male * draws.chance(0.45) * draws.between(0, 1)
    stubble = draws.between(0, 0.1)
    beard = male * np.maximum(stubble, draws.chance(0.4) * draws.between(0.2, 1))
    found = People(
        number=numbers,
        male=male,
        ancestry=ancestry,
        identity=identity,
        skin=skin,
        iris=iris,
        hair=hair,
        greying=60.0 + 9.0 * draws.normal(),
        volume=volume,
        long=long,
        fringe=fringe,
        bald=bald,
        beard=beard,
    )
    return People(numbers, *_floats(found[1:]))


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
    number = np.tile(taken, n)
    draws = _Draws(seed, _SHOT, people.number[person], number)
    years = _years(draws)
    yaw = 0.28 * draws.normal()
    pitch = 0.1 * draws.normal()
    side = draws.between(-1, 1)
    light = toward(side, draws.between(0, 1))
    grey = draws.between(0.25, 0.95)[:, None]
    tint = draws.take(3) - 0.5
    background = (grey + 0.12 * tint).clip(0, 1)
    expression = _expression(draws)
    found = Shots(
        person=person,
        years=years,
        expression=expression,
        yaw=yaw,
        pitch=pitch,
        light=light,
        background=background,
    )
    return Shots(person, *_floats(found[1:]))


def plain_shots(
    people: People,
    years: float | np.ndarray = 25.0,
) -> Shots:
    """One shot of each person: from the front, at rest, in frontal light, before grey; to be changed by `_replace`."""
    n = len(people.number)
    zeros = np.zeros(n, np.float32)
    still = np.zeros((n, len(shapes.model().expressions)), np.float32)
    return Shots(
        person=np.arange(n),
        years=zeros + np.asarray(years, np.float32),
        expression=still,
        yaw=zeros,
        pitch=zeros,
        light=toward(zeros, zeros + 0.4).astype(np.float32),
        background=np.full((n, 3), 0.8, np.float32),
    )


def toward(
    side: np.ndarray,
    height: np.ndarray,
) -> np.ndarray:
    """Unit vectors to a light, [N, 3]: side -1 from the left to 1 from the right, height 0 level to 1 from above."""
    x = 1.1 * side
    y = 0.1 + 0.7 * height
    along = np.stack([x, y, np.ones_like(x)], 1)
    return along / np.linalg.norm(along, axis=1, keepdims=True)


def _floats(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [part.astype(np.float32) for part in parts]


class _Draws:
    """Numbers handed out in turn, a row for each (person, shot): the order of the calls is part of the set."""

    def __init__(
        self,
        seed: int,
        stream: int,
        people: np.ndarray,
        shots: np.ndarray,
    ):
        self.rows = np.empty((len(people), _BITS), np.uint64)
        self.used = 0
        for i in range(len(people)):
            # a counter of its own in the stream of the seed
            counter = [0, int(shots[i]), int(people[i]), 0]
            bits = np.random.Philox(key=[seed, stream], counter=counter)
            self.rows[i] = bits.random_raw(_BITS)

    def take(self, k: int) -> np.ndarray:
        """[N, k], uniform in [0, 1)."""
        first = self.used
        self.used += k
        high = self.rows[:, first : self.used] >> np.uint64(11)
        return high * 2.0**-53  # a float has 53 bits

    def between(
        self,
        low: float,
        high: float,
    ) -> np.ndarray:
        """[N], uniform in [low, high)."""
        return low + (high - low) * self.take(1)[:, 0]

    def chance(self, odds: float | np.ndarray) -> np.ndarray:
        """[N], true as often as the odds in 0 to 1 say."""
        return self.between(0, 1) < odds

    def whole(self, n: int) -> np.ndarray:
        """[N], whole numbers from 0 up to n - 1."""
        return self.between(0, n).astype(int)

    def normal(self) -> np.ndarray:
        """[N], standard normal within 2.2, by Box and Muller."""
        u, v = self.take(2).T
        radius = np.sqrt(-2 * np.log(1 - u))
        angle = 2 * np.pi * v
        return (radius * np.cos(angle)).clip(-2.2, 2.2)


def _years(draws: _Draws) -> np.ndarray:
    """[N]: a group, then any year in it."""
    number = draws.whole(len(GROUPS))
    edges = np.array(GROUP_YEARS)
    first = edges[number]
    last = edges[number + 1]
    share = draws.between(0, 1)
    return first + (last - first) * share


def _ancestry(draws: _Draws) -> np.ndarray:
    """[N, 3]: three people of four are mainly of one ancestry, the others of two in any shares."""
    main = draws.whole(3)
    other = (main + 1 + draws.whole(2)) % 3
    most = np.where(draws.chance(0.25), 0.5, 0.12)
    less = most * draws.between(0, 1)
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
    found = np.zeros((len(draws.rows), known.shape[1]))
    for _ in range(_TRAITS):
        trait = known[draws.whole(len(known))]
        much = draws.between(0.1, _MOST)
        # the greater where a trait is drawn twice, so that no weight is beyond the most
        found = np.maximum(found, much[:, None] * trait)
    return found


def _skin(
    draws: _Draws,
    ancestry: np.ndarray,
) -> np.ndarray:
    """[N, 3]: a place on the line of skins about that of the ancestry, and a little redder or yellower."""
    place = ancestry @ _PLACES + 0.8 * draws.normal()
    known = np.arange(len(SKINS))
    colour = [np.interp(place, known, channel) for channel in SKINS.T]
    tint = draws.between(-0.02, 0.02)
    redder = np.stack([tint, 0 * tint, -tint], 1)
    return (np.stack(colour, 1) + redder).clip(0, 1)


def _colours(
    draws: _Draws,
    ancestry: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Natural colours of hair and irises, [N, 3] each: fair hair and fair eyes often come together."""
    fairness = draws.between(0, 1)
    # half of the people draw their eyes anew
    other = np.where(draws.chance(0.5), fairness, draws.between(0, 1))
    hair = _picked(fairness, ancestry @ _HAIR_ODDS, HAIRS)
    iris = _picked(other, ancestry @ _IRIS_ODDS, IRISES)
    hair *= draws.between(0.85, 1.15)[:, None]
    iris *= draws.between(0.85, 1.15)[:, None]
    return hair.clip(0, 1), iris.clip(0, 1)


def _picked(
    chance: np.ndarray,
    odds: np.ndarray,
    colours: np.ndarray,
) -> np.ndarray:
    """One of the colours [C, 3] by its odds [N, C], [N, 3]."""
    passed = chance[:, None] >= np.cumsum(odds, 1)
    which = passed[:, :-1].sum(1)  # rounding may leave the sum of all odds below 1
    return colours[which]


def _expression(draws: _Draws) -> np.ndarray:
    """[N, 52]: a third at rest, else a smile, an open mouth, closed eyes or any three shapes, some of them together."""
    names = shapes.model().expressions
    number = np.arange(len(draws.rows))
    found = np.zeros((len(number), len(names)))

    def add(
        shown: np.ndarray,
        most: float,
        *shapes: str,
    ) -> None:
        much = shown * draws.between(0.35, most)
        for shape in shapes:
            found[:, names.index(shape)] += much

    mood = draws.between(0, 1)
    add(mood < 0.35, 1.0, "mouthSmileLeft", "mouthSmileRight")
    add(draws.chance(0.14), 1.0, "eyeBlinkLeft", "eyeBlinkRight")
    add(draws.chance(0.22), 0.8, "jawOpen")
    for _ in range(3):
        which = draws.whole(len(names))
        much = draws.between(0, 0.6)
        found[number, which] += much * (mood > 0.65)
    return found.clip(0, 1)
