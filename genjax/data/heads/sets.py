"""`Heads`: faces of which everything is known, as a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.heads import shapes
from genjax.data.heads.drawing import draw_people, draw_shots
from genjax.data.heads.people import (
    GROUPS,
    People,
    Shots,
    grey,
    group,
    hair_colour,
    hair_length,
)
from genjax.data.heads.rendering import VERSION, render
from genjax.data.source import Source, assemble
from genjax.errors import at_least, at_most
from genjax.fields import Attributes, Category, Image, Mask, Points

ATTRIBUTES = (
    "female",
    "african",
    "asian",
    "caucasian",
    "mouth open",
    "smiling",
    "eyes closed",
    "dark hair",
    "grey hair",
    "long hair",
    "beard",
    "light from the left",
)
SPLITS = ("train", "valid", "test")
_AT_A_TIME = 50  # people whose pictures are in memory


@dataclasses.dataclass(frozen=True)
class Heads:
    """Faces rendered from MakeHuman's shapes, with age, pose, landmarks, parts and attributes of every picture.

    Splits are by person, train, valid and test as 8 : 1 : 1 (`split_of`): nobody is in two of them, and people that are
    added leave the others where they are. They are drawings: what holds of them need not hold of photographs.
    """

    size: int = field(32, "side of the pictures [pixels]")
    people: int = field(2000, "people, in all splits")
    shots: int = field(5, "pictures of each: all ages, poses, expressions and lights")
    seed: int = field(0, "seed of people and shots, independent of the run's seed")
    stream: bool = field(
        False, "read from disk during training, for sets beyond memory", execution=True
    )

    def load(self) -> Source:
        """From the cache, else rendered, about a minute; UserError for sizes that are too small."""
        at_least(8, data__size=self.size)
        at_least(3, data__people=self.people)  # one for each split
        at_least(1, data__shots=self.shots)
        at_least(0, data__seed=self.seed)
        # above, numpy rounds a seed, and several draw the same
        at_most(2**63 - 1, data__seed=self.seed)
        request = {"size": self.size, "people": self.people, "shots": self.shots}
        # another renderer makes other bytes of the same numbers
        request |= {"seed": self.seed, "renderer": VERSION}

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            shapes.model()  # its errors before anything is written
            splits = {split: lambda split=split: self.rows(split) for split in SPLITS}
            return builders.rows(directory, self.fields(), splits)

        mark = f"{shapes.CRC:08x}"
        return assemble("heads", "heads", request, mark, prepare, 0, self.stream)

    def fields(self) -> dict[str, Any]:
        """What is known of each picture."""
        size = self.size
        return {
            "image": Image((size, size, 3)),
            "label": Category(len(GROUPS), GROUPS),  # age group
            "landmarks": Points((14, 2)),  # x right, y down [pixels]
            "parts": Mask((size, size), len(shapes.PARTS)),
            "age": Points((1,)),  # [years]
            "pose": Points((2,)),  # yaw, pitch [radians]
            "attributes": Attributes(ATTRIBUTES),
            "person": Category(self.people),
        }

    def rows(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """The examples of a split, person by person, rendered as they are asked for."""
        numbers = np.arange(self.people)
        own = numbers[split_of(numbers) == SPLITS.index(split)]
        for first in range(0, len(own), _AT_A_TIME):
            some = own[first : first + _AT_A_TIME]
            people = draw_people(self.seed, some)
            shots = draw_shots(self.seed, people, self.shots)
            columns = examples(people, shots, self.size)
            for i in range(len(shots.person)):
                yield {name: column[i] for name, column in columns.items()}


def split_of(numbers: np.ndarray) -> np.ndarray:
    """The split of people by their numbers, as a number in SPLITS: of ten in a row two are held."""
    digit = numbers % 10
    return np.where(digit == 1, 1, np.where(digit == 2, 2, 0))


def examples(
    people: People,
    shots: Shots,
    size: int,
) -> dict[str, np.ndarray]:
    """The fields of `Heads`, [M, ...], of any people and shots."""
    image, parts, landmarks = render(people, shots, size)
    return {
        "image": image,
        "label": group(shots.years),
        "landmarks": landmarks,
        "parts": parts,
        "age": shots.years[:, None],
        "pose": np.stack([shots.yaw, shots.pitch], 1),
        "attributes": attributes(people, shots),
        "person": people.number[shots.person].astype(np.int32),
    }


def attributes(
    people: People,
    shots: Shots,
) -> np.ndarray:
    """The answers to ATTRIBUTES, uint8 [M, 12] of 0 and 1."""
    row = shots.person
    place = {name: i for i, name in enumerate(shapes.model().expressions)}

    def moved(*names: str) -> np.ndarray:
        return shots.expression[:, [place[name] for name in names]].mean(1)

    brightness = hair_colour(people, shots).mean(1)
    answers = [
        people.male[row] < 0.5,
        *(people.ancestry[row].T >= 0.5),
        moved("jawOpen") >= 0.3,
        moved("mouthSmileLeft", "mouthSmileRight") >= 0.3,
        moved("eyeBlinkLeft", "eyeBlinkRight") >= 0.5,
        brightness < 0.25,
        grey(people, shots) >= 0.5,
        hair_length(people, shots) >= 0.3,
        (people.beard[row] >= 0.4) & (shots.years >= 18),
        shots.light[:, 0] < 0,
    ]
    return np.stack(answers, 1).astype(np.uint8)
