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
from genjax.training.experiment import Experiment
from genjax.training.run import Run


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
    """A grid of samples; of a class-conditional model the classes in turn."""

    labels: tuple[int, ...] = field((), "classes of the grid, in turn; () = all")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for classes that the data or the model lack."""
        # before training, not after hours of it
        strange = [label for label in self.labels if not 0 <= label < source.classes]
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

    def __call__(self, this: Run) -> None:
        n = this.exp.samples
        if "label" in this.algorithm.asks:
            # `resize` repeats the classes until all n have one
            classes = np.asarray(self.labels or range(this.spec.classes), np.int32)
            show(this, "samples", this.picture(n, label=np.resize(classes, n)))
        else:
            show(this, "samples", this.picture(n))
