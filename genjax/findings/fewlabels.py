"""How many labels does it take? Accuracy over the number of training examples, many draws of them.

Ng & Jordan 2002: a generative classifier and the discriminative one of the same form (naive Bayes with one variance for
all classes and logistic regression) cross. The generative one has the worse accuracy in the limit, and comes near its
own with a number of examples of the order of log D, the other of the order of D.

A draw has the same number of labels of every class, and is the same for all contestants; bands are Student's 95 %
interval of the mean over draws. Settings of each (shrinkage, penalty) are chosen on the same held-out examples, more
than a user of few labels has: the curves are of models at their best.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import Digits, Known
from genjax.errors import UserError, at_least, distinct
from genjax.findings.classified import Board, right, task_of
from genjax.findings.classifiers import HOME, Bayes, Chosen, Contestant, Logistic, check_task
from genjax.findings.encoders import Task
from genjax.findings.samples import some
from genjax.findings.tabled import finish, keep_picture, place
from genjax.metrics.intervals import Interval, of_mean
from genjax.pictures import figure

CLOSED = (Bayes, Chosen, Logistic)  # what is fitted to the draw in moments
Curve = dict[int, np.ndarray]  # {labels of a class: accuracy of each draw [draws]}


@dataclasses.dataclass(frozen=True)
class FewLabels:
    """The curves."""

    data: Known | Any = field(Digits(300), "the data set, images with labels, some held out")
    contestants: tuple[Contestant, ...] = field((), "closed forms and logistic regression")
    reference: str = field("logistic regression", "the discriminative one of the pairs")
    labels: tuple[int, ...] = field(
        (2, 4, 8, 16, 32, 64, 100), "training examples of each class, a point of the curve each"
    )
    draws: int = field(10, "of the examples, at each point")
    fit: int = field(60_000, "training examples that draws are from, at most")
    valid: int = field(1000, "held-out examples by which settings are chosen, at most")
    test: int = field(10_000, "test pictures, at most")
    seed: int = field(0, "of the draws")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Fits, reads, draws; UserError, before anything is written, for what cannot be done."""
        source = self.data.load()
        self.check(source)
        task = task_of(self, source, origin)
        scarce = int(np.bincount(task.fit["label"]).min())
        if max(self.labels) > scarce:
            raise UserError(
                f"--labels: some class has {scarce} training examples, fewer than {max(self.labels)}: ask for fewer."
            )
        test = some(source.test, self.test)
        log = place(HOME, name, self, origin)
        curves = {one.name: self.curve(one, task, test) for one in self.contestants}
        board = Board(log)
        for who, curve in curves.items():
            rows = {str(m): of_mean(values) for m, values in curve.items()}
            board.put("accuracy over labels of a class", who, rows, self.draws)
            if who == self.reference:
                continue
            ahead = self.ahead(curve, curves[self.reference])
            crossed = crossing({m: value.value for m, value in ahead.items()})
            log.note(f"{who}: {told(crossed)} {self.reference}")
            rows = {str(m): value for m, value in ahead.items()}
            place_ = {"crosses at": float(crossed)} if crossed is not None else {}
            board.put(f"ahead of {self.reference}", who, rows, self.draws, place_)
        keep_picture(log, "labels", pictured(curves))
        finish(log, board.tables)

    def check(self, source: Any) -> None:
        """Raises UserError for data, counts and contestants that no curve can be made of."""
        check_task(source, self.contestants, self.reference)
        at_least(2, draws=self.draws)
        at_least(10, fit=self.fit, valid=self.valid, test=self.test)
        at_least(0, seed=self.seed)
        if not self.labels:
            raise UserError("--labels=() leaves no point of a curve.")
        # of one example of each class there is no variance
        at_least(2, labels=min(self.labels))
        distinct("labels", self.labels)
        for one in self.contestants:
            if not isinstance(one.of, CLOSED):
                raise UserError(
                    f"{one.name}: a curve takes hundreds of fits, so of Logistic(), Bayes() and Chosen() alone."
                )

    def curve(self, one: Contestant, task: Task, test: Mapping[str, Any]) -> Curve:
        """The accuracy of a contestant at all points and draws."""
        images = np.asarray(test[task.source.main])
        label = np.asarray(test["label"])
        curve: Curve = {}
        for m in sorted(self.labels):
            found = []
            for draw in range(self.draws):
                few = drawn(task.fit, m, [self.seed, draw])
                reading = one.of.start(one.name, task._replace(fit=few))
                hits = right(reading.log_joint(images), label)
                found.append(hits.mean())
            curve[m] = np.array(found)
        return curve

    def ahead(self, curve: Curve, reference: Curve) -> dict[int, Interval]:
        """By how much one is more often right, draw by draw on the same examples."""
        return {m: of_mean(values - reference[m]) for m, values in curve.items()}


def drawn(split: Mapping[str, Any], m: int, seed: list[int]) -> dict[str, Any]:
    """m examples of every class; those of fewer are among those of more, as a user labels them."""
    label = np.asarray(split["label"])
    rng = np.random.default_rng(seed)
    picked = []
    for c in np.unique(label):
        # all of a class are put in order, whatever m
        order = rng.permutation(np.flatnonzero(label == c))
        picked.append(order[:m])
    rows = np.sort(np.concatenate(picked))
    return {name: np.asarray(array)[rows] for name, array in split.items()}


def crossing(ahead: Mapping[int, float]) -> float | None:
    """The number of labels where a lead {labels: difference} ends for good; None where it never begins, or never ends.

    Between the last point with a lead and the next one it is taken for a line in the logarithm of the number.
    """
    counts = sorted(ahead)
    leads = [m for m in counts if ahead[m] > 0]
    if not leads or leads[-1] == counts[-1]:
        return None
    last = leads[-1]
    after = counts[counts.index(last) + 1]
    share = ahead[last] / (ahead[last] - ahead[after])
    log_m = np.log(last) + share * (np.log(after) - np.log(last))
    return float(np.exp(log_m))


def told(crossed: float | None) -> str:
    """A crossing in words."""
    if crossed is None:
        return "does not cross"
    return f"is ahead up to {crossed:.0f} labels of a class, then behind"


def pictured(curves: Mapping[str, Curve]) -> np.ndarray:
    """The curves with their bands."""
    canvas, axes = figure.canvas(640, 420)
    plot = axes[0, 0]
    for name, curve in curves.items():
        labels = list(curve)
        bands = [of_mean(values) for values in curve.values()]
        (line,) = plot.plot(labels, [band.value for band in bands], marker="o", label=name)
        low = [band.low for band in bands]
        high = [band.high for band in bands]
        plot.fill_between(labels, low, high, alpha=0.2, color=line.get_color())
    plot.set_xscale("log", base=2)
    plot.set_xlabel("training examples of each class")
    plot.set_ylabel("accuracy")
    plot.grid(True, linewidth=0.3)
    plot.legend(fontsize=8)
    canvas.tight_layout()
    return figure.pixels(canvas)
