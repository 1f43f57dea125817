"""Two sets that belong together as wholes and not example by example: pictures of horses and of zebras.

A split is {domain: {field: array}}, and each domain has an order, and epochs, of its own. How well a translation
without pairs does is known where pairs are known after all: `Unpaired` trains on pairs that are taken apart, and tests
on pairs that are whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data import marked
from genjax.data.batches import Arrays, chosen, domains
from genjax.data.folder import Folder
from genjax.data.pairs import Pairs
from genjax.data.photographs import Photographs
from genjax.data.source import Digits, FashionMNIST, Source
from genjax.data.stock import Stock
from genjax.data.stream import Records, columns
from genjax.errors import UserError, nearest

NAMES = ("a", "b")


@dataclasses.dataclass(frozen=True)
class Domains:
    """Two data sets as the domains of one, with the fields that both have."""

    # Any: a data set of one's own is as good as these
    a: Folder | Stock | Digits | FashionMNIST | Photographs | Any = field(
        None, "the data of the first domain; any config with load()"
    )
    b: Folder | Stock | Digits | FashionMNIST | Photographs | Any = field(
        None, "the data of the second domain"
    )
    names: tuple[str, str] = field(NAMES, "what the domains are called")

    def resolved(self) -> Domains:
        """The same with the marks of what lies in files filled in, of both."""
        a = _resolved("a", self.a)
        b = _resolved("b", self.b)
        return dataclasses.replace(self, a=a, b=b)

    def load(self) -> Source:
        """{split: {domain: {field: [N, ...]}}}; UserError where the two do not model the same kind of thing."""
        first = _loaded("a", self.a)
        second = _loaded("b", self.b)
        fields, notes = _shared(first, second)
        _check_names(self.names, fields)
        sources = dict(zip(self.names, (first, second), strict=True))
        splits: dict[str, Arrays] = {}
        for split in first.splits():
            splits[split] = {}
            for name, source in sources.items():
                splits[split][name] = _rows(source.splits()[split], fields)
            _check_both(split, splits[split])
        records = _records(sources, fields)
        for name, source in sources.items():
            notes += [f"{name}: {note}" for note in source.notes]
        both = " and ".join(dict.fromkeys((first.name, second.name)))
        more = {"drawn": first.drawn, "records": records, "notes": tuple(notes)}
        return Source(both, fields, **splits, **more)


@dataclasses.dataclass(frozen=True)
class Unpaired:
    """Data in pairs as two domains that were never seen together, with the pairs as the truth of the test.

    In training one half of the pairs gives its inputs and the other half its targets: no pair is in both domains. Rows
    of equal number in the validation and the test split are pairs.
    """

    pairs: Pairs | Any = field(None, "the data; any config whose sets have both fields")
    of: tuple[str, str] = field(("input", "image"), "the fields that the two domains are of")
    called: str = field("image", "the name of that field in both domains")
    names: tuple[str, str] = field(NAMES, "what the domains are called")

    def resolved(self) -> Unpaired:
        """The same with the marks of what lies in files filled in."""
        return dataclasses.replace(self, pairs=_resolved("pairs", self.pairs))

    def load(self) -> Source:
        """{split: {domain: {field: [N, ...]}}}; UserError for fields that are not there, or of two kinds."""
        paired = _loaded("pairs", self.pairs)
        fields = self._fields(paired)
        _check_names(self.names, fields)
        halves = _apart(size(paired.train))
        splits: dict[str, Arrays] = {"train": {}, "valid": {}, "test": {}}
        records = {}
        for name, of, rows in zip(self.names, self.of, halves, strict=True):
            renamed = Renamed({**{to: to for to in fields}, self.called: of})
            for split, arrays in paired.splits().items():
                # a set need not have every split
                splits[split][name] = renamed(arrays) if arrays else _rows({}, fields)
            if paired.records is not None:
                records[name] = Records(Picked(paired.records, rows), renamed)
                splits["train"][name] = columns(records[name], fields)
                continue
            for to, array in splits["train"][name].items():
                # a copy: half of a memory map is no memory map, and what is beyond memory is streamed
                splits["train"][name][to] = array[rows]
        notes = (*paired.notes, "examples of equal number in valid and test are pairs")
        more = {"records": records or None, "notes": notes, "aligned": True}
        return Source(paired.name, fields, **splits, **more)

    def _fields(self, paired: Source) -> dict[str, Any]:
        """The fields of each domain: what it is of, and all that goes with both, a label say."""
        for name in self.of:
            if name not in paired.fields:
                raise UserError(
                    f"--data.of={self.of}: {paired.name} has no field {name!r}, it has {', '.join(paired.fields)}."
                    + nearest(name, paired.fields)
                )
        given, wanted = (paired.fields[name] for name in self.of)
        if given != wanted or self.of[0] == self.of[1]:
            raise UserError(
                f"--data.of={self.of}: the fields are {given} and {wanted}, and two domains are of two fields of one "
                "kind: of pictures of one size and number of channels."
            )
        beside = {name: each for name, each in paired.fields.items() if name not in self.of}
        if self.called in beside:
            raise UserError(
                f"--data.called={self.called} is another field of {paired.name}: choose a name that it has not."
            )
        return {self.called: wanted, **beside}


@dataclasses.dataclass(frozen=True, eq=False)
class Picked:
    """Some of the records, as a source of records."""

    records: Records
    rows: np.ndarray  # [n] int64

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        return self.records[self.rows[i]]


@dataclasses.dataclass(frozen=True)
class Renamed:
    """Takes some fields of an example, or of a split, under other names."""

    names: Mapping[str, str]  # {new name: old name}

    def __call__(self, example: Mapping[str, Any]) -> dict[str, Any]:
        return {new: example[old] for new, old in self.names.items()}


def _apart(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of n rows, int64, by a draw that is always the same; UserError where one would be empty."""
    if n < 2:
        raise UserError(f"{n} pairs cannot be taken apart: two domains need at least two.")
    # a draw, and not every other row: what was recorded in turn would be told apart by it
    first = chosen(n // 2, n)
    second = np.setdiff1d(np.arange(n), first)
    return first, second


def _resolved(flag: str, cfg: Any) -> Any:
    """A config with its files' marks filled in, where it has any."""
    fill: Callable[[], Any] | None = getattr(cfg, "resolved", None)
    if fill is None:
        return cfg
    with marked.flagged("", f"{flag}."):
        return fill()


def _loaded(flag: str, cfg: Any) -> Source:
    """The set of one config; UserError where it is none, or has domains of its own."""
    if not callable(getattr(cfg, "load", None)):
        raise UserError(
            f"--data.{flag} is no data set: name one, such as --data.{flag}=\"Folder('photos')\"."
        )
    with marked.flagged("", f"{flag}."):
        source = cfg.load()
    if domains(source.train):
        raise UserError(
            f"--data.{flag}: {source.name} has the domains {', '.join(domains(source.train))} already: name a set "
            "without."
        )
    return source


def _check_names(names: tuple[str, str], fields: Mapping[str, Any]) -> None:
    """Raises UserError for names that batches have for other things."""
    taken = {"index", "position", *fields}
    if names[0] == names[1] or not all(names) or taken & set(names):
        raise UserError(
            f"--data.names={names} must be two different names, and none of {', '.join(sorted(taken))}."
        )


def _shared(first: Source, second: Source) -> tuple[dict[str, Any], list[str]]:
    """(the fields that both sets have, notes on the others); UserError where they model different things."""
    main, kind = first.main, first.fields[first.main]
    other = second.fields[second.main]
    if second.main != main or other != kind:
        raise UserError(
            f"--data.a={first.name} models {main}, {kind}, and --data.b={second.name} {second.main}, {other}: bring "
            "both to one size and number of channels."
        )
    fields = {
        name: each for name, each in first.fields.items() if second.fields.get(name) == each
    }
    others = [name for name in {**first.fields, **second.fields} if name not in fields]
    notes = []
    if others:
        notes.append(f"left out {', '.join(others)}, which the two domains do not share")
    return fields, notes


def _rows(arrays: Arrays, fields: Mapping[str, Any]) -> Arrays:
    """The fields of a split; of a split that a set has not got, no rows."""
    if arrays:
        return {name: arrays[name] for name in fields}
    return {name: np.zeros((0, *kind.shape), kind.dtype) for name, kind in fields.items()}


def _check_both(split: str, parts: Arrays) -> None:
    """Raises UserError for a split that one domain has alone."""
    sizes = {name: size(arrays) for name, arrays in parts.items()}
    if 0 in sizes.values() and any(sizes.values()):
        told = ", ".join(f"{name} {n}" for name, n in sizes.items())
        raise UserError(
            f"the domains have a {split} split of {told} examples: give it to both of them, or to none."
        )


def _records(
    sources: Mapping[str, Source], fields: Mapping[str, Any]
) -> dict[str, Records] | None:
    """The training records of each domain, None of sets in memory; UserError where one alone is streamed."""
    streamed = {name: source.records for name, source in sources.items()}
    found = {name: records for name, records in streamed.items() if records is not None}
    if not found:
        return None
    if len(found) < len(streamed):
        raise UserError(
            f"of the domains {next(iter(found))} alone is streamed: set --data.a.stream and --data.b.stream alike."
        )
    only = Renamed({name: name for name in fields})
    return {name: Records(records, only) for name, records in found.items()}
