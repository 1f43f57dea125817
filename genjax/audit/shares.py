"""Who is shown how often: shares with intervals beside those that are asked for, and groups of too few to tell of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from genjax.audit.comparisons import Comparisons, Holm
from genjax.audit.confusion import Estimate, interval, tail
from genjax.errors import UserError
from genjax.metrics.intervals import Interval


class Share(NamedTuple):
    """The share of a group among n pictures, beside the one that it is held against."""

    name: str
    share: Interval
    reference: float
    p: float  # of being as the reference, adjusted for all that are compared together
    n: int

    @property
    def differs(self) -> bool:
        """Whether it is told as another share than the reference."""
        return self.p < 0.05


class Enough(NamedTuple):
    """Which groups have members enough, and a line on those that have not; "" = all have."""

    rows: np.ndarray  # numbers of groups
    told: str


def represented(
    found: Estimate,
    names: Sequence[str],
    reference: np.ndarray,
    compare: Comparisons = Holm(),
) -> list[Share]:
    """Each group's share of an estimate [T] beside the reference's [T]; all are compared together."""
    # of all groups together
    p = [tail(found.draws[:, t], reference[t]) for t in range(len(names))]
    adjusted = compare(np.array(p))
    rows = []
    for t, name in enumerate(names):
        share = interval(found.value[t], found.draws[:, t])
        rows.append(Share(name, share, float(reference[t]), float(adjusted[t]), found.n))
    return rows


def enough(what: str, counts: np.ndarray, names: Sequence[str], least: int) -> Enough:
    """Groups of at least `least` members; UserError where none has."""
    counts = np.asarray(counts)
    kept = np.flatnonzero(counts >= least)
    if not len(kept):
        raise UserError(
            f"{what}: no group has {least} members, the largest {counts.max(initial=0):.0f}: ask for more samples, or "
            "for fewer groups at once."
        )
    # named one by one, with how many there are
    few = [f"{names[t]} ({counts[t]:.0f})" for t in np.flatnonzero(counts < least)]
    if not few:
        return Enough(kept, "")
    told = f"{what}: nothing is said of {', '.join(few)}, of which there are fewer than {least}"
    return Enough(kept, told)


def asked_shares(
    given: Mapping[str, float], names: Sequence[str], data: np.ndarray, flag: str
) -> np.ndarray:
    """The reference [T]: what the user gives of names "sex=woman", the rest as in the data, scaled to a sum of 1.

    UserError for a share outside of 0 and 1, and for ones whose sum is not 1 where all are given, or above 1.
    """
    wanted = np.array([given.get(name, np.nan) for name in names])
    told = ~np.isnan(wanted)
    if not told.any():
        return data
    total = wanted[told].sum()
    # of two values one is enough
    whole = np.isclose(total, 1.0) if told.all() else total < 1.0
    if (wanted[told] < 0).any() or not whole:
        shown = {name: given[name] for name in names if name in given}
        raise UserError(
            f"--{flag}={shown}: shares are at least 0 and sum to 1 where all of {', '.join(names)} are given, else "
            "to less."
        )
    rest = np.where(told, 0.0, data)
    if told.all():
        return wanted
    return np.where(told, wanted, rest / rest.sum() * (1.0 - total))
