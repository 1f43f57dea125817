"""A shortcut planted in training: who reads the mark in the corner, and who the picture?

Each test picture is read three times: with the mark of its class, with that of another class, and as it is. The first
two are the groups (Sagawa et al. 2020, arXiv:1911.08731); the worst is what a user of such a classifier is left with.
Of the worse group the class that is read worst is told too; a least of several is lower than each by chance alone.
Differences to the reference are of the same pictures.

A view that moves or crops pictures (`Shift`, `Crop`, …) takes the mark out of some of those that are trained on: such a
contestant has had less of the shortcut to learn than one without, and is no fair match for it. Nothing refuses it, as
it may be what is asked about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data import Digits
from genjax.data.cornered import Cornered
from genjax.errors import UserError, at_least
from genjax.findings.classified import Board, paired, right, share_right, task_of
from genjax.findings.classifiers import HOME, Contestant, check_task
from genjax.findings.samples import some
from genjax.findings.tabled import finish, keep_picture, place, wide
from genjax.metrics.intervals import Interval
from genjax.pictures.draw import captioned, grid

AGREES, CONTRADICTS, PLAIN = "mark agrees", "mark contradicts", "no mark"
SHOWN = 10  # pictures of each group in a picture


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """The comparison."""

    data: Cornered = field(Cornered(Digits(300)), "the set and its mark")
    contestants: tuple[Contestant, ...] = field((), "what tells classes apart")
    reference: str = field("CNN", "whose accuracy the others' is held against")
    fit: int = field(60_000, "training examples that closed forms see, at most")
    valid: int = field(1000, "held-out examples, marked as in training, at most")
    test: int = field(10_000, "test pictures, at most")
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, reads, tells; UserError, before anything is written, for what cannot be done."""
        if not hasattr(self.data, "marked"):
            raise UserError(
                "--data must be Cornered(…): without a shortcut there is none to find."
            )
        source = self.data.load()
        check_task(source, self.contestants, self.reference)
        at_least(10, fit=self.fit, valid=self.valid, test=self.test)
        at_least(0, seed=self.seed)
        task = task_of(self, source, origin)
        groups = self.groups(source)
        test = some(source.test, self.test)
        label = np.asarray(test["label"])
        log = place(HOME, name, self, origin)
        keep_picture(log, "groups", pictured(groups))
        board = Board(log)
        first: np.ndarray | None = None
        # the reference before the others, which are held against it
        order = sorted(self.contestants, key=lambda one: one.name != self.reference)
        for one in order:
            reading = one.of.start(one.name, task)
            hits = {}
            for group, images in groups.items():
                joint = reading.log_joint(images)
                hits[group] = right(joint, label)
            rows = self.rows(hits, label)
            if first is None:
                first = hits[CONTRADICTS]
            else:
                ahead = paired(hits[CONTRADICTS], first)
                rows[f"contradicted, less {self.reference}"] = ahead
            board.put("shortcut", one.name, rows, len(label), reading.told)
            log.note(f"{one.name}: worst group {wide(rows['worst group'])}")
        finish(log, board.tables)

    def groups(self, source: Any) -> dict[str, np.ndarray]:
        """The same test pictures with both marks and without."""
        test = some(source.test, self.test)
        plain = self.data.of.load()
        # the same draw of the same split: what was marked, as it was before
        bare = some(plain.test, self.test)
        if size(bare) != size(test):
            raise UserError(f"{source.name} has lost test pictures since it was marked.")
        label = np.asarray(bare["label"])
        images = np.asarray(bare[plain.main])
        return {
            AGREES: self.data.marked(images, label, plain.classes),
            CONTRADICTS: np.asarray(test[source.main]),
            PLAIN: images,
        }

    def rows(self, hits: Mapping[str, np.ndarray], label: np.ndarray) -> dict[str, Interval]:
        """Accuracy of each group, of the worse of the two, and of its worst class."""
        found = {group: share_right(own) for group, own in hits.items()}
        # what is unmarked is no group: nobody meets it after such a training
        marked = AGREES, CONTRADICTS
        worst = min(marked, key=lambda group: found[group].value)
        classes = []
        for c in np.unique(label):
            own = hits[worst][label == c]
            classes.append(own)
        least = min(classes, key=np.mean)
        return {
            **found,
            "contradicts less agrees": paired(hits[CONTRADICTS], hits[AGREES]),
            "worst group": found[worst],
            "its worst class": share_right(least),
        }


def pictured(groups: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row for each group, the same pictures."""
    columns = min(SHOWN, *map(len, groups.values()))
    # the first ones of each, so that a column is one picture
    tiles = [images[:columns] for images in groups.values()]
    picture = grid(np.concatenate(tiles), columns)
    return captioned(picture, list(groups))
