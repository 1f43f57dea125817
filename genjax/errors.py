"""The errors that are part of the interface: a user's mistake (exit code 2) and a preemption (exit code 75)."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Iterable


class UserError(Exception):
    """A mistake that the user can mend: the message is one line that says what, where and how."""


class Preempted(Exception):
    """The run was asked to stop and has saved its state: run the same command again to go on."""


def at_least(least: float, where: str = "--", /, **values: float) -> None:
    """Raises UserError for the first of `values` that is below `least`, or no finite number.

    A value has the name of its flag, with __ for a dot. `where` is told before it: "Adam: " for a config that does not
    know its own flag.
    """
    _compare("at least", operator.ge, least, where, values)


def above(bound: float, where: str = "--", /, **values: float) -> None:
    """As `at_least`, of values above `bound`: a scale of 0 would divide by it."""
    _compare("above", operator.gt, bound, where, values)


def at_most(most: float, where: str = "--", /, **values: float) -> None:
    """As `at_least`, of values up to `most`: shares up to 1."""
    _compare("at most", operator.le, most, where, values)


def below(bound: float, where: str = "--", /, **values: float) -> None:
    """As `at_least`, of values below `bound`: an average that keeps a share of 1 would never move."""
    _compare("below", operator.lt, bound, where, values)


def finite(where: str = "--", /, **values: float) -> None:
    """Raises UserError for the first of `values`, named as for `at_least`, that is infinite or nan."""
    for name, value in values.items():
        # of a whole number too large for a float isfinite would raise OverflowError
        if not isinstance(value, int) and not math.isfinite(value):
            raise UserError(f"{_named(where, name, value)} must be a finite number.")


def distinct(where: str, values: Iterable[float]) -> None:
    """Raises UserError for two of `values` that six digits print alike: of two rows of one name the later is kept."""
    printed = [f"{value:g}" for value in values]
    for name in printed:
        if printed.count(name) > 1:
            raise UserError(
                f"--{where}: two of its values are {name} in print: keep one of them."
            )


def _compare(
    how: str, holds: Callable, bound: float, where: str, values: dict[str, float]
) -> None:
    """Raises UserError for the first of `values` that is not finite or does not hold against `bound`."""
    finite(where, **values)  # nan holds against nothing, and is below nothing either
    for name, value in values.items():
        if not holds(value, bound):
            raise UserError(f"{_named(where, name, value)} must be {how} {bound}.")


def _named(where: str, name: str, value: float) -> str:
    """How a value is told: --algorithm.lr=-1."""
    path = name.replace("__", ".")
    return f"{where}{path}={value}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns ' Did you mean a, b?' with up to three near names, or '' if none is near."""
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f" Did you mean {', '.join(near)}?" if near else ""
