"""Does a larger code bring better pictures? The test error of autoencoders against the size of z, beside PCA's.

PCA is exact for linear nets: no linear autoencoder of size k has a smaller training error than k components (Baldi &
Hornik 1989), and a linear one that is trained to the end has theirs. What deep nets save is the ratio to that curve.
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
from genjax.findings.encoders import HOME
from genjax.findings.samples import mean_and_error
from genjax.findings.tabled import finish, place
from genjax.metrics.components import Components, principal, rows
from genjax.pictures.draw import captioned, grid
from genjax.pictures.panels import curves
from genjax.training import loop
from genjax.training.experiment import Experiment
from genjax.training.log import Log
from genjax.training.run import Run

SHOWN = 10  # test pictures in a row
PCA = "PCA"
Errors = dict[
    str, dict[int, float]
]  # name -> size of z -> mean squared error of pixels in [0, 1]


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
        found = principal(source.train[main], max(self.sizes), rank=0.0)
        errors: Errors = {PCA: {}}
        for k in self.sizes:
            errors[PCA][k] = principal_error(found, test, k)
        log = place(HOME, name, self, origin)
        plain = {**origin, "differences": {}}
        for kind in self.kinds:
            errors[kind.name] = self.measured(kind, log, plain)
        empty = principal_error(found, test, 0)
        _write(log, errors, empty, size(source.test))
        log.note(f"picture {log.picture('curves', _curves(errors))}")
        title = f"{source.name}: squared error of test pixels, and its ratio to PCA's"
        finish(log, {title: _rows(errors, self.sizes)})

    def check(self, source: Any) -> None:
        """Raises UserError for data without pictures, and for sizes without an order."""
        if len(source.shape) != 3 or not size(source.test):
            raise UserError(
                f"sizes are compared on test images and {source.name} has none: use --data='Digits()'."
            )
        at_least(0, seed=self.seed)
        most = int(np.prod(source.shape))
        rising = list(self.sizes) == sorted(set(self.sizes))
        if not self.sizes or not rising or self.sizes[0] < 1 or self.sizes[-1] > most:
            raise UserError(
                f"--sizes={self.sizes} must rise from 1 or more to at most {most}, the numbers of a picture."
            )
        names = [kind.name for kind in self.kinds]
        if PCA in names or len(set(names)) < len(names):
            raise UserError(f"--kinds: each needs a name of its own, not {PCA!r}, got {names}.")

    def measured(self, kind: Kind, log: Log, origin: Mapping[str, Any]) -> dict[int, float]:
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
            each = this.evaluate(this.source.test)["mse"]  # [N]
            found[k], _ = mean_and_error(each)
            log.note(f"{kind.name} of {k}: {found[k]:.5f}")
            strips.append(rebuilt(this))
        truth = this.spec.x.unit(this.source.test[this.spec.main][:SHOWN])
        tiles = np.concatenate([*strips, np.asarray(truth)])
        titles = [*map(str, self.sizes), "truth"]
        picture = captioned(grid(tiles, len(truth)), titles)
        log.note(f"picture {log.picture(kind.name, picture)}")
        return found


def rebuilt(this: Run) -> np.ndarray:
    """What a run makes of its first test pictures, [n, H, W, C]."""
    few = {name: array[:SHOWN] for name, array in this.source.test.items()}
    codes = this.encode(few)
    given = {"index": np.arange(len(codes), dtype=np.uint32), "code": codes}
    decode = this.algorithm.decode
    return np.asarray(this.draw(lambda key, state, x: decode(key, state, x["code"]), given))


def principal_error(found: Components, flat: np.ndarray, k: int) -> float:
    """The mean squared error of rows [N, D] by the first k components; k = 0 is the mean picture."""
    directions = found.directions[:k]
    centred = flat - found.mean
    codes = centred @ directions.T
    rest = centred - codes @ directions
    return float(np.mean(rest.astype(np.float64) ** 2))


def _write(log: Log, errors: Errors, empty: float, n: int) -> None:
    """The errors by kind and size, and the ratios to PCA's."""
    log.result("mean picture", {"mse": empty, "n": n})
    for name, line in errors.items():
        values = {}
        for k, error in line.items():
            ratio = error / errors[PCA][k]
            values[str(k)] = {"mse": error, "ratio": ratio}
        log.result(name, values)


def _rows(errors: Errors, sizes: tuple[int, ...]) -> dict[str, dict[str, str]]:
    """A row for each size."""
    found = {}
    for k in sizes:
        row = {}
        for name, line in errors.items():
            row[name] = f"{line[k]:.5f}"
            if name != PCA:
                ratio = line[k] / errors[PCA][k]
                row[f"{name}, ratio"] = f"{ratio:.3f}"
        found[str(k)] = row
    return found


def _curves(errors: Errors) -> np.ndarray:
    """All curves in one figure."""
    return curves(errors, "size of z", "squared error of a pixel, [0, 1]")
