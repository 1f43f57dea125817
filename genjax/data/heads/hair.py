"""Hair: a second skin over the scalp, and a curtain that hangs from it, both moved by shapes of their own.

Below the hairline the second skin lies under the first: where they cross is a smooth line, triangles or not.
"""

from __future__ import annotations

import numpy as np

from genjax.data.heads.mesh import Mesh, normals, sheet

# lie on the scalp; stand off by a decimetre; hang over the forehead; go at the top; hang down
HAIR_SHAPES = ("scalp", "volume", "fringe", "bald", "long")
_SCALP, _VOLUME, _FRINGE, _BALD, _LONG = range(5)
# the hairline from the neck around the ears to the forehead: its height y at z
_LINE_Z = (-0.4, 0.1, 0.35, 0.5, 0.62, 0.8, 1.1, 1.45)
_LINE_Y = (6.74, 6.74, 6.85, 7.15, 7.5, 7.8, 7.9, 7.92)
# it is steep at the temples: the way to it is less than the height above it
_SLOPE = (1.0, 1.0, 0.7, 0.45, 0.5, 0.8, 1.0, 1.0)
_COLUMNS, _ROWS = 41, 6  # of the curtain


def above_line(places: np.ndarray) -> np.ndarray:
    """How far places [V, 3] of the unshaped head are above the hairline, [V], about in decimetres; negative below."""
    x, y, z = places.T
    line = np.interp(z, _LINE_Z, _LINE_Y)
    # the corners of the forehead lie a little higher than its middle
    aside = (np.abs(x) - 0.42) / 0.16
    corner = np.exp(-(aside**2))
    line += 0.06 * np.where(z > 0.9, corner, 0)
    slope = np.interp(z, _LINE_Z, _SLOPE)
    return slope * (y - line)


def with_hair(
    mesh: Mesh,
    grows: np.ndarray,
    part: int,
) -> Mesh:
    """The mesh with hair as triangles of `part`, and five shapes more; grows [F]: the triangles that may have hair."""
    none = np.zeros((len(HAIR_SHAPES), *mesh.base.shape), np.float32)
    more = mesh._replace(shapes=np.concatenate([mesh.shapes, none]))
    return _with_curtain(_with_scalp(more, grows, part), part)


def _rooted(
    mesh: Mesh,
    roots: np.ndarray,
    moves: np.ndarray,
) -> np.ndarray:
    """The shapes [K, R, 3] of hair that moves with its roots, and by `moves` [5, R, 3] besides."""
    shapes = mesh.shapes[:, roots]  # a copy
    shapes[-len(moves) :] = moves
    return shapes


def _with_scalp(
    mesh: Mesh,
    grows: np.ndarray,
    part: int,
) -> Mesh:
    above = above_line(mesh.base)  # [V]
    near = above > -0.3
    near &= mesh.base[:, 1] > 6.6  # not the throat
    over = grows & near[mesh.triangles].all(1)
    roots, faces = np.unique(mesh.triangles[over], return_inverse=True)
    moves = _scalp_moves(mesh.base[roots], above[roots])
    out = normals(mesh.base, mesh.triangles)[roots]
    moves[[_SCALP, _VOLUME, _BALD]] *= out
    return mesh.grown(
        mesh.base[roots],
        _rooted(mesh, roots, moves),
        len(mesh.base) + faces.reshape(-1, 3),
        part,
    )


def _scalp_moves(
    places: np.ndarray,
    above: np.ndarray,
) -> np.ndarray:
    """[5, R, 3], of those that go outward the way along the normal."""
    _, y, z = places.T
    moves = np.zeros((len(HAIR_SHAPES), len(places), 3), np.float32)
    cover = np.clip(above / 0.08, -1, 1)
    moves[_SCALP] = 0.05 * cover[:, None]

    depth = np.maximum(above, 0)
    thick = 1 - np.exp(-depth / 0.2)
    thick *= np.interp(y, (7.2, 8.2), (0.6, 1))  # more at the top
    moves[_VOLUME] = thick[:, None]

    past = (above - 0.05) / 0.1
    edge = np.exp(-(past**2))
    edge *= np.interp(z, (0.6, 1), (0, 1))
    down = np.array([0.0, -0.3, 0.12])
    moves[_FRINGE] = edge[:, None] * down

    top = np.interp(y, (7.75, 8.05), (0, 1))
    top *= np.interp(z, (0, 0.5), (0, 1))
    moves[_BALD] = -0.2 * top[:, None]
    return moves


def _with_curtain(
    mesh: Mesh,
    part: int,
) -> Mesh:
    """Of no length all vertices of the curtain lie at their roots, and its triangles are nothing."""
    scalp = np.unique(mesh.triangles[mesh.part == part])
    angle = np.pi + np.linspace(-2.0, 2.0, _COLUMNS)  # 0 is the face
    level = np.zeros(_COLUMNS)
    ray = np.stack([np.sin(angle), level, np.cos(angle)], 1)  # [columns, 3]
    first = scalp[_nearest(mesh.base[scalp], ray)]
    roots = np.tile(first, _ROWS)
    moves = np.zeros((len(HAIR_SHAPES), len(roots), 3), np.float32)
    moves[_LONG] = _fall(ray)
    number = np.arange(len(roots)).reshape(_ROWS, _COLUMNS)
    return mesh.grown(
        mesh.base[roots],
        _rooted(mesh, roots, moves),
        sheet(len(mesh.base) + number, closed=False),
        part,
    )


def _fall(ray: np.ndarray) -> np.ndarray:
    """The way from the roots down the curtain, a little outward along the rays [columns, 3]; [rows * columns, 3]."""
    share = np.linspace(0, 1, _ROWS)  # of the way down
    share = share[:, None, None]
    bulge = np.sin(np.pi * 0.8 * share)
    out = (0.06 + 0.16 * bulge) * ray
    down = share * np.array([0.0, -1.9, 0.0])
    return (out + down).reshape(-1, 3)


def _nearest(
    places: np.ndarray,
    ray: np.ndarray,
) -> np.ndarray:
    """The place [R, 3] above the ears that lies best in each direction [columns, 3], [columns]."""
    across = places - np.array([0.0, 0.0, 0.45])
    across[:, 1] = 0
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    miss = 1 - ray @ across.T  # [columns, R]
    off = np.abs(places[:, 1] - 7.55)
    return (miss + 2 * off).argmin(1)
