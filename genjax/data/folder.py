"""Any folder of images as a data set: one sub-folder for each class, or all files in one place and no classes.

Every image is turned by its EXIF tag, laid over white where it is transparent, brought to 8 bits, scaled until it
covers `size` (Lanczos) and cropped to its centre. Which files, classes and splits a folder has is said in `files`.

A set is what the files hold and not where they lie: `content` is a part of the digest and of the cache's key, `path` is
not. The cache is taken where the bytes of all files are those that it was made from. They are read for that once: after
that their names, sizes and times tell, which the cache notes beside the set.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from genjax.config import field
from genjax.data import cache, files
from genjax.data.batches import prefetch
from genjax.data.files import FORMATS, Scan, scan
from genjax.data.source import Source, assemble, check_held
from genjax.data.summary import of_classes, plain
from genjax.errors import UserError
from genjax.machine.files import place

__all__ = ["Folder", "decode", "fit", "scan", "sides"]

Size = int | tuple[int, int]
Prepare = Callable[[Path], cache.Prepared]
_TRANSPARENT = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_DARK = 256 // 8  # values below are no more than 1/8 of the range
_MUCH = 10**9  # bytes: more than that takes a while or much room, which is told


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

    def resolved(self) -> Folder:
        """The config with `content` as the folder has it; without the folder as the cache remembers it.

        UserError where neither is there, where it is no data set, and where `content` is given and is another.
        """
        root = self._root()
        if not root.is_dir():
            return self._remembered(root)
        found = scan(root, self.test)
        there = files.statuses(root, found.names())
        return self._marked(files.content(root, there))

    def load(self) -> Source:
        """From the cache when its images are those of the folder; UserError names what cannot be read."""
        sides(self.size)  # for its error: before a large folder is looked through
        root = self._root()
        if not root.is_dir():  # the cache may still have the set
            self._check_streamed()
            return self._remembered(root)._read(root, None, self._nowhere)
        found = scan(root, self.test)
        check_held(self.path, found.splits, self.valid)
        # before the files are looked at: what is written later has a later time
        now = time.time_ns()
        there = files.statuses(root, found.names())
        seen = _sighting(root, there, now)
        cfg = self._marked(seen.content)

        def prepare(directory: Path) -> cache.Prepared:
            fresh = not directory.exists()  # records to stream are prepared once and stay
            prepared = _prepare(directory, root, found, cfg)
            if fresh:
                _check_still(directory, root, there)
            return prepared

        source = cfg._read(root, seen.fingerprint, prepare)
        cache.note("folder", cfg._request(), seen, self.stream)
        notes = [*source.notes, *found.notes]
        if self.stream and found.class_names:
            # in their place, as nobody reads the labels of a streamed set for this
            notes.append(_counted(found))
        return source._replace(notes=tuple(notes))

    def _request(self) -> dict[str, Any]:
        """What changes the arrays; `valid` cuts them later."""
        return {
            "content": self.content,
            "size": sides(self.size),
            "colour": self.colour,
            "test": self.test,
            "skip_bad": self.skip_bad,
        }

    def _read(self, root: Path, mark: str | None, prepare: Prepare) -> Source:
        """The set of `content`, prepared where the cache lacks it or has it of other bytes than `mark` says."""
        how = (self._request(), mark, prepare, self.valid, self.stream)
        return assemble(root.name, "folder", *how)

    def _check_streamed(self) -> None:
        """Raises UserError, where the folder is gone, for a set of which the cache has records alone."""
        if self.stream:  # the names of files and classes are not among them
            raise UserError(
                f"there is no folder {self.path!r}, which a streamed set is read with: put it back, or name another by "
                "--data.path=FOLDER."
            )

    def _nowhere(self, directory: Path) -> NoReturn:
        """In place of preparing, where there is nothing to prepare from."""
        raise UserError(
            f"there is no folder {self.path!r}, and the cache has no such set that was read from it: name a folder of "
            "images by --data.path=FOLDER."
        )

    def _root(self) -> Path:
        """The folder; UserError where none is named, and for a share of test images that is none."""
        if not 0 <= self.test < 1:  # all of it would leave nothing to train on
            raise UserError(f"--data.test={self.test} must be in [0, 1).")
        if not self.path:
            raise UserError(
                "--data.path is not set: name a folder of images by --data.path=FOLDER."
            )
        # resolved: the same folder by another path has the same notes
        return place(self.path).resolve()

    def _marked(self, mark: str) -> Folder:
        """The config with the mark of what lies in the folder; UserError where it is to be another."""
        if self.content not in ("", mark):
            raise UserError(
                f"{self.path} has changed: its images have the mark {mark} and the run's have {self.content}: put the "
                "old ones back, or train on what is there now without --data.content."
            )
        return dataclasses.replace(self, content=mark)

    def _remembered(self, root: Path) -> Folder:
        """The config with the mark of the last set that was read from the folder, which is gone."""
        if self.content:
            return self
        for seen in cache.sightings("folder"):
            if seen.path == str(root):
                return dataclasses.replace(self, content=seen.content)
        return self._nowhere(root)


def sides(size: Size) -> tuple[int, int]:
    """(height, width) of a size; UserError where it is none."""
    both = np.ravel(size).tolist()  # [64] or [48, 64]
    if len(both) not in (1, 2) or min(both) < 1:
        raise UserError(
            f"--data.size={size} must be at least 1: write 64 for a square, or (48, 64) for height, width."
        )
    return both[0], both[-1]


def _sighting(root: Path, there: dict[str, files.Status], now: int) -> cache.Sighting:
    """What the folder holds, by the cache's notes where the files' times are those of a note, else by all bytes."""
    content = files.content(root, there)
    times = files.times(there, now)
    for seen in cache.sightings("folder"):
        # the content too: an earlier release may have made another mark of the same files
        if times and seen.times == times and seen.content == content:
            return seen._replace(path=str(root))
    total = sum(status.size for status in there.values())
    if total > _MUCH:
        told = f"reading {total / 1e9:.1f} GB in {root}, to know whether the cache has them"
        print(told, file=sys.stderr, flush=True)
    return cache.Sighting(str(root), content, times, files.fingerprint(root, there))


def _check_still(directory: Path, root: Path, there: dict[str, files.Status]) -> None:
    """Raises UserError, and leaves nothing prepared, where files have changed while they were read."""
    if files.statuses(root, there) != there:
        shutil.rmtree(directory, ignore_errors=True)
        raise UserError(
            f"{root} has changed while it was read: wait until nothing is written there, and run the command again."
        )


def _counted(found: Scan) -> str:
    """How many files each class has in each split."""
    counts = {}
    for split, names in found.splits.items():
        labels = [label for _, label in names]
        if labels:
            counts[split] = np.bincount(labels, minlength=len(found.class_names))
    told = of_classes(found.class_names, counts)
    return f"files of each class: {'; '.join(told)}"


def decode(path: Path, size: Size, colour: bool) -> np.ndarray:
    """An image file -> uint8 [H, W, 3], or [H, W, 1] without colour; UserError if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        # whatever the suffix says: for an EPS, Pillow would start ghostscript
        with Image.open(path, formats=_readable()) as image:
            _check_range(image)
            upright = ImageOps.exif_transpose(image)
            return fit(upright, size, colour)
    except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
        raise UserError(
            f"{path} cannot be read as an image ({error}): "
            "mend or remove it, or skip all such files by --data.skip_bad=true."
        ) from error


def _check_range(image: Any) -> None:
    """Raises ValueError for whole numbers of 32 bits that are those of 8: taken for 16 they would be black."""
    # of the formats here TIFF alone has them; a PGM of 16 bits is of this mode too
    if image.format == "TIFF" and image.mode == "I" and 0 < image.getextrema()[1] <= 255:
        raise ValueError("32-bit pixels of which none is above 255 have no known range")


@functools.cache
def _readable() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    from PIL import Image

    Image.init()  # else it knows the five most frequent alone
    return tuple(name for name in FORMATS if name in Image.OPEN)


def fit(image: Any, size: Size, colour: bool) -> np.ndarray:
    """A Pillow image of any mode -> uint8 [H, W, 3 or 1]: scaled until it covers the size, centre crop."""
    from PIL import Image, ImageOps

    height, width = sides(size)

    if image.mode.startswith("I"):  # 16 bits a pixel, and 32 bits that hold 16
        wide = np.clip(np.asarray(image), 0, 65535)
        grey = np.rint(wide / 257.0)  # 65535 / 257 = 255
        image = Image.fromarray(grey.astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # Converted before it is scaled: to average the numbers of a palette means nothing.
    image = image.convert("RGB" if colour else "L")
    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    channels = 3 if colour else 1
    return np.asarray(image).reshape(height, width, channels)  # Pillow's grey has no channel


def _pairs(
    root: Path, found: list[tuple[str, int]], cfg: Folder, bad: list[str], peaks: set[int]
) -> Iterator[tuple[np.ndarray, int]]:
    """(image, label) of every readable file, decoded in threads; the names of the others go into `bad`.

    The largest value of each image goes into `peaks`.
    """

    def attempt(item: tuple[str, int]) -> tuple[np.ndarray, int] | None:
        name, label = item
        try:
            return decode(root / name, cfg.size, cfg.colour), label
        except UserError:
            if not cfg.skip_bad:
                raise
            bad.append(name)
            return None

    # threads: Pillow decodes without the interpreter's lock
    workers = os.cpu_count() or 1
    before = len(bad)  # of the splits that were read earlier
    for pair in prefetch(attempt, found, depth=4 * workers, workers=workers):
        if pair is not None:
            peaks.add(int(pair[0].max()))
            yield pair
    if len(bad) - before == len(found):
        raise UserError(
            f"{root} has a split with no readable image, {len(found)} are bad, for instance {min(bad)}."
        )


def _prepare(directory: Path, root: Path, found: Scan, cfg: Folder) -> cache.Prepared:
    from genjax.data import builders

    if cfg.stream and not directory.exists():
        print(f"preparing {root} for streaming in {directory} (once)", file=sys.stderr)
    bad: list[str] = []
    peaks: set[int] = set()
    told = (
        directory / "skipped.txt"
    )  # beside the records: who finds them there still hears of it
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
    notes = []
    if bad:
        total = len(found.names())
        # without the folder's name: the set may be found again for a folder that has moved
        name = plain(min(bad))
        notes.append(f"skipped {len(bad)} unreadable of {total} images, for instance {name}")
    if peaks and max(peaks) < _DARK:
        notes.append(
            "no pixel is above 1/8 of the range: stretch images of 10 or 12 bits that are stored as 16"
        )
    if notes:
        told.write_text("\n".join(notes))
    if not told.exists():
        return prepared._replace(notes=())
    return prepared._replace(notes=tuple(told.read_text().splitlines()))
