"""Distances of an image from its original, per example: MSE, PSNR, SSIM (Wang et al. 2004, 10.1109/TIP.2003.819861).

PSNR = 10 log10(1 / MSE);   SSIM (eq. 13) is the mean over windows of

(2 mx my + C1)(2 sxy + C2) / ((mx² + my² + C1)(sx² + sy² + C2)),   C1 = 0.01², C2 = 0.03² for the range [0, 1]

with means, variances and covariance weighted by a Gaussian of sigma 1.5 cut to 11x11. Windows lie inside the image
whole, nothing is padded; channels are measured apart and averaged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

CHUNK = 256  # images in float64 at a time
SIGMA = 1.5
C1 = 0.01**2  # of eq. 13: they keep the quotient finite where an image is black or flat
C2 = 0.03**2
WINDOW = 11  # side of the Gaussian [pixels]
# of the five sizes, the largest first; the least side that the window fits in after four halvings
POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SIDE = WINDOW * 2 ** (len(POWERS) - 1)


def _unit(x: np.ndarray) -> np.ndarray:
    """Bytes, or floats in [0, 1] -> float64 in [0, 1]."""
    x = np.asarray(x)
    if x.dtype == np.uint8:
        return x / 255.0
    return x.astype(np.float64)


def _each(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    a: np.ndarray,
    b: np.ndarray,
) -> np.ndarray:
    """measure(a, b) [N] over chunks of images [N, H, W, C]; ValueError unless the shapes are the same."""
    shape_a = np.shape(a)
    shape_b = np.shape(b)
    if shape_a != shape_b or len(shape_a) != 4:
        raise ValueError(
            f"two sets of images [N, H, W, C] of one shape are compared, got {shape_a}, {shape_b}"
        )
    found = [np.zeros(0)]  # so that no images give no numbers, rather than an error
    for start in range(0, len(a), CHUNK):
        rows = slice(start, start + CHUNK)
        x = _unit(a[rows])
        y = _unit(b[rows])
        found.append(measure(x, y))
    return np.concatenate(found)


def _mse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of a chunk in [0, 1], [N]."""
    squares = (x - y) ** 2
    return np.mean(squares, (1, 2, 3))


def mse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared error of images in [0, 1] (or uint8), [N]."""
    return _each(_mse, a, b)


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in decibels for the range [0, 1], [N]; inf of equal images."""
    error = mse(a, b)
    with np.errstate(divide="ignore"):  # equal images: log 0 is meant
        return -10.0 * np.log10(error)


def _band(size: int, window: int) -> np.ndarray:
    """[size - window + 1, size]: row i holds the Gaussian at i, so that band @ x smooths without padding."""
    middle = (window - 1) / 2
    offset = np.arange(window) - middle  # in pixels
    z = offset / SIGMA
    gaussian = np.exp(-0.5 * z**2)
    weights = gaussian / gaussian.sum()
    places = size - window + 1  # of the window, whole inside the image
    band = np.zeros((places, size))
    for i in range(places):
        band[i, i : i + window] = weights
    return band


def _compared(
    x: np.ndarray,  # [N, H, W, C] in [0, 1]
    y: np.ndarray,  # [N, H, W, C] in [0, 1]
    rows: np.ndarray,  # [h, H], a band
    columns: np.ndarray,  # [w, W], a band
) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of eq. 13 in every window, [N, h, w, C]: of the means, and of the variances."""

    def smooth(v: np.ndarray) -> np.ndarray:  # the Gaussian is separable: one product a side
        return np.einsum("ih,nhwc,jw->nijc", rows, v, columns, optimize=True)

    # means, variances and the covariance of every window
    mx = smooth(x)
    my = smooth(y)
    sxx = smooth(x * x) - mx * mx
    syy = smooth(y * y) - my * my
    sxy = smooth(x * y) - mx * my
    means = (2 * mx * my + C1) / (mx**2 + my**2 + C1)
    variances = (2 * sxy + C2) / (sxx + syy + C2)
    return means, variances


def _structure(x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray):
    """SSIM of a chunk, [N]."""
    means, variances = _compared(x, y, rows, columns)
    return (means * variances).mean((1, 2, 3))


def ssim(a: np.ndarray, b: np.ndarray, window: int = 11) -> np.ndarray:
    """Structural similarity of images in [0, 1] (or uint8), [N], at most 1, which equal images reach.

    ValueError for images smaller than the window: ask for a smaller odd one (7 for 8x8) and say so with the number.
    """
    sides = np.shape(a)[1:3]
    odd = window >= 1 and window % 2 == 1
    if not odd or min(sides) < window:
        size = "x".join(map(str, sides))
        raise ValueError(
            f"SSIM's window must be odd and fit in the image: {window} does not in {size}"
        )
    height, width = sides
    rows = _band(height, window)
    columns = _band(width, window)
    measure = functools.partial(_structure, rows=rows, columns=columns)
    return _each(measure, a, b)


def ms_ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity at five sizes (Wang et al. 2003, 10.1109/ACSSC.2003.1292216), [N], at most 1.

    The variances' factor of every size, each half the one before by means of 2x2, and the means' factor of the last, to
    the powers of the paper. Channels are measured apart and averaged. ValueError for sides below 176.
    """
    sides = np.shape(a)[1:3]
    if min(sides) < SIDE:
        size = "x".join(map(str, sides))
        raise ValueError(f"MS-SSIM halves pictures four times: {size} is smaller than {SIDE}")
    return _each(_scales, a, b)


def _scales(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """MS-SSIM of a chunk, [N]."""
    found = np.ones((len(x), x.shape[-1]))
    for scale, power in enumerate(POWERS):
        height, width = x.shape[1:3]
        bands = _band(height, WINDOW), _band(width, WINDOW)
        means, variances = _compared(x, y, *bands)
        last = scale == len(POWERS) - 1
        index = means * variances if last else variances
        # a channel may be the other's negative, and a negative number has no such power
        mean = np.maximum(index.mean((1, 2)), 0.0)
        found *= mean**power
        x = _halved(x)
        y = _halved(y)
    return found.mean(-1)


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; an odd last row or column has no pair."""
    height = x.shape[1] // 2
    width = x.shape[2] // 2
    even = x[:, : 2 * height, : 2 * width]
    parts = even.reshape(len(x), height, 2, width, 2, -1)
    return parts.mean((2, 4))
