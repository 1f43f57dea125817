"""A data set shared out: who generates, who learns to tell, and what both have never seen.

The training examples are `generator`, `train` and `train_other`, as 2 : 1 : 1, and what is held out, validation and
test together, `held`, `held_other`, `test` and `test_other`, a fourth each. Those called `other` are real pictures in
the place of generated ones, so that real can be held against real.

What belongs together, all pictures of a person say, is in one portion; but `held` and `held_other` have the same
people, and so have `test` and `test_other`: a group's pictures are dealt to both in turn. Of a few groups each half
would have its own light and its own places, and real would differ from real by them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data.batches import Arrays, domains
from genjax.data.source import FashionMNIST, Source
from genjax.errors import UserError, at_least

# {portions that have the same groups: their share of the split that they are of}
Shares = dict[tuple[str, ...], float]
OF_TRAIN: Shares = {("generator",): 0.5, ("train",): 0.25, ("train_other",): 0.25}
OF_HELD: Shares = {("held", "held_other"): 0.5, ("test", "test_other"): 0.5}


@dataclasses.dataclass(frozen=True)
class Reals:
    """The real pictures and how they are shared out."""

    of: Any = field(FashionMNIST(), "the data set, pictures; any config with load()")
    group: str = field(
        "", "name of the field that says what belongs together; '' = nothing does"
    )
    seed: int = field(0, "of the sharing out")

    def resolved(self) -> Reals:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.of, "resolved", None)
        return self if fill is None else dataclasses.replace(self, of=fill())

    def load(self) -> Source:
        """The set itself; UserError for one that cannot be shared out."""
        if not callable(getattr(self.of, "load", None)):
            raise UserError("--reals.of must be a data set, e.g. --reals.of='FashionMNIST()'.")
        at_least(0, reals__seed=self.seed)
        source = self.of.load()
        # rows are taken out of arrays by number
        if source.records is not None or domains(source.train):
            raise UserError(
                f"--reals.of: {source.name} is streamed or in domains, and is shared out in memory: choose another."
            )
        if self.group and self.group not in source.fields:
            raise UserError(
                f"--reals.group={self.group!r}: {source.name} has {', '.join(source.fields)} and no such field."
            )
        return source

    def portions(self, source: Source) -> dict[str, Arrays]:
        """{portion: {field: [N, ...]}}; UserError for a set of which one would be empty."""
        held = together(source.valid, source.test)
        found = self._shared(source.train, OF_TRAIN)
        found |= self._shared(held, OF_HELD)
        for name, arrays in found.items():
            if not size(arrays):
                raise UserError(
                    f"{source.name} has {size(source.train)} training and {size(held)} held-out examples: nothing is "
                    f"left for {name!r}; use a larger set, or hold out more by --reals.of.valid."
                )
        return found

    def numbers(self, arrays: Arrays) -> np.ndarray:
        """What belongs together, a number for each example [N]; without a field each is a group of its own."""
        n = size(arrays)
        return np.asarray(arrays[self.group]) if self.group and n else np.arange(n)

    def _shared(self, split: Arrays, shares: Shares) -> dict[str, Arrays]:
        """A split by whole groups in an order drawn by the seed, each share's rows dealt to its portions in turn."""
        groups, member = np.unique(self.numbers(split), return_inverse=True)
        # raw draws, which no release of numpy changes (NEP 19)
        draws = np.random.Philox(key=[self.seed, 0x5A]).random_raw(len(groups))
        # the rank of a group's draw is its place
        place = np.empty(len(groups), np.int64)
        place[np.argsort(draws, kind="stable")] = np.arange(len(groups))
        # where each share ends, in groups
        ends = np.rint(np.cumsum(list(shares.values())) * len(groups))
        which = np.searchsorted(ends, place[member], "right")
        found = {}
        for i, names in enumerate(shares):
            rows = np.flatnonzero(which == i)
            # group by group: a group of one is dealt too, and the next one goes on in turn
            dealt = rows[np.argsort(place[member[rows]], kind="stable")]
            for turn, name in enumerate(names):
                # in the set's own order
                own = np.sort(dealt[turn :: len(names)])
                found[name] = {key: np.asarray(array[own]) for key, array in split.items()}
        return found


@dataclasses.dataclass(frozen=True)
class Portion:
    """A generator's portion of the real pictures to train on; its test is the portion that detectors learn."""

    reals: Reals = field(Reals(), "the real pictures")

    def resolved(self) -> Portion:
        """The same with the marks of what lies in files filled in."""
        return dataclasses.replace(self, reals=self.reals.resolved())

    def load(self) -> Source:
        """As `Reals`; no picture that detectors are tested on is in it."""
        source = self.reals.load()
        found = self.reals.portions(source)
        train = found["generator"]
        # no split for validation: nothing of a generator is chosen
        nothing = {name: array[:0] for name, array in train.items()}
        return source._replace(
            name=f"{source.name}_generator", train=train, valid=nothing, test=found["train"]
        )


def together(first: Arrays, second: Arrays) -> Arrays:
    """The examples of two splits, of which one may be empty."""
    if not size(first):
        return second
    if not size(second):
        return first
    found = {}
    for name, array in first.items():
        found[name] = np.concatenate([np.asarray(array), np.asarray(second[name])])
    return found
