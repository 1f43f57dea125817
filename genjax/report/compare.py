"""The report of several runs: one table, every curve of all runs in one chart, then each run by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from genjax.report.facts import Facts, Picture
from genjax.report.markup import Html, join, table, tag
from genjax.report.page import CHARTS, document, image, rank, sections, tiles
from genjax.report.results import nested_of, own, published, values_of
from genjax.report.svg import Curve, chart, finite
from genjax.report.text import differing, digits, unit


def comparison(runs: Sequence[Facts]) -> str:
    """The page of several runs."""
    names = _names(runs)
    families = list(dict.fromkeys(run.experiment for run in runs))
    questions = list(
        dict.fromkeys(run.about["question"] for run in runs if "question" in run.about)
    )
    title = f"{', '.join(families)}: {len(runs)} runs compared"
    parts = (
        ("numbers", "Numbers", numbers(runs, names)),
        ("differences", "What differs", differences(runs, names)),
        ("overlaid", "Curves of all runs", overlaid(runs, names)),
        ("further", "Further numbers", further(runs, names)),
        (
            "runs",
            "Each run",
            [each(run, name, i) for i, (run, name) in enumerate(zip(runs, names, strict=True), 1)],
        ),
    )
    parts = [part for part in parts if part[2]]
    header = tag(
        "header",
        tag("p", "Comparison", class_="over"),
        tag("h1", title),
        [tag("p", question, class_="question") for question in questions[:3]],
        tag(
            "nav",
            tag("ul", [tag("li", tag("a", t, href=f"#{id}")) for id, t, _ in parts]),
            aria_label="Sections",
        ),
    )
    whole = [
        tag("section", tag("h2", t, id=id), content, aria_labelledby=id) for id, t, content in parts
    ]
    return document(f"{title} | genjax", [header, *whole])


def _names(runs: Sequence[Facts]) -> list[str]:
    """Short names that differ: the ablation, with its experiment or digest where that is needed."""
    names = (
        [run.ablation for run in runs]
        if len({run.experiment for run in runs}) == 1
        else [r.name for r in runs]
    )
    for more in (lambda run: run.digest, lambda run: str(run.directory)):
        count = Counter(names)
        names = [
            f"{n} {more(r)}".strip() if count[n] > 1 else n
            for n, r in zip(names, runs, strict=True)
        ]
    return names


def thumbnail(run: Facts) -> Picture | None:
    """The picture that stands for a run: its samples at the end, its last grid, or the first picture that it has."""
    samples = [picture for picture in run.drawn if picture.name.startswith("samples.")]
    return next(iter([*samples, *run.grids[-1:], *run.drawn]), None)


def numbers(runs: Sequence[Facts], names: Sequence[str]) -> Html:
    """A row a run: picture, every metric that two runs share or that is in the entry "metrics", size and time."""
    values = [values_of(run.results) for run in runs]
    count = Counter(key for found in values for key in found)
    keys = [key for key in count if count[key] > 1 or key[0] == "metrics"]
    keys.sort(key=lambda key: key[0] != "metrics")
    entries = dict.fromkeys(entry for entry, _ in keys)
    keys = [key for entry in entries for key in keys if key[0] == entry]
    pictures = [thumbnail(run) for run in runs]
    facts = _facts(runs)
    groups = [(entry, [unit(name) for other, name in keys if other == entry]) for entry in entries]
    head = ["run", *["samples"] * any(pictures), *groups, *facts]
    rows: list[list[Any]] = []
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        picture = pictures[i] and image(pictures[i], run)
        cells = [
            tag("div", own(values[i][key], key[0])) if key in values[i] else "" for key in keys
        ]
        link = tag("a", name, href=f"#run{i + 1}")
        rows.append(
            [
                link,
                *[picture or ""] * any(pictures),
                *cells,
                *(column[i] for column in facts.values()),
            ]
        )
    told = [
        list(dict.fromkeys(text for run in runs for text in published(run, *key))) for key in keys
    ]
    if any(told):
        cells = [[tag("div", text) for text in texts] for texts in told]
        rows.append(["published", *[""] * any(pictures), *cells, *[""] * len(facts)])
    return table("All runs", head, rows, "all", "wide")


def _facts(runs: Sequence[Facts]) -> dict[str, list[str]]:
    """Columns that come from no measurement: {name: a text a run}, without those that no run knows."""
    columns = {
        "steps": [digits(run.last_step) if run.last_step else "" for run in runs],
        "parameters": [
            digits(run.about["parameters"]) if "parameters" in run.about else "" for run in runs
        ],
        "training [s]": [digits(run.seconds) if run.seconds else "" for run in runs],
    }
    return {name: column for name, column in columns.items() if any(column)}


def differences(runs: Sequence[Facts], names: Sequence[str]) -> Html | None:
    """A column for every field of the configs that is not the same in all runs."""
    found = list(differing([run.config for run in runs]))
    if not found:
        return tag("p", "The configs are the same.")
    rows = [[name, *(tag("code", texts[i]) for _, texts in found)] for i, name in enumerate(names)]
    return table(
        "Fields of the configs", ("run", *(tag("code", path) for path, _ in found)), rows, "fields"
    )


def overlaid(runs: Sequence[Facts], names: Sequence[str]) -> Html | None:
    """A chart for every metric that two runs have, training and held-out values apart."""
    count = Counter(name for run in runs for name in run.curves)
    shared = [name for name in count if count[name] > 1 and _moves(runs, name)]
    shared.sort(key=lambda name: (*rank(name.rpartition("/")[2]), name.startswith("train/")))
    charts = []
    for name in shared[:CHARTS]:
        split, _, metric = name.rpartition("/")
        points = [run.curves.get(name, []) for run in runs]
        curves = [Curve(names[i], points[i], i, str(i + 1)) for i in range(len(runs))]
        charts.append(chart(f"{unit(metric)}, {split}", curves))
    more = ", ".join(shared[CHARTS:])
    note = (
        tag("p", f"Not drawn, but in metrics.jsonl of several runs: {more}.", class_="note")
        if more
        else None
    )
    return join([tag("div", charts, class_="charts"), note]) if any(charts) else None


def _moves(runs: Sequence[Facts], name: str) -> bool:
    return len({value for run in runs for _, value in finite(run.curves.get(name, []))}) > 1


def further(runs: Sequence[Facts], names: Sequence[str]) -> list[Html]:
    """The nested numbers that two runs share, an entry a table and a run a column."""
    values = [nested_of(run.results) for run in runs]
    count = Counter(key for found in values for key in found)
    shared = [key for key in count if count[key] > 1]
    tables = []
    for i, entry in enumerate(dict.fromkeys(key[0] for key in shared), 1):
        keys = [key for key in shared if key[0] == entry]
        rows = [
            [f"{k[1]}: {unit(k[2])}", *(digits(v[k]) if k in v else "" for v in values)]
            for k in keys
        ]
        whole = table(entry, ("name", *names), rows, f"further{i}")
        tables.append(tag("details", tag("summary", f"{entry}: {len(rows)} numbers"), whole))
    return tables


def each(run: Facts, name: str, i: int) -> Html:
    """The report of one run, folded."""
    parts = [html for _, _, html in sections(run, 4, f"run{i}-")]
    return tag("details", tag("summary", tag("h3", name)), tiles(run), *parts, id=f"run{i}")
