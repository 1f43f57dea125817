"""Drawings of landmarks: the lines between the points of a face, as pictures that a net can be shown.

A drawing is a function of the points alone. The same code draws in numpy and, inside a compiled step, in jax, so that
anybody's landmarks can be drawn as those of a data set are.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data.heads import shapes
from genjax.errors import UserError, above

# what is drawn in one colour: lines from point to point, by the names of `heads.model().landmark_names`
EYES = (
    ("eye_l_out", "eye_l", "eye_l_in"),
    ("eye_r_out", "eye_r", "eye_r_in"),
)
MOUTH = (("mouth_r", "lip_top", "mouth_l", "lip_bottom", "mouth_r"),)
OUTLINE = (
    ("ear_l", "chin", "ear_r"),
    ("eye_l_in", "nose_tip", "eye_r_in"),
)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Lines on black, a colour for the eyes, the mouth, and nose and outline: landmarks -> [..., H, W, 3]."""

    width: float = field(1.0, "of the lines [pixels]")

    def check(self) -> None:
        """Raises UserError for lines of no width."""
        above(0, "Drawing: ", width=self.width)

    def __call__(
        self,
        landmarks: Any,
        shape: tuple[int, int],
    ) -> Any:
        """Landmarks [..., 14, 2], x right and y down [pixels], drawn on H x W pixels: float32 in [0, 1].

        Points may lie outside; what of the lines is inside is drawn. numpy of numpy's arrays, jax of jax's.
        """
        xp = landmarks.__array_namespace__()
        colours = []
        for lines in (EYES, MOUTH, OUTLINE):
            start, end = ends(lines)
            a = landmarks[..., start, :]  # [..., L, 2]
            b = landmarks[..., end, :]
            far = distances(a, b, shape)  # [..., H, W, L]
            # a line is as dark as the share of a pixel that it covers, about
            ink = xp.clip(0.5 * self.width + 0.5 - far, 0.0, 1.0)
            colours.append(ink.max(-1))
        return xp.stack(colours, -1).astype(xp.float32)


def ends(lines: tuple[tuple[str, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the landmarks where the pieces of lines start, and where they end; int [L] each."""
    place = {name: i for i, name in enumerate(shapes.model().landmark_names)}
    start, end = [], []
    for line in lines:
        numbers = [place[name] for name in line]
        start += numbers[:-1]
        end += numbers[1:]
    return np.array(start), np.array(end)


def distances(
    a: Any,
    b: Any,
    shape: tuple[int, int],
) -> Any:
    """How far the middles of H x W pixels are from the pieces a to b [..., L, 2], [..., H, W, L] [pixels]."""
    xp = a.__array_namespace__()
    middles = np.mgrid[: shape[0], : shape[1]] + 0.5
    down, right = middles.astype(np.float32)[..., None]  # [H, W, 1] each
    # of every piece one number for all pixels
    a = a[..., None, None, :, :]
    along = b[..., None, None, :, :] - a  # [..., 1, 1, L, 2]
    x = right - a[..., 0]
    y = down - a[..., 1]
    square = along[..., 0] ** 2 + along[..., 1] ** 2
    # the nearest place on the piece: 0 at a, 1 at b; of a piece without length it is a
    share = (x * along[..., 0] + y * along[..., 1]) / xp.maximum(square, 1e-9)
    share = xp.clip(share, 0.0, 1.0)
    across = x - share * along[..., 0]
    below = y - share * along[..., 1]
    return xp.sqrt(across**2 + below**2)


def check_inside(
    what: str,
    landmarks: np.ndarray,
    shape: tuple[int, int],
) -> None:
    """Raises UserError unless landmarks [..., 14, 2] are of 14 points that lie in a picture of H x W pixels."""
    landmarks = np.asarray(landmarks)
    count = len(shapes.model().landmark_names)
    if landmarks.shape[-2:] != (count, 2):
        raise UserError(
            f"{what} are an array of {landmarks.shape}, expected [..., {count}, 2]: x and y of each of "
            f"{', '.join(shapes.model().landmark_names)}."
        )
    most = np.array(shape[::-1])  # x has the width
    # NaN is inside of nothing
    outside = ~((landmarks >= 0) & (landmarks <= most)).all(-1)
    if outside.any():
        first = landmarks[outside][0]
        raise UserError(
            f"{what}: {int(outside.sum())} of {outside.size} points lie outside the picture of {shape[1]}x{shape[0]} "
            f"pixels, the first at {first[0]:g}, {first[1]:g}: scale them to pixels from the upper left corner."
        )
