"""The head that all faces are shaped from: vertices, triangles with their parts, and blend shapes that add up.

`mh_heads.npz` is cut from the data of MakeHuman, which are CC0 (LICENSES/README.md). Its 308 blend shapes are 32 of
sex, age and ancestry, 224 of identity and 52 of expression, called as in ARKit. A skirt below the shoulders, where the
head is cut from its body, and hair are added here, as vertices that move with those they grow from.

Units are MakeHuman's, decimetres: x to the person's left, y up, z out of the face.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from genjax.errors import UserError
from genjax.machine.checksum import crc32

FILE = Path(__file__).with_name("mh_heads.npz")
CRC = 0x6EFDFBF7  # of the file as it was cut
PARTS = (
    "background",
    "skin",
    "face",
    "lips",
    "eye white",
    "hair",
    "mouth",  # its inside, with the tongue
    "ears",
    "iris",
    "lashes",
    "teeth",
)
SKIN, FACE, LIPS, WHITE, HAIR, MOUTH, EARS, IRIS, LASHES, TEETH = range(1, 11)
ANCESTRIES = ("african", "asian", "caucasian")
AGES = ("baby", "child", "young", "old")
# MakeHuman's years of its four ages
KNOTS = (1.0, 10.0, 25.0, 90.0)

# the hair's shapes: weights 0 to 1 and above, in units of a grown head
HAIR_SHAPES = ("scalp", "volume", "fringe", "bald", "long")


class Model(NamedTuple):
    """The head; K shapes, V vertices, F triangles."""

    base: np.ndarray  # float32 [3, V]
    shapes: (
        np.ndarray
    )  # float32 [K, 3 V]: what each adds to the base; macro, identity, expression, hair
    triangles: np.ndarray  # int [F, 3]
    part: np.ndarray  # uint8 [F], a number in PARTS
    both: np.ndarray  # bool [F]: seen from behind as well
    incidence: Any  # sparse [V, F]: which triangles meet in a vertex
    paint: (
        np.ndarray
    )  # float32 [3, V]: where a vertex lies in the unshaped head, for what is painted on
    landmarks: np.ndarray  # int [14]
    crown: int  # the vertex at the top
    identity: tuple[str, ...]  # names of the 224
    expressions: tuple[str, ...]  # names of the 52
    landmark_names: tuple[str, ...]


class _Mesh(NamedTuple):
    """Vertices as sums: base [V, 3] and shapes [K, V, 3], with the triangles on them."""

    base: np.ndarray
    shapes: np.ndarray
    triangles: np.ndarray  # int [F, 3]
    part: np.ndarray  # [F]


@functools.cache
def model(path: Path = FILE) -> Model:
    """The head of the file, made ready once; UserError where the file is missing or has changed."""
    _check(path)
    with np.load(path) as archive:
        file = {name: archive[name] for name in archive.files}
    names, kind = file["names"], file["kind"]
    triangles = file["F"].astype(np.int64)
    shapes = file["shapes"].astype(np.float32)
    part = _with_mouth(file["V"], triangles, file["part"] + 1)  # 0 is the background
    cut = _Mesh(file["V"], shapes, triangles, part)
    mesh = _with_hair(_with_skirt(cut))
    faces = len(mesh.triangles)
    rows = mesh.triangles.T.reshape(-1)
    ones = np.ones(len(rows), np.float32)
    columns = np.tile(np.arange(faces), 3)
    incidence = sparse.csr_array((ones, (rows, columns)), (len(mesh.base), faces))
    head = np.flatnonzero(file["body"])
    crown = head[file["V"][head, 1].argmax()]
    of_kind = {each: tuple(names[kind == each].tolist()) for each in ("ident", "expr")}
    shapes = np.swapaxes(mesh.shapes, 1, 2)  # [K, 3, V]
    return Model(
        base=np.ascontiguousarray(mesh.base.T),
        shapes=np.ascontiguousarray(shapes).reshape(len(shapes), -1),
        triangles=mesh.triangles,
        part=mesh.part.astype(np.uint8),
        both=np.isin(mesh.part, (LASHES, HAIR)),
        incidence=incidence,
        paint=_paint(mesh, file["V"]),
        landmarks=file["lm"],
        crown=int(crown),
        identity=of_kind["ident"],
        expressions=of_kind["expr"],
        landmark_names=tuple(file["lm_names"].tolist()),
    )


def _check(path: Path) -> None:
    mend = "install genjax again, or put the file of its source back"
    try:
        intact = crc32(path) == CRC
    except OSError as error:
        raise UserError(
            f"{path}, which heads are made of, cannot be read ({error.strerror}): {mend}."
        ) from None
    if not intact:
        raise UserError(
            f"{path}, which heads are made of, has changed since it was written: {mend}."
        )


def macro_names() -> list[tuple[str, str, str]]:
    """(ancestry or "universal", sex, age) of the first 32 shapes, in the file's order."""
    kinds = (*ANCESTRIES, "universal")
    return [(kind, sex, age) for kind in kinds for sex in ("female", "male") for age in AGES]


def _with_mouth(base: np.ndarray, triangles: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The parts with the skin inside the mouth told from that outside: in the box around it, the largest piece."""
    x, y, z = base[triangles].mean(1).T  # the triangles' middles
    box = (np.abs(x) < 0.36) & (y > 6.32) & (y < 6.95) & (z > 0.4) & (z < 1.53)
    boxed = np.flatnonzero(box & (part == SKIN))
    a, b, c = triangles[boxed].T
    starts, ends = np.concatenate([a, b]), np.concatenate([b, c])
    graph = sparse.coo_array((np.ones(len(starts)), (starts, ends)), (len(base), len(base)))
    piece = csgraph.connected_components(graph, directed=False)[1][a]
    # the others are bits of the neck
    inside = boxed[piece == np.bincount(piece).argmax()]
    found = part.copy()
    found[inside] = MOUTH
    return found


def _border(triangles: np.ndarray) -> np.ndarray:
    """The directed edges [E, 2] that belong to one triangle alone."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ordered = np.sort(edges, axis=1)
    _, inverse, count = np.unique(ordered, axis=0, return_inverse=True, return_counts=True)
    return edges[count[inverse.reshape(-1)] == 1]


def _with_skirt(mesh: _Mesh) -> _Mesh:
    """The shoulders go on below where they are cut, so that no picture shows the cut.

    A smooth ring lies over the jagged edge, and a wider one far below it; both move as means of the edge's vertices.
    """
    edges = _border(mesh.triangles)
    # the other borders are those of lashes and teeth
    edges = edges[mesh.base[edges[:, 0], 1] < 6.0]
    after = dict(edges.tolist())
    ring = [int(edges[0, 0])]
    while after[ring[-1]] != ring[0]:
        ring.append(after[ring[-1]])
    n = len(ring)
    steps = (np.arange(n)[:, None] - np.arange(n) + n // 2) % n - n // 2
    mean = np.exp(-0.5 * (steps / 2.0) ** 2)
    mean = (mean / mean.sum(1, keepdims=True)).astype(np.float32)  # [n, n]
    base, shapes = mean @ mesh.base[ring], mean @ mesh.shapes[:, ring]
    rings = []
    for wide, down in ((1.03, -0.04), (1.1, 0.3), (1.25, 3.0)):
        scale = np.array([wide, 1.0, wide], np.float32)
        rings.append((base * scale - np.array([0, down, 0], np.float32), shapes * scale))
    first = len(mesh.base)
    number = first + np.arange(len(rings) * n).reshape(len(rings), n)
    follow = np.roll(number, -1, axis=1)
    a, b = number[:-1].reshape(-1), follow[:-1].reshape(-1)
    c, d = number[1:].reshape(-1), follow[1:].reshape(-1)
    # along the border's own triangles, so that these turn the other way
    sheet = np.concatenate([np.stack([b, a, c], 1), np.stack([b, c, d], 1)])
    return _Mesh(
        np.concatenate([mesh.base, *(ring for ring, _ in rings)]),
        np.concatenate([mesh.shapes, *(moved for _, moved in rings)], 1),
        np.concatenate([mesh.triangles, sheet]),
        np.concatenate([mesh.part, np.full(len(sheet), SKIN)]),
    )


def inside_hair(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How far above the hairline a place of the unshaped head is, about in decimetres; negative below it.

    The line runs over the forehead, down before the ears and around the neck.
    """
    line = np.interp(z, HAIRLINE_Z, HAIRLINE_Y)
    slope = np.interp(z, HAIRLINE_Z, HAIRLINE_SLOPE)
    # the corners of the forehead lie a little higher than its middle
    corner = 0.06 * np.exp(-(((np.abs(x) - 0.42) / 0.16) ** 2)) * (z > 0.9)
    return (y - line - corner) * slope


HAIRLINE_Z = (-0.4, 0.1, 0.35, 0.5, 0.62, 0.8, 1.1, 1.45)
HAIRLINE_Y = (6.74, 6.74, 6.85, 7.15, 7.5, 7.8, 7.9, 7.92)
# the line is steep at the temples: the distance to it is less than the height above it
HAIRLINE_SLOPE = (1.0, 1.0, 0.7, 0.45, 0.5, 0.8, 1.0, 1.0)


def _normals(base: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of the vertices, means over the triangles that meet there."""
    a, b, c = (base[triangles[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    total = np.zeros_like(base)
    for k in range(3):
        np.add.at(total, triangles[:, k], cross)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.maximum(length, 1e-9)


def _with_hair(mesh: _Mesh) -> _Mesh:
    """A second skin over the scalp, and a curtain that hangs from it, with the shapes HAIR_SHAPES.

    Below the hairline the second skin lies under the first: where they cross is a smooth line, triangles or not.
    """
    kinds = len(HAIR_SHAPES)
    shapes = np.concatenate([mesh.shapes, np.zeros((kinds, *mesh.base.shape), np.float32)])
    mesh = mesh._replace(shapes=shapes)
    return _with_curtain(_with_scalp(mesh))


def _grown(mesh: _Mesh, roots: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(base, shapes) with new vertices at those of the numbers `roots`, which the hair's shapes move by [5, R, 3]."""
    kinds = len(moves)
    base = np.concatenate([mesh.base, mesh.base[roots]])
    # they move with their roots in all but hair
    new = mesh.shapes[:, roots].copy()
    new[-kinds:] = moves
    return base, np.concatenate([mesh.shapes, new], 1)


def _with_scalp(mesh: _Mesh) -> _Mesh:
    above = inside_hair(*mesh.base.T)  # [V]
    corner = mesh.triangles
    skinned = np.isin(mesh.part, (SKIN, FACE, HAIR))
    near = (above[corner] > -0.3).all(1)
    # not the ears' inside, nor the mouth's
    over = skinned & near & (mesh.base[corner, 1] > 6.6).all(1)
    roots, faces = np.unique(corner[over], return_inverse=True)
    faces = faces.reshape(-1, 3) + len(mesh.base)
    normal = _normals(mesh.base, corner)[roots]
    x, y, z = mesh.base[roots].T
    far = above[roots]
    moves = np.zeros((len(HAIR_SHAPES), len(roots), 3), np.float32)
    moves[0] = normal * (0.05 * np.clip(far / 0.08, -1, 1))[:, None]
    thick = 1 - np.exp(-np.maximum(far, 0) / 0.2)
    moves[1] = normal * (thick * (0.6 + 0.4 * np.clip(y - 7.2, 0, 1)))[:, None]
    front = np.exp(-(((far - 0.05) / 0.1) ** 2)) * np.clip((z - 0.6) / 0.4, 0, 1)
    moves[2] = front[:, None] * np.array([0.0, -0.3, 0.12])
    top = np.clip((y - 7.75) / 0.3, 0, 1) * np.clip((z - 0.0) / 0.5, 0, 1)
    moves[3] = -normal * (0.2 * top)[:, None]
    base, shapes = _grown(mesh, roots, moves)
    triangles = np.concatenate([corner, faces])
    part = np.where(mesh.part == HAIR, SKIN, mesh.part)  # the scalp itself is skin
    part = np.concatenate([part, np.full(len(faces), HAIR)])
    return _Mesh(base, shapes, triangles, part)


def _with_curtain(mesh: _Mesh) -> _Mesh:
    """Hair that hangs down behind and beside the face; of no length all its vertices lie at their roots."""
    columns, rows = 41, 6
    angle = np.linspace(-2.0, 2.0, columns) + np.pi  # from the back, where it is pi
    ray = np.stack([np.sin(angle), np.cos(angle)], 1)  # [columns, 2]: x and z
    scalp = np.unique(mesh.triangles[mesh.part == HAIR])
    place = mesh.base[scalp]
    across = place[:, [0, 2]] - np.array([0.0, 0.45])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    miss = 1 - ray @ across.T  # [columns, scalp]
    miss = miss + 2 * np.abs(place[:, 1] - 7.55)
    roots = scalp[miss.argmin(1)]
    share = np.linspace(0, 1, rows)[:, None]  # [rows, 1]
    out = 0.06 + 0.16 * np.sin(np.pi * np.minimum(share * 0.8, 1))
    moves = np.zeros((len(HAIR_SHAPES), rows, columns, 3), np.float32)
    moves[-1, ..., 0] = ray[:, 0] * out
    moves[-1, ..., 1] = -1.9 * share
    moves[-1, ..., 2] = ray[:, 1] * out
    moves = moves.reshape(len(HAIR_SHAPES), -1, 3)
    base, shapes = _grown(mesh, np.tile(roots, rows), moves)
    number = len(mesh.base) + np.arange(rows * columns).reshape(rows, columns)
    a, b = number[:-1, :-1].reshape(-1), number[:-1, 1:].reshape(-1)
    c, d = number[1:, :-1].reshape(-1), number[1:, 1:].reshape(-1)
    sheets = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    triangles = np.concatenate([mesh.triangles, sheets])
    part = np.concatenate([mesh.part, np.full(len(sheets), HAIR)])
    return _Mesh(base, shapes, triangles, part)


def _paint(mesh: _Mesh, cut: np.ndarray) -> np.ndarray:
    """Where each vertex lies in the unshaped head, with hair of some length; [3, V]."""
    length = mesh.shapes[-1]
    return np.ascontiguousarray((mesh.base + length).T)
