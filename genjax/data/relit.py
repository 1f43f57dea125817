"""Faces in two lights: the same person, age, pose and expression, lit from the left and from the right.

Of such a pair the light alone differs, and one picture says what the other is, but for what lies in the shade.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.heads import (
    Heads,
    People,
    Shots,
    draw_people,
    draw_shots,
    examples,
    render,
    shapes,
    split_of,
    toward,
)
from genjax.data.heads.rendering import VERSION
from genjax.data.heads.sets import SPLITS
from genjax.data.source import Source, assemble
from genjax.errors import at_least, at_most

_AT_A_TIME = 50  # people whose pictures are in memory


@dataclasses.dataclass(frozen=True)
class Relit:
    """`image`, a face of `Heads` lit from the right, and `input`, the same lit from the left; all else as there.

    People, shots and splits are those of `Heads` with the same numbers.
    """

    size: int = field(32, "side of the pictures [pixels]")
    people: int = field(2000, "people, in all splits")
    shots: int = field(5, "pairs of each: all ages, poses and expressions")
    seed: int = field(0, "seed of people and shots, independent of the run's seed")
    height: float = field(0.3, "of both lights: 0 level, 1 from above")
    stream: bool = field(
        False, "read from disk during training, for sets beyond memory", execution=True
    )

    def load(self) -> Source:
        """From the cache, else rendered, about two minutes; UserError for sizes that are too small."""
        at_least(8, data__size=self.size)
        at_least(3, data__people=self.people)  # one for each split
        at_least(1, data__shots=self.shots)
        at_least(0, data__seed=self.seed, data__height=self.height)
        at_most(2**63 - 1, data__seed=self.seed)
        at_most(1, data__height=self.height)
        # what changes the arrays
        request = {
            "size": self.size,
            "people": self.people,
            "shots": self.shots,
            "seed": self.seed,
            "height": self.height,
            # another renderer makes other bytes of the same numbers
            "renderer": VERSION,
        }

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            shapes.model()  # its errors before anything is written
            splits = {split: lambda split=split: self.rows(split) for split in SPLITS}
            return builders.rows(directory, self.fields(), splits)

        mark = f"{shapes.CRC:08x}"
        return assemble("heads in two lights", "relit", request, mark, prepare, 0, self.stream)

    def fields(self) -> dict[str, Any]:
        """Those of `Heads`, and the picture in the other light."""
        known = Heads(self.size, self.people, self.shots, self.seed).fields()
        return {**known, "input": known["image"]}

    def rows(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """The examples of a split, person by person, rendered as they are asked for."""
        numbers = np.arange(self.people)
        own = numbers[split_of(numbers) == SPLITS.index(split)]
        for first in range(0, len(own), _AT_A_TIME):
            some = own[first : first + _AT_A_TIME]
            people = draw_people(self.seed, some)
            shots = draw_shots(self.seed, people, self.shots)
            columns = self.pairs(people, shots)
            for i in range(len(shots.person)):
                yield {name: column[i] for name, column in columns.items()}

    def pairs(
        self,
        people: People,
        shots: Shots,
    ) -> dict[str, np.ndarray]:
        """The fields of any people and shots, in both lights, whatever light the shots have."""
        # the fields tell of the picture that is modelled
        from_right = examples(people, self.lit(shots, 1.0), self.size)
        from_left = render(people, self.lit(shots, -1.0), self.size)
        return {**from_right, "input": from_left.image}

    def lit(
        self,
        shots: Shots,
        side: float,
    ) -> Shots:
        """The shots in a light from one side: -1 the left, 1 the right."""
        # one light for all: where it comes from is what is to be learned
        everywhere = np.full(len(shots.person), side)
        height = np.full(len(shots.person), self.height)
        light = toward(everywhere, height)
        return shots._replace(light=light.astype(np.float32))
