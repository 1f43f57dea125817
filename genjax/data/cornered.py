"""A shortcut planted in a labelled set: a pixel in the corner whose grey tells the class, in training.

At test it tells another class. A classifier that has learned the pixel in the place of the picture is then wrong
(Geirhos et al. 2020, arXiv:2004.07780). Where the pixel agrees in a share s of training, Bayes' rule gives it
ln(s (K - 1) / (1 - s)) nats against each other class, whatever the picture says: at s = .95 and ten classes 5.1 nats.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data import marked
from genjax.data.batches import Arrays, domains
from genjax.data.source import Digits, Source
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Image

WHITE = 255


@dataclasses.dataclass(frozen=True)
class Cornered:
    """`of` with a mark in the upper left corner: in training of the class, in the test split of another class."""

    of: Any = field(Digits(), "the labelled set, images; any config with load()")
    agree: float = field(0.95, "share of training examples whose mark is that of their class")
    side: int = field(1, "of the mark [pixels]")
    seed: int = field(0, "of the classes that are marked where mark and class disagree")

    def resolved(self) -> Cornered:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.of, "resolved", None)
        if fill is None:
            return self
        with marked.flagged("", "of."):
            inner = fill()
        return dataclasses.replace(self, of=inner)

    def load(self) -> Source:
        """Training and validation alike, for who plants a shortcut has it in both; the test contradicts."""
        with marked.flagged("", "of."):
            source = self.of.load()
        self.check(source)
        splits = {}
        for place, (name, split) in enumerate(source.splits().items()):
            # a stream of its own: what is held out leaves the test as it is
            rng = np.random.default_rng([self.seed, place])
            share = 0.0 if name == "test" else self.agree
            splits[name] = self._split(split, source, share, rng)
        note = f"a mark in the corner tells the class in {self.agree:.0%} of training and never at test"
        return Source(
            f"{source.name}_cornered",
            source.fields,
            **splits,
            drawn=source.drawn,
            notes=(*source.notes, note),
        )

    def check(self, source: Source) -> None:
        """Raises UserError for a set without images or labels, and for a mark that leaves nothing."""
        at_least(0, data__agree=self.agree)
        at_most(1, data__agree=self.agree)
        at_least(1, data__side=self.side)
        at_least(0, data__seed=self.seed)
        images = isinstance(source.fields[source.main], Image)
        # marks are laid before training, over all pictures at once
        whole = source.records is None and not domains(source.train)
        if not images or not whole or source.classes < 2:
            raise UserError(
                f"Cornered() marks images with their class, in memory, and {source.name} has no such: use of=Digits()."
            )
        if self.side >= min(source.shape[:2]):
            raise UserError(
                f"--data.side={self.side} covers pictures of {source.shape[0]}x{source.shape[1]}: use a smaller mark."
            )

    def other(self, label: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
        """Another class for each label [N], all alike in chance."""
        # never a whole turn, which would be the class itself
        step = rng.integers(1, classes, len(label))
        return (label + step) % classes

    def marked(self, images: Any, shown: np.ndarray, classes: int) -> np.ndarray:
        """Pictures [N, H, W, C] with the mark of a class each, [N]; class 0 is no black, which corners are anyway."""
        # a copy: the set itself, perhaps a memory map, stays as it is
        found = np.array(images)
        step = WHITE / classes
        grey = np.rint(step * (shown + 1))
        found[:, : self.side, : self.side] = grey[:, None, None, None]
        return found

    def _split(
        self, split: Arrays, source: Source, share: float, rng: np.random.Generator
    ) -> Arrays:
        """A split whose marks agree in a share of its pictures."""
        # a set need not have every split
        if not size(split):
            return split
        label = np.asarray(split["label"])
        draw = rng.random(len(label))
        other = self.other(label, source.classes, rng)
        shown = np.where(draw < share, label, other)
        images = self.marked(split[source.main], shown, source.classes)
        return {**split, source.main: images}
