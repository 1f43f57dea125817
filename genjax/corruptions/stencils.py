"""What marks are drawn with: words and emblems as maps of coverage in [0, 1], made once, without a download.

A bank is a config value; `bank.maps(count, side)` gives uint8 [count, side, side], 255 = all of a pixel is covered,
each stencil about the middle of its map and at most side - 2 pixels wide and high, so that its border is empty. They
are drawn at many sizes by Pillow, whose edges are smooth: whoever turns and scales them a little need not filter.

Two banks have nothing in common where their families of fonts, their words and their folds of symmetry are apart, as
those that train (the defaults) and those of `unseen`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator, Philox

from genjax.config import Own, field
from genjax.errors import UserError, at_least, nearest

# {family: its files in matplotlib's folder of fonts}; Pillow carries one face in itself
FAMILIES = {
    "DejaVu Sans": (
        "DejaVuSans.ttf",
        "DejaVuSans-Bold.ttf",
        "DejaVuSans-Oblique.ttf",
        "DejaVuSans-BoldOblique.ttf",
    ),
    "DejaVu Sans Mono": (
        "DejaVuSansMono.ttf",
        "DejaVuSansMono-Bold.ttf",
    ),
    "Computer Modern": (
        "cmr10.ttf",
        "cmb10.ttf",
        "cmss10.ttf",
        "cmti10.ttf",
        "cmtt10.ttf",
    ),
    "DejaVu Serif": (
        "DejaVuSerif.ttf",
        "DejaVuSerif-Bold.ttf",
        "DejaVuSerif-Italic.ttf",
    ),
    "STIX": (
        "STIXGeneral.ttf",
        "STIXGeneralBol.ttf",
        "STIXGeneralItalic.ttf",
        "STIXGeneralBolIta.ttf",
    ),
    "Aileron": ("",),
}
TRAINING_FAMILIES = ("DejaVu Sans", "DejaVu Sans Mono", "Computer Modern")
TEST_FAMILIES = ("DejaVu Serif", "STIX", "Aileron")
TRAINING_WORDS = (
    "sample",
    "preview",
    "photo",
    "studio",
    "image",
    "archive",
    "media",
    "stock",
    "press",
    "gallery",
    "draft",
    "proof",
    "copy",
    "camera",
    "vision",
    "light",
    "pixel",
    "north",
    "river",
    "summer",
    "anna",
    "martin",
    "lopez",
    "chen",
    "world",
    "daily",
    "open",
    "digital",
)
TEST_WORDS = (
    "watermark",
    "demo",
    "picture",
    "agency",
    "rights",
    "reserved",
    "confidential",
    "design",
    "editorial",
    "visual",
    "keller",
    "sofia",
    "yamada",
    "mountain",
    "harbour",
    "travel",
)
# Corners of an emblem, or petals: the rotations that leave it as it is
TRAINING_FOLDS = (2, 3, 4, 6, 8, 12)
TEST_FOLDS = (5, 7, 9, 10)
SEEN = 32  # of 255: what is covered less is left as it is, so that a mark has an outside
LEAST = 7  # height of letters that can still be read [pixels]
FINE = 4  # emblems are drawn so many times larger, and averaged
POINTS = 144  # of a petal's line


def unseen() -> tuple[Letters, Logos]:
    """The banks of families, words and folds that the defaults of `Letters` and `Logos` do without."""
    # another seed too: with the same draws the same emblem would come with other corners
    letters = Letters(TEST_FAMILIES, TEST_WORDS, seed=1)
    logos = Logos(TEST_FOLDS, TEST_FAMILIES, seed=1)
    return letters, logos


def shared(some: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """The families, words and folds that banks on two sides have in common; [] where none is on both."""
    found = []
    for name in ("families", "words", "folds"):
        here = _parts(some, name)
        there = _parts(others, name)
        found += sorted(here & there)
    return found


def _parts(banks: Sequence[Any], name: str) -> set[str]:
    """What banks have in a field, in small letters: they are drawn in all."""
    found = set()
    for bank in banks:
        # one of a user's own may have no such field
        for part in getattr(bank, name, ()):
            found.add(str(part).lower())
    return found


@dataclasses.dataclass(frozen=True)
class Letters:
    """One or two lines of text: words, some after "(c)" or before a year, some as outlines alone."""

    families: tuple[str, ...] = field(
        TRAINING_FAMILIES,
        f"of fonts: of {', '.join(FAMILIES)}",
    )
    words: tuple[str, ...] = field(
        TRAINING_WORDS,
        "that the lines are made of",
    )
    seed: int = field(0, "of the draws, independent of the run's seed")

    def check(self) -> None:
        """Raises UserError for a family that is not known, and for no family or word."""
        _check_families("Letters", self.families)
        at_least(0, "Letters: ", seed=self.seed)
        if not "".join(self.words).strip():
            raise UserError(
                "Letters(words=()) writes nothing: name a word or more.",
            )

    def maps(self, count: int, side: int) -> np.ndarray:
        """uint8 [count, side, side]; the same arrays at every call."""
        return _maps(self, count, side)

    def one(self, rng: Generator, side: int) -> np.ndarray:
        """A stencil, uint8 [h, w] of at most side - 2."""
        face = _face(rng, self.families)
        # up to a quarter of the side: a word of six letters is as wide as all of it
        least = max(LEAST, side // 12)
        most = max(LEAST, side // 4)
        high = int(rng.integers(least, most + 1))
        text = self._line(rng)
        if rng.random() < 0.25:
            text += "\n" + self._line(rng)
        text = _cased(rng, text)
        stroke = 0
        if rng.random() < 0.25:
            stroke = max(1, high // 12)  # pixels: thinner ones are not seen as lines
        return _written(text, face, high, stroke, side - 2)

    def _line(self, rng: Generator) -> str:
        """A word or two, with what is often beside them."""
        several = rng.random() < 0.4
        words = rng.choice(self.words, 1 + several)
        line = " ".join(words)
        if rng.random() < 0.25:
            line = f"(c) {line}"
        if rng.random() < 0.2:
            year = rng.integers(1990, 2030)
            line = f"{line} {year}"
        return line


@dataclasses.dataclass(frozen=True)
class Logos:
    """Emblems: polygons, stars and flowers, whole or as rings, with another or a letter inside."""

    folds: tuple[int, ...] = field(
        TRAINING_FOLDS,
        "corners or petals that there may be",
    )
    families: tuple[str, ...] = field(
        TRAINING_FAMILIES,
        "of the fonts of letters inside",
    )
    seed: int = field(0, "of the draws, independent of the run's seed")

    def check(self) -> None:
        """Raises UserError for no fold or one below 2, and for a family that is not known."""
        _check_families("Logos", self.families)
        at_least(0, "Logos: ", seed=self.seed)
        if min(self.folds, default=0) < 2:
            raise UserError(
                f"Logos(folds={self.folds}) draws nothing: name whole numbers of 2 or more.",
            )

    def maps(self, count: int, side: int) -> np.ndarray:
        """uint8 [count, side, side]; the same arrays at every call."""
        return _maps(self, count, side)

    def one(self, rng: Generator, side: int) -> np.ndarray:
        """A stencil, uint8 [h, w] of at most half of side - 2."""
        # from a badge in a corner to half the picture
        most = (side - 2) // 2
        least = max(LEAST, side // 8)
        high = int(rng.integers(min(least, most), most + 1))
        canvas = _page(FINE * high, FINE * high)
        pen = _pen(canvas)
        outer = self._outline(rng)
        _fill(pen, outer, 1.0, high, 255)
        inside = 0
        ring = rng.random() < 0.65
        if ring:
            left = rng.uniform(0.8, 0.92)  # of the radius
            _fill(pen, outer, left, high, 0)
            inside = 255
        if rng.random() < 0.4:
            _initial(pen, rng, self.families, high, inside)
        else:
            inner = self._outline(rng)
            scale = rng.uniform(0.3, 0.55)
            _fill(pen, inner, scale, high, inside)
        small = canvas.reduce(FINE)  # means of blocks: smooth edges
        return np.asarray(small)

    def _outline(self, rng: Generator) -> np.ndarray:
        """A closed line about 0, complex [points], the furthest of them at distance 1."""
        fold = int(rng.choice(self.folds))
        depth = rng.random()
        straight = rng.random() < 0.7
        line = _star(fold, depth) if straight else _flower(fold, depth)
        angle = math.pi / 2  # a corner on top
        if rng.random() < 0.3:
            angle = rng.uniform(0, math.pi)
        line = line * np.exp(1j * angle)
        furthest = np.abs(line).max()
        return line / furthest


Bank = Letters | Logos | Own


def _check_families(who: str, families: Sequence[str]) -> None:
    """Raises UserError for a family that is not known, with the nearest, and for none at all."""
    known = ", ".join(FAMILIES)
    if not families:
        raise UserError(
            f"{who}(families=()) has no letters: name one of {known}.",
        )
    for family in families:
        if family not in FAMILIES:
            raise UserError(
                f"{who}(families=...): there is no family {family!r}, they are {known}."
                f"{nearest(family, FAMILIES)}"
            )


@functools.lru_cache(maxsize=16)
def _maps(bank: Any, count: int, side: int) -> np.ndarray:
    """All stencils of a bank, each in the middle of an empty map."""
    maps = np.zeros((count, side, side), np.uint8)
    for i in range(count):
        # a stream of its own for each: more of them leave the first as they are
        bits = Philox(key=[bank.seed, i])
        rng = Generator(bits)
        drawn = bank.one(rng, side)
        stencil = _cut(drawn)
        high, wide = stencil.shape
        top = (side - high) // 2
        left = (side - wide) // 2
        rows = slice(top, top + high)
        columns = slice(left, left + wide)
        maps[i, rows, columns] = stencil
    maps.flags.writeable = False  # one array for all who ask
    return maps


def _cut(drawn: np.ndarray) -> np.ndarray:
    """What is covered, without the empty lines around it."""
    covered = drawn >= SEEN
    if not covered.any():  # a word of signs that the font lacks
        return drawn
    rows = np.flatnonzero(covered.any(1))
    columns = np.flatnonzero(covered.any(0))
    down = slice(rows[0], rows[-1] + 1)
    across = slice(columns[0], columns[-1] + 1)
    return drawn[down, across]


# --- letters ---------------------------------------------------------------------------------------------------------

Face = Callable[[int], Any]  # height of the letters [pixels] -> Pillow's font


def _face(rng: Generator, families: Sequence[str]) -> Face:
    """A family, then one of its faces: each family is as likely, however many faces it has."""
    family = rng.integers(len(families))
    files = FAMILIES[families[family]]
    number = rng.integers(len(files))
    return functools.partial(_font, files[number])


@functools.lru_cache(maxsize=256)
def _font(file: str, high: int) -> Any:
    """A font of matplotlib's, or of Pillow's own where no file is named."""
    import matplotlib
    from PIL import ImageFont

    if not file:
        return ImageFont.load_default(high)
    data = Path(matplotlib.get_data_path())
    path = data / "fonts" / "ttf" / file
    try:
        return ImageFont.truetype(str(path), high)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error}): matplotlib carries it, install that again."
        ) from error


def _cased(rng: Generator, text: str) -> str:
    """In small letters, in capitals, or with a capital for each word."""
    kind = rng.integers(3)
    if kind == 0:
        return text
    return text.upper() if kind == 1 else text.title()


def _written(text: str, face: Face, high: int, stroke: int, most: int) -> np.ndarray:
    """Text, uint8 [h, w], in letters of `high` pixels or as high as fits; stroke: width of outlines, 0 = filled."""
    box = _box(text, face(high), stroke)
    widest = max(box.width, box.height)
    if widest > most:
        stroke = min(stroke, 1)
        fits = most / widest
        high = max(1, int(fits * high))
        box = _box(text, face(high), stroke)
    # hinting may leave a line a pixel too long
    width = min(box.width, most)
    height = min(box.height, most)
    canvas = _page(width, height)
    pen = _pen(canvas)
    pen.multiline_text(
        (-box.left, -box.top),
        text,
        # letters in the colour of the ground leave their outlines
        0 if stroke else 255,
        face(high),
        align="center",
        stroke_width=stroke,
        stroke_fill=255,
    )
    return np.asarray(canvas)


class _Box(NamedTuple):
    """What a text covers, from where its pen begins [pixels]."""

    left: int
    top: int
    width: int
    height: int


def _box(text: str, font: Any, stroke: int) -> _Box:
    """Of a text in a font."""
    pen = _pen(_page(1, 1))
    edges = pen.multiline_textbbox(
        (0, 0),
        text,
        font,
        align="center",
        stroke_width=stroke,
    )
    left, top = map(math.floor, edges[:2])
    right, bottom = map(math.ceil, edges[2:])
    return _Box(left, top, right - left, bottom - top)


def _page(width: int, height: int) -> Any:
    """An empty picture in grey."""
    from PIL import Image

    return Image.new("L", (width, height))


def _pen(page: Any) -> Any:
    """What draws on it."""
    from PIL import ImageDraw

    return ImageDraw.Draw(page)


def _initial(
    pen: Any,
    rng: Generator,
    families: Sequence[str],
    high: int,
    value: int,
) -> None:
    """A letter in the middle of an emblem of `high` pixels."""
    face = _face(rng, families)
    number = rng.integers(len(string.ascii_uppercase))
    side = FINE * high
    pen.text(
        (side / 2, side / 2),
        string.ascii_uppercase[number],
        value,
        face(side // 2),
        anchor="mm",
    )


# --- emblems ---------------------------------------------------------------------------------------------------------


def _star(fold: int, depth: float) -> np.ndarray:
    """A star of `fold` points; at depth 0 the polygon of as many corners, of two a lens of four."""
    # the middle of a polygon's side is so far from its centre
    side = math.cos(math.pi / max(fold, 3))
    inner = side * (1.0 - 0.6 * depth)
    step = math.pi / fold
    angle = step * np.arange(2 * fold)
    radius = np.tile([1.0, inner], fold)
    return radius * np.exp(1j * angle)


def _flower(fold: int, depth: float) -> np.ndarray:
    """A round line with `fold` petals, r = 1 + d cos(fold angle)."""
    angle = np.linspace(0.0, 2.0 * math.pi, POINTS)
    deep = 0.1 + 0.25 * depth
    petals = np.cos(fold * angle)
    radius = 1.0 + deep * petals
    return radius * np.exp(1j * angle)


def _fill(pen: Any, line: np.ndarray, scale: float, high: int, value: int) -> None:
    """Fills a closed line, scaled about the middle of an emblem of `high` pixels."""
    half = FINE * high / 2
    large = half * scale * line
    x = half + large.real
    y = half - large.imag  # rows go down
    points = np.stack([x, y], 1)
    pen.polygon(points.ravel().tolist(), fill=value)
