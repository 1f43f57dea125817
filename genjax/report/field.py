"""The section "Over <field>" of a comparison: every number against the field of which the runs have most values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from genjax.report.groups import (
    Alike,
    Fields,
    Group,
    Mean,
    alike,
    curve_of,
    few_fields,
    keys_of,
    left_out,
    means_of,
    told,
)
from genjax.report.markup import Html, join, tag
from genjax.report.page import CHARTS
from genjax.report.results import Column
from genjax.report.svg import chart
from genjax.report.text import unit

FEWEST = 3  # values of a field that are worth a chart


class Across(NamedTuple):
    """A field that numbers are drawn over: its value in each group."""

    path: str
    places: list[float]


def over_field(groups: Sequence[Group]) -> tuple[str, Html | None]:
    """(path of the field, a chart for every number that changes); ("", None) where no field has values enough."""
    fields = few_fields([group.config for group in groups])
    across = _across(fields)
    if across is None:
        return "", None
    lines = _lines(fields, across)
    # one chart is of all groups
    runs = [run for group in groups for run in group.runs]
    same = alike(runs)
    found = [means_of(group, same) for group in groups]
    # what is the same everywhere, as a number of examples, needs no chart
    changing = [key for key in keys_of(groups) if _changes(found, key)]
    charts = [_chart(across, lines, found, key, same) for key in changing[:CHARTS]]
    if not any(charts):
        return across.path, None
    missing = left_out((run, same) for run in runs)
    note = tag("p", missing, class_="note") if missing else None
    return across.path, join([note, tag("div", charts, class_="charts")])


def _across(fields: Fields) -> Across | None:
    """The field of numbers that has most of them."""
    numeric = []
    for path, texts in fields:
        places = _numbers(texts)
        if len(set(places)) >= FEWEST:
            numeric.append(Across(path, places))
    return max(numeric, key=lambda field: len(set(field.places)), default=None)


def _numbers(texts: Iterable[str]) -> list[float]:
    """The texts as numbers, none where one of them is not a finite number."""
    # by their texts: config.json has no types, and None and True are no numbers
    try:
        found = [float(text) for text in texts]
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []


def _lines(fields: Fields, across: Across) -> dict[str, list[int]]:
    """{label: numbers of its groups}: a line for each combination of the other fields' values."""
    # as many pairs as values: the other field is a function of this one
    steps = len(set(across.places))
    others = []
    for path, texts in fields:
        pairs = set(zip(across.places, texts, strict=True))
        # what changes together with the field tells no line from another
        if path != across.path and len(pairs) > steps:
            others.append((path, texts))
    lines: dict[str, list[int]] = {}
    for i in range(len(across.places)):
        label = told(others, i) or "all runs"
        lines.setdefault(label, []).append(i)
    return lines


def _changes(found: Sequence[Mapping[Column, Mean]], key: Column) -> bool:
    """Whether groups have different means of a number."""
    values = {means[key].mean for means in found if key in means}
    return len(values) > 1


def _chart(
    across: Across,
    lines: Mapping[str, Sequence[int]],
    found: Sequence[Mapping[Column, Mean]],
    key: Column,
    same: Alike,
) -> Html | None:
    """One number over the field."""
    curves = []
    for slot, (label, groups) in enumerate(lines.items()):
        # a single line needs no legend
        mark = str(slot + 1) if len(lines) > 1 else ""
        course = {across.places[i]: found[i][key] for i in groups if key in found[i]}
        curves.append(curve_of(label, course, slot, mark))
    entry, name = key
    settings = same.settings.get(entry)
    how = f", measured with {settings}" if settings else ""
    return chart(f"{unit(name)}, {entry}{how}", curves, across.path)
