"""What a detector's scores are worth: on one scale, against the truth, each number with its interval.

Scores of any unit and direction become logits by two numbers, fitted on held-out pictures (Platt 1999, "Probabilistic
Outputs for Support Vector Machines"):

    logit(s) = a s + b,    least sum_i -t_i log p_i - (1 - t_i) log(1 - p_i),    p = 1 / (1 + exp(-logit))

with his targets t = (m + 1) / (m + 2) of m generated pictures and 1 / (n + 2) of n real ones, so that halves which are
apart without an exception have finite numbers too. The sign of a is the direction of the score: no test says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.audit import ranking
from genjax.audit.alarms import Bar, accuracy, checked
from genjax.errors import UserError
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.prediction import ece, threshold

ROUNDS = 100  # of Newton, which takes about ten
FEWEST = 10  # held-out pictures of a kind, below which two numbers are not fitted


class Scale(NamedTuple):
    """How scores become logits."""

    slope: float
    intercept: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Scores [N] -> logits [N], above 0 for what is taken for generated."""
        return self.slope * np.asarray(scores, np.float64) + self.intercept


class Halves(NamedTuple):
    """A number of each picture, real and generated ones apart."""

    real: np.ndarray  # [N]
    generated: np.ndarray  # [M]


class Cell(NamedTuple):
    """What a detector is worth on one test."""

    average_precision: Interval
    bars: Mapping[
        float, Bar
    ]  # {share of false alarms that was asked for: what its threshold does}
    ece: Interval

    def kept(self, n: int) -> dict[str, dict[str, float]]:
        """As results.json keeps it."""
        found = {"average_precision": self.average_precision, "ece": self.ece}
        for rate, bar_ in self.bars.items():
            found[f"accuracy_at_{rate:g}"] = bar_.accuracy
            found[f"false_alarms_at_{rate:g}"] = bar_.false_alarms
            found[f"hits_at_{rate:g}"] = bar_.hits
        told = {name: {**value._asdict(), "n": n} for name, value in found.items()}
        for rate, bar_ in self.bars.items():
            # what the rate was counted at
            limit = {"asked": bar_.asked, "threshold": bar_.threshold}
            told[f"false_alarms_at_{rate:g}"] |= limit
        return told


def scale_of(held: Halves) -> Scale:
    """Platt's two numbers of held-out scores; UserError for too few, and for scores that are no numbers."""
    scores = np.concatenate(held).astype(np.float64)
    n, m = len(held.real), len(held.generated)
    if min(n, m) < FEWEST:
        raise UserError(
            f"{n} real and {m} generated held-out pictures are too few to scale scores by: hold out {FEWEST} or more "
            "of each."
        )
    if not np.isfinite(scores).all():
        raise UserError("a detector's score is NaN or infinite: its training has diverged.")
    target = np.concatenate([np.full(n, 1.0 / (n + 2.0)), np.full(m, (m + 1.0) / (m + 2.0))])
    # in units of their spread: the second derivatives are then of one size
    middle = scores.mean()
    spread = max(float(scores.std()), 1e-12)
    x = np.stack([(scores - middle) / spread, np.ones_like(scores)], -1)  # [N + M, 2]
    weights = _newton(x, target)
    slope = weights[0] / spread
    return Scale(float(slope), float(weights[1] - slope * middle))


def _newton(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The weights [2] of the least cross-entropy of targets [N] by rows x [N, 2]: convex, so there is one minimum."""
    weights = np.zeros(2)
    value = _entropy(x, target, weights)
    for _ in range(ROUNDS):
        p = _sigmoid(x @ weights)
        gradient = x.T @ (p - target)
        # a trifle, where all scores are alike
        hessian = (x.T * (p * (1.0 - p))) @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # far from the minimum a whole step may lead up
        size = 1.0
        while size > 1e-6 and _entropy(x, target, weights - size * step) > value:
            size /= 2.0
        weights = weights - size * step
        new = _entropy(x, target, weights)
        if value - new < 1e-12 * len(x):
            break
        value = new
    return weights


def _entropy(x: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """sum_i log(1 + exp(f_i)) - t_i f_i."""
    f = x @ weights
    return float(np.sum(np.logaddexp(0.0, f) - target * f))


def _sigmoid(f: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * f))  # no overflow


def apart(real: int, generated: int) -> Halves:
    """The groups of pictures of which none belong together: a number for each."""
    every = np.arange(real + generated)
    return Halves(every[:real], every[real:])


def judged(
    test: Halves, held: np.ndarray, rates: tuple[float, ...], groups: Halves | None = None
) -> Cell:
    """A cell of logits of a test, by thresholds that held-out real pictures' logits [N] say.

    groups: what belongs together, numbers [N] and [M] of which some may be in both halves; None = nothing. Intervals
    take groups for independent, and pictures of one group not: those of average precision and of the calibration
    error by the jackknife, those of rates the wider one of it and the exact one (`ranking`). The halves are cut to one
    length, since average precision is of a share of generated pictures. UserError for too few held-out pictures for a
    rate.
    """
    groups = apart(*map(len, test)) if groups is None else groups
    n = min(map(len, test))
    real, generated = (half[:n] for half in test)
    of_real, of_generated = (half[:n] for half in groups)
    logits = np.concatenate([real, generated])
    truth = np.arange(2 * n) >= n
    group = np.concatenate([of_real, of_generated])
    bars = {}
    for rate in rates:
        limit = threshold(checked(held, "held-out real"), rate)
        alarms = ranking.share(real > limit, of_real)
        hits = ranking.share(generated > limit, of_generated)
        bars[rate] = Bar(rate, limit, alarms, hits, accuracy(hits, alarms))
    return Cell(
        ranking.precision(logits, truth, group), bars, _calibration(logits, truth, group)
    )


def _calibration(logits: np.ndarray, truth: np.ndarray, group: np.ndarray) -> Interval:
    """The expected calibration error of logits [N] with the jackknife's interval over groups [N], within [0, 1]."""
    p = _sigmoid(logits)
    probabilities = np.stack([1.0 - p, p], -1)

    def of(rows: np.ndarray) -> float:
        # without the interval that it has of rows that are independent
        return ece(probabilities[rows], truth[rows], times=2).value

    parts = ranking.groups_of(group)
    if len(parts) < 2:
        return Interval(of(parts[0]), 0.0, 1.0)
    value, low, high = by_group(of, parts)
    return Interval(value, max(low, 0.0), min(high, 1.0))


def ensemble(members: Mapping[str, Any]) -> np.ndarray:
    """The mean logit [N] of detectors {name: logits [N]}, each scaled on held-out pictures before."""
    return np.mean(list(members.values()), 0)
