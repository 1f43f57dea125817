"""The errors that are part of the interface: a user's mistake (exit code 2) and a preemption (exit code 75)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: the message is one line that says what, where and how."""


class Preempted(Exception):
    """The run was asked to stop and has saved its state: run the same command again to go on."""


def at_least(least: float, **values: float) -> None:
    """Raises UserError for the first of `values`, named by its flag with __ for a dot, that is below `least`."""
    for name, value in values.items():
        if value < least:
            raise UserError(f"--{name.replace('__', '.')}={value} must be at least {least}.")


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns ' Did you mean a, b?' with up to three near names, or '' if none is near."""
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f" Did you mean {', '.join(near)}?" if near else ""
