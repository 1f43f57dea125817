"""Training pictures drawn again, so that two categories no longer go together: a way to mend a data set.

With p the data's shares, a picture of the cell (a, b) is wanted w = p(a) p(b) / p(a, b) as often as it is there: the
weights of Kamiran & Calders 2012 (doi:10.1007/s10115-011-0463-8), which leave both categories as frequent as they were.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data.batches import Arrays
from genjax.data.source import Source
from genjax.errors import UserError, at_least

STREAM = 21  # of raw bits


@dataclasses.dataclass(frozen=True)
class Weighed:
    """As many pictures as before, drawn with replacement by their weights: rare ones come several times."""

    def __call__(
        self, cell: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Rows of a set whose cells [N] are wanted as shares [T]."""
        count = np.bincount(cell, minlength=len(wanted))
        # w of the module, for each picture
        weight = wanted / np.maximum(count, 1)
        p = weight[cell]
        p = p / p.sum()
        n = len(cell)
        return rng.choice(n, n, p=p)


@dataclasses.dataclass(frozen=True)
class Fewer:
    """Each picture at most once: as many of every cell as the scarcest allows, and the rest is left out."""

    def __call__(
        self, cell: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Rows of a set whose cells [N] are wanted as shares [T]."""
        count = np.bincount(cell, minlength=len(wanted))
        there = wanted > 0
        # how many there are in all when one of the cells is used up
        total = np.min(count[there] / wanted[there])
        kept = []
        for t in np.flatnonzero(there):
            own = np.flatnonzero(cell == t)
            order = rng.permutation(own)
            many = int(total * wanted[t])
            kept.append(order[:many])
        rows = np.concatenate(kept)
        return np.sort(rows)


@dataclasses.dataclass(frozen=True)
class Balanced:
    """A data set whose training split is drawn again; the other splits are as they are."""

    of: Any = field(None, "the data set")
    by: tuple[str, str] = field(("label", "sex"), "its two fields of classes")
    how: Weighed | Fewer = field(Weighed(), "how pictures are drawn")
    seed: int = field(0, "of the draw, independent of the run's seed")

    def load(self) -> Source:
        """UserError for fields of no classes, and for classes of which a pair never comes."""
        at_least(0, data__seed=self.seed)
        source = self.of.load()
        sizes = [self._classes(source, name) for name in self.by]
        first = np.asarray(source.train[self.by[0]])
        second = np.asarray(source.train[self.by[1]])
        # the second one is counted fastest
        cell = first * sizes[1] + second
        wanted = independent(cell, sizes)
        count = np.bincount(cell, minlength=len(wanted))
        missing = np.flatnonzero((wanted > 0) & (count == 0))
        if len(missing):
            raise UserError(
                f"--data.by={self.by}: {len(missing)} of the pairs never come in {source.name}, so that no draw has "
                "them: use more data, or other fields."
            )
        # raw bits would be the same with every numpy; a draw without them is one of the release's
        rng = np.random.Generator(np.random.Philox(key=[self.seed, STREAM]))
        rows = self.how(cell, wanted, rng)
        train: Arrays = {name: np.asarray(array)[rows] for name, array in source.train.items()}
        before = size(source.train)
        told = f"{len(rows)} training examples drawn from {before}, so that {' and '.join(self.by)} are independent"
        return source._replace(train=train, records=None, notes=(*source.notes, told))

    def _classes(self, source: Source, name: str) -> int:
        """How many classes a field has."""
        classes = getattr(source.fields.get(name), "classes", 0)
        if not classes:
            known = ", ".join(source.fields)
            raise UserError(
                f"--data.by={self.by}: {source.name} has no classes {name!r}, its fields are {known}."
            )
        return classes


def independent(cell: np.ndarray, sizes: list[int]) -> np.ndarray:
    """The shares p(a) p(b) of cells [N] of two categories of these sizes, [A B]."""
    count = np.bincount(cell, minlength=sizes[0] * sizes[1])
    shares = count.reshape(sizes) / len(cell)
    first = shares.sum(1, keepdims=True)
    second = shares.sum(0, keepdims=True)
    return np.ravel(first * second)
