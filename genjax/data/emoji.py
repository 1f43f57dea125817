"""Emoji: the same signs drawn by up to four vendors, with names in several languages.

The drawings are vendors' SVG out of npm packages; names are those of Unicode CLDR. Splits are by design (see
`genjax.data.signs`): all tones and genders of a sign are on one side.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import cache, iconify, signs, vector
from genjax.data.forms import (
    VERSION,
    Drawings,
    Paired,
    Single,
    Thing,
    check_styles,
)
from genjax.data.packages import Package
from genjax.data.signs import GENDERS, OCCUPATIONS, TONES, Sign
from genjax.data.source import Source, assemble
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image, Tokens

__all__ = ["Emoji", "Paired", "Single"]

GROUPS = (
    "Activities",
    "Animals Nature",
    "Flags",
    "Food Drink",
    "Objects",
    "People Body",
    "Smileys Emotion",
    "Symbols",
    "Travel Places",
)
OTHER = "other"  # what a vendor sorts in a way of its own


class Vendor(NamedTuple):
    """Who has drawn signs."""

    package: Package
    least: float  # share of the frame that is always shown; what lies about a figure is cut off down to that


VENDORS = {
    "noto": Vendor(iconify.package("noto", "1.2.9"), 1.0),
    "twemoji": Vendor(iconify.package("twemoji", "1.2.5"), 1.0),
    "fluent": Vendor(iconify.package("fluent-emoji-flat", "1.2.6"), 1.0),
    # half of its figures are smaller than 4/5 of the frame
    "openmoji": Vendor(iconify.package("openmoji", "1.2.29"), 2 / 3),
}


@dataclasses.dataclass(frozen=True)
class Emoji:
    """Signs as vendors draw them, one by one or in pairs, with captions in four languages.

    Fields beside the pictures: `label` (the group of the sign), `sign`, `design`, `gender`, `tone`, `occupation`, and
    `caption_en` … as bytes of UTF-8 (`genjax.data.signs.text` reads them). A sign is in the set where all vendors that
    are named have drawn it and all languages have a name for it.
    """

    styles: tuple[str, ...] = field(
        ("noto",), f"vendors: of {', '.join(VENDORS)}; the first of pairs is modelled"
    )
    form: Single | Paired = field(Single(), "what an example is")
    size: int = field(32, "side of a picture [pixels]")
    tones: bool = field(False, "skin tones too, not only the yellow signs")
    languages: tuple[str, ...] = field(
        signs.LANGUAGES, "of the captions; () = none, and signs without a name too"
    )
    length: int | None = field(
        None, "bytes of a caption, padded with zeros; None = the longest, to a multiple of 32"
    )
    background: tuple[int, int, int] = field(
        (255, 255, 255), "colour behind the sign, 0 to 255"
    )
    # execution: a set that has moved is the same set
    path: str | None = field(
        None,
        f"folder of the .tgz files of npm; None = $GENJAX_DATA. The names: there too, else in {signs.CLDR}",
        execution=True,
    )
    stream: bool = field(False, "read through grain instead of an array cache", execution=True)

    def load(self) -> Source:
        """From the cache, else drawn; UserError says how the packages are got, and what is wrong with them."""
        self._check()
        found = []
        for style in self.styles:
            package = VENDORS[style].package
            found.append((package, package.find(self.path)))
        if self.languages:
            package = signs.names_package(self.languages)
            found.append((package, signs.find_names(package, self.path)))

        def prepare(directory: Path) -> cache.Prepared:
            # here, for it imports tensorflow_datasets, which a warm cache does without
            from genjax.data import builders

            drawings, notes = self._drawings()
            form = self.form
            splits = {
                split: functools.partial(form.rows, drawings, things)
                for split, things in drawings.splits().items()
            }
            return builders.rows(directory, form.fields(drawings), splits, notes)

        how = (self._request(), mark(found), prepare, 0, self.stream)
        return assemble(f"emoji of {', '.join(self.styles)}", "emoji", *how)

    def signs(self) -> tuple[Sign, ...]:
        """What the set knows of its signs, in the order of the field `sign`; UserError as `load` raises it."""
        self._check()
        return self._table(self._packs())

    def _request(self) -> dict[str, Any]:
        """What changes the arrays."""
        return {
            "styles": self.styles,
            "form": type(self.form).__name__,
            "version": VERSION,
            "size": self.size,
            "tones": self.tones,
            "languages": self.languages,
            "length": self.length,
            "background": self.background,
        }

    def _check(self) -> None:
        check_styles(self.styles, tuple(VENDORS))
        at_least(1, data__size=self.size)
        if self.length is not None:
            at_least(1, data__length=self.length)
        signs.names_package(self.languages)  # for its error
        if not all(0 <= value <= 255 for value in self.background):
            raise UserError(
                f"--data.background={self.background} must be a colour: three numbers from 0 to 255."
            )

    def _packs(self) -> dict[str, iconify.Pack]:
        """The drawings of each vendor, by style."""
        packs = {}
        for style in self.styles:
            package = VENDORS[style].package
            folder = package.find(self.path) or package.missing(self.path)
            packs[style] = iconify.read(package, folder)
        return packs

    def _table(self, packs: dict[str, iconify.Pack]) -> tuple[Sign, ...]:
        first, *others = packs.values()
        common = set(first.codes).intersection(*(pack.codes for pack in others))
        known = self._names()
        groups = {}
        for code in common:
            toned = signs.tone(code) != "none"
            named = all(code in names for names in known.values())
            if signs.is_private(code) or not named or (toned and not self.tones):
                continue
            group = first.groups.get(first.codes[code], "")
            groups[code] = group if group in GROUPS else OTHER
        return signs.table(groups, known)

    def _names(self) -> dict[str, dict[str, str]]:
        """{language: {code: name}}; {} without captions."""
        if not self.languages:
            return {}
        package = signs.names_package(self.languages)
        folder = signs.find_names(package, self.path)
        if folder is None:
            signs.missing_names(package, self.path)
        return {name: signs.read_names(package, folder, name) for name in self.languages}

    def _drawings(self) -> tuple[Drawings, tuple[str, ...]]:
        """The signs with what draws them, and where they are from."""
        packs = self._packs()
        table = self._table(packs)
        if not table:
            raise UserError(
                f"no sign is drawn by all of {', '.join(self.styles)} and named in all of {', '.join(self.languages)}: "
                "name fewer."
            )
        codes = [sign.code for sign in table]
        designs = sorted({sign.design for sign in table})
        # the same numbers in every set; one more where it is needed
        strange = any(sign.group == OTHER for sign in table)
        groups = (*GROUPS, OTHER) if strange else GROUPS
        about = {
            "label": Category(len(groups), groups),
            "sign": Category(len(codes), tuple(codes)),
            "design": Category(len(designs), tuple(designs)),
            "gender": Category(len(GENDERS), GENDERS),
            "tone": Category(len(TONES), TONES),
            "occupation": Category(len(OCCUPATIONS), OCCUPATIONS),
        }
        # of all languages: one net reads them all; rounded, so that sets of other vendors have the same
        length = self.length or 32 * -(-signs.longest(table) // 32)
        for language in self.languages:
            about[f"caption_{language}"] = Tokens(length, 256)
        things = []
        for sign in table:
            values = self._values(sign, about)
            things.append(Thing(sign.code, sign.design, values))

        def draw(style: str, thing: Thing) -> np.ndarray:
            pack = packs[style]
            icon = pack.icons[pack.codes[thing.name]]
            return self._drawn(icon, VENDORS[style].least)

        image = Image((self.size, self.size, 3))
        drawings = Drawings(self.styles, "style", image, about, tuple(things), draw)
        return drawings, self._notes(packs, table)

    def _values(self, sign: Sign, about: dict[str, Any]) -> dict[str, Any]:
        """A sign's own fields."""
        words = {
            "label": sign.group,
            "sign": sign.code,
            "design": sign.design,
            "gender": sign.gender,
            "tone": sign.tone,
            "occupation": sign.occupation,
        }
        values: dict[str, Any] = {
            name: about[name].names.index(word) for name, word in words.items()
        }
        for language, caption in sign.names.items():
            name = f"caption_{language}"
            values[name] = signs.tokens(caption, about[name].length)
        return values

    def _drawn(self, icon: iconify.Icon, least: float) -> np.ndarray:
        """A sign over the background, uint8 [size, size, 3]."""
        box = icon.box
        if least < 1:
            box = vector.close_up(icon.body, box, least)
        rgba = vector.draw(vector.svg(icon.body, box), self.size)
        return vector.laid_over(rgba, self.background)

    def _notes(
        self, packs: dict[str, iconify.Pack], table: tuple[Sign, ...]
    ) -> tuple[str, ...]:
        """Where the set is from, under which licence, and what was left out."""
        notes = [pack.about for pack in packs.values()]
        if self.languages:
            told = f"names of Unicode CLDR in {', '.join(self.languages)}, Unicode-DFS-2016"
            # drawings may be newer than the names
            drawn = dataclasses.replace(self, languages=())._table(packs)
            unnamed = len(drawn) - len(table)
            left = f", {unnamed} signs without one left out" if unnamed else ""
            notes.append(told + left)
        designs = {sign.design for sign in table}
        notes.append(f"{len(table)} signs of {len(designs)} designs, split by design")
        return tuple(notes)


def mark(found: Iterable[tuple[Package, Path | None]]) -> str | None:
    """What tells the cache that the files of all packages are the same; None where one of them is not there."""
    marks = []
    for package, folder in found:
        if folder is None:
            return None
        marks.append(package.mark(folder))
    return "-".join(marks)
