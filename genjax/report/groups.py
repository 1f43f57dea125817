"""Runs that differ in their seed alone as one: their names, their numbers and how far these spread."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genjax.report.facts import Facts, number
from genjax.report.results import Column, columns, values_of
from genjax.report.svg import Curve
from genjax.report.text import differing, digits, kind

FIELDS = 4  # differing fields that are columns beside the numbers
BRIEF = 24  # characters of a value in such a column
# fields of an experiment that change no result, by name: a report knows no types. None that says how something is
# measured, as a sampler does: numbers depend on it.
ASIDE = (
    "published",
    "runs",
    "track",
    "every",
    "evaluate_batch",
    "samples",
    "layout",
    "hosts",
    "microbatches",
    "chunk",
    "resident",
    "keep",
    "watchdog",
    # where the weights lie; `start.of` says whose they are
    "start.run",
    "start.step",
    "data.path",
    "data.data_dir",
    "data.stream",
)
EMPTY = {"absent", "None", "()"}  # texts of a field that holds nothing

Fields = list[tuple[str, list[str]]]  # (path, the text of each config)


class Group(NamedTuple):
    """Runs that differ in their seed alone, one a seed; name and config are without it."""

    name: str
    config: dict[str, Any]
    runs: list[Facts]


class Mean(NamedTuple):
    """The mean of n values and their sample deviation (n - 1), which is None of one value and of infinite ones."""

    n: int
    mean: float
    deviation: float | None

    def __str__(self) -> str:
        """`4.93 ± 0.12`."""
        text = digits(self.mean)
        if self.deviation is None:
            return text
        # two digits: of a few seeds a deviation is not known better
        rounded = float(f"{self.deviation:.2g}")
        return f"{text} ± {digits(rounded)}"


def mean_of(values: Sequence[float]) -> Mean:
    """The mean and the sample deviation of some values."""
    n = len(values)
    mean = sum(values) / n
    if n == 1 or not math.isfinite(mean):
        return Mean(n, mean, None)
    if min(values) == max(values):  # exactly, where a sum is rounded
        return Mean(n, values[0], 0.0)
    offsets = [value - mean for value in values]
    variance = sum(offset * offset for offset in offsets) / (n - 1)
    deviation = math.sqrt(variance)
    return Mean(n, mean, deviation if math.isfinite(deviation) else None)


def groups_of(runs: Sequence[Facts]) -> list[Group]:
    """The runs by what their results depend on but the seed, in the order of their first; of one seed the first counts.

    A field that holds nothing is as good as one that is not there: it may be younger than the run.
    """
    found: dict[str, dict[str, Facts]] = {}
    for run in runs:
        rest = _seedless(run)
        key = json.dumps([run.experiment, _bare(rest)], sort_keys=True)
        seed = json.dumps(run.config.get("seed"))
        # a copy of a run is no second seed
        found.setdefault(key, {}).setdefault(seed, run)
    groups = []
    for by_seed in found.values():
        members = list(by_seed.values())
        first = members[0]
        groups.append(Group(_name(first), _seedless(first), members))
    return groups


def _seedless(run: Facts) -> dict[str, Any]:
    """A run's config without its seed and what changes no result."""
    return _without(run.config, ("seed", *ASIDE))


def _without(config: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """A config without the fields at some paths; an experiment within it is without `ASIDE`."""
    kept = {}
    for name, value in config.items():
        if name in paths:
            continue
        if isinstance(value, dict):
            above = f"{name}."
            below = [path.removeprefix(above) for path in paths if path.startswith(above)]
            # a run as the data of another is an experiment as well
            value = _without(value, ASIDE if name == "experiment" else below)
        kept[name] = value
    return kept


def _bare(value: Any) -> Any:
    """A value of a config without fields that hold nothing, its types by their names alone: a class may move."""
    if isinstance(value, list):
        return [_bare(part) for part in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _bare(part) for name, part in value.items() if part not in (None, [])}
    return kept | {"__type__": kind(value)}


def _name(run: Facts) -> str:
    """The ablation of a run without its seed, which the name of a sweep's run holds."""
    seed = re.escape(str(run.seed))
    return re.sub(rf"_seed{seed}(?![0-9])", "", run.ablation)


def names_of(groups: Sequence[Group]) -> list[str]:
    """Names of the groups, with what differs in them where they are not told apart otherwise."""
    # ablations of one name differ by flags
    count = Counter(group.name for group in groups)
    fields = _telling([group.config for group in groups])
    names = []
    for i, group in enumerate(groups):
        name = group.name
        if count[name] > 1:
            name = f"{name} {told(fields, i)}".strip()
        names.append(name)
    return names


def _telling(configs: Sequence[dict[str, Any]]) -> Fields:
    """The fields in which configs differ, but for those that hold nothing in any."""
    return [(path, texts) for path, texts in differing(configs) if not EMPTY.issuperset(texts)]


def few_fields(configs: Sequence[Mapping[str, Any]]) -> Fields:
    """The fields in which configs differ, where they are few and short enough to stand beside numbers; else none."""
    fields = _telling([_without(config, ASIDE) for config in configs])
    texts = [text for _, of_configs in fields for text in of_configs]
    longest = max(map(len, texts), default=0)
    # wider tables are not read: the table of differences has all
    fit = len(fields) <= FIELDS and longest <= BRIEF
    return fields if fit else []


def told(fields: Fields, i: int) -> str:
    """The values of the i-th config: `beta=4.0, latent=2`."""
    parts = []
    for path, texts in fields:
        name = path.split(".")[-1]
        parts.append(f"{name}={texts[i]}")
    return ", ".join(parts)


class Alike(NamedTuple):
    """What the numbers of several runs must be of to go into one mean or one chart."""

    # {(experiment, steps asked for, column): the step of the last values}
    last: dict[tuple[str, str, Column], int]
    # {entry of results.json: how it was measured, "" = as the configs say}
    settings: dict[str, str]

    def measured(self, run: Facts, entry: str) -> bool:
        """Whether a run has measured an entry as most have."""
        return run.settings(entry) == self.settings.get(entry, "")

    def ended(self, run: Facts, key: Column, step: int) -> bool:
        """Whether a run's last value at `step` is as late as that of the others."""
        return step == self.last[(*_asked(run), key)]


def alike(runs: Sequence[Facts]) -> Alike:
    """The latest step of each last value, and how most of the runs have measured each entry."""
    last: dict[tuple[str, str, Column], int] = {}
    ways: dict[str, Counter] = {}
    for run in runs:
        for key, (step, _) in _last(run).items():
            place = (*_asked(run), key)
            last[place] = max(step, last.get(place, 0))
        for entry in run.results:
            ways.setdefault(entry, Counter())[run.settings(entry)] += 1
    settings = {}
    for entry, count in ways.items():
        # of as many, those that are as their configs say
        settings[entry] = max(count, key=lambda way, count=count: (count[way], way == ""))
    return Alike(last, settings)


def left_out(pairs: Iterable[tuple[Facts, Alike]]) -> str:
    """What of the runs is in no mean, and why; "" where all is."""
    early = 0
    others: Counter = Counter()
    for run, same in pairs:
        last = _last(run)
        early += any(not same.ended(run, key, step) for key, (step, _) in last.items())
        others.update(entry for entry in run.results if not same.measured(run, entry))
    told = []
    if early:
        which = f"{early} {_runs(early)}"
        told.append(f"the last values of {which}, of an earlier step than those of the others")
    for entry, n in others.items():
        told.append(f"{entry} of {n} {_runs(n)}, measured otherwise than in most")
    return f"Left out: {'; '.join(told)}." if told else ""


def _runs(n: int) -> str:
    return "run" if n == 1 else "runs"


def _asked(run: Facts) -> tuple[str, str]:
    """What says how far a run is to go: where steps differ, last steps do too."""
    return run.experiment, str(run.config.get("steps"))


def _last(run: Facts) -> dict[Column, tuple[int, float]]:
    """The last (step, value) of every held-out curve."""
    found = {}
    for curve, points in run.curves.items():
        split, _, metric = curve.rpartition("/")
        if split not in ("", "train"):
            found[f"{split}, last", metric] = points[-1]
    return found


def _measured(run: Facts) -> dict[Column, float]:
    """A run's numbers that were measured after training."""
    found = {}
    for key, value in values_of(run.results).items():
        entry, _ = key
        if entry == "metrics" and isinstance(value, dict):
            value = value.get("value")  # without its interval, which is of one run
        its = number(value)
        if its is not None:
            found[key] = its
    return found


def values(run: Facts, same: Alike) -> dict[Column, float]:
    """A run's numbers that are of what those of the others are: measured after training, and last ones of curves."""
    found = {}
    for key, value in _measured(run).items():
        entry, _ = key
        if same.measured(run, entry):
            found[key] = value
    for key, (step, value) in _last(run).items():
        # a run that was stopped has earlier values, which are of another model
        if same.ended(run, key, step):
            found[key] = value
    return found


def keys_of(groups: Sequence[Group]) -> list[Column]:
    """The numbers that are shown of groups: as in the table of all runs, and in its order."""
    runs = [run for group in groups for run in group.runs]
    return columns([{**_measured(run), **_last(run)} for run in runs])


def means(of_runs: Sequence[Mapping[Any, float]]) -> dict[Any, Mean]:
    """{key: the mean over those runs that have it}."""
    found: dict[Any, list[float]] = {}
    for numbers in of_runs:
        for key, value in numbers.items():
            found.setdefault(key, []).append(value)
    return {key: mean_of(values) for key, values in found.items()}


def means_of(group: Group, same: Alike) -> dict[Column, Mean]:
    """The means of a group's numbers."""
    return means([values(run, same) for run in group.runs])


def curve_of(label: str, course: Mapping[float, Mean], slot: int, mark: str) -> Curve:
    """The curve of means {place: mean}, with their spread."""
    points = []
    spread = []
    for place, (_, mean, deviation) in sorted(course.items()):
        points.append((place, mean))
        if deviation is not None:
            spread.append((place, mean - deviation, mean + deviation))
    return Curve(label, points, slot, mark, spread)
