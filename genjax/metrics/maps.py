"""Maps of codes in the plane, and how far they can be trusted: functions of arrays [N, D].

* t-SNE (van der Maaten & Hinton 2008, JMLR 9, eq. 1 to 4): points y of the plane whose q_ij ~ 1 / (1 + |y_i - y_j|²)
  come near to the p_ij of codes, which are normals about each point, as wide as `perplexity` says. scikit-learn finds
  them by Barnes & Hut's trees, where the divergence is a rough one: `divergence` is the exact KL(P || Q).
* Trustworthiness (Venna & Kaski 2001, ICANN, eq. 1): 1 where the k nearest in the map are among the k nearest in the
  codes, less by the ranks of those that are not.
* Neighbours' votes: the share of points whose label the k nearest others name.

Distances are of the codes as they are: what a code hardly varies in hardly counts.
"""

from __future__ import annotations

import math

import numpy as np

from genjax.errors import UserError, at_least
from genjax.metrics.intervals import Interval, share

LEAST = 1e-12  # of a probability whose logarithm is taken
HALVINGS = 64  # of the interval in which a width lies
FAR = 30.0  # half of that interval, in logarithms


def check_perplexity(points: int, perplexity: float, where: str = "--") -> None:
    """Raises UserError unless a map of so many points can have this perplexity."""
    at_least(1, where, perplexity=perplexity)
    # three times as many neighbours are looked at, of the others
    most = (points - 1) / 3
    if perplexity > most:
        raise UserError(
            f"{where}perplexity={perplexity:g} needs more than {3 * perplexity:.0f} points and there are {points}: "
            f"use at most {math.floor(max(most, 1))}, or more points."
        )


def tsne(
    codes: np.ndarray,
    perplexity: float = 30.0,
    seed: int = 0,
) -> np.ndarray:
    """Points of the plane [N, 2] for codes [N, D], from their principal components on; UserError as above.

    Codes of one number have none, and begin at random.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    check_perplexity(len(codes), perplexity)
    spread = codes.std()
    # NaN too
    if not spread > 0:
        raise UserError("all codes are the same: there is no map of them.")
    # in the units of their own spread, so that no code is too small to start from
    unit = (codes - codes.mean(0)) / spread
    # of one number there is no second component
    init = "pca" if codes.shape[1] > 1 else "random"
    model = TSNE(
        2,
        perplexity=perplexity,
        init=init,
        random_state=seed,
    )
    # one thread: sums in one order, and threads that wait for each other stand still on a busy machine
    with threadpool_limits(1, user_api="openmp"):
        return model.fit_transform(unit.astype(np.float32))


def distances(x: np.ndarray) -> np.ndarray:
    """Squared distances [N, N] of rows [N, D], 0 of each to itself."""
    wide = x.astype(np.float64)
    # about the mean there is less to cancel
    centred = wide - wide.mean(0)
    squares = np.sum(centred**2, 1)
    products = centred @ centred.T
    # |x - y|² = |x|² - 2 x y + |y|²
    found = squares[:, None] + squares
    found = found - 2.0 * products
    # rounding may leave a little less than nothing
    found = np.maximum(found, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


def affinities(squares: np.ndarray, perplexity: float) -> np.ndarray:
    """p_ij [N, N] of squared distances: sum 1, symmetric, 0 on the diagonal.

    p_j|i ~ exp(-b_i d_ij), where b_i is such that the entropy of row i is log(perplexity); p_ij = (p_j|i + p_i|j) / 2N.
    """
    n = len(squares)
    away = squares.copy()
    np.fill_diagonal(away, np.inf)  # nothing is its own neighbour
    nearest = away.min(1, keepdims=True)
    # 0 of the nearest: no row is all 0 after exp
    beyond = away - nearest  # [N, N]
    # the logarithm of b between bounds far beyond any, about that of the scale
    usual = -np.log(np.mean(squares))
    low = np.full((n, 1), usual - FAR)
    high = np.full((n, 1), usual + FAR)
    wanted = np.log(perplexity)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        entropy = _entropy(beyond, np.exp(middle))
        wide = entropy > wanted
        # too wide: b must rise
        low = np.where(wide, middle, low)
        high = np.where(wide, high, middle)
    rows = _normals(beyond, np.exp(low))
    both = rows + rows.T
    return both / (2.0 * n)


def _normals(beyond: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """p_j|i [N, N] of distances beyond the nearest one, for precisions [N, 1]."""
    weight = np.exp(-precision * beyond)
    total = weight.sum(1, keepdims=True)
    return weight / total


def _entropy(beyond: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """The entropy of each row of `_normals`, [N, 1] nats."""
    p = _normals(beyond, precision)
    # 0 log 0 = 0
    log_p = np.log(np.maximum(p, LEAST))
    return -np.sum(p * log_p, 1, keepdims=True)


def divergence(
    codes: np.ndarray,
    points: np.ndarray,
    perplexity: float,
) -> float:
    """KL(P || Q) [nats] of points [N, 2] that stand for codes [N, D]: what t-SNE makes small."""
    squares = distances(codes)
    p = affinities(squares, perplexity)
    # Student's t with one degree of freedom
    heavy = 1.0 / (1.0 + distances(points))
    np.fill_diagonal(heavy, 0.0)
    q = heavy / heavy.sum()
    log_p = np.log(np.maximum(p, LEAST))
    log_q = np.log(np.maximum(q, LEAST))
    return float(np.sum(p * (log_p - log_q)))


def trustworthiness(
    codes: np.ndarray,
    points: np.ndarray,
    k: int = 10,
) -> float:
    """How many of the k nearest of a map [N, d] are near in the codes [N, D] too; UserError for k of half of N."""
    from sklearn.manifold import trustworthiness as trust

    n = len(codes)
    # its scale is made for fewer
    if not 1 <= k < n / 2:
        raise UserError(
            f"trustworthiness of {k} neighbours needs more than {2 * k} points, got {n}."
        )
    found = trust(codes, points, n_neighbors=k)
    return float(found)


def votes(
    points: np.ndarray,
    labels: np.ndarray,
    k: int = 10,
) -> Interval:
    """The share of points [N, d] whose label [N] the k nearest other points name, with Wilson's interval.

    Among labels named as often the one whose points are nearer counts. UserError for a k that there is not.
    """
    n = len(points)
    if not 1 <= k < n:
        raise UserError(f"{k} neighbours of {n} points: use at most {n - 1}.")
    away = distances(points)
    np.fill_diagonal(away, np.inf)
    order = np.argsort(away, 1, kind="stable")
    nearest = order[:, :k]  # [N, k]
    named = labels[nearest]
    # a little more for the nearer, less in sum than one vote
    place = np.arange(k)
    weight = 1.0 + (k - 1 - place) / (k * k)
    classes = np.unique(labels)
    counts = []
    for c in classes:
        of_class = np.where(named == c, weight, 0.0)
        counts.append(of_class.sum(1))
    most = np.argmax(counts, 0)
    said = classes[most]  # [N]
    hits = np.sum(said == labels)
    return share(float(hits), n)
