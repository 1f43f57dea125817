"""What a detector's score is worth: false alarms, hits, and what is behind an alarm. A higher score is more generated.

All is counted on held-out scores, whatever law they have, so that it holds of any detector:

    threshold   the k-th smallest of n real scores, k = ceil((n + 1)(1 - alpha)): a fresh real one is above it in a
                share of at most alpha (Vovk et al. 2005, conformal prediction)
    p-value     of one score (r + 1) / (n + 1), r the real scores that are as high or higher: at most alpha in a
                share of at most alpha of fresh real ones
    alarms      P(generated | alarm) = pi TPR / (pi TPR + (1 - pi) FPR), pi the share that is generated (Bayes)

Both guarantees are means over the draw of the n as well. What one threshold's own rate is, `realised` says: of n
scores without ties it has a Beta law, and is above alpha in about half of all draws. Fresh real examples must come
from where the held-out ones did: of other pictures or other texts nothing is promised.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genjax.errors import UserError, above, below
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import threshold

PRIORS = (0.01, 0.5)  # shares of generated files for which alarms are told
HALF = 0.5


class Bar(NamedTuple):
    """What a threshold does on scores that had no part in it."""

    asked: float  # share of false alarms that it was set for
    threshold: float  # scores above it are alarms
    false_alarms: Interval  # share of real examples above it
    hits: Interval  # share of generated ones above it
    accuracy: Interval  # of as many real as generated ones


class Behind(NamedTuple):
    """What alarms are of, where a share `prior` of all files is generated."""

    prior: float
    generated: Interval  # share of alarms, NaN within [0, 1] where there are none
    real: Interval


def exact(hits: float, n: float, level: float = 0.95) -> Interval:
    """Clopper and Pearson's interval (1934) of a share of n independent draws: it holds the truth in `level` or more.

    Neither need be whole: draws may be worth fewer independent ones. ValueError for no draws, and for more hits.
    """
    from scipy.stats import beta

    if not 0 <= hits <= n or not n > 0:
        raise ValueError(f"{hits} hits of {n} draws")
    outside = (1.0 - level) / 2.0
    low, high = 0.0, 1.0
    # binomial tails are the incomplete beta function; of no hits, or of nothing else, an end is certain
    if hits:
        low = beta.ppf(outside, hits, n - hits + 1)
    if hits < n:
        high = beta.ppf(1.0 - outside, hits + 1, n - hits)
    return Interval(hits / n, float(low), float(high))


def checked(scores: np.ndarray, what: str) -> np.ndarray:
    """A list of scores as float64 [N]; UserError for none, for what is no list, and for what is no number."""
    found = np.asarray(scores, np.float64)
    if found.ndim != 1 or not len(found):
        raise UserError(f"{what}: scores {found.shape} must be a list of one or more.")
    finite = np.isfinite(found)
    if not finite.all():
        # the first of them: lists are long
        place = np.argmin(finite)
        raise UserError(
            f"{what}: score {place} is {found[place]}, which has no place in an order."
        )
    return found


def p_values(scores: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(r + 1) / (n + 1) of each score [M], r how many of n held-out real ones [n] are as high or higher.

    The rate of false alarms of a detector that calls out at this score, were the file real: conservative with ties.
    """
    own = checked(scores, "p-values")
    held = checked(real, "p-values")
    higher = _as_high(own, held)
    # the score itself is one of n + 1, any of which could have been the fresh one
    return (higher + 1.0) / (len(held) + 1.0)


def rarity(score: float, real: np.ndarray, level: float = 0.95) -> Interval:
    """The p-value of one score, with Clopper and Pearson's interval of the share of real ones that are as high."""
    own = checked(np.array([score]), "rarity")
    [value] = p_values(own, real)
    held = checked(real, "rarity")
    [higher] = _as_high(own, held)
    found = exact(int(higher), len(held), level)
    # the one more is the file itself, as if it were real: never a rate of 0 out of n
    return Interval(float(value), found.low, found.high)


def _as_high(scores: np.ndarray, real: np.ndarray) -> np.ndarray:
    """How many of `real` are as high as each score or higher."""
    ordered = np.sort(real)
    below_it = np.searchsorted(ordered, scores, "left")
    return len(real) - below_it


def realised(n: int, false_alarms: float, level: float = 0.95) -> Interval:
    """The rate of false alarms that a threshold set on n real scores really has: its mean, and ends over draws.

    The share of a continuous law above the k-th smallest of n is Beta(n + 1 - k, k). UserError for n too small.
    """
    from scipy.stats import beta

    # of 1 to n the threshold is its own rank
    k = int(threshold(np.arange(1.0, n + 1.0), false_alarms))
    over = n + 1 - k
    outside = (1.0 - level) / 2.0
    low, high = beta.ppf([outside, 1.0 - outside], over, k)
    return Interval(over / (n + 1), float(low), float(high))


def bar(
    held: np.ndarray,
    real: np.ndarray,
    generated: np.ndarray,
    false_alarms: float,
    level: float = 0.95,
) -> Bar:
    """A threshold set on `held`, real scores, and what it does to other real ones and to generated ones.

    UserError for held-out scores that are too few for this rate.
    """
    limit = threshold(checked(held, "held-out real"), false_alarms)
    alarms = share_above(real, limit, level)
    hits = share_above(generated, limit, level)
    return Bar(false_alarms, limit, alarms, hits, accuracy(hits, alarms))


def share_above(scores: np.ndarray, limit: float, level: float = 0.95) -> Interval:
    """The share of scores [N] above a threshold, with its exact interval."""
    above_it = checked(scores, "scores") > limit
    return exact(int(above_it.sum()), len(above_it), level)


def accuracy(hits: Interval, false_alarms: Interval) -> Interval:
    """(TPR + 1 - FPR) / 2: the share that is right of as many real as generated examples.

    Its ends by the squares of each share's own (Zou & Donner 2008, eq. 4), of independent shares.
    """
    value = HALF * (hits.value + 1.0 - false_alarms.value)
    # a low accuracy has few hits and many false alarms
    fewer_hits = hits.value - hits.low
    more_alarms = false_alarms.high - false_alarms.value
    down = np.hypot(fewer_hits, more_alarms)
    # and a high one the other way round
    more_hits = hits.high - hits.value
    fewer_alarms = false_alarms.value - false_alarms.low
    up = np.hypot(more_hits, fewer_alarms)
    low = value - HALF * down
    high = value + HALF * up
    return Interval(value, float(low), float(high))


def behind(hits: Interval, false_alarms: Interval, prior: float) -> Behind:
    """What alarms are of, by Bayes, where a share `prior` of the files is generated; UserError for one not in (0, 1).

    Each end takes the worse end of both rates, so that it holds the truth whenever both intervals do: of two at 97.5 %,
    as `alarmed` counts them, in 95 % or more.
    """
    above(0, "", prior=prior)
    below(1, "", prior=prior)
    value = _bayes(hits.value, false_alarms.value, prior)
    low = _bayes(hits.low, false_alarms.high, prior)
    high = _bayes(hits.high, false_alarms.low, prior)
    if np.isnan(value):  # no alarm at all: of none nothing is known
        low, high = 0.0, 1.0
    generated = Interval(value, low, high)
    # what is not generated is real: the ends change places
    real = Interval(1.0 - value, 1.0 - high, 1.0 - low)
    return Behind(prior, generated, real)


def alarmed(
    real: np.ndarray,
    generated: np.ndarray,
    limit: float,
    priors: tuple[float, ...] = PRIORS,
    level: float = 0.95,
) -> list[Behind]:
    """`behind` of a threshold for each prior, from fresh real and generated scores, held in `level` or more."""
    # two intervals: the chances of missing add up to no more than 1 - level
    each = HALF * (1.0 + level)
    hits = share_above(generated, limit, each)
    alarms = share_above(real, limit, each)
    return [behind(hits, alarms, prior) for prior in priors]


def _bayes(hits: float, false_alarms: float, prior: float) -> float:
    """P(generated | alarm); NaN where nothing is an alarm."""
    of_generated = prior * hits
    of_real = (1.0 - prior) * false_alarms
    total = of_generated + of_real
    if not total > 0.0:
        return float("nan")
    return float(of_generated / total)
