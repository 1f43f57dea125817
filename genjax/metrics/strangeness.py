"""How strange an example is to a model of density, and why its likelihood alone does not say so. All in bits; higher is
stranger.

* Likelihood: -log2 p(x). In high dimension it fails: N(0, I) has no likelier point than 0, and never draws one like it;
  a model of clothes finds digits likelier than clothes (Nalisnick et al. 2019, arXiv:1810.09136).
* Input complexity: -log2 p(x) - L(x), L the bits of a lossless coder that knows nothing of the data (Serrà et al. 2020,
  arXiv:1909.11480, eq. 3): what the model needs more than it should.
* Likelihood ratio: log2 q(x) - log2 p(x), q a model of the background (Ren et al. 2019, arXiv:1906.02845, eq. 6).
* Typicality: |-log2 p(x) - H|, H the mean over normal examples (Nalisnick et al. 2019, arXiv:1906.02994, for one x).
"""

from __future__ import annotations

import lzma

import numpy as np

from genjax.errors import UserError
from genjax.pictures import lossless

BYTE = 8.0  # bits
# of xz -9e, but for a window that is no larger than pictures are: its memory would take longer than its work
WINDOW = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**16}


def complexity(images: np.ndarray) -> np.ndarray:
    """L(x) [N] in bits: the shortest of PNG, WebP and xz of each picture, uint8 [N, H, W, C], file heads included."""
    images = np.asarray(images)
    # a lossless coder of rounded floats would be one of other pictures
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UserError(
            f"a lossless coder takes bytes [N, H, W, C], got {images.dtype} {images.shape}."
        )
    shortest = []
    for picture in images:
        # an ensemble, as in the paper: no one coder is good at all kinds of pictures
        bytes_ = [lossless.size(picture, form) for form in lossless.SLOWEST]
        stream = lzma.compress(picture.tobytes(), check=lzma.CHECK_NONE, filters=[WINDOW])
        bytes_.append(len(stream))
        shortest.append(min(bytes_))
    return BYTE * np.array(shortest)


def surplus(bits: np.ndarray, of_coder: np.ndarray) -> np.ndarray:
    """Input complexity's score [N] of -log2 p(x) and L(x), [N] each."""
    # below 0 where the model knows more than the coder, as of normal pictures it should
    return np.subtract(bits, of_coder)


def ratio(bits: np.ndarray, of_background: np.ndarray) -> np.ndarray:
    """The likelihood ratio's score [N] of -log2 p(x) and -log2 q(x), [N] each."""
    return np.subtract(bits, of_background)


def untypical(bits: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Typicality's score [N] of -log2 p(x) [N] and of normal examples [M]: too likely is as strange as too unlikely."""
    entropy = np.mean(normal)
    # per example: the paper compares means of batches
    away = np.subtract(bits, entropy)
    return np.abs(away)
