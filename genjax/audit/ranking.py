"""Average precision and rates of texts that come in groups: those of one document are no independent draws.

Documents are few, and a percentile bootstrap of few groups is too narrow: the jackknife leaves out one at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genjax.audit.alarms import checked, exact
from genjax.errors import UserError
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.prediction import auroc_difference

MOST = 50  # groups: each is an average precision of all the others


def groups_of(group: np.ndarray, most: int = MOST) -> list[np.ndarray]:
    """The rows of each group; of more than `most` groups some are put together, in turn."""
    _, place = np.unique(group, return_inverse=True)
    # in turn: documents of both kinds are spread evenly, whichever have the lower numbers
    place = place % most
    order = np.argsort(place, kind="stable")
    sizes = np.bincount(place)
    # where each group but the last ends
    ends = np.cumsum(sizes)[:-1]
    return np.split(order, ends)


def precision(
    scores: np.ndarray, positive: np.ndarray, group: np.ndarray, level: float = 0.95
) -> Interval:
    """Average precision of scores [N] with the jackknife's interval over groups [N], within [0, 1].

    Where the two kinds are apart without an exception that says nothing: there it is exact for as many texts as the
    smaller kind has. UserError for texts of one kind alone.
    """
    scores = checked(scores, "average precision")
    truth = np.asarray(positive, bool)
    group = np.asarray(group)
    generated = int(truth.sum())
    real = len(truth) - generated
    # how sure one can be is a matter of the kind that is rarer
    fewer = min(generated, real)
    if not fewer:
        raise UserError(f"all {len(truth)} texts are of one kind: an order needs both.")
    # held fixed: a document less is no change of what is asked
    prior = float(truth.mean())

    def of(rows: np.ndarray) -> float:
        return at_share(scores[rows], truth[rows], prior)

    # without its only document a kind would have no text
    kinds = [np.unique(group[kind]) for kind in (truth, ~truth)]
    if min(map(len, kinds)) < 2:
        return Interval(of(np.arange(len(truth))), 0.0, 1.0)
    found = _within(of, groups_of(group), level)
    if found.value == 1.0:
        return exact(fewer, fewer, level)
    return found


def at_share(scores: np.ndarray, truth: np.ndarray, prior: float) -> float:
    """Average precision where a share `prior` is generated, whatever the share among scores [N]; ties are one step.

    At the share among them it is that of `metrics.prediction`.
    """
    # from the highest score down
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(truth[order])
    false = np.cumsum(~truth[order])
    # the last of each run of equal scores
    changes = ordered[1:] != ordered[:-1]
    last = np.append(changes, True)
    recall = hits[last] / hits[-1]
    alarms = false[last] / false[-1]
    # Bayes, as if a share `prior` of all were generated
    of_generated = prior * recall
    of_real = (1.0 - prior) * alarms
    precision = of_generated / (of_generated + of_real)
    steps = np.diff(recall, prepend=0.0)
    return float(np.sum(steps * precision))


def difference(
    scores: np.ndarray,
    others: np.ndarray,
    positive: np.ndarray,
    group: np.ndarray,
    level: float = 0.95,
) -> Interval:
    """AUROC of `scores` less that of `others` [N], on the same texts, with the jackknife's interval over groups [N]."""

    def of(rows: np.ndarray) -> float:
        return auroc_difference(scores[rows], others[rows], positive[rows]).value

    return by_group(of, groups_of(group), level)


def share(alarms: np.ndarray, group: np.ndarray, level: float = 0.95) -> Interval:
    """The share of alarms [N]: of exact interval and jackknife over groups [N] the wider end on each side.

    The exact one takes texts for independent; the jackknife knows no width where no text, or each one, is an alarm.
    """
    alarms = np.asarray(alarms, bool)
    alone = exact(int(alarms.sum()), len(alarms), level)

    def of(rows: np.ndarray) -> float:
        return float(np.mean(alarms[rows]))

    together = _within(of, groups_of(group), level)
    # neither is trusted where it is the narrower one
    low = min(alone.low, together.low)
    high = max(alone.high, together.high)
    return Interval(alone.value, low, high)


def _within(
    of: Callable[[np.ndarray], float], groups: list[np.ndarray], level: float
) -> Interval:
    """The jackknife's interval cut at 0 and 1; of a single group nothing is known."""
    if len(groups) < 2:
        return Interval(of(groups[0]), 0.0, 1.0)
    found = by_group(of, groups, level)
    # Student's interval knows of no ends
    low = max(found.low, 0.0)
    high = min(found.high, 1.0)
    return Interval(found.value, low, high)
