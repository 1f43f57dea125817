"""Does a larger code bring better pictures? The test error of autoencoders against the size of z, beside PCA's.

PCA is exact for linear nets: no linear autoencoder of size k has a smaller training error than k components (Baldi &
Hornik 1989), and a linear one that is trained to the end has theirs. What deep nets save is the ratio to that curve.
Intervals are over test pictures; those of a ratio are of the same pictures on both sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.config import edit, field
from genjax.core import size
from genjax.data import Digits, Known
from genjax.errors import UserError, at_least
from genjax.findings.codes import decoder
from genjax.findings.encoders import HOME
from genjax.findings.tabled import Row, finish, keep_picture, place, stored, wide
from genjax.metrics.components import Components, principal, rows
from genjax.metrics.intervals import of_mean, of_ratio
from genjax.pictures.draw import captioned, grid
from genjax.pictures.panels import curves
from genjax.training import loop
from genjax.training.experiment import Experiment
from genjax.training.log import Log
from genjax.training.run import Run

SHOWN = 10  # test pictures in a row
PCA = "PCA"
# name -> size of z -> squared error of each test picture, the mean over its pixels in [0, 1], [N]
Errors = dict[str, dict[int, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Kind:
    """Autoencoders that differ in the size of z alone, under the name of their curve."""

    name: str = field("", "of the curve, and before the size that of the run directories")
    experiment: Experiment = field(
        Experiment(), "the runs; data, size of z, seed and folder are set"
    )


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The curves."""

    data: Known | Any = field(Digits(), "the data set, images")
    kinds: tuple[Kind, ...] = field((), "whose curves are drawn beside PCA's")
    sizes: tuple[int, ...] = field((1, 2, 4, 8, 16, 32, 64, 128), "of z, rising")
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores every kind at every size; UserError, before that, for what cannot be done."""
        source = self.data.load()
        self.check(source)
        main = source.main
        test = rows(source.test[main])
        # also those that hardly vary: the curve has as many as are asked for
        found = principal(source.train[main], max(self.sizes), rank=0.0)
        errors: Errors = {PCA: {}}
        for k in self.sizes:
            errors[PCA][k] = principal_errors(found, test, k)
        log = place(HOME, name, self, origin)
        empty = principal_errors(found, test, 0)
        log.result("mean picture", {"mse": stored(of_mean(empty), len(test))})
        plain = {**origin, "differences": {}}
        for kind in self.kinds:
            errors[kind.name] = self.measured(kind, log, plain)
        kept(log, errors)
        means = {}
        for who, line in errors.items():
            means[who] = {k: float(each.mean()) for k, each in line.items()}
        picture = curves(means, "size of z", "squared error of a pixel, [0, 1]")
        keep_picture(log, "curves", picture)
        title = f"{source.name}: squared error of test pixels, and its ratio to PCA's"
        finish(log, {title: table(errors, self.sizes)})

    def check(self, source: Any) -> None:
        """Raises UserError for data without pictures, and for sizes without an order."""
        if len(source.shape) != 3 or not size(source.test):
            raise UserError(
                f"sizes are compared on test images and {source.name} has none: use --data='Digits()'."
            )
        at_least(0, seed=self.seed)
        most = int(np.prod(source.shape))
        rising = sorted(set(self.sizes))
        fits = self.sizes and self.sizes[0] >= 1 and self.sizes[-1] <= most
        if list(self.sizes) != rising or not fits:
            raise UserError(
                f"--sizes={self.sizes} must rise from 1 or more to at most {most}, the numbers of a picture."
            )
        names = [kind.name for kind in self.kinds]
        if PCA in names or len(set(names)) < len(names):
            raise UserError(f"--kinds: each needs a name of its own, not {PCA!r}, got {names}.")

    def measured(
        self,
        kind: Kind,
        log: Log,
        origin: Mapping[str, Any],
    ) -> dict[int, np.ndarray]:
        """The error of a kind at every size; what it makes of the first test pictures is drawn."""
        found = {}
        strips = []
        for k in self.sizes:
            changes = {
                "data": self.data,
                "seed": self.seed,
                "runs": self.runs,
                "algorithm.latent": k,
                "finish": (),
            }
            exp = edit(kind.experiment, changes)
            this = loop.run(HOME, exp, f"{kind.name}{k}", origin)
            # sums of float32 would end before ten thousand are told apart
            found[k] = np.float64(this.evaluate(this.source.test)["mse"])  # [N]
            log.note(f"{kind.name} of {k}: {found[k].mean():.5f}")
            truth, back = pair(this)
            strips.append(back)
        # the truth is the last row
        tiles = np.concatenate([*strips, truth])
        titles = [*map(str, self.sizes), "truth"]
        picture = grid(tiles, len(truth))
        keep_picture(log, kind.name, captioned(picture, titles))
        return found


def pair(this: Run) -> tuple[np.ndarray, np.ndarray]:
    """The first test pictures, and what a run makes of them, [n, H, W, C] in [0, 1]."""
    few = {}
    for name, array in this.source.test.items():
        few[name] = array[:SHOWN]
    codes = this.encode(few)
    back = decoder(this)(codes)
    truth = this.spec.unit(few)
    return np.asarray(truth), np.asarray(back)


def principal_errors(found: Components, flat: np.ndarray, k: int) -> np.ndarray:
    """The mean squared error of each of rows [N, D] by the first k components, [N]; k = 0 is the mean picture."""
    directions = found.directions[:k]
    centred = flat - found.mean
    codes = centred @ directions.T
    rest = centred - codes @ directions
    squares = rest.astype(np.float64) ** 2
    return squares.mean(1)


def kept(log: Log, errors: Errors) -> None:
    """Keeps the errors by kind and size, and their ratios to PCA's."""
    for name, line in errors.items():
        values = {}
        for k, error in line.items():
            n = len(error)
            ratio = of_ratio(error, errors[PCA][k])
            values[str(k)] = {"mse": stored(of_mean(error), n), "ratio": stored(ratio, n)}
        log.result(name, values)


def table(errors: Errors, sizes: tuple[int, ...]) -> dict[str, Row]:
    """A row for each size."""
    found = {}
    for k in sizes:
        row = {}
        floor = errors[PCA][k]
        for name, line in errors.items():
            row[name] = wide(of_mean(line[k]), 5)
            if name != PCA:
                row[f"{name}, ratio"] = wide(of_ratio(line[k], floor))
        found[str(k)] = row
    return found
