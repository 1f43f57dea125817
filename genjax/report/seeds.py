"""The section "Over seeds" of a comparison: mean and sample deviation of numbers and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genjax.report.facts import Facts, number
from genjax.report.groups import (
    Alike,
    Group,
    Mean,
    alike,
    curve_of,
    few_fields,
    keys_of,
    left_out,
    mean_of,
    means,
    means_of,
    names_of,
)
from genjax.report.markup import Html, join, table, tag
from genjax.report.page import CHARTS
from genjax.report.results import counted, grouped, nested_of
from genjax.report.svg import chart, finite
from genjax.report.text import unit

NOTE = (
    "Runs that differ in their seed alone: mean ± sample deviation (n - 1), drawn as bars or as a band. A number that "
    "fewer of them have comes with its own n."
)


def over_seeds(groups: Sequence[Group], shared: Sequence[str]) -> Html | None:
    """A row for every group, a mean for every number, and the mean curves; None where no two runs differ so.

    shared: the curves that several runs have, in the order of their charts.
    """
    if all(len(group.runs) == 1 for group in groups):
        return None
    # a group keeps its number and its colour in all charts
    names = names_of(groups)
    charts = [_chart(groups, names, curve) for curve in shared[:CHARTS]]
    # within a group: other groups may have gone on for longer
    same = [alike(group.runs) for group in groups]
    pairs = [(run, same[i]) for i, group in enumerate(groups) for run in group.runs]
    missing = left_out(pairs)
    parts = [
        tag("p", NOTE, class_="note"),
        tag("p", missing, class_="note") if missing else None,
        _table(groups, names, same),
        tag("div", charts, class_="charts") if any(charts) else None,
        _further(groups, names, same),
    ]
    return join(parts)


def _table(groups: Sequence[Group], names: Sequence[str], same: Sequence[Alike]) -> Html:
    """A row a group: the fields that tell it from others, the number of its runs, the mean of every number."""
    fields = few_fields([group.config for group in groups])
    keys = keys_of(groups)
    # what makes the groups different stands between their names and their numbers
    paths = [tag("code", path) for path, _ in fields]
    head = ["runs", *paths, "n", *grouped(keys)]
    rows = []
    for i, group in enumerate(groups):
        n = len(group.runs)
        found = means_of(group, same[i])
        settings = [tag("code", texts[i]) for _, texts in fields]
        numbers = [_text(found, key, n, same[i]) for key in keys]
        rows.append([names[i], *settings, str(n), *numbers])
    return table("Over seeds", head, rows, "over-seeds", "wide")


def _text(found: Mapping[Any, Mean], key: Any, runs: int, same: Alike) -> str:
    """A mean in a table, "" where there is none; with its n where that is not the number of runs.

    And with how it was measured, where its runs' configs say otherwise.
    """
    if key not in found:
        return ""
    entry = key[0]
    mean = found[key]
    text = str(mean) if mean.n == runs else f"{mean}, n {mean.n}"
    settings = same.settings.get(entry)
    return f"{text}, measured with {settings}" if settings else text


def _further(
    groups: Sequence[Group], names: Sequence[str], same: Sequence[Alike]
) -> Html | None:
    """The nested numbers that several runs share, a group a column; folded, as they may be hundreds."""
    of_groups = []
    for i, group in enumerate(groups):
        of_groups.append([_nested(run, same[i]) for run in group.runs])
    found = [means(of_runs) for of_runs in of_groups]
    # over runs, not groups: one group of several seeds has means too
    count = counted(numbers for of_runs in of_groups for numbers in of_runs)
    rows = []
    for key, runs in count.items():
        if runs < 2:  # a number of one run has no mean
            continue
        entry, row, name = key
        texts = []
        for i, group in enumerate(groups):
            texts.append(_text(found[i], key, len(group.runs), same[i]))
        rows.append([f"{entry}, {row}: {unit(name)}", *texts])
    if not rows:
        return None
    head = ["name", *names]
    whole = table("Further numbers over seeds", head, rows, "further-seeds")
    summary = tag("summary", f"Further numbers over seeds: {len(rows)}")
    return tag("details", summary, whole)


def _nested(run: Facts, same: Alike) -> dict[tuple[str, str, str], float]:
    """A run's numbers that lie one level deeper, of entries that were measured as most."""
    found = {}
    for key, value in nested_of(run.results).items():
        its = number(value)
        entry, _, _ = key
        if its is not None and same.measured(run, entry):
            found[key] = its
    return found


def _chart(groups: Sequence[Group], names: Sequence[str], curve: str) -> Html | None:
    """The mean of a curve over the seeds of every group."""
    curves = []
    for slot, group in enumerate(groups):
        mark = str(slot + 1)  # short: it must fit beside the end of the curve
        course = _course(group, curve)
        curves.append(curve_of(names[slot], course, slot, mark))
    split, _, metric = curve.rpartition("/")
    return chart(f"{unit(metric)}, {split}, mean over seeds", curves)


def _course(group: Group, curve: str) -> dict[float, Mean]:
    """{step: mean} of a curve, at the steps where all runs of the group that have it are finite."""
    # a run that was killed may lack what another has measured
    having = [run.curves[curve] for run in group.runs if curve in run.curves]
    at: dict[float, list[float]] = {}
    for points in having:
        for step, value in finite(points):
            at.setdefault(step, []).append(value)
    found = {}
    for step, values in at.items():
        # a mean of fewer runs would jump where one of them ends
        if len(values) == len(having):
            found[step] = mean_of(values)
    return found
