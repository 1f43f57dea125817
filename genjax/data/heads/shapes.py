"""The head that all faces are shaped from: vertices, triangles with their parts, and blend shapes that add up.

`mh_heads.npz` is cut from the data of MakeHuman, which are CC0 (LICENSES/README.md). Its 308 shapes are 32 of sex, age
and ancestry, 224 of identity and 52 of expression, called as in ARKit. Added here: the inside of the mouth as a part of
its own, a skirt below the shoulders, where the head is cut from its body, and hair.

Units are MakeHuman's, decimetres: x to the person's left, y up, z out of the face.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from genjax.data.heads.hair import with_hair
from genjax.data.heads.mesh import Mesh, border, incidence, inward, normals, ring, sheet
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
SKIN, FACE, LIPS, WHITE, HAIR, MOUTH, EARS, IRIS, LASHES, TEETH = range(1, len(PARTS))
# MakeHuman's four ages, baby, child, young and old, in its years
KNOTS = (1.0, 10.0, 25.0, 90.0)
# its shapes of three ancestries and of all, two sexes, four ages: one for each of them together
MACROS = 32


# least and greatest x, y, z
_MOUTH_BOX = np.array(
    [
        [-0.36, 6.32, 0.40],
        [0.36, 6.95, 1.53],
    ]
)


class Model(NamedTuple):
    """The head, ready to be shaped; K shapes, V vertices, F triangles."""

    base: np.ndarray  # float32 [3, V]
    # float32 [K, 3 V], all x, then all y, then all z: macro, identity, expression, hair
    shapes: np.ndarray
    triangles: np.ndarray  # int [F, 3]
    part: np.ndarray  # uint8 [F], a number in PARTS
    both: np.ndarray  # bool [F]: seen from behind as well
    incidence: Any  # sparse [V, F]: which triangles meet in a vertex
    paint: np.ndarray  # float32 [3, V]: where a vertex lies in the unshaped head
    landmarks: np.ndarray  # int [14]
    crown: int  # the vertex at the top
    identity: tuple[str, ...]  # names of the 224
    expressions: tuple[str, ...]  # names of the 52
    landmark_names: tuple[str, ...]  # left and right are the person's


@functools.cache
def model(path: Path = FILE) -> Model:
    """The head of the file, made ready once; UserError where the file is missing or has changed."""
    _check(path)
    with np.load(path) as archive:
        file = {name: archive[name] for name in archive.files}
    base = file["V"]
    triangles = file["F"].astype(np.int64)
    part = file["part"].astype(np.int64) + 1  # 0 is the background
    kept = _but_lower_lashes(base, triangles, part)
    triangles = triangles[kept]
    part = part[kept]
    part = _with_mouth(base, triangles, part)
    scalp = np.where(part == HAIR, SKIN, part)  # hair is added, and what is below it is skin
    cut = Mesh(base, file["shapes"].astype(np.float32), triangles, scalp)
    haired = with_hair(cut, np.isin(scalp, (SKIN, FACE)), HAIR)
    mesh = _with_skirt(haired)
    head = np.flatnonzero(file["body"])
    return Model(
        base=np.ascontiguousarray(mesh.base.T),
        shapes=_planes(mesh.shapes),
        triangles=mesh.triangles,
        part=mesh.part.astype(np.uint8),
        both=np.isin(mesh.part, (LASHES, HAIR)),
        incidence=incidence(mesh.triangles, len(mesh.base)),
        # of hair at its full length, or all strands of a curtain were one point
        paint=np.ascontiguousarray((mesh.base + mesh.shapes[-1]).T),
        landmarks=file["lm"],
        crown=int(head[base[head, 1].argmax()]),
        identity=_names(file, "ident"),
        expressions=_names(file, "expr"),
        landmark_names=tuple(file["lm_names"].tolist()),
    )


def _check(path: Path) -> None:
    """Raises UserError unless the file is there and as it was cut."""
    what = f"{path}, which heads are made of,"
    mend = "install genjax again, or get the file from its source"
    try:
        intact = crc32(path) == CRC
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{what} cannot be read ({reason}): {mend}.") from error
    if not intact:
        raise UserError(f"{what} has changed since it was written: {mend}.")


def _names(
    file: dict[str, np.ndarray],
    kind: str,
) -> tuple[str, ...]:
    """The names of the shapes of a kind, in the file's order."""
    return tuple(file["names"][file["kind"] == kind].tolist())


def _planes(shapes: np.ndarray) -> np.ndarray:
    """[K, V, 3] as [K, 3 V]."""
    planes = np.swapaxes(shapes, 1, 2)
    return np.ascontiguousarray(planes).reshape(len(shapes), -1)


def _but_lower_lashes(
    base: np.ndarray,
    triangles: np.ndarray,
    part: np.ndarray,
) -> np.ndarray:
    """Which triangles are drawn, bool [F]: lower lashes as thick as they are here would look like paint."""
    middle = base[triangles, 1].mean(1)
    return (part != LASHES) | (middle > 7.28)


def _with_mouth(
    base: np.ndarray,
    triangles: np.ndarray,
    part: np.ndarray,
) -> np.ndarray:
    """The parts, with the skin inside the mouth told from that outside: of what is in its box the largest piece."""
    middle = base[triangles].mean(1)  # of the triangles
    box = (middle > _MOUTH_BOX[0]) & (middle < _MOUTH_BOX[1])
    boxed = np.flatnonzero(box.all(1) & (part == SKIN))
    a, b, c = triangles[boxed].T
    starts = np.concatenate([a, b])
    ends = np.concatenate([b, c])
    ones = np.ones(len(starts))
    graph = sparse.coo_array((ones, (starts, ends)), (len(base), len(base)))
    _, piece = csgraph.connected_components(graph, directed=False)
    # the smaller pieces are bits of the neck
    own = piece[a]
    largest = np.bincount(own).argmax()
    found = part.copy()
    found[boxed[own == largest]] = MOUTH
    return found


def _with_skirt(mesh: Mesh) -> Mesh:
    """The shoulders go on below where they are cut, so that no picture shows the cut.

    Three rings: the first lies hidden under the skin, the second goes on as the skin does and is past the jagged edge,
    and the third is far below. All are means of the skin's vertices, and so move with them.
    """
    vertices = len(mesh.base)
    skin = mesh.triangles[np.isin(mesh.part, (SKIN, FACE))]
    edges = border(skin)
    line = ring(edges[mesh.base[edges[:, 0], 1] < 6.0])  # the lowest of its borders
    near = inward(skin, vertices)
    further = (near @ near @ near)[line]
    round_ = _round(len(line))
    out = normals(mesh.base, mesh.triangles)[line]
    wide = np.array([1.25, 1.0, 1.25])

    def rings(values: np.ndarray) -> list[np.ndarray]:
        """The three rings' numbers, [E, 3] each, of the vertices' [V, 3]."""
        here = round_ @ values[line]
        inside = round_ @ (further @ values)
        onward = here + 2 * (here - inside)
        return [inside, onward, onward * wide]

    first, second, third = rings(mesh.base)
    first = first - 0.02 * (round_ @ out)
    third = third - np.array([0.0, 3.0, 0.0])
    base = np.concatenate([first, second, third])
    moved = [np.concatenate(rings(shape)) for shape in mesh.shapes]
    number = np.arange(len(base)).reshape(3, len(line))
    triangles = sheet(vertices + number, closed=True)
    return mesh.grown(base, np.stack(moved), triangles, SKIN)


def _round(n: int) -> np.ndarray:
    """Takes n numbers around a ring to smooth ones, [n, n]."""
    place = np.arange(n)
    half = n // 2
    apart = place[:, None] - place
    steps = (apart + half) % n - half  # the shorter way round
    mean = np.exp(-0.5 * (steps / 2.0) ** 2)
    return mean / mean.sum(1, keepdims=True)
