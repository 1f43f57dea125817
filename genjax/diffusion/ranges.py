"""Which times and noise levels a path has, a law trains and a schedule visits: what does not fit together is refused.

Each of the three is a config value of its own, and most combinations that make no sense would train without a word.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from genjax.diffusion import schedules
from genjax.diffusion.paths import Path
from genjax.diffusion.times import EDGE, Law
from genjax.errors import UserError

TAIL = 1e-3  # share of a law's times that may lie beyond the path: too few to teach the net anything else
BEYOND = 0.1  # how far, in shares of what is trained, the net may be asked about more noise than it was trained on
DROWNED = 5.0  # a start from noise alone leaves the data out: their part of the variance there is 1 / 26 or less


def check(path: Path, law: Law, schedule: schedules.Schedule, std: float) -> None:
    """Raises UserError unless the three belong together, for data of standard deviation `std`."""
    check_law(path, law)
    told = f"--algorithm.schedule={schedule}"
    level = check_schedule(path, schedule)
    check_start(told, level, std)
    check_reach(path, law, told, float(path.time(jnp.asarray(level))))


def check_law(path: Path, law: Law) -> None:
    """Raises UserError for a law of which more than `TAIL` lies outside the path's times."""
    n = 10_000
    u = (jnp.arange(n) + 0.5) / n  # even shares of the law
    t = law(u)
    inside = jnp.isfinite(t) & (t >= 0.0) & (t <= path.end)
    outside = 1.0 - float(jnp.mean(inside))
    if outside > TAIL:
        other = "" if _endless(path) else ", or --algorithm.path='Exploding()'"
        raise UserError(
            f"--algorithm.time={law} draws {100 * outside:.1f} % of its times outside [0, {path.end:g}], and {path} "
            f"has no others: use --algorithm.time='{_usual(path)}'{other}."
        )


def check_schedule(path: Path, schedule: schedules.Schedule) -> float:
    """The level that sampling starts from; UserError for levels that do not fall or that the path does not have."""
    if isinstance(schedule, schedules.Times) and _endless(path):
        raise UserError(
            f"--algorithm.schedule={schedule} makes even steps in times up to 1, and the time of {path} is the noise "
            "level itself, without end: use --algorithm.schedule='Karras()'."
        )
    # a path without signal at its last time has an infinite level there
    levels = np.asarray(schedule(path))
    finite = np.isfinite(levels).all()
    falling = (np.diff(levels) < 0).all()
    positive = levels[-1] > 0
    if not (finite and positive and falling):
        raise UserError(
            f"--algorithm.schedule={schedule} on {path} has noise levels that do not fall, finite and above 0, from "
            f"{levels[0]:g} to {levels[-1]:g}: start it before pure noise, e.g. first=0.999, with low below high."
        )
    first = float(path.time(jnp.asarray(levels[0])))
    # the inverse of the path is exact to about 1e-4
    if first > path.end * (1.0 + 1e-3):
        end = jnp.asarray(path.end)
        most = float(path.sigma(end) / path.alpha(end))
        raise UserError(
            f"--algorithm.schedule={schedule} starts at the noise level {levels[0]:g}, and {path} has none above "
            f"{most:.4g}: start it lower."
        )
    return float(levels[0])


def check_start(told: str, level: float, std: float) -> None:
    """Raises UserError for a first level of sampling at which data of `std` are not lost in the noise."""
    if level < DROWNED * std:
        raise UserError(
            f"{told} starts at the noise level {level:.4g}, where data of standard deviation {std:g} still show, and "
            f"sampling starts from noise alone: start at {DROWNED * std:g} or above."
        )


def check_reach(path: Path, law: Law, told: str, first: float) -> None:
    """Raises UserError where sampling starts, at time `first`, far beyond what the law trains."""
    # no draw comes nearer to the ends of a law (`times.strata`)
    ends = law(jnp.asarray([EDGE, 1.0 - EDGE]))
    # as the net is told of them: a clock too far on is one that it has never seen
    low, high = np.asarray(path.clock(ends))
    beyond = float(path.clock(jnp.asarray(first))) - high
    if beyond > BEYOND * (high - low):
        raise UserError(
            f"{told} starts at time {first:.4g} of {path}, and --algorithm.time={law} trains none above "
            f"{float(ends[1]):.4g}: start lower, or use --algorithm.time='{_usual(path)}'."
        )


def _endless(path: Path) -> bool:
    return math.isinf(path.end)


def _usual(path: Path) -> str:
    """A time law that belongs to the path."""
    return "LogNormal()" if _endless(path) else "LogitNormal()"
