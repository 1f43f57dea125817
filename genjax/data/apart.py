"""Whether splits are apart: no scene, person, object or place that has examples on both sides.

Pictures cut from one photograph, or drawn of one person, are not independent. Where such are in training and in test,
the test measures memory. A set whose examples come in groups has the group's number as a field, and this looks at it.
"""

from __future__ import annotations

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
