"""What a run keeps of its data, so that it can be opened where the data are not: data.json and given.npz.

data.json says what the data are: their name, fields and types. given.npz holds what samples are asked for, labels say,
of held-out examples, so that those of an opened run are as frequent as in the data. No other example is kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax import fields
from genjax.core import size
from genjax.data.batches import chosen, domains
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.machine.files import whole
from genjax.metrics.features import save_arrays

ABOUT = "data.json"
GIVEN = "given.npz"
MOST = 2**24  # bytes of given.npz: labels of millions, pictures of hundreds
FEWEST = 64  # examples that are kept whatever their size
STREAMED = 1024  # examples that are kept of a set that is read from files one by one


def keep(directory: Path, source: Source, held: Mapping[str, Any], asks: Sequence[str]) -> None:
    """Writes both files of a run directory, unless they are there; samples take the fields `asks` from `held`."""
    about = directory / ABOUT
    if about.exists():
        return
    kinds = source.fields.values()
    if not all(isinstance(kind, fields.Field) for kind in kinds):
        return  # a kind of the user's own is not read back: the run is opened with its data
    streamed = source.records is not None
    given: dict[str, Any] = {}
    beside = {name: held[name] for name in asks if not isinstance(held[name], Mapping)}
    given |= _rows(beside, size(held), streamed)
    for name in asks:
        if isinstance(held[name], Mapping):  # a domain, which has rows of its own
            given[name] = _rows(held[name], size(held[name]), streamed)
    if given:
        save_arrays(directory / GIVEN, given)
    names = domains(source.train)
    first = source.train[names[0]] if names else source.train
    stored = {
        "name": source.name,
        "fields": {name: fields.stored(kind) for name, kind in source.fields.items()},
        # of floats and bytes alike a field may be made: the net's first layer sees which
        "types": {name: str(first[name].dtype) for name in source.fields},
        "domains": names,
    }
    if source.scale is not None:
        stored["scale"] = source.scale
    # last: who finds it finds the other file too
    try:
        with whole(about) as new:
            new.write_text(json.dumps(stored, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"cannot write {about} ({error.strerror}): free space or mend its folder."
        ) from error


def _rows(arrays: Mapping[str, Any], n: int, streamed: bool) -> dict[str, np.ndarray]:
    """The examples that are kept of fields [n, ...]: the same of all, so that labels agree with their pictures."""
    each = 0  # bytes of an example
    for values in arrays.values():
        each += math.prod(values.shape[1:]) * np.dtype(values.dtype).itemsize
    most = max(MOST // max(each, 1), FEWEST)
    if streamed:
        most = min(most, STREAMED)
    rows = chosen(min(n, most), n)
    return {name: np.asarray(values[rows]) for name, values in arrays.items()}


def kept(directory: Path) -> Source | None:
    """The data set of a run as far as it was kept, None of a run that has kept nothing.

    `train` has one example of zeros, which has the right shapes, `test` what samples are asked for. UserError for files
    that are not as they were written.
    """
    path = directory / ABOUT
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text())
        kinds = {name: fields.restored(kind) for name, kind in about["fields"].items()}
        types = about["types"]
        names = about["domains"]
        name = about["name"]
        scale = about.get("scale")
        scale = None if scale is None else float(scale)
        given = _given(directory / GIVEN)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{directory}: {ABOUT} or {GIVEN} is not as it was written ({error}): put back a copy, or remove both and "
            "run the experiment's command again where its data are."
        ) from None
    zeros = {}
    for field, kind in kinds.items():
        zeros[field] = np.zeros((1, *kind.shape), types[field])
    train = dict.fromkeys(names, zeros) or zeros
    return Source(name, kinds, train, {}, given, scale=scale)


def _given(path: Path) -> dict[str, Any]:
    """The examples that were kept, {field: [N, ...]} or {domain: {field: [N, ...]}}."""
    found: dict[str, Any] = {}
    if not path.exists():  # nothing is asked for
        return found
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            domain, _, field = name.rpartition("/")
            part = found.setdefault(domain, {}) if domain else found
            part[field] = arrays[name]
    return found
