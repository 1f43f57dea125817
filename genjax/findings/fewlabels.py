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
from genjax.findings.classifiers import (
    HOME,
    Bayes,
    Chosen,
    Contestant,
    LogisticRegression,
    check_task,
)
from genjax.findings.encoders import Task
from genjax.findings.samples import some
from genjax.findings.tabled import finish, keep_picture, place
from genjax.metrics.intervals import Interval, of_mean
from genjax.pictures import figure

CLOSED = (Bayes, Chosen, LogisticRegression)  # what is fitted to the draw in moments
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
        count = np.bincount(task.fit["label"])
        scarce = int(count.min())
        if max(self.labels) > scarce:
            raise UserError(
                f"--labels: some class has {scarce} training examples, fewer than {max(self.labels)}: ask for fewer."
            )
        test = some(source.test, self.test)
        log = place(HOME, name, self, origin)
        curves = {}
        for one in self.contestants:
            curves[one.name] = self.curve(one, task, test)
        board = Board(log)
        for who, curve in curves.items():
            bands = named(means(curve))
            board.put("accuracy over labels of a class", who, bands, self.draws)
            if who != self.reference:
                self.tell_lead(board, who, curve, curves[self.reference])
        keep_picture(log, "labels", pictured(curves))
        finish(log, board.tables)

    def tell_lead(self, board: Board, who: str, curve: Curve, reference: Curve) -> None:
        """By how much one is ahead of the reference, draw by draw on the same examples, and where that ends."""
        ahead = {}
        for m, values in curve.items():
            # what is an easy draw for one is so for the other
            ahead[m] = values - reference[m]
        bands = means(ahead)
        crossed = crossing({m: band.value for m, band in bands.items()})
        board.log.note(f"{who} against {self.reference}: {told(crossed)}")
        # where they do not cross, the cell is empty
        where = {} if crossed is None else {"crosses at": crossed}
        title = f"ahead of {self.reference}"
        board.put(title, who, named(bands), self.draws, where)

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
                    f"{one.name}: a curve takes hundreds of fits, so of closed forms and LogisticRegression() alone."
                )

    def curve(self, one: Contestant, task: Task, test: Mapping[str, Any]) -> Curve:
        """The accuracy of a contestant at all points and draws."""
        images = np.asarray(test[task.source.main])
        label = np.asarray(test["label"])
        curve: Curve = {}
        for m in sorted(self.labels):
            found = []
            for draw in range(self.draws):
                # the same examples for all contestants
                few = drawn(task.fit, m, [self.seed, draw])
                own = task._replace(fit=few)
                reading = one.of.start(one.name, own)
                joint = reading.log_joint(images)
                hits = right(joint, label)
                found.append(hits.mean())
            curve[m] = np.array(found)
        return curve


def means(curve: Curve) -> dict[int, Interval]:
    """The mean over draws at each point, with Student's interval."""
    return {m: of_mean(values) for m, values in curve.items()}


def named(bands: Mapping[int, Interval]) -> dict[str, Interval]:
    """By the column's name."""
    return {str(m): band for m, band in bands.items()}


def drawn(split: Mapping[str, Any], m: int, seed: list[int]) -> dict[str, Any]:
    """m examples of every class; those of fewer are among those of more, as a user labels them."""
    label = np.asarray(split["label"])
    rng = np.random.default_rng(seed)
    picked = []
    for c in np.unique(label):
        own = np.flatnonzero(label == c)
        # all of a class are put in order, whatever m
        order = rng.permutation(own)
        picked.append(order[:m])
    together = np.concatenate(picked)
    rows = np.sort(together)
    few = {}
    for name, array in split.items():
        few[name] = np.asarray(array)[rows]
    return few


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
    # the share of the way at which the line is at 0
    fall = ahead[last] - ahead[after]
    share = ahead[last] / fall
    first, second = np.log(last), np.log(after)
    log_m = first + share * (second - first)
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
        bands = means(curve).values()
        middle, low, high = np.transpose(list(bands))
        (line,) = plot.plot(labels, middle, marker="o", label=name)
        colour = line.get_color()
        plot.fill_between(labels, low, high, alpha=0.2, color=colour)
    # labels are doubled from point to point
    plot.set_xscale("log", base=2)
    plot.set_xlabel("training examples of each class")
    plot.set_ylabel("accuracy")
    plot.grid(True, linewidth=0.3)
    plot.legend(fontsize=8)
    canvas.tight_layout()
    return figure.pixels(canvas)
