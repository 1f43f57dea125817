"""A data set with what an encoder of your own has made of its captions: CLIP's, T5's or any other's numbers, in an npz.

The file holds an array for each split that the set has, `train`, `valid`, `test`: [N, D], a caption as one, or
[N, T, D], token by token, filled up with zeros. Row i is that of example i of the split. To have that checked, put the
captions beside them, as `train_captions` …, arrays of strings [N].
"""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
import zlib
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data import marked
from genjax.data.captions import text
from genjax.data.source import Source
from genjax.data.spoken import DigitPairs
from genjax.errors import UserError
from genjax.fields import Points
from genjax.machine.files import typed

FIELD = "embedding"
BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The examples of `data` with a field `embedding`, which the condition `Embedding()` tells as it is."""

    data: Any = field(DigitPairs(), "the data set; any config with load()")
    # execution: a file that has moved is the same file
    embeddings: str = field("", "the npz file", execution=True)
    content: str = field("", "mark of the file, filled in when it is read; leave empty")

    def resolved(self) -> Embedded:
        """The same with the marks of what lies in files filled in."""
        # only sets that lie in files have something to fill in
        fill = getattr(self.data, "resolved", None)
        inner = self.data
        if fill is not None:
            with marked.flagged("", "data."):
                inner = fill()
        return dataclasses.replace(self, data=inner, content=self._mark())

    def load(self) -> Source:
        """The set's fields and "embedding", float32 [N, D] or [N, T, D].

        UserError for a file that cannot be read, that lacks a split, and whose rows are not those of the set.
        """
        mark = self._mark()
        # the path is no part of what a run is: the mark alone tells another file
        if self.content and self.content != mark:
            raise UserError(
                f"--data.embeddings={self.embeddings} is not the file that this run began with: use that one, or begin "
                "a new run."
            )
        with marked.flagged("", "data."):
            source = self.data.load()
        # a split without rows has no array in the file
        splits, shapes = {}, {}
        for name, split in source.splits().items():
            splits[name] = split
            if not size(split):  # a set need not have every split
                continue
            rows = self._rows(name, split)
            shapes[name] = rows.shape[1:]
            splits[name] = {**split, FIELD: rows}
        # a field has one shape for all splits: training says which
        shape = shapes["train"]
        for name, other in shapes.items():
            if other != shape:
                self._refuse(f"{name} holds rows {list(other)} and train {list(shape)}")
        # an empty split has the field too, of the shape of the others
        for name, split in splits.items():
            if FIELD not in split and split:
                splits[name] = {**split, FIELD: np.zeros((0, *shape), np.float32)}
        fields = {**source.fields, FIELD: Points(tuple(shape))}
        return Source(source.name, fields, **splits, notes=source.notes)

    def _rows(self, name: str, split: dict[str, Any]) -> np.ndarray:
        """The embeddings of a split, float32 [N, ...]."""
        count = size(split)
        found = self._array(name)
        if found is None:
            self._refuse(f"has no array {name!r}, and that split has {count} examples")
        # whole numbers would be tokens rather than embeddings
        if found.dtype.kind != "f" or found.ndim not in (2, 3):
            self._refuse(
                f"{name} is {found.dtype} {list(found.shape)}, expected floats [N, D] or [N, T, D]"
            )
        if len(found) != count:
            self._refuse(f"{name} has {len(found)} rows, and that split {count} examples")
        # one NaN in a batch would make all weights NaN
        if not np.isfinite(found).all():
            self._refuse(f"{name} holds NaN or infinite values")
        # without these the number of rows is all that can be checked
        captions = self._array(f"{name}_captions")
        if captions is not None:
            self._check_captions(name, split, captions)
        return found.astype(np.float32)

    def _check_captions(self, name: str, split: dict[str, Any], captions: np.ndarray) -> None:
        """Raises UserError where the captions in the file are not the set's, row by row."""
        if "caption" not in split:
            self._refuse(f"holds {name}_captions, and the set has no captions")
        own = text(split["caption"])
        # numpy's strings as Python's
        theirs = [str(line) for line in captions.tolist()]
        if len(theirs) != len(own):
            self._refuse(f"{name}_captions has {len(theirs)} rows, and that split {len(own)}")
        for i, (line, other) in enumerate(zip(own, theirs, strict=True)):
            if line != other:
                self._refuse(
                    f"row {i} of {name} is of {other!r}, and the example's caption {line!r}"
                )

    def _array(self, name: str) -> np.ndarray | None:
        """An array of the file, or None."""
        try:
            # a pickle could run code
            with np.load(typed(self.embeddings), allow_pickle=False) as file:
                return np.asarray(file[name]) if name in file.files else None
        except (*BROKEN, AttributeError) as error:  # an .npy is no archive
            self._refuse(f"cannot be read as an npz file ({error})")

    def _mark(self) -> str:
        """16 hex digits of the file's bytes."""
        if not self.embeddings:
            raise UserError(
                "--data.embeddings=FILE names no file: an npz with the arrays train and test, a row for each example."
            )
        found = hashlib.blake2b(digest_size=8)
        try:
            with typed(self.embeddings).open("rb") as file:
                while part := file.read(1 << 20):
                    found.update(part)
        except OSError as error:
            self._refuse(f"cannot be read ({error.strerror})")
        return found.hexdigest()

    def _refuse(self, what: str) -> Any:
        raise UserError(f"--data.embeddings={self.embeddings} {what}.")
