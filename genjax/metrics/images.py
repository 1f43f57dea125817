"""Distances of an image from its original, per example: MSE, PSNR, SSIM (Wang et al. 2004, 10.1109/TIP.2003.819861).

PSNR = 10 log10(1 / MSE);   SSIM (eq. 13) is the mean over windows of

(2 mx my + C1)(2 sxy + C2) / ((mx² + my² + C1)(sx² + sy² + C2)),   C1 = 0.01², C2 = 0.03² for the range [0, 1]

with means, variances and covariance weighted by a Gaussian of sigma 1.5 cut to 11x11. Windows lie inside the image
whole, nothing is padded; channels are measured apart and averaged.
"""

from __future__ import annotations

import numpy as np

CHUNK = 256  # images in float64 at a time
SIGMA = 1.5


def _unit(x: np.ndarray) -> np.ndarray:
    """Bytes, or floats in [0, 1] -> float64 in [0, 1]."""
    x = np.asarray(x)
    return x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64)


def _each(measure, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """measure(a, b) [N] over chunks of images [N, H, W, C]; ValueError unless the shapes are the same."""
    if np.shape(a) != np.shape(b) or np.ndim(a) != 4:
        raise ValueError(
            f"two sets of images [N, H, W, C] of one shape are compared, got {np.shape(a)}, {np.shape(b)}"
        )
    parts = [slice(i, i + CHUNK) for i in range(0, len(a), CHUNK)]
    return np.concatenate([measure(_unit(a[i]), _unit(b[i])) for i in parts] or [np.zeros(0)])


def mse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared error of images in [0, 1] (or uint8), [N]."""
    return _each(lambda x, y: np.mean((x - y) ** 2, (1, 2, 3)), a, b)


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in decibels for the range [0, 1], [N]; inf of equal images."""
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(mse(a, b))


def _band(size: int, window: int) -> np.ndarray:
    """[size - window + 1, size]: row i holds the Gaussian at i, so that band @ x smooths without padding."""
    w = np.exp(-0.5 * ((np.arange(window) - (window - 1) / 2) / SIGMA) ** 2)
    band = np.zeros((size - window + 1, size))
    for i in range(len(band)):
        band[i, i : i + window] = w / w.sum()
    return band


def ssim(a: np.ndarray, b: np.ndarray, window: int = 11) -> np.ndarray:
    """Structural similarity of images in [0, 1] (or uint8), [N], at most 1, which equal images reach.

    ValueError for images smaller than the window: ask for a smaller odd one (7 for 8x8) and say so with the number.
    """
    if window < 1 or window % 2 == 0 or min(np.shape(a)[1:3]) < window:
        size = "x".join(map(str, np.shape(a)[1:3]))
        raise ValueError(
            f"SSIM's window must be odd and fit in the image: {window} does not in {size}"
        )
    rows, columns = (_band(size, window) for size in np.shape(a)[1:3])

    def measure(x, y):
        smooth = lambda v: np.einsum("ih,nhwc,jw->nijc", rows, v, columns, optimize=True)  # noqa: E731
        mx, my = smooth(x), smooth(y)
        xx, yy, xy = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        found = (2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (xx + yy + c2))
        return found.mean((1, 2, 3))

    return _each(measure, a, b)
