"""Families side by side: contenders on the same data, measured by one yardstick, in one table and on one page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax import report
from genjax.config import field
from genjax.core import size
from genjax.data import Digits, FashionMNIST, Folder, Photographs, Stock, Toy
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.findings.contenders import Contender, Outcome, TrainingSet, labels
from genjax.machine.parallel import Jit
from genjax.pictures.draw import grid, save_png
from genjax.training.watch import Watch, told


@dataclasses.dataclass(frozen=True)
class Entry:
    """A contender under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    of: Contender = field(TrainingSet(), "what makes the samples")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The whole comparison."""

    data: Digits | FashionMNIST | Folder | Photographs | Stock | Toy | Any = field(
        Digits(), "the data set, images with labels"
    )
    contenders: tuple[Entry, ...] = field((), "who takes part")
    seconds: float = field(35.0, "of training for each that is trained, by their rates")
    watch: Watch = field(Watch(), "metrics, features, number of samples")
    likelihood: int = field(100, "test images whose log p is found, 0 = none")
    seed: int = field(0, "of everything")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def count(self, source: Any) -> int:
        """Samples of each contender."""
        return self.watch.count(size(source.test))


def check(cfg: Comparison, source: Any) -> None:
    """Raises UserError for what cannot be compared."""
    at_least(0, likelihood=cfg.likelihood, seed=cfg.seed)
    if cfg.seconds <= 0:
        raise UserError(f"--seconds={cfg.seconds} must be above 0.")
    if not cfg.contenders or not cfg.watch.metrics:
        raise UserError(
            "--contenders and --watch.metrics must not be empty: there is nothing to compare."
        )
    if not isinstance(source.fields[source.main], Image) or not source.classes:
        raise UserError(
            f"compare is of images with labels, and {source.name} has none: use --data='Digits()'."
        )
    cfg.watch.check_count(size(source.test))


def compare(cfg: Comparison, name: str, origin: Mapping[str, Any]) -> None:
    """Runs every contender, measures all by the same yardstick, writes reports; prints the table."""
    begin, source = time.perf_counter(), cfg.data.load()
    check(cfg, source)
    features = Path(cfg.runs) / "features"
    measure = cfg.watch.start(source.train, source.test, features, Jit())
    label, rows, strips, folders = labels(cfg.count(source), source), {}, [], []
    first = in_turn(label, source.classes)
    for entry in cfg.contenders:
        made = entry.of(entry.name, cfg, source, {**origin, "differences": {}})
        values = measure(made.images, label)
        made.log.result("metrics", {key: value._asdict() for key, value in values.items()})
        made.log.result("cost", made.cost)
        if made.bits:
            made.log.result("likelihood", made.bits)
        made.log.picture("samples", grid(made.images[first], source.classes))  # a class a column
        made.log.note(f"{entry.name}: {told(values)}")
        report.write([made.log.directory])
        rows[entry.name] = (values, made)
        strips.append(made.images[first[:10]])
        folders.append(made.log.directory)
    page = report.write(folders, Path(cfg.runs) / "compare" / f"{name}.html")
    save_png(page.with_suffix(".png"), grid(np.concatenate(strips), 10))
    text = table(rows)
    page.with_suffix(".md").write_text(text)
    print(text)
    print(f"{page} and a report for each; {time.perf_counter() - begin:.0f} s in all")


def in_turn(label: np.ndarray, classes: int, each: int = 6) -> np.ndarray:
    """The first `each` samples of every class, class by class in turn: [each * classes] row numbers."""
    columns = [np.resize(np.flatnonzero(label == c), each) for c in range(classes)]
    return np.stack(columns, 1).ravel()


COSTS = {
    "parameters": ("parameters", ",.0f"),
    "training s": ("training_seconds", ".1f"),
    "s per 1,000": ("seconds_per_1000_samples", ".2f"),
}


def table(rows: Mapping[str, tuple[dict, Outcome]]) -> str:
    """Markdown: a row a contender, the floors of real examples first."""
    first = next(iter(rows.values()))[0]
    head = [*first, "bits/dim", *COSTS]
    n = next(iter(first.values())).n
    floor = [f"{v.floor:.3f}" if v.floor is not None else "" for v in first.values()]
    blanks = [""] * (1 + len(COSTS))
    lines = [["", *head], ["---"] * (len(head) + 1), [f"{n} real examples", *floor, *blanks]]
    for name, (values, made) in rows.items():
        bits = ""
        if made.bits:
            bits = f"{made.bits['bits_per_dim']:.2f} ± {made.bits['standard_error']:.2f}"
        costs = [format(made.cost[k], form) if k in made.cost else "" for k, form in COSTS.values()]
        lines.append([name, *(f"{v.value:.3f}" for v in values.values()), bits, *costs])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
