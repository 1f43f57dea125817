"""Triangles to pixels: which triangle is nearest at the middle of each cell of a grid, for many pictures at once.

Most triangles of a head are smaller than a cell, so every triangle is asked for the few middles in the box around it;
all these candidates of all pictures are arrays. One key a candidate, its depth above its number, makes the depth
buffer one `np.maximum.at`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# relative to a triangle: the middles on an edge that two triangles share belong to both, whatever the rounding
EDGE = 1e-3
LEVELS = 1 << 30  # of depth


class Hits(NamedTuple):
    """What is seen in the M cells that are not empty."""

    cell: np.ndarray  # [M] int: (picture * side + row) * side + column, ascending
    triangle: np.ndarray  # [M] int
    weights: np.ndarray  # [3, M] float32, barycentric: of the triangle's corners


class _Boxes(NamedTuple):
    """The cells whose middles lie in the box around each of P triangles that may be seen."""

    number: np.ndarray  # [P] int: picture * triangles + triangle
    left: np.ndarray  # [P] int
    top: np.ndarray
    width: np.ndarray  # at least 1
    height: np.ndarray


def rasterise(points: np.ndarray, triangles: np.ndarray, both: np.ndarray, side: int) -> Hits:
    """The nearest triangles of n pictures of side x side cells.

    points: float32 [n, 3, V]: x to the right and y down in cells, and z towards the viewer; triangles [F, 3],
    counter-clockwise for who sees their front; both [F]: of those the back is seen as well.
    """
    corners = np.take(points, triangles.T, axis=2)  # [n, 3, 3, F]: axis, then corner
    boxes = _boxes(corners, both, side)
    planes = _planes(corners, boxes.number)  # [9, P]
    count = boxes.width * boxes.height
    total = int(count.sum())
    which = np.repeat(np.arange(len(count)), count)  # [M], the triangle of each candidate
    first = np.cumsum(count) - count
    within = np.arange(total) - first[which]
    row = within // boxes.width[which]
    column = within - row * boxes.width[which] + boxes.left[which]
    row += boxes.top[which]

    ax, ay, az, x1, y1, x2, y2, z1, z2 = planes
    dx = column.astype(np.float32) + np.float32(0.5) - ax[which]
    dy = row.astype(np.float32) + np.float32(0.5) - ay[which]
    w1 = x1[which] * dx + y1[which] * dy
    w2 = x2[which] * dx + y2[which] * dy
    w0 = 1 - w1 - w2
    inside = np.minimum(np.minimum(w0, w1), w2) >= -EDGE
    kept = np.flatnonzero(inside)
    which, w0, w1, w2 = which[kept], w0[kept], w1[kept], w2[kept]
    depth = az[which] + z1[which] * w1 + z2[which] * w2
    picture, triangle = np.divmod(boxes.number[which], len(triangles))
    cell = (picture * side + row[kept]) * side + column[kept]
    seen, won = _nearest(cell, depth, len(points) * side * side)
    weights = np.stack([w0[won], w1[won], w2[won]])
    return Hits(seen, triangle[won], weights)


def _boxes(corners: np.ndarray, both: np.ndarray, side: int) -> _Boxes:
    """The boxes of the triangles that face the viewer and hold the middle of a cell in their box."""
    x, y = corners[:, 0], corners[:, 1]  # [n, 3, F]
    left, width = _span(x, side)
    top, height = _span(y, side)
    turn = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    # y runs down, so that what is counter-clockwise turns the other way
    seen = (turn < 0) | (both & (turn > 0))
    number = np.flatnonzero(seen & (width > 0) & (height > 0))
    parts = [part.reshape(-1)[number] for part in (left, top, width, height)]
    return _Boxes(number, *parts)


def _span(x: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(first cell, number of cells) whose middles lie between the corners' least and greatest x, [n, F] each."""
    least = np.minimum(np.minimum(x[:, 0], x[:, 1]), x[:, 2])
    most = np.maximum(np.maximum(x[:, 0], x[:, 1]), x[:, 2])
    first = np.ceil(np.clip(least, 0, side) - np.float32(0.5)).astype(np.int32)
    last = np.floor(np.clip(most, 0, side) - np.float32(0.5)).astype(np.int32)
    first = np.maximum(first, 0)
    return first, last - first + 1


def _planes(corners: np.ndarray, number: np.ndarray) -> np.ndarray:
    """For each triangle its first corner, the slopes of two weights in x and y, and of depth in the weights; [9, P]."""
    n, _, _, faces = corners.shape
    flat = np.moveaxis(corners, 0, 2).reshape(3, 3, n * faces)
    (ax, bx, cx), (ay, by, cy), (az, bz, cz) = flat[:, :, number]
    bx, cx, by, cy = bx - ax, cx - ax, by - ay, cy - ay
    scale = 1 / (bx * cy - cx * by)
    slopes = [cy * scale, -cx * scale, -by * scale, bx * scale]
    return np.stack([ax, ay, az, *slopes, bz - az, cz - az])


def _nearest(cell: np.ndarray, depth: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """(cells that are seen, ascending; the candidate that is nearest in each)."""
    if not len(cell):
        return cell, cell
    least, most = depth.min(), depth.max()
    scale = (LEVELS - 1) / max(float(most - least), 1e-6)
    level = ((depth - least) * scale).astype(np.int64)
    # above 0, which stands for an empty cell
    key = ((level + 1) << 32) | np.arange(len(cell))
    best = np.zeros(cells, np.int64)
    np.maximum.at(best, cell, key)
    seen = np.flatnonzero(best)
    return seen, best[seen] & 0xFFFFFFFF
