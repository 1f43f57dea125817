"""Pictures of your own, of any size, by a finished run of `Segmentation`: a class for every pixel.

    python -m genjax.segment RUN photo.png --out=DIR
    python -m genjax.segment RUN a.png b.jpg --out=DIR --scale=0.25 --names='("background", "skin", "hair")'

    DIR/photo.png  the mask, of the size of the picture: a PNG of a palette, whose numbers are the classes. People see
                   a colour for each class, and `Masks` reads the numbers

    --out=DIR      a new or an empty folder
    --scale=1      pictures are scaled by this first, and masks back: things should be as large as in training
    --overlay      masks are laid over their pictures, for people: DIR/photo.png is then a picture and holds no numbers
    --names=TUPLE  of the classes, in order; their shares of each picture are told by name
    --tile=256     side of the tiles that are looked at one by one [pixels]; they leave no seam
    --step=N       the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name

All pictures are read, and all that is wrong is told, before the first mask is written; every file is written whole. A
model of grey pictures sees those in colour in grey, as its data sets are read.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax import command, config
from genjax.ae.segmentation import classes_of
from genjax.config import field
from genjax.data import given
from genjax.errors import UserError, above, at_least
from genjax.findings.segmenter import Segmenter, check_segmentation, segmenter
from genjax.machine.files import place
from genjax.pictures.classes import coloured, save_mask
from genjax.pictures.draw import save_png, to_uint8
from genjax.training.opened import open_run

# pixels of a picture after scaling: 64 million, as many as a good camera has
MOST = 2**26


@dataclasses.dataclass(frozen=True)
class Options:
    """How pictures are looked at, and where the masks go."""

    out: str = field("", "the folder")
    scale: float = field(1.0, "factor of the pictures before they are looked at")
    overlay: bool = field(False, "masks over pictures, for people")
    names: tuple[str, ...] = field((), "of the classes; () = their numbers")
    tile: int = field(256, "side of a tile [pixels]", execution=True)
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field(
        (), "modules of your own that a run's config may name", execution=True
    )


def segment(
    run: str | Path,
    files: Sequence[str | Path],
    out: str | Path,
    **options: Any,
) -> list[Path]:
    """Writes the masks of picture files into the folder `out`; gives their paths. options: the command line's flags.

    UserError for what cannot be read, segmented or written.
    """
    chosen = config.build("", Options, {"out": str(out), **options})
    return write(run, files, chosen)


def write(
    run: str | Path,
    files: Sequence[str | Path],
    options: Options,
) -> list[Path]:
    """Segments and writes; see `segment`."""
    folder = given.new_folder(options.out, "masks")
    at_least(1, tile=options.tile)
    above(0, scale=options.scale)
    targets = given.targets(folder, files, "segment")
    # before the run is opened, which takes seconds
    sources = [place(file) for file in files]
    for source in sources:
        given.check_file(source)
    model = open_run(run, options.step, trust=options.trust)
    cfg, spec = model.config.algorithm, model.run.spec
    check_segmentation(cfg)
    names = _names(options, classes_of(cfg, spec))
    method = segmenter(model.run, options.tile)
    # of what views made of the data: a run on grey pictures sees grey
    colour = spec.shape[-1] == 3
    pictures = []
    masks = []
    for file, source in zip(files, sources, strict=True):
        pixels, _ = given.read(source, colour)
        mask = _mask(method, pixels, options.scale, file)
        pictures.append(pixels)
        masks.append(mask)
    # only now: one that is too small for the net is told by the net
    for target, pixels, mask in zip(targets, pictures, masks, strict=True):
        if options.overlay:
            # what people see has no numbers of classes any more
            picture = overlaid(pixels, mask)
            save_png(target, picture)
        else:
            save_mask(target, mask)
        words = shares(mask, names)
        print(f"{target}: {words}")
    return targets


def _names(options: Options, classes: int) -> tuple[str, ...]:
    """A name for each class; UserError for too many or too few."""
    named = len(options.names)
    if named and named != classes:
        raise UserError(
            f"--names has {named} names, and this model tells {classes} classes: name each, or none."
        )
    # a run keeps no names: its data's fields have numbers
    numbers = tuple(map(str, range(classes)))
    return options.names or numbers


def _mask(
    method: Segmenter,
    pixels: np.ndarray,
    scale: float,
    file: str | Path,
) -> np.ndarray:
    """Classes uint8 [H, W] of a picture, looked at in another size; UserError for one that is none then."""
    height, width = pixels.shape[:2]
    high = round(scale * height)
    wide = round(scale * width)
    # before anything of that size is made
    if min(high, wide) < 1 or high * wide > MOST:
        raise UserError(
            f"{file} of {height}x{width} pixels becomes {high}x{wide} by --scale={scale:g}: choose another."
        )
    seen = _resized(pixels, (high, wide), smooth=True)
    unit = np.float32(seen) / np.float32(255.0)
    try:
        found = method(unit)
    except UserError as error:
        # of many pictures, which one
        raise UserError(f"{file}: {error}") from error
    # the nearest pixel's: between two classes there is none
    return _resized(found, (height, width), smooth=False)


def _resized(array: np.ndarray, size: tuple[int, int], smooth: bool) -> np.ndarray:
    """Bytes [H, W] or [H, W, C] in another size (height, width)."""
    from PIL import Image

    # most often so: then no pixel may change
    if array.shape[:2] == size:
        return array
    height, width = size
    way = Image.Resampling.NEAREST
    if smooth:
        way = Image.Resampling.LANCZOS
    grey = array.shape[2:] == (1,)
    # Pillow knows grey pictures as [H, W] alone
    plane = array[..., 0] if grey else array
    image = Image.fromarray(plane)
    resized = image.resize((width, height), way)
    found = np.asarray(resized)
    return found[..., None] if grey else found


def overlaid(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture [H, W, C] with the colours of its classes, half and half, class 0 as it was: uint8 [H, W, 3]."""
    # grey becomes as wide as colour
    picture = np.broadcast_to(pixels, (*mask.shape, 3))
    colours = coloured(mask)
    mixed = 0.5 * picture + 0.5 * colours
    ground = mask[..., None] == 0
    # black over the ground would darken most of many pictures
    shown = np.where(ground, picture, mixed)
    return to_uint8(shown / 255.0)


def shares(mask: np.ndarray, names: Sequence[str]) -> str:
    """How much of a mask each class is, in words, the largest first."""
    counts = np.bincount(mask.ravel(), minlength=len(names))
    # stable: of equal shares the lower class is first, on every machine
    order = np.argsort(-counts, kind="stable")
    words = []
    for k in order:
        # of many classes few are in a picture
        if counts[k]:
            share = counts[k] / mask.size
            words.append(f"{names[k]} {share:.1%}")
    return ", ".join(words)


def _act(run: str, *rest: Any) -> None:
    *files, options = rest
    write(run, files, options)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    return command.main(_act, ("RUN", "FILE..."), Options(), __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
