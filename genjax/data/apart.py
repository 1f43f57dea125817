"""Splits that are apart: no scene, person, object or place has examples on both sides.

Pictures cut from one photograph, or drawn of one person, are not independent. Where such are in training and in test,
the test measures memory. A set whose examples come in groups is split by whole groups (`grouped`, `parted`), has the
group's number as a field, and `apart` looks at what came of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from genjax.data.batches import Arrays, domains
from genjax.data.source import Source
from genjax.errors import UserError

_TOLD = 3  # groups that a message tells


def apart(source: Source, field: str, none: int | None = None) -> None:
    """Raises UserError, in one line, where a group of `field` is in more than one split; arguments as of `shared`."""
    found = shared(source, field, none)
    if not found:
        return
    kind = source.fields[field]
    told = []
    for group, splits in list(found.items())[:_TOLD]:
        names = getattr(kind, "names", ())
        name = names[group] if names else group
        told.append(f"{name} in {' and '.join(splits)}")
    raise UserError(
        f"{source.name}: {len(found)} groups of {field} are in several splits, for instance {', '.join(told)}: split "
        "the set by whole groups."
    )


def shared(source: Source, field: str, none: int | None = None) -> dict[int, list[str]]:
    """{group: the splits that have it} of every group that more than one split has, in ascending order.

    field: a Category [N], or Tokens [N, T] of several groups in an example; none: the number that stands for no group.
    Of unpaired data a group is the same one in all domains. UserError where the set has no such field.
    """
    if field not in source.fields:
        raise UserError(
            f"{source.name} has no field {field!r}: it has {', '.join(source.fields)}."
        )
    where: dict[int, list[str]] = {}
    for split, arrays in source.splits().items():
        for group in _groups(arrays, field):
            where.setdefault(group, []).append(split)
    where.pop(none, None)
    return {group: splits for group, splits in sorted(where.items()) if len(splits) > 1}


def _groups(arrays: Arrays, field: str) -> list[Any]:
    """The groups of a split, each once."""
    if not arrays:  # a set need not have every split
        return []
    parts = [arrays[name] for name in domains(arrays)] or [arrays]
    # [:] reads the column of a streamed set
    columns = [np.ravel(part[field][:]) for part in parts]
    return np.unique(np.concatenate(columns)).tolist()


def grouped(keys: Mapping[str, Iterable[Hashable]]) -> dict[str, str]:
    """{name: its group}, the group called by its first name: names that share a key are in one, and whoever shares with
    those."""
    group = {name: name for name in keys}
    first: dict[Hashable, str] = {}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for name in sorted(keys):
        for key in keys[name]:
            ends = root(first.setdefault(key, name)), root(name)
            # the later of two joins the earlier
            group[max(ends)] = min(ends)
    return {name: root(name) for name in keys}


def parted(
    kinds: Mapping[str, str], groups: Mapping[str, str], valid: float, test: float
) -> dict[str, str]:
    """{name: "train", "valid" or "test"} by whole groups, with these shares of the groups of every kind.

    kinds: {name: kind}; a group is of the kind of its first name. A hash of the groups' names draws: the same on every
    machine. Every split has a group of each kind, but for kinds of fewer than three groups, which train.
    """
    members: dict[str, set[str]] = {}
    for name in sorted(kinds):
        group = groups[name]
        members.setdefault(kinds[group], set()).add(group)
    of_group = {}
    for found in members.values():
        drawn = sorted(found, key=_draw)
        n = len(drawn)
        few = n < 3
        tested = 0 if few else max(1, round(test * n))
        held = 0 if few else max(1, round(valid * n))
        for i, group in enumerate(drawn):
            of_group[group] = _side(i, tested, held)
    return {name: of_group[groups[name]] for name in kinds}


def _side(place: int, tested: int, held: int) -> str:
    if place < tested:
        return "test"
    return "valid" if place < tested + held else "train"


def _draw(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
