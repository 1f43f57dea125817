"""Results as JSON lines, written at once, and the Markdown that is made of them anew after every part.

A line is {"part": its name, ...}. What a part has written stays when the part fails or is ended; the last line of a
part, {"ended": ...}, is the command's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

NONE = "–"  # in the place of what a line does not tell
LEFT_OUT = 3  # exit code of a part that cannot be done here, and says why
PRODUCT = (
    "JAX [FLOP/s]"  # the name under which the part "product" tells what rows are measured by
)
TOLD = ("part", "stack")  # what a table has no column for


def write(file: Path, part: str, **what: Any) -> None:
    """Appends a line."""
    text = json.dumps({"part": part, **what})
    print(text, flush=True)
    # one write of a whole line: several parts may run at a time
    with file.open("a") as out:
        out.write(text + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    """All whole lines; [] where there is no file."""
    if not file.exists():
        return []
    texts = file.read_text().splitlines(keepends=True)
    # the last one may be torn where the machine was switched off
    return [json.loads(text) for text in texts if text.endswith("\n")]


def value(lines: Sequence[dict], part: str, name: str) -> Any:
    """The last value of that name that a part has told; None where it has told none."""
    told = [line[name] for line in lines if line["part"] == part and name in line]
    return told[-1] if told else None


def markdown(title: str, lines: Sequence[dict]) -> str:
    """A heading and a table for each part, in the order in which they began to tell something."""
    texts = [f"# {title}"]
    for part in dict.fromkeys(line["part"] for line in lines):
        own = [line for line in lines if line["part"] == part]
        texts.append(section(part, own))
    return "\n\n".join(texts) + "\n"


def section(part: str, lines: Sequence[dict]) -> str:
    """One part: how it ended, its table, and the stacks of what failed."""
    ends = [line for line in lines if "ended" in line]
    rows = [line for line in lines if "ended" not in line]
    ended = f"{ends[-1]['ended']}, {ends[-1]['seconds']:.0f} s" if ends else "at work"
    texts = [f"## {part}: {ended}"]
    if rows:
        texts.append(table(rows))
    for line in lines:
        if line.get("stack"):
            texts.append(f"```\n{line['stack'].strip()}\n```")
    return "\n\n".join(texts)


def table(rows: Sequence[dict]) -> str:
    """A column for each name that some row has."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in TOLD))
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        cells = [shown(row.get(name)) for name in names]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A cell; numbers in four digits."""
    if value is None:
        return NONE
    if type(value) is float:
        return f"{value:.4g}"
    # a bar or a line's end would break the table
    return str(value).replace("|", "/").replace("\n", " ")


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


@contextlib.contextmanager
def locked(file: Path, alone: bool) -> Iterator[None]:
    """Waits until no one else holds the file, or none alone; the system opens it when the holder dies."""
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def with_flags(flags: str) -> None:
    """Adds flags of XLA: it reads them when its first backend starts, after the imports."""
    before = os.environ.get("XLA_FLAGS", "").split()
    # no leading space: XLA would read it as a file name
    os.environ["XLA_FLAGS"] = " ".join([*before, *flags.split()])
