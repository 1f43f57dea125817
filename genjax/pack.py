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
    --chunk=1000   pictures that are decoded together: each chunk borrows some 100 bytes
    --bits=16      log2 of the buckets of each latent dimension
    --no-verify    do not unpack every chunk again before the file is kept, which doubles the time
    --step=N       the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax import command
from genjax.config import field
from genjax.data.decoding import Unreadable, opened
from genjax.errors import UserError, at_least, at_most, nearest
from genjax.machine.files import place, whole
from genjax.training.opened import Opened, open_run
from genjax.vae import bitsback, packed
from genjax.vae.bitsback import Buckets, Nets

# Pillow's names for pictures of one channel and of three, with no bits beside them
MODES = {1: ("1", "L"), 3: ("RGB",)}


@dataclasses.dataclass(frozen=True)
class Options:
    """What is written, and how."""

    out: str = field("", "the file")
    chunk: int = field(1000, "pictures that are decoded together")
    bits: int = field(16, "log2 of the buckets of each latent dimension")
    verify: bool = field(True, "unpack every chunk again before the file is kept")
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field((), "modules of your own that a run's config may name")


class Packer(NamedTuple):
    """A run's model as a packer of pictures."""

    nets: Nets
    weights: bytes
    shape: tuple[int, ...]  # of a picture


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
    return _encode(str(run), str(source), Options(**options))


def decode(run: str | Path, source: str | Path, **options: Any) -> Done:
    """Unpacks what `encode` wrote into a .npy file; UserError for a file that is not whole or not of this model."""
    return _decode(str(run), str(source), Options(**options))


def _encode(run: str, source: str, options: Options) -> Done:
    out = _checked(options)
    packer = _packer(run, options)
    pixels = _pictures(place(source), packer.shape)
    levels = _levels(source, pixels, packer.nets.levels)
    buckets = Buckets(options.bits)
    with _written(out) as partial, partial.open("wb") as file:
        for part in _packed(packer, levels, buckets, options):
            file.write(part)
        size = file.tell()
    return Done(out, len(pixels), pixels.size, size)


def _decode(run: str, source: str, options: Options) -> Done:
    out = _checked(options)
    data = _bytes(place(source))
    # before the run is opened, which takes seconds
    head = packed.read_head(source, data)
    chunks = packed.read_chunks(source, data, head)
    packer = _packer(run, options)
    packed.check_reader(source, head, packer.weights, packer.nets)
    parts = []
    told = _Teller(head.count)
    for which, chunk in enumerate(chunks, 1):
        levels = packed.unpacked(source, chunk, which, head, packer.nets)
        parts.append(_pixels(levels, head.levels))
        told(which * head.chunk)
    pixels = np.concatenate(parts)
    with _written(out) as partial, partial.open("wb") as file:
        np.save(file, pixels, allow_pickle=False)
    return Done(out, len(pixels), pixels.size, len(data))


# The run, and what is asked of it.


def _checked(options: Options) -> Path:
    """Where to write; UserError for options that are wrong whatever the run is."""
    at_least(1, chunk=options.chunk)
    at_least(2, bits=options.bits)
    at_most(20, bits=options.bits)
    if not options.out:
        raise UserError("--out is not set: name the file by --out=FILE.")
    out = place(options.out)
    if out.is_dir():
        raise UserError(f"--out={out} is a folder: name a file.")
    bitsback.library()  # before the run is opened, which takes seconds
    return out


def _packer(run: str, options: Options) -> Packer:
    opened_run = open_run(run, options.step, trust=options.trust)
    return packer(opened_run)


def packer(model: Opened) -> Packer:
    """The packer of a run that is open; UserError where its bits cannot be coded."""
    params = model.params
    cfg = model.config.algorithm
    spec = model.run.spec
    nets = bitsback.of_vae(params, cfg, spec, jax.jit)
    name = packed.weights(params, cfg)
    return Packer(nets, name, spec.shape)


def _packed(
    packer: Packer, levels: np.ndarray, buckets: Buckets, options: Options
) -> Iterator[bytes]:
    """The bytes of a file, chunk by chunk."""
    n = len(levels)
    arithmetic = bitsback.fingerprint(packer.nets, buckets)
    head = packed.Head(
        buckets.bits,
        packer.nets.levels,
        packer.weights,
        arithmetic,
        n,
        options.chunk,
        packer.shape,
    )
    yield packed.head_bytes(head)
    told = _Teller(n)
    done = 0
    for part in packed.chunks_of(levels, options.chunk):
        made = bitsback.encode(part, packer.nets, buckets)
        if options.verify:
            _verify(part, made, packer.nets, buckets)
        yield packed.chunk_bytes(part, made)
        done += len(part)
        told(done)


def _verify(part: np.ndarray, made: Any, nets: Nets, buckets: Buckets) -> None:
    """Raises UserError where a chunk does not come back: a file that cannot be read must not be kept."""
    try:
        back = bitsback.decode(made.words, made.borrowed, len(part), nets, buckets)
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
def _written(out: Path) -> Iterator[Path]:
    """A name to write to, which becomes `out` where the block ends well; UserError where it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as partial:
            yield partial
    except OSError as error:
        raise UserError(
            f"cannot write {out} ({error.strerror}): free space, or choose another --out."
        ) from error


def _pictures(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The pictures of a .npy file or a folder, uint8 [N, *shape]; UserError for any others."""
    read = _folder if path.is_dir() else _array
    pixels = read(path, shape)
    if not len(pixels):
        raise UserError(f"{path} holds no pictures: name one that does.")
    return pixels


def _array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The pictures of a .npy file."""
    try:
        pixels = np.load(path, allow_pickle=False)  # a pickle could run code
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} cannot be read as a .npy file ({error}): write one by numpy.save, or name a folder of pictures."
        ) from None
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        kind = getattr(pixels, "dtype", type(pixels).__name__)
        raise UserError(f"{path} holds {kind}: only bytes, uint8, are packed without loss.")
    if pixels.ndim == 3 and shape[-1] == 1:  # grey, without the axis of its channel
        pixels = pixels[..., None]
    if pixels.shape[1:] != shape:
        raise UserError(
            f"{path} has shape {list(pixels.shape)}, and this model packs pictures of {list(shape)}."
        )
    return pixels


def _folder(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The pictures of a folder, by their names."""
    names = sorted(each for each in path.iterdir() if each.is_file())
    found = [_picture(each, shape) for each in names if not each.name.startswith(".")]
    return np.array(found, np.uint8).reshape(-1, *shape)


def _picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """One picture as it is: nothing is resized or turned to grey, for that would be a loss."""
    height, width, channels = shape
    wanted = f"{height}x{width} pixels in mode {MODES.get(channels, ('…',))[-1]}"
    try:
        with opened(path) as image:
            if image.mode not in MODES.get(channels, ()) or image.size != (width, height):
                has = f"{image.height}x{image.width} in mode {image.mode}"
                raise UserError(f"{path} has {has}, and this model packs {wanted}.")
            pixels = np.asarray(image.convert(MODES[channels][-1]))
    except Unreadable:
        raise UserError(
            f"{path} cannot be read as a picture: take it out of the folder."
        ) from None
    return pixels.reshape(shape)


# Grey values and levels.


def _levels(what: str, pixels: np.ndarray, levels: int) -> np.ndarray:
    """Bytes as levels below `levels`; UserError for a grey value that none of them is."""
    found = np.rint(pixels / 255.0 * (levels - 1)).astype(np.int32)
    lost = _pixels(found, levels) != pixels
    if lost.any():
        value = pixels[lost][0]
        raise UserError(
            f"{what} has the grey value {value}, and the {levels} levels of this model do not: train one with 256, "
            "--algorithm.likelihood='DiscretisedLogistic()'."
        )
    return found


def _pixels(found: np.ndarray, levels: int) -> np.ndarray:
    """The bytes that levels stand for."""
    return np.rint(found * 255.0 / (levels - 1)).astype(np.uint8)


# The command line.


@dataclasses.dataclass
class _Teller:
    """Says on stderr how far it is, now and then."""

    n: int
    last: float = dataclasses.field(default_factory=time.monotonic)

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last > command.PATIENCE and done < self.n:
            self.last = now
            print(f"{done} of {self.n} pictures", file=sys.stderr, flush=True)


ACTIONS: dict[str, Callable[[str, str, Options], Done]] = {"encode": _encode, "decode": _decode}


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
