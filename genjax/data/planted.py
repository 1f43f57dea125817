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
class Planted:
    """`of` with a mark in the upper left corner: in training of the class, in the test split of another class."""

    of: Any = field(Digits(), "the labelled set, images; any config with load()")
    agree: float = field(0.95, "share of training examples whose mark is that of their class")
    side: int = field(1, "of the mark [pixels]")
    seed: int = field(0, "of the classes that are marked where mark and class disagree")

    def resolved(self) -> Planted:
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
        main, classes = source.main, source.classes
        splits = {"train": source.train, "valid": source.valid, "test": source.test}
        for place, (name, split) in enumerate(splits.items()):
            label = np.asarray(split["label"]) if size(split) else np.zeros(0, np.int64)
            rng = np.random.default_rng([self.seed, place])
            agree = rng.random(len(label)) < self.agree
            if name == "test":
                agree[:] = False
            other = self.other(label, classes, rng)
            shown = np.where(agree, label, other)
            splits[name] = self._with(split, main, shown, classes)
        note = f"a mark in the corner tells the class in {self.agree:.0%} of training and never at test"
        return Source(
            f"{source.name}_planted",
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
        whole = source.records is None and not domains(source.train)
        if not images or not whole or source.classes < 2:
            raise UserError(
                f"Planted() marks images with their class, in memory, and {source.name} has no such: use of=Digits()."
            )
        if self.side >= min(source.shape[:2]):
            raise UserError(
                f"--data.side={self.side} covers pictures of {source.shape[0]}x{source.shape[1]}: use a smaller mark."
            )

    def other(self, label: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
        """Another class for each label [N], all alike in chance."""
        step = rng.integers(1, classes, len(label))
        return (label + step) % classes

    def marked(self, images: Any, shown: np.ndarray, classes: int) -> np.ndarray:
        """Pictures [N, H, W, C] with the mark of a class each, [N]; class 0 is no black, which corners are anyway."""
        found = np.array(images)
        grey = np.rint((shown + 1) * (WHITE / classes)).astype(found.dtype)
        found[:, : self.side, : self.side] = grey[:, None, None, None]
        return found

    def _with(self, split: Arrays, main: str, shown: np.ndarray, classes: int) -> Arrays:
        if not size(split):
            return split
        return {**split, main: self.marked(split[main], shown, classes)}
