"""Samples of a run as files: PNG for images, arrays for everything, and one picture of the first of them.

    python -m genjax.sample runs/vae/digits-3f1c0ab2 --out=digits
    python -m genjax.sample RUN --out=DIR --n=50 --label=3 --seed=1
    python -m genjax.sample RUN --out=DIR --n=20 --label=all --npz

    DIR/images/00000.png   of images: their bytes as the run's own pictures round them; grey stays grey
    DIR/grid.png       the first of them in one picture, as the data are drawn. It lies beside the images and not among
                       them, so that DIR/images is a folder of samples and nothing else for whatever reads it
    DIR/samples.npz    on request, and of data that are no images always: "samples" [n, ...] (images uint8, other data
                       in their own units; of several outputs "samples/<name>"), "index" [n], and each field that the
                       model was given by its name: "label" [n]
    DIR/samples.txt    of text: a sample a line, UTF-8; a sample's own ends of lines are blanks there
    DIR/samples.json   the run, the step, the seed, what was asked for, and what the class is called: another command
                       for this DIR is refused

    --out=DIR      a new or empty folder, or that of the same command: then only what is missing is drawn
    --n=64         samples; with --label=all of each class
    --label=3      a class by its name, or by its number where none is called so; all: the classes in turn; by default
                   as frequent as in the data
    --seed=0       sample number i is a function of the seed, of i and of what the model is given
    --step=N       the checkpoint; by default the newest
    --batch=64     samples that are drawn at a time
    --npz          write samples.npz too
    --no-grid      leave grid.png out
    --trust='("mine",)'   modules of your own that the run's config.json may name

Every file is written whole. After an interrupt or a kill the same command goes on, and ends with the same bytes. Of
what the run's config.json names only genjax's own modules are imported, and those of --trust.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax import command, config, core
from genjax.config import field
from genjax.data.summary import plain
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.machine.files import place, whole
from genjax.metrics.features import save_arrays
from genjax.pictures.draw import save_png, to_uint8
from genjax.training.opened import Opened, open_run
from genjax.training.preempt import alone

PLAN, ARRAYS, GRID, LOCK = "samples.json", "samples.npz", "grid.png", "lock"
LINES = "samples.txt"
# what a kill leaves of a file that was being written, see `whole`
HALF = re.compile(
    r"\.(\d+\.png|grid\.png|samples\.json|samples\.npz|samples\.txt|\d+-\d+\.npz)\.\d+"
)
ALL = "all"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is drawn, and which files are written."""

    out: str = field("", "the folder")
    n: int = field(64, "samples; of label=all for each class")
    label: int | str | None = field(None, "a class, or all; None = as frequent as in the data")
    seed: int = field(0, "of the samples")
    step: int | None = field(None, "the checkpoint; None = the newest")
    batch: int = field(64, "samples that are drawn at a time", execution=True)
    npz: bool = field(False, "write samples.npz too", execution=True)
    grid: bool = field(True, "write grid.png", execution=True)
    trust: tuple[str, ...] = field(
        (), "modules of your own that a run's config may name", execution=True
    )


@dataclasses.dataclass(frozen=True)
class Typed(Options):
    """The options as they are typed: of classes that are called 1 to 10, 1 is a name and not a number."""

    label: str | None = field(None, "a class, or all; None = as frequent as in the data")


class Written(NamedTuple):
    """Where the samples are, how many, of which step, how many of them were drawn just now, and of which class."""

    folder: Path
    n: int
    step: int
    drawn: int
    of: str = ""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images on disk, a PNG file each."""

    folder: Path

    def lacks(self, first: int, last: int) -> bool:
        """Whether one of the samples first, …, last - 1 is not there."""
        return not all(self._path(i).exists() for i in range(first, last))

    def put(self, first: int, made: Any) -> None:
        """Writes samples [B, H, W, C] in [0, 1], of which `first` is the number of the first."""
        for i, picture in enumerate(to_uint8(made), first):
            if not self._path(i).exists():
                save_png(self._path(i), picture)

    def got(self, n: int) -> dict[str, np.ndarray]:
        """{"samples": uint8 [n, H, W, C]}."""
        from PIL import Image as Pillow

        pictures = []
        for i in range(n):
            try:
                with Pillow.open(self._path(i), formats=("PNG",)) as picture:
                    pixels = np.asarray(picture)
            except (
                Exception
            ) as error:  # on a corrupt file Pillow's readers raise almost anything
                raise UserError(
                    f"{self._path(i)} cannot be read ({error}): remove it, and run the same command again."
                ) from error
            height, width = pixels.shape[:2]
            pictures.append(pixels.reshape(height, width, -1))  # grey has no channel there
        return {"samples": np.stack(pictures)}

    def end(self) -> None:
        """The files are what was asked for."""

    def _path(self, i: int) -> Path:
        return self.folder / "images" / f"{i:05d}.png"


@dataclasses.dataclass(frozen=True)
class Parts:
    """Arrays on disk, a file for each batch until all are joined in samples.npz."""

    folder: Path
    batch: int

    def lacks(self, first: int, last: int) -> bool:
        """Whether this batch has to be drawn."""
        return not self._joined.exists() and not self._path(first, last).exists()

    def put(self, first: int, made: Any) -> None:
        """Writes a batch of samples [B, ...] or {name: [B, ...]}."""
        last = first + core.size({"samples": made})
        save_arrays(self._path(first, last), {"samples": made})

    def got(self, n: int) -> dict[str, np.ndarray]:
        """{"samples": [n, ...]}, or {"samples/<name>": [n, ...]}."""
        if self._joined.exists():
            found = load_arrays(self._joined)
            return {name: x[:n] for name, x in found.items() if name.split("/")[0] == "samples"}
        parts = [load_arrays(self._path(*part)) for part in command.batches(n, self.batch)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def end(self) -> None:
        """Removes the parts: samples.npz has them all."""
        shutil.rmtree(self.folder / "parts", ignore_errors=True)

    @property
    def _joined(self) -> Path:
        return self.folder / ARRAYS

    def _path(self, first: int, last: int) -> Path:
        return self.folder / "parts" / f"{first:05d}-{last:05d}.npz"


def sample(run: str | Path, n: int, out: str | Path, **options: Any) -> Path:
    """Writes n samples of a run into the folder `out` and returns it; options: the flags of the command line.

    UserError for what cannot be drawn or written, and for a folder that holds anything else.
    """
    chosen = config.build("", Options, {"n": n, "out": str(out), **options})
    return write(run, chosen).folder


def write(run: str | Path, options: Options) -> Written:
    """Draws and writes what is missing of what the options ask for."""
    _check(options)
    folder = place(options.out)
    # before the run is opened, which takes seconds
    _check_place(folder)
    opened = open_run(run, options.step, trust=options.trust)
    given, label = _given(opened, options)
    store = _store(opened, given, folder, options)
    plan = _plan(opened, options, label)
    _agree(folder, plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            _sweep(folder)
            _save_json(folder / PLAN, plan | _called(opened, label))
            drawn = _draw(opened, given, store, options)
            _join(opened, given, store, folder, options)
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or folder} ({error.strerror}): free space, or choose another --out."
        ) from error
    return Written(folder, len(given["index"]), opened.step, drawn, _of(opened, label))


def _check(options: Options) -> None:
    """Raises UserError for options that are wrong whatever the run is."""
    at_least(1, n=options.n, batch=options.batch)
    at_least(0, seed=options.seed)
    if options.seed >= 2**32:  # JAX's keys have no room for more
        raise UserError(f"--seed={options.seed} must be less than 2**32.")
    if not options.out:
        raise UserError("--out is not set: name a folder for the samples by --out=DIR.")


def _check_place(folder: Path) -> None:
    """Raises UserError for a place that is no folder, or one that holds anything but samples."""
    try:
        others = _others(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        if not folder.is_file():  # but a folder above it: this is told when it is made
            return
        raise UserError(f"--out={folder} is a file: name a folder.") from None
    except OSError as error:
        raise UserError(
            f"--out={folder} cannot be looked at ({error.strerror}): name another folder."
        ) from error
    if others and PLAN not in others:
        raise UserError(
            f"--out={folder} holds other files ({others[0]}): name a new or an empty folder."
        )


def _others(folder: Path) -> list[str]:
    """What lies in a folder, but for what is left of a command that was killed at its very beginning."""
    ours = (LOCK, f".{PLAN}")
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith(ours))


def _given(opened: Opened, options: Options) -> tuple[dict[str, Any], int | str | None]:
    """(what the model is given for every sample, the label as samples.json tells it)."""
    wanted = options.label
    if opened.run.algorithm.sample is None:
        name = type(opened.config.algorithm).__name__
        raise UserError(f"{opened.directory}: {name} makes no samples.")
    if wanted is None:
        return opened.given(options.n), None
    if wanted == ALL and ALL not in opened.class_names:
        # of a model without labels this is the error
        opened.given(1, label=0)
        classes = len(opened.class_names)
        n = options.n * classes
        label = np.arange(n, dtype=np.int32) % classes
        return opened.given(n, label=label), ALL
    given = opened.given(options.n, label=wanted)
    label = given["label"].astype(np.int32)  # as the data have it
    return {**given, "label": label}, int(label[0])


def _store(
    opened: Opened, given: dict[str, Any], folder: Path, options: Options
) -> Pictures | Parts:
    """Where samples go: images are files, what is no picture is an array."""
    run = opened.run
    one = jax.tree.map(lambda x: x[:1], given)
    # shapes alone: a model may make several things at once
    made = jax.eval_shape(run.algorithm.sample, run.key(2), run.state, one)
    kind = next(iter(opened.fields.values()))
    # grey, and red, green and blue: other channels are in no PNG
    shown = isinstance(kind, Image) and getattr(made, "shape", ())[3:] in ((1,), (3,))
    if shown:
        return Pictures(folder)
    return Parts(folder, options.batch)


def _plan(opened: Opened, options: Options, label: int | str | None) -> dict[str, Any]:
    """What the samples depend on."""
    # the digest knows nothing of what decides only how samples are drawn, as a sampler's steps
    text = config.to_json(opened.config.algorithm)
    algorithm = hashlib.sha256(text.encode()).hexdigest()[:8]
    return {
        "digest": config.digest(opened.config),
        "algorithm": algorithm,
        "step": opened.step,
        "seed": options.seed,
        "n": options.n,
        "label": label,
    }


def _called(opened: Opened, label: int | str | None) -> dict[str, str]:
    """{"class": its name} for samples.json, {} where no one class was asked for."""
    if not isinstance(label, int):
        return {}
    return {"class": opened.class_names[label]}


def _of(opened: Opened, label: int | str | None) -> str:
    """The class in words, with its number where that is not its name."""
    for name in _called(opened, label).values():
        number = "" if name == str(label) else f" (number {label})"
        return f" of class {plain(name)}{number}"
    return ""


def _agree(folder: Path, plan: dict[str, Any]) -> None:
    """Raises UserError where the folder holds samples of another command."""
    path = folder / PLAN
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text())
        differs = [name for name in plan if before[name] != plan[name]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): remove {folder}, or choose another --out."
        ) from None
    if differs:
        told = [f"{name} {before[name]} (now {plan[name]})" for name in differs]
        raise UserError(
            f"--out={folder} holds samples of another command, {', '.join(told)}: choose another --out."
        )


def _draw(
    opened: Opened, given: dict[str, Any], store: Pictures | Parts, options: Options
) -> int:
    """Draws and stores the batches that are not there; returns how many samples were drawn."""
    parts = command.batches(len(given["index"]), options.batch)
    lacking = [part for part in parts if store.lacks(*part)]
    for first, made in command.drawn(opened, given, options.seed, options.batch, lacking):
        store.put(first, made)
    return sum(last - first for first, last in lacking)


def _join(
    opened: Opened,
    given: dict[str, Any],
    store: Pictures | Parts,
    folder: Path,
    options: Options,
) -> None:
    """Writes samples.npz and grid.png where they are wanted and not there."""
    n = len(given["index"])
    joined = folder / ARRAYS
    # what is no picture has no other place
    wanted = options.npz or isinstance(store, Parts)
    if wanted and not joined.exists():
        save_arrays(joined, {**given, **store.got(n)})
    lines = folder / LINES
    # what is modelled comes first
    kind = next(iter(opened.fields.values()))
    if getattr(kind, "pieces", ()) and not lines.exists():
        _save_lines(lines, kind.text(store.got(n)["samples"]))
    store.end()
    grid = folder / GRID
    if options.grid and not grid.exists():
        shown = min(n, opened.config.samples)
        first = jax.tree.map(lambda x: x[:shown], given)
        save_png(grid, _picture(opened, first, store.got(shown)))


def _save_lines(path: Path, lines: Sequence[str]) -> None:
    with whole(path) as new:
        new.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _picture(opened: Opened, given: dict[str, Any], found: dict[str, np.ndarray]) -> np.ndarray:
    """Samples as they are stored, "samples" [n, ...] or several "samples/<name>", as one picture, uint8 [H, W, C]."""
    outputs = {}
    for name, x in found.items():
        # as the model made them, in [0, 1]
        unit = x / np.float32(255.0) if x.dtype == np.uint8 else x
        outputs[name.removeprefix("samples").removeprefix("/")] = unit
    own = opened.run.algorithm.picture
    if own is not None:
        return own(outputs.get("", outputs), given)
    # side by side: of every example one output after the other
    columns = np.stack(list(outputs.values()), 1)
    return opened.picture(columns.reshape(-1, *columns.shape[2:]))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `save_arrays` wrote, as one dict."""
    with np.load(path, allow_pickle=False) as file:  # a pickle could run code
        return {name: file[name] for name in file.files}


def _save_json(path: Path, plan: dict[str, Any]) -> None:
    with whole(path) as new:
        new.write_text(json.dumps(plan, indent=2) + "\n")


def _sweep(folder: Path) -> None:
    """Removes what a kill has left of files that were being written; the lock says that nobody writes now."""
    for each in (folder, folder / "images", folder / "parts"):
        for path in each.glob(".*"):
            if HALF.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _act(run: str, options: Typed) -> None:
    done = write(run, options)
    there = done.n - done.drawn
    print(
        f"{done.n} samples{done.of} of step {done.step} in {done.folder}: {done.drawn} drawn, {there} were there"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    return command.main(_act, ("RUN",), Typed(), __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
