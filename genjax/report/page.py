"""The report of one run: what was asked, what was run, what came out; and the frame that every page stands in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genjax.report.facts import Facts, Picture, number
from genjax.report.markup import Html, join, table, tag, terms
from genjax.report.results import results
from genjax.report.style import CSS
from genjax.report.svg import MOST, Curve, chart, finite
from genjax.report.text import digits, duration, fields, unit

CHARTS = 12
GRIDS = 6  # sample grids spread over training, besides the last
NONE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the page may load nothing and run nothing


def document(title: str, body: Sequence[Any]) -> str:
    """A whole page that needs no other file."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=NONE),
        tag("title", title),
        tag("style", Html(CSS)),
    )
    note = f"Written by genjax.report. Of a curve with more than {MOST} points, the first, the last and the least and "
    note += f"greatest value of {MOST // 2 - 1} equal stretches are drawn."
    page = tag("body", tag("main", *body), tag("footer", tag("p", note)))
    return f"<!doctype html>\n{tag('html', head, page, lang='en')}\n"


def single(facts: Facts) -> str:
    """The page of one run."""
    parts = sections(facts, 2, "")
    links = [tag("li", tag("a", name, href=f"#{id}")) for id, name, _ in parts]
    header = tag(
        "header",
        tag("p", "Experiment", class_="over"),
        tag("h1", f"{facts.experiment}: {facts.ablation}"),
        tag("p", facts.about["question"], class_="question") if "question" in facts.about else None,
        tiles(facts),
        tag("nav", tag("ul", links), aria_label="Sections"),
    )
    return document(f"{facts.name} | genjax", [header, *(html for _, _, html in parts)])


def sections(facts: Facts, level: int, prefix: str) -> list[tuple[str, str, Html]]:
    """(id, name, markup) of every section that a run has something for, under headings of `level`."""
    made = (
        ("setup", "Setup", setup(facts, prefix)),
        ("results", "Results", results(facts, prefix)),
        ("samples", "Samples over training", over_time(facts)),
        ("pictures", "Pictures", drawn(facts)),
        ("curves", "Curves", curves(facts)),
        ("speed", "Speed", speed(facts)),
        ("config", "Config", config(facts, prefix)),
    )
    parts = []
    for name, title, content in made:
        if content:
            id = f"{prefix}{name}"
            label = None if prefix else id  # one landmark of a name in a page
            heading = tag(f"h{level}", title, id=id)
            parts.append((id, title, tag("section", heading, content, aria_labelledby=label)))
    return parts


def tiles(facts: Facts) -> Html:
    """The numbers that are asked for first."""
    done, asked, about = facts.last_step, facts.config.get("steps"), facts.about
    steps = (
        digits(done)
        if not isinstance(asked, int) or done >= asked
        else f"{digits(done)} of {digits(asked)}"
    )
    memory = about.get("memory_mib")
    pairs = (
        ("Steps trained", steps if facts.curves or facts.speed else None),
        ("Parameters", digits(about["parameters"]) if "parameters" in about else None),
        ("Training time", duration(facts.seconds) if facts.seconds else None),
        ("Peak memory", f"{memory:,.0f} MiB" if memory is not None else None),
        ("Seed", facts.seed if facts.seed is not None else None),
    )
    return terms(pairs, "tiles")


def setup(facts: Facts, prefix: str) -> Html:
    """The command, the difference from BASE, the software and the machine."""
    about = facts.about
    command = tag("pre", tag("code", about["command"])) if "command" in about else None
    if "differences" not in about:
        differs = None
    elif about["differences"]:
        rows = [
            [tag("code", path), *(tag("code", v) for v in pair)]
            for path, pair in about["differences"].items()
        ]
        differs = table(
            "Difference from BASE", ("field", "BASE", "this run"), rows, f"{prefix}differs"
        )
    else:
        differs = tag("p", "This is BASE: no field differs.")
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    unknown = [
        name for name in ("command", "differences", "versions", "hardware") if name not in about
    ]
    listed = terms(
        (
            ("Hardware", about.get("hardware")),
            ("Versions", versions or None),
            ("Config digest", tag("code", facts.digest) if facts.digest else None),
            ("Directory", tag("code", facts.directory.resolve().name)),
            (
                "Not recorded",
                ", ".join(unknown).replace("differences", "difference from BASE") or None,
            ),
        ),
        "terms",
    )
    return join([command, differs, listed])


def image(picture: Picture, facts: Facts) -> Html:
    """A picture in the page itself; small ones keep their pixels, and tiny ones are enlarged."""
    size = picture.size or (None, None)
    zoom = max(1, -(-128 // size[0])) if size[0] else 1
    width, height = (side * zoom if side else None for side in size)
    what = f"samples after {picture.step} steps" if picture.step is not None else _name(picture)
    alt, small = f"{what} of {facts.name}", "small" if size[0] and size[0] <= 300 else None
    return tag(
        "img", src=picture.uri, alt=alt, width=width, height=height, class_=small, decoding="async"
    )


def _name(picture: Picture) -> str:
    return Path(picture.name).stem.replace("-", " ").replace("_", " ")


def over_time(facts: Facts) -> Html | None:
    """Sample grids: at most six spread over training, and the last."""
    grids = facts.grids
    if len(grids) > GRIDS + 1:
        grids = [grids[round(i * (len(grids) - 1) / GRIDS)] for i in range(GRIDS + 1)]
    figures = []
    for picture in grids:
        also = f" (also {', '.join(picture.same)})" if picture.same else ""
        caption = tag("figcaption", f"Samples after {digits(picture.step)} steps{also}")
        figures.append(tag("figure", image(picture, facts), caption))
    rest = len(facts.grids) - len(grids)
    note = tag("p", f"{rest} more grids are in samples/.", class_="note") if rest else None
    return join([tag("div", figures, class_="over-time"), note]) if figures else None


def drawn(facts: Facts) -> Html | None:
    """The pictures made at the end, and the names of files that are none."""
    figures = []
    for picture in facts.drawn:
        name, files = _name(picture), ", ".join([picture.name, *picture.same])
        caption = tag("figcaption", name[:1].upper() + name[1:], " (", tag("code", files), ")")
        shown = image(picture, facts)
        if picture.name.lower().endswith(".gif"):  # a reader must be able to stop what moves
            shown = tag(
                "details", tag("summary", "Moving picture"), shown, open=True, class_="moving"
            )
        figures.append(tag("figure", shown, caption))
    pictures = tag("div", figures, class_="pictures") if figures else None
    note = (
        tag("p", f"Not readable as pictures: {', '.join(facts.broken)}.", class_="note")
        if facts.broken
        else None
    )
    return join([pictures, note]) or None


def curves(facts: Facts) -> Html | None:
    """A chart for every metric that changes: training and held-out values of one name together."""
    groups: dict[str, dict[str, list]] = {}
    for name, points in facts.curves.items():
        split, _, metric = name.rpartition("/")
        groups.setdefault(metric, {})[split or "value"] = points
    still = {name: values for name, group in groups.items() if len(values := _values(group)) == 1}
    names = [name for name in groups if name not in still]
    names.sort(key=lambda name: (*rank(name), len(groups[name]) < 2))
    charts = []
    for name in names[:CHARTS]:
        kinds = sorted(groups[name].items(), key=lambda pair: pair[0] != "train")
        slots = itertools.count(
            0 if "train" in groups[name] else 1
        )  # held-out values keep their colour
        charts.append(
            chart(
                unit(name), [Curve(kind, points, next(slots), kind[:8]) for kind, points in kinds]
            )
        )
    never = [name for name, drawing in zip(names, charts, strict=False) if drawing is None]
    lists = (
        (
            "Never changed",
            [f"{name} {digits(next(iter(values)))}" for name, values in still.items()],
        ),
        ("Never finite", never),
        ("Not drawn, but in metrics.jsonl", names[CHARTS:]),
    )
    told = [f"{what}: {', '.join(which)}." for what, which in lists if which]
    note = tag("p", " ".join(told), class_="note") if told else None
    return join([tag("div", charts, class_="charts"), note]) if groups else None


def _values(group: dict[str, list]) -> set[float]:
    return {value for points in group.values() for _, value in finite(points)}


def rank(metric: str) -> tuple[bool, bool]:
    """The order of charts: the loss first, gradient norms last."""
    return metric != "loss", "grad_norm" in metric or metric == "skipped"


def speed(facts: Facts) -> Html | None:
    """Rates, times and memory, with the course of the rate."""
    lines = [line for line in facts.speed if number(line.get("steps/s")) is not None]
    memory = facts.about.get("memory_mib")
    if not lines and memory is None:
        return None
    rates = sorted(number(line["steps/s"]) for line in lines)
    middle = rates[len(rates) // 2] if rates else None
    batch = number(facts.config.get("batch"))
    listed = terms(
        (
            ("Steps", f"{digits(middle)} a second (median)" if rates else None),
            ("Examples", f"{digits(middle * batch)} a second" if rates and batch else None),
            (
                "Training",
                f"{duration(facts.seconds)}, with its evaluations" if facts.seconds else None,
            ),
            ("Peak memory", f"{memory:,.0f} MiB" if memory is not None else None),
        ),
        "terms",
    )
    points = [(line["step"], number(line["steps/s"])) for line in lines]
    course = (
        chart("steps a second", [Curve("this run", points, 0, "")]) if len(points) > 1 else None
    )
    return join([listed, tag("div", course, class_="charts") if course else None])


def config(facts: Facts, prefix: str) -> Html:
    """The whole config, a field a row."""
    changed = facts.about.get("differences", {})
    rows = []
    for path, text in fields(facts.config):
        differs = any(path == other or path.startswith(f"{other}.") for other in changed)
        rows.append([tag("code", path), [tag("code", text), " (not BASE's)" if differs else None]])
    title = f"All {len(rows)} fields, as in config.json"
    whole = table("Config", ("field", "value"), rows, f"{prefix}fields")
    return tag("details", tag("summary", title), whole)
