"""Pictures changed as sentences ask for, beside the true pictures of what was asked.

Of the answers to held-out people's instructions are measured: PSNR to the true picture; whether a reader of real
pictures reads of what was asked what is true after it (`asked`), and of all else too (`kept`: the share of the other
attributes, which an answer should leave as they are). Rows beside the model's, at several pairs of scales of guidance:

* `truth`: the true pictures, which is the most that this reader can find;
* `nothing`: the pictures as they were given;
* `mean change`: those, and the mean of what the same instruction changes in the pixels of training pictures.

Intervals are bootstraps over people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import edit, field
from genjax.core import size
from genjax.data.captions import text
from genjax.data.spoken.sentences import groups
from genjax.errors import UserError, at_least
from genjax.findings.asked import TIMES, Found, Number, agreed, check_reads
from genjax.findings.restored import decibels
from genjax.findings.samples import check_images, show, some
from genjax.findings.steering import members
from genjax.metrics.images import mse
from genjax.metrics.intervals import bootstrap
from genjax.metrics.reader import Read, Reader
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run

NEEDED = ("input", "caption", "attributes", "said", "language", "wording", "edit", "person")
PEAK = 255.0
TRUTH, NOTHING, MEAN = "truth", "nothing", "mean change"


class Judge(NamedTuple):
    """What reads pictures, after learning from real ones, and what the fields' numbers are called."""

    read: Callable[[Any], Read]
    attributes: tuple[str, ...]
    languages: tuple[str, ...]
    edits: tuple[str, ...]
    wordings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Instructed:
    """Answers to held-out instructions: PSNR to the true picture, what was asked read back, and what was not."""

    reader: Reader = field(Reader("attributes"), "what names the attributes of a picture")
    samples: int = field(1000, "held-out instructions, and answers to them")
    scales: tuple[tuple[float, float], ...] = field(
        (),
        "scales of guidance to try, by the given picture and by the words; () = the config's",
    )
    shown: int = field(12, "answers that are shown")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data that are no changes of which all is known, and for scales that cannot be tried."""
        check_images(source)
        at_least(2, finish__Instructed__samples=self.samples)
        at_least(1, finish__Instructed__shown=self.shown)
        for name in NEEDED:
            if name not in source.fields:
                raise UserError(
                    f"--finish.Instructed needs changes of which all is known and {source.name} has no field {name!r}: "
                    "use InstructedHeads, or --finish='()'."
                )
        model = getattr(exp.algorithm, "model", None)
        check_reads(exp, model, "--algorithm.model")
        guidance = getattr(model, "guidance", None)
        steps = getattr(guidance, "scales", ())
        if self.scales and len(steps) != 2:
            name = type(exp.algorithm).__name__
            raise UserError(
                f"--finish.Instructed.scales: {name} is not guided by a picture and by words: use "
                '--algorithm.model.guidance=\'Stepwise(("input", "caption"), (1.5, 4.0))\', or scales ().'
            )

    def __call__(self, this: Run) -> dict[str, float]:
        test = some(this.source.test, min(self.samples, size(this.source.test)))
        judge = self.judge(this)
        given = np.asarray(test["input"]) / PEAK
        # a ceiling and two floors, which no model makes
        rows = {
            TRUTH: np.asarray(test["image"]) / PEAK,
            NOTHING: given,
            MEAN: moved(given, test["edit"], this.source.train),
        }
        told = list(rows)
        for scale in self.scales or (None,):
            name = "answers" if scale is None else f"picture {scale[0]:g}, words {scale[1]:g}"
            rows[name] = self.answers(this, test, scale)
        numbers = {}
        for name, pictures in rows.items():
            found = measured(judge, pictures, test)
            tell(this, name, found)
            # a comparison shows those of the model
            if name not in told:
                numbers |= {f"{name}: {key}": found[key].value for key in ("asked", "psnr")}
        self.draw(this, rows, test)
        return numbers

    def judge(self, this: Run) -> Judge:
        """The reader, trained on the true pictures of the training split or read from beside the runs."""
        read = self.reader.reading(this.source.train, home(this.exp) / "features")
        kinds = this.source.fields
        names = [kinds[name].names for name in ("attributes", "language", "edit", "wording")]
        return Judge(read, *names)

    def answers(
        self, this: Run, test: Mapping[str, Any], scale: tuple[float, float] | None
    ) -> np.ndarray:
        """The model's answers [N, H, W, C] in [0, 1], picture i with noise i."""
        sample = this.algorithm.sample
        if scale is not None:
            # the weights stay, and so do noise and instructions
            algorithm = this.exp.algorithm
            # the config may name the two in either order
            places = {"input": scale[0], "caption": scale[1]}
            ordered = tuple(places[name] for name in algorithm.model.guidance.of)
            sample = edit(algorithm, {"model.guidance.scales": ordered})(this.spec).sample
        # what the model may ask for but the truth, which it is never shown
        given = {name: np.asarray(test[name]) for name in this.algorithm.asks}
        given["index"] = np.arange(size(test), dtype=np.uint32)
        return np.clip(np.asarray(this.draw(sample, given)), 0.0, 1.0)

    def draw(self, this: Run, rows: Mapping[str, np.ndarray], test: Mapping[str, Any]) -> None:
        """What was given, what each row makes of it, and the instructions in the log."""
        for line in text(np.asarray(test["caption"])[: self.shown]):
            this.log.note(f"instruction: {line}")
        # as given comes first, what is true last
        order = [NOTHING, *(name for name in rows if name not in (NOTHING, TRUTH)), TRUTH]
        tiles = [rows[name][: self.shown] for name in order]
        picture = grid(np.concatenate(tiles), len(tiles[0]))
        show(this, "instructed", captioned(picture, order))


def moved(given: np.ndarray, asked: Any, train: Mapping[str, Any]) -> np.ndarray:
    """Pictures [N, H, W, C] with the mean change that training has of the same instruction [N]; all in [0, 1]."""
    edit_of = np.asarray(train["edit"])
    change = {}
    for number in np.unique(edit_of):
        rows = edit_of == number
        # one instruction after the other: the whole set need not be in memory as floats
        before, after = (np.asarray(train[name])[rows] / PEAK for name in ("input", "image"))
        change[number] = (after - before).mean(0)
    # an instruction that training has not changes nothing
    none = np.zeros(given.shape[1:])
    more = [change.get(number, none) for number in np.asarray(asked)]
    return np.clip(given + np.stack(more), 0.0, 1.0)


def measured(judge: Judge, pictures: np.ndarray, test: Mapping[str, Any]) -> Found:
    """The numbers of pictures [N, H, W, C] in [0, 1] that were asked for by the instructions of `test`."""
    names = judge.attributes
    columns = [own[0] for own in groups(names).values()]
    said = np.asarray(test["said"])[:, columns] > 0  # [N, G]
    right = agreed(
        np.asarray(judge.read(pictures).answers), np.asarray(test["attributes"]), names
    )
    # one of the groups is asked for, and all others should be as they are in the true picture
    asked = np.sum(right & said, 1) / said.sum(1)
    kept = np.sum(right & ~said, 1) / (~said).sum(1)
    # of the pixels: readers see neither light nor background
    psnr = decibels(mse(pictures, np.asarray(test["image"]) / PEAK))
    person = np.asarray(test["person"])
    found = {}
    for part, rows in parts(judge, test).items():
        lead = f"{part}, " if part else ""
        for name, values in (("asked", asked), ("kept", kept), ("psnr", psnr)):
            found[f"{lead}{name}"] = over(values[rows], person[rows])
    return found


def over(values: np.ndarray, person: np.ndarray) -> Number:
    """The mean of values [N]; its interval is a bootstrap over whole people."""
    # pictures of one person are not independent
    own = members(person)

    def mean(some: np.ndarray) -> float:
        rows = np.concatenate([own[i] for i in some])
        return float(values[rows].mean())

    return Number(*bootstrap(mean, len(own), TIMES), len(values))


def parts(judge: Judge, test: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The rows of each part of the test, "" of all: languages, with wordings apart, and instructions."""
    language, wording, asked = (
        np.asarray(test[name]) for name in ("language", "wording", "edit")
    )
    which = {"": np.ones(len(language), bool)}  # all
    for k, fresh in enumerate(judge.wordings):
        which[fresh] = wording == k
        for number, name in enumerate(judge.languages):
            which[name] = language == number
            which[f"{name}, {fresh}"] = (language == number) & (wording == k)
    for number, name in enumerate(judge.edits):
        which[name] = asked == number
    person = np.asarray(test["person"])
    # an interval needs two people
    return {
        name: np.flatnonzero(own)
        for name, own in which.items()
        if len(np.unique(person[own])) > 1
    }


def tell(this: Run, name: str, found: Found) -> None:
    """Records a row with its intervals, and says the most important of it."""
    this.log.result(f"instructed: {name}", {key: each._asdict() for key, each in found.items()})
    words = []
    for key in ("asked", "kept", "psnr"):
        value, low, high, _ = found[key]
        words.append(f"{key} {value:.3f} [{low:.3f}, {high:.3f}]")
    this.log.note(f"{name}: {', '.join(words)}")
