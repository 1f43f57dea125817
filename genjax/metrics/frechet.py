"""Fréchet distance between two sets of features taken for Gaussians (Dowson & Landau 1982).

d² = |m1 - m2|² + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

It is called FID only on Inception-2015's features; on others name the extractor: fd_pca64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Mean [D] and covariance [D, D] (divided by n - 1), float64."""

    mean: np.ndarray
    covariance: np.ndarray


def moments(features: np.ndarray) -> Moments:
    """Of features [N, D]; ValueError for fewer than two rows."""
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 examples, got {len(features)}")
    x = np.asarray(features, np.float64)
    return Moments(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False)))


def _root(c: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(c)
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


def frechet(a: Moments, b: Moments) -> float:
    """The squared distance d² between N(a) and N(b), as it is usually reported."""
    root = _root(a.covariance)
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b.covariance @ root), 0.0)).sum()
    trace = np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * cross
    return float(np.sum((a.mean - b.mean) ** 2) + trace)
