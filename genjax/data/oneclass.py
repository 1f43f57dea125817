"""One class of a labelled set as what is normal: it alone trains, and the test asks of all.

The benchmark of one-class classification (Ruff et al. 2018, "Deep One-Class Classification"; Golan & El-Yaniv 2018,
arXiv:1805.10917): one against the rest, for each class in turn. Labels never reach training: all are the same there.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data.batches import Arrays, domains
from genjax.data.folder import Folder
from genjax.data.source import Digits, FashionMNIST, Source, hold_out
from genjax.data.stock import Stock
from genjax.errors import UserError, at_least
from genjax.fields import Category

TRUTH = "anomalous"  # the field that says it: 0 = normal, 1 = anomalous


@dataclasses.dataclass(frozen=True)
class OneClass:
    """Training and validation hold one class alone, the test split holds all, with the field `anomalous`."""

    # Any: a data set of one's own is as good as these
    of: Digits | FashionMNIST | Folder | Stock | Any = field(
        FashionMNIST(), "the labelled set; any config with load()"
    )
    normal: int = field(0, "the class that is normal, by number")
    valid: int = field(
        500,
        "normal training examples held out, from the tail: what is chosen is chosen on them",
    )

    def resolved(self) -> OneClass:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.of, "resolved", None)
        if fill is None:
            return self
        return dataclasses.replace(self, of=fill())

    def load(self) -> Source:
        """{"image", "label", "anomalous"}; UserError for a class that the set, or its test split, has not got."""
        whole = self._whole()
        self._check(whole)
        # in the set's own order: the held-out ones are its tail
        rows = np.flatnonzero(_labels(whole.train) == self.normal)
        normals = _rows(whole.train, rows)
        at_least(1, data__valid=self.valid)
        train, valid = hold_out(_told(normals, self.normal), self.valid)
        # all of it, so that the tests of all classes share their examples
        test = _told(dict(whole.test), self.normal)
        # last of the fields: the first is what is modelled
        kind = Category(2, ("normal", "anomalous"))
        fields = {**whole.fields, TRUTH: kind}
        note = f"normal is class {self.normal}, {self.called(whole)}"
        return Source(
            f"{whole.name}_{self.normal}",
            fields,
            train,
            valid,
            test,
            drawn=whole.drawn,
            notes=(*whole.notes, note),
        )

    def called(self, source: Source) -> str:
        """The name of the normal class."""
        return source.class_names[self.normal]

    def _whole(self) -> Source:
        """The set itself; UserError for one that has no labels, or that no rows can be taken out of."""
        if not callable(getattr(self.of, "load", None)):
            raise UserError("--data.of must be a data set, e.g. --data.of='FashionMNIST()'.")
        whole = self.of.load()
        if whole.records is not None or domains(whole.train):
            raise UserError(
                f"--data.of: one class is taken out of a set in memory, and {whole.name} is streamed or in domains."
            )
        if whole.classes < 2:
            raise UserError(
                f"--data.of: {whole.name} has {whole.classes} classes: one against the rest needs 2 or more."
            )
        return whole

    def _check(self, whole: Source) -> None:
        """UserError for a class that is none, and for a test split that could rank nothing."""
        last = whole.classes - 1
        # before rows are taken: of none of them nothing could be told
        if not 0 <= self.normal <= last:
            raise UserError(
                f"--data.normal={self.normal}: {whole.name} has the classes 0 to {last}."
            )
        if not np.any(_labels(whole.train) == self.normal):
            raise UserError(
                f"--data.normal={self.normal}: {whole.name} has no training example of that class: choose another."
            )
        normal = _labels(whole.test) == self.normal
        if not normal.any():
            raise UserError(
                f"--data.normal={self.normal}: {whole.name} has no test example of that class: nothing says how often "
                "it is taken for an anomaly; choose another class."
            )
        if normal.all():
            raise UserError(
                f"--data.normal={self.normal}: all {len(normal)} test examples of {whole.name} are normal: a ranking "
                "needs anomalies too; choose another set."
            )


def _labels(arrays: Arrays) -> np.ndarray:
    """The labels [N] of a split; none of an empty one."""
    return np.asarray(arrays["label"]) if size(arrays) else np.zeros(0, np.int32)


def _rows(arrays: Arrays, rows: np.ndarray) -> Arrays:
    """Some rows of every array, in memory."""
    found = {}
    for name, array in arrays.items():
        found[name] = np.asarray(array[rows])
    return found


def _told(arrays: Arrays, normal: int) -> Arrays:
    """A split with the truth of each example beside it."""
    # of training it is 0 throughout, and the field is there all the same
    other = _labels(arrays) != normal
    return {**arrays, TRUTH: other.astype(np.int32)}
