"""What a linear map reads from codes: logistic regression on codes and labels (Alain & Bengio 2016, arXiv:1610.01644).

The strength of the penalty is chosen on examples held out from the fit, and accuracy is that on a third part, which
neither saw. Codes are scaled to unit variance first, number by number, so that a penalty means the same for all codes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.metrics.intervals import Interval, share

# the inverse of the penalty, scikit-learn's C, from strong to weak
STRENGTHS = tuple(10.0**power for power in range(-4, 2))
STEPS = 500  # of L-BFGS at each strength: what is not converged then is told by what it scores on `valid`


class Labelled(NamedTuple):
    """Codes with their classes."""

    codes: np.ndarray  # [N, D]
    labels: np.ndarray  # [N]


class Probed(NamedTuple):
    """What a linear probe reads."""

    accuracy: Interval  # of `test`, with Wilson's interval
    strength: float  # the C that was chosen
    valid: float  # accuracy of the examples that it was chosen by


class Scale(NamedTuple):
    """Codes' mean and deviation, each [D]."""

    mean: np.ndarray
    deviation: np.ndarray

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        return (codes - self.mean) / self.deviation


def scale_of(codes: np.ndarray) -> Scale:
    """The scale of codes [N, D]; a number that never changes keeps its own."""
    wide = codes.astype(np.float64)
    mean = wide.mean(0)
    deviation = wide.std(0)
    # by 0 nothing is divided: such a number says nothing either way
    varies = deviation > 1e-9
    return Scale(mean, np.where(varies, deviation, 1.0))


def probed(
    train: Labelled,
    valid: Labelled,
    test: Labelled,
    strengths: Sequence[float] = STRENGTHS,
) -> Probed:
    """The probe of `train` that reads `valid` best, on `test`; of equals the strongest penalty.

    ValueError for a `train` of one class.
    """
    from sklearn.linear_model import LogisticRegression

    scale = scale_of(train.codes)
    x = scale(train.codes)
    x_valid = scale(valid.codes)
    x_test = scale(test.codes)
    # warm: each strength starts at the weights of the one before
    model = LogisticRegression(max_iter=STEPS, warm_start=True)
    best, strength, said = -1.0, 0.0, test.labels
    for c in sorted(strengths):
        model.set_params(C=c)
        _fit(model, x, train.labels)
        accuracy = _right(model.predict(x_valid), valid.labels)
        if accuracy > best:
            best = accuracy
            strength = c
            said = model.predict(x_test)
    hits = np.sum(said == test.labels)
    return Probed(share(float(hits), len(said)), strength, best)


def _fit(model: Any, x: np.ndarray, labels: np.ndarray) -> None:
    """Without the warning of a fit that was stopped: early stopping is a penalty too, and `valid` judges it."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, labels)


def _right(said: np.ndarray, labels: np.ndarray) -> float:
    """The share of answers [N] that are right."""
    return float(np.mean(said == labels))


def majority(train: np.ndarray, test: np.ndarray) -> Interval:
    """The accuracy on labels [N] of who always says the most frequent class of training: the floor of any probe."""
    classes, counts = np.unique(train, return_counts=True)
    most = classes[counts.argmax()]
    hits = np.sum(test == most)
    return share(float(hits), len(test))
