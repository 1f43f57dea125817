"""Families side by side: contenders on the same data, measured by one yardstick, in one table and on one page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax import report
from genjax.config import field
from genjax.core import size
from genjax.data import Digits, Known, fingerprint
from genjax.data.batches import chosen
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.findings.contenders import Contender, Outcome, TrainingSet, labels
from genjax.machine.files import typed
from genjax.machine.parallel import Jit
from genjax.metrics.evaluate import Value
from genjax.metrics.nearest import beside
from genjax.pictures.draw import captioned, grid, save_png
from genjax.training.basis import basis
from genjax.training.watch import Watch, told


@dataclasses.dataclass(frozen=True)
class Entry:
    """A contender under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    of: Contender = field(TrainingSet(), "what makes the samples")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The whole comparison."""

    data: Known | Any = field(Digits(), "the data set, images with labels")
    contenders: tuple[Entry, ...] = field((), "who takes part")
    seconds: float = field(35.0, "of training for each that is trained, by their rates")
    watch: Watch = field(Watch(), "metrics, features, number of samples")
    likelihood: int = field(100, "test images whose log p is found, 0 = none")
    nearest: int = field(
        0, "samples shown over the training image nearest to each, 0 = none", execution=True
    )
    only: tuple[str, ...] = field((), "names of who takes part, () = all", execution=True)
    seed: int = field(0, "of everything")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def count(self, source: Any) -> int:
        """Samples of each contender."""
        return self.watch.count(size(source.test))


def check(cfg: Comparison, source: Any) -> None:
    """Raises UserError for what cannot be compared."""
    at_least(0, likelihood=cfg.likelihood, seed=cfg.seed, nearest=cfg.nearest)
    if cfg.seconds <= 0:
        raise UserError(f"--seconds={cfg.seconds} must be above 0.")
    if not cfg.contenders or not cfg.watch.metrics:
        raise UserError(
            "--contenders and --watch.metrics must not be empty: there is nothing to compare."
        )
    pictures = isinstance(source.fields[source.main], Image)
    if not pictures or not source.classes:
        raise UserError(
            f"compare is of images with labels, and {source.name} has none: use --data='Digits()'."
        )
    cfg.watch.check_count(size(source.test))
    names = [entry.name for entry in cfg.contenders]
    for name in cfg.only:
        if name not in names:
            raise UserError(
                f"--only: no contender is called {name!r}, they are {', '.join(names)}."
            )


def compare(cfg: Comparison, name: str, origin: Mapping[str, Any]) -> None:
    """Runs every contender, measures all by the same yardstick, writes reports; prints the table."""
    begin = time.perf_counter()
    fill = getattr(cfg.data, "resolved", None)
    if fill is not None:  # the contenders' directories are named by what the data are
        cfg = dataclasses.replace(cfg, data=fill())
    source = cfg.data.load()
    check(cfg, source)
    features = typed(cfg.runs) / "features"
    measure = cfg.watch.start(source.train, source.test, features, Jit())
    label = labels(cfg.count(source), source)  # [n]
    rows, strips, folders = {}, [], []
    first = in_turn(label, source.classes)
    # what the command line changed is of the comparison, not of its contenders
    origin = {**origin, "differences": {}}
    taking_part = [entry for entry in cfg.contenders if not cfg.only or entry.name in cfg.only]
    for entry in taking_part:
        made = entry.of(entry.name, cfg, source, origin)
        log = made.log
        values = measure(made.images, label)
        if not made.asked:
            values = unasked(values, cfg.watch)
        metrics = {key: value._asdict() for key, value in values.items()}
        # its run's own metrics, if it has any, are of other samples
        what = (cfg.watch, cfg.likelihood)
        with log.measuring(basis(what, entry.of, fingerprint(source), made.step, {})):
            log.result("metrics", metrics)
            log.result("cost", made.cost)
            if made.bits:
                log.result("likelihood", made.bits)
            picture = grid(made.images[first], source.classes)  # a class a column
            log.picture("samples", picture)
            if cfg.nearest:
                shown = made.images[chosen(cfg.nearest, len(made.images))]
                log.picture("nearest", beside(shown, source.train[source.main]))
        log.note(f"{entry.name}: {told(values)}")
        # at once: a comparison that is cut off leaves the reports of those that are through
        report.write([log.directory])
        rows[entry.name] = (values, made)
        strips.append(made.images[first[:10]])
        folders.append(log.directory)
    page = report.write(folders, typed(cfg.runs) / "compare" / f"{name}.html")
    strip = np.concatenate(strips)  # a contender a row, ten samples each
    named = captioned(grid(strip, 10), list(rows))
    save_png(page.with_suffix(".png"), named)
    text = table(rows)
    markdown = page.with_suffix(".md")
    markdown.write_text(text)
    print(text)
    seconds = time.perf_counter() - begin
    print(f"{page} and a report for each; {seconds:.0f} s in all")


def unasked(values: Mapping[str, Value], watch: Watch) -> dict[str, Value]:
    """The metrics of samples of no class that was asked for: without those that compare it with what is read."""
    left = dict(values)
    for metric in watch.metrics:
        if getattr(metric, "labelled", False):
            for name in metric.names(watch.extractor.name):
                left.pop(name, None)
    return left


def in_turn(label: np.ndarray, classes: int, each: int = 6) -> np.ndarray:
    """The first `each` samples of every class, class by class in turn: [each * classes] row numbers."""
    columns = []
    for c in range(classes):
        of_class = np.flatnonzero(label == c)
        columns.append(np.resize(of_class, each))  # a class with fewer starts again
    in_rows = np.stack(columns, 1)  # [each, classes]
    return in_rows.ravel()


COSTS = {
    "parameters": ("parameters", ",.0f"),
    "training s": ("training_seconds", ".1f"),
    "s per 1,000": ("seconds_per_1000_samples", ".2f"),
}


def table(rows: Mapping[str, tuple[dict, Outcome]]) -> str:
    """Markdown: a row a contender, the floors of real examples first."""
    measured: dict[str, Value] = {}
    more: dict[str, float] = {}
    for values, made in rows.values():
        # whoever has a number: floor and count are the data's, alike for all
        new = {key: value for key, value in values.items() if key not in measured}
        measured |= new
        more |= made.more or {}
    head = ["", *measured, *more, "bits/dim", *COSTS]
    rule = ["---"] * len(head)
    n = next(iter(measured.values())).n
    floor = [_cell(value.floor) for value in measured.values()]
    # real examples have neither bits nor costs, nor codes
    blanks = [""] * (len(more) + 1 + len(COSTS))
    lines = [head, rule, [f"{n} real examples", *floor, *blanks]]
    for name, (values, made) in rows.items():
        its = {key: value.value for key, value in values.items()}
        metrics = [_cell(its.get(key)) for key in measured]
        found = made.more or {}
        beyond = [_cell(found.get(key)) for key in more]
        lines.append([name, *metrics, *beyond, _bits(made), *_costs(made)])
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join(text) + "\n"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _bits(made: Outcome) -> str:
    if not made.bits:  # p(x) is not to be had
        return ""
    mean, error = made.bits["bits_per_dim"], made.bits["standard_error"]
    return f"{mean:.2f} ± {error:.2f}"


def _costs(made: Outcome) -> list[str]:
    cells = []
    for key, form in COSTS.values():
        known = key in made.cost  # the training set itself costs nothing
        cells.append(format(made.cost[key], form) if known else "")
    return cells
