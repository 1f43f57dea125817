"""Segmentation with exact masks: cut-out photographs of Debian's tuxpaint-stamps-default on scenes of `Scenes`.

Ten classes of things, as the package sorts them; left out are drawings, toys, mirrored copies and parts of things. Each
picture has one to three of them, whole, later ones above earlier ones. The mask is where the opacity of a thing is at
least one half. Scenes of animals, fishes, tools and other things are no backgrounds: what the mask calls background
would be of a class.

A thing is in one split, and so is a scene. Draws are raw bits of Philox, which no release of numpy changes (NEP 19).
The stamps are under the GPL 2, and pictures made of them are too: none is carried by this project.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import cache, scenes
from genjax.data.apart import grouped, parted
from genjax.data.packages import Package
from genjax.data.scenes import VERSION
from genjax.data.source import Source, assemble
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Category, Image, Mask, Tokens


class Shelf(NamedTuple):
    """The stamps of one class."""

    kind: str
    folder: str  # below that of all stamps
    count: int  # cut-outs that are taken in the version that was tried


SHELVES = (
    Shelf("birds", "animals/birds", 35),
    Shelf("fish", "animals/fish", 11),
    Shelf("flowers", "plants/flowers", 24),
    Shelf("fruit", "food/fruit", 26),
    Shelf("insects", "animals/insects", 8),
    Shelf("instruments", "hobbies/music", 11),
    Shelf("mammals", "animals/mammals", 62),
    Shelf("tools", "household/tools", 12),
    Shelf("vegetables", "food/vegetables", 18),
    Shelf("vehicles", "vehicles", 14),
)
KINDS = tuple(shelf.kind for shelf in SHELVES)
PACKAGE = Package(
    "tuxpaint-stamps-default",
    tuple(f"{shelf.folder}/**/*.png" for shelf in SHELVES),
    "on Debian and Ubuntu `apt-get install --no-install-recommends tuxpaint-stamps-default`",
    "2022.06.04-1",
    ("/usr/share/tuxpaint/stamps",),
)
# folders of drawings and toys
DRAWN = frozenset({"cartoon", "plastic", "toys"})
# drawings among the photographs, and of vehicles what is a part of one
NOT_TAKEN = frozenset(
    {
        "animals/insects/bee",
        "animals/mammals/echidna",
        "animals/mammals/hedgehog",
        "vehicles/7spoke256",
        "vehicles/emergency/sedan_police",
        "vehicles/wheel_tractor",
    }
)
GROUNDS = frozenset({"energy", "monuments", "sea"})  # kinds of scenes to paste on
VALID, TEST = 0.15, 0.2  # shares of the things of every class
MOST = 3  # things in a picture
LEAST_SIDE, MOST_SIDE = 0.3, 0.75  # of the longer side of a thing, in sides of the picture
# what is far too large is first brought to twice its size by means, which is quicker and looks the same
_GAP = 2.0
_WORDS = 5 + 5 * MOST  # draws of 64 bits for a picture


class Cutout(NamedTuple):
    """A thing cut out of a photograph."""

    name: str
    image: np.ndarray  # uint8 [H, W, 4], the last its opacity; no wholly transparent border
    kind: str
    captions: dict[str, str]  # {language: text}, "en" for one


@dataclasses.dataclass(frozen=True)
class Stamps:
    """Pictures of one to three things on a scene, with a class for each pixel: 0 is the scene.

    Beside "image" a picture has "mask", "label" (the class that covers most), "scene" and "things", the numbers from 1
    on of what was pasted, filled up with 0. Classes are alike in chance, whatever number of things they have.
    """

    size: int = field(64, "side of a picture [pixels]")
    train: int = field(8_000, "training pictures")
    valid: int = field(1_000, "pictures for validation, of things and scenes of their own")
    test: int = field(1_000, "test pictures, of things and scenes of their own")
    seed: int = field(0, "seed of the pictures, independent of the run's seed")
    path: str | None = field(
        None,
        "folder of the stamps; None = $GENJAX_DATA, then where Debian has them",
        execution=True,
    )
    scenes: str | None = field(
        None,
        "folder of the .rcc files of the scenes; None = $GENJAX_DATA, then where Debian has them",
        execution=True,
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def load(self) -> Source:
        """From the cache, else from the two packages; UserError says how to get them, and which sizes fit."""
        at_least(8, data__size=self.size)  # below that nothing is to be seen of three things
        at_least(1, data__train=self.train, data__valid=self.valid, data__test=self.test)
        at_least(0, data__seed=self.seed)
        # above, numpy rounds a seed, and several draw the same
        at_most(2**63 - 1, data__seed=self.seed)
        request = {"version": VERSION, "size": self.size, "seed": self.seed}
        request |= {"train": self.train, "valid": self.valid, "test": self.test}
        folders = PACKAGE.find(self.path), scenes.PACKAGE.find(self.scenes)
        mark = None
        # without the packages the cache's arrays are taken as they are
        if all(folders):
            mark = f"{PACKAGE.mark(folders[0])}-{scenes.PACKAGE.mark(folders[1])}"
        prepare = functools.partial(_prepare, cfg=self)
        return assemble("stamps", "stamps", request, mark, prepare, 0, self.stream)


def cutouts(path: str | None = None) -> list[Cutout]:
    """All cut-outs that are taken, in the order of their names; where they are looked for as by `Stamps.path`.

    UserError for a package that is missing, of another version or broken.
    """
    folder = PACKAGE.find(path) or PACKAGE.missing(path)
    found = []
    for shelf in SHELVES:
        names = _names(folder, shelf)
        if len(names) != shelf.count:
            what = f"has {len(names)} cut-out photographs and not {shelf.count}"
            raise PACKAGE.other(folder / shelf.folder, what)
        for name in names:
            image = _read(folder / f"{name}.png")
            found.append(Cutout(name, image, shelf.kind, captions(folder / f"{name}.txt")))
    return sorted(found, key=lambda thing: thing.name)


def _names(folder: Path, shelf: Shelf) -> list[str]:
    """The stamps of a class that are photographs, relative to the folder."""
    names = []
    for path in (folder / shelf.folder).rglob("*.png"):
        relative = path.relative_to(folder)
        name = relative.with_suffix("").as_posix()
        # a mirrored copy would be the same thing twice
        if DRAWN.isdisjoint(relative.parts) and name not in NOT_TAKEN and "mirror" not in name:
            names.append(name)
    return sorted(names)


def _read(path: Path) -> np.ndarray:
    """A stamp without its empty border, uint8 [H, W, 4]; UserError for what is none."""
    from PIL import Image as Pillow

    try:
        # this format alone: for some others Pillow starts programs
        with Pillow.open(path, formats=("PNG",)) as image:
            if "A" not in image.getbands() and "transparency" not in image.info:
                raise ValueError("nothing in it is transparent")
            whole = np.asarray(image.convert("RGBA"))
        rows = np.flatnonzero(whole[..., 3].any(1))
        columns = np.flatnonzero(whole[..., 3].any(0))
        return whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
        raise UserError(
            f"{path} cannot be read as a cut-out ({error}): get {PACKAGE.name} again, {PACKAGE.get}."
        ) from error


def captions(path: Path) -> dict[str, str]:
    """{language: text} beside a stamp, {} where there is none: a line in English, then LANGUAGE.utf8=TEXT."""
    if not path.is_file():
        return {}
    try:
        first, *others = path.read_text(encoding="utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as captions ({error}): get {PACKAGE.name} again, {PACKAGE.get}."
        ) from error
    found = {"en": first.strip()}
    for line in others:
        language, _, text = line.partition(".utf8=")
        if text.strip():
            found[language] = text.strip()
    return found


def _sides(things: list[Cutout]) -> dict[str, str]:
    """{name of a thing: its split}; several pictures of one thing, as of the gnus, are on one side."""
    keys = {}
    for thing in things:
        last = thing.name.rpartition("/")[2].lower()
        stem = re.sub(r"_?2$", "", last.partition("-")[0])
        keys[thing.name] = [(thing.kind, stem)]
    kinds = {thing.name: thing.kind for thing in things}
    return parted(kinds, grouped(keys), VALID, TEST)


def _grounds(path: str | None) -> list[scenes.Photograph]:
    """The scenes to paste on."""
    try:
        found = scenes.photographs(path)
    except UserError as error:
        # the same words, of the flag that is meant here
        told = str(error).replace("--data.path", "--data.scenes")
        raise UserError(told) from error
    return [scene for scene in found if scene.kind in GROUNDS]


class _Stock(NamedTuple):
    """What the pictures of a split are made of."""

    grounds: list[tuple[int, Any]]  # (number, Pillow image) of each scene
    things: dict[int, list[tuple[int, Any]]]  # {class: (number, Pillow image) of each thing}


def _prepare(directory: Path, cfg: Stamps) -> cache.Prepared:
    from genjax.data import builders

    things = cutouts(cfg.path)
    grounds = _grounds(cfg.scenes)
    _check_size(grounds, cfg.size)
    sides = _sides(things)
    shape = (cfg.size, cfg.size)
    names = tuple(scene.name for scene in grounds)
    fields = {
        "image": Image((*shape, 3)),
        "mask": Mask(shape, len(KINDS) + 1),
        "label": Category(len(KINDS), KINDS),
        "scene": Category(len(names), names),
        "things": Tokens(MOST, len(things) + 1),
    }
    sizes = {"train": cfg.train, "valid": cfg.valid, "test": cfg.test}
    splits = {}
    for place, (split, n) in enumerate(sizes.items()):
        stock = _stock(split, grounds, things, sides, cfg.size)
        # a stream of its own for each split: the size of one leaves the others as they are
        key = [cfg.seed, place]
        splits[split] = functools.partial(_rows, stock, n, cfg.size, key)
    return builders.rows(directory, fields, splits, _notes(things, grounds, sides))


def _check_size(grounds: list[scenes.Photograph], size: int) -> None:
    """Raises UserError where a split would have no scene to paste on."""
    largest = dict.fromkeys(scenes.SPLITS, 0)
    for scene in grounds:
        side = min(scene.image.shape[:2])
        largest[scene.split] = max(side, largest[scene.split])
    most = min(largest.values())
    if size > most:
        raise UserError(
            f"--data.size={size} is larger than the scenes of a split: use at most {most}."
        )


def _stock(
    split: str,
    grounds: list[scenes.Photograph],
    things: list[Cutout],
    sides: dict[str, str],
    size: int,
) -> _Stock:
    """The scenes of a split that are large enough, and its things; numbers are those of the whole set."""
    from PIL import Image as Pillow

    found = _Stock([], {})
    for number, scene in enumerate(grounds):
        if scene.split == split and min(scene.image.shape[:2]) >= size:
            found.grounds.append((number, Pillow.fromarray(scene.image)))
    for number, thing in enumerate(things, 1):  # 0 is none
        if sides[thing.name] == split:
            of_kind = found.things.setdefault(KINDS.index(thing.kind), [])
            # colours weighed by their opacity: what is hidden at an edge does not bleed in when it is scaled
            weighed = Pillow.fromarray(thing.image).convert("RGBa")
            of_kind.append((number, weighed))
    return found


def _rows(stock: _Stock, n: int, size: int, key: list[int]) -> Iterator[dict[str, Any]]:
    """n pictures, each of its own words of the stream."""
    bits = np.random.Philox(key=key)
    for _ in range(n):
        words = bits.random_raw(_WORDS).tolist()
        yield _picture(stock, iter(words), size)


def _picture(stock: _Stock, words: Iterator[int], size: int) -> dict[str, Any]:
    """A picture by its draws; their order is a part of the set."""
    scene, ground = stock.grounds[_below(words, len(stock.grounds))]
    image = _ground(ground, words, size)
    mask = np.zeros((size, size), np.uint8)
    numbers = [0] * MOST
    kinds = sorted(stock.things)
    kind = 0
    for i in range(1 + _below(words, MOST)):
        kind = kinds[_below(words, len(kinds))]
        of_kind = stock.things[kind]
        numbers[i], thing = of_kind[_below(words, len(of_kind))]
        shrunk = _shrunk(thing, words, size)
        y = _below(words, size - shrunk.shape[0] + 1)
        x = _below(words, size - shrunk.shape[1] + 1)
        paste(image, mask, shrunk, (y, x), kind + 1)
    covered = np.bincount(mask.ravel(), minlength=len(KINDS) + 1)[1:]
    # of things so thin that no pixel is half theirs the last
    label = int(covered.argmax()) if covered.any() else kind
    return {"image": image, "mask": mask, "label": label, "scene": scene, "things": numbers}


def _below(words: Iterator[int], n: int) -> int:
    """A draw in 0 to n - 1 by whole numbers; 2^64 is so much larger than n that all are alike in chance."""
    return next(words) * n >> 64


def _ground(ground: Any, words: Iterator[int], size: int) -> np.ndarray:
    """A square of a scene, of any side from `size` to the scene's, as uint8 [size, size, 3] that can be written."""
    from PIL import Image as Pillow

    width, height = ground.size
    side = size + _below(words, min(width, height) - size + 1)
    top = _below(words, height - side + 1)
    left = _below(words, width - side + 1)
    box = (left, top, left + side, top + side)
    scaled = ground.resize((size, size), Pillow.Resampling.LANCZOS, box, _GAP)
    return np.array(scaled)


def _shrunk(thing: Any, words: Iterator[int], size: int) -> np.ndarray:
    """A thing at the size that is drawn for it, uint8 [h, w, 4]; none is enlarged."""
    from PIL import Image as Pillow

    least, most = round(LEAST_SIDE * size), round(MOST_SIDE * size)
    longer = max(thing.size)
    scale = min(1.0, (least + _below(words, most - least + 1)) / longer)
    width, height = (max(1, round(side * scale)) for side in thing.size)
    scaled = thing.resize((width, height), Pillow.Resampling.LANCZOS, None, _GAP)
    return np.asarray(scaled.convert("RGBA"))


def paste(
    image: np.ndarray, mask: np.ndarray, thing: np.ndarray, at: tuple[int, int], number: int
) -> None:
    """Lays a thing [h, w, 4] over a picture [H, W, 3] by its opacity, and its number over the mask [H, W], in place.

    at: (y, x) of its upper left corner. The mask has the number where the thing is at least half opaque.
    """
    y, x = at
    h, w = thing.shape[:2]
    bottom, right = y + h, x + w
    under = image[y:bottom, x:right]
    opacity = thing[..., 3:] / 255
    mixed = under * (1 - opacity) + thing[..., :3] * opacity
    under[...] = np.rint(mixed)
    half = thing[..., 3] >= 128
    mask[y:bottom, x:right][half] = number


def _notes(
    things: list[Cutout], grounds: list[scenes.Photograph], sides: dict[str, str]
) -> tuple[str, ...]:
    """What the user should know: of what the splits are made, and the licence."""
    of_split = list(sides.values())
    scene_of = [scene.split for scene in grounds]
    told = []
    for split in scenes.SPLITS:
        told.append(f"{split} {of_split.count(split)} things on {scene_of.count(split)} scenes")
    few = sorted({t.kind for t in things} - {t.kind for t in things if sides[t.name] == "test"})
    notes = [", ".join(told)]
    if few:
        notes.append(f"in train alone, for they have too few things: {', '.join(few)}")
    notes.append("the stamps are under the GPL 2, and pictures made of them are too")
    return tuple(notes)
