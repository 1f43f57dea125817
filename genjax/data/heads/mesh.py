"""A mesh whose vertices are sums of shapes, and what is asked of its triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse


class Mesh(NamedTuple):
    """V vertices of K shapes, and F triangles on them, counter-clockwise for who sees their front."""

    base: np.ndarray  # float32 [V, 3]
    shapes: np.ndarray  # float32 [K, V, 3]: what each adds to the base
    triangles: np.ndarray  # int [F, 3]
    part: np.ndarray  # int [F]

    def grown(
        self,
        base: np.ndarray,
        shapes: np.ndarray,
        triangles: np.ndarray,
        part: int,
    ) -> Mesh:
        """The mesh with more vertices, [W, 3] and [K, W, 3], and triangles of one part on old and new ones."""
        return Mesh(
            np.concatenate([self.base, base.astype(np.float32)]),
            np.concatenate([self.shapes, shapes.astype(np.float32)], 1),
            np.concatenate([self.triangles, triangles]),
            np.concatenate([self.part, np.full(len(triangles), part)]),
        )


def incidence(
    triangles: np.ndarray,
    vertices: int,
) -> sparse.csr_array:
    """Which triangles meet in a vertex, float32 [V, F] of 0 and 1."""
    faces = len(triangles)
    rows = triangles.T.reshape(-1)
    columns = np.tile(np.arange(faces), 3)
    ones = np.ones(3 * faces, np.float32)
    return sparse.csr_array((ones, (rows, columns)), (vertices, faces))


def normals(
    base: np.ndarray,
    triangles: np.ndarray,
) -> np.ndarray:
    """Unit normals of the vertices, [V, 3]: means over the triangles that meet there, by their areas."""
    a, b, c = base[triangles.T]
    cross = np.cross(b - a, c - a)
    total = incidence(triangles, len(base)) @ cross
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.maximum(length, 1e-9)


def inward(
    triangles: np.ndarray,
    vertices: int,
) -> sparse.csr_array:
    """Takes numbers of the vertices to means over the triangles around each, [V, V]."""
    meets = incidence(triangles, vertices)
    product = meets @ meets.T
    count = np.asarray(product.sum(1)).reshape(-1)
    return sparse.diags_array(1 / np.maximum(count, 1)) @ product


def border(triangles: np.ndarray) -> np.ndarray:
    """The directed edges that belong to one triangle alone, int [E, 2]."""
    following = np.roll(triangles, -1, axis=1)
    edges = np.stack([triangles, following], 2).reshape(-1, 2)
    # whichever way it is gone along
    ordered = np.sort(edges, axis=1)
    _, which, count = np.unique(ordered, axis=0, return_inverse=True, return_counts=True)
    alone = count[which.reshape(-1)] == 1
    return edges[alone]


def ring(edges: np.ndarray) -> np.ndarray:
    """The vertices along directed edges that make one closed line, each once, int [E]."""
    after = dict(edges.tolist())
    line = [int(edges[0, 0])]
    while after[line[-1]] != line[0]:
        line.append(after[line[-1]])
    return np.array(line)


def sheet(
    number: np.ndarray,
    closed: bool,
) -> np.ndarray:
    """Triangles of a grid of vertices whose numbers are [rows, columns]; closed: the last column meets the first.

    Their front is where the columns run to the right and the rows down.
    """
    if closed:
        number = np.concatenate([number, number[:, :1]], 1)
    left = number[:, :-1]
    right = number[:, 1:]
    # the corners of each cell of the grid: above, then below
    a = left[:-1]
    b = right[:-1]
    c = left[1:]
    d = right[1:]
    upper = np.stack([a, c, b], -1)
    lower = np.stack([b, c, d], -1)
    return np.concatenate([upper, lower]).reshape(-1, 3)
