"""Pictures in pairs, an input and what is to be made of it: two folders with the same names, or both in one file.

Two files are a pair where their names are the same but for the suffix, sub-folders included. Sub-folders train, val and
test are splits as `files` says; without one for test the name draws it. A pair is scaled and cropped alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax.config import field
from genjax.data import cache, files, marked
from genjax.data.decoding import Size, fit, opened, sides, turned
from genjax.data.source import Source
from genjax.data.summary import plain
from genjax.errors import UserError
from genjax.fields import Image

_TOLD = 3  # names that a message tells


class Matched(NamedTuple):
    """The files of folders by name: for each split the names of one example, one in each folder, in hash order."""

    splits: dict[str, list[tuple[str, ...]]]
    notes: tuple[str, ...] = ()

    def parts(self) -> tuple[list[str], ...]:
        """The names in each folder."""
        examples = [names for found in self.splits.values() for names in found]
        return tuple(list(names) for names in zip(*examples, strict=True))


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Your own pairs of pictures: `input` is given, `image` is what is modelled.

    Two folders whose files have the same names, or one folder of pictures that hold both halves side by side, as those
    of pix2pix do (Isola et al. 2017, arXiv:1611.07004).
    """

    # execution: a set that has moved is the same set
    a: str = field("", "folder of the inputs; side_by_side: of the only files", execution=True)
    b: str = field(
        "", "folder of the targets, whose names are those of the inputs", execution=True
    )
    size: Size = field(
        64, "64 = a square, (48, 64) = height, width: scaled to cover it, then the centre"
    )
    colour: bool = field(True, "the target has three channels; False = one, grey")
    colour_input: bool = field(True, "the input has three channels; False = one, grey")
    side_by_side: bool = field(
        False, "every file of `a` holds the input in its left half, the target in its right"
    )
    swapped: bool = field(False, "input and target change places")
    # by name and not by place: images that are added leave the others where they were
    test: float = field(
        0.1, "share of the pairs that is the test split where no sub-folder is called test"
    )
    valid: int = field(0, "training pairs held out for validation, from the tail")
    skip_bad: bool = field(
        False, "leave out pairs with an unreadable image; False = stop at the first"
    )
    content: str = field(
        "", "mark of the files, filled in when the folders are read; leave empty"
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def resolved(self) -> Pairs:
        """The config with `content` as the folders have it, see `marked.resolved`."""
        return marked.resolved(self, self._home(), self._found)

    def load(self) -> Source:
        """{"image": uint8 [N, H, W, C], "input": uint8 [N, H, W, C]}.

        UserError for files without a partner, and for pairs that no scaling brings together.
        """
        sides(self.size)  # for its error: before large folders are looked through
        return marked.load(self, self._home(), self._found, self._prepare)

    def _home(self) -> marked.Home:
        marked.check_share(self.test)
        request = {
            "size": sides(self.size),
            "colour": [self.colour, self.colour_input],
            "side_by_side": self.side_by_side,
            "swapped": self.swapped,
            "test": self.test,
            "skip_bad": self.skip_bad,
        }
        if not self.side_by_side:
            return marked.home("pairs", request, a=self.a, b=self.b)
        if self.b:
            raise UserError(
                f"--data.b={self.b} names a second folder, and --data.side_by_side=true reads both halves of one file: "
                "leave out one of the two."
            )
        return marked.home("pairs", request, a=self.a)

    def _found(self) -> Matched:
        return matched(self._home(), self.test)

    def _prepare(self, directory: Path, found: Matched, cfg: Pairs) -> cache.Prepared:
        at = self._home()
        height, width = sides(self.size)
        fields = {
            "image": Image((height, width, 3 if self.colour else 1)),
            "input": Image((height, width, 3 if self.colour_input else 1)),
        }

        alone: list[str] = []  # lists can be added to by several threads

        def read(names: tuple[str, ...]) -> dict[str, np.ndarray]:
            paths = [root / name for root, name in zip(at.roots, names, strict=True)]
            row = self._halves(*paths) if self.side_by_side else self._both(*paths)
            if len({turned(path) for path in paths}) > 1:
                alone.append(names[0])
            return row

        def tell() -> list[str]:
            return turned_alone(alone)

        return marked.rows(directory, at, found, fields, read, self.skip_bad, tell)

    def _both(self, first: Path, second: Path) -> dict[str, np.ndarray]:
        """A pair of two files."""
        given, wanted = (second, first) if self.swapped else (first, second)
        with opened(given) as picture:
            input_size = picture.size  # width, height
            input_ = fit(picture, self.size, self.colour_input)
        with opened(wanted) as picture:
            target_size = picture.size
            image = fit(picture, self.size, self.colour)
        _check_shapes(given, input_size, wanted, target_size)
        return {"image": image, "input": input_}

    def _halves(self, path: Path) -> dict[str, np.ndarray]:
        """A pair of one file."""
        with opened(path) as picture:
            width, height = picture.size
            if width % 2:
                raise UserError(
                    f"{path} is {width} pixels wide, which are no two halves: leave it out, or name two folders by "
                    "--data.side_by_side=false."
                )
            middle = width // 2
            left = picture.crop((0, 0, middle, height))
            right = picture.crop((middle, 0, width, height))
            given, wanted = (right, left) if self.swapped else (left, right)
            image = fit(wanted, self.size, self.colour)
            return {"image": image, "input": fit(given, self.size, self.colour_input)}


def _check_shapes(
    first: Path, one: tuple[int, int], second: Path, other: tuple[int, int]
) -> None:
    """Raises UserError for two pictures of which one is no scaled copy of the other: their crops would not agree."""
    apart = abs(one[0] * other[1] - one[1] * other[0])
    # who scales a picture rounds its sides: half a pixel each
    if 2 * apart > max(sum(one), sum(other)):
        told = f"{one[0]}x{one[1]}", f"{other[0]}x{other[1]}"
        raise UserError(
            f"{first} is {told[0]} and {second} is {told[1]}, width by height: no size brings both together: crop one "
            "of them, or leave the pair out."
        )


def matched(at: marked.Home, test: float) -> Matched:
    """The files of the folders by name, the same in each; UserError where one of them lacks some."""
    of_folders, told = [], []
    for flag, _, root in at.folders:
        with marked.flagged("path", flag):
            listed = files.listed_images(root)
            tops, parts = files.split_up(root, listed)
        of_folders.append(stems_of(root, tops, parts))
        told.append((listed, tops))
    first, *others = of_folders
    linked = sum(len(listed.again) for listed, _ in told)
    for root, other in zip(at.roots[1:], others, strict=True):
        _check_partners(at.roots[0], first, root, other, linked)
    splits = {}
    for split, stems in files.drawn(first, test).items():
        # the test split that was drawn has its files among those for training
        of_split = split if split in first else "train"
        splits[split] = [tuple(each[of_split][stem] for each in of_folders) for stem in stems]
    files.check_trained(at.roots[0], splits, test)
    notes: dict[str, None] = {}  # in order, what is said of both once
    for listed, tops in told:
        notes |= dict.fromkeys(files.notes_of(listed, tops, splits, test))
    return Matched(splits, tuple(notes))


def stems_of(
    root: Path, tops: Mapping[str, str], parts: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """{split: {name below its folder without suffix: name}} of a folder; UserError for two files of one name."""
    found: dict[str, dict[str, str]] = {}
    for split, names in parts.items():
        stems = found.setdefault(split, {})
        for name in sorted(names):
            below = name.partition("/")[2] if tops else name
            stem = below.rpartition(".")[0]
            if stem in stems:
                raise UserError(
                    f"{root} holds {plain(stems[stem])} and {plain(name)}, one name but for the suffix: keep one of "
                    "the two."
                )
            stems[stem] = name
    return found


def _check_partners(
    first: Path,
    one: Mapping[str, Mapping[str, str]],
    second: Path,
    other: Mapping[str, Mapping[str, str]],
    linked: int,
) -> None:
    """Raises UserError where the folders differ in their splits, or a file of one has no partner in the other.

    linked: how many links were passed over, which look like the files that are missing.
    """
    if set(one) != set(other):
        raise UserError(
            f"{first} has the splits {', '.join(sorted(one))} and {second} {', '.join(sorted(other))}: give both the "
            "same sub-folders."
        )
    alone, lonely = without(one, other), without(other, one)
    if alone or lonely:
        raise UserError(
            f"{some(alone)} of {first} have no partner in {second}, and {some(lonely)} of {second} have none in "
            f"{first}: two files are a pair where their names are the same but for the suffix{over(linked)}."
        )


def without(
    one: Mapping[str, Mapping[str, str]], other: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """The files {split: {stem: name}} whose stems the other has not got in that split."""
    found = []
    for split, stems in one.items():
        partners = other.get(split, {})
        found += [name for stem, name in stems.items() if stem not in partners]
    return found


def over(linked: int) -> str:
    """What a message of missing files adds where links were passed over, which look like them."""
    return f" ({linked} links to a file that is there already count as none)" if linked else ""


def turned_alone(names: Sequence[str]) -> list[str]:
    """The note of examples of whose two files one alone has a tag of EXIF that turns it: either way may be meant."""
    if not names:
        return []
    return [
        f"of {some(names)} one of the two is turned by its EXIF tag and the other is not: look whether they agree"
    ]


def some(names: Sequence[str]) -> str:
    """How many names, and the first of them: 5 files (a.png, b.png, c.png, …)."""
    if not names:
        return "0 files"
    first = [plain(name) for name in sorted(names)[:_TOLD]]
    more = ["…"] if len(names) > _TOLD else []
    return f"{len(names)} files ({', '.join([*first, *more])})"
