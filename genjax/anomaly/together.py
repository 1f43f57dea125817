"""Scores of several methods on one scale, and their mean.

A score becomes its surprise, -log of the chance that a normal example has one as large. Below the normals' quantile 0.9
the chance is their own share; beyond it their tail is taken for exponential, the simplest of the laws that tails tend
to (Pickands 1975), so that all that lies beyond the last of them is ordered still. The mean of surprises is Fisher's
combination of p-values (1932), without his independence: as a score to rank by, not as a test.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from genjax.errors import UserError

TAIL = 0.1  # share of the normals whose excess makes the tail
FEWEST = 20  # normals, of which two are a tail
TINY = 1e-300  # what is divided by is above 0


def surprise(normal: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Nats [M] of scores [M], by the scores of held-out normal examples [N]; UserError for too few of these."""
    known = np.sort(np.asarray(normal, np.float64))
    n = len(known)
    if n < FEWEST:
        raise UserError(
            f"{n} held-out normal examples are too few to say how rare a score is: hold out {FEWEST} or more, "
            f"--data.valid={FEWEST}."
        )
    start = np.quantile(known, 1.0 - TAIL)
    # a share is never 0 or 1, and grows between two normals too
    ranks = np.arange(n) + 0.5
    share = np.interp(scores, known, ranks / n)
    most = np.minimum(share, 1.0 - TAIL)
    within = -np.log1p(-most)
    # beyond the start -log of an exponential tail is a line
    over = np.maximum(scores - start, 0.0)
    return within + over / _excess(known, start)


def _excess(known: np.ndarray, start: float) -> float:
    """How far scores beyond a start lie beyond it, on average; a trifle of scores that are all alike."""
    beyond = known[known > start]
    least = 1e-9 * abs(start) + TINY
    if not len(beyond):
        return least
    mean = np.mean(beyond)
    return max(mean - start, least)


def together(
    normal: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
) -> np.ndarray:
    """The mean surprise [M] of {method: scores [M]}, each by its own {method: scores of held-out normals [N]}."""
    each = []
    for name, values in scores.items():
        nats = surprise(normal[name], values)
        each.append(nats)
    return np.mean(each, 0)
