"""Densities without training by gradients, which a deep model must beat: one for each class, by scikit-learn.

* `Ppca`: N(m, W W' + s² I), maximum likelihood in closed form (Tipping & Bishop 1999, eq. 7 and 8).
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
from genjax.data.batches import chosen
from genjax.errors import UserError, at_least


class Fitted(NamedTuple):
    """A density p(x | label)."""

    sample: Callable[[np.ndarray, int], np.ndarray]  # (label [n], seed) -> x [n, D]
    log_prob: Callable[
        [np.ndarray, np.ndarray], np.ndarray
    ]  # (x [n, D], label [n]) -> [n] nats
    parameters: int  # numbers that were fitted


class One(NamedTuple):
    """The density of one class."""

    sample: Callable[[int, np.random.Generator], np.ndarray]
    log_prob: Callable[[np.ndarray], np.ndarray]
    parameters: int


OfRows = Callable[[One, np.ndarray], np.ndarray]  # (a class's density, rows [n]) -> [n, ...]


def by_class(
    fit: Callable[[np.ndarray], One],
    x: np.ndarray,
    label: np.ndarray,
) -> Fitted:
    """`fit` on each class of x [N, D]; UserError for a class with fewer than two examples."""
    classes = np.unique(label)
    for c in classes:  # all before the first is fitted, which may take long
        count = np.sum(label == c)
        if count < 2:
            raise UserError(
                f"class {c} has one training example, too few for a density: leave it out of --data."
            )
    parts = {}
    for c in classes:
        rows = label == c
        parts[c] = fit(x[rows])

    def gathered(label: np.ndarray, of: OfRows) -> np.ndarray:
        """`of` on every class and its rows, back in the order of the rows."""
        values = {}
        for c in np.unique(label):
            rows = np.flatnonzero(label == c)
            values[c] = of(parts[c], rows)
        first = next(iter(values.values()))  # what one row's value looks like
        _, *shape = first.shape
        found = np.zeros((len(label), *shape))
        for c, value in values.items():
            rows = label == c
            found[rows] = value
        return found

    def sample(label: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)  # one for all classes, which draw in their order

        def of(one: One, rows: np.ndarray) -> np.ndarray:
            return one.sample(len(rows), rng)

        return gathered(label, of)

    def log_prob(x: np.ndarray, label: np.ndarray) -> np.ndarray:
        def of(one: One, rows: np.ndarray) -> np.ndarray:
            return one.log_prob(x[rows])

        return gathered(label, of)

    parameters = sum(one.parameters for one in parts.values())
    return Fitted(sample, log_prob, parameters)


def _around(rest: np.ndarray, left: int, variance: float) -> np.ndarray:
    """log N(rest; 0, variance I) [n] of what `left` dimensions of D hold, rest [n, D]."""
    distance = np.sum(rest**2, 1) / variance
    volume = left * math.log(2.0 * math.pi * variance)
    return -0.5 * (distance + volume)


def _principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean [D] of x [N, D], the variances along its principal directions, falling, and these [min(N, D), D]."""
    mean = x.mean(0)
    # not scikit-learn's PCA, whose noise is the mean over min(n, d) - k directions and not over all d - k
    _, lengths, directions = np.linalg.svd(x - mean, full_matrices=False)
    variances = lengths**2 / len(x)  # 1/n and not 1/(n - 1): maximum likelihood
    return mean, variances, directions


def _most(n: int, d: int) -> int:
    """The most components of n examples of d dimensions.

    One dimension at least is left for the noise, and one in which it shows: n examples span n - 1, and with no
    variance beyond the components the likelihood has no maximum.
    """
    return max(min(n - 2, d - 1), 0)


def _up_to(values: np.ndarray) -> np.ndarray:
    """The sums of the first 0, 1, … of values [K], [K + 1]."""
    return np.concatenate([[0.0], np.cumsum(values)])


@dataclasses.dataclass(frozen=True)
class Ppca:
    """Probabilistic principal components.

    k = None: as many as make held-out examples likeliest. The likelihood of the examples themselves grows with every
    component, whatever that is worth to others.
    """

    k: int | None = field(
        16,
        "components, fewer where a class has fewer examples; None = by cross-validation, for each class",
    )
    # next to the 1.3e-6 of `dequantised` noise it is little, and without it equal rows have no density
    floor: float = field(
        1e-6, "least variance of a direction, above 0, units of x squared", added=True
    )
    folds: int = field(3, "of the cross-validation where k is None", added=True)

    def fit(self, x: np.ndarray, label: np.ndarray) -> Fitted:
        """Of x [N, D] and label [N]."""
        if self.floor <= 0:
            raise UserError(f"Ppca: floor={self.floor} must be above 0, e.g. floor=1e-6.")
        at_least(2, "Ppca: ", folds=self.folds)
        x = np.asarray(x, np.float64)
        return by_class(self._one, x, label)

    def _one(self, x: np.ndarray) -> One:
        """The density of one class, of its examples x [N, D]."""
        n, d = x.shape
        mean, variances, directions = _principal(x)
        wanted = self._likeliest(x) if self.k is None else self.k
        k = max(min(wanted, _most(n, d)), 0)
        discarded = np.sum(variances[k:])  # of all d - k: what is not in the list is 0
        noise = max(discarded / (d - k), self.floor)  # s²
        components = directions[:k]  # [k, D]
        # W W' has along a component what its variance has beyond the noise, which is everywhere
        along = np.maximum(variances[:k], noise)  # [k]
        scale = np.sqrt(along - noise)

        def sample(count: int, rng: np.random.Generator) -> np.ndarray:
            z = rng.standard_normal((count, k))
            e = rng.standard_normal((count, d))
            inside = (z * scale) @ components  # W z
            return mean + inside + math.sqrt(noise) * e

        def log_prob(x: np.ndarray) -> np.ndarray:
            z = (x - mean) @ components.T  # [n, k]
            rest = x - mean - z @ components
            # the components are orthonormal: log p(x) is the sum over them and what they leave
            inside = _around(z / np.sqrt(along), k, 1.0) - 0.5 * np.sum(np.log(along))
            return inside + _around(rest, d - k, noise)

        # m, W and s
        parameters = mean.size + components.size + 1
        return One(sample, log_prob, parameters)

    def _likeliest(self, x: np.ndarray) -> int:
        """The k that gives held-out examples of x [N, D] the greatest likelihood, by `folds` parts of them."""
        folds = min(self.folds, len(x))  # no part may be empty
        part = np.arange(len(x)) % folds  # each of every kind: a set may be sorted
        found = []
        for fold in range(folds):
            held = part == fold
            found.append(self._held_out(x[~held], x[held]))
        # the smallest part allows fewest; a part counts by its examples
        fewest = min(len(sums) for sums in found)
        total = sum(sums[:fewest] for sums in found)
        return int(np.argmax(total))

    def _held_out(self, x: np.ndarray, new: np.ndarray) -> np.ndarray:
        """The sum of log p(new) [M, D] under the maximum of likelihood on x [N, D], of k = 0, 1, …; all k at once."""
        d = x.shape[1]
        mean, variances, directions = _principal(x)
        k = np.arange(_most(*x.shape) + 1)
        left = d - k
        beyond = _up_to(variances[::-1])[::-1]  # of all directions from the k-th on
        noise = np.maximum(beyond[k] / left, self.floor)  # s² of each k
        # never below s²: what a mean is taken of falls, unless the floor is above all of it
        along = np.maximum(variances[: k[-1]], self.floor)
        m = len(new)
        z = (new - mean) @ directions[: k[-1]].T
        squares = np.sum(z**2, 0)  # of all new examples, along each component
        rest = np.sum((new - mean) ** 2) - _up_to(squares)  # across the first k
        inside = _up_to(squares / along + m * np.log(along))
        outside = rest / noise + m * left * np.log(noise)
        return -0.5 * (inside + outside + m * d * math.log(2.0 * math.pi))


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Gaussian mixtures on principal components; what these leave is isotropic noise."""

    k: int = field(4, "Gaussians of a class")
    components: int = field(32, "principal components, of a class")
    ridge: float = field(
        1e-4,
        "added to the variances along the components, and the noise's least, units of x squared",
    )
    seed: int = field(0, "of EM's start")

    def fit(self, x: np.ndarray, label: np.ndarray) -> Fitted:
        """Of x [N, D] and label [N]."""
        if self.ridge <= 0:
            raise UserError(f"Mixture: ridge={self.ridge} must be above 0, e.g. ridge=1e-4.")
        x = np.asarray(x, np.float64)
        return by_class(self._one, x, label)

    def _one(self, x: np.ndarray) -> One:
        """The density of one class, of its examples x [N, D]."""
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture

        n, d = x.shape
        k = min(self.components, n - 1, d)
        pca = PCA(k, svd_solver="full")
        pca.fit(x)
        codes = pca.transform(x)  # [N, k]
        inside = pca.inverse_transform(codes)
        rest = x - inside  # [N, D], across the components
        left = d - k  # dimensions of the noise, perhaps none
        variance = 1.0  # of no importance where none is left
        if left:
            squares = float(np.sum(rest * rest))
            # What no example has shown is as uncertain across the components as along them: a variance of next to
            # 0 would give the training set a density without bound and all else none.
            variance = max(squares / (n * left), self.ridge)
        gaussians = min(self.k, n // 2)  # two examples at least for each
        mixture = GaussianMixture(gaussians, reg_covar=self.ridge, random_state=self.seed)
        mixture.fit(codes)

        def sample(count: int, rng: np.random.Generator) -> np.ndarray:
            total = mixture.weights_.sum()
            weights = mixture.weights_ / total  # `choice` wants the sum exact
            which = rng.choice(len(weights), count, p=weights)  # [count], a Gaussian each
            roots = np.linalg.cholesky(mixture.covariances_)  # [K, k, k]
            z = rng.standard_normal((count, k, 1))
            spread = roots[which] @ z  # covariance L L' of L z
            spread = spread[..., 0]
            inside = mixture.means_[which] + spread  # [count, k]
            noise = np.zeros((count, d))
            if left:
                noise = math.sqrt(variance) * rng.standard_normal((count, d))
            # only what the components leave
            along = noise @ pca.components_.T
            noise -= along @ pca.components_
            return pca.inverse_transform(inside) + noise

        def log_prob(x: np.ndarray) -> np.ndarray:
            z = pca.transform(x)  # [n, k]
            inside = pca.inverse_transform(z)
            rest = x - inside
            # the components are orthonormal: log p(x) is the sum of the two
            return mixture.score_samples(z) + _around(rest, left, variance)

        parameters = mixture.means_.size
        parameters += mixture.covariances_.size
        parameters += mixture.weights_.size
        parameters += pca.mean_.size + pca.components_.size + 1  # 1: the variance
        return One(sample, log_prob, parameters)


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
        at_least(2, "KernelDensity: ", folds=self.folds)
        x = np.asarray(x, np.float64)
        return by_class(self._one, x, label)

    def _one(self, x: np.ndarray) -> One:
        """The density of one class, of its examples x [N, D]."""
        from sklearn.model_selection import GridSearchCV
        from sklearn.neighbors import KernelDensity as Kernels

        n, d = x.shape
        folds = min(self.folds, n)  # no fold may be empty
        choices = {"bandwidth": self.bandwidths}
        search = GridSearchCV(Kernels(), choices, cv=folds)
        search.fit(x[chosen(min(self.most, n), n)])  # no head: a set may be sorted
        bandwidth = search.best_params_["bandwidth"]
        kernels = Kernels(bandwidth=bandwidth)
        kernels.fit(x)  # all of them, also beyond `most`

        def sample(count: int, rng: np.random.Generator) -> np.ndarray:
            which = rng.integers(n, size=count)  # [count], an example each
            noise = rng.standard_normal((count, d))
            return x[which] + kernels.bandwidth_ * noise

        # the examples themselves and the bandwidth
        return One(sample, kernels.score_samples, x.size + 1)


Density = Ppca | Mixture | KernelDensity


def dequantised(image: Any, seed: int) -> np.ndarray:
    """Bytes [N, ...] -> rows [N, D] in [0, 1], each spread evenly over its grey level's width of 1/256."""
    rows = np.asarray(image).reshape(len(image), -1)
    x = rows.astype(np.float64)
    rng = np.random.default_rng(seed)
    noise = rng.random(x.shape)  # in [0, 1)
    return (x + noise) / 256.0


def bits_per_dim(log_prob: np.ndarray, size: int) -> np.ndarray:
    """log p [N] in nats of `dequantised` rows -> bits per dimension of the bytes, [N]: an upper bound on theirs."""
    bits = size * math.log(2.0)
    # + 8: the density is of numbers in [0, 1], 256 times as dense as of grey levels
    return -log_prob / bits + 8.0
