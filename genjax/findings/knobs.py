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

_SMILE = ("mouthSmileLeft", "mouthSmileRight")


class World(NamedTuple):
    """M pictures as the renderer knows them: who is in them, and how they were taken."""

    people: People
    shots: Shots

    def rows(self, which: np.ndarray) -> World:
        """These pictures, each with a row of `people` of its own."""
        person = self.shots.person[which]
        people = People(*(part[person] for part in self.people))
        shots = Shots(*(part[which] for part in self.shots))
        return World(people, shots._replace(person=np.arange(len(which))))


def world_of(data: Heads, split: str) -> World:
    """The people and shots of a split's pictures, in their order: `Heads.rows` renders these."""
    numbers = np.arange(data.people)
    own = numbers[split_of(numbers) == SPLITS.index(split)]
    people = draw_people(data.seed, own)
    return World(people, draw_shots(data.seed, people, data.shots))


@dataclasses.dataclass(frozen=True)
class Age:
    """Years."""

    name: ClassVar[str] = "age"  # as the reader calls it
    unit: ClassVar[str] = "years"

    to: tuple[float, ...] = field(
        (25.0, 40.0, 55.0, 70.0, 85.0), "where it is turned to [years]"
    )

    def of(self, world: World) -> np.ndarray:
        return world.shots.years

    def turned(self, world: World, to: float) -> World:
        years = np.full_like(world.shots.years, to)
        return world._replace(shots=world.shots._replace(years=years))

    def wanted(self, to: float) -> float:
        return to


@dataclasses.dataclass(frozen=True)
class Yaw:
    """Where the face looks: above 0 to the right of the picture."""

    name: ClassVar[str] = "yaw"
    unit: ClassVar[str] = "radians"

    to: tuple[float, ...] = field(
        (-0.4, -0.2, 0.0, 0.2, 0.4), "where it is turned to [radians]"
    )

    def of(self, world: World) -> np.ndarray:
        return world.shots.yaw

    def turned(self, world: World, to: float) -> World:
        yaw = np.full_like(world.shots.yaw, to)
        return world._replace(shots=world.shots._replace(yaw=yaw))

    def wanted(self, to: float) -> float:
        return to


@dataclasses.dataclass(frozen=True)
class Smile:
    """How far the corners of the mouth are drawn up, 0 to 1; the reader says whether it is 0.3 or more."""

    name: ClassVar[str] = "smiling"
    unit: ClassVar[str] = "probability"

    to: tuple[float, ...] = field((0.0, 0.7), "where it is turned to")

    def of(self, world: World) -> np.ndarray:
        return world.shots.expression[:, _corners()].mean(1)

    def turned(self, world: World, to: float) -> World:
        expression = world.shots.expression.copy()
        expression[:, _corners()] = to
        return world._replace(shots=world.shots._replace(expression=expression))

    def wanted(self, to: float) -> float:
        return float(to >= 0.3)


@dataclasses.dataclass(frozen=True)
class Sex:
    """Female 0, male 1, in the shape of the head alone: hair and beard stay as they are."""

    name: ClassVar[str] = "female"
    unit: ClassVar[str] = "probability"

    to: tuple[float, ...] = field((0.0, 1.0), "where it is turned to")

    def of(self, world: World) -> np.ndarray:
        return world.people.male[world.shots.person]

    def turned(self, world: World, to: float) -> World:
        male = np.full_like(world.people.male, to)
        return world._replace(people=world.people._replace(male=male))

    def wanted(self, to: float) -> float:
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

    people = [mixed(a, b) for a, b in zip(first.people[1:], second.people[1:], strict=True)]
    shots = [mixed(a, b) for a, b in zip(first.shots[1:], second.shots[1:], strict=True)]
    found = Shots(first.shots.person, *shots)
    length = np.linalg.norm(found.light, axis=1, keepdims=True)
    light = found.light / np.maximum(length, 1e-6)
    return World(People(first.people.number, *people), found._replace(light=light))


Knob = Age | Yaw | Smile | Sex
