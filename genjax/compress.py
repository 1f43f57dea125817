"""Pictures as small files by a trained codec, and back.

    python -m genjax.compress encode RUN photo.png …  writes photo.gxc beside each picture
    python -m genjax.compress decode RUN photo.gxc …  writes photo.png beside each file

    --out=DIR      a folder for what is written; by default each file lies beside its source
    --rate=0.5     0 = the smallest files, 1 = the largest
    --replace      write over files that exist; without it they are left as they are, and nothing is written
    --step=N       the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name

Pictures are read as data sets are: turned as their EXIF tag says, laid over white where they are transparent, the upper
8 of 16 bits; in colour or in grey as the run's data were. A file is decoded by the run that encoded it. What decides
about its symbols is computed in whole numbers from tables that have a checksum: a machine on which these come out
otherwise says so. Every file is written whole. Flags are given as --flag=value.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax import command
from genjax.ae.compression.files import Codec
from genjax.ae.compression.model import Compression
from genjax.codec.container import MOST
from genjax.config import field
from genjax.data.decoding import Unreadable, fit
from genjax.data.decoding import opened as image_of
from genjax.data.given import GREY
from genjax.errors import UserError, at_least, at_most
from genjax.machine.files import place, whole
from genjax.pictures.draw import save_png
from genjax.training.opened import open_run

ENDING = ".gxc"


@dataclasses.dataclass(frozen=True)
class Options:
    """How pictures are coded, and where files go."""

    out: str = field("", "a folder; empty = beside each source")
    rate: float = field(0.5, "0 = the smallest files, 1 = the largest")
    replace: bool = field(False, "write over files that exist")
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field(
        (), "modules of your own that a run's config may name", execution=True
    )


def encode(
    run: str,
    sources: Sequence[str],
    options: Options,
) -> list[Path]:
    """Writes a file for each picture; returns where. UserError, before the first is written, for any that is wrong."""
    at_least(0, rate=options.rate)
    at_most(1, rate=options.rate)
    # before the run is opened, which takes seconds
    written = targets(sources, ENDING, options)
    codec = opened(run, options)
    # each is read twice: to keep them all would take the memory of all
    for source in sources:
        picture(place(source), codec.channels)
    for source, target in zip(sources, written, strict=True):
        path = place(source)
        image = picture(path, codec.channels)
        found = codec.encode(image, options.rate)
        save(target, found.content)
        height, width = image.shape[:2]
        bits = 8.0 * len(found.content) / (height * width)
        print(
            f"{target}: {len(found.content)} bytes, {bits:.3f} bits a pixel, {width}x{height}"
        )
    return written


def decode(
    run: str,
    sources: Sequence[str],
    options: Options,
) -> list[Path]:
    """Writes a picture for each file; returns where. UserError as of `encode`."""
    written = targets(sources, ".png", options)
    codec = opened(run, options)
    for source in sources:
        path = place(source)
        codec.checked(read(path), str(path))
    for source, target in zip(sources, written, strict=True):
        path = place(source)
        content = read(path)
        image = codec.decode(content, str(path))
        save_png(target, image)
        print(f"{target}: {image.shape[1]}x{image.shape[0]}")
    return written


def opened(run: str, options: Options) -> Codec:
    """The codec of a run; UserError for a run of another kind."""
    found = open_run(run, options.step, trust=options.trust)
    cfg = found.config.algorithm
    if not isinstance(cfg, Compression):
        raise UserError(
            f"{found.directory} is a {type(cfg).__name__} and no Compression: name a run of experiments.compress."
        )
    channels = found.run.spec.shape[-1]
    return Codec(cfg, found.params, channels, compiled=jax.jit)


def picture(path: Path, channels: int) -> np.ndarray:
    """A picture, uint8 [H, W, channels]; UserError for what is none, too large, or of other colours."""
    if not path.is_file():
        raise UserError(f"{path} is no file: name a PNG, JPEG or WebP picture.")
    pixels = None
    try:
        with image_of(path) as image:
            width, height = image.size
            grey = image.mode in GREY
            if width * height <= MOST:
                pixels = fit(image, (height, width), colour=channels == 3)
    except Unreadable as error:  # on a corrupt file Pillow's readers raise almost anything
        raise UserError(
            f"{path} cannot be read as an image ({error.__cause__}): name a PNG, JPEG or WebP picture."
        ) from None
    if pixels is None:
        raise UserError(
            f"{path} has {width}x{height} pixels: cut it into parts of at most {MOST}."
        )
    if grey != (channels == 1):
        own, other = ("grey", "colour") if grey else ("colour", "grey")
        raise UserError(
            f"{path} is in {own} and the codec is of {other} pictures: convert it first, or train one on such data."
        )
    return pixels


def read(path: Path) -> bytes:
    """The bytes of a file; UserError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name a file made by encode."
        ) from None


def targets(
    sources: Sequence[str],
    ending: str,
    options: Options,
) -> list[Path]:
    """Where what is made of each file goes; UserError for two at one place, and for what would be written over."""
    found: list[Path] = []
    if options.out and place(options.out).is_file():
        raise UserError(f"--out={options.out} is a file: name a folder.")
    for source in sources:
        path = place(source)
        folder = place(options.out) if options.out else path.parent
        target = folder / (path.stem + ending)
        if target in found:
            raise UserError(
                f"two of the files would become {target}: name a folder for each by --out."
            )
        # of the file itself too: photo.gxc beside photo.png must not become the photograph's end
        if target.exists() and (target == path or not options.replace):
            raise UserError(
                f"{target} exists and would be written over: name a folder by --out, or say --replace."
            )
        found.append(target)
    return found


def save(path: Path, content: bytes) -> None:
    """Writes a file whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as new:
            new.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another --out."
        ) from None


def _act(verb: str, run: str, *rest: Any) -> None:
    *sources, options = rest
    if verb not in ("encode", "decode"):
        raise UserError(f"{verb!r} is neither encode nor decode: see --help.")
    act = encode if verb == "encode" else decode
    act(run, sources, options)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    wanted = ("encode|decode", "RUN", "FILE...")
    return command.main(_act, wanted, Options(), __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
