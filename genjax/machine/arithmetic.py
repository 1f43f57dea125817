"""The arithmetic of a function: its matrix products and convolutions, counted in its trace before it is compiled.

Two operations for each multiplication with its addition, as in `genjax.nets.flops`; all else is left out. The body of
a loop counts as often as it runs, of a branch the largest, of what differs by platform the one that accelerators run
(a peak is known of these alone), of a convolution only the taps that meet the image, and what is computed again, as
`remat` does, counts again.

XLA's own count of a compiled program would not do: it has the body of a loop once, and on GPU it lacks the products
that are left to a library (jax#22249).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.machine.chips import Rates


class Numbers(NamedTuple):
    """What is multiplied."""

    dtype: str  # float32, bfloat16, …
    exact: bool  # at JAX's highest precision


# {Numbers: operations}
Work = Counter[Numbers]


def arithmetic(fn: Callable, *args: Any) -> Work:
    """The operations of fn(*args); the arguments may be shapes and types alone."""
    return _of(jax.make_jaxpr(fn)(*args).jaxpr)


def seconds(work: Work, rates: Rates) -> float | None:
    """The least time that a device needs, each kind of numbers at its peak; None where one has no peak."""
    total = 0.0
    for numbers, operations in work.items():
        rate = rates.of(numbers.dtype, numbers.exact)
        if rate is None:
            return None
        total += operations / rate
    return total


def _of(jaxpr: Any, used: Sequence[bool] = ()) -> Work:
    """The operations of a trace, without those of what nobody uses, which are not compiled.

    used: which of its results are; () = all.
    """
    total: Work = Counter()
    used = used or [True] * len(jaxpr.outvars)
    wanted = {
        id(result) for result, is_used in zip(jaxpr.outvars, used, strict=True) if is_used
    }
    # from the end: by then it is known who uses a result
    for equation in reversed(jaxpr.eqns):
        here = [id(result) in wanted for result in equation.outvars]
        if any(here) or equation.effects:
            total.update(_one(equation, here))
            wanted.update(map(id, equation.invars))
    return total


def _one(equation: Any, used: Sequence[bool]) -> Work:
    """The operations of one equation, with all that it runs; used: which of its results are."""
    name = equation.primitive.name
    if name == "dot_general":
        return _numbered(equation, _product(equation))
    if name == "conv_general_dilated":
        return _numbered(equation, _convolution(equation))
    if name == "scan":
        # what one turn hands to the next is used there
        (turn,) = map(_of, _inside(equation))
        times = equation.params["length"]
        return Counter({numbers: times * operations for numbers, operations in turn.items()})
    if name == "cond":
        branches = [_of(branch, used) for branch in _branches(equation)]
        return max(branches, key=Counter.total)
    total: Work = Counter()
    for inside in _inside(equation):
        # a function has the results of its equation; of a `while` nobody knows how often it runs: once
        same = len(inside.outvars) == len(used) and name != "while"
        total.update(_of(inside, used if same else ()))
    return total


def _branches(equation: Any) -> list[Any]:
    """What a branch may run; of `platform_dependent` the default alone, where it has one."""
    branches = list(_inside(equation))
    platforms = equation.params.get("branches_platforms") or ()
    # a default is of no platform by name; without one there may be several
    default = [i for i, names in enumerate(platforms) if names is None]
    return [branches[i] for i in default] or branches


def _inside(equation: Any) -> Iterator[Any]:
    """The traces that an equation runs: bodies of loops, branches, functions."""
    for value in equation.params.values():
        parts = value if isinstance(value, tuple | list) else (value,)
        for part in parts:
            # a closed one, with its constants, holds the other
            trace = getattr(part, "jaxpr", part)
            if hasattr(trace, "eqns"):
                yield trace


def _numbered(equation: Any, operations: int) -> Work:
    """Operations under what they multiply; nothing for whole numbers, which are no arithmetic of a net."""
    left, right = (variable.aval.dtype for variable in equation.invars)
    dtype = jnp.promote_types(left, right)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return Counter()
    precision = equation.params["precision"]
    both = precision if isinstance(precision, tuple) else (precision,)
    exact = jax.lax.Precision.HIGHEST in both
    return Counter({Numbers(str(dtype), exact): operations})


def _product(equation: Any) -> int:
    """Each number of the result is a sum over what is contracted."""
    left = equation.invars[0].aval.shape
    (contracted, _), _ = equation.params["dimension_numbers"]
    terms = math.prod(left[axis] for axis in contracted)
    return 2 * equation.outvars[0].aval.size * terms


def _convolution(equation: Any) -> int:
    """For each channel of each result, a sum over the channels that go in and the taps that meet the image."""
    image, kernel = (variable.aval.shape for variable in equation.invars)
    result = equation.outvars[0].aval.shape
    of_image, of_kernel, of_result = equation.params["dimension_numbers"]
    batch, channels, *places = of_result
    # of a kernel's axes the second are the channels that go in, of one group
    _, inputs, *taps = of_kernel
    _, _, *sides = of_image
    met = 1
    for i, (side, tap, place) in enumerate(zip(sides, taps, places, strict=True)):
        met *= _met(equation.params, i, image[side], kernel[tap], result[place])
    return 2 * result[batch] * result[channels] * kernel[inputs] * met


def _met(params: dict[str, Any], i: int, side: int, taps: int, places: int) -> int:
    """How many pairs of a place and a tap meet a pixel, along one axis: neither the border nor a hole."""
    before, _ = params["padding"][i]
    holes = params["lhs_dilation"][i]  # pixels of a spread image lie so far apart
    start = np.arange(places)[:, None] * params["window_strides"][i] - before
    at = start + np.arange(taps) * params["rhs_dilation"][i]  # [places, taps]
    inside = (at >= 0) & (at <= (side - 1) * holes) & (at % holes == 0)
    return int(np.count_nonzero(inside))
