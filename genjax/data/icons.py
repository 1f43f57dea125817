"""Icons in six weights: the same figures drawn thin to bold, filled and in two tones (Phosphor, MIT)."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import cache, iconify, vector
from genjax.data.emoji import mark
from genjax.data.forms import (
    VERSION,
    Drawings,
    Paired,
    Single,
    Thing,
    check_styles,
)
from genjax.data.source import Source, assemble
from genjax.errors import at_least
from genjax.fields import Category, Image

# a weight is the end of an icon's name
WEIGHTS = {
    "regular": "",
    "thin": "-thin",
    "light": "-light",
    "bold": "-bold",
    "fill": "-fill",
    "duotone": "-duotone",
}
PHOSPHOR = iconify.package("ph", "1.2.2")
_WHITE = (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Icons:
    """Icons, black on white, each in up to six weights: one by one or in pairs.

    Fields beside the pictures: `label` (the weight, where an example is one drawing), `sign` (the icon) and `design`.
    The split is by the first word of the name, which near copies share: all of arrow-up, arrow-down … are on one side.
    """

    styles: tuple[str, ...] = field(
        tuple(WEIGHTS), f"weights: of {', '.join(WEIGHTS)}; the first of pairs is modelled"
    )
    form: Single | Paired = field(Single(), "what an example is")
    size: int = field(32, "side of a picture [pixels]")
    # execution: a set that has moved is the same set
    path: str | None = field(
        None, "folder of the .tgz file of npm; None = $GENJAX_DATA", execution=True
    )
    stream: bool = field(False, "read through grain instead of an array cache", execution=True)

    def load(self) -> Source:
        """From the cache, else drawn; UserError says how the package is got, and what is wrong with it."""
        check_styles(self.styles, tuple(WEIGHTS))
        at_least(1, data__size=self.size)

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

        request = {
            "styles": self.styles,
            "form": type(self.form).__name__,
            "version": VERSION,
            "size": self.size,
        }
        how = (request, mark([(PHOSPHOR, PHOSPHOR.find(self.path))]), prepare, 0, self.stream)
        return assemble(f"icons, {', '.join(self.styles)}", "icons", *how)

    def _drawings(self) -> tuple[Drawings, tuple[str, ...]]:
        """The icons that have all weights, with what draws them, and where they are from."""
        folder = PHOSPHOR.find(self.path) or PHOSPHOR.missing(self.path)
        pack = iconify.read(PHOSPHOR, folder)
        names = sorted(name for name in pack.icons if _complete(name, pack))
        if not names:
            raise PHOSPHOR.other(folder, "has no icon in all six weights")
        designs = sorted({_family(name) for name in names})
        about = {
            "sign": Category(len(names), tuple(names)),
            "design": Category(len(designs), tuple(designs)),
        }
        things = []
        for k, name in enumerate(names):
            values: dict[str, Any] = {"sign": k, "design": designs.index(_family(name))}
            things.append(Thing(name, _family(name), values))

        def draw(style: str, thing: Thing) -> np.ndarray:
            icon = pack.icons[thing.name + WEIGHTS[style]]
            # SVG's default, black, is what this word means where no page surrounds it
            rgba = vector.draw(vector.svg(icon.body, icon.box), self.size)
            return vector.laid_over(rgba, _WHITE)[..., :1]

        image = Image((self.size, self.size, 1))
        drawings = Drawings(self.styles, "label", image, about, tuple(things), draw)
        told = f"{len(names)} icons of {len(designs)} families, split by family"
        return drawings, (pack.about, told)


def _complete(name: str, pack: iconify.Pack) -> bool:
    """Whether an icon is there in all weights, whichever are asked for: the set is the same for all of them."""
    return all(name + end in pack.icons for end in WEIGHTS.values())


def _family(name: str) -> str:
    """The first word of a name."""
    return name.partition("-")[0]
