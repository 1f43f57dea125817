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
Pictures = np.ndarray  # float32 [N, H, W, C] in [0, 1]


def halves(x: Pictures, rng: Draw) -> Pictures:
    """The lower half of each picture is the upper one of another."""
    height = x.shape[1]
    middle = height // 2
    order = rng.permutation(len(x))
    others = x[order]
    # of an odd height the lower half is the larger
    above = others[:, : height - middle]
    made = x.copy()
    # upright, as no half is turned or mirrored
    made[:, middle:] = above
    return made


def pasted(x: Pictures, rng: Draw) -> Pictures:
    """A patch of another picture, from another place."""
    others = rng.permutation(len(x))
    made = x.copy()
    for i, other in enumerate(others):
        size = _size(x, rng)
        # two places of one size
        here = _window(x, size, rng)
        there = _window(x, size, rng)
        donor = x[other]
        made[i][here] = donor[there]
    return made


def erased(x: Pictures, rng: Draw) -> Pictures:
    """A patch is black."""
    made = x.copy()
    for picture in made:
        size = _size(x, rng)
        window = _window(x, size, rng)
        # a view: it is written through
        picture[window] = 0.0
    return made


def warped(x: Pictures, rng: Draw) -> Pictures:
    """Every point is moved, by up to a seventh of the side, neighbours alike."""
    from scipy.ndimage import gaussian_filter

    shape = x.shape[1:3]
    still = np.indices(shape)
    side = min(shape)
    # along each axis by itself, so the first of the widths is none
    widths = (0.0, side / 6, side / 6)
    far = side / 7
    made = []
    for picture in x:
        noise = rng.normal(size=still.shape)
        smooth = gaussian_filter(noise, widths)
        size = np.abs(smooth)
        largest = size.max((1, 2), keepdims=True)
        places = still + far * smooth / largest
        seen = _seen(picture, places)
        made.append(seen)
    return np.stack(made)


def stretched(x: Pictures, rng: Draw) -> Pictures:
    """Higher or wider by a third to four fifths, or lower or narrower by a quarter to nearly a half."""
    shape = np.array(x.shape[1:3])
    # about the middle: what is small stays in the frame's
    middle = (shape - 1.0) / 2.0
    middle = middle[:, None, None]
    offset = np.indices(shape) - middle
    made = []
    for picture in x:
        ratio = rng.uniform(0.55, 0.75)
        way = rng.choice([-1.0, 1.0])
        # along one axis alone
        factors = np.ones((2, 1, 1))
        axis = rng.integers(2)
        factors[axis] = ratio**way
        places = middle + factors * offset
        seen = _seen(picture, places)
        made.append(seen)
    return np.stack(made)


def shuffled(x: Pictures, rng: Draw) -> Pictures:
    """The four quarters change places, none of the orders being the picture's own."""
    rows = x.shape[1] // 2
    columns = x.shape[2] // 2
    quarters = []
    for top in (0, rows):
        for left in (0, columns):
            down = slice(top, top + rows)
            right = slice(left, left + columns)
            quarters.append((down, right))
    made = x.copy()
    for i, picture in enumerate(x):
        order = _another_order(rng)
        for place, start in zip(quarters, order, strict=True):
            # read from the original, which stays as it is
            part = picture[quarters[start]]
            made[i][place] = part
    return made


def _another_order(rng: Draw) -> np.ndarray:
    """An order of four, none but the usual one being left out."""
    usual = np.arange(4)
    order = usual
    while np.array_equal(order, usual):
        order = rng.permutation(4)
    return order


KINDS: dict[str, Callable[[Pictures, Draw], Pictures]] = {
    "halves": halves,
    "pasted": pasted,
    "erased": erased,
    "warped": warped,
    "stretched": stretched,
    "shuffled": shuffled,
}


def everything(pictures: np.ndarray, seed: int = 0) -> dict[str, Pictures]:
    """{kind: anomalies} of normal pictures [N, H, W, C] in [0, 1], one of each kind for each picture."""
    x = np.asarray(pictures, np.float32)
    found = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        # a stream of its own: a kind more leaves the others as they are
        rng = np.random.default_rng([seed, number])
        made = make(x, rng)
        found[kind] = made.astype(np.float32)
    return found


def _size(x: Pictures, rng: Draw) -> np.ndarray:
    """Height and width of a patch, each from a fifth to a half of the picture's."""
    shape = np.array(x.shape[1:3])
    share = rng.uniform(0.2, 0.5, 2)
    pixels = np.rint(share * shape)
    # of tiny pictures a fifth may be none
    some = np.maximum(pixels, 1)
    return some.astype(int)


def _window(x: Pictures, size: np.ndarray, rng: Draw) -> tuple[slice, slice]:
    """Where a patch lies: not in the outer tenth, which is often empty."""
    shape = np.array(x.shape[1:3])
    border = shape // 10
    free = shape - size - 2 * border
    # a patch is half of the side at most, so there is room
    start = border + rng.integers(0, free + 1)
    stop = start + size
    down = slice(start[0], stop[0])
    right = slice(start[1], stop[1])
    return down, right


def _seen(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A picture [H, W, C] read at places [2, H, W], linearly between pixels; black beyond."""
    from scipy.ndimage import map_coordinates

    channels = []
    # the function knows planes alone
    for k in range(picture.shape[-1]):
        plane = picture[..., k]
        channel = map_coordinates(plane, places, order=1)
        channels.append(channel)
    return np.stack(channels, -1)
