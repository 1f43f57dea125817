"""Sample grids, and the few things that all findings share."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data.batches import chosen
from genjax.errors import UserError
from genjax.fields import Image
from genjax.metrics.intervals import Interval
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment
from genjax.training.run import Run

ROWS = 24  # most classes that get a row each


def show(this: Run, name: str, picture: np.ndarray) -> None:
    """Writes a picture of the run, uint8 [H, W, C], and says where."""
    this.log.note(f"picture {this.log.picture(name, picture)}")


def check_images(source: Any) -> None:
    """Raises UserError for data that are no images."""
    if not isinstance(source.fields[source.main], Image):
        raise UserError(
            f"this experiment draws images and {source.name} has none: see experiments.toy2d, or use --finish='()'."
        )


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean of values [N] and its standard error, sqrt(sum (v - mean)² / (N - 1) / N), in float64."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:  # one value has no spread
        return float(values.mean()), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def told(distance: Interval) -> str:
    """A distance in words: its value and, where it is known, its 95 % interval."""
    value, low, high = distance
    if np.isnan(low):  # too few samples for an interval
        return f"{value:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def kept(distance: Interval) -> dict[str, float]:
    """A distance as results.json keeps it."""
    value, low, high = distance
    if np.isnan(low):
        return {"distance": value}
    return {"distance": value, "low": low, "high": high}


def some(split: dict[str, Any], n: int) -> dict[str, Any]:
    """n examples of a split, always the same draw, or all of a smaller one; a head of a sorted set would be biased."""
    total = size(split)
    rows = chosen(min(n, total), total)
    return {name: array[rows] for name, array in split.items()}


@dataclasses.dataclass(frozen=True)
class Samples:
    """A grid of samples; of a class-conditional model the classes in turn, a row each where they have names."""

    labels: tuple[int | str, ...] = field(
        (), "classes of the grid, by number or name; () = all"
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for classes that the data or the model lack."""
        # before training, not after hours of it
        strange = [
            number for number in self._classes(source) if not 0 <= number < source.classes
        ]
        if strange:
            raise UserError(
                f"--finish.Samples.labels: {source.name} has no class {strange[0]}, its {source.classes} classes are "
                f"numbered from 0 to {source.classes - 1}."
            )
        # an unconditional model cannot be asked
        if self.labels and not getattr(exp.algorithm, "condition", ()):
            raise UserError(
                "--finish.Samples.labels asks for classes of a model without: use --algorithm.condition='(Label(),)'."
            )

    def _classes(self, source: Any) -> list[int]:
        """The numbers of the classes that are drawn; UserError for a name that none has."""
        if not self.labels:
            return list(range(source.classes))
        number = getattr(source.fields.get("label"), "number", list)
        return number(self.labels)

    def __call__(self, this: Run) -> None:
        n = this.exp.samples
        if "label" not in this.algorithm.asks:
            show(this, "samples", this.picture(n))
            return
        classes = self._classes(this.source)
        names = [this.source.class_names[label] for label in classes]
        plain = all(name.isdecimal() for name in names)  # numbers, which say nothing more
        drawn = this.algorithm.picture is not None or not isinstance(this.spec.x, Image)
        if plain or drawn or len(classes) > ROWS:
            # `resize` repeats the classes until all n have one
            show(this, "samples", this.picture(n, label=np.resize(classes, n)))
            return
        columns = max(n // len(classes), 1)
        labels = np.repeat(classes, columns)
        tiles = grid(this.sample(len(labels), label=labels), columns)
        show(this, "samples", captioned(tiles, names))
