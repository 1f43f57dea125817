"""Triangles to pixels: which triangle is nearest at the middle of each cell of a grid, for many pictures at once.

Most triangles of a head are smaller than a cell, so every triangle is asked for the few middles in the box around it;
all these candidates of all pictures are arrays. A candidate's key has its depth in the high bits and its number in the
low ones, so that the depth buffer is one `np.maximum.at`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# relative to a triangle: the middles on an edge that two triangles share belong to both, whatever the rounding
EDGE = 1e-3
LEVELS = 1 << 30  # of depth
BITS = 32  # of a candidate's number
HALF = np.float32(0.5)  # from a cell's corner to its middle


class Hits(NamedTuple):
    """What is seen in the M cells that are not empty."""

    cell: np.ndarray  # [M] int: (picture * side + row) * side + column, ascending
    triangle: np.ndarray  # [M] int
    weights: np.ndarray  # [3, M] float32, barycentric: of the triangle's corners


class _Boxes(NamedTuple):
    """Of P triangles that may be seen: the cells whose middles lie in the box around them."""

    number: np.ndarray  # [P] int: picture * triangles + triangle
    left: np.ndarray  # [P] int
    top: np.ndarray
    width: np.ndarray  # at least 1
    height: np.ndarray


class _Planes(NamedTuple):
    """Of P triangles: one corner, and how the weights of the two others and the depth change from there; [P] each."""

    x: np.ndarray
    y: np.ndarray
    depth: np.ndarray
    x_second: np.ndarray  # of the second corner's weight along x
    y_second: np.ndarray
    x_third: np.ndarray
    y_third: np.ndarray
    depth_second: np.ndarray  # of the depth along the second corner's weight
    depth_third: np.ndarray


def rasterise(
    points: np.ndarray,
    triangles: np.ndarray,
    both: np.ndarray,
    side: int,
) -> Hits:
    """The nearest triangles of n pictures of side x side cells.

    points: float32 [n, 3, V]: x to the right and y down in cells, and z towards the viewer; triangles [F, 3],
    counter-clockwise for who sees their front; both [F]: of those the back is seen as well.
    """
    corners = np.take(points, triangles.T, axis=2)  # [n, 3, 3, F]: axis, then corner
    boxes = _boxes(corners, both, side)
    planes = _planes(corners, boxes.number)
    which, row, column = _candidates(boxes)
    own = _Planes(*(part[which] for part in planes))
    weights = _weights(own, row, column)  # [3, M]
    inside = np.flatnonzero(weights.min(0) >= -EDGE)

    _, second, third = weights
    depth = own.depth + own.depth_second * second
    depth += own.depth_third * third
    number = boxes.number[which]
    # the row of all pictures under each other
    line = number // len(triangles) * side + row
    cell = line * side + column
    cells = len(points) * side * side
    seen, nearest = _nearest(cell[inside], depth[inside], cells)
    kept = inside[nearest]
    triangle = number[kept] % len(triangles)
    return Hits(seen, triangle, weights[:, kept])


def _weights(
    own: _Planes,
    row: np.ndarray,
    column: np.ndarray,
) -> np.ndarray:
    """The weights of the three corners in the middles of cells, [3, M]: all at least 0 inside a triangle."""
    dx = column.astype(np.float32) + HALF - own.x
    dy = row.astype(np.float32) + HALF - own.y
    second = own.x_second * dx + own.y_second * dy
    third = own.x_third * dx + own.y_third * dy
    first = 1 - second - third
    return np.stack([first, second, third])


def _boxes(
    corners: np.ndarray,
    both: np.ndarray,
    side: int,
) -> _Boxes:
    """The boxes of the triangles that face the viewer and have the middle of a cell in their box."""
    x, y, _ = np.swapaxes(corners, 0, 1)  # [n, 3, F] each
    left, width = _span(x, side)
    top, height = _span(y, side)
    ax, bx, cx = np.swapaxes(x, 0, 1)  # [n, F] each
    ay, by, cy = np.swapaxes(y, 0, 1)
    turn = (bx - ax) * (cy - ay)
    turn -= (cx - ax) * (by - ay)
    # y runs down, so that what is counter-clockwise turns the other way
    seen = (turn < 0) | (both & (turn > 0))
    seen &= (width > 0) & (height > 0)
    number = np.flatnonzero(seen)
    parts = [part.reshape(-1)[number] for part in (left, top, width, height)]
    return _Boxes(number, *parts)


def _span(
    x: np.ndarray,
    side: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(first cell, number of cells) whose middles lie between the corners' least and greatest x, [n, F] each."""
    a, b, c = np.swapaxes(x, 0, 1)
    least = np.minimum(np.minimum(a, b), c)
    most = np.maximum(np.maximum(a, b), c)
    # in the picture: what is beyond its edges has no cells
    least = least.clip(HALF, side)
    most = most.clip(0, side)
    first = np.ceil(least - HALF)
    last = np.floor(most - HALF)
    count = last - first + 1
    return first.astype(np.int32), count.astype(np.int32)


def _planes(
    corners: np.ndarray,
    number: np.ndarray,
) -> _Planes:
    n, _, _, faces = corners.shape
    flat = np.moveaxis(corners, 0, 2).reshape(3, 3, n * faces)
    a, b, c = np.moveaxis(flat[:, :, number], 1, 0)  # the corners, [3, P] each
    second = b - a
    third = c - a
    scale = 1 / (second[0] * third[1] - third[0] * second[1])
    return _Planes(
        x=a[0],
        y=a[1],
        depth=a[2],
        x_second=third[1] * scale,
        y_second=-third[0] * scale,
        x_third=-second[1] * scale,
        y_third=second[0] * scale,
        depth_second=second[2],
        depth_third=third[2],
    )


def _candidates(boxes: _Boxes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(place in the boxes, row, column) of all cells of all boxes, [M] each."""
    count = boxes.width * boxes.height
    which = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count  # of each box
    within = np.arange(len(which)) - first[which]
    width = boxes.width[which]
    down = within // width
    across = within - down * width
    row = boxes.top[which] + down
    column = boxes.left[which] + across
    return which, row, column


def _nearest(
    cell: np.ndarray,
    depth: np.ndarray,
    cells: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(cells that are seen, ascending; the candidate that is nearest in each)."""
    if not len(cell):
        return cell, cell
    least = depth.min()
    spread = max(float(depth.max() - least), 1e-6)
    level = ((depth - least) * (LEVELS / spread)).astype(np.int64)
    # from 1 on: 0 is an empty cell
    key = (level + 1) << BITS
    key |= np.arange(len(cell))
    best = np.zeros(cells, np.int64)
    np.maximum.at(best, cell, key)
    seen = np.flatnonzero(best)
    candidate = best[seen] & ((1 << BITS) - 1)
    return seen, candidate
