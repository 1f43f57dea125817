"""What a finding over several runs writes: a folder of its own with numbers, pictures, a table and a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax import report
from genjax.config import digest, edit, to_json, walk
from genjax.machine import platform
from genjax.machine.files import typed
from genjax.metrics.intervals import Interval
from genjax.training.log import Log

Row = Mapping[str, str]  # {column: cell}
TABLE = "table.md"  # what a finished comparison has


def carry_out(cfg: Any, name: str, origin: Mapping[str, Any]) -> None:
    """What `cli.main` calls where every config is what it does."""
    cfg(name, origin)


def filled(cfg: Any) -> Any:
    """A config with the marks of what lies in files filled in, in all that is in it; UserError where there is none."""
    found = {}
    for path, _, value, *_ in walk(cfg):
        # what fills itself fills what is in it
        inside = any(path.startswith(f"{outer}.") for outer in found)
        fill = getattr(value, "resolved", None)
        if callable(fill) and not inside:
            found[path] = fill()
    return edit(cfg, found)


def place(experiment: str, name: str, cfg: Any, origin: Mapping[str, Any]) -> Log:
    """The log of a finding over several runs, in <runs>/<experiment>/<name>-<digest>; `cfg` has `runs` and `seed`."""
    # the config is in the name: another has another folder, and so have other files by the same path
    cfg = filled(cfg)
    mark = digest(cfg)
    folder = typed(cfg.runs) / experiment / f"{name}-{mark}"
    log = Log(folder, 0, 1)
    # of one that was broken off some entries may be left that are measured no more
    if not (log.directory / TABLE).exists():
        (log.directory / "results.json").unlink(missing_ok=True)
    config = log.directory / "config.json"
    text = to_json(cfg)
    config.write_text(text)
    about = {
        "experiment": experiment,
        "ablation": name,
        "seed": cfg.seed,
    }
    machine = platform.facts()
    # last what the caller knows
    log.about({**about, **machine, **origin})
    return log


def finish(log: Log, tables: Mapping[str, Mapping[str, Row]]) -> Path:
    """Writes the tables, prints them, and writes the report; returns its page."""
    parts = []
    for title, rows in tables.items():
        table = markdown(rows)
        parts.append(f"{title}\n\n{table}")
    text = "\n".join(parts)
    file = log.directory / TABLE
    file.write_text(text)
    print(text)
    page = report.write([log.directory])
    print(page)
    return page


def markdown(rows: Mapping[str, Row]) -> str:
    """A table with a row for each name; a column that a row lacks is empty in it."""
    columns: dict[str, None] = {}  # in the order in which they come
    for row in rows.values():
        columns |= dict.fromkeys(row)
    head = ["", *columns]
    rule = ["---"] * len(head)
    lines = [head, rule]
    for name, row in rows.items():
        cells = [row.get(column, "") for column in columns]
        lines.append([name, *cells])
    text = []
    for line in lines:
        inner = " | ".join(line)
        text.append(f"| {inner} |\n")
    return "".join(text)


def cell(value: float, digits: int = 3) -> str:
    """A number as a cell."""
    return f"{value:.{digits}f}"


def wide(value: Interval, digits: int = 3) -> str:
    """A number with its interval as a cell."""
    ends = f"[{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return f"{cell(value.value, digits)} {ends}"


def stored(value: Interval, n: int) -> dict[str, float]:
    """An interval of n as results.json keeps it."""
    return {
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "n": n,
    }


def keep_picture(log: Log, name: str, picture: np.ndarray) -> None:
    """Writes a picture, uint8 [H, W, C], and says where."""
    path = log.picture(name, picture)
    log.note(f"picture {path}")
