"""Pictures of people, with what is true of every pixel: pure functions of arrays.

A head is shaped, turned and drawn without perspective; one distant lamp and a sky light it. A picture takes a few
milliseconds of one core: `benchmarks/heads_genjax.py`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from genjax.data.heads import shapes
from genjax.data.heads.painting import SHINE, painted
from genjax.data.heads.people import People, Shots, weights
from genjax.data.heads.raster import Hits, rasterise
from genjax.data.heads.shapes import PARTS, Model

# a new number wherever the same people and shots give other bytes
VERSION = 1
SAMPLES = 2  # cells along each side of a pixel
FRAME = 1.28  # side of a picture; from chin to crown it is 1
GROWN = 2.2  # from chin to crown of a grown head [decimetres]
_CHUNK = 1 << 16  # cells at a time: what a core has in its cache
_VIEWER = np.array([0.0, 0.0, 1.0], np.float32)


class Rendered(NamedTuple):
    """N pictures, and their truth."""

    image: np.ndarray  # uint8 [N, S, S, 3]
    parts: np.ndarray  # uint8 [N, S, S], a number in PARTS: what most of the pixel shows
    # float32 [N, 14, 2] by `model().landmark_names`, hidden or not: x right, y down [pixels] from the upper left corner
    landmarks: np.ndarray


def render(
    people: People,
    shots: Shots,
    size: int,
    threads: int = 1,
) -> Rendered:
    """The pictures of the shots, size x size, in their order; the same bytes with any number of threads."""
    cells = (SAMPLES * size) ** 2
    step = max(_CHUNK // cells, 1)

    def chunk(first: int) -> Rendered:
        some = Shots(*(part[first : first + step] for part in shots))
        return _render(people, some, size)

    firsts = range(0, len(shots.person), step)
    if not firsts:
        return _none(size)
    with ThreadPoolExecutor(threads) as pool:
        chunks = list(pool.map(chunk, firsts))
    columns = zip(*chunks, strict=True)
    return Rendered(*(np.concatenate(column) for column in columns))


def _none(size: int) -> Rendered:
    """No pictures."""
    return Rendered(
        np.empty((0, size, size, 3), np.uint8),
        np.empty((0, size, size), np.uint8),
        np.empty((0, len(shapes.model().landmarks), 2), np.float32),
    )


def _render(
    people: People,
    shots: Shots,
    size: int,
) -> Rendered:
    model = shapes.model()
    n = len(shots.person)
    side = SAMPLES * size
    points, scale = placed(model, people, shots)
    normals = _normals(model, points)
    # decimetres to cells, y down
    cells = points * (side / scale)[:, None, None]
    cells[:, 0] = side / 2 + cells[:, 0]
    cells[:, 1] = side / 2 - cells[:, 1]
    hits = rasterise(cells, model.triangles, model.both, side)
    colour = np.repeat(shots.background, side * side, axis=0)
    colour[hits.cell] = _shaded(model, people, shots, normals, hits, side)
    part = np.zeros(n * side * side, np.uint8)
    part[hits.cell] = model.part[hits.triangle]
    marks = cells[:, :2, model.landmarks] / SAMPLES
    return Rendered(
        _image(colour.reshape(n, side, side, 3)),
        _parts(part.reshape(n, side, side)),
        np.swapaxes(marks, 1, 2).astype(np.float32),
    )


def placed(
    model: Model,
    people: People,
    shots: Shots,
) -> tuple[np.ndarray, np.ndarray]:
    """(vertices float32 [n, 3, V] about the middle of the picture, side of the picture [n]), both in decimetres.

    Identity, expression and hair are made for a grown head: a smaller one has as much less of them. The frame is that
    of the face at rest: it stays where it is while the face moves.
    """
    weight = weights(people, shots)
    plain = _marks(model, weight.macro)
    much = _height(plain)[:, None] / GROWN
    at_rest = np.concatenate([weight.macro, much * weight.identity], 1)
    marks = _marks(model, at_rest)
    moved = [much * weight.expression, much * weight.hair]
    everything = np.concatenate([at_rest, *moved], 1)
    vertices = everything.astype(np.float32) @ model.shapes
    points = vertices.reshape(-1, *model.base.shape) + model.base
    points -= _middle(marks)[:, :, None]
    turned = turns(shots.yaw, shots.pitch) @ points
    side = FRAME * _height(marks)
    return turned, side.astype(np.float32)


def _middle(marks: np.ndarray) -> np.ndarray:
    """Half way from chin to crown, and between the ears, about which heads turn; float32 [n, 3]."""
    _, y, z = np.swapaxes(marks, 0, 1)  # [n, 4] each
    middle_y = y[:, :2].mean(1)
    middle_z = z[:, 2:].mean(1)
    middle = np.stack([0 * middle_y, middle_y, middle_z], 1)
    return middle.astype(np.float32)


def _marks(
    model: Model,
    weight: np.ndarray,
) -> np.ndarray:
    """Where chin, crown, left ear and right ear are, [n, 3, 4], by the weights of the first shapes, [n, k]."""
    place = {name: i for i, name in enumerate(model.landmark_names)}
    chin = model.landmarks[place["chin"]]
    ears = model.landmarks[[place["ear_l"], place["ear_r"]]]
    vertices = np.array([chin, model.crown, *ears])
    # the shapes have all x, then all y, then all z
    first = model.base.shape[1] * np.arange(3)
    columns = first[:, None] + vertices
    shapes = model.shapes[: weight.shape[1], columns]  # [k, 3, 4]
    return model.base[:, vertices] + np.tensordot(weight, shapes, 1)


def _height(marks: np.ndarray) -> np.ndarray:
    """From chin to crown, [n]."""
    y = marks[:, 1]
    return y[:, 1] - y[:, 0]


def turns(
    yaw: np.ndarray,
    pitch: np.ndarray,
) -> np.ndarray:
    """Rotations float32 [n, 3, 3]: first about the vertical axis, then about that to the right."""
    zero = np.zeros_like(yaw)
    one = np.ones_like(yaw)
    cos = np.cos(yaw)
    sin = np.sin(yaw)
    about_y = [
        [cos, zero, sin],
        [zero, one, zero],
        [-sin, zero, cos],
    ]
    cos = np.cos(pitch)
    sin = np.sin(pitch)
    about_x = [
        [one, zero, zero],
        [zero, cos, sin],
        [zero, -sin, cos],
    ]
    first = np.moveaxis(np.array(about_y), 2, 0)
    then = np.moveaxis(np.array(about_x), 2, 0)
    product = then @ first
    return product.astype(np.float32)


def _normals(
    model: Model,
    points: np.ndarray,
) -> np.ndarray:
    """Normals of the vertices, not of unit length, float32 [n * V, 3]."""
    corners = np.take(points, model.triangles.T, axis=2)
    a, b, c = np.moveaxis(corners, 2, 0)  # [n, 3, F] each
    u = b - a
    v = c - a
    cross = np.empty_like(u)
    # by hand, for np.cross would have the axis at the end
    for k, i, j in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[:, k] = u[:, i] * v[:, j]
        cross[:, k] -= u[:, j] * v[:, i]
    n, _, faces = cross.shape
    rows = cross.reshape(3 * n, faces)
    columns = np.ascontiguousarray(rows.T)
    total = model.incidence @ columns  # [V, 3 n]
    vectors = total.reshape(-1, n, 3)
    of_picture = np.swapaxes(vectors, 0, 1)
    return of_picture.reshape(-1, 3)


def _shaded(
    model: Model,
    people: People,
    shots: Shots,
    normals: np.ndarray,
    hits: Hits,
    side: int,
) -> np.ndarray:
    """The colour of each hit, float32 [M, 3] in [0, 1]."""
    picture = hits.cell // (side * side)
    part = model.part[hits.triangle]
    corners = model.triangles[hits.triangle].T  # [3, M]
    own = picture * model.base.shape[1]
    normal = np.zeros((len(picture), 3), np.float32)
    place = np.zeros((3, len(picture)), np.float32)
    for corner, weight in zip(corners, hits.weights, strict=True):
        normal += weight[:, None] * normals[own + corner]
        place += weight * model.paint[:, corner]
    normal = _unit(normal)
    # of what is seen from behind
    normal[normal[:, 2] < 0] *= -1
    colour = painted(people, shots, picture, part, place)
    lit = _lit(colour, SHINE[part], normal, shots.light[picture])
    return lit.clip(0, 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """[M, 3] of length 1."""
    squares = _dot(vectors, vectors)
    length = np.sqrt(np.maximum(squares, 1e-12))
    return vectors / length[:, None]


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Products of the vectors [M, 3] in pairs, [M]."""
    return np.einsum("ij,ij->i", one, other)


def _lit(
    colour: np.ndarray,
    shine: np.ndarray,
    normal: np.ndarray,
    light: np.ndarray,
) -> np.ndarray:
    """Lambert's law, led a little around the edge of the shade as by skin, and Blinn's highlight; [M, 3]."""
    facing = _dot(normal, light)
    lamp = np.maximum(facing + 0.25, 0) / 1.25
    sky = 0.5 + 0.5 * normal[:, 1]
    half = _unit(light + _VIEWER)
    mirrored = np.maximum(_dot(normal, half), 0)
    gloss = shine * mirrored**24
    # what turns away from the viewer lies in nooks and is darker
    edge = 0.75 + 0.25 * np.minimum(2.5 * normal[:, 2], 1)
    bright = 0.3 + 0.14 * sky + 0.68 * lamp
    diffuse = colour * (edge * bright)[:, None]
    return diffuse + gloss[:, None]


def _image(colour: np.ndarray) -> np.ndarray:
    """Means over the cells of each pixel, [n, side, side, 3] -> uint8 [n, S, S, 3]."""
    total = sum(_of_pixels(colour))
    mean = total / SAMPLES**2
    return np.rint(255 * mean).astype(np.uint8)


def _of_pixels(cells: np.ndarray) -> list[np.ndarray]:
    """The first cells of all pixels, the second ones and so on: [n, side, side, …] -> [n, S, S, …] each."""
    rows = [cells[:, i::SAMPLES] for i in range(SAMPLES)]
    return [row[:, :, j::SAMPLES] for row in rows for j in range(SAMPLES)]


def _parts(part: np.ndarray) -> np.ndarray:
    """What most cells of each pixel show, uint8 [n, S, S]; of two with as many the later in PARTS, the finer."""
    cells = _of_pixels(part)
    found = np.zeros_like(cells[0])
    most = np.ones_like(found)
    for number in range(len(PARTS)):
        votes = np.zeros_like(found)
        for cell in cells:
            votes += cell == number
        found[votes >= most] = number
        most = np.maximum(most, votes)
    return found
