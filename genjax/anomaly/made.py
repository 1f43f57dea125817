"""Anomalies made of normal pictures, by which a method is chosen without one true anomaly.

Each breaks the shape of a held-out normal picture and leaves its parts, its tones and its sharpness as they are: halves
that do not belong together, a patch from elsewhere (CutPaste, Li et al. 2021, arXiv:2104.04015), a part that is gone, a
smooth warp, a stretch, quarters in another order. Others would be unfair: turns and mirrors are what `geotrans` is
trained on, and blurs and means of pictures are smoother than any normal one: every distance finds them more normal.
What is drawn is a function of (seed, pictures).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Draw = np.random.Generator


def halves(x: np.ndarray, rng: Draw) -> np.ndarray:
    """The lower half of each picture is the upper one of another, upside down."""
    middle = x.shape[1] // 2
    others = x[rng.permutation(len(x))]
    below = x.shape[1] - middle
    whole = x.copy()
    whole[:, middle:] = others[:, :below][:, ::-1]
    return whole


def pasted(x: np.ndarray, rng: Draw) -> np.ndarray:
    """A patch of another picture, from another place."""
    others = rng.permutation(len(x))
    made = x.copy()
    for i, other in enumerate(others):
        size = _size(x, rng)
        here = _window(x, size, rng)
        there = _window(x, size, rng)
        made[i][here] = x[other][there]
    return made


def erased(x: np.ndarray, rng: Draw) -> np.ndarray:
    """A patch is black."""
    made = x.copy()
    for picture in made:
        size = _size(x, rng)
        picture[_window(x, size, rng)] = 0.0
    return made


def warped(x: np.ndarray, rng: Draw) -> np.ndarray:
    """Every point is moved, by up to a seventh of the side, neighbours alike."""
    from scipy.ndimage import gaussian_filter

    shape = x.shape[1:3]
    side = min(shape)
    made = []
    for picture in x:
        noise = rng.normal(size=(2, *shape))
        smooth = gaussian_filter(noise, (0, side / 6, side / 6))
        largest = np.abs(smooth).max((1, 2), keepdims=True)
        moves = smooth * (side / 7) / largest
        places = np.indices(shape) + moves
        made.append(_seen(picture, places))
    return np.stack(made)


def stretched(x: np.ndarray, rng: Draw) -> np.ndarray:
    """Higher or wider by a third to four fifths, or lower or narrower by as much, about the middle."""
    shape = x.shape[1:3]
    middle = (np.array(shape) - 1.0) / 2.0
    made = []
    for picture in x:
        ratio = rng.uniform(0.55, 0.75)
        factors = np.ones(2)
        # along one axis, either way
        factors[rng.integers(2)] = ratio ** rng.choice([-1.0, 1.0])
        offset = np.indices(shape) - middle[:, None, None]
        places = middle[:, None, None] + offset * factors[:, None, None]
        made.append(_seen(picture, places))
    return np.stack(made)


def shuffled(x: np.ndarray, rng: Draw) -> np.ndarray:
    """The four quarters change places, none of the orders being the picture's own."""
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    made = x.copy()
    corners = [(0, 0), (0, columns), (rows, 0), (rows, columns)]
    for i, picture in enumerate(x):
        order = rng.permutation(4)
        while np.all(order == np.arange(4)):
            order = rng.permutation(4)
        for to, start in zip(corners, order, strict=True):
            top, left = corners[start]
            part = picture[top : top + rows, left : left + columns]
            made[i, to[0] : to[0] + rows, to[1] : to[1] + columns] = part
    return made


KINDS: dict[str, Callable[[np.ndarray, Draw], np.ndarray]] = {
    "halves": halves,
    "pasted": pasted,
    "erased": erased,
    "warped": warped,
    "stretched": stretched,
    "shuffled": shuffled,
}


def everything(pictures: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """{kind: float32 [N, H, W, C] in [0, 1]} of normal pictures [N, H, W, C] in [0, 1]."""
    x = np.asarray(pictures, np.float32)
    made = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        # a stream of its own: a kind more leaves the others as they are
        rng = np.random.default_rng([seed, number])
        made[kind] = make(x, rng).astype(np.float32)
    return made


def _size(x: np.ndarray, rng: Draw) -> np.ndarray:
    """Height and width of a patch, each from a fifth to a half of the picture's."""
    shape = np.array(x.shape[1:3])
    share = rng.uniform(0.2, 0.5, 2)
    return np.maximum(np.rint(share * shape), 1).astype(int)


def _window(x: np.ndarray, size: np.ndarray, rng: Draw) -> tuple[slice, slice]:
    """Where a patch lies, within the middle part of a picture, that is seldom empty."""
    shape = np.array(x.shape[1:3])
    border = shape // 10
    free = np.maximum(shape - size - 2 * border, 0)
    top, left = border + rng.integers(0, free + 1)
    top = min(top, shape[0] - size[0])
    left = min(left, shape[1] - size[1])
    return slice(top, top + size[0]), slice(left, left + size[1])


def _seen(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A picture [H, W, C] read at places [2, H, W], linearly between pixels; black beyond."""
    from scipy.ndimage import map_coordinates

    channels = []
    for k in range(picture.shape[-1]):
        channel = map_coordinates(picture[..., k], places, order=1)
        channels.append(channel)
    return np.stack(channels, -1)
