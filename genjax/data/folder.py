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
    test: float = field(0.1, "share of the images that is the test split")
    valid: int = field(0, "training images held out for validation, from the tail")
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
        if self.size < 1 or not 0 <= self.test < 1:
            raise UserError(
                f"--data.size={self.size} must be at least 1 and --data.test={self.test} in [0, 1)."
            )
        if not self.path:
            raise UserError(
                "--data.path is not set: name a folder of images by --data.path=FOLDER."
            )
        root = Path(self.path).expanduser().resolve()
        found = scan(root, self.test) if root.is_dir() else None
        request = {"path": str(root), "size": self.size, "colour": self.colour, "test": self.test}
        request["skip_bad"] = self.skip_bad

        def prepare(directory: Path) -> cache.Prepared:
            if found is None:
                raise UserError(
                    f"there is no folder {self.path!r}: name a folder of images by --data.path=FOLDER."
                )
            return _prepare(directory, root, found, self)

        mark = None
        if found is not None:
            files = [name for split in found.splits.values() for name, _ in split]
            mark = cache.fingerprint(root, files)
        return assemble(root.name, "folder", request, mark, prepare, self.valid, self.stream)


def scan(root: Path, test: float) -> Scan:
    """Finds the images under `root`, their classes and splits; hidden files and other suffixes are passed over."""
    given = all((root / split).is_dir() for split in ("train", "test"))
    if given:
        names = {split: _names(root / split, f"{split}/") for split in ("train", "test")}
    else:
        names = {"": _names(root, "")}  # one list, which the hash of each name will divide
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
    label = {name: i for i, name in enumerate(class_names)}
    splits: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for split, found in names.items():
        # In the order of the hashes: the tail, which may be held out, is then a fair draw of all classes.
        for share, name in sorted((_share(name), name) for name in found):
            hashed = "test" if share < test else "train"
            of_class = label[_class_of(name, split)]
            splits[split or hashed].append((name, of_class))
    if not splits["train"]:
        raise UserError(
            f"{root} has no image left for training: add images or lower --data.test={test}."
        )
    return Scan(() if "" in class_names else tuple(class_names), splits)


def _names(root: Path, above: str) -> list[str]:
    names = []
    # folder -> where it and those above it really are
    chain = {str(root): {os.path.realpath(root)}}
    for folder, folders, files in os.walk(str(root), followlinks=True):
        passed = chain.pop(folder)
        real = {name: os.path.realpath(os.path.join(folder, name)) for name in folders}
        shown = [name for name in folders if not name.startswith((".", "__"))]
        # In place, which tells os.walk; a link to a folder above would lead round and round.
        folders[:] = [name for name in shown if real[name] not in passed]
        chain |= {os.path.join(folder, name): passed | {real[name]} for name in folders}
        inside = Path(folder).relative_to(root)
        names += [above + (inside / name).as_posix() for name in files if _is_image(name)]
    return names


def _is_image(name: str) -> bool:
    hidden = name.startswith(".")  # some systems leave "._name.jpg" beside name.jpg
    return not hidden and Path(name).suffix.lower() in SUFFIXES


def _class_of(name: str, split: str) -> str:
    if split:
        name = name.removeprefix(f"{split}/")
    first, *rest = name.split("/")
    return first if rest else ""


def _share(name: str) -> float:
    """A number in [0, 1) that belongs to the name for ever."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def decode(path: Path, size: int, colour: bool) -> np.ndarray:
    """An image file -> uint8 [size, size, 3], or [size, size, 1] without colour; UserError if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            return fit(ImageOps.exif_transpose(image), size, colour)
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
        image = Image.fromarray(np.rint(wide / 257.0).astype(np.uint8))  # 65535 / 257 = 255
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # Converted before it is scaled: to average the numbers of a palette means nothing.
    image = image.convert("RGB" if colour else "L")
    image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(size, size, 3 if colour else 1)


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
    told = directory / "skipped.txt"  # beside the records: who finds them there still hears of it
    filled = {split: names for split, names in found.splits.items() if names}
    splits = {
        split: functools.partial(_pairs, root, names, cfg, bad) for split, names in filled.items()
    }
    shape = (cfg.size, cfg.size, 3 if cfg.colour else 1)
    prepared = builders.pictures(directory, shape, found.class_names, splits)
    if bad:
        total = sum(map(len, found.splits.values()))
        told.write_text(
            f"skipped {len(bad)} unreadable of {total} images in {root}, for instance {min(bad)}"
        )
    return prepared._replace(notes=(told.read_text(),) if told.exists() else ())
