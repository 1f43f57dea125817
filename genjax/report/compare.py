"""The report of several runs: one table, every curve of all runs in one chart, then each run by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from genjax.report.facts import Facts, Picture
from genjax.report.field import over_field
from genjax.report.groups import few_fields, groups_of
from genjax.report.markup import Html, join, table, tag
from genjax.report.page import CHARTS, document, image, rank, sections, tiles
from genjax.report.results import (
    Column,
    columns,
    counted,
    grouped,
    nested_of,
    own,
    published,
    values_of,
    with_settings,
)
from genjax.report.seeds import over_seeds
from genjax.report.svg import Curve, chart, finite
from genjax.report.text import differing, digits, unit

QUESTIONS = 3  # of the runs that the page repeats

Runs = Sequence[Facts]
Names = Sequence[str]  # of the runs, in their order
Section = tuple[str, str, Any]  # id, heading, content
Deep = tuple[str, str, str]  # entry, row, name of a nested number
Values = dict[Column, Any]


def comparison(runs: Runs) -> str:
    """The page of several runs."""
    # short, yet different: they head rows, columns and curves
    names = _names(runs)
    # a dict as a set that keeps the order
    families = dict.fromkeys(run.experiment for run in runs)
    what = ", ".join(families)  # each experiment once
    title = f"{what}: {len(runs)} runs compared"
    # a section without content gets neither a heading nor a link
    parts = []
    for part in _parts(runs, names):
        _, _, content = part
        if content:
            parts.append(part)
    over = tag("p", "Comparison", class_="over")
    header = tag(
        "header",
        over,
        tag("h1", title),
        _questions(runs),
        _contents(parts),
    )
    body = [header]
    for id, heading, content in parts:
        name = tag("h2", heading, id=id)
        section = tag("section", name, content, aria_labelledby=id)
        body.append(section)
    return document(f"{title} | genjax", body)


def _parts(runs: Runs, names: Names) -> list[Section]:
    """(id, heading, content) of every section; a content that is empty is no section."""
    groups = groups_of(runs)
    field, drawn = over_field(groups)
    folded = []
    for i, run in enumerate(runs):
        report = each(run, names[i], i + 1)  # a reader counts from 1
        folded.append(report)
    return [
        ("numbers", "Numbers", numbers(runs, names)),
        ("seeds", "Over seeds", over_seeds(groups, _curves(runs))),
        ("field", f"Over {field}", drawn),
        ("differences", "What differs", differences(runs, names)),
        ("overlaid", "Curves of all runs", overlaid(runs, names)),
        ("further", "Further numbers", further(runs, names)),
        ("runs", "Each run", folded),
    ]


def _questions(runs: Runs) -> list[Html]:
    """What the runs asked, each question once: runs of one experiment share theirs."""
    asked = {}
    for run in runs:
        question = run.about.get("question")
        if question is not None:  # null is left out where run.json is read
            asked[question] = None
    first = list(asked)[:QUESTIONS]
    return [tag("p", question, class_="question") for question in first]


def _contents(parts: Sequence[Section]) -> Html:
    """Links to the sections."""
    items = []
    for id, heading, _ in parts:
        link = tag("a", heading, href=f"#{id}")
        items.append(tag("li", link))
    listed = tag("ul", items)
    return tag("nav", listed, aria_label="Sections")


def _names(runs: Runs) -> list[str]:
    """Short names that differ: the ablation, with its experiment or digest where that is needed."""
    names = [run.ablation for run in runs]
    # ablations of one experiment need no more than their own names
    experiments = {run.experiment for run in runs}
    if len(experiments) > 1:
        names = [run.name for run in runs]
    # two steps: names that the digest does not tell apart get their directory as well
    digests = [run.digest for run in runs]
    places = [str(run.directory) for run in runs]
    names = _longer(names, digests)
    return _longer(names, places)


def _longer(names: Names, more: Sequence[str]) -> list[str]:
    """The names, those that occur twice with what `more` adds to them."""
    count = Counter(names)
    longer = []
    for name, addition in zip(names, more, strict=True):
        if count[name] > 1:
            name = f"{name} {addition}".strip()  # a run may have no digest
        longer.append(name)
    return longer


def thumbnail(run: Facts) -> Picture | None:
    """The picture that stands for a run: its samples at the end, its last grid, or the first picture that it has."""
    # slices and lists that may be empty: a killed run has grids only, a short one perhaps nothing
    samples = [picture for picture in run.drawn if picture.name.startswith("samples.")]
    candidates = [*samples, *run.grids[-1:], *run.drawn]
    return candidates[0] if candidates else None


def numbers(runs: Runs, names: Names) -> Html:
    """A row a run: picture, every metric that two runs share or that is in the entry "metrics", size and time."""
    values = [values_of(run.results) for run in runs]
    keys = columns(values)
    facts = _facts(runs)
    pictures = [thumbnail(run) for run in runs]
    pictured = any(pictures)  # else there is no column for them
    # of a sweep the reader wants the numbers beside what they are of
    fields = few_fields([run.config for run in runs])
    head: list[Any] = ["run"]
    if pictured:
        head.append("samples")
    head += [tag("code", path) for path, _ in fields]
    head += grouped(keys)
    head += facts  # the names of its columns
    rows: list[list[Any]] = []
    for i, run in enumerate(runs):
        link = tag("a", names[i], href=f"#run{i + 1}")  # to the run's own report below
        row: list[Any] = [link]
        if pictured:
            shown = image(pictures[i], run) if pictures[i] else ""
            row.append(shown)
        row += [tag("code", texts[i]) for _, texts in fields]
        its = values[i]
        row += [_cell(its, key, run) for key in keys]
        row += [column[i] for column in facts.values()]
        rows.append(row)
    # the last row: what others reported, under the columns of the same numbers
    told = [_published(runs, key) for key in keys]
    if any(told):
        row = ["published"]
        if pictured:
            row.append("")
        row += [""] * len(fields)
        row += told
        row += [""] * len(facts)
        rows.append(row)
    return table("All runs", head, rows, "all", "wide")


def _cell(values: Values, key: Column, run: Facts) -> Html | str:
    """A run's number for a column, "" where it has none; with how it was measured, if not by the run's own config."""
    if key not in values:
        return ""
    entry, _ = key
    text = with_settings(own(values[key], entry), entry, run)
    return tag("div", text)


def _published(runs: Runs, key: Column) -> list[Html]:
    """The published numbers for a column, each once: several runs may quote the same."""
    entry, name = key
    texts: list[str] = []
    for run in runs:
        texts += published(run, entry, name)
    unique = dict.fromkeys(texts)
    return [tag("div", text) for text in unique]


def _facts(runs: Runs) -> dict[str, list[str]]:
    """Columns that come from no measurement: {name: a text a run}, without those that no run knows."""
    steps = []
    parameters = []
    seconds = []
    for run in runs:
        # 0 seconds is a run that wrote no clock, not a fast one; 0 steps one that wrote no line
        steps.append(_digits(run.last_step or None))
        parameters.append(_digits(run.about.get("parameters")))
        seconds.append(_digits(run.seconds or None))
    columns = {
        "steps": steps,
        "parameters": parameters,
        "training [s]": seconds,
    }
    return {name: column for name, column in columns.items() if any(column)}


def _digits(value: float | None) -> str:
    """The number, "" where it is not known."""
    return "" if value is None else digits(value)


def differences(runs: Runs, names: Names) -> Html | None:
    """A column for every field of the configs that is not the same in all runs."""
    configs = [run.config for run in runs]
    found = list(differing(configs))  # (path, each run's text)
    if not found:
        return tag("p", "The configs are the same.")
    paths = [tag("code", path) for path, _ in found]
    rows = []
    for i, name in enumerate(names):
        cells = [tag("code", texts[i]) for _, texts in found]
        rows.append([name, *cells])
    head = ("run", *paths)
    return table("Fields of the configs", head, rows, "fields")


def overlaid(runs: Runs, names: Names) -> Html | None:
    """A chart for every metric that two runs have, training and held-out values apart."""
    shared = _curves(runs)
    charts = [_chart(runs, names, curve) for curve in shared[:CHARTS]]
    if not any(charts):
        return None
    # a page of many charts is not read: the rest is named
    more = ", ".join(shared[CHARTS:])
    note = None
    if more:
        text = f"Not drawn, but in metrics.jsonl of several runs: {more}."
        note = tag("p", text, class_="note")
    drawings = tag("div", charts, class_="charts")
    return join([drawings, note])


def _curves(runs: Runs) -> list[str]:
    """The curves that two runs have and that move, in the order of their charts: held-out values before training's."""
    count = counted(run.curves for run in runs)
    several = [curve for curve in count if count[curve] > 1]
    shared = [curve for curve in several if _moves(runs, curve)]

    def place(curve: str) -> tuple[bool, ...]:
        _, metric = _halves(curve)
        return (*rank(metric), curve.startswith("train/"))

    return sorted(shared, key=place)


def _halves(curve: str) -> tuple[str, str]:
    """(split, metric) of a curve: ("train", "loss") of train/loss."""
    split, _, metric = curve.rpartition("/")
    return split, metric


def _chart(runs: Runs, names: Names, curve: str) -> Html | None:
    """One curve of every run; a run keeps its colour in all charts, also where another has no such curve."""
    curves = []
    for i, run in enumerate(runs):
        points = run.curves.get(curve, [])
        mark = str(i + 1)  # short: it must fit beside the end of the curve
        curves.append(Curve(names[i], points, i, mark))
    split, metric = _halves(curve)
    title = f"{unit(metric)}, {split}"
    return chart(title, curves)


def _moves(runs: Runs, curve: str) -> bool:
    """Whether the curve has two different finite values in any of the runs: a constant needs no chart."""
    values = set()
    for run in runs:
        points = finite(run.curves.get(curve, []))
        values |= {value for _, value in points}
    return len(values) > 1


def further(runs: Runs, names: Names) -> list[Html]:
    """The nested numbers that two runs share, an entry a table and a run a column."""
    values = [nested_of(run.results) for run in runs]
    count = counted(values)  # a number of one run compares nothing
    shared = [key for key in count if count[key] > 1]
    entries = dict.fromkeys(entry for entry, _, _ in shared)
    tables = []
    head = ("name", *names)
    for i, entry in enumerate(entries, 1):
        rows = [_row(values, key) for key in shared if key[0] == entry]
        whole = table(entry, head, rows, f"further{i}")
        # folded: there may be hundreds of them
        summary = tag("summary", f"{entry}: {len(rows)} numbers")
        tables.append(tag("details", summary, whole))
    return tables


def _row(values: Sequence[dict[Deep, Any]], key: Deep) -> list[str]:
    """A nested number of every run, "" where one has none."""
    _, row, name = key
    title = f"{row}: {unit(name)}"
    texts = []
    for found in values:
        text = digits(found[key]) if key in found else ""
        texts.append(text)
    return [title, *texts]


def each(run: Facts, name: str, i: int) -> Html:
    """The report of one run, folded."""
    # level 4, below the page, its section and the run's name; the prefix keeps ids of several runs apart
    id = f"run{i}"
    parts = [html for _, _, html in sections(run, 4, f"{id}-")]
    heading = tag("h3", name)
    summary = tag("summary", heading)
    return tag("details", summary, tiles(run), *parts, id=id)
