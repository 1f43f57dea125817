"""The best test of two known laws: the likelihood ratio, and how well it does (Neyman & Pearson 1933).

    score(x) = log q(x) - log p(x),   p the law of real texts, q that of generated ones

No test has more hits at any rate of false alarms, so none has a larger area under the ROC curve, and none a higher
average precision: at each recall its precision is the highest. What a detector has beyond that it has by chance.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from genjax.data.chains import Law, draw, log_likelihood

MOST = 2**16  # texts that are summed over; more are drawn
HALF = 0.5


class Ranked(NamedTuple):
    """How well a score orders two laws."""

    auroc: float
    precision: float  # average, where both laws have equal shares


def ratio(real: Law, generated: Law, x: np.ndarray) -> np.ndarray:
    """log q(x) - log p(x) of texts int [N, T], nats [N]."""
    return log_likelihood(generated, x) - log_likelihood(real, x)


def ranked(p: np.ndarray, q: np.ndarray, scores: np.ndarray) -> Ranked:
    """Exact for laws p, q over K texts and a score of each, [K]; with weights of draws it is their estimate.

    Texts of one score are called out in any order, as by the toss of a coin: half a win of the area, and a precision
    that goes from that before them to that behind them. Steps, as `metrics.prediction` takes them of lists, would
    make a score that breaks ties at random look better than the ratio.
    """
    # to nine digits: sums of logarithms in another order are the same score
    _, place = np.unique(np.round(scores, 9), return_inverse=True)
    # from the highest score down
    of_q = np.bincount(place, q)[::-1]
    of_p = np.bincount(place, p)[::-1]
    hits = np.cumsum(of_q)
    alarms = np.cumsum(of_p)
    # a text of p loses to all of q above it, and to half of those beside it
    won = hits - HALF * of_q
    area = np.sum(of_p * won)
    # before each score; its own texts come one after the other in no order
    hits = hits - of_q
    alarms = alarms - of_p
    each = _integral(hits, alarms, of_q, of_p)
    precision = np.sum(each)
    return Ranked(float(area), float(precision))


def _integral(
    hits: np.ndarray, alarms: np.ndarray, of_q: np.ndarray, of_p: np.ndarray
) -> np.ndarray:
    """The integral of (H + t a) / (C + t s) a dt, t from 0 to 1, of each score: H hits, C hits and alarms before it.

    a is its share of q and s that of both: precision over recall, along the line from one point to the next.
    """
    before = hits + alarms
    step = of_q + of_p
    # of the first score, and of texts that neither law has, there is nothing to take a logarithm of
    known = np.where(before > 0.0, before, 1.0)
    some = np.where(step > 0.0, step, 1.0)
    slope = of_q / some
    # what the line is above its own slope, which fades as more is called out
    rest = hits - slope * before
    rest = np.where(before > 0.0, rest, 0.0)
    fading = np.log1p(step / known) / some
    return of_q * (slope + rest * fading)


def every(vocabulary: int, length: int) -> np.ndarray:
    """All texts of so many tokens, int32 [V^T, T]."""
    texts = itertools.product(range(vocabulary), repeat=length)
    return np.array(list(texts), np.int32)


def best(real: Law, generated: Law, length: int, draws: int = 20_000, seed: int = 0) -> Ranked:
    """What the likelihood ratio reaches on texts of a length: summed over all of them, or over `draws` of each law."""
    vocabulary = real.emit.shape[1]
    # few texts are summed over, and nothing is left to chance
    if vocabulary**length <= MOST:
        x = every(vocabulary, length)
        p = np.exp(log_likelihood(real, x))
        q = np.exp(log_likelihood(generated, x))
        return ranked(p, q, ratio(real, generated, x))
    rng = np.random.default_rng(seed)
    x = np.concatenate(
        [
            draw(real, rng, draws, length),
            draw(generated, rng, draws, length),
        ]
    )
    # each draw stands for as much of its law as any other
    of_real = np.arange(2 * draws) < draws
    p = of_real / draws
    q = ~of_real / draws
    return ranked(p, q, ratio(real, generated, x))
