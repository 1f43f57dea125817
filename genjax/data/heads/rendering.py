"""Pictures of people, with what is true of every pixel: pure functions of arrays.

The light is one distant lamp and a sky; skin, hair and eyes shine a little. Brows, beard, blush and strands of hair are
painted in the space of the unshaped head, so that they move with the face.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from genjax.data.heads import shapes
from genjax.data.heads.people import People, Shots, hair_colour, weights
from genjax.data.heads.raster import Hits, rasterise
from genjax.data.heads.shapes import (
    EARS,
    FACE,
    HAIR,
    IRIS,
    LASHES,
    LIPS,
    MOUTH,
    PARTS,
    SKIN,
    TEETH,
    WHITE,
    Model,
)

# a new number wherever the same people and shots give other bytes
VERSION = 1
SAMPLES = 2  # cells along each side of a pixel
FRAME = 1.32  # side of a picture, from chin to crown 1
GROWN = 2.2  # from chin to crown of a grown head [decimetres]
_CHUNK = 1 << 18  # cells at a time


# the cells of a pixel
_CELLS = tuple((i, j) for i in range(SAMPLES) for j in range(SAMPLES))


class Rendered(NamedTuple):
    """N pictures, and their truth."""

    image: np.ndarray  # uint8 [N, S, S, 3]
    parts: np.ndarray  # uint8 [N, S, S], a number in PARTS: what most of the pixel shows
    landmarks: np.ndarray  # float32 [N, 14, 2]: x right and y down [pixels] from the upper left corner, hidden or not


def render(people: People, shots: Shots, size: int, threads: int = 1) -> Rendered:
    """The pictures of the shots, size x size, in their order."""
    cells = (SAMPLES * size) ** 2
    step = max(_CHUNK // cells, 1)
    n = len(shots.person)

    def chunk(first: int) -> Rendered:
        some = Shots(*(part[first : first + step] for part in shots))
        return _render(people, some, size)

    firsts = range(0, n, step)
    if not n:
        return _render(people, shots, size)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(chunk, firsts))
    return Rendered(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _render(people: People, shots: Shots, size: int) -> Rendered:
    model = shapes.model()
    side = SAMPLES * size
    points, scale = placed(model, people, shots)
    normals = _normals(model, points)
    # decimetres to cells, y down
    cells = points * (side / scale)[:, None, None]
    cells[:, 0] += side / 2
    cells[:, 1] = side / 2 - cells[:, 1]
    hits = rasterise(cells, model.triangles, model.both, side)
    n = len(points)
    colour = np.repeat(shots.background, side * side, axis=0)
    colour[hits.cell] = _shaded(model, people, shots, normals, hits, side)
    label = np.zeros(n * side * side, np.uint8)
    label[hits.cell] = model.part[hits.triangle]
    landmarks = cells[:, :2, model.landmarks] / SAMPLES
    return Rendered(
        _image(colour.reshape(n, side, side, 3)),
        _parts(label.reshape(n, side, side)),
        np.ascontiguousarray(np.swapaxes(landmarks, 1, 2), np.float32),
    )


def placed(model: Model, people: People, shots: Shots) -> tuple[np.ndarray, np.ndarray]:
    """(vertices float32 [n, 3, V] about the middle of the picture, side of the picture [n]), both in decimetres.

    The frame is that of the face at rest: it stays where it is while the face moves.
    """
    weight = weights(people, shots)
    hair = len(shapes.HAIR_SHAPES)
    moving = slice(-hair - len(model.expressions), -hair)
    rest = weight.copy()
    rest[:, moving] = 0
    marks = np.array(
        [model.landmarks[13], model.crown, model.landmarks[11], model.landmarks[12]]
    )
    vertices = len(model.base[0])
    some = (marks[None] + vertices * np.arange(3)[:, None]).reshape(-1)
    place = rest @ model.shapes[:, some] + model.base.reshape(-1)[some]
    chin, crown, ear, other = np.moveaxis(place.reshape(-1, 3, 4), 2, 0)
    height = crown[:, 1] - chin[:, 1]
    weight[:, -hair:] *= (height / GROWN)[:, None]
    points = (weight @ model.shapes).reshape(-1, 3, vertices) + model.base
    middle = np.zeros_like(chin)
    middle[:, 1] = (chin[:, 1] + crown[:, 1]) / 2
    middle[:, 2] = (ear[:, 2] + other[:, 2]) / 2
    points -= middle[:, :, None]
    return turns(shots.yaw, shots.pitch) @ points, FRAME * height


def turns(yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Rotations float32 [n, 3, 3]: first about the vertical axis, then about that to the right."""
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    c, s = np.cos(yaw), np.sin(yaw)
    about_y = np.array([[c, zero, s], [zero, one, zero], [-s, zero, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    about_x = np.array([[one, zero, zero], [zero, c, s], [zero, -s, c]])
    product = np.moveaxis(about_x, 2, 0) @ np.moveaxis(about_y, 2, 0)
    return product.astype(np.float32)


def _normals(model: Model, points: np.ndarray) -> np.ndarray:
    """Normals of the vertices, not of unit length, float32 [n * V, 3]."""
    a, b, c = np.moveaxis(np.take(points, model.triangles.T, axis=2), 2, 0)  # [n, 3, F] each
    u, v = b - a, c - a
    cross = np.empty_like(u)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        cross[:, k] = u[:, i] * v[:, j] - u[:, j] * v[:, i]
    n, _, faces = cross.shape
    columns = cross.reshape(n * 3, faces).T
    total = model.incidence @ np.ascontiguousarray(columns)  # [V, n * 3]
    rows = np.swapaxes(total.reshape(-1, n, 3), 0, 1)
    return np.ascontiguousarray(rows).reshape(-1, 3)


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
    normal = np.zeros((len(picture), 3), np.float32)
    place = np.zeros((3, len(picture)), np.float32)
    for corner, weight in zip(corners, hits.weights, strict=True):
        own = normals[picture * model.base.shape[1] + corner]
        normal += weight[:, None] * own
        place += weight * model.paint[:, corner]
    length = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    normal /= np.maximum(length, 1e-9)[:, None]
    # of what is seen from behind
    normal[normal[:, 2] < 0] *= -1
    albedo, shine = _painted(people, shots, picture, part, place)
    return _lit(albedo, shine, normal, shots.light[picture]).clip(0, 1)


def _lit(
    albedo: np.ndarray, shine: np.ndarray, normal: np.ndarray, light: np.ndarray
) -> np.ndarray:
    """Lambert's law, wrapped a little around the edge as skin does it, with Blinn's highlight; [M, 3]."""
    facing = np.einsum("ij,ij->i", normal, light)
    lamp = np.maximum((facing + 0.25) / 1.25, 0)
    sky = 0.5 + 0.5 * normal[:, 1]
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    gloss = np.maximum(np.einsum("ij,ij->i", normal, half), 0) ** 24
    # the edge that turns away is darker
    edge = 0.75 + 0.25 * np.minimum(normal[:, 2] * 2.5, 1)
    bright = (0.3 + 0.14 * sky + 0.68 * lamp) * edge
    return albedo * bright[:, None] + (shine * gloss)[:, None]


def _painted(
    people: People,
    shots: Shots,
    picture: np.ndarray,
    part: np.ndarray,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(own colour [M, 3], how much it shines [M]) of places [3, M] of the unshaped head."""
    row = shots.person
    hair = hair_colour(people, shots)
    skin = people.skin[row]
    palette = np.empty((len(row), len(PARTS), 3), np.float32)
    palette[:, [0, SKIN, FACE, EARS]] = skin[:, None]
    palette[:, LIPS] = skin * [0.86, 0.56, 0.55] + [0.05, 0.01, 0.02]
    palette[:, WHITE] = 0.88, 0.87, 0.85
    palette[:, HAIR] = hair
    palette[:, MOUTH] = 0.62, 0.3, 0.3
    palette[:, IRIS] = people.iris[row]
    palette[:, LASHES] = 0.3 * hair + 0.02
    palette[:, TEETH] = 0.86, 0.84, 0.78
    colour = palette[picture, part]
    skinned = np.flatnonzero((part == SKIN) | (part == FACE))
    some = picture[skinned]
    colour[skinned] = _face(
        colour[skinned],
        hair[some],
        people.beard[row][some],
        shots.years[some],
        place[:, skinned],
    )
    haired = np.flatnonzero(part == HAIR)
    colour[haired] *= _strands(place[:, haired])[:, None]
    # little light comes in where the throat is
    inner = np.flatnonzero((part == MOUTH) | (part == TEETH))
    colour[inner] *= (0.25 + 0.75 * _smooth(0.9, 1.5, place[2, inner]))[:, None]
    eyes = np.flatnonzero(part == IRIS)
    colour[eyes] *= _pupil(place[:, eyes])[:, None]
    return colour, SHINE[part]


SHINE = np.zeros(len(PARTS), np.float32)
SHINE[[SKIN, FACE, EARS]] = 0.07
SHINE[[LIPS, MOUTH]] = 0.12
SHINE[[WHITE, TEETH, IRIS]] = 0.3
SHINE[HAIR] = 0.08


def _smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; the other way round where `low` is the greater."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _face(
    skin: np.ndarray, hair: np.ndarray, beard: np.ndarray, years: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Skin with blush, beard and brows on it, [M, 3]."""
    x, y, z = np.abs(place[0]), place[1], place[2]
    front = _smooth(0.6, 1.0, z)
    cheek = np.exp(-((x - 0.42) ** 2 / 0.05 + (y - 6.98) ** 2 / 0.05))
    nose = np.exp(-(x**2 / 0.02 + (y - 6.93) ** 2 / 0.02))
    red = (front * (0.6 * cheek + 0.5 * nose))[:, None]
    colour = skin * (1 - red * np.array([0.02, 0.16, 0.16]))

    # cheeks and chin, and a line over the lips; grown men alone
    low = _smooth(6.95, 6.6, y - 0.35 * _smooth(0.3, 0.65, x))
    lip = np.exp(-((y - 6.79) ** 2) / 0.003) * _smooth(0.34, 0.2, x)
    neck = _smooth(6.02, 6.2, y) * _smooth(0.3, 0.75, z)
    grown = _smooth(14, 24, years) * beard
    much = (np.maximum(low, lip) * neck * grown)[:, None]
    colour = colour + much * 0.85 * (hair - colour)

    arch = 7.5 + 0.06 * (1 - ((x - 0.36) / 0.2) ** 2)
    width = 0.045 - 0.05 * np.maximum(x - 0.36, 0)
    across = np.exp(-(((y - arch) / width) ** 2))
    along = _smooth(0.1, 0.17, x) * _smooth(0.56, 0.46, x)
    brow = (0.85 * across * along * front * _smooth(0, 6, years))[:, None]
    return colour + brow * (0.8 * hair - colour)


def _strands(place: np.ndarray) -> np.ndarray:
    """Lighter and darker strands of hair, a factor [M] about 1."""
    x, y, z = place
    wave = np.sin(23 * x + 5 * y) * np.sin(19 * z - 4 * y) + np.sin(47 * x - 9 * z)
    return 1 + 0.08 * wave


def _pupil(place: np.ndarray) -> np.ndarray:
    """Dark in the middle of the iris, a factor [M]."""
    x, y, _ = place
    far = np.hypot(np.abs(x) - IRIS_PLACE[0], y - IRIS_PLACE[1])
    return 0.15 + 0.85 * _smooth(0.018, 0.03, far)


IRIS_PLACE = (0.305, 7.284)


def _image(colour: np.ndarray) -> np.ndarray:
    """Means over the cells of each pixel, [n, side, side, 3] -> uint8 [n, S, S, 3]."""
    total = sum(colour[:, i::SAMPLES, j::SAMPLES] for i, j in _CELLS)
    return np.rint(total * (255 / len(_CELLS))).astype(np.uint8)


def _parts(label: np.ndarray) -> np.ndarray:
    """What most cells of each pixel show, uint8 [n, S, S]; of two with as many the later in PARTS, the finer."""
    cells = [label[:, i::SAMPLES, j::SAMPLES] for i, j in _CELLS]
    found = np.zeros_like(cells[0])
    most = np.ones_like(found)
    for part in range(len(PARTS)):
        votes = sum((cell == part).astype(np.uint8) for cell in cells)
        more = votes >= most
        found[more] = part
        most[more] = votes[more]
    return found
