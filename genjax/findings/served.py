"""Whom do our own tools serve worse? Detectors of generated pictures, and the classifiers behind distances, by group.

An audit of generators (`auditing`) reads people's groups with a net that errs. Tools are shown real people, whose
groups are known, and what is counted is exact (`audit.disparities`):

* false alarms: a detector learns one generator's pictures, as in `detecting`; its threshold is that of so many held-out
  real pictures, whose promise is of all people together and of no group. Counted is how often it flags real pictures of
  each group, of people whom neither it nor the generator nor the threshold has seen;
* right answers: a feature classifier learns a label of the training split and is asked for it of held-out people.

Each person counts once, by one picture, in groups of one category and of several at once. All groups of all tools are
compared together. Groups of few members are named, and nothing is said of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.audit.alarms import share_above
from genjax.audit.comparisons import Comparisons, Holm
from genjax.audit.disparities import Groups, Outcome, Rate, disparities, grouped
from genjax.audit.handling import Handling
from genjax.config import field
from genjax.data.portions import Reals
from genjax.data.source import Source
from genjax.data.spoken.sentences import groups
from genjax.data.spoken.workers import Workers
from genjax.errors import UserError, at_least
from genjax.findings import servedwords
from genjax.findings.audited import HOME, check_group, held, names_of, value_of
from genjax.findings.detecting import Detection, Line
from genjax.findings.detectors import Entry, Score
from genjax.findings.generated import OTHER, Generator, Untouched, picked
from genjax.findings.judging import values_of
from genjax.findings.tabled import finish, keep_picture, place, stored
from genjax.machine.files import typed
from genjax.metrics.classifier import Convolutional
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import threshold
from genjax.training.log import Log


class People(NamedTuple):
    """Whom tools are tested on."""

    rows: np.ndarray  # int [N], of one picture of each
    groups: Groups


class Tool(NamedTuple):
    """What a tool does to N people."""

    name: str
    outcome: Outcome  # that it flags a real picture, or is right
    # share of real pictures that it is set to flag; None = right answers are counted
    rate: float | None = None
    caught: Interval | None = None  # share of generated pictures that it flags

    @property
    def counts(self) -> str:
        """What is counted, as tables are called."""
        if self.rate is None:
            return "Right"
        return f"False alarms at {100 * self.rate:g} %"

    def worse(self, found: Rate) -> bool:
        """Whether a group is told to be served worse than all others."""
        more = found.share.value > found.others
        # a right answer is no false alarm
        return found.differs and more == (self.rate is not None)


@dataclasses.dataclass(frozen=True)
class Served:
    """The audit of our own tools on real people."""

    reals: Reals = field(
        Reals(Workers(bias=0.5), "person"), "the real pictures and how they are shared out"
    )
    generators: tuple[Generator, ...] = field((), "whose pictures detectors learn to tell")
    detectors: tuple[Entry, ...] = field((), "detectors; () = none is audited")
    labels: tuple[str, ...] = field(
        ("label", "age"),
        "fields of classes, each learned by a classifier; () = none is audited",
    )
    classifier: Convolutional = field(Convolutional(), "the feature classifier")
    of: tuple[str, ...] = field(("occupation", "sex", "tone", "age"), "categories of groups")
    crossed: tuple[str, ...] = field(
        ("sex", "tone", "age"), "categories that are taken at once; () = none"
    )
    handling: Handling = field(Handling(), "what all pictures of a detector go through alike")
    rates: tuple[float, ...] = field((0.01, 0.05), "shares of false alarms for the thresholds")
    train: int = field(2000, "pictures of each kind that a detector learns from, at most")
    held: int = field(1000, "of each kind for scales and thresholds, at most")
    test: int = field(2000, "of each half of the real pictures in the test, at most")
    least: int = field(40, "members from which something is said of a group")
    compare: Comparisons = field(Holm(), "how p of many comparisons are adjusted")
    refuse: bool = field(
        True, "raise an error where what is no picture tells the halves apart", execution=True
    )
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, tests, tells; UserError, before anything is written, for what cannot be done."""
        source = self.reals.load()
        self.check(source)
        # groups that are too small, before minutes of training
        tested = self.tested(source) if self.detectors else None
        asked = self.asked(source) if self.labels else None
        log = place(HOME, name, self, origin)
        tools: list[Tool] = []
        notes = []
        if tested is not None:
            notes += self.detection().few()
            notes += [f"detectors, {note}" for note in tested.groups.notes]
            tools += self.detecting(tested)
        if asked is not None:
            notes += [f"classifiers, {note}" for note in asked.groups.notes]
            tools += self.classifying(source, asked)
        # a detector is a tool at each of its thresholds
        outcomes = {f"{tool.name}, {tool.counts}": tool.outcome for tool in tools}
        rates = list(disparities(outcomes, self.compare).values())
        self.tell(log, list(zip(tools, rates, strict=True)), notes)

    def check(self, source: Source) -> None:
        """Raises UserError for categories, labels and numbers that do not fit the data, and for no tool at all."""
        at_least(1, least=self.least)
        at_least(0, seed=self.seed)
        if not self.detectors and not self.labels:
            raise UserError(
                "--detectors and --labels are both empty: there is no tool to audit."
            )
        names_of(source, "reals.of")
        for flag, categories in (("of", self.of), ("crossed", self.crossed)):
            for category in categories:
                check_group(flag, category, source)
        for label in self.labels:
            if getattr(source.fields.get(label), "classes", 0) < 2:
                known = [
                    name for name, kind in source.fields.items() if hasattr(kind, "classes")
                ]
                raise UserError(
                    f"--labels: {source.name} has no classes {label!r}, it has {', '.join(known)}."
                )
        if self.detectors:
            self.detection().check()

    def detection(self) -> Detection:
        """How detectors learn: as in the matrix, but that nothing has to last."""
        return Detection(
            reals=self.reals,
            generators=self.generators,
            detectors=self.detectors,
            handling=self.handling,
            rates=self.rates,
            train=self.train,
            held=self.held,
            test=self.test,
            # robustness is the matrix's question
            lasting=0,
            refuse=self.refuse,
            seed=self.seed,
            runs=self.runs,
        )

    def tested(self, source: Source) -> People:
        """The real people of a detector's test: those of both of its halves."""
        detection = self.detection()
        portions = self.reals.portions(source)
        # as many as the matrix takes, and the same ones
        count = detection.data(Untouched()).counts(source)["test"]
        halves = [portions["test"], portions["test_other"]]
        attributes = [picked(half["attributes"], count) for half in halves]
        # the halves have the same people
        who = np.concatenate(detection.groups("test"))
        return self.people(np.concatenate(attributes), who, source)

    def asked(self, source: Source) -> People:
        """The people whom no classifier has learned."""
        split = held(source)
        return self.people(split["attributes"], self.reals.numbers(split), source)

    def people(self, attributes: np.ndarray, who: np.ndarray, source: Source) -> People:
        """One picture of each, of pictures with these attributes [M, A] of these people [M]."""
        # several of one person are no independent trials
        _, rows = np.unique(who, return_index=True)
        columns = groups(names_of(source))
        true = {}
        for category in {*self.of, *self.crossed}:
            true[category] = value_of({"attributes": attributes[rows]}, columns[category])
        how = (self.of, self.crossed, self.least)
        return People(rows, grouped(true, values_of(source), *how))

    def detecting(self, people: People) -> Iterator[Tool]:
        """Each detector against each generator, and all together, at each rate."""
        detection = self.detection()
        makers = (Untouched(), *self.generators)
        # all generators before any detector
        sets = {maker.name: detection.data(maker).halves()[1] for maker in makers}
        shared: dict[str, Score] = {}  # of those that learn from no generator
        for maker in self.generators:
            # what it makes of another generator's pictures is not asked
            own = {name: sets[name] for name in (OTHER, maker.name)}
            lines, _ = detection.row(maker, own, shared)
            for detector, line in lines.items():
                for rate in self.rates:
                    title = f"{detector} against {maker.name}"
                    yield flagging(title, rate, line, maker.name, people)

    def classifying(self, source: Source, people: People) -> Iterator[Tool]:
        """A classifier of each label."""
        split = held(source)
        images = split[source.main][people.rows]
        folder = typed(self.runs) / "features"
        for label in self.labels:
            # an extractor learns what is called label
            train = {"image": source.train[source.main], "label": source.train[label]}
            logits = self.classifier.fit(train, folder)(images).logits
            right = np.argmax(logits, 1) == split[label][people.rows]
            yield Tool(f"classifier of {label}", Outcome(right, people.groups))

    def tell(self, log: Log, found: list[tuple[Tool, list[Rate]]], notes: list[str]) -> None:
        """Records all numbers, words and pictures."""
        for tool, rates in found:
            values = {
                rate.name: {**stored(rate.share, rate.n), **about(rate)} for rate in rates
            }
            # what a group is held against, and whether the tool works at all
            values["everybody"] = stored(servedwords.everybody(tool), len(tool.outcome.hits))
            if tool.caught is not None:
                values["generated"] = tool.caught._asdict()
            log.result(f"{tool.name}: {tool.counts}", values)
        words = servedwords.sentences(found, notes)
        log.result("In words", {str(i + 1): line for i, line in enumerate(words)})
        for line in words:
            log.note(line)
        for title, picture in servedwords.figures(found).items():
            keep_picture(log, title, picture)
        finish(log, servedwords.tables(found, self.compare.name))


def flagging(title: str, rate: float, line: Line, generator: str, people: People) -> Tool:
    """A detector whose threshold is that of held-out real pictures at a rate, on real people."""
    limit = threshold(line.held.real, rate)
    # real pictures of both halves, in the order of `tested`
    scores = np.concatenate([line.real, line.generated[OTHER]])
    flagged = scores[people.rows] > limit
    caught = share_above(line.generated[generator], limit)
    return Tool(title, Outcome(flagged, people.groups), rate, caught)


def about(rate: Rate) -> dict[str, float]:
    """What is kept of a group besides its share."""
    return {"others": rate.others, "p": rate.p}
