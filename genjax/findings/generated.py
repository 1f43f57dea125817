"""Real pictures and those of a generator as one labelled data set: a run as the data of another.

The generator is trained on a portion of the real pictures (`data.portions`), or only restored, in a run directory of
its own, and its samples are kept there. Both halves are bytes of one size, go through the same `Handling`, and are
refused where something that is no picture tells them apart (`audit.traces`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.audit.detector import KINDS
from genjax.audit.handling import Handling
from genjax.audit.traces import check_alike
from genjax.config import edit, field
from genjax.core import size
from genjax.data.batches import chosen, order
from genjax.data.portions import Portion, Reals
from genjax.data.source import Source
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image
from genjax.findings.contenders import OfCodes, Own, labels
from genjax.metrics.features import STRANGE, save_arrays
from genjax.pictures.draw import to_uint8
from genjax.training import loop
from genjax.training.basis import basis
from genjax.training.experiment import Experiment, directory

HOME = "detect"  # the folder of these runs
FILE = "generated.npz"
PARTS = ("train", "held", "test")
OTHER = "real"  # the name of what is no generator
Pictures = dict[str, np.ndarray]  # {part: uint8 [N, H, W, C]}


@dataclasses.dataclass(frozen=True)
class Generator:
    """A model of this library under the name that tables give it: data, seed and folder of its run are set."""

    name: str = field("", "in tables and of the run directory")
    exp: Experiment = field(Experiment(), "the run")
    draw: Own | OfCodes = field(Own(), "where samples come from")

    def pictures(self, cfg: RealAndGenerated, source: Source) -> Pictures:
        """Samples, in as many as there are real pictures of each part; they are drawn once and kept."""
        counts = cfg.counts(source)
        n = sum(counts.values())
        exp = cfg.set(self.exp)
        path = directory(exp, HOME, self.name) / FILE
        # drawn in mixed order: samples that were kept in a set's own are none of these
        marks = basis((self.draw, n, "mixed"), exp.algorithm, "", exp.steps, {})
        images = kept(path, marks)
        if images is None:
            images = self.drawn(exp, n)
            mark = np.array(json.dumps(marks, sort_keys=True))
            save_arrays(path, {"image": images, "marks": mark})
        # one part after the other: sample number i is the same in whatever part it lands
        found = {}
        first = 0
        for part, count in counts.items():
            found[part] = images[first : first + count]
            first += count
        return found

    def drawn(self, exp: Experiment, n: int) -> np.ndarray:
        """Trains or restores the run and draws n samples, uint8 [n, H, W, C]."""
        # what the command line changed is of the comparison, not of its runs
        this = loop.run(HOME, exp, self.name, {"differences": {}})
        if this.algorithm.sample is None and isinstance(self.draw, Own):
            raise UserError(
                f"the generator {self.name!r} makes no samples: give it draw=OfCodes(...), or use another model."
            )
        asked = np.zeros(n, np.int32)  # of data without labels
        if "label" in this.source.fields:
            asked = mixed(labels(n, this.source))
        elif isinstance(self.draw, OfCodes):
            raise UserError(
                f"the generator {self.name!r} draws codes by class, and {this.source.name} has no labels: use a model "
                "that samples by itself."
            )
        return to_uint8(self.draw(this, asked)())


@dataclasses.dataclass(frozen=True)
class Untouched:
    """Other real pictures in the place of generated ones: whoever tells them apart is wrong."""

    name: str = field(OTHER, "in tables")

    def pictures(self, cfg: RealAndGenerated, source: Source) -> Pictures:
        """Portions of the real pictures that nothing else uses."""
        portions = cfg.reals.portions(source)
        found = {}
        for part, count in cfg.counts(source).items():
            images = portions[f"{part}_other"][source.main]
            found[part] = picked(images, count)
        return found


Maker = Generator | Untouched


@dataclasses.dataclass(frozen=True)
class RealAndGenerated:
    """As many real pictures as generated ones, label 0 and 1; what is held out is the validation split."""

    reals: Reals = field(Reals(), "the real pictures and how they are shared out")
    by: Maker = field(Untouched(), "what generates")
    handling: Handling = field(Handling(), "what both go through alike")
    train: int = field(2000, "pictures of each kind to learn from, at most")
    held: int = field(1000, "of each kind that thresholds and scales come from, at most")
    test: int = field(1000, "of each kind in the test, at most")
    seed: int = field(0, "of the generator's run")
    refuse: bool = field(
        True, "raise an error where what is no picture tells the halves apart", execution=True
    )
    runs: str = field("runs", "folder of the run directories", execution=True)

    def resolved(self) -> RealAndGenerated:
        """The same with the marks of what lies in files filled in."""
        return dataclasses.replace(self, reals=self.reals.resolved())

    def set(self, exp: Experiment) -> Experiment:
        """A generator's experiment on its portion, with nothing to be measured afterwards."""
        changes = {
            "data": Portion(self.reals),
            "seed": self.seed,
            "runs": self.runs,
            "finish": (),
        }
        return edit(exp, changes).resolved()

    def counts(self, source: Source) -> dict[str, int]:
        """{part: pictures of each kind}."""
        portions = self.reals.portions(source)
        # as many of each kind: average precision depends on the share
        found = {}
        for part in PARTS:
            # the other portion is as large but for rounding
            there = min(size(portions[part]), size(portions[f"{part}_other"]))
            found[part] = min(getattr(self, part), there)
        return found

    def check(self) -> None:
        """Raises UserError for numbers that leave nothing."""
        at_least(1, train=self.train, held=self.held, test=self.test)
        at_least(0, seed=self.seed)

    def opened(self) -> Source:
        """The real set; UserError for one that is of no pictures, and for handling that does not fit them."""
        source = self.reals.load()
        kind = source.fields[source.main]
        if not isinstance(kind, Image):
            raise UserError(
                f"--reals.of: {source.name} has no pictures to tell apart: use FashionMNIST(), Heads(32) or Scenes(32)."
            )
        self.handling.check(tuple(kind.shape))
        return source

    def halves(self) -> tuple[Source, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """(the real set, {part: (real, generated)}), bytes after handling; UserError for halves that are unlike."""
        self.check()
        source = self.opened()
        portions = self.reals.portions(source)
        generated = self.by.pictures(self, source)
        found = {}
        for part, count in self.counts(source).items():
            # both by the same functions, in the same order
            real = to_uint8(picked(portions[part][source.main], count))
            found[part] = (self.handling(real), self.handling(to_uint8(generated[part])))
        if self.refuse:  # before anybody learns it
            check_alike(*found["train"])
        return source, found

    def load(self) -> Source:
        """{"image", "label"}, of each split real pictures first; see `halves` for what is refused."""
        source, parts = self.halves()
        shape = self.handling.shape(source.shape)
        # whatever the real set calls its pictures
        fields = {"image": Image(shape), "label": Category(len(KINDS), KINDS)}
        splits = {part: labelled(*halves) for part, halves in parts.items()}
        name = f"{source.name}_{self.by.name}"
        return Source(name, fields, splits["train"], splits["held"], splits["test"])


@dataclasses.dataclass(frozen=True)
class Handled:
    """A data set after what all pictures of a matrix go through."""

    data: Portion = field(Portion(), "the data set")
    handling: Handling = field(Handling(), "what its pictures go through")

    def resolved(self) -> Handled:
        """The same with the marks of what lies in files filled in."""
        return dataclasses.replace(self, data=self.data.resolved())

    def load(self) -> Source:
        """The set, of another size where pictures are halved; only its pictures and labels."""
        source = self.data.load()
        main = source.main
        splits = {}
        for name, split in source.splits().items():
            kept = {key: split[key] for key in (main, "label") if key in split}
            kept[main] = self.handling(np.asarray(split[main]))
            splits[name] = kept
        shape = self.handling.shape(source.shape)
        fields: dict[str, Any] = {main: Image(shape)}
        if "label" in source.fields:
            fields["label"] = source.fields["label"]
        return source._replace(fields=fields, drawn=None, **splits)


def labelled(real: np.ndarray, generated: np.ndarray) -> dict[str, np.ndarray]:
    """Both halves with their labels."""
    truth = np.arange(len(real) + len(generated)) >= len(real)
    return {
        "image": np.concatenate([real, generated]),
        "label": truth.astype(np.int32),
    }


def mixed(asked: np.ndarray) -> np.ndarray:
    """Classes [N] in an order that is always the same: sets may be sorted, and samples are cut into parts."""
    return asked[order(0, 1, len(asked))]


def picked(images: Any, count: int) -> np.ndarray:
    """`count` of the pictures, always the same."""
    return np.asarray(images[chosen(count, len(images))])


def kept(path: Path, marks: Mapping[str, Any]) -> np.ndarray | None:
    """The samples in a file, None where there are none or where they were drawn otherwise."""
    if not path.exists():
        return None
    try:
        # a pickle could run code
        with np.load(path, allow_pickle=False) as file:
            known = json.loads(str(file["marks"]))
            images = np.asarray(file["image"])
    except STRANGE:  # damaged: drawn again
        return None
    # through JSON, which knows no tuples
    return images if known == json.loads(json.dumps(dict(marks))) else None
