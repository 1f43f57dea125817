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
    x = x - mean
    return Moments(mean, x.T @ x / max(len(x) - 1, 1), len(x))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of the joined sets, up to float64's rounding; ValueError for exact moments, which have no count."""
    if not math.isfinite(a.n + b.n):
        raise ValueError("moments without a number of examples cannot be merged")
    n, shift = a.n + b.n, b.mean - a.mean
    scatter = (
        (a.n - 1) * a.covariance
        + (b.n - 1) * b.covariance
        + np.outer(shift, shift) * (a.n * b.n / n)
    )
    return Moments(a.mean + shift * (b.n / n), scatter / (n - 1), n)


def root(c: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance [D, D]; eigenvalues that rounding left below 0 count as 0."""
    values, vectors = np.linalg.eigh(c)
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


def frechet(a: Moments, b: Moments) -> float:
    """The squared distance d² between N(a) and N(b), as it is usually reported.

    ValueError unless both have more examples than dimensions: a covariance without full rank makes d² depend on n more
    than on the data. Even so d² of n examples is too large by about 1/n: compare at equal n, with the floor of real
    data beside it, or see `intervals.frechet_interval`.
    """
    if min(a.n, b.n) <= len(a.mean):
        raise ValueError(
            f"a Fréchet distance on {len(a.mean)} features needs more than {len(a.mean)} examples, got {min(a.n, b.n)}"
        )
    return distance(a, b, root(a.covariance))


def distance(a: Moments, b: Moments, root_a: np.ndarray) -> float:
    """d² for a given root of a's covariance, whatever the number of examples."""
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root_a @ b.covariance @ root_a), 0.0)).sum()
    trace = np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * cross
    return float(np.sum((a.mean - b.mean) ** 2) + trace)
