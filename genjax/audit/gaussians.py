"""One Gaussian for each class, in closed form: linear and quadratic discriminants, and naive Bayes.

    p(x | y) = N(x; m_y, S_y),     S_y <- (1 - a) S_y + a mean(diag S_y) I

|                 | S of each class | one S for all                                    |
| full            | QDA             | LDA (Fisher 1936)                                |
| diagonal        | naive Bayes     | the pair of logistic regression (Ng & Jordan 2002) |

Shrinkage a (Friedman 1989, Ledoit & Wolf 2004 without their choice of a) is what makes S regular where pixels never
change. Densities are of x as it is: grey levels get no noise, as only p(y | x) is asked of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.audit.bayes import shares
from genjax.config import field
from genjax.errors import UserError, at_least, at_most

LEAST = 1e-12  # variance of a direction, below which it has none


class Known(NamedTuple):
    """A Gaussian, with S factored."""

    mean: np.ndarray  # [D]
    # x - m [N, D] -> numbers of variance 1 [N, D]
    whitened: Callable[[np.ndarray], np.ndarray]
    log_det: float  # of S

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log N(x; m, S) [N]."""
        z = self.whitened(x - self.mean)
        square = np.sum(z**2, 1)
        constant = len(self.mean) * math.log(2.0 * math.pi)
        return -0.5 * (square + self.log_det + constant)


@dataclasses.dataclass(frozen=True)
class Gaussians:
    """The classes' Gaussians: which entries of S there are, and whose."""

    shared: bool = field(True, "one covariance for all classes")
    diagonal: bool = field(False, "pixels independent given the class")
    shrinkage: float = field(
        0.1, "a, share of the covariance that is the same variance in all directions"
    )

    def check(self) -> None:
        """Raises UserError for a share that is none."""
        at_least(0, "Gaussians: ", shrinkage=self.shrinkage)
        at_most(1, "Gaussians: ", shrinkage=self.shrinkage)

    def fit(
        self, x: np.ndarray, label: np.ndarray, classes: int
    ) -> Callable[[np.ndarray], np.ndarray]:
        """log p(x, y) as a function x [M, D] -> [M, K], of examples x [N, D] and their labels [N].

        UserError for a class without an example, and for a covariance that is singular.
        """
        self.check()
        x = np.asarray(x, np.float64)
        prior = shares(label, classes)
        means = []
        scatters = []
        for c in range(classes):
            own = x[label == c]
            mean = own.mean(0)
            means.append(mean)
            scatters.append(self._scatter(own - mean))
        if self.shared:
            # classes count by their examples: 1 / N, maximum likelihood
            pooled = sum(p * s for p, s in zip(prior, scatters, strict=True))
            scatters = [pooled]
        factors = [self._factored(scatter) for scatter in scatters]
        if self.shared:
            factors = factors * classes
        parts = []
        for mean, (whitened, log_det) in zip(means, factors, strict=True):
            parts.append(Known(mean, whitened, log_det))

        def log_joint(new: np.ndarray) -> np.ndarray:
            new = np.asarray(new, np.float64)
            columns = [part.log_prob(new) for part in parts]
            return np.stack(columns, 1) + np.log(prior)

        return log_joint

    def _scatter(self, away: np.ndarray) -> np.ndarray:
        """The covariance of x - m [N, D], [D, D] or its diagonal [D]."""
        if self.diagonal:
            return np.mean(away**2, 0)
        return away.T @ away / len(away)

    def _factored(self, scatter: np.ndarray) -> tuple[Callable, float]:
        """(whitening, log determinant) of a covariance [D, D] or a diagonal [D], shrunk first."""
        a = self.shrinkage
        if self.diagonal:
            variance = (1.0 - a) * scatter + a * scatter.mean()
            self._regular(variance.min())
            deviation = np.sqrt(variance)
            return lambda away: away / deviation, float(np.log(variance).sum())
        d = len(scatter)
        even = np.trace(scatter) / d
        full = (1.0 - a) * scatter + a * even * np.eye(d)
        # S = Q diag(v) Q': the square of Q' (x - m) / sqrt(v) is Mahalanobis' distance
        variance, q = np.linalg.eigh(full)
        self._regular(variance.min())
        root = q / np.sqrt(variance)
        return lambda away: away @ root, float(np.log(variance).sum())

    def _regular(self, least: float) -> None:
        """Raises UserError where a direction has no variance, so that the density has no bound."""
        if least < LEAST:
            raise UserError(
                f"Gaussians(shrinkage={self.shrinkage:g}): some direction never varies within a class, and its "
                "density would have no bound: use a shrinkage above 0, and examples that differ."
            )


LDA = Gaussians()
QDA = Gaussians(shared=False)
NAIVE = Gaussians(shared=False, diagonal=True)
