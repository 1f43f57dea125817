"""A state that begins with another run's weights."""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np

from genjax.core import State
from genjax.errors import UserError
from genjax.training.begin import Start
from genjax.training.opened import open_run

SHOWN = 3  # arrays that a line names

Flat = dict[str, Any]  # {path: array}


def warmed(start: Start, state: State) -> State:
    """`state` with the parameters, averages and other memory of the run that `start` names, as far as they fit.

    An average that the other run has not kept begins at its parameters. UserError, with what fits and what does not,
    where shapes differ (and `partial` is not set), and where nothing fits; what is left out is told on stderr.
    """
    step = int(start.of.rpartition("@")[2])
    other = open_run(start.run, step).state
    params, unfit = _taken(_flat(state.params), _flat(other.params))
    if unfit and not start.partial:
        raise UserError(_told(start, params, unfit, "--start.partial=true begins those anew."))
    if not params:
        raise UserError(_told(start, params, unfit, "start from a run of such a model."))
    if unfit and jax.process_index() == 0:
        print(_told(start, params, unfit, "those begin anew."), file=sys.stderr)
    begun = {}
    for path in _flat(state.ema):
        network, slash, rest = path.partition("/")
        # "net@0.1" is one of several averages of the network "net"
        source = f"{network.partition('@')[0]}{slash}{rest}"
        if source in params:
            begun[path] = params[source]
    kept, _ = _taken(_flat(state.ema), _flat(other.ema))
    memory, _ = _taken(_flat(state.extra), _flat(other.extra))
    return state.replace(
        params=_placed(params, state.params),
        ema=_placed({**begun, **kept}, state.ema),
        extra=_placed(memory, state.extra),
    )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _flat(tree: Any) -> Flat:
    """{path: array} of any tree."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _taken(new: Flat, old: Flat) -> tuple[Flat, list[str]]:
    """(the old arrays that have the place and shape of a new one, what is told of the new ones that have none)."""
    taken = {}
    unfit = []
    for path, mine in new.items():
        its = old.get(path)
        if its is None:
            unfit.append(f"{path} is not there")
        elif its.shape != mine.shape:
            unfit.append(f"{path} is {list(its.shape)} there and {list(mine.shape)} here")
        else:
            taken[path] = its
    return taken, unfit


def _told(start: Start, fit: Flat, unfit: list[str], end: str) -> str:
    """One line of what fits and what does not."""
    some = "; ".join(unfit[:SHOWN])
    more = f"; and {len(unfit) - SHOWN} more" if len(unfit) > SHOWN else ""
    total = len(fit) + len(unfit)
    networks = ", ".join(dict.fromkeys(path.partition("/")[0] for path in fit)) or "none"
    fits = f"{len(fit)} of {total} arrays fit (of {networks})"
    return f"--start={start.run}: {fits}, {len(unfit)} do not: {some}{more}: {end}"


def _placed(taken: Flat, state: Any) -> Any:
    """A tree with the arrays that are taken, each of the type and in the place of the one it replaces."""

    def place(path: Any, mine: jax.Array) -> jax.Array:
        its = taken.get(_name(path))
        if its is None:  # left as it is, wherever it lies
            return mine
        # by way of the host: the two may lie on other devices; a copy, for the step will donate it
        return jax.device_put(np.asarray(its).astype(mine.dtype), mine.sharding)

    return jax.tree_util.tree_map_with_path(place, state)
