"""Any folder of images as a data set: one sub-folder for each class, or all files in one place and no classes.

Every image is turned by its EXIF tag, laid over white where it is transparent, brought to 8 bits, scaled until it
covers `size` (Lanczos) and cropped to its centre. Which files, classes and splits a folder has is said in `files`, and
in `marked` that a set is what the files hold and not where they lie.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genjax.config import field
from genjax.data import cache, marked
from genjax.data.decoding import Size, decode, fit, readable, sides, skipped
from genjax.data.files import FORMATS, Scan, scan
from genjax.data.source import Source
from genjax.data.summary import of_classes

__all__ = ["FORMATS", "Folder", "decode", "fit", "scan", "sides"]

_DARK = 256 // 8  # values below are no more than 1/8 of the range
_MUCH = 10**9  # bytes: more than that takes much room, which is told


@dataclasses.dataclass(frozen=True)
class Folder:
    """Your own images: a sub-folder for each class, or none. Sub-folders train, val and test are the splits."""

    # execution: a set that has moved is the same set
    path: str = field("", "the folder", execution=True)
    size: Size = field(
        64, "64 = a square, (48, 64) = height, width: scaled to cover it, then the centre"
    )
    colour: bool = field(True, "three channels; False = one, grey")
    # by name and not by place: images that are added leave the others where they were
    test: float = field(
        0.1, "share of the images that is the test split where no sub-folder is called test"
    )
    valid: int = field(0, "training images held out for validation, from the tail")
    # False: what is missing from a set should be somebody's decision
    skip_bad: bool = field(
        False, "leave out unreadable images and tell how many; False = stop at the first"
    )
    content: str = field(
        "", "mark of the files, filled in when the folder is read; leave empty"
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )
    domain: str = field(
        "",
        "how the names of the splits' sub-folders end: A reads trainA and testA; '' = all is read",
        added=True,
    )

    def resolved(self) -> Folder:
        """The config with `content` as the folder has it; without the folder as the cache remembers it.

        UserError where neither is there, where it is no data set, and where `content` is given and is another.
        """
        return marked.resolved(self, self._home(), self._found)

    def load(self) -> Source:
        """From the cache when its images are those of the folder; UserError names what cannot be read."""
        sides(self.size)  # for its error: before a large folder is looked through
        at = self._home()

        def prepare(directory: Path, found: Scan, cfg: Folder) -> cache.Prepared:
            (root,) = at.roots
            return _prepare(directory, root, found, cfg)

        return marked.load(self, at, self._found, prepare)

    def _home(self) -> marked.Home:
        """Where the images lie, and what changes their arrays."""
        marked.check_share(self.test)
        request = {
            "size": sides(self.size),
            "colour": self.colour,
            "test": self.test,
            "skip_bad": self.skip_bad,
        }
        if self.domain:  # as an option it is younger than the sets of the cache
            request["domain"] = self.domain
        return marked.home("folder", request, path=self.path)

    def _found(self) -> Scan:
        """What lies in the folder."""
        (root,) = self._home().roots
        found = scan(root, self.test, self.domain)
        if self.stream and found.class_names:
            # in their place, as nobody reads the labels of a streamed set for this
            return found._replace(notes=(*found.notes, _counted(found)))
        return found


def _counted(found: Scan) -> str:
    """How many files each class has in each split."""
    counts = {}
    for split, names in found.splits.items():
        labels = [label for _, label in names]
        if labels:
            counts[split] = np.bincount(labels, minlength=len(found.class_names))
    told = of_classes(found.class_names, counts)
    return f"files of each class: {'; '.join(told)}"


def _pairs(
    root: Path, found: list[tuple[str, int]], cfg: Folder, bad: list[str], peaks: set[int]
) -> Iterator[tuple[np.ndarray, int]]:
    """(image, label) of every readable file, decoded in threads; the names of the others go into `bad`.

    The largest value of each image goes into `peaks`.
    """

    def read(item: tuple[str, int]) -> tuple[np.ndarray, int]:
        name, label = item
        return decode(root / name, cfg.size, cfg.colour), label

    for pair in readable(root, read, found, cfg.skip_bad, bad):
        peaks.add(int(pair[0].max()))
        yield pair


def _prepare(directory: Path, root: Path, found: Scan, cfg: Folder) -> cache.Prepared:
    from genjax.data import builders

    bad: list[str] = []
    peaks: set[int] = set()
    splits = {}  # functions: a split is decoded when the builder asks for it
    for split, names in found.splits.items():
        if names:
            splits[split] = functools.partial(_pairs, root, names, cfg, bad, peaks)
    shape = (*sides(cfg.size), 3 if cfg.colour else 1)
    total = len(found.names()) * int(np.prod(shape))
    if total > _MUCH:
        # before the hours that it may take, and the disk that it may fill
        about = f"{len(found.names())} images of {'x'.join(map(str, shape))} are {total / 1e9:.1f} GB"
        print(about, file=sys.stderr, flush=True)
    prepared = builders.pictures(directory, shape, found.class_names, splits)
    notes = skipped(bad, len(found.names()))
    if peaks and max(peaks) < _DARK:
        notes.append(
            "no pixel is above 1/8 of the range: stretch images of 10 or 12 bits that are stored as 16"
        )
    return prepared._replace(notes=marked.kept(directory, notes))
