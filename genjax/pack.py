"""Pictures packed without loss by a VAE that was trained, and unpacked again: bits back with ANS.

    python -m genjax.pack encode RUN pictures.npy --out=pictures.gjx
    python -m genjax.pack decode RUN pictures.gjx --out=pictures.npy

RUN is a run of `experiments.lossless`, or of any VAE with a likelihood of grey values. FILE is, to encode, an array of
bytes (.npy, uint8 [N, H, W] or [N, H, W, C]) or a folder of pictures, in the order of their names, which are not kept;
each must have the size of those that the model was trained on. To decode, it is what encode wrote; out comes an array,
uint8 [N, H, W, C], the same to the last bit.

The file can be read with the same weights alone, and where the nets round as they did when it was written: the same
kind of processor and the same release of JAX. Both are told before anything is decoded, and so is a file that was cut
short or damaged, chunk by chunk; every chunk's pixels have a checksum besides. Pictures unlike those of the training
are packed too, and take more bytes than they had.

    --out=FILE     what is written, whole or not at all
    --replace      write over a file that exists; without it nothing is written
    --chunk=1000   pictures that are decoded together: each chunk borrows some 100 bytes
    --bits=16      log2 of the buckets of each latent dimension
    --least=1      to decode: bits that a picture has at least. A file that tells of more pictures than it has bits for
                   may have been made up to be unpacked for ever, and is refused; 0 = unpack it all the same
    --no-verify    do not unpack every chunk again before the file is kept, which doubles the time
    --step=N       the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax
import numpy as np

from genjax import command, config
from genjax.config import field
from genjax.data.decoding import Unreadable, opened
from genjax.errors import UserError, at_least, at_most, nearest
from genjax.machine.files import place, whole
from genjax.training.opened import Opened, open_run
from genjax.vae import bitsback, packed
from genjax.vae.bitsback import Array, Buckets, Nets, Packed
from genjax.vae.packed import Chunk

# Pillow's names for pictures of one channel and of three, with no bits beside them
MODES = {1: ("1", "L"), 3: ("RGB",)}
EXACT = ("PNG", "TIFF", "PPM", "GIF")  # formats of Pillow's that hold what these cannot
Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Options:
    """What is written, and how."""

    out: str = field("", "the file")
    replace: bool = field(False, "write over a file that exists")
    chunk: int = field(1000, "pictures that are decoded together")
    bits: int = field(16, "log2 of the buckets of each latent dimension")
    least: float = field(packed.LEAST, "bits that a picture of a file has at least")
    verify: bool = field(True, "unpack every chunk again before the file is kept")
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field((), "modules of your own that a run's config may name")


class Packer(NamedTuple):
    """A run's model as a packer of pictures."""

    nets: Nets
    weights: bytes
    shape: Shape  # of a picture


class Done(NamedTuple):
    """What a command has written."""

    path: Path
    pictures: int
    values: int  # pixels of all, every channel for itself
    bytes: int  # of the packed file


def encode(run: str | Path, source: str | Path, **options: Any) -> Done:
    """Packs the pictures of a .npy file or of a folder by the model of a run; options: the flags of the command line.

    UserError for a run that cannot pack, pictures that are not as its own, and files that cannot be read or written.
    """
    chosen = config.build("", Options, options)
    return _encode(str(run), str(source), chosen)


def decode(run: str | Path, source: str | Path, **options: Any) -> Done:
    """Unpacks what `encode` wrote into a .npy file; UserError for a file that is not whole or not of this model."""
    chosen = config.build("", Options, options)
    return _decode(str(run), str(source), chosen)


def _encode(run: str, source: str, options: Options) -> Done:
    out = _checked(options, source)  # what costs nothing first
    model = _packer(run, options)
    buckets = Buckets(options.bits)
    nets = model.nets._replace(buckets=buckets)
    pixels = _pictures(place(source), model.shape)
    levels = _levels(source, pixels, nets.levels)
    with _written(out) as file:
        for part in _packed(model._replace(nets=nets), levels, options):
            file.write(part)
        size = file.tell()
    return Done(out, len(pixels), pixels.size, size)


def _decode(run: str, source: str, options: Options) -> Done:
    out = _checked(options, source)
    data = _bytes(place(source))
    # before the run is opened, which takes seconds
    head = packed.read_head(source, data)
    chunks = packed.read_chunks(source, data, head, options.least)
    model = _packer(run, options)
    buckets = Buckets(head.bits)
    nets = model.nets._replace(buckets=buckets)
    packed.check_reader(source, head, model.weights, model.shape, nets)
    levels = _unpacked(source, chunks, nets)
    pixels = _pixels(levels, head.levels)
    shaped = pixels.reshape(-1, *head.shape)
    with _written(out) as file:
        np.save(file, shaped, allow_pickle=False)
    # of the packed file, not of the array
    size = len(data)
    return Done(out, head.count, pixels.size, size)


def _unpacked(source: str, chunks: Sequence[Chunk], nets: Nets) -> Array:
    """The examples of all chunks, levels [N, D]."""
    parts = []
    total = len(chunks)
    told = time.monotonic()
    for i, chunk in enumerate(chunks, 1):
        which = f"{source}, chunk {i} of {total},"
        part = packed.unpacked(which, chunk, nets)
        parts.append(part)
        told = _tell(i, total, "chunks", told)
    return np.concatenate(parts)


def _tell(done: int, n: int, what: str, told: float) -> float:
    """Says on stderr how far it is, if nothing was said for long; when something was last said."""
    now = time.monotonic()
    silent = now - told
    if silent < command.PATIENCE or done >= n:
        return told
    print(f"{done} of {n} {what}", file=sys.stderr, flush=True)
    return now


# The run, and what is asked of it.


def _checked(options: Options, source: str) -> Path:
    """Where to write; UserError for options that are wrong whatever the run is, and for the source itself."""
    at_least(1, chunk=options.chunk)
    at_least(2, bits=options.bits)
    at_most(20, bits=options.bits)
    at_least(0, least=options.least)
    if not options.out:
        raise UserError("--out is not set: name the file by --out=FILE.")
    out = place(options.out)
    if out.is_dir():
        raise UserError(f"--out={out} is a folder: name a file.")
    given = place(source)
    # by links and other spellings too: what is read must not be what is lost
    if out.exists() and given.exists() and out.samefile(given):
        raise UserError(f"--out={out} is what is read: name another file.")
    if out.exists() and not options.replace:
        raise UserError(
            f"--out={out} exists and would be written over: name another file, or say --replace."
        )
    bitsback.library()  # before the run is opened, which takes seconds
    return out


def _packer(run: str, options: Options) -> Packer:
    model = open_run(run, options.step, trust=options.trust)
    return packer(model)


def packer(model: Opened) -> Packer:
    """The packer of a run that is open; UserError where its bits cannot be coded."""
    # the averaged weights where there are any, as for samples
    params = model.params
    cfg = model.config.algorithm
    spec = model.run.spec
    nets = bitsback.of_vae(params, cfg, spec, jax.jit)
    name = packed.weights(params, cfg)
    return Packer(nets, name, spec.shape)


def _packed(model: Packer, levels: Array, options: Options) -> Iterator[bytes]:
    """The bytes of a file, chunk by chunk."""
    # one stack a chunk: a damaged one takes no other along
    nets = model.nets
    n = len(levels)
    arithmetic = bitsback.fingerprint(nets)
    head = packed.Head(
        nets.buckets.bits,
        nets.levels,
        model.weights,
        arithmetic,
        n,
        options.chunk,
        model.shape,
    )
    yield packed.head_bytes(head)
    # while a chunk is written the next is not yet packed: memory is that of one
    told = time.monotonic()
    done = 0
    for part in packed.chunks_of(levels, options.chunk):
        made = bitsback.encode(part, nets)
        if options.verify:
            _verify(part, made, nets)
        # told now, to who has the pictures still
        if packed.dense(made, len(part), options.least):
            print("note: less than a bit a picture: decode it with --least=0", file=sys.stderr)
        yield packed.chunk_bytes(part, made)
        done += len(part)
        told = _tell(done, n, "pictures", told)


def _verify(part: Array, made: Packed, nets: Nets) -> None:
    """Raises UserError where a chunk does not come back: a file that cannot be read must not be kept."""
    try:
        back = bitsback.decode(made.words, made.borrowed, len(part), nets)
        same = np.array_equal(back, part)
    except bitsback.Mismatch:
        same = False
    if not same:
        raise UserError(
            "the nets of this run do not give the same numbers twice on this machine: pack on another."
        )


# Files.


def _bytes(path: Path) -> bytes:
    """A whole file; UserError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name a file that can."
        ) from None


@contextlib.contextmanager
def _written(out: Path) -> Iterator[IO[bytes]]:
    """A file that becomes `out` where the block ends well; UserError where it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as partial, partial.open("wb") as file:
            yield file
    except OSError as error:
        raise UserError(
            f"cannot write {out} ({error.strerror}): free space, or choose another --out."
        ) from error


def _pictures(path: Path, shape: Shape) -> Array:
    """The pictures of a .npy file or a folder, uint8 [N, *shape]; UserError for any others."""
    read = _folder if path.is_dir() else _array
    pixels = read(path, shape)
    if not len(pixels):
        raise UserError(f"{path} holds no pictures: name one that does.")
    return pixels


def _array(path: Path, shape: Shape) -> Array:
    """The pictures of a .npy file."""
    try:
        # not np.load, which opens other formats too; as a map, a head that tells of more than there is takes no memory
        pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(
            f"{path} cannot be read as a .npy file ({error}): write one by numpy.save, or name a folder of pictures."
        ) from None
    if pixels.dtype != np.uint8:
        raise UserError(
            f"{path} holds {pixels.dtype}: only bytes, uint8, are packed without loss."
        )
    if pixels.ndim == 3 and shape[-1] == 1:  # grey, without the axis of its channel
        pixels = pixels[..., None]
    # no resizing: it would not come back
    if pixels.shape[1:] != shape:
        raise UserError(
            f"{path} has shape {list(pixels.shape)}, and this model packs pictures of {list(shape)}."
        )
    return pixels


def _folder(path: Path, shape: Shape) -> Array:
    """The pictures of a folder, by their names."""
    found = []
    for each in sorted(path.iterdir()):
        # what systems leave in folders, as .DS_Store
        if each.name.startswith("."):
            continue
        # what lies in it would be missing from the file without a word
        if each.is_dir():
            raise UserError(f"{each} is a folder in a folder of pictures: pack each by itself.")
        picture = _picture(each, shape)
        found.append(picture)
    pixels = np.array(found, np.uint8)
    return pixels.reshape(-1, *shape)


def _picture(path: Path, shape: Shape) -> Array:
    """One picture as it is: nothing is resized or turned to grey, for that would be a loss."""
    height, width, channels = shape
    modes = MODES.get(channels, ())
    try:
        with opened(path) as image:
            has = f"{image.height}x{image.width} in mode {image.mode}"
            fits = image.size == (width, height) and image.mode in modes
            if fits:
                pixels = np.asarray(image.convert(modes[-1]))
        lost = _lost(path)
    except Unreadable:
        raise UserError(
            f"{path} cannot be read as a picture: take it out of the folder."
        ) from None
    if not fits:
        wanted = " or ".join(modes)
        raise UserError(
            f"{path} is {has}, and this model packs {height}x{width} in mode {wanted}."
        )
    if lost:
        raise UserError(
            f"{path} has {lost}, which would be lost: save it as a PNG without, or take it out of the folder."
        )
    return pixels.reshape(shape)


def _lost(path: Path) -> str:
    """What a file has besides the bytes of its pixels, in words; "" for nothing. Of a file that can be opened."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=EXACT) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                return f"{frames} frames"
            if "transparency" in image.info:
                return "transparent pixels"
            # Pillow gives the upper 8 bits of 16 without a word, and knows of them where it reads
            *_, read = image.tile[0]
            if _wide(read):
                return "more than 8 bits a channel"
    except UnidentifiedImageError:
        return ""  # of the other formats none is without loss and deeper
    return ""


def _wide(read: str | tuple) -> bool:
    """Whether pixels are of more than 8 bits: how Pillow reads them, ("RGB;16B", …) or for PPM ("RGB", greatest)."""
    form, *more = (read,) if isinstance(read, str) else read
    greatest = more[0] if more else 0
    deep = isinstance(greatest, int) and greatest > 255
    return ";16" in form or deep


# Grey values and levels.


def _levels(what: str, pixels: Array, levels: int) -> Array:
    """Bytes as levels below `levels`; UserError for a grey value that none of them is."""
    # bytes would overflow
    wide = pixels.astype(np.float64)
    exact = wide * (levels - 1) / 255.0
    found = np.rint(exact).astype(np.int32)
    lost = _pixels(found, levels) != pixels
    if lost.any():
        value = pixels[lost][0]
        raise UserError(
            f"{what} has the grey value {value}, and the {levels} levels of this model do not: train one with 256, "
            "--algorithm.likelihood='DiscretisedLogistic()'."
        )
    return found


def _pixels(found: Array, levels: int) -> Array:
    """The bytes that levels stand for."""
    exact = found * 255.0 / (levels - 1)
    return np.rint(exact).astype(np.uint8)


# The command line.


ACTIONS = {"encode": _encode, "decode": _decode}


def _act(action: str, run: str, source: str, options: Options) -> None:
    if action not in ACTIONS:
        raise UserError(
            f"{action!r} is nothing to do: say encode or decode.{nearest(action, ACTIONS)}"
        )
    done = ACTIONS[action](run, source, options)
    bits = 8 * done.bytes / done.values
    print(
        f"{done.path}: {done.pictures} pictures, {done.bytes} bytes packed, {bits:.4f} bits a value"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    wanted = ("encode|decode", "RUN", "FILE")
    return command.main(_act, wanted, Options(), __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
