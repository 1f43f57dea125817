"""The report of one run: what was asked, what was run, what came out; and the frame that every page stands in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genjax.report.facts import Facts, Picture, number
from genjax.report.markup import Html, join, table, tag, terms
from genjax.report.results import results, with_settings
from genjax.report.style import CSS
from genjax.report.svg import MOST, Curve, chart, finite
from genjax.report.text import digits, duration, fields, unit

CHARTS = 12  # of one page; the rest is named
# more would push the curves off the first screens
GRIDS = 6  # sample grids spread over training, besides the last
NONE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the page may load nothing and run nothing


def document(title: str, body: Sequence[Any]) -> str:
    """A whole page that needs no other file."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # results may quote a stranger's data set: nothing in them can run
        tag("meta", http_equiv="Content-Security-Policy", content=NONE),
        tag("title", title),
        # trusted text: everything else is escaped by `tag`
        tag("style", Html(CSS)),
    )
    note = f"Written by genjax.report. Of a curve with more than {MOST} points, the first, the last and the least and "
    note += f"greatest value of {MOST // 2 - 1} equal stretches are drawn."
    footer = tag("footer", tag("p", note))
    page = tag("body", tag("main", *body), footer)
    whole = tag("html", head, page, lang="en")
    return f"<!doctype html>\n{whole}\n"


def single(facts: Facts) -> str:
    """The page of one run."""
    # h1 is the page's title, so sections begin at h2
    parts = sections(facts, 2, "")
    links = []
    contents = []
    for id, name, html in parts:
        link = tag("a", name, href=f"#{id}")
        links.append(tag("li", link))
        contents.append(html)
    question = None
    if "question" in facts.about:
        question = tag("p", facts.about["question"], class_="question")
    header = tag(
        "header",
        tag("p", "Experiment", class_="over"),
        tag("h1", f"{facts.experiment}: {facts.ablation}"),
        question,
        tiles(facts),
        tag("nav", tag("ul", links), aria_label="Sections"),
    )
    return document(f"{facts.name} | genjax", [header, *contents])


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
        if not content:
            continue
        id = f"{prefix}{name}"
        # in a comparison many sections of one name would crowd a reader's list of landmarks
        label = None if prefix else id  # one landmark of a name in a page
        heading = tag(f"h{level}", title, id=id)
        section = tag("section", heading, content, aria_labelledby=label)
        parts.append((id, title, section))
    return parts


def tiles(facts: Facts) -> Html:
    """The numbers that are asked for first."""
    about = facts.about
    parameters = digits(about["parameters"]) if "parameters" in about else None
    pairs = (  # None: not known, and left out
        ("Steps trained", _steps(facts)),
        ("Parameters", parameters),
        ("Training time", duration(facts.seconds) if facts.seconds else None),
        ("Peak memory", _memory(facts)),
        ("Seed", facts.seed),
    )
    return terms(pairs, "tiles")


def _steps(facts: Facts) -> str | None:
    """The steps trained, of those asked for where the run has not done them all; None without any record."""
    if not facts.curves and not facts.speed:
        return None
    done = facts.last_step  # by the last line that was written
    asked = facts.config.get("steps")
    if isinstance(asked, int) and done < asked:
        return f"{digits(done)} of {digits(asked)}"
    return digits(done)


def _memory(facts: Facts) -> str | None:
    """The largest memory of the process, where it was recorded."""
    # the system's count of the process, the device's is not in it
    memory = facts.about.get("memory_mib")
    if memory is None:
        return None
    return f"{memory:,.0f} MiB"


def setup(facts: Facts, prefix: str) -> Html:
    """The command, the difference from BASE, the software and the machine."""
    about = facts.about
    command = None  # of a run from a notebook
    if "command" in about:
        command = tag("pre", tag("code", about["command"]))
    # as pip names them: enough to install the same again
    versions = about.get("versions", {})
    packages = [f"{name} {version}" for name, version in versions.items()]
    digest = tag("code", facts.digest) if facts.digest else None
    home = facts.directory.resolve()
    unknown = _unknown(about)
    pairs = (
        ("Data", about.get("data")),
        ("Started from", about.get("start")),
        ("Hardware", about.get("hardware")),
        ("Versions", ", ".join(packages) or None),
        ("Config digest", digest),
        ("Directory", tag("code", home.name)),
        ("Not recorded", ", ".join(unknown) or None),
    )
    return join([command, _differs(about, prefix), terms(pairs, "terms")])


def _differs(about: dict[str, Any], prefix: str) -> Html | None:
    """The fields that are not BASE's, a row each; None where that was not recorded."""
    if "differences" not in about:
        return None
    # known and empty is not the same as unknown
    if not about["differences"]:
        return tag("p", "This is BASE: no field differs.")
    rows = []
    for path, pair in about["differences"].items():
        values = [tag("code", value) for value in pair]
        rows.append([tag("code", path), *values])
    head = ("field", "BASE", "this run")
    return table("Difference from BASE", head, rows, f"{prefix}differs")


def _unknown(about: dict[str, Any]) -> list[str]:
    """What would be needed to run this again, and was not recorded."""
    names = {
        "command": "command",
        "differences": "difference from BASE",
        "versions": "versions",
        "hardware": "hardware",
    }
    return [words for name, words in names.items() if name not in about]


def image(picture: Picture, facts: Facts) -> Html:
    """A picture in the page itself; small ones keep their pixels, and tiny ones are enlarged."""
    what = _name(picture)
    if picture.step is not None:
        # alt text: the file's name says little to who does not see the picture
        what = f"samples after {picture.step} steps"
    width, height = picture.size or (None, None)  # not known of JPEG
    small = None  # photographs keep their smooth scaling
    if width:
        small = "small" if width <= 300 else None
        zoom = max(1, -(-128 // width))  # -(-a // b) rounds up: at least 128 pixels wide
        width *= zoom
        height = height * zoom or None
    return tag(
        "img",
        src=picture.uri,
        alt=f"{what} of {facts.name}",
        width=width or None,
        height=height or None,
        class_=small,
        decoding="async",
    )


def _name(picture: Picture) -> str:
    """The name of a picture's file in words."""
    return Path(picture.name).stem.replace("-", " ").replace("_", " ")


def over_time(facts: Facts) -> Html | None:
    """Sample grids: at most six spread over training, and the last."""
    grids = facts.grids
    if len(grids) > GRIDS + 1:
        last = len(grids) - 1
        spread = []
        for i in range(GRIDS + 1):  # 0 and the last among them
            place = round(i * last / GRIDS)
            spread.append(grids[place])
        grids = spread
    figures = []
    for picture in grids:
        also = f" (also {', '.join(picture.same)})" if picture.same else ""
        caption = tag("figcaption", f"Samples after {digits(picture.step)} steps{also}")
        figures.append(tag("figure", image(picture, facts), caption))
    if not figures:
        return None
    note = None
    rest = len(facts.grids) - len(grids)
    if rest:
        note = tag("p", f"{rest} more grids are in samples/.", class_="note")
    return join([tag("div", figures, class_="over-time"), note])


def drawn(facts: Facts) -> Html | None:
    """The pictures made at the end, and the names of files that are none."""
    pictures = None
    if facts.drawn:
        figures = [_figure(picture, facts) for picture in facts.drawn]
        pictures = tag("div", figures, class_="pictures")
    note = None
    if facts.broken:
        text = f"Not readable as pictures: {', '.join(facts.broken)}."
        note = tag("p", text, class_="note")
    return join([pictures, note]) or None


def _figure(picture: Picture, facts: Facts) -> Html:
    """A picture with its name and the names of its files."""
    name = _name(picture)
    title = name[:1].upper() + name[1:]  # `capitalize` would make the rest small
    # the settings that it was drawn with, where they are not the run's own
    title = with_settings(title, f"samples/{Path(picture.name).stem}", facts)
    files = ", ".join([picture.name, *picture.same])
    caption = tag("figcaption", title, " (", tag("code", files), ")")
    shown = image(picture, facts)
    if picture.name.lower().endswith(".gif"):  # a reader must be able to stop what moves
        # folding it up is the one way to stop a GIF without a script
        summary = tag("summary", "Moving picture")
        shown = tag("details", summary, shown, open=True, class_="moving")
    return tag("figure", shown, caption)


def curves(facts: Facts) -> Html | None:
    """A chart for every metric that changes: training and held-out values of one name together."""
    groups = _groups(facts)
    if not groups:
        return None
    still = []  # texts of those with one value
    moving = []
    for name, group in groups.items():
        values = _values(group)
        if len(values) == 1:
            (value,) = values
            still.append(f"{name} {digits(value)}")
        else:
            moving.append(name)

    # the loss first; of the others those with held-out values beside training's first
    def place(name: str) -> tuple[bool, ...]:
        alone = len(groups[name]) < 2
        return (*rank(name), alone)

    moving.sort(key=place)
    charts = {name: _chart(name, groups[name]) for name in moving[:CHARTS]}
    never = [name for name, drawing in charts.items() if drawing is None]
    # a metric that is not drawn is at least named, with the reason
    note = _told(
        (
            ("Never changed", still),
            ("Never finite", never),
            ("Not drawn, but in metrics.jsonl", moving[CHARTS:]),
        )
    )
    drawings = tag("div", list(charts.values()), class_="charts")
    return join([drawings, note])


def _groups(facts: Facts) -> dict[str, dict[str, list]]:
    """{metric: {split: points}} of train/loss, test/loss and the like."""
    groups: dict[str, dict[str, list]] = {}
    for name, points in facts.curves.items():
        split, _, metric = name.rpartition("/")
        group = groups.setdefault(metric, {})
        group[split or "value"] = points  # no split: a name without "/"
    return groups


def _chart(name: str, group: dict[str, list]) -> Html | None:
    """The splits of one metric in one chart, training's first."""
    kinds = sorted(group, key=lambda kind: kind != "train")
    first = 0 if "train" in group else 1  # held-out values keep their colour
    curves = []
    for slot, kind in enumerate(kinds, first):
        mark = kind[:8]  # it must fit beside the end of the curve
        curves.append(Curve(kind, group[kind], slot, mark))
    return chart(unit(name), curves)


def _told(lists: Sequence[tuple[str, list[str]]]) -> Html | None:
    """A note of the metrics that have no chart, each with the reason."""
    told = []
    for what, which in lists:
        if which:
            told.append(f"{what}: {', '.join(which)}.")
    if not told:
        return None
    return tag("p", " ".join(told), class_="note")


def _values(group: dict[str, list]) -> set[float]:
    """The finite values of all splits."""
    found = set()
    for points in group.values():
        found |= {value for _, value in finite(points)}
    return found


def rank(metric: str) -> tuple[bool, bool]:
    """The order of charts: the loss first, gradient norms last."""
    health = "grad_norm" in metric or metric == "skipped"  # looked at when something is wrong
    return metric != "loss", health


def speed(facts: Facts) -> Html | None:
    """Rates, times and memory, with the course of the rate."""
    points = _numbers(facts, "steps/s")
    memory = _memory(facts)
    if not points and memory is None:
        return None
    steps = None
    examples = None
    if points:
        middle = _middle(points)
        steps = f"{digits(middle)} a second (median)"
        batch = number(facts.config.get("batch"))
        if batch:
            examples = f"{digits(middle * batch)} a second"
    shares = _numbers(facts, "mfu")
    # only where the peak of the machine is known
    share = f"{100 * _middle(shares):.3g} % (median)" if shares else None
    training = None
    if facts.seconds:
        training = f"{duration(facts.seconds)}, with its evaluations"
    pairs = (
        ("Steps", steps),
        ("Examples", examples),
        ("Share of peak", share),
        ("Training", training),
        ("Peak memory", memory),
    )
    return join([terms(pairs, "terms"), _course(points)])


def _numbers(facts: Facts, name: str) -> list[tuple[int, float]]:
    """(step, number) of the lines of speed.jsonl that have it."""
    points = []
    for line in facts.speed:
        found = number(line.get(name))
        if found is not None:
            points.append((line["step"], found))
    return points


def _middle(points: list[tuple[int, float]]) -> float:
    """The median, which a pause of the machine does not move."""
    numbers = sorted(found for _, found in points)
    # `statistics.median` would average two speeds that never were
    return numbers[len(numbers) // 2]


def _course(points: list[tuple[int, float]]) -> Html | None:
    """The rate over training; one point is no course."""
    if len(points) < 2:
        return None
    curve = Curve("this run", points, 0, "")
    course = chart("steps a second", [curve])
    if not course:
        return None
    return tag("div", course, class_="charts")


def _within(path: str, other: str) -> bool:
    """Whether a dotted path is `other` or lies below it."""
    return path == other or path.startswith(f"{other}.")


def config(facts: Facts, prefix: str) -> Html:
    """The whole config, a field a row."""
    changed = facts.about.get("differences", {})
    rows = []
    for path, text in fields(facts.config):
        # a field within a config that was changed as a whole has changed as well
        differs = any(_within(path, other) for other in changed)
        mark = " (not BASE's)" if differs else None
        rows.append([tag("code", path), [tag("code", text), mark]])
    title = f"All {len(rows)} fields, as in config.json"
    whole = table("Config", ("field", "value"), rows, f"{prefix}fields")
    return tag("details", tag("summary", title), whole)
