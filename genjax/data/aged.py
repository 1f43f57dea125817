"""Faces at two ages: the same person, pose, expression, light and background, and another number of years.

Of such a pair the age alone differs, with all that the renderer lets follow from it: proportions, hair that greys, goes
or has not grown yet. Years are numbers, drawn evenly over a range, and people are split as those of `Heads`.
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
)
from genjax.data.heads.people import GROUP_YEARS
from genjax.data.heads.rendering import VERSION
from genjax.data.heads.sets import SPLITS
from genjax.data.source import Source, assemble
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Points

_AT_A_TIME = 50  # people whose pictures are in memory


@dataclasses.dataclass(frozen=True)
class Aged:
    """`image`, a face at `age`, the years that are asked for, and `input`, the same shot of the person at `before`.

    People, shots and splits are those of `Heads` with the same numbers; what else the fields tell is of `image`.
    """

    size: int = field(32, "side of the pictures [pixels]")
    people: int = field(2000, "people, in all splits")
    shots: int = field(5, "pairs of each: all poses, expressions and lights")
    seed: int = field(0, "seed of people and shots, independent of the run's seed")
    # children's heads have other proportions: a picture of one says little of the grown face
    years: tuple[float, float] = field((18.0, 85.0), "the ages of both, drawn evenly [years]")
    stream: bool = field(
        False, "read from disk during training, for sets beyond memory", execution=True
    )

    def load(self) -> Source:
        """From the cache, else rendered, about two minutes; UserError for sizes that are too small, and for years."""
        self.check()
        # what changes the arrays
        request = {
            "size": self.size,
            "people": self.people,
            "shots": self.shots,
            "seed": self.seed,
            "years": list(self.years),
            # another renderer makes other bytes of the same numbers
            "renderer": VERSION,
        }

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            shapes.model()  # its errors before anything is written
            # split=split: a plain closure would see the last one alone
            splits = {split: lambda split=split: self.rows(split) for split in SPLITS}
            return builders.rows(directory, self.fields(), splits)

        # other shapes make other pictures of the same request
        mark = f"{shapes.CRC:08x}"
        return assemble("heads at two ages", "aged", request, mark, prepare, 0, self.stream)

    def check(self) -> None:
        """Raises UserError for sizes that are too small, and for years that the renderer has not."""
        at_least(8, data__size=self.size)
        at_least(3, data__people=self.people)  # one for each split
        at_least(1, data__shots=self.shots)
        at_least(0, data__seed=self.seed)
        at_most(2**63 - 1, data__seed=self.seed)
        low, high = self.years
        first, last = GROUP_YEARS[0], GROUP_YEARS[-1]
        if not first <= low < high <= last:
            raise UserError(
                f"--data.years={self.years} must rise within {first:g} and {last:g}, the ages that are drawn."
            )

    def fields(self) -> dict[str, Any]:
        """Those of `Heads`, the picture before, and the years of it."""
        known = Heads(self.size, self.people, self.shots, self.seed).fields()
        return {**known, "input": known["image"], "before": Points((1,))}

    def rows(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """The examples of a split, person by person, rendered as they are asked for."""
        numbers = np.arange(self.people)
        # by person, so that nobody is in two splits
        own = numbers[split_of(numbers) == SPLITS.index(split)]
        for first in range(0, len(own), _AT_A_TIME):
            some = own[first : first + _AT_A_TIME]
            people = draw_people(self.seed, some)
            columns = self.pairs(people, *self.drawn(people))
            for i in range(len(columns["age"])):
                yield {name: column[i] for name, column in columns.items()}

    def drawn(self, people: People) -> tuple[Shots, np.ndarray]:
        """The shots of people at the age before, and the years that are asked for, [M]."""
        # twice as many: of the second half the age alone is taken
        numbers = np.arange(2 * self.shots)
        shots = draw_shots(self.seed, people, numbers[: self.shots])
        later = draw_shots(self.seed, people, numbers[self.shots :])
        before = shots._replace(years=self.evenly(shots.years))
        return before, self.evenly(later.years)

    def evenly(self, years: np.ndarray) -> np.ndarray:
        """Ages as `Heads` draws them, in even shares of its groups, moved so that they are even over `years`."""
        shares = np.linspace(0.0, 1.0, len(GROUP_YEARS))
        # groups are alike in chance, though not in years: within one it is a line
        rank = np.interp(years, GROUP_YEARS, shares)
        low, high = self.years
        return (low + rank * (high - low)).astype(np.float32)

    def pairs(
        self,
        people: People,
        shots: Shots,
        asked: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """The fields of any people and shots, and of the years [M] that are asked for."""
        # the years alone: all else of the shot stays
        after = shots._replace(years=asked.astype(np.float32))
        # the fields tell of the picture that is modelled
        columns = examples(people, after, self.size)
        before = render(people, shots, self.size)
        return {**columns, "input": before.image, "before": shots.years[:, None]}
