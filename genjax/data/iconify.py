"""Sets of drawings as iconify packs them for npm: SVG bodies by name, code points, groups, version and licence.

Format: https://iconify.design/docs/types/iconify-json.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from genjax.data import archives
from genjax.data.packages import Package
from genjax.data.vector import Box
from genjax.errors import UserError

# icons and their code points, then what tells of them
_PARTS = ("icons", "chars", "metadata", "info", "package")
_FILES = tuple(f"package/{part}.json" for part in _PARTS)


class Icon(NamedTuple):
    """One drawing: SVG elements, and the square in which they lie."""

    body: str
    box: Box


class Pack(NamedTuple):
    """A vendor's drawings."""

    icons: dict[str, Icon]  # by name
    codes: dict[str, str]  # {code point, as `plain_code` writes it: name}
    groups: dict[str, str]  # {name: group}
    about: str  # name, version and licence, for people


def package(name: str, version: str) -> Package:
    """The npm package of a set, which is found as the file that `npm pack` makes."""
    # a digit after the name: the names of some sets begin with those of others
    files = (f"iconify-json-{name}-[0-9]*.tgz",)
    get = f"`npm pack @iconify-json/{name}@{version}`"
    return Package(f"iconify-json-{name}", files, get, version)


def read(of: Package, folder: Path) -> Pack:
    """The set in the folder; UserError where its file is damaged, or there twice, or not as in the version tried."""
    path, *more = of.paths(folder)
    if more:
        raise UserError(
            f"{folder} has {path.name} and {more[0].name}: leave one of them there (version {of.tried} was tried)."
        )
    try:
        found = archives.read(path, _FILES)
        parts = [json.loads(found[file]) for file in _FILES]
        return _pack(*parts)
    except archives.Broken as error:
        raise of.other(path, str(error)) from error
    # ValueError: no JSON; the others: JSON of another structure
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"has not the files of such a set ({type(error).__name__}: {error})"
        raise of.other(path, what) from error


def _pack(icons: dict, chars: dict, metadata: dict, info: dict, npm: dict) -> Pack:
    drawn = {}
    for name, icon in icons["icons"].items():
        # what a later version has dropped or renamed, and keeps for those who use it
        if icon.get("hidden"):
            continue
        drawn[name] = Icon(str(icon["body"]), _box(icons, icon))
    codes = {plain_code(code): name for code, name in chars.items() if name in drawn}
    groups = {}
    for group, names in metadata.get("categories", {}).items():
        # one vendor writes an ampersand where another does not
        groups |= dict.fromkeys(names, group.replace("& ", ""))
    about = f"{info['name']} {npm['version']}, {info['license']['spdx']}"
    return Pack(drawn, codes, groups, about)


def _box(icons: dict, icon: dict) -> Box:
    """The square about a drawing's own rectangle; what an icon does not say its set does."""
    told: dict[str, Any] = {"left": 0, "top": 0, "width": 16, "height": 16}
    for source in (icons, icon):
        told |= {name: source[name] for name in told if name in source}
    width, height = float(told["width"]), float(told["height"])
    side = max(width, height)
    return Box(told["left"] - (side - width) / 2, told["top"] - (side - height) / 2, side)


def plain_code(code: str) -> str:
    """Code points in lower hexadecimal with dashes, without leading zeros and without U+FE0F, which asks for colour.

    Vendors write them in all ways; ValueError for what is no code.
    """
    numbers = [int(part, 16) for part in code.split("-")]
    return "-".join(f"{number:x}" for number in numbers if number != 0xFE0F)
