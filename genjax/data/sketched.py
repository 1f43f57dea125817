"""Pictures beside line drawings of themselves: pairs for translation, out of any set of pictures.

A line is where brightness changes most: the gradient of the luma by Sobel's kernels, where it is above a threshold and
no smaller than its two neighbours across the line (Canny 1986, 10.1109/TPAMI.1986.4767851, without his second, lower
threshold). Lines are black on white, of as many channels as the picture; what lies between them, colour and light, is
not told.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import marked
from genjax.data.batches import domains
from genjax.data.heads import Heads
from genjax.data.source import Source
from genjax.errors import UserError, above
from genjax.fields import Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue: BT.601
CHUNK = 1000  # pictures as floats at a time


@dataclasses.dataclass(frozen=True)
class Sketched:
    """The pictures of another set, and `input`, a line drawing of each."""

    # Any: a data set of one's own is as good
    of: Heads | Any = field(Heads(), "the data; any config whose sets model pictures")
    least: float = field(0.06, "change of brightness from which there is a line [1 / pixel]")

    def resolved(self) -> Sketched:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.of, "resolved", None)
        if fill is None:
            return self
        with marked.flagged("", "of."):
            inner = fill()
        return dataclasses.replace(self, of=inner)

    def load(self) -> Source:
        """The set with one field more; UserError for what has no pictures, and for streamed sets."""
        above(0, data__least=self.least)
        with marked.flagged("", "of."):
            source = self.of.load()
        names = domains(source.train)
        if names:
            raise UserError(
                f"--data.of: {source.name} has the domains {', '.join(names)}: Sketched() draws the pictures of one "
                'set, so draw first, as in --data="Unpaired(Sketched(Heads()))".'
            )
        kind = source.fields[source.main]
        if not isinstance(kind, Image) or "input" in source.fields:
            raise UserError(
                f"--data.of: {source.name} models {source.main!r}, {kind}, and has the fields "
                f"{', '.join(source.fields)}: Sketched() draws pictures, and keeps them as 'input'."
            )
        if source.records is not None:
            raise UserError(
                "--data.of.stream=true: Sketched() draws all pictures when they are loaded: use stream=false."
            )
        splits = {}
        for split, arrays in source.splits().items():
            splits[split] = dict(arrays)
            # a set need not have every split
            if arrays:
                drawn = sketches(arrays[source.main], self.least)
                splits[split]["input"] = drawn
        # of the same kind, so that either may become the other
        fields = {**source.fields, "input": kind}
        return source._replace(
            name=f"{source.name}, sketched",
            fields=fields,
            **splits,
        )


def sketches(
    images: Any,
    least: float,
) -> np.ndarray:
    """Line drawings of pictures [N, H, W, C], bytes or floats in [0, 1]: uint8 of the same shape, black on white."""
    drawn = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        part = np.asarray(images[rows])
        scale = 255.0 if part.dtype == np.uint8 else 1.0
        unit = part.astype(np.float32) / scale
        line = lines(brightness(unit), least)
        drawn[rows] = np.where(line, 0, 255)[..., None]
    return drawn


def brightness(unit: np.ndarray) -> np.ndarray:
    """The luma of pictures [N, H, W, C] in [0, 1], [N, H, W]; of other than three channels their mean."""
    if unit.shape[-1] == 3:
        return unit @ LUMA
    return unit.mean(-1)


def lines(
    luma: np.ndarray,
    least: float,
) -> np.ndarray:
    """Where lines are drawn, bool [N, H, W], of luma [N, H, W]."""
    across, down = gradient(luma)
    # the length of the gradient
    steep = np.hypot(across, down)
    wide = np.pad(steep, ((0, 0), (1, 1), (1, 1)))
    left = wide[:, 1:-1, :-2]
    right = wide[:, 1:-1, 2:]
    above_ = wide[:, :-2, 1:-1]
    below = wide[:, 2:, 1:-1]
    # of two that are the same the first: a step between two pixels has one line
    crest_across = (steep > left) & (steep >= right)
    crest_down = (steep > above_) & (steep >= below)
    # across the line is along the gradient, here to the nearer of two ways
    upright = np.abs(across) >= np.abs(down)
    crest = np.where(upright, crest_across, crest_down)
    return crest & (steep > least)


def gradient(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's derivatives of luma [N, H, W] to the right and down, [1 / pixel]; the border repeats the edge."""
    wide = np.pad(luma, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + 2.0 * wide[:, 1:-1] + wide[:, 2:]  # [N, H, W + 2]
    columns = wide[:, :, :-2] + 2.0 * wide[:, :, 1:-1] + wide[:, :, 2:]
    across = rows[:, :, 2:] - rows[:, :, :-2]
    down = columns[:, 2:] - columns[:, :-2]
    # four weights, over a distance of two pixels
    return across / 8.0, down / 8.0
