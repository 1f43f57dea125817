"""What an audit found, for who reads no tables: sentences with numbers and intervals, a figure, and then the tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from genjax.audit.association import conditional
from genjax.audit.confusion import LEVEL, Estimate, interval
from genjax.findings.tabled import Row, cell, wide
from genjax.metrics.intervals import Interval
from genjax.pictures.bars import bars

if TYPE_CHECKING:
    from genjax.findings.auditing import Audit, Found
    from genjax.findings.judging import Judges

INTRODUCTION = (
    "How to read this: behind each share stands, in brackets, the range in which the truth lies in 19 of 20 such "
    "audits. Groups are told by a program that looks at the pictures and is sometimes wrong; how often was counted "
    "on real pictures and is allowed for in shares and ties, not in how well a group is drawn or read back. A "
    "difference is told only where it is larger than chance brings, with all differences of its kind that were looked "
    "for in a sampler counted together."
)
READABLE = 0.8  # of the reader's accuracy on real pictures: below it samples hardly show what they are asked for


def percent(value: Interval) -> str:
    """A share as people say it: 81 % [78, 84]."""
    middle, low, high = 100 * np.array(value)
    return f"{middle:.0f} % [{low:.0f}, {high:.0f}]"


def points(value: Interval) -> str:
    """A difference of shares in points: 4.0 points [1.2, 6.8]."""
    middle, low, high = 100 * np.array(value)
    return f"{middle:.1f} points [{low:.1f}, {high:.1f}]"


def order(audit: Audit, judges: Judges) -> list[int]:
    """The values of what is asked for by the stated scale, largest first."""
    # without a scale they stay as they come
    count = len(judges.values[audit.about])
    places = audit.scale or range(count, 0, -1)
    falling = -np.asarray(places)
    ranked = np.argsort(falling, kind="stable")
    return ranked.tolist()


def within(table: Estimate) -> Estimate:
    """Shares of a category within each value that is asked for."""
    value = conditional(table.value)
    draws = conditional(table.draws)
    return Estimate(value, draws, table.n)


def one(shares: Estimate, k: int, g: int) -> Interval:
    """The share of value g among what was asked for as k."""
    value = shares.value[k, g]
    draws = shares.draws[:, k, g]
    return interval(value, draws)


def sentences(audit: Audit, judges: Judges, found: Mapping[str, Found]) -> list[str]:
    """All that is said, in order."""
    # first what holds of all of them
    lines = [INTRODUCTION, reader_in_words(judges)]
    if audit.scale:
        values = judges.values[audit.about]
        ranked = ", ".join(values[k] for k in order(audit, judges))
        lines.append(
            f"Values of {audit.about} stand in this order, by the stated scale: {ranked}."
        )
    for title, own in found.items():
        lines.append(f"{title}: {own.n} pictures were looked at.")
        lines += shown_in_words(audit, judges, title, own)
        lines += represented_in_words(title, own)
        for group in audit.of:
            if group in own.doubts:
                continue
            lines += dependence_in_words(audit, judges, title, own, group)
        lines += quality_in_words(title, own)
        lines += cost_in_words(judges, title, own)
        # last what nothing is said of
        lines += [f"{note}." for note in own.notes]
    return lines


def reader_in_words(judges: Judges) -> str:
    """How good the reader is."""
    parts = []
    for group, errors in judges.errors.items():
        parts.append(f"{group} in {100 * errors.accuracy:.0f} %")
    return f"On real pictures of people it had never seen the reader is right on {', '.join(parts)}."


def shown_in_words(audit: Audit, judges: Judges, title: str, own: Found) -> list[str]:
    """A warning where pictures hardly show what was asked for."""
    right = judges.errors[audit.about].accuracy
    if own.back is None or own.back.high > READABLE * right:
        return []
    return [
        f"{title}: take with care what follows, for the {audit.about} that was asked for is read in only "
        f"{percent(own.back)} of its pictures, of real ones in {100 * right:.0f} %."
    ]


def represented_in_words(title: str, own: Found) -> list[str]:
    """Groups that are shown more or less often than they ought to be."""
    lines = []
    told = [each for each in own.shares if each.name.partition("=")[0] not in own.doubts]
    # a cell is of all categories
    if not own.doubts:
        told += own.cells
    for each in told:
        # p is adjusted: of a hundred groups none is told by chance
        if not each.differs:
            continue
        how = "more" if each.share.value > each.reference else "less"
        lines.append(
            f"{title} shows {each.name} {how} often than expected: {percent(each.share)} of its pictures, not "
            f"{100 * each.reference:.0f} %."
        )
    if told and not lines:
        lines.append(
            f"{title}: of no group can it be told that it is shown more or less than expected."
        )
    return lines


def dependence_in_words(
    audit: Audit, judges: Judges, title: str, own: Found, group: str
) -> list[str]:
    """How what is asked for goes with a category: the shares at both ends of the scale, and what is amplified."""
    table = own.tables[group]
    shares = within(table)
    values = judges.values[audit.about]
    ranked = order(audit, judges)
    said = judges.values[group][0]  # one value is enough for a sentence
    data = conditional(audit.data_table(table, group, judges))
    lines = []
    tie = own.ties[group]
    if tie["p, as read"] >= 0.05 and tie["V of the data"] < 0.05:
        return [f"{title}: no tie of {audit.about} and {group} can be told."]
    # both ends of the scale
    for k in (ranked[0], ranked[-1]):
        share = one(shares, k, 0)
        lines.append(
            f"{title}, asked for {values[k]}: {said} in {percent(share)} of the pictures; in the data it is "
            f"{100 * data[k, 0]:.0f} %."
        )
    more = tie["directional"]
    changed = "neither more nor less than the data, as far as can be told"
    # p of all categories together, so that an interval without 0 may not be enough
    if tie["p of directional"] < 0.05:
        changed = "more than the data do" if more.value > 0 else "less than the data do"
    lines.append(
        f"{title} ties {audit.about} to {group} {changed}: what goes together in the data does so by {points(more)} "
        "more (below 0: less), with each group taken as often as the samples show it; "
        f"strength V {tie['V'].value:.2f} [{tie['V'].low:.2f}, {tie['V'].high:.2f}], in the data "
        f"{tie['V of the data']:.2f} (0 = no tie, 1 = one tells the other)."
    )
    return lines


def quality_in_words(title: str, own: Found) -> list[str]:
    """Of each category the groups that are drawn best and worst, where their intervals, widened, are apart."""
    lines = []
    for name, numbers in own.quality.items():
        # one category at a time: a sex is no rival of an age
        split = by_category(numbers)
        pairs = sum(math.comb(len(groups), 2) for groups in split.values())
        for category, groups in split.items():
            ranked = sorted(groups, key=lambda group: groups[group].value)
            low, high = ranked[0], ranked[-1]
            below, above = widened(groups[low], pairs), widened(groups[high], pairs)
            # intervals that do not meet: stricter than a test of the difference
            if below.high < above.low:
                lines.append(
                    f"{title}: by {name} groups are not served alike, {low} has {wide(groups[low])} and {high} "
                    f"{wide(groups[high])}, of {category} as read: the reader's errors are not taken out of these."
                )
    return lines


def by_category(numbers: Mapping[str, Interval]) -> dict[str, dict[str, Interval]]:
    """{category: {"category=value": number}}."""
    found: dict[str, dict[str, Interval]] = {}
    for group, number in numbers.items():
        category = group.partition("=")[0]
        found.setdefault(category, {})[group] = number
    return found


def widened(value: Interval, pairs: int) -> Interval:
    """An interval of 95 % as one of 1 - .05 / pairs (Bonferroni), its ends as far out as a normal's would be."""
    normal = NormalDist()
    level = 1.0 - LEVEL
    usual = normal.inv_cdf(1.0 - level / 2.0)
    strict = normal.inv_cdf(1.0 - level / (2.0 * max(pairs, 1)))
    factor = strict / usual
    low = value.value - factor * (value.value - value.low)
    high = value.value + factor * (value.high - value.value)
    return Interval(value.value, low, high)


def cost_in_words(judges: Judges, title: str, own: Found) -> list[str]:
    """How far all pictures are from the data, and from data in which no category goes with another."""
    told = [f"{wide(value)} from {name}" for name, value in own.cost.items()]
    if not told:
        return []
    away = " and ".join(told)
    return [f"{title}: its pictures lie {away} ({judges.distance}, 0 = not told apart)."]


def figure(audit: Audit, judges: Judges, found: Mapping[str, Found]) -> np.ndarray:
    """Bars with intervals: the share of the first value of the first category, for each value that is asked for."""
    group = audit.of[0]
    values = judges.values[audit.about]
    ranked = order(audit, judges)
    series = {}
    data: Any = None  # the same for all samplers
    for title, own in found.items():
        shares = within(own.tables[group])
        series[title] = [one(shares, k, 0) for k in ranked]
        data = conditional(audit.data_table(own.tables[group], group, judges))
    marks = {"training data": [data[k, 0] for k in ranked]}
    up = f"share of {judges.values[group][0]}"
    return bars(series, [values[k] for k in ranked], up, marks)


def tables(
    audit: Audit, judges: Judges, found: Mapping[str, Found]
) -> dict[str, dict[str, Row]]:
    """{title: rows} of everything, a sampler a row."""
    how = audit.compare.name
    made: dict[str, dict[str, Row]] = {}
    head = f"Shares of all pictures, in brackets 95 %; * = unlike the reference, p by {how}"
    made[head] = {title: shares_row(own.shares) for title, own in found.items()}
    first = next(iter(found.values()))
    # the same for all that were asked alike
    reference = {each.name: cell(each.reference) for each in first.shares}
    made[head]["reference"] = reference
    for group in audit.of:
        made[f"{audit.about} and {group}, p by {how}"] = {
            title: tie_row(own.ties[group]) for title, own in found.items()
        }
        made[f"Shares of {group} by {audit.about}"] = {
            f"{title}: {value}": row
            for title, own in found.items()
            for value, row in by_row(audit, judges, own, group).items()
        }
    # of one category the cells are its groups
    if len(audit.of) > 1:
        made[f"{' x '.join(audit.of)}, * = unlike the data"] = {
            title: shares_row(own.cells) for title, own in found.items()
        }
    for name in (judges.distance, "read back"):
        made[f"{name} by group"] = {
            title: {group: wide(value) for group, value in own.quality.get(name, {}).items()}
            for title, own in found.items()
        }
    made["How often the reader itself is right on real pictures, by group"] = dict(
        judges.served
    )
    made[f"{judges.distance} from all pictures"] = {
        title: {name: wide(value) for name, value in own.cost.items()}
        for title, own in found.items()
    }
    return made


def shares_row(shares: Any) -> Row:
    """Shares as cells, marked where they differ from the reference."""
    return {each.name: wide(each.share) + (" *" if each.differs else "") for each in shares}


def tie_row(tie: Mapping[str, Any]) -> Row:
    """What is said of a dependence as cells."""
    row = {}
    for name, value in tie.items():
        row[name] = cell(value) if isinstance(value, float) else wide(value)
    return row


def by_row(audit: Audit, judges: Judges, own: Found, group: str) -> dict[str, Row]:
    """Shares of a category for each value that is asked for, in order of the scale."""
    shares = within(own.tables[group])
    rows = {}
    for k in order(audit, judges):
        row = {}
        for g, value in enumerate(judges.values[group]):
            row[value] = wide(one(shares, k, g))
        rows[judges.values[audit.about][k]] = row
    return rows
