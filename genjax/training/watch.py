"""Metrics of samples in the loop: how good a model is over training, and which of its states was the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import DOWN, Algorithm, Criterion, Spec, size
from genjax.data.batches import chosen
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.metrics.evaluate import (
    FLAT,
    Extractor,
    Metric,
    Value,
    check_classes,
    floors,
    measured,
    names,
    seen,
)
from genjax.metrics.features import Components

# of samples [n, H, W, C] and their labels [n]
Measure = Callable[[np.ndarray, np.ndarray], dict[str, Value]]


@dataclasses.dataclass(frozen=True)
class Watch:
    """Which metrics of how many samples, how often."""

    # each may give several numbers: `names` says which
    metrics: tuple[Metric, ...] = field(
        (), "what is measured, at the end of training too; () = nothing"
    )
    every: int = field(0, "steps between measurements, 0 = only at the end")
    samples: int = field(
        0, "samples that are measured, 0 = as many as there are held-out examples"
    )
    extractor: Extractor = field(Components(), "features that the metrics see")
    # whichever has a direction that is better
    best: str | None = field(
        None,
        "name of a metric, or of the algorithm's criterion (loss): a checkpoint of its best state is kept in best/",
    )

    def count(self, held: int) -> int:
        """Samples that are measured, with `held` held-out examples."""
        return self.samples or held

    def names(self) -> dict[str, int]:
        """The metrics' names, each with the way that is better."""
        return names(self.metrics, self.extractor.name)

    def check(self, spec: Spec, algorithm: Algorithm, held: int, evaluates: bool) -> None:
        """Raises UserError for what cannot be measured.

        held: the number of held-out examples; evaluates: whether the held-out loss is measured.
        """
        at_least(0, watch__every=self.every, watch__samples=self.samples)
        self._check_names()
        # FLAT ones are best at their floor, which is no direction
        known = [name for name, way in self.names().items() if way != FLAT]
        criterion = algorithm.criterion
        if evaluates and criterion is not None:
            known.append(criterion.name)
        # without `every` a metric is measured once, and the best of one says nothing
        unmeasured = self.best not in known
        seldom = not self.every and self.best in self.names()
        if self.best is not None and (unmeasured or seldom):
            mend = "set --watch.every too"
            if unmeasured:
                mend = f"choose from {', '.join(known) or 'none'}"
            raise UserError(
                f"--watch.best={self.best} is no number with a best that training measures: {mend}."
            )
        # what follows is of images and samples
        if not self.metrics:
            return
        if not isinstance(spec.x, Image):
            raise UserError(
                f"--watch.metrics are of images and the examples have shape {spec.shape}: use --watch.metrics='()'."
            )
        if algorithm.sample is None:
            raise UserError(
                "--watch.metrics are of samples, and this model makes none: use '()'."
            )
        check_classes(self.metrics, self.extractor)
        # later `floors` would say the same, after the data's features were computed
        self.check_count(held)
        # by name and not by type: a metric says itself what it needs
        of = [type(m).__name__ for m in self.metrics if getattr(m, "labelled", False)]
        if of and "label" not in algorithm.asks:
            raise UserError(
                f"--watch.metrics: {of[0]} needs samples of a class that was asked for: use a class-conditional model."
            )

    def _check_names(self) -> None:
        """Raises UserError for two metrics that would write one number."""
        by = {}
        for metric in self.metrics:
            for name in metric.names(self.extractor.name):
                other = by.setdefault(name, metric)
                if other is not metric:
                    raise UserError(
                        f"--watch.metrics: {other!r} and {metric!r} both measure {name}: leave one of them out."
                    )

    def check_count(self, held: int) -> None:
        """Raises UserError for more samples than held-out examples."""
        if self.count(held) > held:
            raise UserError(
                f"--watch.samples={self.samples} is more than the {held} held-out examples, so that no floor of real "
                f"examples can be taken at the same number: use {held} or fewer."
            )

    def start(
        self, train: dict, held: dict, folder: str | Path, layout: Any, main: str = "image"
    ) -> Measure:
        """Fits the extractor, finds the floors; UserError for a metric that cannot be had at this number of samples."""
        # metrics know images and labels; what else there is, an extractor may learn to read
        train = _shown(train, main)
        held = _shown(held, main)
        extract = self.extractor.fit(train, folder, layout)
        on = self.extractor.name
        n = self.count(size(held))
        # the same rows as samples take their labels from, see `Run.given`
        rows = chosen(n, size(held))
        part = held  # as it is: a mapped file is not copied
        if n != size(held):
            part = {name: held[name][rows] for name in ("image", "label")}
        # once: features of real data serve every measurement
        whole = seen(extract, train)
        real = seen(extract, part)
        try:
            floor = floors(self.metrics, whole, real, on)
        except ValueError as error:
            raise UserError(f"--watch: {error}.") from error

        def measure(image: np.ndarray, label: np.ndarray) -> dict[str, Value]:
            # a distance of NaNs would raise in the middle of a run
            if not np.isfinite(image).all():  # the model diverged; the run goes on, and says so
                unknown = {}
                for name in self.names():
                    unknown[name] = Value(float("nan"), None, None, len(image), floor.get(name))
                return unknown
            samples = seen(extract, {"image": image, "label": label})
            return measured(self.metrics, whole, real, samples, on, floor)

        return measure

    def better(
        self, value: float, best: float | None, criterion: Criterion | None = None
    ) -> bool:
        """Whether a value of `best` beats the best so far (None = there is none); one that is not finite never does.

        criterion: the algorithm's own, which `best` may name instead of a metric.
        """
        ways = self.names()
        if criterion is not None:
            ways = {criterion.name: criterion.way, **ways}
        way = ways[self.best or ""]
        if not np.isfinite(value):
            return False
        if best is None:
            return True
        return value < best if way == DOWN else value > best


def _shown(split: dict, main: str) -> dict:
    """A split as extractors see it: the images, labels where it has any, and what else is known of them."""
    label = split.get("label")
    if label is None:  # one class: what asks for labels is refused by `check`
        label = np.zeros(size(split), np.int32)
    return {**split, "image": split[main], "label": label}


def told(values: dict[str, Value]) -> str:
    """One line: name value [low, high] (real floor)."""
    parts = []
    for name, v in values.items():
        text = f"{name} {v.value:.3f}"
        if v.low is not None:
            text += f" [{v.low:.3f}, {v.high:.3f}]"
        if v.floor is not None:
            text += f" (real {v.floor:.3f})"
        parts.append(text)
    return ", ".join(parts)
