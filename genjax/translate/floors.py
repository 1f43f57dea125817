"""What translates without a net: the yardsticks that a net has to pass. Arrays of pictures in [0, 1], NHWC."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genjax.data.batches import chosen
from genjax.metrics.components import rows
from genjax.metrics.nearest import nearest as nearest_of

# of the mean variance of a pixel: from nearly none to as much as a pixel has
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
HELD = 10  # one pair of so many chooses the strength
CHOOSING = 256  # outputs that choose it, at most
LEAST = 1e-6  # standard deviation of a channel that is the same everywhere


class Ridge(NamedTuple):
    """A linear map of pixels: y = mean_y + (x - mean_x) weights."""

    weights: np.ndarray  # [D, E]
    mean_x: np.ndarray  # [D]
    mean_y: np.ndarray  # [E]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Rows [N, D] -> [N, E]."""
        return self.mean_y + (x - self.mean_x) @ self.weights


def solved(
    gram: np.ndarray,
    across: np.ndarray,
    strength: float,
) -> np.ndarray:
    """(X' X + l I)^-1 X' Y with l = strength times the mean of the diagonal of X' X: [D, E], in float64."""
    # of pictures that are all the same any number will do
    level = max(np.trace(gram) / len(gram), 1e-12)
    penalty = strength * level * np.eye(len(gram))
    return np.linalg.solve(gram + penalty, across)


def products(
    x: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(X' X, X' Y); multiplied in float32, which of thousands of pixels is half the time."""
    return np.float64(x.T @ x), np.float64(x.T @ y)


def ridge(
    x: np.ndarray,
    y: np.ndarray,
    strengths: tuple[float, ...] = STRENGTHS,
) -> tuple[Ridge, float]:
    """(map, strength): the map of rows x [N, D] to y [N, E] that minimises sum |y - map(x)|² + l |weights|².

    Of several strengths the one that is best on the last tenth of the pairs; then fitted to all of them.
    """
    mean_x = x.mean(0, dtype=np.float64).astype(np.float32)
    mean_y = y.mean(0, dtype=np.float64).astype(np.float32)
    away_x = x - mean_x
    away_y = y - mean_y
    # sets lie group by group: the tail has few groups that the head has too
    border = len(x) - max(len(x) // HELD, 1)
    head = products(away_x[:border], away_y[:border])
    tail = products(away_x[border:], away_y[border:])
    # some of the outputs tell as well as all of them which strength is best: drawn, for a stride may see one channel
    some = chosen(min(CHOOSING, y.shape[1]), y.shape[1])
    errors = []
    for strength in strengths:
        weights = solved(head[0], head[1][:, some], strength)
        missed = away_x[border:] @ weights - away_y[border:, some]
        errors.append(np.mean(missed**2))
    best = strengths[int(np.argmin(errors))]
    weights = solved(head[0] + tail[0], head[1] + tail[1], best)
    return Ridge(weights, mean_x, mean_y), best


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
