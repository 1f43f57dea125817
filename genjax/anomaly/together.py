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


def surprise(normal: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Nats [M] of scores [M], by the scores of held-out normal examples [N]; UserError for too few of these."""
    known = np.sort(np.asarray(normal, np.float64))
    n = len(known)
    if n < FEWEST:
        raise UserError(
            f"{n} held-out normal examples are too few to say how rare a score is: hold out {FEWEST} or more."
        )
    start = np.quantile(known, 1.0 - TAIL)
    beyond = known[known > start]
    # of scores that are all alike nothing is beyond
    excess = np.mean(beyond - start) if len(beyond) else 0.0
    excess = max(excess, 1e-9 * max(abs(start), 1e-300))
    # a share is never 0, and grows with the score between two normals too
    share = np.interp(scores, known, (np.arange(n) + 0.5) / n)
    within = -np.log1p(-np.minimum(share, 1.0 - TAIL))
    above = np.maximum(np.asarray(scores, np.float64) - start, 0.0) / excess
    return within + above


def together(normal: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """The mean surprise [M] of {method: scores [M]}, each by its own {method: scores of held-out normals [N]}."""
    total = []
    for name, values in scores.items():
        total.append(surprise(normal[name], values))
    return np.mean(total, 0)
