"""Whom does a tool serve otherwise? How often an outcome comes in each group, beside everybody who is not in it.

The outcome is a false alarm, say, or a right answer. Equal rates of false alarms are one half of equalised odds (Hardt
et al. 2016, arXiv:1610.02413), and of two categories at once, for a tool may be fair to women and to the old and not
to old women (Buolamwini & Gebru 2018, Gender Shades). Of h outcomes among n members, and k among m others, exact for
whatever numbers:

    interval    Clopper & Pearson's of h / n
    p           Fisher's: were both rates one, h of the h + k had a hypergeometric law; the sum of all of its
                probabilities that are no larger than that of h

Trials are independent: one picture of each person.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from genjax.audit.alarms import exact
from genjax.audit.comparisons import Comparisons, Holm
from genjax.audit.shares import enough
from genjax.metrics.intervals import Interval

ROUNDING = 1e-7  # relative, by which probabilities that are equal may come out apart
LEVEL = 0.05


class Groups(NamedTuple):
    """Who is in which group."""

    members: dict[str, np.ndarray]  # {"sex=woman": bool [N]}
    notes: tuple[str, ...] = ()  # lines on groups that are too small


class Rate(NamedTuple):
    """How often an outcome comes in a group."""

    name: str
    share: Interval
    others: float  # how often it comes among everybody else
    p: float  # of both being one rate, adjusted for all that are compared together
    n: int  # members

    @property
    def differs(self) -> bool:
        """Whether it is told as another rate than the others'."""
        return self.p < LEVEL


class Outcome(NamedTuple):
    """What comes of each of N people, and in which groups they are."""

    hits: np.ndarray  # bool [N]
    groups: Groups


def fisher(hits: int, n: int, others: int, m: int) -> float:
    """The p of `hits` among n members and `others` among m others being one rate: the formula above."""
    from scipy.stats import hypergeom

    total = hits + others
    # what h can be with these margins
    least = max(0, total - m)
    most = min(total, n)
    law = hypergeom.pmf(np.arange(least, most + 1), n + m, total, n)
    own = law[hits - least]
    # two-sided, by probability
    as_far = law <= own * (1.0 + ROUNDING)
    return min(1.0, float(law[as_far].sum()))


def grouped(
    true: Mapping[str, np.ndarray],
    values: Mapping[str, Sequence[str]],
    of: Sequence[str],
    crossed: Sequence[str],
    least: int,
) -> Groups:
    """The groups of each category in `of`, and of all in `crossed` at once, that have `least` members or more.

    true: the number of each person's value, int [N], by category. A group of everybody has no others and is none.
    UserError where no group is large enough.
    """
    single = {}
    for category in of:
        for t, value in enumerate(values[category]):
            single[f"{category}={value}"] = true[category] == t
    found = _kept("groups", single, least)
    # of one category the cells are its groups
    if len(crossed) < 2:
        return found
    cells = {}
    sizes = [range(len(values[category])) for category in crossed]
    for cell in itertools.product(*sizes):
        within = zip(crossed, cell, strict=True)
        names = [values[category][t] for category, t in zip(crossed, cell, strict=True)]
        every = [true[category] == t for category, t in within]
        cells[", ".join(names)] = np.all(every, 0)
    more = _kept("groups of several categories at once", cells, least)
    return Groups({**found.members, **more.members}, found.notes + more.notes)


def _kept(what: str, groups: Mapping[str, np.ndarray], least: int) -> Groups:
    """Those with members enough, and what is said of the others."""
    names = list(groups)
    counts = np.array([member.sum() for member in groups.values()])
    kept = enough(what, counts, names, least)
    members = {}
    for t in kept.rows:
        own = groups[names[t]]
        # of everybody there are no others
        if not own.all():
            members[names[t]] = own
    return Groups(members, (kept.told,) if kept.told else ())


def disparities(
    outcomes: Mapping[str, Outcome], compare: Comparisons = Holm()
) -> dict[str, list[Rate]]:
    """The rates of every outcome by group; p of all groups of all outcomes are adjusted together."""
    p = []
    for outcome in outcomes.values():
        for member in outcome.groups.members.values():
            p.append(fisher(*_counts(outcome.hits, member)))
    adjusted = iter(compare(np.array(p)).tolist())
    found = {}
    for title, outcome in outcomes.items():
        rows = []
        for name, member in outcome.groups.members.items():
            hits, n, others, m = _counts(outcome.hits, member)
            rows.append(Rate(name, exact(hits, n), others / m, next(adjusted), n))
        found[title] = rows
    return found


def _counts(hits: np.ndarray, member: np.ndarray) -> tuple[int, int, int, int]:
    """(hits among members, members, hits among others, others)."""
    n = int(member.sum())
    within = int(hits[member].sum())
    outside = int(hits[~member].sum())
    return within, n, outside, len(hits) - n
