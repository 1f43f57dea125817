"""How many labels does it take? Accuracy over the number of training examples, many draws of them.

Ng & Jordan 2002: a generative classifier and the discriminative one of the same form (naive Bayes with one variance for
all classes and logistic regression) cross. The generative one has the worse accuracy in the limit, and comes near its
own with a number of examples of the order of log D, the other of the order of D.

A draw has the same number of labels of every class, and is the same for all contestants. Bands are 95 % intervals of
the mean over other draws of labels from this training set and other test pictures, both at once, point by point; those
of a lead are of the same draws and the same pictures. Draws that take most of the training set are much alike, and what
another training set would give is in no band. A lead is told where its band leaves 0 out, and nowhere else.

Settings of each (shrinkage, penalty) are chosen on the same held-out examples, more than a user of few labels has: the
curves are of models at their best.
"""

from __future__ import annotations

import dataclasses
import itertools
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
from genjax.metrics.intervals import Interval, of_both
from genjax.pictures import figure

CLOSED = (Bayes, Chosen, LogisticRegression)  # what is fitted to the draw in moments
# {labels of a class: whether each draw is right on each test picture, [draws, N] of 0 and 1; of a lead the difference}
Curve = dict[int, np.ndarray]


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
        """By how much one is ahead of the reference, on the same draws and pictures, and where that changes."""
        ahead = {}
        for m, values in curve.items():
            # what is an easy draw for one is so for the other
            ahead[m] = values - reference[m]
        bands = means(ahead)
        board.log.note(f"{who} against {self.reference}: {told(bands)}")
        crossed = crossing({m: band.value for m, band in bands.items()})
        # where the means do not cross, the cell is empty
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
        """Which test pictures a contestant is right on, at all points and draws."""
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
                # picture by picture, so that differences are paired
                found.append(hits)
            curve[m] = np.stack(found)
        return curve


def means(curve: Curve) -> dict[int, Interval]:
    """The mean over draws and pictures at each point, with an interval for others of both."""
    return {m: of_both(values) for m, values in curve.items()}


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
    """The number of labels where a lead {labels: difference} becomes what it stays; None where it never changes sign.

    Between two points it is taken for a line in the logarithm of the number. It is of means: `told` says what is sure.
    """
    counts = sorted(ahead)
    signs = [np.sign(ahead[m]) for m in counts]
    # a mean of exactly 0 is on neither side
    final = [sign for sign in signs if sign][-1:]
    others = [i for i, sign in enumerate(signs) if sign and sign != final[0]]
    if not others:
        return None
    last, after = counts[others[-1]], counts[others[-1] + 1]
    # the share of the way at which the line is at 0
    share = ahead[last] / (ahead[last] - ahead[after])
    first, second = np.log(last), np.log(after)
    log_m = first + share * (second - first)
    return float(np.exp(log_m))


def told(bands: Mapping[int, Interval]) -> str:
    """Where a lead {labels: its band} is one, and where it is a lag, in words; a band with 0 in it says neither."""
    counts = sorted(bands)
    words = []
    for sure, group in itertools.groupby(counts, lambda m: side(bands[m])):
        run = list(group)
        # what is unsure parts two runs of one side
        if sure:
            words.append(f"{sure} {span(run, counts)}")
    if not words:
        return "never told apart"
    text = ", ".join(words)
    # a run of all points needs no number
    return text if text.endswith("throughout") else f"{text} labels of a class"


def side(band: Interval) -> str:
    """On which side of 0 a band is; "" where 0 is in it."""
    if band.low > 0:
        return "ahead"
    return "behind" if band.high < 0 else ""


def span(run: list[int], counts: list[int]) -> str:
    """Neighbouring points out of all, in words."""
    if run == counts:
        return "throughout"
    if run[0] == counts[0]:
        return f"up to {run[-1]}"
    if run[-1] == counts[-1]:
        return f"from {run[0]}"
    return f"at {run[0]}" if len(run) == 1 else f"from {run[0]} to {run[-1]}"


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
