"""One-class scorers: fitted on rows of normal examples alone, they score others; more is more anomalous.

A scorer is a config; `fit(normals [N, D])` gives `score(rows [M, D]) -> [M]`. Pixels are rows as codes of a net are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from genjax.config import field
from genjax.errors import UserError, above, at_least, at_most

Score = Callable[[np.ndarray], np.ndarray]  # rows [M, D] -> [M]


def _checked(normals: Any) -> np.ndarray:
    """Rows [N, D] as floats; UserError for too few, for another shape and for what is not finite."""
    rows = np.asarray(normals)
    if rows.ndim != 2 or len(rows) < 2:
        raise UserError(
            f"a scorer is fitted on rows [N, D] of two normal examples or more, got {rows.shape}."
        )
    if not np.isfinite(rows).all():
        raise UserError("a scorer was given NaN or infinite values: the model has diverged.")
    return rows


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The mean distance to the k nearest normal examples (Ramaswamy et al. 2000; Angiulli & Pizzuti 2002)."""

    name: ClassVar[str] = "neighbours"

    k: int = field(5, "neighbours")

    def fit(self, normals: Any) -> Score:
        """Of rows [N, D]; the score has the unit of the rows."""
        from sklearn.neighbors import NearestNeighbors

        rows = _checked(normals)
        at_least(1, "Neighbours: ", k=self.k)
        at_most(len(rows), "Neighbours: ", k=self.k)
        # in many dimensions a tree looks at nearly all of them, and costs more than looking
        index = NearestNeighbors(n_neighbors=self.k, algorithm="brute")
        index.fit(rows)

        def score(others: np.ndarray) -> np.ndarray:
            distance, _ = index.kneighbors(others)  # [M, k]
            return distance.mean(1)

        return score


@dataclasses.dataclass(frozen=True)
class OneClassSvm:
    """A support vector machine of one class with a Gaussian kernel (Schölkopf et al. 2001)."""

    name: ClassVar[str] = "svm"

    nu: float = field(0.1, "share of the normal examples that may lie outside, at most")
    gamma: float = field(0.0, "of exp(-gamma |x - y|²); 0 = 1 / (D times the rows' variance)")

    def fit(self, normals: Any) -> Score:
        """Of rows [N, D]; the score is how far outside of the surface, negative inside."""
        from sklearn.svm import OneClassSVM

        rows = _checked(normals)
        above(0, "OneClassSvm: ", nu=self.nu)
        at_most(1, "OneClassSvm: ", nu=self.nu)
        at_least(0, "OneClassSvm: ", gamma=self.gamma)
        gamma = self.gamma or "scale"
        machine = OneClassSVM(nu=self.nu, gamma=gamma)  # type: ignore  # its stub knows no numbers
        machine.fit(rows)

        def score(others: np.ndarray) -> np.ndarray:
            return -machine.decision_function(others)

        return score


@dataclasses.dataclass(frozen=True)
class Mahalanobis:
    """The squared distance in units of the normal examples' spread, (x - m)' C⁻¹ (x - m).

    Of Gaussian data -2 log p but for a constant. C is shrunk towards a multiple of the unit matrix,
    (1 - s) S + s tr(S) / D I, by the s that Ledoit & Wolf (2004) estimate: the rows may be fewer than their numbers.
    """

    name: ClassVar[str] = "mahalanobis"

    shrinkage: float | None = field(None, "s; None = as Ledoit and Wolf estimate it")

    def fit(self, normals: Any) -> Score:
        """Of rows [N, D]; the score has no unit, and is D on average of normal examples."""
        rows = _checked(normals)
        rows = rows.astype(np.float64)
        mean = rows.mean(0)
        covariance = self._covariance(rows - mean)
        values, vectors = np.linalg.eigh(covariance)
        # where nothing varies, and nothing is shrunk, a trace of rounding would be the whole distance
        largest = max(values[-1], 1e-300)
        varies = values > 1e-12 * largest
        axes = vectors[:, varies]
        whiten = axes / np.sqrt(values[varies])  # [D, r]

        def score(others: np.ndarray) -> np.ndarray:
            away = others - mean
            # in coordinates of unit variance: no inverse is taken
            white = away @ whiten
            return np.sum(np.square(white), 1)

        return score

    def _covariance(self, centred: np.ndarray) -> np.ndarray:
        """C of centred rows [N, D]."""
        from sklearn.covariance import ledoit_wolf, shrunk_covariance

        if self.shrinkage is None:
            # their s has no setting, which could be chosen by looking at a test
            covariance, _ = ledoit_wolf(centred, assume_centered=True)
            return covariance
        at_least(0, "Mahalanobis: ", shrinkage=self.shrinkage)
        at_most(1, "Mahalanobis: ", shrinkage=self.shrinkage)
        scatter = centred.T @ centred
        return shrunk_covariance(scatter / len(centred), self.shrinkage)


Scorer = Neighbours | OneClassSvm | Mahalanobis
