"""What can be turned of a rendered face, each turned by the renderer itself: the truth of arithmetic with codes.

A knob is a config value: `of` says how far it is turned in some pictures, `turned` gives the same people and shots with
it elsewhere, and `wanted` what a reader of pictures should then say under `name`.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data.heads import Heads, People, Shots, draw_people, draw_shots, model, split_of
from genjax.data.heads.sets import SPLITS

# the shapes of the mouth that make a smile, as `heads.attributes` counts it
_SMILE = ("mouthSmileLeft", "mouthSmileRight")


class World(NamedTuple):
    """M pictures as the renderer knows them: who is in them, and how they were taken."""

    people: People
    shots: Shots

    def rows(self, which: np.ndarray) -> World:
        """These pictures, each with a row of `people` of its own."""
        person = self.shots.person[which]
        people = [part[person] for part in self.people]
        shots = [part[which] for part in self.shots]
        # whoever is in several pictures is there several times
        own = np.arange(len(which))
        taken = Shots(*shots)._replace(person=own)
        return World(People(*people), taken)

    def with_shots(self, **changes: np.ndarray) -> World:
        """The same people, taken otherwise."""
        shots = self.shots._replace(**changes)
        return self._replace(shots=shots)


def world_of(data: Heads, split: str) -> World:
    """The people and shots of a split's pictures, in their order: `Heads.rows` renders these."""
    numbers = np.arange(data.people)
    number = SPLITS.index(split)
    own = numbers[split_of(numbers) == number]
    people = draw_people(data.seed, own)
    shots = draw_shots(data.seed, people, data.shots)
    return World(people, shots)


@dataclasses.dataclass(frozen=True)
class Age:
    """Years."""

    name: ClassVar[str] = "age"  # as the reader calls it
    unit: ClassVar[str] = "years"

    # the renderer's shapes are a line in years from 25 to 90
    to: tuple[float, ...] = field(
        (25.0, 40.0, 55.0, 70.0, 85.0),
        "where it is turned to [years]",
    )

    def of(self, world: World) -> np.ndarray:
        """Years, [M]."""
        return world.shots.years

    def turned(self, world: World, to: float) -> World:
        """Everybody at this age: shape and hair follow by the renderer's rules."""
        years = np.full_like(world.shots.years, to)
        return world.with_shots(years=years)

    def wanted(self, to: float) -> float:
        """The reader says years."""
        return to


@dataclasses.dataclass(frozen=True)
class Yaw:
    """Where the face looks: above 0 to the right of the picture."""

    name: ClassVar[str] = "yaw"
    unit: ClassVar[str] = "radians"

    # faces are drawn with a standard deviation of 0.28
    to: tuple[float, ...] = field(
        (-0.4, -0.2, 0.0, 0.2, 0.4),
        "where it is turned to [radians]",
    )

    def of(self, world: World) -> np.ndarray:
        """Radians, [M]."""
        return world.shots.yaw

    def turned(self, world: World, to: float) -> World:
        """All heads turned there."""
        yaw = np.full_like(world.shots.yaw, to)
        return world.with_shots(yaw=yaw)

    def wanted(self, to: float) -> float:
        """The reader says radians."""
        return to


@dataclasses.dataclass(frozen=True)
class Smile:
    """How far the corners of the mouth are drawn up, 0 to 1; the reader says whether it is 0.3 or more."""

    name: ClassVar[str] = "smiling"
    unit: ClassVar[str] = "probability"

    to: tuple[float, ...] = field((0.0, 0.7), "where it is turned to")

    def of(self, world: World) -> np.ndarray:
        """The mean of both corners, [M]."""
        both = world.shots.expression[:, _corners()]
        return both.mean(1)

    def turned(self, world: World, to: float) -> World:
        """Both corners there, whatever else the face does."""
        expression = world.shots.expression.copy()
        expression[:, _corners()] = to
        return world.with_shots(expression=expression)

    def wanted(self, to: float) -> float:
        """The reader says how likely it is a yes."""
        return float(to >= 0.3)


@dataclasses.dataclass(frozen=True)
class Sex:
    """Female 0, male 1, in the shape of the head alone: hair and beard stay as they are."""

    name: ClassVar[str] = "female"
    unit: ClassVar[str] = "probability"

    to: tuple[float, ...] = field((0.0, 1.0), "where it is turned to")

    def of(self, world: World) -> np.ndarray:
        """How male, [M]."""
        row = world.shots.person
        return world.people.male[row]

    def turned(self, world: World, to: float) -> World:
        """All of this sex."""
        male = np.full_like(world.people.male, to)
        people = world.people._replace(male=male)
        return world._replace(people=people)

    def wanted(self, to: float) -> float:
        """The reader says how likely it is a woman."""
        return float(to < 0.5)


def _corners() -> list[int]:
    """The places of the two corners of the mouth among the expressions."""
    names = list(model().expressions)
    return [names.index(name) for name in _SMILE]


def between(first: World, second: World, t: float) -> World:
    """The renderer's own mixture of two worlds of one length, each of whose pictures has its own person: every number.

    t = 0 is the first, 1 the second; the light's direction is brought back to length 1.
    """

    def mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        middle = (1.0 - t) * a + t * b
        return middle.astype(a.dtype)

    # the first of each are numbers of persons, which cannot be mixed
    who = map(mixed, first.people[1:], second.people[1:])
    how = map(mixed, first.shots[1:], second.shots[1:])
    people = People(first.people.number, *who)
    shots = Shots(first.shots.person, *how)
    length = np.linalg.norm(shots.light, axis=1, keepdims=True)
    # of two lights opposite to each other none is left
    light = shots.light / np.maximum(length, 1e-6)
    return World(people, shots).with_shots(light=light)


Knob = Age | Yaw | Smile | Sex
