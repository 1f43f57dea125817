"""What a finding over several runs writes: a folder of its own with numbers, pictures, a table and a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax import report
from genjax.config import digest, to_json
from genjax.machine import platform
from genjax.machine.files import typed
from genjax.metrics.intervals import Interval
from genjax.training.log import Log

Row = Mapping[str, str]  # {column: cell}


def place(experiment: str, name: str, cfg: Any, origin: Mapping[str, Any]) -> Log:
    """The log of a finding over several runs, in <runs>/<experiment>/<name>-<digest>; `cfg` has `runs` and `seed`."""
    folder = typed(cfg.runs) / experiment / f"{name}-{digest(cfg)}"
    log = Log(folder, 0, 1)
    config = log.directory / "config.json"
    config.write_text(to_json(cfg))
    about = {"experiment": experiment, "ablation": name, "seed": cfg.seed}
    log.about({**about, **platform.facts(), **origin})
    return log


def finish(log: Log, tables: Mapping[str, Mapping[str, Row]]) -> Path:
    """Writes the tables, prints them, and writes the report; returns its page."""
    texts = []
    for title, rows in tables.items():
        texts.append(f"{title}\n\n{markdown(rows)}")
    text = "\n".join(texts)
    (log.directory / "table.md").write_text(text)
    print(text)
    page = report.write([log.directory])
    print(page)
    return page


def markdown(rows: Mapping[str, Row]) -> str:
    """A table with a row for each name; a column that a row lacks is empty in it."""
    columns: dict[str, None] = {}
    for row in rows.values():
        columns |= dict.fromkeys(row)
    head = ["", *columns]
    rule = ["---"] * len(head)
    lines = [head, rule]
    for name, row in rows.items():
        cells = [row.get(column, "") for column in columns]
        lines.append([name, *cells])
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join(text) + "\n"


def cell(value: Interval | float | None, digits: int = 3) -> str:
    """A number as a cell, with its interval where it has one; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, Interval):
        low, high = f"{value.low:.{digits}f}", f"{value.high:.{digits}f}"
        return f"{value.value:.{digits}f} [{low}, {high}]"
    return f"{value:.{digits}f}"


def stored(value: Interval, n: int) -> dict[str, float]:
    """An interval as results.json keeps it."""
    return {"value": value.value, "low": value.low, "high": value.high, "n": n}
