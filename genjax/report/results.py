"""The numbers of results.json as tables: with intervals, beside those of real data and published ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from genjax.report.facts import Facts, number
from genjax.report.markup import Html, table, tag
from genjax.report.text import digits, measured, unit


def results(facts: Facts, prefix: str) -> Html | None:
    """Every entry of results.json, published numbers beside their own; entries of the same names share a table."""
    entries = {
        name: entry if isinstance(entry, dict) else {name: entry}
        for name, entry in facts.results.items()
    }
    told = [p["entry"] for p in facts.published()]
    names = sorted(
        dict.fromkeys([*filter(entries.get, entries), *told]), key=lambda name: name != "metrics"
    )
    parts, count = [], itertools.count(1)
    for group in _groups(names, entries, facts):
        if len(group) > 1:
            parts.append(_together(group, entries, f"{prefix}results{next(count)}"))
        else:
            parts += _entry(
                group[0], entries.get(group[0], {}), facts, f"{prefix}results{next(count)}"
            )
    return tag("div", parts, class_="tables") if parts else None


def own(value: Any, entry: str) -> str:
    """The text of one number of results.json; those of the entry "metrics" come with their interval."""
    return measured(value) if entry == "metrics" and isinstance(value, dict) else digits(value)


def published(facts: Facts, entry: str, name: str) -> list[str]:
    """The published numbers for one of results.json, each with its source."""
    found = [p for p in facts.published() if (p["entry"], p["name"]) == (entry, name)]
    return [
        f"{digits(p.get('value'))} ({p['source']})" if p.get("source") else digits(p.get("value"))
        for p in found
    ]


def _nested(entry: str, value: Any) -> bool:
    return isinstance(value, dict) and number(value) is None and entry != "metrics"


def _groups(names: list[str], entries: dict[str, dict], facts: Facts) -> list[list[str]]:
    """The entries that share a table: the same plain names, and no published numbers."""
    alone = {"metrics", *(p["entry"] for p in facts.published())}
    groups: dict[Any, list[str]] = {}
    for name in names:
        entry = entries.get(name, {})
        single = name in alone or any(_nested(name, value) for value in entry.values())
        groups.setdefault(name if single else tuple(sorted(entry)), []).append(name)
    return list(groups.values())


def _together(group: list[str], entries: dict[str, dict], id: str) -> Html:
    inner = list(entries[group[0]])
    if len(group) >= len(inner):
        rows = [[name, *(digits(entries[name][key]) for key in inner)] for name in group]
        return table("Measured after training", ("entry", *map(unit, inner)), rows, id)
    rows = [[unit(key), *(digits(entries[name][key]) for name in group)] for key in inner]
    return table("Measured after training", ("name", *group), rows, id)


def _entry(name: str, entry: dict[str, Any], facts: Facts, id: str) -> Iterator[Html]:
    """The tables of one entry: its numbers beside those of real data (x_real) and published ones, then nested ones."""
    plain = {key: value for key, value in entry.items() if not _nested(name, value)}
    for p in facts.published():
        if p["entry"] == name:
            plain.setdefault(p["name"], None)
    real = {key: plain.pop(f"{key}_real") for key in list(plain) if f"{key}_real" in plain}
    beside = {key: published(facts, name, key) for key in plain}
    head = ["name", "this run", *["real data"] * bool(real), *["published"] * any(beside.values())]
    rows = []
    for key, value in plain.items():
        row = [
            unit(key),
            own(value, name),
            *[digits(real[key]) if key in real else ""] * bool(real),
        ]
        rows.append([*row, *[[tag("div", text) for text in beside[key]]] * any(beside.values())])
    if rows:
        yield table(name, head, rows, id, "metrics" if name == "metrics" else "")
    inner = {key: value for key, value in entry.items() if _nested(name, value)}
    columns = list(dict.fromkeys(column for value in inner.values() for column in value))
    if inner:
        rows = [
            [key, *(digits(value[c]) if c in value else "" for c in columns)]
            for key, value in inner.items()
        ]
        whole = table(f"{name}: each", ("entry", *map(unit, columns)), rows, f"{id}-each")
        yield (
            whole
            if len(rows) <= 12
            else tag("details", tag("summary", f"{name}: {len(rows)} rows"), whole)
        )


def values_of(results: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """{(entry, name): value} of the numbers that a comparison can put in one column."""
    found = {}
    for entry, values in results.items():
        for name, value in (values if isinstance(values, dict) else {entry: values}).items():
            if not _nested(entry, value):
                found[entry, name] = value
    return found


def nested_of(results: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    """{(entry, row, name): value} of the numbers that lie one level deeper."""
    entries = {entry: values for entry, values in results.items() if isinstance(values, dict)}
    return {
        (entry, row, str(name)): value
        for entry, values in entries.items()
        for row, inner in values.items()
        if _nested(entry, inner)
        for name, value in inner.items()
    }
