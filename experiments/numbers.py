"""Every measured figure in the Markdown has an entry in experiments/results/ that says the same.

    python -m experiments.numbers            a line for each fault; = make numbers
    python -m experiments.numbers --list     every figure: file, line, heading and row, run and name

A run's entry names its places (file and heading), a figure's entry its `text`, which is looked for
literally, stars left out. A number that looks measured must lie in a text of a figure that belongs
to its heading and, in a table, to its row; a text must be found in one of its places. So a changed
digit is two faults: a number without an entry and an entry that is not printed. Where a heading or
a file has moved, change `printed_in` of its runs.

What looks measured:

- a number with decimals or an exponent: 0.83, .064, 4e-06;
- a number with a unit of measuring behind it: 91 min, 1.1 GiB, 50 steps/s, 99 %, 21 modes;
- every number in a cell that holds no words but units, except in the first column.

What does not:

- code, `inline` or in blocks, but for the comments behind commands, which tell costs;
- headings, the head of a table, addresses of links;
- versions: numbers with two points or behind the name of a program (Python 3.11);
- texts of `experiments/results/settings.json`: settings that look measured, each with its reason.

The label of a row is the inline code of its first cell, where there is some, else the whole first
cell; of a cell that starts with a number with decimals it is empty. The table between the marks of
experiments/README.md is compared with what `python -m experiments.results` prints. SECURITY.md has
no figures and is not read.

Exit codes: 0 all is well, 1 a fault, 2 a mistake of yours, named in one line.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genjax.errors import UserError

from .results import (
    FOLDER,
    NUMBER,
    README,
    ROOT,
    SETTINGS,
    between_marks,
    load,
    read,
    scale,
    table,
    texts,
)

LEFT_OUT = {"SECURITY.md"}
UNITS = (
    "%|ms|µs|s|min|minutes?|hours?|seconds?|[KMG]i?B|steps/s|examples/s|GFLOP/s|GFLOP|nats|bits/dim"
    "|bits|degrees|modes|million"
)
UNIT = re.compile(rf"\s?(?:{UNITS})(?![\w/])")
PROGRAM = re.compile(r"(?:Python|jax|torch|PyTorch|Orbax|TensorStore|Apache) $")
CELL_WORDS = re.compile(rf"(?<![A-Za-z])(?:{UNITS}|of|to|at most)(?![A-Za-z])")
INLINE_CODE = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
COMMENT = re.compile(r"<!--.*?-->")
LIST_NUMBER = re.compile(r"^\s*\d+[.)] ")
USAGE = "usage: python -m experiments.numbers [--list]"


class Block(NamedTuple):
    """A paragraph, a row of a table or a comment of code, as one line without code and stars."""

    file: str
    section: str  # "experiments/README.md#digits"
    row: str | None  # the label of a row, None outside tables
    text: str
    starts: tuple[tuple[int, int], ...]  # (offset in the text, line of the file)
    cells: tuple[tuple[int, int], ...] = ()  # of a row: where the cells are that are no label

    def line(self, offset: int) -> int:
        """The line of the file that the text at an offset comes from."""
        return max(line for start, line in self.starts if start <= offset)


class Figure(NamedTuple):
    """A text of a figure of a run, with its places."""

    entry: str  # "gan.json, python -m experiments.gan digits: samples.recognised"
    text: str
    places: tuple[str, ...]
    row: str


class Found(NamedTuple):
    """A number in Markdown that looks measured, and the figure that it belongs to, if any."""

    block: Block
    text: str
    line: int
    figure: Figure | None


def documents(root: Path = ROOT) -> list[Path]:
    """The project's Markdown files: none of hidden folders, of runs and of what is left out."""
    found = []
    for path in sorted(root.rglob("*.md")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") or part == "runs" for part in parts)
        if not hidden and path.name not in LEFT_OUT:
            found.append(path)
    return found


def blocks(path: Path, root: Path) -> Iterator[Block]:
    """What of a Markdown file may hold figures."""
    file = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    if file == README.as_posix():
        begin, end = between_marks(text, path)
        text = text[:begin] + "\n" * text[begin:end].count("\n") + text[end:]
    section, used = file, {}
    for kind, numbered in _groups(text.splitlines()):
        if kind == "heading":
            section = f"{file}#{_anchor(numbered[0][1], used)}"
        elif kind == "prose":
            yield _paragraph(file, section, numbered)
        elif kind == "code":
            for number, line in numbered:
                _, _, comment = line.partition("# ")
                yield _paragraph(file, section, [(number, comment)])
        elif kind == "table":
            for number, line in numbered[2:]:  # behind the head and its rule
                yield _row(file, section, number, line)


def measured(block: Block) -> list[re.Match]:
    """The numbers of a block that look measured."""
    found = []
    for match in NUMBER.finditer(block.text):
        before, after = block.text[: match.start()], block.text[match.end() :]
        version = match.group().count(".") > 1 or PROGRAM.search(before)
        decimal = "." in match.group() or "e" in match.group()
        in_cell = any(start <= match.start() < end for start, end in block.cells)
        if not version and (decimal or in_cell or UNIT.match(after)):
            found.append(match)
    return found


def figures(files: Mapping[Path, Iterable[Mapping[str, Any]]]) -> list[Figure]:
    """Every text of every figure of the results."""
    found = []
    for path, runs in files.items():
        for run in runs:
            name = run.get("command") or run.get("source", "")
            for key, figure in run["figures"].items():
                row = figure.get("row", run.get("row", ""))
                places = tuple(run.get("printed_in", ()))
                what = f"{path.name}, {name}: {key}"
                found += [Figure(what, text, places, row) for text in texts(figure)]
    return found


def look(root: Path = ROOT) -> tuple[list[Found], list[str]]:
    """Every figure in the Markdown under `root`, and the faults, a line each. Raises UserError."""
    files = load(root)
    known = figures(files)
    settings = read(root / FOLDER / SETTINGS)
    pages = [block for path in documents(root) for block in blocks(path, root)]
    printed: set[int] = set()
    found = []
    for block in pages:
        found += _found(block, known, settings, printed)
    faults = [
        f"{item.block.file}:{item.line}: {item.text} is in no entry of {_place(item.block)}"
        for item in found
        if item.figure is None
    ]
    faults += _not_printed(known, printed, {block.section for block in pages})
    faults += [f"{FOLDER / SETTINGS}: {text!r} is nowhere" for text in _unused(settings, pages)]
    faults += [fault for path, runs in files.items() for fault in _contradictions(path, runs)]
    return found, faults + _table_faults(root)


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        if tokens in (["--help"], ["-h"]):
            print(__doc__.strip())
            return 0
        if tokens not in ([], ["--list"]):
            raise UserError(f"cannot read {' '.join(tokens)}. {USAGE}")
        found, faults = look(root)
    except UserError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr, flush=True)
        return 2
    if tokens:
        for item in found:
            entry = item.figure.entry if item.figure else "NO ENTRY"
            print(f"{item.block.file}:{item.line}\t{_place(item.block)}\t{item.text}\t{entry}")
    for fault in faults:
        print(fault)
    print(f"{len(found)} figures, {len(faults)} faults", file=sys.stderr)
    return 1 if faults else 0


def _groups(lines: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """(kind, [(number, line)]): neighbours of one kind together, but each heading by itself."""
    kinds, fenced = [], False
    for line in lines:
        fence = line.lstrip().startswith("```")
        kinds.append(_kind(line, fenced or fence))
        fenced ^= fence
    numbered = zip(kinds, enumerate(lines, 1), strict=True)
    for kind, group in itertools.groupby(numbered, key=lambda pair: pair[0]):
        members = [pair[1] for pair in group]
        if kind == "heading":
            yield from (("heading", [member]) for member in members)
        else:
            yield kind, members


def _kind(line: str, fenced: bool) -> str:
    if fenced or line.startswith("    "):
        return "code"
    if re.match(r"#+ ", line):
        return "heading"
    if line.startswith("|"):
        return "table"
    return "prose" if line.strip() else "blank"


def _anchor(heading: str, used: dict[str, int]) -> str:
    """The anchor of a heading, as GitHub has it: a-b of "## A: b", a-b-1 of the second of them."""
    words = heading.lstrip("# ").strip().lower()
    slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
    count = used.get(slug, 0)
    used[slug] = count + 1
    return f"{slug}-{count}" if count else slug


def _clean(line: str) -> str:
    """A line without comments, inline code, addresses of links, stars and the number of a list."""
    line = COMMENT.sub("", line)
    line = INLINE_CODE.sub("``", line)
    line = LINK.sub(r"\1", line)
    return LIST_NUMBER.sub("", line).replace("*", "")


def _paragraph(file: str, section: str, numbered: Sequence[tuple[int, str]]) -> Block:
    text, starts = "", []
    lines = _clean("\n".join(line for _, line in numbered)).split("\n")  # code may span lines
    for (number, _), line in zip(numbered, lines, strict=False):
        starts.append((len(text), number))
        text += line.strip() + " "
    return Block(file, section, None, text, tuple(starts))


def _row(file: str, section: str, number: int, line: str) -> Block:
    parts = line.strip().strip("|").split(" |")
    label = _label(parts[0])
    text, cells = "", []
    for i, part in enumerate(parts):
        cell = _clean(part).strip()
        wordless = not re.search(r"[A-Za-z`]", CELL_WORDS.sub("", cell))
        if wordless and (i > 0 or not label):
            cells.append((len(text), len(text) + len(cell)))
        text += cell + " | "
    return Block(file, section, label, text, ((0, number),), tuple(cells))


def _label(cell: str) -> str:
    """What a row goes by: its first cell's code, else that cell; '' for a number with decimals."""
    code = INLINE_CODE.search(cell)
    if code:
        return code.group(2).strip()
    words = cell.replace("*", "").strip()
    return "" if re.match(r"\d*\.\d", words) else words


def _place(block: Block) -> str:
    return block.section if block.row is None else f"{block.section} | {block.row}"


def _found(
    block: Block, known: Sequence[Figure], settings: Sequence[Mapping], printed: set[int]
) -> list[Found]:
    """The measured numbers of a block with their figures; adds to `printed` which figures are."""
    spans = []
    for i, figure in enumerate(known):
        in_row = block.row is None or figure.row == block.row
        if block.section in figure.places and in_row:
            here = _spans(figure.text, block.text)
            spans += [(span, figure) for span in here]
            if here:
                printed.add(i)
    allowed = [span for setting in settings for span in _spans(setting["text"], block.text)]
    found = []
    for match in measured(block):
        if _within(match, allowed):
            continue
        owner = next((figure for span, figure in spans if _within(match, [span])), None)
        found.append(Found(block, match.group(), block.line(match.start()), owner))
    return found


def _spans(text: str, where: str) -> list[tuple[int, int]]:
    """Where a text stands, not as a part of a longer number or word."""
    before = r"(?<![\w.])(?<!\d,)" if re.match(r"[\w.]", text) else ""
    after = r"(?!\w)(?![.,]\d)" if re.search(r"\w$", text) else ""
    return [match.span() for match in re.finditer(before + re.escape(text) + after, where)]


def _within(match: re.Match, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= match.start() and match.end() <= end for start, end in spans)


def _not_printed(known: Sequence[Figure], printed: set[int], sections: set[str]) -> list[str]:
    faults = []
    for i, figure in enumerate(known):
        if i in printed:
            continue
        gone = [place for place in figure.places if place not in sections]
        why = (
            f"no such heading as {', '.join(gone)}"
            if gone
            else f"in {', '.join(figure.places)}"
        )
        row = f", row {figure.row!r}" if figure.row else ""
        faults.append(f"{figure.entry}: {figure.text!r} is not printed ({why}{row})")
    return faults


def _unused(settings: Sequence[Mapping], pages: Sequence[Block]) -> list[str]:
    return [
        setting["text"]
        for setting in settings
        if not any(_spans(setting["text"], block.text) for block in pages)
    ]


def _contradictions(path: Path, runs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Figures whose text is not their value as rounded there."""
    for run in runs:
        for name, figure in run["figures"].items():
            values = figure["value"] if isinstance(figure["value"], list) else [figure["value"]]
            for text in texts(figure):
                if not all(_says(text, value) for value in values):
                    entry = f"{path.name}, {run.get('command', run.get('source'))}: {name}"
                    yield f"{entry}: the text {text!r} does not say its value {figure['value']}"


def _says(text: str, value: Any) -> bool:
    """Whether one of the numbers in a text is the value as rounded there, as such or in percent."""
    found = (match.group() for match in NUMBER.finditer(text))
    return any(scale(number, float(value)) for number in found)


def _table_faults(root: Path) -> list[str]:
    """A fault if the table between the marks is not that of the results."""
    path = root / README
    text = path.read_text(encoding="utf-8")
    begin, end = between_marks(text, path)
    place = f"{README}:{text[:begin].count(chr(10)) + 1}"
    try:
        wanted = table(root)
    except UserError as error:
        return [f"{place}: the table lacks an entry: {error}"]
    if text[begin:end].strip() == wanted.strip():
        return []
    remedy = "python -m experiments.results --write"
    return [f"{place}: the table is not that of the results: {remedy}"]


if __name__ == "__main__":
    sys.exit(main())
