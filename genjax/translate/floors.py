"""What translates without a net: the yardsticks that a net has to pass. Arrays of pictures in [0, 1], NHWC."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.data.batches import chosen
from genjax.metrics.components import rows
from genjax.metrics.nearest import nearest as nearest_of

# in units of a pixel's mean square: from nearly none to where little but the mean is left of few pairs
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
HELD = 10  # one pair of so many chooses the strength
CHOOSING = 256  # outputs that choose it, at most
LEAST = 1e-6  # standard deviation of a channel that is the same everywhere


class Ridge(NamedTuple):
    """A linear map of pixels: y = mean_y + (x - mean_x) weights; with pairs X the weights are X' weights."""

    weights: np.ndarray  # [D, E], or [N, E] with pairs
    mean_x: np.ndarray  # [D]
    mean_y: np.ndarray  # [E]
    pairs: np.ndarray | None = None  # X [N, D], less its mean

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Rows [M, D] -> [M, E]."""
        away = x - self.mean_x
        if self.pairs is not None:
            # how much it is like each of the pairs: X' weights itself would be D x E numbers
            away = away @ self.pairs.T
        return self.mean_y + away @ self.weights


def solved(
    gram: np.ndarray,
    right: np.ndarray,
    penalty: float,
) -> np.ndarray:
    """(gram + l I)^-1 right, in float64, of a gram matrix [D, D] and l > 0."""
    from scipy.linalg import cho_factor, cho_solve

    # what it is added to is needed for other penalties too
    sum_ = gram.copy()
    sum_[np.diag_indices(len(gram))] += penalty
    factor = cho_factor(sum_, overwrite_a=True, check_finite=False)
    return cho_solve(factor, right, check_finite=False)


def products(
    x: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(X' X, X' Y); multiplied in float32, which of thousands of pixels is half the time."""
    return np.float64(x.T @ x), np.float64(x.T @ y)


def level(x: np.ndarray) -> float:
    """The mean of the diagonal of X' X: what strengths are in units of."""
    total = np.sum(np.square(x), dtype=np.float64)
    # of pictures that are all the same any number will do
    return max(total / x.shape[1], 1e-12)


def best_of(
    strengths: tuple[float, ...],
    missed: Callable[[float], np.ndarray],
) -> float:
    """The strength whose errors on pairs that it was not fitted to are smallest."""
    errors = []
    for strength in strengths:
        errors.append(np.mean(missed(strength) ** 2))
    return strengths[int(np.argmin(errors))]


def of_pixels(
    x: np.ndarray,
    y: np.ndarray,
    border: int,
    some: np.ndarray,
    strengths: tuple[float, ...],
) -> tuple[np.ndarray, float]:
    """(weights [D, E], strength) of rows without their means: (X' X + l I)^-1 X' Y."""
    head = products(x[:border], y[:border])
    tail = products(x[border:], y[border:])
    unit = level(x[:border])

    def missed(strength: float) -> np.ndarray:
        weights = solved(head[0], head[1][:, some], strength * unit)
        return x[border:] @ weights - y[border:, some]

    best = best_of(strengths, missed)
    whole = best * level(x)
    return solved(head[0] + tail[0], head[1] + tail[1], whole), best


def of_pairs(
    x: np.ndarray,
    y: np.ndarray,
    border: int,
    some: np.ndarray,
    strengths: tuple[float, ...],
) -> tuple[np.ndarray, float]:
    """(weights [N, E], strength) of the same map: (X' X + l I)^-1 X' Y = X' (X X' + l I)^-1 Y."""
    gram = np.float64(x @ x.T)
    unit = level(x[:border])

    def missed(strength: float) -> np.ndarray:
        weights = solved(gram[:border, :border], y[:border, some], strength * unit)
        return gram[border:, :border] @ weights - y[border:, some]

    best = best_of(strengths, missed)
    return solved(gram, y, best * level(x)), best


def ridge(
    x: np.ndarray,
    y: np.ndarray,
    strengths: tuple[float, ...] = STRENGTHS,
) -> tuple[Ridge, float]:
    """(map, strength): the map of rows x [N, D] to y [N, E] that minimises sum |y - map(x)|² + l |weights|².

    l is a strength times the mean of the diagonal of X' X, of several strengths the one that is best on the last tenth
    of the pairs; then fitted to all of them. The equations are of pixels or of pairs, whichever are fewer.
    """
    mean_x = x.mean(0, dtype=np.float64).astype(np.float32)
    mean_y = y.mean(0, dtype=np.float64).astype(np.float32)
    away_x = x - mean_x
    away_y = y - mean_y
    # sets lie group by group: the tail has few groups that the head has too
    border = len(x) - max(len(x) // HELD, 1)
    # some of the outputs tell as well as all of them which strength is best: drawn, for a stride may see one channel
    some = chosen(min(CHOOSING, y.shape[1]), y.shape[1])
    few = len(x) < x.shape[1]
    solve = of_pairs if few else of_pixels
    weights, best = solve(away_x, away_y, border, some, strengths)
    pairs = away_x if few else None
    # multiplied in float32 again
    return Ridge(weights.astype(np.float32), mean_x, mean_y, pairs), best


def regressed(
    given: np.ndarray,
    train_given: np.ndarray,
    train_truth: np.ndarray,
) -> tuple[np.ndarray, float]:
    """(pictures [N, H, W, C], strength): what a linear map of all pixels, fitted to training pairs, makes of them."""
    # all pixels and channels of a picture in one row
    x = rows(train_given)
    y = rows(train_truth)
    fitted, strength = ridge(x, y)
    made = fitted(rows(given))
    shape = (len(given), *train_truth.shape[1:])
    pictures = np.clip(made, 0.0, 1.0).reshape(shape)
    return pictures.astype(np.float32), strength


def nearest(
    given: np.ndarray,
    train_given: np.ndarray,
    train_truth: np.ndarray,
) -> np.ndarray:
    """The truth of the training input that is nearest in pixels; without pairs the nearest picture of the target."""
    _, number = nearest_of(given, train_given)
    return train_truth[number]


def nothing(
    given: np.ndarray,
    channels: int,
) -> np.ndarray:
    """What is given as it is, in as many channels as the target has."""
    if given.shape[-1] == channels:
        return given
    grey = given.mean(-1, keepdims=True)
    return np.repeat(grey, channels, -1)


def recoloured(
    given: np.ndarray,
    train_given: np.ndarray,
    train_truth: np.ndarray,
) -> np.ndarray:
    """What is given with the target's mean and standard deviation in every channel: it needs no pairs."""
    places = (0, 1, 2)
    shift = train_given.mean(places, dtype=np.float64)
    spread = train_given.std(places, dtype=np.float64)
    scale = train_truth.std(places, dtype=np.float64) / np.maximum(spread, LEAST)
    made = train_truth.mean(places, dtype=np.float64) + scale * (given - shift)
    return np.clip(made, 0.0, 1.0).astype(np.float32)
