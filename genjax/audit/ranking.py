"""Average precision and rates of texts that come in groups: those of one document are no independent draws.

Documents are few, and a percentile bootstrap of few groups is too narrow: the jackknife leaves out one at a time.
They are of very different sizes too: a few large ones decide, and Student's law has the freedom of so many alone,

    G_eff - 1,   G_eff = (sum_g n_g)² / sum_g n_g²   (Kish 1965), of two kinds the smaller one

Where all texts agree the jackknife knows no width. Then the number of documents says how sure one can be: that none of
G has a false alarm happens in a share of at most (1 - p)^G, p the rate, however many texts each has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.audit.alarms import HALF, PRIORS, Behind, behind, checked, exact, p_values
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


def freedom(groups: list[np.ndarray], positive: np.ndarray) -> float:
    """G_eff - 1, at least 1, of the groups' sizes n_g by kind [N], of two kinds that with fewer effective groups."""
    found = []
    for kind in (positive, ~positive):
        sizes = np.array([kind[rows].sum() for rows in groups], np.float64)
        if sizes.any():
            effective = sizes.sum() ** 2 / np.sum(sizes**2)  # G_eff
            found.append(effective - 1.0)
    return max(1.0, min(found))


def precision(
    scores: np.ndarray, positive: np.ndarray, group: np.ndarray, level: float = 0.95
) -> Interval:
    """Average precision of scores [N] with the jackknife's interval over groups [N], within [0, 1].

    Where the two kinds are apart without an exception that says nothing: there it is exact for as many groups as the
    kind with fewer has. UserError for texts of one kind alone.
    """
    scores = checked(scores, "average precision")
    truth = np.asarray(positive, bool)
    group = np.asarray(group)
    if truth.all() or not truth.any():
        raise UserError(f"all {len(truth)} texts are of one kind: an order needs both.")
    # held fixed: a document less is no change of what is asked
    prior = float(truth.mean())

    def of(rows: np.ndarray) -> float:
        return at_share(scores[rows], truth[rows], prior)

    # how sure one can be is a matter of the kind that is rarer
    fewer = min(len(np.unique(group[kind])) for kind in (truth, ~truth))
    # without its only document a kind would have no text
    if fewer < 2:
        return Interval(of(np.arange(len(truth))), 0.0, 1.0)
    groups = groups_of(group)
    found = _within(of, groups, level, freedom(groups, truth))
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

    groups = groups_of(group)
    return by_group(of, groups, level, freedom(groups, np.asarray(positive, bool)))


def share(alarms: np.ndarray, group: np.ndarray, level: float = 0.95) -> Interval:
    """The share p of alarms [N] with the exact interval of as many draws as it is worth over groups [N].

    That is n_eff = p (1 - p) / se² of the jackknife's se, less for Student's law, and no more than N (Korn & Graubard
    1998); of no alarm, or nothing else, the number of groups. A rate of a few hundredths of many texts in ten documents
    it holds in nine of ten draws only: where most have no alarm, little is seen of those that have.
    """
    from scipy.stats import t as student

    alarms = np.asarray(alarms, bool)
    groups = groups_of(group)
    n = len(alarms)
    p = float(np.mean(alarms))

    def of(rows: np.ndarray) -> float:
        return float(np.mean(alarms[rows]))

    if alarms.all() or not alarms.any():
        documents = len(np.unique(group))
        return exact(p * documents, documents, level)
    # of a single group nothing is known
    if len(groups) < 2:
        return Interval(p, 0.0, 1.0)
    found = by_group(of, groups, level, freedom(groups, np.ones(n, bool)))
    half = found.high - found.value  # Student's quantile times se
    # as if texts were independent
    quantile = student.ppf(HALF * (1.0 + level), n - 1)
    worth = float(n)
    if half > 0.0:
        worth = min(worth, p * (1.0 - p) * (quantile / half) ** 2)
    return exact(p * worth, worth, level)


def ratio(
    tops: np.ndarray, bottoms: np.ndarray, group: np.ndarray, level: float = 0.95
) -> Interval:
    """sum tops / sum bottoms of texts, [N] each, with the jackknife's interval over groups [N]: bits a character, say.

    The ends are NaN where there is one group: of what another document would be like nothing is known.
    """
    tops, bottoms = np.asarray(tops, np.float64), np.asarray(bottoms, np.float64)

    def of(rows: np.ndarray) -> float:
        # not the mean of ratios, in which a window of few characters would weigh as much as any
        return float(tops[rows].sum() / bottoms[rows].sum())

    groups = groups_of(group)
    everyone = np.ones(len(tops), bool)
    if len(groups) < 2:
        return Interval(of(groups[0]), float("nan"), float("nan"))
    return by_group(of, groups, level, freedom(groups, everyone))


class Flags(NamedTuple):
    """Which texts a threshold calls out."""

    flagged: np.ndarray  # bool [N]
    group: np.ndarray  # [N]


def alarmed(
    real: Flags, generated: Flags, priors: tuple[float, ...] = PRIORS, level: float = 0.95
) -> list[Behind]:
    """`alarms.alarmed` of texts in groups: what alarms are of, for each prior, held in `level` or more."""
    # two intervals: the chances of missing add up to no more than 1 - level
    each = HALF * (1.0 + level)
    hits = share(*generated, each)
    false = share(*real, each)
    return [behind(hits, false, prior) for prior in priors]


def rarity(score: float, real: np.ndarray, group: np.ndarray, level: float = 0.95) -> Interval:
    """The p-value of one score, with the interval of the share of real ones [N] in groups [N] that are as high."""
    held = checked(real, "rarity")
    [value] = p_values(np.array([score]), held)
    found = share(held >= score, group, level)
    # the one more is the file itself: never a rate of 0 out of N
    return Interval(float(value), found.low, found.high)


def _within(
    of: Callable[[np.ndarray], float], groups: list[np.ndarray], level: float, degrees: float
) -> Interval:
    """The jackknife's interval cut at 0 and 1; of a single group nothing is known."""
    if len(groups) < 2:
        return Interval(of(groups[0]), 0.0, 1.0)
    found = by_group(of, groups, level, degrees)
    # Student's interval knows of no ends
    low = max(found.low, 0.0)
    high = min(found.high, 1.0)
    return Interval(found.value, low, high)
