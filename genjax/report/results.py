"""The numbers of results.json as tables: with intervals, beside those of real data and published ones."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from genjax.report.facts import Facts, number
from genjax.report.markup import Html, table, tag
from genjax.report.text import digits, measured, unit

FOLDED = 12  # rows beyond which a table of nested numbers is folded
Column = tuple[str, str]  # entry, name
WHOLE = "Measured after training"  # the caption of entries that share a table


def results(facts: Facts, prefix: str) -> Html | None:
    """Every entry of results.json, published numbers beside their own; entries of the same names share a table."""
    # {entry: {name: value or nested}}
    entries = _entries(facts.results)
    names = _names(entries, facts)
    count = itertools.count(1)  # ids must differ within a page
    parts = []
    for group in _groups(names, entries, facts):
        id = f"{prefix}results{next(count)}"
        if len(group) > 1:
            parts.append(_together(group, entries, facts, id))
            continue
        (name,) = group  # published alone: nothing of it in results.json
        # up to two tables: plain numbers, then nested ones
        parts += _entry(name, entries.get(name, {}), facts, id)
    if not parts:
        return None
    return tag("div", parts, class_="tables")


def _entries(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """results.json with every entry a dict: a number by itself becomes {its name: the number}."""
    entries = {}
    for name, entry in results.items():
        if not isinstance(entry, dict):
            entry = {name: entry}
        entries[name] = entry
    return entries


def _names(entries: dict[str, dict], facts: Facts) -> list[str]:
    """The entries that have something to show, measured or published, "metrics" first."""
    filled = [name for name, entry in entries.items() if entry]
    told = _published_entries(facts)
    names = dict.fromkeys([*filled, *told])  # each once, in this order
    # a stable sort: the others keep their order
    return sorted(names, key=lambda name: name != "metrics")


def _published_entries(facts: Facts) -> list[str]:
    return [p["entry"] for p in facts.published()]


def own(value: Any, entry: str) -> str:
    """The text of one number of results.json; those of the entry "metrics" come with their interval."""
    if entry == "metrics" and isinstance(value, dict):
        return measured(value)  # with its 95 % interval
    return digits(value)


def published(facts: Facts, entry: str, name: str) -> list[str]:
    """The published numbers for one of results.json, each with its source."""
    texts = []  # several, where several sources have the number
    for p in facts.published():
        its_own = p["entry"] == entry and p["name"] == name
        if not its_own:
            continue
        text = digits(p.get("value"))
        source = p.get("source")
        if source:
            text = f"{text} ({source})"
        texts.append(text)
    return texts


def _nested(entry: str, value: Any) -> bool:
    """Whether a value holds numbers of its own; a metric does too, but those are its interval."""
    if entry == "metrics" or not isinstance(value, dict):
        return False
    return number(value) is None  # {"__float__": "inf"} is one number


def _groups(names: list[str], entries: dict[str, dict], facts: Facts) -> list[list[str]]:
    """The entries that share a table: the same plain names, and no published numbers."""
    # "metrics" has intervals and a published number its source: no room beside others
    alone = {"metrics", *_published_entries(facts)}
    groups: dict[Any, list[str]] = {}
    for name in names:
        entry = entries.get(name, {})
        nested = any(_nested(name, value) for value in entry.values())
        # a name of its own is a str and the names of an entry are a tuple, so no two groups are mixed up
        key: Any = (*sorted(entry), facts.settings(name))
        if name in alone or nested:
            key = name
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def with_settings(title: str, entry: str, facts: Facts) -> str:
    """A title that says how an entry was measured, where its run's config says otherwise."""
    settings = facts.settings(entry)
    return f"{title}, measured with {settings}" if settings else title


def _together(group: list[str], entries: dict[str, dict], facts: Facts, id: str) -> Html:
    """One table of entries with the same names, the longer side downwards: a page is narrow."""
    first = entries[group[0]]
    inner = list(first)  # the names of all: that is what makes them a group
    units = [unit(key) for key in inner]
    title = with_settings(WHOLE, group[0], facts)  # they share their settings too
    rows = []
    if len(group) >= len(inner):
        for name in group:
            entry = entries[name]
            texts = [digits(entry[key]) for key in inner]
            rows.append([name, *texts])
        head = ("entry", *units)
        return table(title, head, rows, id)
    for key, named in zip(inner, units, strict=True):
        texts = [digits(entries[name][key]) for name in group]
        rows.append([named, *texts])
    head = ("name", *group)
    return table(title, head, rows, id)


def _entry(name: str, entry: dict[str, Any], facts: Facts, id: str) -> Iterator[Html]:
    """The tables of one entry: its numbers beside those of real data (x_real) and published ones, then nested ones."""
    plain = {}
    inner = {}
    for key, value in entry.items():
        if _nested(name, value):
            inner[key] = value
        else:
            plain[key] = value
    for p in facts.published():
        if p["entry"] == name:
            plain.setdefault(p["name"], None)  # published, but not measured here
    if plain:
        yield _plain(name, plain, facts, id)
    if inner:
        yield _inner(with_settings(name, name, facts), inner, id)


def _plain(name: str, plain: dict[str, Any], facts: Facts, id: str) -> Html:
    """A number a row: this run's, real data's and the published ones, without columns that would be empty."""
    real = _taken(plain)  # beside this run's numbers, not below them
    beside = {key: published(facts, name, key) for key in plain}
    any_published = any(beside.values())  # else a column of blanks
    head = ["name", "this run"]
    if real:
        head.append("real data")
    if any_published:
        head.append("published")
    rows = []
    for key, value in plain.items():
        row: list[Any] = [unit(key), own(value, name)]
        if real:
            its = digits(real[key]) if key in real else ""
            row.append(its)
        if any_published:
            lines = [tag("div", text) for text in beside[key]]  # one below the other
            row.append(lines)
        rows.append(row)
    class_ = "metrics" if name == "metrics" else ""
    return table(with_settings(name, name, facts), head, rows, id, class_)


def _taken(plain: dict[str, Any]) -> dict[str, Any]:
    """Takes the numbers of real data out of `plain`: {x: the value of x_real}."""
    real = {}
    for key in list(plain):  # a list: the dict shrinks meanwhile
        its = f"{key}_real"
        if its in plain:
            real[key] = plain.pop(its)
    return real


def _inner(name: str, inner: dict[str, dict], id: str) -> Html:
    """The nested numbers of one entry, a row each; many rows are folded."""
    # rows may have different numbers: every one that any row has is a column
    columns: dict[str, None] = {}  # a dict keeps the order in which they come
    for value in inner.values():
        columns |= dict.fromkeys(value)
    rows = []
    for key, value in inner.items():
        texts = _texts(value, columns)
        rows.append([key, *texts])
    head = ("entry", *map(unit, columns))
    whole = table(f"{name}: each", head, rows, f"{id}-each")
    # a long table would push what follows off the screen
    if len(rows) <= FOLDED:
        return whole
    summary = tag("summary", f"{name}: {len(rows)} rows")
    return tag("details", summary, whole)


def _texts(value: dict[str, Any], columns: Iterable[str]) -> list[str]:
    """The numbers of one row, "" where it has none."""
    texts = []
    for column in columns:
        text = digits(value[column]) if column in value else ""
        texts.append(text)
    return texts


def values_of(results: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """{(entry, name): value} of the numbers that a comparison can put in one column."""
    found = {}
    for entry, values in _entries(results).items():
        for name, value in values.items():
            nested = _nested(entry, value)  # `nested_of` has those
            if not nested:
                found[entry, name] = value
    return found


def nested_of(results: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    """{(entry, row, name): value} of the numbers that lie one level deeper."""
    found = {}
    for entry, values in _entries(results).items():
        for row, inner in values.items():
            if not _nested(entry, inner):
                continue
            for name, value in inner.items():
                key = (entry, row, str(name))
                found[key] = value
    return found


def columns(values: Sequence[dict[Column, Any]]) -> list[Column]:
    """The (entry, name) that get a column, those of an entry side by side and "metrics" first."""
    measured = []
    # by entry: a later run may bring another name of an earlier one
    others: dict[str, list[Column]] = {}
    for key, count in counted(values).items():
        entry, _ = key
        # a number of one run alone compares nothing, but metrics are what was asked for
        if entry == "metrics":
            measured.append(key)
        elif count > 1:
            others.setdefault(entry, []).append(key)
    shared = itertools.chain.from_iterable(others.values())
    return [*measured, *shared]


def grouped(keys: Sequence[Column]) -> list[tuple[str, list[str]]]:
    """The columns' names under those of their entries, as `table` takes them."""
    groups: dict[str, list[str]] = {}  # a dict keeps the order of the keys
    for entry, name in keys:
        group = groups.setdefault(entry, [])
        group.append(unit(name))
    return list(groups.items())


def counted(of_runs: Iterable[Iterable[Hashable]]) -> Counter:
    """How many runs have each of the keys, in the order of their first."""
    count: Counter = Counter()
    for found in of_runs:
        count.update(list(found))  # its keys: of a dict `update` would add the values
    return count
