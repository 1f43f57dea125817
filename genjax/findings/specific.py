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
from genjax.findings.tabled import cell, finish, place, stored
from genjax.metrics.components import rows
from genjax.metrics.intervals import Interval, bootstrap
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment

SHOWN = 12  # pictures in a row


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
        tests = {}
        for title, source in sources.items():
            tests[title] = np.asarray(some(source.test, self.test)[source.main])
        table: dict[str, dict[str, str]] = {}
        strips = {f"{title}, truth": images[:SHOWN] for title, images in tests.items()}
        for asked in self.sets:
            models = self.models(asked, sources[asked.name], origin)
            for kind, model in models.items():
                row = f"{kind} of {asked.name}"
                lost = {title: loss(model, images) for title, images in tests.items()}
                table[row] = self.row(lost, asked.name)
                for title, images in tests.items():
                    log.result(row, {title: stored(lost[title].share, len(images))})
                    strips[f"{title} by {row}"] = through(model, images[:SHOWN])
                log.note(f"{row}: {table[row]}")
        unit = [np.asarray(strip, np.float32) for strip in strips.values()]
        scaled = [x / 255 if x.max() > 2 else x for x in unit]
        picture = captioned(grid(np.concatenate(scaled), SHOWN, zoom=1), list(strips))
        log.note(f"picture {log.picture('asked', picture)}")
        finish(log, {"Share of the variance of test pictures that is lost": table})

    def check(self, sources: Mapping[str, Any]) -> None:
        """Raises UserError for sets of different shapes, without test pictures, or of one name."""
        at_least(2, test=self.test)
        at_least(0, seed=self.seed)
        if len(sources) < 2 or len(sources) < len(self.sets):
            raise UserError("--sets: two or more are compared, each under a name of its own.")
        first, *others = sources.items()
        for title, source in (first, *others):
            if source.shape != first[1].shape or not size(source.test):
                raise UserError(
                    f"--sets: {title} has pictures of {source.shape}, {first[0]} of {first[1].shape}, and all need "
                    "test pictures of one shape: see Enlarged()."
                )

    def models(self, asked: Asked, source: Any, origin: Mapping[str, Any]) -> dict[str, Coder]:
        """The autoencoder of a set, and PCA as wide."""
        plain = {**origin, "differences": {}}
        task = Task(asked.data, source, {}, {}, self.seed, self.runs, plain)
        exp = edit(self.experiment, {"steps": asked.steps})
        width = exp.algorithm.latent
        return {
            "PCA": Principal(width).start("", task),
            "autoencoder": Learned(exp).start(f"autoencoder-{asked.name}", task),
        }

    def row(self, lost: Mapping[str, Loss], own: str) -> dict[str, str]:
        """What a model of the set `own` loses of each, and how well its errors tell the others from its own."""
        found = {}
        for title, each in lost.items():
            found[title] = cell(each.share)
            if title != own:
                sure = told_apart(lost[own].errors, each.errors)
                found[f"{title} told from its own"] = cell(sure)
        return found


def through(model: Coder, images: np.ndarray) -> np.ndarray:
    """Pictures [N, H, W, C] by way of their codes, in [0, 1]."""
    split = {"image": images}
    codes = model.encode(split)
    back: Any = model.decode
    return np.clip(back(codes), 0.0, 1.0)


def loss(model: Coder, images: np.ndarray) -> Loss:
    """The share of the variance of uint8 pictures [N, H, W, C] that a model loses, a bootstrap over pictures."""
    x = rows(images)
    back = rows(through(model, images))
    errors = np.mean((back - x) ** 2, 1)
    spread = np.mean((x - x.mean(0)) ** 2, 1)  # of the mean picture

    def share(chosen: np.ndarray) -> float:
        return float(errors[chosen].mean() / spread[chosen].mean())

    return Loss(bootstrap(share, len(x), 300), errors)


def told_apart(own: np.ndarray, strange: np.ndarray) -> float:
    """How often a strange picture's error is above one of the own kind: 1/2 = not told apart (the area under ROC)."""
    from scipy.stats import rankdata

    both = np.concatenate([own, strange])
    ranks = rankdata(both)[len(own) :]
    n = len(strange)
    # pairs in which the strange one is higher, ties by half: Mann & Whitney's U
    above = ranks.sum() - n * (n + 1) / 2
    return float(above / (n * len(own)))
