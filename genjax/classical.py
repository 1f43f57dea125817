"""Densities without training by gradients, which a deep model must beat: one for each class, by scikit-learn.

* `Ppca`: N(m, W W' + s² I), maximum likelihood in closed form (Tipping & Bishop 1999).
* `Mixture`: Gaussians with full covariances on principal components, by EM; what the components leave is N(0, s² I).
* `KernelDensity`: a normal around each example, one bandwidth by cross-validation.

`fit(x [N, D], label [N])` gives a `Fitted` with exact log p(x | label). Pixels become continuous by uniform noise of
one grey level, so that log p - D ln 256 bounds the log probability of the grey levels from below.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.errors import UserError


class Fitted(NamedTuple):
    """A density p(x | label)."""

    sample: Callable[[np.ndarray, int], np.ndarray]  # (label [n], seed) -> x [n, D]
    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (x [n, D], label [n]) -> [n] nats
    parameters: int  # numbers that were fitted


class One(NamedTuple):
    """The density of one class."""

    sample: Callable[[int, np.random.Generator], np.ndarray]
    log_prob: Callable[[np.ndarray], np.ndarray]
    parameters: int


def by_class(fit: Callable[[np.ndarray], One], x: np.ndarray, label: np.ndarray) -> Fitted:
    """`fit` on each class of x [N, D]; UserError for a class with fewer than two examples."""
    counts = {c: int(np.sum(label == c)) for c in np.unique(label)}
    if few := [c for c, n in counts.items() if n < 2]:
        raise UserError(
            f"class {few[0]} has one training example, too few for a density: leave it out of --data."
        )
    parts = {c: fit(x[label == c]) for c in counts}

    def gathered(label: np.ndarray, of: Callable[[One, np.ndarray], np.ndarray]) -> np.ndarray:
        values = {c: of(parts[c], np.flatnonzero(label == c)) for c in np.unique(label)}
        found = np.zeros((len(label), *next(iter(values.values())).shape[1:]))
        for c, value in values.items():
            found[label == c] = value
        return found

    def sample(label: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return gathered(label, lambda one, rows: one.sample(len(rows), rng))

    def log_prob(x: np.ndarray, label: np.ndarray) -> np.ndarray:
        return gathered(label, lambda one, rows: one.log_prob(x[rows]))

    return Fitted(sample, log_prob, sum(one.parameters for one in parts.values()))


@dataclasses.dataclass(frozen=True)
class Ppca:
    """Probabilistic principal components."""

    k: int = field(16, "components, fewer where a class has fewer examples")

    def fit(self, x: np.ndarray, label: np.ndarray) -> Fitted:
        """Of x [N, D] and label [N]."""
        from sklearn.decomposition import PCA

        def one(x: np.ndarray) -> One:
            pca = PCA(min(self.k, len(x) - 1, x.shape[1] - 1), svd_solver="full").fit(x)
            scale = np.sqrt(np.maximum(pca.explained_variance_ - pca.noise_variance_, 0.0))

            def sample(n: int, rng: np.random.Generator) -> np.ndarray:
                z, noise = (
                    rng.standard_normal((n, len(scale))),
                    rng.standard_normal((n, x.shape[1])),
                )
                return (
                    pca.mean_
                    + (z * scale) @ pca.components_
                    + math.sqrt(pca.noise_variance_) * noise
                )

            return One(sample, pca.score_samples, pca.mean_.size + pca.components_.size + 1)

        return by_class(one, np.asarray(x, np.float64), label)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Gaussian mixtures on principal components; what these leave is isotropic noise."""

    k: int = field(4, "Gaussians of a class")
    components: int = field(32, "principal components, of a class")
    ridge: float = field(1e-4, "added to the variances, units of x squared")
    seed: int = field(0, "of EM's start")

    def fit(self, x: np.ndarray, label: np.ndarray) -> Fitted:
        """Of x [N, D] and label [N]."""
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture

        def one(x: np.ndarray) -> One:
            n, d = x.shape
            pca = PCA(min(self.components, n - 1, d), svd_solver="full").fit(x)
            codes, rest = pca.transform(x), x - pca.inverse_transform(pca.transform(x))
            left = d - codes.shape[1]
            variance = max(float(np.sum(rest * rest)) / (n * left), 1e-12) if left else 1.0
            mixture = GaussianMixture(
                min(self.k, n // 2), reg_covar=self.ridge, random_state=self.seed
            ).fit(codes)

            def sample(count: int, rng: np.random.Generator) -> np.ndarray:
                which = rng.choice(
                    len(mixture.weights_), count, p=mixture.weights_ / mixture.weights_.sum()
                )
                roots = np.linalg.cholesky(mixture.covariances_)
                z = rng.standard_normal((count, codes.shape[1], 1))
                noise = (
                    math.sqrt(variance) * rng.standard_normal((count, d))
                    if left
                    else np.zeros((count, d))
                )
                noise -= (
                    noise @ pca.components_.T
                ) @ pca.components_  # only what the components leave
                return (
                    pca.inverse_transform(mixture.means_[which] + (roots[which] @ z)[..., 0])
                    + noise
                )

            def log_prob(x: np.ndarray) -> np.ndarray:
                z = pca.transform(x)
                rest = x - pca.inverse_transform(z)
                outside = -0.5 * (
                    np.sum(rest**2, 1) / variance + left * math.log(2.0 * math.pi * variance)
                )
                return mixture.score_samples(z) + outside

            inside = mixture.means_.size + mixture.covariances_.size + mixture.weights_.size
            return One(sample, log_prob, inside + pca.mean_.size + pca.components_.size + 1)

        return by_class(one, np.asarray(x, np.float64), label)


@dataclasses.dataclass(frozen=True)
class KernelDensity:
    """Every training example with a normal around it; its samples are noisy copies."""

    bandwidths: tuple[float, ...] = field(
        (0.02, 0.04, 0.07, 0.1, 0.15, 0.25), "standard deviations to choose from"
    )
    folds: int = field(3, "of the cross-validation that chooses, for each class")
    most: int = field(1000, "examples of a class that the cross-validation sees")

    def fit(self, x: np.ndarray, label: np.ndarray) -> Fitted:
        """Of x [N, D] and label [N]."""
        from sklearn.model_selection import GridSearchCV
        from sklearn.neighbors import KernelDensity as Kernels

        def one(x: np.ndarray) -> One:
            search = GridSearchCV(
                Kernels(), {"bandwidth": self.bandwidths}, cv=min(self.folds, len(x))
            )
            kernels = Kernels(bandwidth=search.fit(x[: self.most]).best_params_["bandwidth"]).fit(x)

            def sample(n: int, rng: np.random.Generator) -> np.ndarray:
                return x[rng.integers(len(x), size=n)] + kernels.bandwidth_ * rng.standard_normal(
                    (n, x.shape[1])
                )

            return One(sample, kernels.score_samples, x.size + 1)

        return by_class(one, np.asarray(x, np.float64), label)


Density = Ppca | Mixture | KernelDensity


def dequantised(image: Any, seed: int) -> np.ndarray:
    """Bytes [N, ...] -> rows [N, D] in [0, 1], each spread evenly over its grey level's width of 1/256."""
    x = np.asarray(image).reshape(len(image), -1).astype(np.float64)
    return (x + np.random.default_rng(seed).random(x.shape)) / 256.0


def bits_per_dim(log_prob: np.ndarray, size: int) -> np.ndarray:
    """log p [N] in nats of `dequantised` rows -> bits per dimension of the bytes, [N]: an upper bound on theirs."""
    return -log_prob / (size * math.log(2.0)) + 8.0
