"""The two sides of a comparison: folders, data sets and runs as images of one format, uint8 [N, H, W, C]."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax import cli, command, config
from genjax.core import size
from genjax.data import (
    Folder,
    Known,
    Source,
)
from genjax.data.batches import domains
from genjax.data.folder import FORMATS, fit, scan
from genjax.errors import UserError
from genjax.fields import Image
from genjax.machine.files import place
from genjax.pictures.draw import to_uint8
from genjax.training.opened import Opened, open_run

Shape = tuple[int, ...]  # [H, W, C]
Split = dict[str, Any]  # "image" [N, H, W, C], "label" [N]; arrays, or columns read on demand

LARGEST = 256  # pixels of a side of a folder's own format
LOOKED = 1000  # files of a folder that are looked at
DRAWN = 10_000  # samples of a run where --n does not say
AT_A_TIME = 500  # samples that are floats at once
GREY = frozenset(
    {"1", "L", "LA", "La", "F"}
)  # modes of Pillow; those of more bits begin with I
ORIENTATION, TURNED = 0x0112, 5  # an EXIF tag; from this value on height and width are swapped


class Count(NamedTuple):
    """Images that a side can give: of its own, and held out of them from the start."""

    main: int
    held: int


@dataclasses.dataclass(frozen=True)
class Stored:
    """Images that are there: a folder's, or a data set's."""

    letter: str  # A or B
    name: str
    kind: str
    shape: Shape  # its own format, or that of most of its images
    own: bool  # of a set or of a run's samples: the other side is brought to it
    sizes: Counter  # of the images that were looked at, by shape
    of: Count
    source: Callable[[Shape], Source]
    path: str = ""  # of a folder, whole
    notes: tuple[str, ...] = ()  # what was left out of it

    def about(self) -> dict[str, Any]:
        """What is told of it beside the numbers."""
        told = {"name": self.name, "kind": self.kind}
        if self.path:
            told["path"] = self.path
        sizes = {}
        for shape, times in sorted(self.sizes.items()):
            sizes["x".join(map(str, shape))] = times
        return told | {"images": self.of.main, "sizes": sizes}

    def count(self, n: int | None) -> Count:
        """How many images it has, whatever n is asked for."""
        return self.of

    def load(self, shape: Shape, total: int) -> tuple[Split, Split]:
        """(all images, those held out), as they lie in the cache: not of the format yet, but for a folder's."""
        source = self.source(shape)
        return _shown(source, source.train), _shown(source, _held(source))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Images that a run makes."""

    letter: str
    name: str
    opened: Opened
    shape: Shape
    seed: int
    kind: str = "run"
    own: bool = True
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> Counter:
        """All samples are of one shape."""
        return Counter({self.shape: 1})

    def about(self) -> dict[str, Any]:
        """What is told of it beside the numbers: the weights and the draw."""
        return {
            "name": self.name,
            "kind": self.kind,
            "path": str(self.opened.directory.resolve()),
            "digest": config.digest(self.opened.config),
            "step": self.opened.step,
            "seed": self.seed,
        }

    def count(self, n: int | None) -> Count:
        """As many as are asked for: of a reference those of the floor too."""
        return Count(DRAWN if n is None else 2 * n, 0)

    def load(self, shape: Shape, total: int) -> tuple[Split, Split]:
        """(samples 0 to total - 1 as bytes, none)."""
        given = self.opened.given(total)
        wanted = command.batches(total, AT_A_TIME)
        drawn = command.drawn(self.opened, given, self.seed, AT_A_TIME, wanted)
        parts = [self._bytes(made) for _, made in drawn]
        image = np.concatenate(parts)
        label = np.zeros(total, np.int32)  # no metric here reads labels of samples
        none = {"image": image[:0], "label": label[:0]}
        return {"image": image, "label": label}, none

    def _bytes(self, made: Any) -> np.ndarray:
        """Samples as a PNG would hold them; UserError for what is no image."""
        found = tuple(np.shape(made)[1:]) if not isinstance(made, dict) else tuple(made)
        if found != self.shape:
            raise UserError(
                f"{self.letter}: the samples of {self.name} are {_shown_shape(found)}, not images "
                f"{list(self.shape)}: compare runs that make images."
            )
        # a model that diverged would draw black pictures, which compare with nothing
        if not np.isfinite(made).all():
            raise UserError(
                f"{self.letter}: samples of {self.name} at step {self.opened.step} are not finite: choose another "
                "--step."
            )
        return to_uint8(made)


Side = Stored | Drawn


def side(
    letter: str, what: Any, seed: int, step: int | None, trust: Sequence[str] = ()
) -> Side:
    """A or B: a path, the text of a constructor call, or a config with load(); UserError for anything else."""
    text = str(what)
    path = place(text)
    there = not config.is_config(what) and os.path.isdir(path)
    if there and _is_run(path):
        return _of_run(letter, text, path, seed, step, trust)
    if step is not None:
        raise UserError(f"--step={step} is a checkpoint of a run, and {letter} is none.")
    if there:
        return _of_folder(letter, text, path)
    if config.is_config(what):
        return _of_set(letter, what)
    if _is_call(text):
        return _of_set(letter, cli.read(letter, text, Known))
    raise UserError(
        f"{letter}: {text} {_state(path)}: name a folder of images, a run's directory, or a data set, as 'Digits()'."
    )


def _state(path: Path) -> str:
    """What is where a folder was looked for."""
    try:
        path.stat()
    except PermissionError as error:  # of a folder above
        return f"cannot be looked at ({error.strerror})"
    except OSError:
        return "is not there"
    return "is a file"


def _is_run(path: Path) -> bool:
    """Whether a folder is a run's; other programs have a config.json too."""
    try:
        about = json.loads((path / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return False
    # as data: reading it as a config would import what the file names
    return isinstance(about, dict) and str(about.get("__type__", "")).endswith(":Experiment")


def _is_call(text: str) -> bool:
    """Whether a text reads as a call of something."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(tree.body, ast.Call)


def _of_run(
    letter: str, text: str, path: Path, seed: int, step: int | None, trust: Sequence[str]
) -> Drawn:
    opened = open_run(path, step, trust=trust)
    kind = next(iter(opened.fields.values()))
    _need_image(letter, text, kind)
    return Drawn(letter, text, opened, tuple(kind.shape), seed)


def _of_set(letter: str, cfg: Any) -> Stored:
    name = cli.show(cfg)
    if not callable(getattr(cfg, "load", None)):
        raise UserError(f"{letter}: {name} is no data set: it has no load().")
    try:
        source = cfg.load()
    except UserError as error:
        raise _of_another_command(letter, error) from None
    if domains(source.train):
        raise UserError(
            f"{letter}: {name} has the domains {', '.join(domains(source.train))}: compare folders of one each."
        )
    _need_image(letter, name, source.fields[source.main])
    of = Count(size(source.train), size(_held(source)))
    sizes = Counter({source.shape: of.main})
    shape, notes = source.shape, source.notes
    return Stored(
        letter, name, "data set", shape, True, sizes, of, lambda shape: source, notes=notes
    )


def _need_image(letter: str, name: str, kind: Any) -> None:
    if not isinstance(kind, Image):
        raise UserError(
            f"{letter}: {name} holds {type(kind).__name__}, which has no format in common with images: these distances "
            "are of images."
        )


def _held(source: Source) -> Any:
    """The examples that nothing is trained on: the test split, else the validation split."""
    return source.test if size(source.test) else source.valid


def _shown(source: Source, split: Any) -> Split:
    """A split as metrics see it: images, and labels where there are any."""
    n = size(split)
    if not n:
        return {"image": np.zeros((0, *source.shape), np.uint8), "label": np.zeros(0, np.int32)}
    label = split.get("label", np.zeros(n, np.int32))
    return {"image": split[source.main], "label": label}


def _of_folder(letter: str, text: str, path: Path) -> Stored:
    inside = path / "images"
    # what genjax.sample wrote: beside the images lies a grid of them, which is none
    if os.path.isfile(path / "samples.json"):
        if not inside.is_dir():
            raise UserError(f"{letter}: {text} holds samples that are no images.")
        path = inside
    root = path.resolve()
    # as the run itself: the same samples are one number
    made = root.name == "images" and os.path.isfile(root.parent / "samples.json")
    try:
        found = scan(root, 0.0)  # no share of the names: all images are one split
    except UserError as error:
        raise _of_another_command(letter, error, root) from None
    train = found.splits["train"]
    test = found.splits["test"] or found.splits.get("valid", [])
    # the held-out ones too: they are brought to the same format
    sizes = _sizes(letter, root, train) + _sizes(letter, root, test)

    def load(shape: Shape) -> Source:
        height, width, channels = shape
        folder = Folder(path=str(root), size=(height, width), colour=channels == 3, test=0.0)
        try:
            return folder.load()
        except UserError as error:
            raise _of_another_command(letter, error, root) from None

    of = Count(len(train), len(test))
    format_, where = usual(sizes), str(root)
    return Stored(letter, text, "folder", format_, made, sizes, of, load, where, found.notes)


def _of_another_command(letter: str, error: UserError, root: Path | None = None) -> UserError:
    """What a data set complains of, without the flags of an experiment."""
    text = str(error)
    if root is not None:  # of a folder there is no field to set, but it may be written as a set
        text = text.replace(" by --data.path=FOLDER", "")
        text = text.replace("--data.skip_bad=true", f"writing {_skipping(root)}")
        text = text.replace(" the images by --data.path=", " ")
    text = text.replace("--data.", "").replace("--data=", "")
    return UserError(f"{letter}: {text}")


def _skipping(root: Path) -> str:
    """A folder without its unreadable files, as it is typed."""
    return f"\"Folder('{root}', skip_bad=True)\""


def _sizes(letter: str, root: Path, split: list[tuple[str, int]]) -> Counter:
    """How many of the images are of which shape [H, W, C]; of a large split some, evenly spaced by name."""
    names = sorted(name for name, _ in split)
    spaced = np.linspace(0, len(names) - 1, min(len(names), LOOKED))
    found: Counter = Counter()
    for i in spaced.astype(int):
        path = root / names[i]
        try:
            found[_header(path)] += 1
        except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
            raise UserError(
                f"{letter}: {path} cannot be read as an image ({error}): mend or remove it, or skip all such files by "
                f"writing {_skipping(root)}."
            ) from error
    return found


def _header(path: Path) -> Shape:
    """The shape [H, W, 1 or 3] of an image file as it is shown; its pixels are not decoded."""
    from PIL import Image as Pillow

    Pillow.init()  # else it knows the five most frequent alone
    # whatever the suffix says: for an EPS, Pillow would start ghostscript
    readable = [name for name in FORMATS if name in Pillow.OPEN]
    with Pillow.open(path, formats=readable) as image:
        width, height = image.size
        if image.getexif().get(ORIENTATION, 1) >= TURNED:
            width, height = height, width
        grey = image.mode in GREY or image.mode.startswith("I")
        return height, width, 1 if grey else 3


def usual(sizes: Counter) -> Shape:
    """The most usual height and width, at most 256 and the ratio kept; in colour where any image is."""
    sides: Counter = Counter()
    for (height, width, _), times in sizes.items():
        sides[height, width] += times
    # of two that are as usual the larger, whatever the order of the files
    height, width = max(sides, key=lambda side: (sides[side], side))
    shrunk = min(1.0, LARGEST / max(height, width))
    channels = max(channels for *_, channels in sizes)
    return max(1, round(height * shrunk)), max(1, round(width * shrunk)), channels


def common(left: Side, right: Side, size: int | tuple[int, ...] | None) -> Shape:
    """The format of both, [H, W, C]: a set's or run's own before a folder's, A's before B's; UserError for none."""
    owners = [one for one in (left, right) if one.own]
    height, width, _ = (owners or [left])[0].shape
    if size is not None:
        height, width = np.broadcast_to(size, 2).tolist()
    channels = {left.shape[2], right.shape[2]}
    # grey can be shown in colour; of other channels nobody knows what they are
    if len(channels) > 1 and not channels <= {1, 3}:
        raise UserError(
            f"A has images {list(left.shape)} and B {list(right.shape)}, which have no common format: compare images "
            "with as many channels."
        )
    return height, width, max(channels)


def brought(split: Split, shape: Shape) -> Split:
    """A split with its images as bytes of one format: the short side scaled, the centre cut out, grey in colour."""
    from PIL import Image as Pillow

    image = split["image"][:]  # what is read on demand is read; a mapped file stays one
    label = split["label"][:]
    if tuple(image.shape[1:]) == shape:
        return {"image": to_uint8(image), "label": label}
    height, width, channels = shape
    made = np.empty((len(image), *shape), np.uint8)
    for i, one in enumerate(to_uint8(image)):
        # Pillow knows grey pictures as [H, W] alone
        flat = one[..., 0] if one.shape[2] == 1 else one
        made[i] = fit(Pillow.fromarray(flat), (height, width), channels == 3)
    return {"image": made, "label": label}


def changes(side: Side, shape: Shape) -> list[str]:
    """What was left out of a side, and what was done to its images, in a line each."""
    left_out = [f"{side.letter}: {note}" for note in side.notes]
    others = Counter({found: n for found, n in side.sizes.items() if found != shape})
    if not others:
        return left_out
    total = sum(side.sizes.values())
    most = max(others, key=lambda found: (others[found], found))
    what = "all images"
    if total > sum(others.values()):
        what = f"{sum(others.values())} of {total} images that were looked at"
    done = []
    if any(found[:2] != shape[:2] for found in others):
        done.append("scaled by the short side and cut to the centre, which changes distances")
    smaller = [found for found in others if found[0] < shape[0] or found[1] < shape[1]]
    if smaller:
        height, width, _ = min(smaller)
        size = height if height == width else (height, width)
        done.append(
            f"enlarged, which blurs: --size='{size}' brings the other side to it instead"
        )
    if any(found[2] != shape[2] for found in others):
        done.append("grey in three channels")
    more = f" and {len(others) - 1} other sizes" if len(others) > 1 else ""
    told = f"{side.letter}: {what} were brought from {list(most)}{more} to {list(shape)}: "
    return [*left_out, told + "; ".join(done)]


def _shown_shape(found: tuple) -> str:
    """A shape, or the names of several outputs."""
    return f"[{', '.join(map(str, found))}]"
