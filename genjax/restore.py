"""Pictures of your own, of any size, restored by a finished run of `Restoration`.

    python -m genjax.restore RUN photo.png --out=DIR --level=0.1
    python -m genjax.restore RUN a.png b.png --out=DIR --mask=holes.png

    DIR/photo.png  the restored picture, of the size of the given one; grey of a model of grey pictures

    --out=DIR      a new or an empty folder
    --level=0.1    how much was done, in the unit of the damage that the model was trained to undo: of noise its
                   standard deviation, pixels counted from 0 to 1. Needed unless the model is blind, or its damage is
                   always as strong, or says which pixels are lost: then it is their share
    --mask=FILE    of a model that is told which pixels are lost: a picture of the same size, black where they are
    --tile=256     side of the tiles that are restored one by one [pixels]; they leave no seam
    --step=N       the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name

All pictures are read, and all that is wrong is told, before the first is written; every file is written whole. Of
super-resolution the pictures given are as large as those that shall come out, a block of equal pixels for each small
one.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax import command, config
from genjax.ae.restoration import Restoration
from genjax.config import field
from genjax.core import Spec
from genjax.corruptions import Damaged, damaged
from genjax.data import given
from genjax.errors import UserError, at_least
from genjax.findings.restorer import check_restoration, restorer
from genjax.machine.files import place
from genjax.pictures.draw import save_png, to_uint8
from genjax.training.opened import open_run

DRAWS = 16  # of the damage, to see whether it is always as strong
FAR = 2.0  # times the strongest of these: beyond it a level is of another unit, rather than of more damage


@dataclasses.dataclass(frozen=True)
class Options:
    """What the model is told, and where the pictures go."""

    out: str = field("", "the folder")
    level: float | None = field(None, "how much was done, in the damage's unit")
    mask: str = field("", "a picture, black where pixels are lost; '' = none")
    tile: int = field(256, "side of a tile [pixels]", execution=True)
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field(
        (), "modules of your own that a run's config may name", execution=True
    )


def restore(run: str | Path, files: Sequence[str | Path], out: str | Path, **options: Any):
    """Restores picture files into the folder `out`; gives their paths. options: the flags of the command line.

    UserError for what cannot be read, restored or written.
    """
    chosen = config.build("", Options, {"out": str(out), **options})
    return write(run, files, chosen)


def write(run: str | Path, files: Sequence[str | Path], options: Options) -> list[Path]:
    """Restores and writes; see `restore`."""
    folder = given.new_folder(options.out, "pictures")
    at_least(1, tile=options.tile)
    targets = given.targets(folder, files, "restore")
    sources = [place(file) for file in files]
    # before the run is opened, which takes seconds
    for source in sources:
        given.check_file(source)
    model = open_run(run, options.step, trust=options.trust)
    cfg, spec = model.config.algorithm, model.run.spec
    check_restoration(cfg)
    drawn = _drawn(cfg, spec)
    told = drawn.known is not None and not cfg.blind
    pictures = [_picture(source, spec) for source in sources]
    known = _known(options, told, files, pictures)
    level = _level(options, cfg, drawn, known)
    method = restorer(model.run, options.tile)
    made = []
    for file, x in zip(files, pictures, strict=True):
        seen = x
        if known is not None and _blackens(drawn):
            seen = x * known
        try:
            found = method(seen, level, known)
        except UserError as error:  # as of a picture that is too small for the net
            raise UserError(f"{file}: {error}") from None
        made.append(_bytes(found, file))
    # only now: one that is too small for the net is told by the net
    for target, picture in zip(targets, made, strict=True):
        save_png(target, picture)
    return targets


def _bytes(x: np.ndarray, file: str | Path) -> np.ndarray:
    """A restored picture as bytes; UserError for what is no number, which would be black."""
    if not np.isfinite(x).all():
        raise UserError(
            f"{file} becomes pixels that are no numbers: the training of this run has diverged, use another."
        )
    return to_uint8(x)


def _picture(path: Path, spec: Spec) -> np.ndarray:
    """A picture with the model's channels, float32 in [0, 1]; UserError for one that has others."""
    pixels, grey = given.read(path)
    *_, channels = spec.shape
    first = pixels[..., :1]
    if channels == 3 and grey:
        raise UserError(
            f"{path} is grey and this model restores colour, whose noise differs between channels: use a run on grey "
            "pictures, as python -m experiments.denoise."
        )
    if channels == 1 and np.any(pixels != first):
        raise UserError(
            f"{path} is in colour and this model restores grey: make it grey, or use a run on colour pictures."
        )
    return np.float32(pixels[..., :channels]) / 255.0


def _drawn(cfg: Restoration, spec: Spec) -> Damaged:
    """What the damage that the model was trained on does to some grey pictures."""
    keys = jax.random.split(jax.random.key(0), DRAWS)
    grey = jnp.full((DRAWS, *spec.shape), 0.5)
    return damaged(cfg.corruption, keys, grey)


def _blackens(drawn: Damaged) -> bool:
    """Whether pixels that are lost were black in training; under a mark they are not, the picture shines through."""
    lost = 1.0 - drawn.known
    left = lost * drawn.x
    return not np.any(left)


def _of_share(drawn: Damaged) -> bool:
    """Whether the model's level is the share of the pixels that are lost: of marks it is their opacity."""
    share = 1.0 - np.mean(drawn.known, (1, 2, 3))
    off = np.abs(drawn.level - share[:, None])
    # pixels that are lost one by one are as many as was drawn on the average alone
    pixels = drawn.known[0].size
    return bool(off.mean() * np.sqrt(pixels) < 1.0)


def _known(
    options: Options,
    told: bool,
    files: Sequence[str | Path],
    pictures: Sequence[np.ndarray],
) -> np.ndarray | None:
    """Which pixels are known, [H, W, 1]; UserError for a mask that is missing, not wanted or of another size."""
    if not options.mask:
        if told:
            raise UserError(
                "this model is told which pixels are lost: give a picture that is black there by --mask=FILE."
            )
        return None
    if not told:
        raise UserError("this model is not told which pixels are lost: leave --mask out.")
    path = place(options.mask)
    given.check_file(path)
    mask, _ = given.read(path)
    for file, x in zip(files, pictures, strict=True):
        if x.shape[:2] != mask.shape[:2]:
            height, width = x.shape[:2]
            rows, columns = mask.shape[:2]
            raise UserError(
                f"--mask={path} is of {rows}x{columns} pixels and {file} of {height}x{width}: make it as large."
            )
    return np.float32(mask[..., :1] >= 128)


def _level(
    options: Options, cfg: Restoration, drawn: Damaged, known: np.ndarray | None
) -> np.ndarray:
    """What the model is told of the strength, [k]; UserError where nobody says it."""
    always = np.asarray(drawn.level[0])
    name = type(cfg.corruption[0]).__name__
    low, high = drawn.level.min(), drawn.level.max()
    if options.level is not None:
        at_least(0, level=options.level)
        # a deviation of 25 of 255 is 0.1, and of what it was never told a net makes anything
        if len(always) == 1 and options.level > FAR * high:
            raise UserError(
                f"--level={options.level:g} is far above what this model was trained on, {name} of about {low:.2g} to "
                f"{high:.2g}, where pixels count from 0 to 1: give it in that unit."
            )
        if len(always) > 1:
            raise UserError(
                f"--level is one number, and this model was trained on {len(always)} kinds of damage at once: use "
                "genjax.findings.restorer.restorer."
            )
        return np.array([options.level])
    # a blind model hears nothing of it, and some are told where alone
    deaf = cfg.blind or not cfg.amount
    if deaf or np.all(drawn.level == always):
        return always
    if known is not None and _of_share(drawn):
        share = 1.0 - known.mean()
        return np.full(len(always), share)
    # else the model would be told something wrong
    raise UserError(
        f"this model is told how strong the damage is: give --level, for {name} of about {low:.2g} to {high:.2g}."
    )


def _act(run: str, *rest: Any) -> None:
    *files, options = rest
    for path in write(run, files, options):
        print(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    return command.main(_act, ("RUN", "FILE..."), Options(), __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
