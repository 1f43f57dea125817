"""Principal components of images, however many and however large, by passes over chunks of them.

With X [N, D] the images less their mean, the components are eigenvectors of X' X / (N - 1) [D, D]. Exactly, by the
smaller side: of few pixels that matrix itself; of few images X X' [N, N], which has the same eigenvalues, and X' u of
its eigenvectors u. Where both are large, by a randomized range (Halko, Martinsson & Tropp 2011, arXiv:0909.4061,
algorithms 4.4 and 5.1): k + 32 directions, multiplied by the covariance a few times, one pass over the images each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

EXACT = 4096  # the larger matrix's eigenvectors take minutes
OVERSAMPLED = 32  # directions beyond k, which catch what the last ones miss
PASSES = 6  # by the covariance: an error of (λ_{k+32} / λ_k)^6
CHUNK = 32 * 2**20  # numbers in memory at a time, 128 MiB of float32
RANK = 1e-5  # of the largest variance: what varies less is mostly rounding to bytes


class Components(NamedTuple):
    """Directions of images, the one that varies most first."""

    mean: np.ndarray  # [D] float32
    directions: np.ndarray  # [r, D] float32, orthonormal
    variance: np.ndarray  # [r], with N - 1

    def codes(self, flat: np.ndarray) -> np.ndarray:
        """Rows [N, D] -> coordinates along the directions, [N, r]."""
        return (flat - self.mean) @ self.directions.T


def rows(images: Any) -> np.ndarray:
    """Images, bytes or floats in [0, 1] -> float32 [N, D] in [0, 1]; what is beyond is clipped, as in a picture."""
    x = np.asarray(images)
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    flat = x.reshape(len(x), -1).astype(np.float32)  # [N, D]
    return np.clip(flat / scale, 0.0, 1.0)


def principal(images: Any, k: int, rank: float = RANK) -> Components:
    """The k first components of images [N, ...], fewer where fewer vary.

    rank: share of the largest variance below which a direction is taken for none: whitened it would count as much as
    any, and a trace of noise in it would be the whole distance. Memory: a few chunks, and k + 32 directions.
    """
    n = len(images)
    sums = _each(images, lambda x: x.sum(0, dtype=np.float64))
    total: Any = sum(sums)
    mean = total / n  # [D]
    size = mean.size
    k = min(k, n, size)
    if size <= EXACT and size <= n:
        found = _by_pixels(images, mean, k)
    elif n <= EXACT:
        found = _by_images(images, mean, k)
    else:
        found = _by_range(images, mean, k)
    variance, directions = found
    varies = variance > rank * variance[0]
    # the sign is free: the largest entry is positive
    largest = np.abs(directions).argmax(1, keepdims=True)
    entries = np.take_along_axis(directions, largest, 1)  # [k, 1]
    directions = np.sign(entries) * directions
    kept = directions[varies].astype(np.float32)
    return Components(mean.astype(np.float32), kept, variance[varies])


def _each(images: Any, fn: Any) -> Iterator[Any]:
    """fn(rows) of every chunk of the images, which may be a file that is larger than memory."""
    width = int(np.prod(images.shape[1:]))
    at_a_time = max(1, CHUNK // width)
    for i in range(0, len(images), at_a_time):
        yield fn(rows(images[i : i + at_a_time]))


def _by_pixels(images: Any, mean: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """By the covariance [D, D], summed over chunks in double precision."""

    def product(x: np.ndarray) -> np.ndarray:
        centred = x - mean  # float64
        return centred.T @ centred

    total = sum(_each(images, product))
    covariance = total / max(len(images) - 1, 1)
    variance, vectors = np.linalg.eigh(covariance)
    return _largest(variance, vectors, k)


def _largest(values: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of ascending eigenvalues, descending, and their vectors as rows."""
    order = np.arange(len(values))[::-1]
    order = order[:k]
    directions = vectors[:, order]
    return values[order], directions.T


def _by_images(images: Any, mean: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """By the products of all pairs of images, [N, N]."""
    n = len(images)
    centre = mean.astype(np.float32)
    flat = np.asarray(images).reshape(n, -1)  # of a mapped file still mapped
    # a stretch of pixels of all images at a time
    width = max(1, CHUNK // n)
    parts = []
    for start in range(0, mean.size, width):
        parts.append(slice(start, start + width))

    def centred(part: slice) -> np.ndarray:
        return rows(flat[:, part]) - centre[part]

    gram = np.zeros((n, n))
    for part in parts:
        x = centred(part).astype(np.float64)
        gram += x @ x.T
    values, vectors = np.linalg.eigh(gram)
    squares, u = _largest(values, vectors, k)  # u [k, N]
    # u X has the length of its singular value; one that is 0 has no direction
    least = 1e-12 * squares[0]
    lengths = np.sqrt(np.maximum(squares, least))
    lengths = np.maximum(lengths, np.finfo(np.float64).tiny)  # of images that are all the same
    directions = np.empty((k, mean.size))
    for part in parts:
        along = u @ centred(part)
        directions[:, part] = along / lengths[:, None]
    return squares / max(n - 1, 1), directions


def _by_range(images: Any, mean: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """By a few directions that the covariance is applied to again and again."""
    n = len(images)
    centre = mean.astype(np.float32)
    rng = np.random.default_rng(0)  # the same components every time
    q = rng.standard_normal((mean.size, k + OVERSAMPLED)).astype(np.float32)

    def applied(q: np.ndarray) -> np.ndarray:
        """X' X q / (N - 1), [D, k + 32], in one pass."""

        def product(x: np.ndarray) -> np.ndarray:
            centred = x - centre
            return centred.T @ (centred @ q)

        total = np.zeros(q.shape)
        for part in _each(images, product):
            total += part
        return total / (n - 1)

    for _ in range(PASSES):
        q, _ = np.linalg.qr(applied(q))
        q = q.astype(np.float32)
    # within the range the problem is small: [k + 32, k + 32]
    inside = applied(q)
    small = q.T.astype(np.float64) @ inside
    symmetric = (small + small.T) / 2.0
    values, vectors = np.linalg.eigh(symmetric)
    variance, turned = _largest(values, vectors, k)
    return variance, turned @ q.T
