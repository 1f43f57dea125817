"""Codes of several models side by side: what a linear map reads of them, who is whose neighbour, and a map of each.

Every encoder gets the same examples. Probes are fitted to codes of training examples and read those of test examples;
maps, their trustworthiness and the votes of neighbours are of one fixed draw of test examples. Models are trained
without labels, so that what is read of their codes is theirs; the floors are what labels are read from without them.

Intervals take examples for independent. Shots of one person are not: of data with a field `person` they are too narrow,
and a note says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data import Digits, Known
from genjax.errors import UserError, at_least
from genjax.findings.encoders import (
    HOME,
    Coder,
    Entry,
    Split,
    Task,
    check_names,
    labelled,
    parts,
)
from genjax.findings.samples import some
from genjax.findings.tabled import Row, cell, finish, keep_picture, place, stored, wide
from genjax.metrics import maps
from genjax.metrics.components import rows
from genjax.metrics.intervals import Interval
from genjax.metrics.probe import Probed, majority, probed
from genjax.pictures.panels import maps as drawn
from genjax.training.log import Log


class Mapped(NamedTuple):
    """Codes of some test examples, and their map."""

    points: np.ndarray  # [N, 2]
    kl: float  # exact KL(P || Q) [nats]
    trust: float  # of the map towards the codes
    near: Interval  # votes of neighbours in the codes
    near_map: Interval  # and in the map


class One(NamedTuple):
    """All that is known of an encoder."""

    size: int  # numbers of a code
    n: int  # examples that the probe read
    probe: Probed
    mapped: Mapped
    pixels: float  # trustworthiness of the codes towards the pixels
    told: Mapping[str, float]  # what was chosen on the way


@dataclasses.dataclass(frozen=True)
class Seen:
    """The comparison."""

    data: Known | Any = field(Digits(), "the data set, images with labels")
    encoders: tuple[Entry, ...] = field((), "what makes codes")
    shown: tuple[str, ...] = field((), "names of those with a panel in the figure, () = all")
    fit: int = field(10_000, "training examples that probes are fitted to, at most")
    valid: int = field(2000, "others, by which penalties and noise levels are chosen, at most")
    test: int = field(10_000, "test examples that probes read, at most")
    points: int = field(2000, "test examples of a map, at most")
    perplexity: float = field(30.0, "neighbours that a point of t-SNE minds")
    neighbours: int = field(10, "that vote, and that trustworthiness asks for")
    seed: int = field(0, "of weights, orders, projections and maps")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, measures, draws; UserError, before anything is written, for what cannot be done."""
        source = self.data.load()
        self.check(source)
        fit, valid = parts(source, self.fit, self.valid)
        # what the command line changed is of the comparison, not of its runs
        plain = {**origin, "differences": {}}
        task = Task(self.data, source, fit, valid, self.seed, self.runs, plain)
        log = place(HOME, name, self, origin)
        told = alike(source)
        if told is not None:
            log.note(told)
        found = {}
        table = {}
        for entry in self.encoders:
            coder = entry.of.start(entry.name, task)
            one = self.one(coder, task)
            keep(log, entry.name, one)
            found[entry.name] = one
            table[entry.name] = row_of(one)
        # who reads nothing has this much right
        test = some(source.test, self.test)
        floor = majority(fit["label"], test["label"])
        log.result("majority", {"accuracy": floor._asdict()})
        table["always the most frequent class"] = {"linear probe": wide(floor)}
        self.draw(log, found, source)
        points = self.drawn(source)
        title = f"Codes of {source.name}: {size(fit)} to fit, {points} in a map"
        finish(log, {title: table})

    def check(self, source: Any) -> None:
        """Raises UserError for data, counts and names that nothing can be made of."""
        check_labels(source)
        check_names(self.encoders, "--encoders")
        at_least(10, fit=self.fit, valid=self.valid, test=self.test)
        at_least(1, neighbours=self.neighbours)
        at_least(0, seed=self.seed)
        points = self.drawn(source)
        maps.check_perplexity(points, self.perplexity)
        if self.neighbours >= points / 2:
            raise UserError(
                f"--neighbours={self.neighbours} needs more than {2 * self.neighbours} points and there are {points}: "
                "use fewer, or more --points."
            )
        names = [entry.name for entry in self.encoders]
        for name in self.shown:
            if name not in names:
                raise UserError(
                    f"--shown: no encoder is called {name!r}, they are {', '.join(names)}."
                )

    def drawn(self, source: Any) -> int:
        """Points of a map."""
        return min(self.points, size(source.test))

    def one(self, coder: Coder, task: Task) -> One:
        """All that is asked of an encoder."""
        test = some(task.source.test, self.test)
        fit = labelled(coder.encode, task.fit)
        valid = labelled(coder.encode, task.valid)
        held = labelled(coder.encode, test)
        read = probed(fit, valid, held)
        # the same few for all encoders
        few = some(task.source.test, self.points)
        codes = coder.encode(few)
        mapped = self.mapped(codes, few)
        pixels = rows(few[task.source.main])
        kept = maps.trustworthiness(pixels, codes, self.neighbours)
        _, dimensions = codes.shape
        return One(dimensions, size(test), read, mapped, kept, coder.told)

    def mapped(self, codes: np.ndarray, split: Split) -> Mapped:
        """The map of codes [N, D] of a split."""
        label = np.asarray(split["label"])
        k = self.neighbours
        points = maps.tsne(codes, self.perplexity, self.seed)
        return Mapped(
            points=points,
            kl=maps.divergence(codes, points, self.perplexity),
            trust=maps.trustworthiness(codes, points, k),
            near=maps.votes(codes, label, k),
            near_map=maps.votes(points, label, k),
        )

    def draw(self, log: Log, found: Mapping[str, One], source: Any) -> None:
        """The maps side by side."""
        few = some(source.test, self.points)
        label = np.asarray(few["label"])
        panels = {}
        for name in self.shown or found:
            mapped = found[name].mapped
            # how well the map tells the truth is above it
            title = f"{name}: KL {mapped.kl:.2f}, trust {mapped.trust:.3f}"
            panels[title] = mapped.points
        picture = drawn(panels, label, source.class_names)
        keep_picture(log, "maps", picture)


def check_labels(source: Any) -> None:
    """Raises UserError for a set without images, without classes or without test examples."""
    if len(source.shape) != 3:
        raise UserError(
            f"latents are of images and {source.name} has none: use --data='Digits()'."
        )
    if source.classes < 2:
        raise UserError(
            f"{source.name} has no labels, and probes and neighbours read labels: use a set with classes, "
            "--data='Digits()' for instance."
        )
    if not size(source.test):
        raise UserError(f"{source.name} has no test examples: probes are read on them.")


def alike(source: Any) -> str | None:
    """What is to be told of intervals on data of several pictures a person; None of others."""
    if "person" not in source.fields:
        return None
    people = len(np.unique(source.test["person"]))
    count = size(source.test)
    return (
        f"intervals are too narrow: they take {count} test pictures of {people} people for independent, and pictures "
        "of one person are alike"
    )


def keep(log: Log, name: str, one: One) -> None:
    """An encoder's numbers, under its name."""
    mapped = one.mapped
    n = len(mapped.points)
    values = {
        "size": one.size,
        "linear_probe": stored(one.probe.accuracy, one.n),
        "strength": one.probe.strength,
        "neighbours": stored(mapped.near, n),
        "neighbours_in_map": stored(mapped.near_map, n),
        "trustworthiness_of_map": mapped.trust,
        "trustworthiness_to_pixels": one.pixels,
        "kl": mapped.kl,
        **one.told,
    }
    log.result(name, values)
    chosen = ""
    for key, value in one.told.items():
        chosen += f", {key} {value:g}"
    accuracy = wide(one.probe.accuracy)
    log.note(f"{name}: linear probe {accuracy}, trust of the map {mapped.trust:.3f}{chosen}")


def row_of(one: One) -> Row:
    """An encoder's row."""
    mapped = one.mapped
    return {
        "numbers": str(one.size),
        "linear probe": wide(one.probe.accuracy),
        "neighbours": wide(mapped.near),
        "neighbours in the map": wide(mapped.near_map),
        "trust of the map": cell(mapped.trust),
        "trust to pixels": cell(one.pixels),
        "KL of the map": cell(mapped.kl, 2),
    }
