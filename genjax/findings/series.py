"""What a run finds anomalous in a series, point by point, beside methods without a trained model; nothing is adjusted.

The test stretch and the held-out one are put together again from their windows, so that every method sees the same
series. The first window of each stretch is left out of all numbers, since some methods have no past there.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.config import Own, field
from genjax.core import Batch, State
from genjax.errors import UserError, at_least
from genjax.fields import Series
from genjax.findings.samples import show, told
from genjax.metrics import discords
from genjax.metrics.events import FEWEST, events, over_blocks
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import average_precision, threshold
from genjax.pictures import figure
from genjax.training.experiment import Experiment
from genjax.training.run import Run

OWN = "model"  # the run's own scores, beside those of the floors


class Stretch(NamedTuple):
    """A part of a series."""

    windows: np.ndarray  # [N, window, C]
    x: np.ndarray  # [T, C]
    anomaly: np.ndarray  # bool [T]


@dataclasses.dataclass(frozen=True)
class Discord:
    """The distance of windows to the nearest training window, each scaled to mean 0 and deviation 1."""

    window: int | None = field(None, "points; None = as many as the model's windows have")

    def __call__(
        self,
        train: Stretch,
        seen: Stretch,
    ) -> np.ndarray:
        window = self.window or train.windows.shape[1]
        # normal windows alone: an anomaly that comes twice is not its own neighbour
        distance = discords.join(seen.x, train.x, window)
        return discords.spread(distance, len(seen.x))


@dataclasses.dataclass(frozen=True)
class Profile:
    """The matrix profile: the distance to the nearest other window of the stretch itself, without any training.

    A longer stretch has nearer windows, so a threshold of one stretch says nothing of another: none is told.
    """

    thresholded: ClassVar[bool] = False
    window: int | None = field(None, "points; None = as many as the model's windows have")

    def __call__(
        self,
        train: Stretch,
        seen: Stretch,
    ) -> np.ndarray:
        window = self.window or train.windows.shape[1]
        # what repeats is normal, whatever training held
        distance = discords.profile(seen.x, window)
        return discords.spread(distance, len(seen.x))


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The error of an autoregression."""

    order: int = field(16, "points before that it sees, of all channels")
    ridge: float = field(1e-3, "weight against large coefficients, of a mean square")

    def __call__(
        self,
        train: Stretch,
        seen: Stretch,
    ) -> np.ndarray:
        return discords.autoregression(seen.x, train.x, self.order, self.ridge)


@dataclasses.dataclass(frozen=True)
class Moving:
    """The distance from the mean of the points before, in their deviations."""

    window: int | None = field(None, "points; None = as many as the model's windows have")

    def __call__(
        self,
        train: Stretch,
        seen: Stretch,
    ) -> np.ndarray:
        window = self.window or train.windows.shape[1]
        return discords.moving(seen.x, window)


Floor = Discord | Profile | Forecast | Moving | Own


@dataclasses.dataclass(frozen=True)
class Anomalies:
    """AUROC and average precision of points, a threshold's false alarms, and which events it finds."""

    floors: tuple[Floor, ...] = field(
        (Discord(), Profile(), Forecast(), Moving()), "methods to compare with"
    )
    false_alarms: float = field(0.01, "rate of normal points above the threshold, as asked")
    block: int = field(200, "points of a block that a bootstrap draws whole")

    def check(
        self,
        exp: Experiment,
        source: Any,
    ) -> None:
        """Raises UserError for what is no labelled series, for models without codes, and for too short stretches."""
        at_least(1, finish__Anomalies__block=self.block)
        labelled = "anomaly" in source.fields
        if not labelled or not isinstance(source.fields[source.main], Series):
            raise UserError(
                f"{source.name} is no series with a field `anomaly`: use --data='Bleeding()' or 'Gait()'."
            )
        # a decoder that is told a label is none of a window alone
        told = getattr(exp.algorithm, "condition", ())
        if not hasattr(exp.algorithm, "dec") or told:
            raise UserError(
                "--finish.Anomalies asks what is lost on the way through codes: use an Autoencoder or a VAE."
            )
        # told before the training, not after it
        window = self.past(source.shape[0])
        for split in ("valid", "test"):
            stretch = stretched(source, split)
            if len(stretch.x) <= 2 * window:
                raise UserError(
                    f"{source.name} has {len(stretch.x)} points in its {split} split, and the first {window} of them "
                    f"are not counted: use a --data.window of less than {len(stretch.x) // 2}."
                )
        test = stretched(source, "test").anomaly[window:]
        if not test.any():
            raise UserError(
                f"{source.name} has no anomaly in its test split after the first window: there is nothing to find."
            )
        # as many scores as the threshold will be of
        held = len(stretched(source, "valid").x) - window
        threshold(np.zeros(held), self.false_alarms)  # for its error

    def past(self, window: int) -> int:
        """The points at the beginning that some method is silent about, for models of windows of so many points."""
        longest = [window]
        for floor in self.floors:
            # None = as many as the model's
            for name in ("order", "window"):
                longest.append(getattr(floor, name, None) or 0)
        return max(longest)

    def __call__(self, this: Run) -> dict[str, float]:
        parts = {name: stretched(this.source, name) for name in ("train", "valid", "test")}
        scores = {OWN: [self._own(this, parts[name]) for name in ("valid", "test")]}
        for floor in self.floors:
            name = type(floor).__name__.lower()
            scores[name] = [floor(parts["train"], parts[each]) for each in ("valid", "test")]
        unheld = [type(f).__name__.lower() for f in self.floors if not _thresholded(f)]
        # where some method has no past all are silent
        window = self.past(this.spec.shape[0])
        test = parts["test"]
        anomaly = test.anomaly[window:]
        found = events(anomaly)
        this.log.note(
            f"{anomaly.sum()} of {len(anomaly)} test points are anomalous, in {len(found)} events"
        )
        areas = {}
        for name, (held, seen) in scores.items():
            row = self._row(held[window:], seen[window:], anomaly, name not in unheld)
            self._keep(this, name, row)
            areas[f"auroc {name}"] = row["auroc"].value
        _draw(this, test, scores, window)
        return areas

    def _own(
        self,
        this: Run,
        stretch: Stretch,
    ) -> np.ndarray:
        """The squared error of the model's reconstruction, for each point the mean over windows and channels, [T]."""
        encode, decode = this.algorithm.encode, this.algorithm.decode
        spec = this.spec

        def measured(
            key: Array,
            state: State,
            batch: Batch,
        ) -> dict[str, Array]:
            made = decode(key, state, encode(key, state, batch))
            squares = jnp.square(made - spec.unit(batch))
            return {"error": jnp.mean(squares, -1)}

        # each point is rebuilt in as many windows as hold it
        error = this.evaluate({spec.main: stretch.windows}, measured)["error"]
        return discords.spread(error, len(stretch.x))

    def _row(
        self,
        held: np.ndarray,
        seen: np.ndarray,
        anomaly: np.ndarray,
        thresholded: bool,
    ) -> dict[str, Any]:
        """The numbers of one method, of scores of normal points and of the test."""
        # read from normal points of another stretch, never from the test
        above = threshold(held, self.false_alarms)

        def alarms(scores: np.ndarray, anomaly: np.ndarray) -> float:
            return float(np.mean(scores[~anomaly] > above))

        def hits(scores: np.ndarray, anomaly: np.ndarray) -> float:
            return float(np.mean(scores[anomaly] > above))

        measures = {"auroc": _auroc, "average_precision": _precision}
        if thresholded:
            measures |= {"false_alarms": alarms, "hits": hits}
        # events and blocks are drawn, whatever is measured of them
        row: dict[str, Any] = {}
        for name, measure in measures.items():
            row[name] = over_blocks(measure, seen, anomaly, self.block)
        touched = [bool((seen[event] > above).any()) for event in events(anomaly)]
        row["events"] = len(touched)
        if thresholded:
            row["events_touched"] = sum(touched)
            if len(touched) < FEWEST:
                # few events are held fixed, and hits depend on them alone: a width of 0 would be certainty
                row["hits"] = Interval(row["hits"].value, np.nan, np.nan)
        # how the archive itself counts: is the strangest point of all in an event?
        row["peak_in_event"] = bool(anomaly[seen.argmax()])
        return row

    def _keep(
        self,
        this: Run,
        name: str,
        row: dict[str, Any],
    ) -> None:
        # intervals are told with their ends, counts as they are
        entry, said = {}, []
        for key, value in row.items():
            if isinstance(value, Interval):
                said.append(f"{key} {told(value)}")
                entry[key] = {k: x for k, x in value._asdict().items() if math.isfinite(x)}
            else:
                entry[key] = value
        this.log.note(f"{name}: {', '.join(said)}")
        peak = "in" if row["peak_in_event"] else "outside of"
        if "events_touched" in row:
            this.log.note(
                f"  a threshold for {self.false_alarms:.1%} touches {row['events_touched']} of {row['events']} events"
            )
        this.log.note(f"  the strangest point lies {peak} an event")
        this.log.result(f"series {name}", entry)


def _thresholded(floor: Any) -> bool:
    """Whether a threshold of one stretch is one of another."""
    return getattr(floor, "thresholded", True)


def _auroc(scores: np.ndarray, anomaly: np.ndarray) -> float:
    normal = np.sort(scores[~anomaly])
    strange = scores[anomaly]
    # a tie is half a win; DeLong's interval, which is of points, would be computed for nothing
    below = np.searchsorted(normal, strange, "left")
    not_above = np.searchsorted(normal, strange, "right")
    wins = 0.5 * (below + not_above)
    return float(np.mean(wins) / len(normal))


def _precision(scores: np.ndarray, anomaly: np.ndarray) -> float:
    # its own interval is of points, which are not independent here
    return average_precision(scores, anomaly, times=1).value


def stretched(source: Any, split: str) -> Stretch:
    """A split's series out of its windows; UserError where these do not follow each other point by point."""
    arrays = source.splits()[split]
    # the splits of a streamed set are columns, read here once
    windows = np.asarray(arrays[source.main])
    marks = np.asarray(arrays["anomaly"]) > 0
    if not len(windows):
        raise UserError(
            f"{source.name} has no {split} split: thresholds and numbers need both."
        )
    if not np.array_equal(windows[1:, :-1], windows[:-1, 1:]):
        raise UserError(
            f"{source.name}, split {split}: window i must begin at point i, so that a series is what it was."
        )
    # the first point of each window, and all of the last
    x = np.concatenate([windows[:, 0], windows[-1, 1:]])
    anomaly = np.concatenate([marks[:, 0], marks[-1, 1:]])
    return Stretch(windows, x, anomaly)


def _draw(
    this: Run,
    test: Stretch,
    scores: dict[str, Any],
    window: int,
) -> None:
    """The series with its events, and each method's scores below it."""
    rows = 1 + len(scores)
    canvas, axes = figure.canvas(1000, 110 * rows, rows)
    # the series first, then whoever looked at it
    lines = {"series": test.x}
    for name, (_, seen) in scores.items():
        lines[name] = seen
    for plot, (name, values) in zip(axes[:, 0], lines.items(), strict=True):
        plot.plot(np.arange(len(values)), values, linewidth=0.5)
        for event in events(test.anomaly):
            # wide enough to be seen
            plot.axvspan(
                event.start - 8,
                event.stop + 8,
                color="tab:red",
                alpha=0.25,
                linewidth=0,
            )
        plot.set_ylabel(name, fontsize=8)
        # what is not counted is not shown
        plot.set_xlim(window, len(values))
        plot.set_yticks([])
    canvas.tight_layout(pad=0.5)
    show(this, "series", figure.pixels(canvas))
