"""Figures of methods that are no part of genjax, kept with a mark of every picture that they were measured on.

BM3D may be used for non-commercial purposes alone, so nobody needs it here: its figures lie in bm3d.json, and count for
the very pictures and the very noise that it was given. Each picture is known by the checksum of its bytes, the noise on
it by its error in decibels, which other noise changes by some hundredths.

    python -m benchmarks.floors_genjax bm3d      writes the file, where the package is installed
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.errors import UserError
from genjax.metrics.images import psnr

FILE = Path(__file__).with_name("bm3d.json")
SAME = (
    1e-3  # dB: other noise changes the error of a picture of 256x256 by .02, rounding by 1e-5
)


class Figure(NamedTuple):
    """What was measured on one picture."""

    psnr: float  # dB
    ssim: float


class Marks(NamedTuple):
    """What pictures [N] are known by."""

    crc32: list[int]  # of the bytes as they were
    input: list[float]  # dB, of what was given to the method


def marks(clean: np.ndarray, seen: np.ndarray) -> Marks:
    """Of pictures [N, H, W, C] in [0, 1] and what was made of them."""
    levels = np.rint(255.0 * clean)  # what was stored: the same on every machine
    stored = levels.astype(np.uint8)
    sums = [zlib.crc32(picture.tobytes()) for picture in stored]
    return Marks(sums, psnr(seen, clean).tolist())


@dataclasses.dataclass(frozen=True)
class Figures:
    """Those of one file."""

    path: str | None = field(
        None, "the file; None = BM3D's, which comes with genjax", execution=True
    )

    def of(self, damage: Any, clean: np.ndarray, seen: np.ndarray) -> tuple[str, list[Figure]]:
        """(the method, a figure for each picture); UserError where a picture, or the noise on it, is another one."""
        content = self._content()
        kept = dict(_kept(content, repr(damage)))
        found = []
        for sum_, error in zip(*marks(clean, seen), strict=True):
            before, figure = kept.get(sum_, (np.inf, None))
            if figure is None or abs(before - error) > SAME:
                what = "no such picture" if figure is None else "other noise on a picture"
                raise UserError(
                    f"the figures of {content['method']} for {damage!r} are of {what}: measure them anew by python -m "
                    "benchmarks.floors_genjax bm3d."
                )
            found.append(figure)
        return content["method"], found

    def _content(self) -> dict[str, Any]:
        path = Path(self.path) if self.path else FILE
        try:
            content = json.loads(path.read_text())
            content["method"], content["sets"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path} cannot be read as figures ({error!r}): put it back, or use --finish.Restoring.figures=None."
            ) from error
        return content


def _kept(content: dict[str, Any], damage: str) -> Iterator[tuple[int, tuple[float, Figure]]]:
    """(checksum of a picture, (its error before, its figure)) of all that were damaged so."""
    for each in content["sets"]:
        if each["damage"] != damage:
            continue
        columns = (each["crc32"], each["input"], each["psnr"], each["ssim"])
        for sum_, before, decibels, similar in zip(*columns, strict=True):
            yield sum_, (before, Figure(decibels, similar))
