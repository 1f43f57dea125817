"""Is an autoencoder made for its data? Models of several data sets, each asked of all of them.

A code of few numbers can hold any picture of the kind that it was trained on, and of no other: asked of strangers it
gives pictures of its own kind. Errors are told as the share of the asked pictures' variance that is lost, since sets
differ in how much there is to lose: 1 is the error of the asked set's mean picture, and who was trained on something
else may lose more. PCA, as wide, says what a linear map loses by the same change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import edit, field
from genjax.core import size
from genjax.data import Known
from genjax.errors import UserError, at_least
from genjax.findings.encoders import HOME, Coder, Learned, Principal, Task
from genjax.findings.samples import some
from genjax.findings.tabled import Row, cell, finish, keep_picture, place, stored, wide
from genjax.metrics.components import rows
from genjax.metrics.intervals import Interval, bootstrap
from genjax.pictures.draw import captioned, grid, to_uint8
from genjax.training.experiment import Experiment
from genjax.training.log import Log

SHOWN = 12  # pictures in a row
TIMES = 300  # repeats of the bootstrap
Images = dict[str, np.ndarray]  # title -> uint8 [N, H, W, C]


@dataclasses.dataclass(frozen=True)
class Asked:
    """A data set under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    data: Known | Any = field(None, "the data set, images of one size in all")
    # a small set is through sooner
    steps: int = field(10_000, "training steps on it")


class Loss(NamedTuple):
    """What a model loses of a set."""

    share: Interval  # of the asked pictures' variance
    errors: np.ndarray  # [N], mean squares of pixels in [0, 1]


@dataclasses.dataclass(frozen=True)
class Specific:
    """The comparison."""

    experiment: Experiment = field(Experiment(), "the autoencoder; data, steps, seed are set")
    sets: tuple[Asked, ...] = field((), "trained on each, asked of all")
    test: int = field(2000, "test pictures of each set, at most")
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores a model of each set; UserError, before that, for sets that cannot be compared."""
        sources = {asked.name: asked.data.load() for asked in self.sets}
        self.check(sources)
        log = place(HOME, name, self, origin)
        tests: Images = {}
        for title, source in sources.items():
            part = some(source.test, self.test)
            tests[title] = np.asarray(part[source.main])
        table: dict[str, Row] = {}
        # the truth is above what is made of it
        strips: Images = {}
        for title, images in tests.items():
            strips[f"{title}, truth"] = images[:SHOWN]
        for asked in self.sets:
            source = sources[asked.name]
            for kind, model in self.models(asked, source, origin).items():
                row = f"{kind} of {asked.name}"
                table[row] = measured(row, asked.name, model, tests, log)
                for title, images in tests.items():
                    back = through(model, images[:SHOWN])
                    strips[f"{title} by {row}"] = to_uint8(back)
        tiles = np.concatenate(list(strips.values()))
        picture = grid(tiles, SHOWN)
        keep_picture(log, "asked", captioned(picture, list(strips)))
        finish(log, {"Share of the variance of test pictures that is lost": table})

    def check(self, sources: Mapping[str, Any]) -> None:
        """Raises UserError for sets of different shapes, without enough test pictures, or of one name."""
        # a row of the picture is of so many
        at_least(SHOWN, test=self.test)
        at_least(0, seed=self.seed)
        if len(sources) < 2 or len(sources) < len(self.sets):
            raise UserError("--sets: two or more are compared, each under a name of its own.")
        first = next(iter(sources))
        shape = sources[first].shape
        for title, source in sources.items():
            if source.main != "image" or len(source.shape) != 3:
                raise UserError(
                    f"--sets: {title} models {source.main!r} of {source.shape}, and autoencoders of pictures are "
                    "compared: use sets whose main field is an image."
                )
            if source.shape != shape or not size(source.test):
                raise UserError(
                    f"--sets: {title} has pictures of {source.shape}, {first} of {shape}, and all need "
                    "test pictures of one shape: see Enlarged()."
                )
            count = size(source.test)
            if count < SHOWN:
                raise UserError(
                    f"--sets: {title} has {count} test pictures, and {SHOWN} are shown: use a larger set."
                )

    def models(
        self,
        asked: Asked,
        source: Any,
        origin: Mapping[str, Any],
    ) -> dict[str, Coder]:
        """The autoencoder of a set, and PCA as wide."""
        # what the command line changed is of the comparison, not of its runs
        plain = {**origin, "differences": {}}
        task = Task(asked.data, source, {}, {}, self.seed, self.runs, plain)
        exp = edit(self.experiment, {"steps": asked.steps})
        linear = Principal(exp.algorithm.latent)
        deep = Learned(exp)
        return {
            "PCA": linear.start("", task),
            "autoencoder": deep.start(f"autoencoder-{asked.name}", task),
        }


def measured(
    name: str,
    own: str,
    model: Coder,
    tests: Images,
    log: Log,
) -> Row:
    """A row: what a model of the set `own` loses of each, and how well its errors tell the others from its own."""
    lost = {}
    for title, images in tests.items():
        lost[title] = loss(model, images)
        n = len(images)
        log.result(name, {title: stored(lost[title].share, n)})
    row = {}
    for title, each in lost.items():
        row[title] = wide(each.share)
        if title == own:
            continue
        sure = told_apart(lost[own].errors, each.errors)
        log.result(name, {f"{title} told apart": sure})
        row[f"{title} told apart"] = cell(sure)
    told = ", ".join(f"{column} {text}" for column, text in row.items())
    log.note(f"{name}: {told}")
    return row


def through(model: Coder, images: np.ndarray) -> np.ndarray:
    """Pictures [N, H, W, C] by way of their codes, in [0, 1]."""
    codes = model.encode({"image": images})
    decode: Any = model.decode
    return np.clip(decode(codes), 0.0, 1.0)


def loss(model: Coder, images: np.ndarray) -> Loss:
    """The share of the variance of uint8 pictures [N, H, W, C] that a model loses, a bootstrap over pictures."""
    x = rows(images)
    back = rows(through(model, images))
    errors = np.mean((back - x) ** 2, 1)
    # the error of the mean picture
    spread = np.mean((x - x.mean(0)) ** 2, 1)

    def share(chosen: np.ndarray) -> float:
        lost = errors[chosen].mean()
        there = spread[chosen].mean()
        return float(lost / there)

    interval = bootstrap(share, len(x), TIMES)
    return Loss(interval, errors)


def told_apart(own: np.ndarray, strange: np.ndarray) -> float:
    """How often a strange picture's error is above one of the own kind: 1/2 = not told apart (the area under ROC)."""
    from scipy.stats import rankdata

    both = np.concatenate([own, strange])
    ranks = rankdata(both)
    of_strange = ranks[len(own) :]
    n = len(strange)
    # pairs in which the strange one is higher, ties by half: Mann & Whitney's U
    least = n * (n + 1) / 2
    above = of_strange.sum() - least
    return float(above / (n * len(own)))
