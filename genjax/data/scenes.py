"""Photographs in colour: tiles of the scenes that Debian's gcompris-qt-data carries, split by scene.

Which are taken is said by `ALBUMS`: animals, monuments, fishes, the sea, wind and water power, tools and other things.
Left out are photographs that show people (those of musicians, and two of monuments; on others are passers-by, too small
to be recognised), paintings, drawings, cut-outs, one photograph in grey, and what no README of the package names: of
that nobody knows the licence.

They are lossy WebP, whose colour has half the resolution, so they are halved first: means of 2x2 pixels in linear
light, what a camera of fewer pixels would have seen. A sharper filter would ring at edges, and means of the stored
values would darken fine patterns.

Scenes of one source, of one name, of one monument, and those that look alike are on one side of a split.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.apart import grouped, parted
from genjax.data.packages import Package
from genjax.data.rcc import Resources
from genjax.data.source import Source, assemble
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image


class Album(NamedTuple):
    """Photographs of one kind in one file of the package."""

    name: str  # before the names of its scenes; up to a / that of its file
    folder: str  # inside
    kind: str
    count: int  # photographs that are taken in the version that was tried
    pattern: str = r".*"  # of their names below the folder

    @property
    def file(self) -> str:
        return self.name.partition("/")[0] + ".rcc"


_IMAGES = "resource/images"
VERSION = 1  # of what is made of the packages: a new number makes their caches be built again
ALBUMS = (
    Album("erase", "resource", "animals", 33),
    Album("explore_farm_animals", "resource/animals", "animals", 9),
    Album("explore_world_animals", "resource/animals", "animals", 15),
    Album("categorization/renewable", f"{_IMAGES}/renewable", "energy", 29),
    Album("categorization/fishes", f"{_IMAGES}/fishes", "fishes", 28),
    Album("categorization/monuments", f"{_IMAGES}/monuments", "monuments", 27),
    # what is called otherwise is a part of one
    Album("details", "resource/image", "monuments", 13, r".*_background"),
    Album("explore_monuments", "resource", "monuments", 45),
    # the others are cut-outs of fishes
    Album("clickgame", "resource", "sea", 6, r"sea\d"),
    Album("categorization/others", f"{_IMAGES}/others", "things", 17),
    Album("categorization/tools", f"{_IMAGES}/tools", "tools", 38),
)
LEFT_OUT = frozenset(
    {
        # people in the foreground
        "explore_monuments/india/gatewayofIndia",
        "explore_monuments/india/mysorePalace",
        # in grey
        "explore_monuments/usa/castleClinton",
    }
)
# one place or thing by several names, in small letters
SAME = {
    "chateaudechenonceau": "chenonceau",
    "eiffeltower": "toureiffel",
    "gizahpyramids": "greatpyramid",
    "greatpyramidofgiza": "greatpyramid",
    "greatwallofchina": "greatwall",
    "hammer9": "hammer8",
    "louvre_2007_02_24_c": "lemusee",
    "neuschwansteincastle": "neuschwanstein",
    "operahouse": "operasidney",
    "qutubminar": "kutubminar",
    "windmill14": "windmill9",
}
PACKAGE = Package(
    "gcompris-qt-data",
    tuple(sorted({album.file for album in ALBUMS})),
    "on Debian and Ubuntu `apt-get install gcompris-qt-data`",
    "3.1-2",
    ("/usr/share/gcompris-qt/rcc",),
)
SPLITS = ("train", "valid", "test")
VALID, TEST = 0.1, 0.1  # shares of the scenes of every kind
# of 64 bits: pictures of which no more differ look alike. Of these scenes copies differ in 1, and others in 9 or more
NEAR = 5
_MOST = 1 << 25  # pixels of a photograph: a camera's
_KEY = re.compile(r"(Copyright|Source|Licen[cs]e|Comments?|Files?)\s*:\s*(.*)")
_FILE = re.compile(r"\S+\.(webp|svg|png|ogg|wav)")
_LINK = re.compile(r"https?://\S+")


class Attribution(NamedTuple):
    """What is said of a picture where it is shown."""

    author: str
    licence: str
    source: str  # an address, "" = none is told
    changes: str  # what was done to it already


class Photograph(NamedTuple):
    """A whole scene, after halving."""

    name: str
    image: np.ndarray  # uint8 [H, W, 3]
    licence: str
    kind: str
    split: str  # train, valid or test


@dataclasses.dataclass(frozen=True)
class Scenes:
    """Square tiles of photographs of animals, monuments, fishes, tools …, from a grid; no scene is in two splits.

    Beside "image" a tile has "label", the kind of its scene, and "scene".
    """

    size: int = field(64, "side of a tile [pixels]")
    stride: int | None = field(
        None, "from a training tile to the next [pixels]; None = `size`, as in valid and test"
    )
    halvings: int = field(1, "times that the photographs are halved first")
    scales: int = field(
        1,
        "sizes of each scene that tiles are cut from, each half the one before: 3 = wholes too",
    )
    path: str | None = field(
        None,
        "folder of the .rcc files; None = $GENJAX_DATA, then where Debian has them",
        execution=True,
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def load(self) -> Source:
        """From the cache, else from the package; UserError says how to get it, and which sizes fit."""
        at_least(1, data__size=self.size)
        if self.stride is not None:
            at_least(1, data__stride=self.stride)
        at_least(0, data__halvings=self.halvings)
        at_least(1, data__scales=self.scales)
        folder = PACKAGE.find(self.path)
        request = {"version": VERSION, "size": self.size, "stride": self.stride or self.size}
        request |= {"halvings": self.halvings, "scales": self.scales}
        # without the package the cache's arrays are taken as they are
        mark = PACKAGE.mark(folder) if folder else None
        prepare = functools.partial(_prepare, cfg=self)
        return assemble("scenes", "scenes", request, mark, prepare, 0, self.stream)


def photographs(path: str | None = None, halvings: int = 1) -> list[Photograph]:
    """Whole scenes in the order of their names, of many sizes; where they are looked for as by `Scenes.path`.

    Some seconds and some hundred MB. UserError for a package that is missing, of another version or broken.
    """
    found = _found(PACKAGE.find(path) or PACKAGE.missing(path))
    images, prints = {}, {}
    for name, one in found.items():
        whole = _decoded(one)
        # before it is halved: how often must not change the splits
        prints[name] = looks(whole)
        images[name] = halved(whole, halvings)
    kinds = {name: one.kind for name, one in found.items()}
    sources = {name: one.about.source for name, one in found.items()}
    splits = parted(kinds, grouped(ties(prints, sources)), VALID, TEST)
    scenes = []
    for name, one in found.items():
        scenes.append(Photograph(name, images[name], one.about.licence, one.kind, splits[name]))
    return scenes


def attributions(path: str | None = None) -> dict[str, Attribution]:
    """{name of a scene: what its README says}, of the scenes that `photographs` gives. No picture is decoded."""
    found = _found(PACKAGE.find(path) or PACKAGE.missing(path))
    return {name: one.about for name, one in found.items()}


def parse(text: str) -> dict[str, Attribution]:
    """{name of a file, as it is written: its attribution} of a README of the package.

    It has blocks between empty lines. A block has the lines Copyright, License, Source, Comments and Files, in any
    order, each of which may go on in the next; in some the word Files is missing before the names.
    """
    found = {}
    for block in re.split(r"\n\s*\n", text):
        lines: dict[str, list[str]] = {}
        key = ""
        for line in block.splitlines():
            match = _KEY.fullmatch(line.strip())
            value = match[2] if match else line.strip()
            if match:
                key = match[1][:4]  # Licence and License, File and Files
            elif _FILE.fullmatch(value):
                key = "File"
            if value:
                lines.setdefault(key, []).append(value)
        about = _attribution(lines)
        for name in lines.get("File", []):
            found[name] = about
    return found


def _attribution(lines: dict[str, list[str]]) -> Attribution:
    author, licence, source, changes = (
        " ".join(lines.get(key, [])) for key in ("Copy", "Lice", "Sour", "Comm")
    )
    # one way to write each: the READMEs have several
    licence = re.sub(r"^(CC-BY(-SA)?) ", r"\1-", licence)
    if licence.lower() == "public domain":
        licence = "Public Domain"
    link = _LINK.search(changes)
    if link and not source:
        source = link[0]
    return Attribution(author, licence, source, changes)


class _Found(NamedTuple):
    """Where a photograph is, and what it is."""

    resources: Resources
    inside: str
    kind: str
    about: Attribution


def _found(folder: Path) -> dict[str, _Found]:
    """{name: photograph}, sorted; UserError where they are not those of the version that was tried."""
    files = {name: Resources(folder / name) for name in PACKAGE.files}
    scenes: dict[str, _Found] = {}
    for album in ALBUMS:
        resources = files[album.file]
        own = dict(_of_album(album, resources))
        if len(own) != album.count:
            what = f"has {len(own)} photographs in {album.folder} and not {album.count}"
            raise PACKAGE.other(resources.path, what)
        scenes |= own
    return dict(sorted(scenes.items()))


def _of_album(album: Album, resources: Resources) -> Iterator[tuple[str, _Found]]:
    """(name, photograph) of what is taken of an album."""
    root = f"/gcompris/src/activities/{album.file.removesuffix('.rcc')}/{album.folder}/"
    for inside, about in _readme(root, resources).items():
        below = inside.removeprefix(root).removesuffix(".webp")
        # the README names sounds and drawings too, and some files that are not there
        photo = inside.endswith(".webp") and inside in resources
        if not photo or not re.fullmatch(album.pattern, below):
            continue
        name = f"{album.name}/{below.removesuffix('_background')}"
        if about.licence and "painting" not in about.changes and name not in LEFT_OUT:
            yield name, _Found(resources, inside, album.kind, about)


def _readme(root: str, resources: Resources) -> dict[str, Attribution]:
    """{name of a file inside: its attribution} by the README of a folder; what it does not name has no licence."""
    inside = f"{root}README"
    try:
        text = resources[inside].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise PACKAGE.other(resources.path, f"has no {inside} that is text") from error
    return {root + name: about for name, about in parse(text).items()}


def _decoded(one: _Found) -> np.ndarray:
    """A photograph, uint8 [H, W, 3]; UserError for what is none."""
    from PIL import Image as Pillow

    content = io.BytesIO(one.resources[one.inside])
    try:
        # this format alone: for some others Pillow starts programs
        with Pillow.open(content, formats=("WEBP",)) as image:
            if image.width * image.height > _MOST:
                raise ValueError(f"{image.width}x{image.height} pixels are no photograph")
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # on a corrupt file Pillow's readers raise almost anything
        raise UserError(
            f"{one.resources.path} has {one.inside}, which cannot be read as an image ({error}): get it again, "
            f"{PACKAGE.get}."
        ) from error


@functools.cache
def _light() -> tuple[np.ndarray, np.ndarray]:
    """(light of each byte, uint32 [256] in 0 to 65535; the byte of a sum of four lights, uint8 [4 * 65535 + 1]).

    IEC 61966-2-1, sRGB.
    """
    stored = np.arange(256) / 255
    dark = stored / 12.92
    light = np.where(stored <= 0.04045, dark, ((stored + 0.055) / 1.055) ** 2.4)
    sums = np.arange(4 * 65535 + 1) / (4 * 65535)
    low = sums * 12.92
    bright = 1.055 * sums ** (1 / 2.4) - 0.055
    byte = np.where(sums <= 0.0031308, low, bright) * 255
    return np.rint(light * 65535).astype(np.uint32), np.rint(byte).astype(np.uint8)


def halved(image: np.ndarray, times: int) -> np.ndarray:
    """Means of 2x2 pixels in linear light, `times` times; uint8 [H, W, 3]."""
    light, byte = _light()
    for _ in range(times):
        h = image.shape[0] // 2 * 2
        w = image.shape[1] // 2 * 2
        lit = light[image[:h, :w]]  # an odd last row or column has no pair
        rows = lit[0::2] + lit[1::2]
        image = byte[rows[:, 0::2] + rows[:, 1::2]]
    return image


def ties(prints: dict[str, np.ndarray], sources: dict[str, str]) -> dict[str, list[Any]]:
    """{name: what it shares with the scenes that belong to it}, by what `looks` says of each, and where it is from."""
    found: dict[str, list[Any]] = {}
    for name, own in prints.items():
        last = name.rpartition("/")[2].lower()
        found[name] = [("name", SAME.get(last, last))]
        if sources[name]:
            found[name].append(("source", sources[name]))
        for other, marks in prints.items():
            if np.count_nonzero(marks != own) <= NEAR:
                # one key for the two of them
                found[name].append(("looks", min(name, other), max(name, other)))
    return found


def looks(image: np.ndarray) -> np.ndarray:
    """64 bits of what a picture [H, W, 3] looks like: of 8 rows of 9 means, which of two neighbours is the lighter.

    Scaling, packing and small changes of colour leave most of them as they are.
    """
    green = image[..., 1]  # most of what is seen as light and dark
    rows = [part.mean(0) for part in np.array_split(green, 8)]
    cells = [part.mean(1) for part in np.array_split(np.stack(rows), 9, 1)]
    means = np.stack(cells, 1)  # [8, 9]
    return (means[:, 1:] > means[:, :-1]).ravel()


def _prepare(directory: Path, cfg: Scenes) -> cache.Prepared:
    from genjax.data import builders

    scenes = photographs(cfg.path, cfg.halvings)
    _check_size(scenes, cfg.size)
    names = tuple(scene.name for scene in scenes)
    kinds = tuple(sorted({scene.kind for scene in scenes}))
    fields = {
        "image": Image((cfg.size, cfg.size, 3)),
        "label": Category(len(kinds), kinds),
        "scene": Category(len(names), names),
    }
    splits = {}
    for split in SPLITS:
        # what is measured is measured once: tiles overlap in training alone
        stride = cfg.stride if cfg.stride and split == "train" else cfg.size
        own = [(i, scene) for i, scene in enumerate(scenes) if scene.split == split]
        splits[split] = functools.partial(_rows, own, kinds, cfg, stride)
    return builders.rows(directory, fields, splits, _notes(scenes, cfg.size))


def _check_size(scenes: list[Photograph], size: int) -> None:
    """Raises UserError where a split would have no tile."""
    largest = dict.fromkeys(SPLITS, 0)
    for scene in scenes:
        side = min(scene.image.shape[:2])
        largest[scene.split] = max(side, largest[scene.split])
    most = min(largest.values())
    if size > most:
        raise UserError(
            f"--data.size={size} is larger than the scenes of a split: use at most {most}, or fewer --data.halvings."
        )


def _rows(
    scenes: list[tuple[int, Photograph]], kinds: tuple[str, ...], cfg: Scenes, stride: int
) -> Iterator[dict[str, Any]]:
    """The tiles of some scenes, each with its number, at one scale after the other."""
    for number, scene in scenes:
        label = kinds.index(scene.kind)
        for scale in range(cfg.scales):
            for tile in tiles(halved(scene.image, scale), cfg.size, stride):
                yield {"image": tile, "label": label, "scene": number}


def tiles(image: np.ndarray, size: int, stride: int) -> Iterator[np.ndarray]:
    """Squares of a picture [H, W, C] from a grid, row by row; what the grid leaves over is shared by both sides."""
    height, width = image.shape[:2]
    for y in _places(height, size, stride):
        for x in _places(width, size, stride):
            bottom, right = y + size, x + size
            yield image[y:bottom, x:right]


def _places(length: int, size: int, stride: int) -> range:
    """Where the tiles along one side begin."""
    spare = length - size
    first = spare % stride // 2
    return range(first, spare + 1, stride)  # none of a side that is too short


def _notes(scenes: list[Photograph], size: int) -> tuple[str, ...]:
    """What the user should know: what was taken, and under which licences."""
    pixels = sum(scene.image[..., 0].size for scene in scenes) / 1e6
    sides = Counter(scene.split for scene in scenes)
    told = ", ".join(f"{split} {sides[split]}" for split in SPLITS)
    notes = [f"{len(scenes)} scenes of {pixels:.1f} Mpixel: {told}"]
    small = sum(min(scene.image.shape[:2]) < size for scene in scenes)
    if small:
        notes.append(f"scenes smaller than {size}, which have no tile: {small}")
    licences = Counter(scene.licence for scene in scenes)
    each = ", ".join(f"{licence} {n}" for licence, n in licences.most_common())
    notes.append(f"licences (of each scene: genjax.data.scenes.attributions): {each}")
    return tuple(notes)
