"""Pictures with words: text files beside them, or a table of captions in their folder.

A text file has the name of its picture and a caption in each line. A table is `captions.csv` (quoted as spreadsheets
do) or `captions.tsv` (no quotes), UTF-8, with a line of the columns' names first: file, caption and, if wanted, split;
a picture may have several lines. A picture with several captions becomes as many examples, all of them in one split.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from genjax.config import field
from genjax.data import cache, files, marked
from genjax.data.decoding import Size, decode, sides
from genjax.data.pairs import over, some, stems_of, without
from genjax.data.source import Source
from genjax.data.summary import plain
from genjax.errors import UserError, at_least
from genjax.fields import Image, Tokens, encoded

TABLES = ("captions.csv", "captions.tsv")
# what people see of a byte: its letter in ASCII; 0 fills up, and is a blank
LETTERS = "".join(
    chr(byte) if 32 < byte < 127 else "·" if byte > 32 else " " for byte in range(256)
)


class Captioned(NamedTuple):
    """What lies in a folder: (picture, its text file or "") of each split, and the files that hold the captions.

    `lines` are the captions of each picture where a table has them.
    """

    splits: dict[str, list[tuple[str, str]]]
    texts: list[str]
    lines: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def parts(self) -> tuple[list[str], ...]:
        """The pictures, and the files of captions: marked apart, for a table is one file among many pictures."""
        pictures = [name for found in self.splits.values() for name, _ in found]
        return pictures, self.texts


class Rows(NamedTuple):
    """Examples to be read: (picture, tokens) of each split."""

    splits: dict[str, list[tuple[str, np.ndarray]]]
    notes: tuple[str, ...] = ()

    def parts(self) -> tuple[list[str], ...]:
        """The pictures, as often as they have captions."""
        return ([name for found in self.splits.values() for name, _ in found],)


@dataclasses.dataclass(frozen=True)
class Captions:
    """Your own pictures, `image`, with what is said of them, `caption`: UTF-8 bytes, filled up with 0."""

    # execution: a set that has moved is the same set
    path: str = field("", "the folder of the pictures", execution=True)
    size: Size = field(
        64, "64 = a square, (48, 64) = height, width: scaled to cover it, then the centre"
    )
    colour: bool = field(True, "three channels; False = one, grey")
    length: int = field(128, "bytes of a caption; longer ones are cut between two characters")
    first: bool = field(
        False, "of several captions of a picture the first alone; False = an example for each"
    )
    # by name and not by place: images that are added leave the others where they were
    test: float = field(
        0.1, "share of the pictures that is the test split where neither folders nor table say"
    )
    valid: int = field(0, "training examples held out for validation, from the tail")
    skip_bad: bool = field(
        False, "leave out unreadable images and tell how many; False = stop at the first"
    )
    content: str = field(
        "", "mark of the files, filled in when the folder is read; leave empty"
    )
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def resolved(self) -> Captions:
        """The config with `content` as the folder has it, see `marked.resolved`."""
        return marked.resolved(self, self._home(), self._found)

    def load(self) -> Source:
        """{"image": uint8 [N, H, W, C], "caption": int32 [N, length]}; `text` makes words of captions.

        UserError for pictures without a caption, captions without a picture, and files that are not UTF-8.
        """
        sides(self.size)  # for its error: before a large folder is looked through
        at_least(1, data__length=self.length)
        return marked.load(self, self._home(), self._found, self._prepare)

    def _home(self) -> marked.Home:
        marked.check_share(self.test)
        request = {
            "size": sides(self.size),
            "colour": self.colour,
            "length": self.length,
            "first": self.first,
            "test": self.test,
            "skip_bad": self.skip_bad,
        }
        at = marked.home("captions", request, path=self.path)
        # once for the pictures and once for their captions
        return at._replace(folders=at.folders * 2)

    def _found(self) -> Captioned:
        """What lies in the folder."""
        root = self._home().roots[0]
        listed = files.listed_images(root)
        tables = [name for name in TABLES if (root / name).is_file()]
        if len(tables) > 1:
            raise UserError(f"{root} holds {' and '.join(tables)}: keep one of the two.")
        if tables:
            return _of_table(root, tables[0], listed, self.test)
        return _of_texts(root, listed, self.test)

    def _prepare(self, directory: Path, found: Captioned, cfg: Captions) -> cache.Prepared:
        at = self._home()
        root = at.roots[0]
        rows, notes = self._rows(root, found)
        fields = {
            "image": Image((*sides(self.size), 3 if self.colour else 1)),
            "caption": Tokens(self.length, 256, LETTERS),
        }

        def read(row: tuple[str, np.ndarray]) -> dict[str, np.ndarray]:
            name, tokens = row
            return {"image": decode(root / name, self.size, self.colour), "caption": tokens}

        return marked.rows(directory, at, rows, fields, read, self.skip_bad, lambda: notes)

    def _rows(self, root: Path, found: Captioned) -> tuple[Rows, list[str]]:
        """An example for each caption, with notes on them."""
        count: Counter[str] = Counter()
        splits: dict[str, list[tuple[str, np.ndarray]]] = {}
        for split, pictures in found.splits.items():
            rows = splits.setdefault(split, [])
            for name, beside in pictures:
                lines = found.lines.get(name) or _lines(root / beside)
                count["several"] += len(lines) > 1
                for line in lines[:1] if self.first else lines:
                    tokens, cut = encoded(line, self.length)
                    count["cut"] += cut
                    count["empty"] += not line
                    rows.append((name, tokens))
        notes = []
        if count["several"]:
            taken = "the first is taken" if self.first else "each is an example of its own"
            notes.append(f"{count['several']} pictures have several captions: {taken}")
        if count["cut"]:
            notes.append(f"cut {count['cut']} captions of more than {self.length} bytes")
        if count["empty"]:
            notes.append(f"{count['empty']} captions are empty")
        return Rows(splits), notes


def text(tokens: Any) -> list[str]:
    """Captions [B, T] as lines; bytes that are no UTF-8, as a model may make them, become U+FFFD."""
    lines = []
    for row in np.asarray(tokens):
        data = row.astype(np.uint8).tobytes().rstrip(b"\0")
        lines.append(data.decode(errors="replace"))
    return lines


def _read(path: Path) -> str:
    """A file's text; UserError, with the place, where it is not UTF-8."""
    try:
        data = path.read_bytes()
        found = data.decode("utf-8-sig")  # some editors write a mark at the beginning
        if "\0" in found:  # a caption is filled up with it; text of 16 bits is full of it
            raise UnicodeDecodeError("utf-8", data, data.index(0), data.index(0) + 1, "zero")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 at byte {error.start} (0x{error.object[error.start]:02x}): save it as UTF-8."
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): mend or remove it."
        ) from error
    return found


def _lines(path: Path) -> list[str]:
    """The captions of a text file, one a line without its blanks; of a file without words an empty one."""
    lines = [line.strip() for line in _read(path).split("\n")]
    return [line for line in lines if line] or [""]


def _of_texts(root: Path, listed: files.Listed, test: float) -> Captioned:
    """Text files beside the pictures."""
    if not listed.texts:
        raise UserError(
            f"{root} holds no captions: write a text file beside each picture (1.png, 1.txt), or a table {TABLES[0]} "
            "with the columns file and caption."
        )
    tops, parts = files.split_up(root, listed)
    stems = stems_of(root, tops, parts)
    texts = stems_of(root, tops, files.parts_of(listed.texts, tops))
    _check_all(root, without(stems, texts), without(texts, stems), len(listed.again))
    beside = {}  # {picture: its text}
    for split, of_split in stems.items():
        beside |= {name: texts[split][stem] for stem, name in of_split.items()}
    splits = {}
    for split, names in files.drawn(parts, test).items():
        splits[split] = [(name, beside[name]) for name in names]
    files.check_trained(root, splits, test)
    # the captions themselves are not passed over
    others = listed.others - Counter({files.TEXT: len(beside)})
    notes = files.notes_of(listed._replace(others=others), tops, splits, test)
    return Captioned(splits, list(beside.values()), {}, notes)


def _check_all(root: Path, bare: list[str], lonely: list[str], linked: int) -> None:
    """Raises UserError for pictures without a caption, and for captions without a picture."""
    if bare or lonely:
        raise UserError(
            f"{root}: of the pictures {some(bare)} have no caption, and of the captions {some(lonely)} have no "
            f"picture: write or remove those{over(linked)}."
        )


def _of_table(root: Path, table: str, listed: files.Listed, test: float) -> Captioned:
    """A table of captions."""
    lines, split_of = _table(root / table)
    tops: dict[str, str] = {}
    parts = {"": listed.names}
    if not split_of:
        tops, parts = files.split_up(root, listed)
    pictures = {name for names in parts.values() for name in names}
    bare, lonely = sorted(pictures - set(lines)), sorted(set(lines) - pictures)
    _check_all(root, bare, lonely, len(listed.again))
    if split_of:  # the table knows better than the folders
        parts = {}
        for name in sorted(pictures):
            parts.setdefault(split_of[name], []).append(name)
    splits = {}
    for split, names in files.drawn(parts, test).items():
        splits[split] = [(name, "") for name in names]
    files.check_trained(root, splits, test)
    suffix = Path(table).suffix
    others = listed.others - Counter({suffix: 1})
    notes = files.notes_of(listed._replace(others=others), tops, splits, test)
    return Captioned(splits, [table], lines, notes)


def _table(path: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """({file: captions}, {file: split} or {}) of a table; UserError, with the line, for what is none."""
    content = io.StringIO(_read(path), newline="")
    plain_tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    rows = csv.reader(content, **(plain_tabs if path.suffix == ".tsv" else {}))
    lines: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    try:
        head = [name.strip().lower() for name in next(rows, [])]
        for wanted in ("file", "caption"):
            if wanted not in head:
                has = ", ".join(map(plain, head)) or "none"
                _refuse(path, 1, f"has no column {wanted!r}, it has {has}: name them first")
        for row in rows:
            if not row:  # a blank line
                continue
            if len(row) != len(head):
                _refuse(path, rows.line_num, f"has {len(row)} columns and not {len(head)}")
            cells = dict(zip(head, row, strict=True))
            name = cells["file"].strip().removeprefix("./")
            lines.setdefault(name, []).append(cells["caption"].strip())
            if "split" in cells:
                _put_split(path, rows.line_num, splits, name, cells["split"])
    except csv.Error as error:
        _refuse(path, rows.line_num, f"cannot be read ({error})")
    return lines, splits


def _put_split(path: Path, line: int, splits: dict[str, str], name: str, typed: str) -> None:
    """The split of a picture, the same in all of its lines."""
    split = files.split_of(typed)
    if not split:
        _refuse(path, line, f"names the split {typed!r}: write train, val or test")
    if splits.setdefault(name, split) != split:
        told = plain(name)
        _refuse(
            path, line, f"puts {told} into {split}, and a line before it into {splits[name]}"
        )


def _refuse(path: Path, line: int, what: str) -> NoReturn:
    raise UserError(f"{path}, line {line}, {what}.")
