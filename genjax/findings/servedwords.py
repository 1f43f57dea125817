"""Whom tools serve worse, for who reads no tables: sentences, figures with intervals, and then the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genjax.audit.alarms import exact
from genjax.audit.disparities import Rate
from genjax.findings.tabled import Row, wide
from genjax.metrics.intervals import Interval
from genjax.pictures.bars import bars

if TYPE_CHECKING:
    from genjax.findings.served import Tool

INTRODUCTION = (
    "How to read this: our own tools were shown real pictures of people whom they had never seen, one of each. A "
    "detector that flags a real picture calls a true thing a fake. Behind each share stands, in brackets, the range in "
    "which the truth lies in 19 of 20 such tests. A group is told to be served worse only where that is more than "
    "chance brings, with all groups and all tools of this page counted together. Where nothing is told a difference "
    "may still be there, too small for so few people to show."
)
ROOM = 1.15  # of the highest interval that a figure is high
Found = Sequence[tuple["Tool", list[Rate]]]


def percent(share: Interval) -> str:
    """A share as people say it, to a tenth: 4.1 % [3.0, 5.4]."""
    middle, low, high = 100 * np.array(share)
    return f"{middle:.1f} % [{low:.1f}, {high:.1f}]"


def sentences(found: Found, notes: Sequence[str]) -> list[str]:
    """All that is said, in order."""
    lines = [INTRODUCTION, verdict(found)]
    for tool, rates in found:
        lines.append(tool_in_words(tool))
        lines += rates_in_words(tool, rates)
    # last what nothing is said of
    lines += [f"{note}." for note in notes]
    return lines


def verdict(found: Found) -> str:
    """Who is served worse, by which tools."""
    by: dict[str, list[str]] = {}
    # a group at a time, as its members would ask
    for tool, rates in found:
        for rate in rates:
            if tool.worse(rate):
                by.setdefault(rate.name, []).append(called(tool))
    if not by:
        return "Of no group can it be told that a tool serves it worse than everybody else."
    parts = [f"{name} (by {'; '.join(tools)})" for name, tools in by.items()]
    return f"Served worse than everybody else: {', '.join(parts)}."


def called(tool: Tool) -> str:
    """A tool by its name, and by what it is set to."""
    if tool.rate is None:
        return tool.name
    return f"{tool.name} at {100 * tool.rate:g} %"


def tool_in_words(tool: Tool) -> str:
    """How well a tool does with everybody."""
    n = len(tool.outcome.hits)
    own = percent(everybody(tool))
    if tool.rate is None or tool.caught is None:
        return f"The {tool.name} is right about {own} of {n} people."
    line = (
        f"{tool.name}, set to flag {100 * tool.rate:g} % of real pictures, flags {own} of those of {n} people, and "
        f"{percent(tool.caught)} of generated ones."
    )
    # who flags at random is fair
    if tool.caught.low <= everybody(tool).high:
        line += " It hardly tells generated pictures: little follows from whom it flags."
    return line


def rates_in_words(tool: Tool, rates: Sequence[Rate]) -> list[str]:
    """Groups that are served otherwise than everybody else."""
    # as English has it
    verb, of = "flags real pictures of", "of"
    if tool.rate is None:
        verb, of = "is right about", "about"
    lines = []
    for rate in rates:
        # p is adjusted: of a hundred groups none is told by chance
        if not rate.differs:
            continue
        how = "more" if rate.share.value > rate.others else "less"
        lines.append(
            f"{called(tool)} {verb} {rate.name} {how} often than {of} everybody else: {percent(rate.share)}, "
            f"against {100 * rate.others:.1f} %."
        )
    if not lines:
        lines.append(f"{called(tool)}: of no group can it be told that it is served otherwise.")
    return lines


def everybody(tool: Tool) -> Interval:
    """How often the outcome comes among all people."""
    hits = tool.outcome.hits
    return exact(int(hits.sum()), len(hits))


def by_count(found: Found) -> dict[str, list[tuple[Tool, list[Rate]]]]:
    """{what is counted: the tools of which it is}."""
    sorted_out: dict[str, list[tuple[Tool, list[Rate]]]] = {}
    for tool, rates in found:
        sorted_out.setdefault(tool.counts, []).append((tool, rates))
    return sorted_out


def figures(found: Found) -> dict[str, np.ndarray]:
    """{name: bars with intervals of each group of one category}, uint8 [H, W, 3]."""
    made = {}
    for title, own in by_count(found).items():
        series: dict[str, list[Interval]] = {}
        names: list[str] = []
        for tool, rates in own:
            # several categories at once are too many for a figure
            single = [rate for rate in rates if "=" in rate.name]
            series[tool.name] = [rate.share for rate in single]
            names = [rate.name.replace("=", "\n") for rate in single]
        highest = max(share.high for shares in series.values() for share in shares)
        marks: Mapping[str, list[float]] = {}
        # of all people together, drawn across each group
        promised = own[0][0].rate
        if promised is not None:
            marks = {"promised": [promised] * len(names)}
        top = min(1.0, ROOM * highest)
        # as files are called
        file = title.lower().replace(" %", "").replace(" ", "-")
        made[file] = bars(series, names, title.lower(), marks, top)
    return made


def tables(found: Found, how: str) -> dict[str, dict[str, Row]]:
    """{title: rows} of everything, a tool a row."""
    made: dict[str, dict[str, Row]] = {}
    about = f"in brackets 95 %; * = unlike everybody else, p by {how}"
    for title, own in by_count(found).items():
        single: dict[str, Row] = {}
        several: dict[str, Row] = {}
        for tool, rates in own:
            first = {"everybody": wide(everybody(tool))}
            if tool.caught is not None:
                first["generated"] = wide(tool.caught)
            single[tool.name] = first | row([rate for rate in rates if "=" in rate.name])
            several[tool.name] = row([rate for rate in rates if "=" not in rate.name])
        made[f"{title} by group, {about}"] = single
        if any(several.values()):
            made[f"{title} by several categories at once, {about}"] = several
    return made


def row(rates: Sequence[Rate]) -> dict[str, str]:
    """Shares as cells, marked where they differ from everybody else's."""
    return {rate.name: wide(rate.share) + (" *" if rate.differs else "") for rate in rates}
