"""What an audit reads pictures with: a net, its errors on people whom it never saw, and real pictures by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax.audit.confusion import Confusion, Differing, confusion, differing
from genjax.audit.tables import cell_counts
from genjax.data.source import Source
from genjax.data.spoken.sentences import groups
from genjax.errors import UserError
from genjax.findings.audited import check_shape, held, names_of, value_of
from genjax.findings.tabled import Row, wide
from genjax.metrics.evaluate import Extractor
from genjax.metrics.frechet import Moments, moments
from genjax.metrics.intervals import Interval, bootstrap, frechet_interval
from genjax.metrics.reader import Reader

JACKKNIFE = 50  # groups of the jackknife
TIMES = 500  # repeats of a bootstrap
LEAST = 40  # held-out pictures by which the errors among them are told
Values = Mapping[str, tuple[str, ...]]  # {category: its values}


class Judges(NamedTuple):
    """What reads pictures, with its errors, and what they are held against."""

    values: Values
    columns: Mapping[str, list[int]]  # of each category, among the attributes
    answers: Callable[[Any], np.ndarray]  # images -> [N, A]
    errors: Mapping[str, Confusion]
    features: Callable[[Any], np.ndarray]  # images -> [N, D]
    distance: str  # what a distance on these is called
    data: Mapping[str, np.ndarray]  # the data's labels of each category [M]
    real: Mapping[str, list[Moments]]  # of the training pictures of each value
    # moments of all pictures: of the data, and of the set in which nothing tells another
    whole: Mapping[str, Moments]
    # {category: how often it is read rightly, of each group}
    served: Mapping[str, Row] = {}
    # errors among the pictures of each value of the first category, where enough of each are held out
    within: Mapping[str, Differing] = {}


class HeldOut(NamedTuple):
    """Held-out pictures as they are and as they are read, by category."""

    true: dict[str, np.ndarray]  # [N]
    read: dict[str, np.ndarray]
    who: np.ndarray  # whose pictures they are


def judges_of(
    source: Source,
    judged: Source,
    categories: Sequence[str],
    reader: Reader,
    on: Extractor,
    folder: Path,
    least: int,
) -> Judges:
    """The reader and an extractor `on`, fitted to `judged`; UserError for other attributes and a reader of no use.

    least: members from which it is told how often a group is read rightly.
    """
    names = names_of(source)
    if tuple(names_of(judged)) != tuple(names):
        raise UserError("--judged: its attributes are others than those of --data.")
    check_shape("judged", judged, source)
    read = reader.reading(judged.train, folder)
    extract = on.fit(judged.train, folder)

    def features(images: Any) -> np.ndarray:
        # float32 has too few digits for a covariance
        return np.float64(extract(images).features)

    def answers(images: Any) -> np.ndarray:
        return np.asarray(read(images).answers)

    columns = groups(names)
    values = values_of(source)
    own = {category: columns[category] for category in categories}
    tested = tested_on(held(judged), own, answers)
    errors = {}
    for category in categories:
        true = tested.true[category]
        said = tested.read[category]
        errors[category] = confusion(category, true, said, values[category], tested.who)
    data = {}
    for category in categories:
        data[category] = value_of(source.train, columns[category])
    # of the data as they are, with all that goes together in them
    seen = features(source.train["image"])
    fair = features(judged.train["image"])
    return Judges(
        values=values,
        columns=columns,
        answers=answers,
        errors=errors,
        features=features,
        distance=f"fd_{on.name}",
        data=data,
        real=by_value(seen, data, values),
        whole={"the data": moments(seen), "independent categories": moments(fair)},
        served=served(tested, values, least),
        within=within(tested, values, categories),
    )


def within(tested: HeldOut, values: Values, categories: Sequence[str]) -> dict[str, Differing]:
    """The errors in each category among the pictures of each value of the first one; nothing where a cell has few."""
    first, *others = categories
    found = {}
    for category in others:
        sizes = (len(values[first]), len(values[category]))
        condition, true = tested.true[first], tested.true[category]
        members = cell_counts([condition, true], list(sizes))
        if members.min() < LEAST:
            continue
        read = tested.read[category]
        found[category] = differing(condition, true, read, sizes, tested.who)
    return found


def tested_on(
    test: Mapping[str, Any],
    columns: Mapping[str, list[int]],
    answers: Callable[[Any], np.ndarray],
) -> HeldOut:
    """What is read of held-out pictures, beside what is true of them."""
    said = answers(test["image"])
    true = {}
    read = {}
    for category, own in columns.items():
        true[category] = value_of(test, own)
        read[category] = said[:, own].argmax(1)
    # pictures of one person are no independent trials
    alone = np.arange(len(said))
    return HeldOut(true, read, test.get("person", alone))


def served(tested: HeldOut, values: Values, least: int) -> dict[str, Row]:
    """How often the reader itself is right, of each group that has members enough: {category: {group: share}}."""
    found: dict[str, Row] = {}
    for category, read in tested.read.items():
        right = read == tested.true[category]
        row = {}
        for group, true in tested.true.items():
            for t, value in enumerate(values[group]):
                own = true == t
                if own.sum() < least:
                    continue
                share = of_people(right[own], tested.who[own])
                row[f"{group}={value}"] = wide(share)
        found[category] = row
    return found


def of_people(hits: np.ndarray, who: np.ndarray) -> Interval:
    """The share of hits [N], a bootstrap over the people whose pictures they are of."""
    _, person = np.unique(who, return_inverse=True)
    count = np.bincount(person)
    right = np.bincount(person, hits)

    def share(rows: np.ndarray) -> float:
        return right[rows].sum() / count[rows].sum()

    return bootstrap(share, len(count), TIMES)


def values_of(source: Source) -> dict[str, tuple[str, ...]]:
    """{category: the names of its values} of a set's attributes."""
    names = names_of(source)
    found = {}
    for category, columns in groups(names).items():
        values = [names[column].partition("=")[2] for column in columns]
        found[category] = tuple(values)
    return found


def by_value(
    features: np.ndarray,
    data: Mapping[str, np.ndarray],
    values: Values,
) -> dict[str, list[Moments]]:
    """The moments of features [M, D] of each value of each category; of a value that none has those of all."""
    found = {}
    for category, column in data.items():
        each = []
        for t in range(len(values[category])):
            own = features[column == t]
            # what none has is read of nobody in earnest
            each.append(moments(own if len(own) else features))
        found[category] = each
    return found


def distance(real: Moments, features: np.ndarray) -> Interval | None:
    """The Fréchet distance of features [n, D]; None of so few that a covariance has not full rank."""
    n, dimensions = features.shape
    # without any of the jackknife's groups too
    group = -(-n // JACKKNIFE)
    if n < JACKKNIFE or n - group <= dimensions:
        return None
    return frechet_interval(real, features, JACKKNIFE)
