"""Any folder of images as a data set: one sub-folder for each class, or all files in one place and no classes.

Every image is turned by its EXIF tag, laid over white where it is transparent, brought to 8 bits, scaled until its
short side is `size` (Lanczos) and cropped to the centre square. Train or test is decided by a hash of the file's name
relative to the folder, so it stays when files are added; the same hash gives the order.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.batches import prefetch
from genjax.data.source import Source, assemble
from genjax.errors import UserError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
# Whatever the suffix says; for an EPS, Pillow would start ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_TRANSPARENT = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


class Scan(NamedTuple):
    """What a folder holds: class names, and for each split (name relative to the folder, label) in hash order."""

    class_names: tuple[str, ...]
    splits: dict[str, list[tuple[str, int]]]


@dataclasses.dataclass(frozen=True)
class Folder:
    """Your own images. Sub-folders `train` and `test`, if both are there, are the splits; else names are hashed."""

    path: str = field("", "the folder")
    size: int = field(64, "height and width: short side scaled to it, then the centre square")
    colour: bool = field(True, "three channels; False = one, grey")
    # by name and not by place: images that are added leave the others where they were
    test: float = field(0.1, "share of the images that is the test split")
    valid: int = field(0, "training images held out for validation, from the tail")
    # False: what is missing from a set should be somebody's decision
    skip_bad: bool = field(
        False, "leave out unreadable images and tell how many; False = stop at the first"
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def load(self) -> Source:
        """From the cache when the folder has not changed; UserError names a missing folder or an unreadable image."""
        share = 0 <= self.test < 1  # all of it would leave nothing to train on
        if self.size < 1 or not share:
            raise UserError(
                f"--data.size={self.size} must be at least 1 and --data.test={self.test} in [0, 1)."
            )
        if not self.path:
            raise UserError(
                "--data.path is not set: name a folder of images by --data.path=FOLDER."
            )
        # resolved: the same folder by another path is the same set
        root = Path(self.path).expanduser().resolve()
        found = None  # without the folder the cache may still have the set
        if root.is_dir():
            found = scan(root, self.test)
        # what changes the arrays; `valid` cuts them later
        request = {
            "path": str(root),
            "size": self.size,
            "colour": self.colour,
            "test": self.test,
        }
        request["skip_bad"] = self.skip_bad

        def prepare(directory: Path) -> cache.Prepared:
            if found is None:
                raise UserError(
                    f"there is no folder {self.path!r}: name a folder of images by --data.path=FOLDER."
                )
            return _prepare(directory, root, found, self)

        mark = None
        if found is not None:
            files = []
            for split in found.splits.values():
                files += [name for name, _ in split]
            mark = cache.fingerprint(root, files)
        return assemble(root.name, "folder", request, mark, prepare, self.valid, self.stream)


def scan(root: Path, test: float) -> Scan:
    """Finds the images under `root`, their classes and splits; hidden files and other suffixes are passed over."""
    given = all((root / split).is_dir() for split in ("train", "test"))
    names = {}
    if given:
        for split in ("train", "test"):
            names[split] = _names(root / split, f"{split}/")
    else:
        names[""] = _names(root, "")  # one list, which the hash of each name will divide
    classes = set()
    for split, found in names.items():
        classes |= {_class_of(name, split) for name in found}
    class_names = sorted(classes)
    if not class_names:
        raise UserError(
            f"{root} holds no images ({', '.join(sorted(SUFFIXES))}): name another by --data.path=FOLDER."
        )
    if "" in class_names and len(class_names) > 1:
        raise UserError(
            f"{root} holds images both beside and inside sub-folders (for instance {class_names[1]}): "
            "put every image into a sub-folder, its class, or none."
        )
    # by the sorted names: the same numbers on every machine
    label = {name: i for i, name in enumerate(class_names)}
    splits: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for split, found in names.items():
        # In the order of the hashes: the tail, which may be held out, is then a fair draw of all classes.
        for share, name in sorted((_share(name), name) for name in found):
            hashed = "test" if share < test else "train"
            of_class = label[_class_of(name, split)]
            part = splits[split or hashed]
            part.append((name, of_class))
    if not splits["train"]:
        raise UserError(
            f"{root} has no image left for training: add images or lower --data.test={test}."
        )
    if "" in class_names:  # images of no class
        return Scan((), splits)
    return Scan(tuple(class_names), splits)


def _names(root: Path, above: str) -> list[str]:
    names = []
    # folder -> where it and those above it really are
    chain = {str(root): {os.path.realpath(root)}}
    for folder, folders, files in os.walk(str(root), followlinks=True):
        passed = chain.pop(folder)
        real = {}  # where links lead to
        for name in folders:
            path = os.path.join(folder, name)
            real[name] = os.path.realpath(path)
        shown = [name for name in folders if not name.startswith((".", "__"))]
        # In place, which tells os.walk; a link to a folder above would lead round and round.
        folders[:] = [name for name in shown if real[name] not in passed]
        for name in folders:
            path = os.path.join(folder, name)
            chain[path] = passed | {real[name]}
        inside = Path(folder).relative_to(root)
        for name in files:
            if _is_image(name):
                below = inside / name
                names.append(above + below.as_posix())
    return names


def _is_image(name: str) -> bool:
    hidden = name.startswith(".")  # some systems leave "._name.jpg" beside name.jpg
    suffix = Path(name).suffix
    return not hidden and suffix.lower() in SUFFIXES


def _class_of(name: str, split: str) -> str:
    if split:
        name = name.removeprefix(f"{split}/")
    first, *rest = name.split("/")
    return first if rest else ""


def _share(name: str) -> float:
    """A number in [0, 1) that belongs to the name for ever."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    # 64 bits: no two names of a set are likely to tie
    return int.from_bytes(digest[:8], "big") / 2**64


def decode(path: Path, size: int, colour: bool) -> np.ndarray:
    """An image file -> uint8 [size, size, 3], or [size, size, 1] without colour; UserError if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            upright = ImageOps.exif_transpose(image)
            return fit(upright, size, colour)
    except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
        raise UserError(
            f"{path} cannot be read as an image ({error}): "
            "mend or remove it, or skip all such files by --data.skip_bad=true."
        ) from error


def fit(image: Any, size: int, colour: bool) -> np.ndarray:
    """A Pillow image of any mode -> uint8 [size, size, 3 or 1]: scaled by its short side, centre crop."""
    from PIL import Image, ImageOps

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
    image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    channels = 3 if colour else 1
    return np.asarray(image).reshape(size, size, channels)  # Pillow's grey has no channel


def _pairs(
    root: Path, found: list[tuple[str, int]], cfg: Folder, bad: list[str]
) -> Iterator[tuple[np.ndarray, int]]:
    """(image, label) of every readable file, decoded in threads; the names of the others go into `bad`."""

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
    told = (
        directory / "skipped.txt"
    )  # beside the records: who finds them there still hears of it
    splits = {}  # functions: a split is decoded when the builder asks for it
    for split, names in found.splits.items():
        if names:
            splits[split] = functools.partial(_pairs, root, names, cfg, bad)
    shape = (cfg.size, cfg.size, 3 if cfg.colour else 1)
    prepared = builders.pictures(directory, shape, found.class_names, splits)
    if bad:
        total = sum(map(len, found.splits.values()))
        told.write_text(
            f"skipped {len(bad)} unreadable of {total} images in {root}, for instance {min(bad)}"
        )
    if not told.exists():
        return prepared._replace(notes=())
    return prepared._replace(notes=(told.read_text(),))
