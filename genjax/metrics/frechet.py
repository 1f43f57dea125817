"""Fréchet distance between two sets of features taken for Gaussians (Dowson & Landau 1982).

d² = |m1 - m2|² + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

It is called FID only on Inception-2015's features; on others name the extractor: fd_pca64. Moments of parts merge into
those of the whole (Chan, Golub & LeVeque 1983), so features stream batch by batch and process by process:

(n - 1) C = (n1 - 1) C1 + (n2 - 1) C2 + (m2 - m1)(m2 - m1)' n1 n2 / n
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Mean [D] and covariance [D, D] (divided by n - 1; 0 of one example), float64, of n examples; inf = exact ones."""

    mean: np.ndarray
    covariance: np.ndarray
    n: float = math.inf


def moments(features: np.ndarray) -> Moments:
    """Of finite features [N, D] with N at least 1 (else ValueError); `merge` joins those of batches."""
    if len(features) < 1:
        raise ValueError("no features to take moments of")
    x = np.asarray(features, np.float64)
    mean = x.mean(0)
    if not np.isfinite(mean).all():
        raise ValueError("features hold NaN or infinite numbers")
    n = len(x)
    x = x - mean
    scatter = x.T @ x  # [D, D]
    covariance = scatter / max(n - 1, 1)  # one example has none: 0 / 1
    return Moments(mean, covariance, n)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of the joined sets, up to float64's rounding; ValueError for exact moments, which have no count."""
    if not math.isfinite(a.n + b.n):
        raise ValueError("moments without a number of examples cannot be merged")
    n = a.n + b.n
    shift = b.mean - a.mean
    mean = a.mean + shift * (b.n / n)
    # the second formula above
    scatter_a = (a.n - 1) * a.covariance
    scatter_b = (b.n - 1) * b.covariance
    between = np.outer(shift, shift) * (a.n * b.n / n)
    scatter = scatter_a + scatter_b + between
    return Moments(mean, scatter / (n - 1), n)


def root(c: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance [D, D]; eigenvalues that rounding left below 0 count as 0."""
    values, vectors = np.linalg.eigh(c)  # [D], [D, D]
    roots = np.sqrt(np.maximum(values, 0.0))
    # V diag(r) V' without a diagonal matrix: the columns of V are scaled
    scaled = vectors * roots
    return scaled @ vectors.T


def frechet(a: Moments, b: Moments) -> float:
    """The squared distance d² between N(a) and N(b), as it is usually reported.

    ValueError unless both have more examples than dimensions: a covariance without full rank makes d² depend on n more
    than on the data. Even so d² of n examples is too large by about 1/n: compare at equal n, with the floor of real
    data beside it, or see `intervals.frechet_interval`.
    """
    dimensions = len(a.mean)
    least = min(a.n, b.n)
    if least <= dimensions:
        raise ValueError(
            f"a Fréchet distance on {dimensions} features needs more than {dimensions} examples, got {least}"
        )
    root_a = root(a.covariance)
    return distance(a, b, root_a)


def distance(a: Moments, b: Moments, root_a: np.ndarray) -> float:
    """d² for a given root of a's covariance, whatever the number of examples."""
    # the trace of a root is the sum of the eigenvalues' roots: the root itself is not needed
    product = root_a @ b.covariance @ root_a
    values = np.linalg.eigvalsh(product)
    values = np.maximum(values, 0.0)  # rounding may leave one below 0
    cross = np.sqrt(values).sum()  # tr (C1^(1/2) C2 C1^(1/2))^(1/2)
    trace_a = np.trace(a.covariance)
    trace_b = np.trace(b.covariance)
    trace = trace_a + trace_b - 2.0 * cross
    difference = a.mean - b.mean
    between = np.sum(difference**2)  # |m1 - m2|²
    return float(between + trace)
