"""Pictures as small files by a trained codec, and back.

    python -m genjax.compress encode RUN photo.png …  writes photo.gxc beside each picture
    python -m genjax.compress decode RUN photo.gxc …  writes photo.png beside each file

    --out=DIR      a folder for what is written; by default each file lies beside its source
    --rate=0.5     0 = the smallest files, 1 = the largest
    --step=N       the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name

PNG, JPEG and WebP are read, in colour or in grey as the run's data were. A file is decoded by the run that encoded it,
on any machine: what decides about its symbols is computed in whole numbers. Every file is written whole; what exists
already is replaced. Flags are given as --flag=value.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from genjax import cli, command
from genjax.ae.compression.files import Codec
from genjax.ae.compression.model import Compression
from genjax.config import field
from genjax.errors import UserError, at_least, at_most
from genjax.machine.files import place, whole
from genjax.pictures.draw import save_png
from genjax.training.opened import open_run

FORMATS = ("PNG", "JPEG", "WEBP")  # for some others Pillow starts programs
MODES = {1: "L", 3: "RGB"}  # Pillow's names of channels
ENDING = ".gxc"
MOST = 1 << 26  # pixels of a picture
VERBS = ("encode", "decode")


@dataclasses.dataclass(frozen=True)
class Options:
    """How pictures are coded, and where files go."""

    out: str = field("", "a folder; empty = beside each source")
    rate: float = field(0.5, "0 = the smallest files, 1 = the largest")
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field(
        (), "modules of your own that a run's config may name", execution=True
    )


def encode(
    run: str,
    sources: Sequence[str],
    options: Options,
) -> list[Path]:
    """Writes a file for each picture; returns where. UserError before anything is written of a picture."""
    at_least(0, rate=options.rate)
    at_most(1, rate=options.rate)
    codec = opened(run, options)
    written = []
    for source in sources:
        path = place(source)
        image = picture(path, codec.channels)
        found = codec.encode(image, options.rate)
        target = beside(path, options.out, ENDING)
        save(target, found.content)
        height, width = image.shape[:2]
        bits = 8.0 * len(found.content) / (height * width)
        print(
            f"{target}: {len(found.content)} bytes, {bits:.3f} bits a pixel, {width}x{height}"
        )
        written.append(target)
    return written


def decode(
    run: str,
    sources: Sequence[str],
    options: Options,
) -> list[Path]:
    """Writes a picture for each file; returns where. UserError as of `encode`."""
    codec = opened(run, options)
    written = []
    for source in sources:
        path = place(source)
        content = read(path)
        image = codec.decode(content, str(path))
        target = beside(path, options.out, ".png")
        save_png(target, image)
        print(f"{target}: {image.shape[1]}x{image.shape[0]}")
        written.append(target)
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
    from PIL import Image

    if not path.is_file():
        raise UserError(f"{path} is no file: name a PNG, JPEG or WebP picture.")
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
            if width * height <= MOST:
                pixels = np.asarray(image.convert(MODES[channels]))
    except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
        raise UserError(
            f"{path} cannot be read as PNG, JPEG or WebP ({type(error).__name__}): name a picture."
        ) from None
    if width * height > MOST:
        raise UserError(
            f"{path} has {width}x{height} pixels: cut it into parts of at most {MOST}."
        )
    if grey != (channels == 1):
        own, other = ("grey", "colour") if grey else ("colour", "grey")
        raise UserError(
            f"{path} is in {own} and the codec is of {other} pictures: convert it first, or train one on such data."
        )
    return pixels.reshape(height, width, channels)


def read(path: Path) -> bytes:
    """The bytes of a file; UserError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name a file made by encode."
        ) from None


def beside(
    path: Path,
    out: str,
    ending: str,
) -> Path:
    """Where what is made of a file goes; UserError where that is the file itself."""
    folder = place(out) if out else path.parent
    target = folder / (path.stem + ending)
    if target == path:
        raise UserError(
            f"{path} would be replaced by what is made of it: name a folder by --out."
        )
    return target


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


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    files = sum(not token.startswith("-") for token in tokens) - 2
    wanted = ["encode|decode", "RUN", *["FILE"] * max(files, 1)]

    def call() -> None:
        words, options = command.read(tokens, wanted, Options())
        if options is None:
            print((__doc__ or "").strip())
            return
        verb, run, *sources = words
        if verb not in VERBS:
            raise UserError(f"{verb!r} is neither encode nor decode: see --help.")
        act = encode if verb == "encode" else decode
        act(run, sources, options)

    return cli.outcome(call)


if __name__ == "__main__":
    sys.exit(main())
