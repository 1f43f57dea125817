"""Whom does a generator show, how often, with what, and how well? An audit of samplers, with the reader's own errors.

A net that has learned from pictures in which no category tells another (`judged`) reads each category of samples; how
often it is wrong was counted on held-out people, and is taken out again (`audit.confusion`). Then, for each sampler,

* representation: the share of every group, beside the data's or the user's, all comparisons adjusted together;
* dependence of the category that is asked for on each other one: Cramér's V, a permutation test of what was read, how
  far it is amplified against the data, the spread, and for every value the shares themselves;
* intersections: shares of all groups at once; of those with too few members nothing is said;
* quality by group: the Fréchet distance from training pictures of the group, and how often what was asked for is read.

Groups of samples are as they are read, also those of the held-out pictures that are the floor of the distances.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.audit.association import (
    amplification,
    association,
    conditional,
    cramers_v,
    directional,
    independent,
    raked,
    slope,
    spread,
)
from genjax.audit.comparisons import Comparisons, Holm
from genjax.audit.confusion import (
    Estimate,
    corrected,
    crossed,
    interval,
    plausible,
    tail,
)
from genjax.audit.shares import Share, asked_shares, enough, represented
from genjax.audit.tables import asked_table, cell_counts, margin, read_table
from genjax.config import field
from genjax.core import size
from genjax.data.source import Source
from genjax.data.spoken.workers import SCALE, Workers
from genjax.errors import UserError, at_least
from genjax.findings import auditwords
from genjax.findings.audited import (
    HOME,
    Audited,
    Drawn,
    Filed,
    Held,
    Task,
    check_group,
    held,
    single,
)
from genjax.findings.encoders import check_names
from genjax.findings.judging import LEAST, Judges, Values, distance, judges_of, values_of
from genjax.findings.tabled import finish, keep_picture, place, stored
from genjax.machine.files import typed
from genjax.metrics.evaluate import Extractor
from genjax.metrics.features import Components
from genjax.metrics.intervals import Interval, share
from genjax.metrics.reader import Reader
from genjax.pictures.draw import captioned, grid
from genjax.training.log import Log

SHOWN = 6  # pictures of each value that are shown
PER_COMPARISON = 40  # draws of each of the groups that are compared together
DOUBT = 0.005  # share of draws with an answer below which there is none


class Found(NamedTuple):
    """What an audit says of one sampler."""

    n: int
    tables: dict[str, Estimate]  # {category: shares [K, G] with what was asked for}
    shares: list[Share]
    ties: dict[str, dict[str, Any]]  # {category: V, p and what else is said of the dependence}
    cells: list[Share]
    quality: dict[str, dict[str, Interval]]  # {distance or what else: {group: number}}
    cost: dict[str, Interval]
    notes: list[str]
    members: dict[str, int]  # of each group, as it is read
    back: Interval | None = None  # how often what was asked for is read
    doubts: tuple[str, ...] = ()  # categories of which nothing should be said


@dataclasses.dataclass(frozen=True)
class Audit:
    """The audit of several samplers."""

    data: Any = field(Workers(bias=0.5), "what is modelled, and held against")
    judged: Any = field(
        Workers(), "the same pictures with independent categories: what the reader learns from"
    )
    samplers: tuple[Audited, ...] = field((), "what is audited")
    about: str = field("occupation", "the category that is asked for")
    of: tuple[str, ...] = field(
        ("sex", "tone", "age"), "the categories that it is held against"
    )
    scale: tuple[float, ...] = field(
        SCALE, "places of the values of `about`, by which they are ordered; () = as they come"
    )
    reference: tuple[tuple[str, float], ...] = field(
        (), "shares that ought to be, as (('sex=woman', 0.5),); what is not named is the data's"
    )
    samples: int = field(2000, "pictures of each sampler")
    least: int = field(40, "members from which something is said of a group")
    compare: Comparisons = field(Holm(), "how p of many comparisons are adjusted")
    reader: Reader = field(
        Reader("attributes", steps=1200), "reads the categories of a picture"
    )
    features: Extractor = field(Components(24), "what distances are on")
    draws: int = field(2000, "of a reader and of what it reads, for each interval")
    seed: int = field(0, "of weights, orders and draws")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, reads, tells; UserError, before anything is written, for what cannot be audited."""
        check_names(self.samplers, "--samplers")
        at_least(1, least=self.least, samples=self.samples)
        # fewer have no quantiles worth the name
        at_least(100, draws=self.draws)
        at_least(0, seed=self.seed)
        source = self.data.load()
        self.check(source)
        task = Task(self.data, source, self.about, self.samples, self.seed, self.runs, origin)
        for entry in self.samplers:
            entry.of.check(task)
            self.check_folder(entry, task)
        judges = self.judges(source)
        log = place(HOME, name, self, origin)
        self.tell_reader(log, judges)
        found: dict[str, Found] = {}
        # one after the other: pictures of one sampler are in memory
        for entry in self.samplers:
            for title, drawn in entry.of.start(entry.name, task).items():
                found[title] = self.measured(title, drawn, judges)
                self.tell(log, title, found[title])
                keep_picture(log, title.replace(" ", "-"), self.shown(drawn, judges))
        words = auditwords.sentences(self, judges, found)
        log.result("In words", {str(i + 1): line for i, line in enumerate(words)})
        for line in words:
            log.note(line)
        keep_picture(log, "shares", auditwords.figure(self, judges, found))
        finish(log, auditwords.tables(self, judges, found))

    def check(self, source: Source) -> None:
        """Raises UserError for categories that the data lack, and for a scale and shares that do not fit them."""
        for group in (self.about, *self.of):
            check_group("of", group, source)
        values = values_of(source)
        k = len(values[self.about])
        if self.scale and len(self.scale) != k:
            raise UserError(
                f"--scale={self.scale}: {self.about} has {k} values, {', '.join(values[self.about])}: "
                "give each a place."
            )
        self.check_draws(values)
        self.check_count("--samples", self.samples, values)
        if any(isinstance(entry.of, Held) for entry in self.samplers):
            self.check_count("--data, Held()", size(single(held(source))), values)
        known = [f"{group}={value}" for group in self.of for value in values[group]]
        for name, _ in self.reference:
            if name not in known:
                raise UserError(f"--reference: {name!r} is none of {', '.join(known)}.")

    def check_draws(self, values: Values) -> None:
        """Raises UserError for draws so few that not even the least p of a group could be told of among all."""
        sizes = [len(values[group]) for group in self.of]
        compared = max(sum(sizes), math.prod(sizes))
        # the least p of S draws is 2 / (S + 1), and is multiplied by as many as are compared
        if self.draws < PER_COMPARISON * compared:
            raise UserError(
                f"--draws={self.draws}: {compared} groups are compared together, and so few draws can tell none: "
                f"use at least {PER_COMPARISON * compared}."
            )

    def check_folder(self, entry: Audited, task: Task) -> None:
        """Raises UserError for a folder of too few pictures, in all or of a value."""
        if not isinstance(entry.of, Filed):
            return
        drawn, _ = entry.of.read(task)
        values = values_of(task.source)
        self.check_count(f"--samplers, {entry.name}", len(drawn.images), values)

    def check_count(self, what: str, n: int, values: Values) -> None:
        """Raises UserError for pictures so few that perhaps no group of all categories at once had enough."""
        cells = math.prod(len(values[group]) for group in self.of)
        asked = len(values[self.about])
        if n // max(cells, asked) < self.least:
            raise UserError(
                f"{what}: {n} pictures in {max(cells, asked)} groups may leave none with --least={self.least} members: "
                "ask for more samples, or for fewer categories in --of."
            )

    def judges(self, source: Source) -> Judges:
        """The reader with its errors on held-out people, and what samples are held against."""
        # beside the runs: a reader of one data set serves them all
        folder = typed(self.runs) / "features"
        categories = (self.about, *self.of)
        judged = self.judged.load()
        tools = (self.reader, self.features, folder, self.least)
        return judges_of(source, judged, categories, *tools)

    def tell_reader(self, log: Log, judges: Judges) -> None:
        """How often the reader is right, of each value of each category."""
        for group, errors in judges.errors.items():
            right = np.diag(errors.matrix)
            values = judges.values[group]
            own = {value: float(share) for value, share in zip(values, right, strict=True)}
            log.result(f"reader: {group}", own)
            log.result(f"reader: {group} right, by group", dict(judges.served[group]))
            told = ", ".join(f"{value} {share:.3f}" for value, share in own.items())
            log.note(f"the reader is right on held-out people: {group} {told}")
        for group in self.of:
            if group not in judges.within:
                log.note(
                    f"the reader's errors in {group} are taken as the same whatever the {self.about}: fewer than "
                    f"{LEAST} held-out pictures show some pair of {self.about} and {group}"
                )

    def measured(self, title: str, drawn: Drawn, judges: Judges) -> Found:
        """All that is said of a sampler's pictures; UserError where all of them are in groups too small."""
        said = judges.answers(drawn.images)
        read = {group: said[:, judges.columns[group]].argmax(1) for group in judges.errors}
        first = read[self.about] if drawn.asked is None else drawn.asked
        tables = {group: self.table(drawn, read, group, judges) for group in self.of}
        # how often each value was asked for, or is read
        occupations = tables[self.of[0]].value.sum(1)
        cells, note = self.cells(title, read, judges, occupations)
        quality, notes = self.quality(title, drawn, read, judges)
        # what a mended sampler pays: far from the data, or from what they should be
        cost = {}
        features = judges.features(drawn.images)
        for name, real in judges.whole.items():
            far = distance(real, features)
            if far is not None:
                cost[name] = far
        back = None
        if drawn.asked is not None:
            right = read[self.about] == drawn.asked
            back = share(right.sum(), len(right))
        doubts = [group for group in self.of if self.doubted(read[group], group, judges)]
        for group in doubts:
            notes.append(
                f"{title}: no mixture of real pictures is read as these are in {group}, so that the reader errs "
                "otherwise on them, and nothing is said of it in words"
            )
        return Found(
            n=len(drawn.images),
            tables=tables,
            shares=self.shares(tables, judges),
            ties=self.ties(tables, first, read, judges),
            cells=cells,
            quality=quality,
            cost=cost,
            notes=[line for line in (note, *notes) if line],
            members=members(read, judges.values, self.of),
            back=back,
            doubts=tuple(doubts),
        )

    def doubted(self, read: np.ndarray, group: str, judges: Judges) -> bool:
        """Whether what is read cannot come of pictures like those that the reader was tested on."""
        classes = len(judges.values[group])
        counts = np.bincount(read, minlength=classes)
        errors = judges.errors[group]
        return plausible(counts, errors, self.draws, self.seed) < DOUBT

    def table(
        self, drawn: Drawn, read: Mapping[str, np.ndarray], group: str, judges: Judges
    ) -> Estimate:
        """Shares of what was asked for, or is read where nothing was, with a category."""
        errors = judges.errors[group]
        if drawn.asked is None:
            own = judges.errors[self.about]
            return read_table(read[self.about], read[group], own, errors, self.draws, self.seed)
        count = len(judges.values[self.about])
        # a reader that errs otherwise in one occupation than in another shows a gap where there is none
        errors = judges.within.get(group, errors)
        return asked_table(drawn.asked, read[group], count, errors, self.draws, self.seed)

    def data_table(self, table: Estimate, group: str, judges: Judges) -> np.ndarray:
        """The data's shares [K, G], what is asked for as often as in a table of samples."""
        sizes = [len(judges.values[self.about]), len(judges.values[group])]
        counts = cell_counts([judges.data[self.about], judges.data[group]], sizes)
        # labels, and no reading: without error
        within = conditional(counts)
        asked = table.value.sum(1, keepdims=True)
        return within * asked

    def shares(self, tables: Mapping[str, Estimate], judges: Judges) -> list[Share]:
        """The share of every group, beside the reference's."""
        names, wanted, values, draws = [], [], [], []
        for group, table in tables.items():
            own = [f"{group}={value}" for value in judges.values[group]]
            data = self.data_table(table, group, judges).sum(0)
            names += own
            wanted.append(asked_shares(dict(self.reference), own, data, "reference"))
            found = margin(table)
            values.append(found.value)
            draws.append(found.draws)
        # all categories at once, so that p are adjusted together
        value = np.concatenate(values)
        drawn = np.concatenate(draws, 1)
        reference = np.concatenate(wanted)
        some = next(iter(tables.values()))
        together = Estimate(value, drawn, some.n)
        return represented(together, names, reference, self.compare)

    def ties(
        self,
        tables: Mapping[str, Estimate],
        first: np.ndarray,
        read: Mapping[str, np.ndarray],
        judges: Judges,
    ) -> dict[str, dict[str, Any]]:
        """How far each category goes with what was asked for, in samples and in the data."""
        p = [independent(first, read[group], seed=self.seed) for group in tables]
        adjusted = self.compare(np.array(p))
        more = []
        for group, table in tables.items():
            data = self.data_table(table, group, judges)
            alike = raked(data, table.value.sum(0))
            # not Zhao's, which moves with how frequent a group is
            more.append(tail(directional(table.draws, alike), 0.0))
        changed = self.compare(np.array(more))
        found = {}
        for i, (group, table) in enumerate(tables.items()):
            data = self.data_table(table, group, judges)
            alike = raked(data, table.value.sum(0))

            def of(statistic: Callable, table: Estimate = table, data: Any = data) -> Interval:
                value = statistic(table.value, data)
                return interval(float(value), statistic(table.draws, data))

            found[group] = {
                "V": association(table),
                "V of the data": float(cramers_v(data)),
                "p, as read": float(adjusted[i]),
                "amplification": of(amplification),
                "directional": of(directional, data=alike),
                "p of directional": float(changed[i]),
                "spread": of(lambda joint, _: spread(joint).mean(-1)),
                "spread of the data": float(spread(data).mean()),
            }
            if self.scale:
                scale = np.array(self.scale)
                # of the share of the first value
                found[group]["slope over the scale"] = of(
                    lambda joint, _, scale=scale: slope(conditional(joint)[..., 0], scale)
                )
        return found

    def cells(
        self, title: str, read: Mapping[str, np.ndarray], judges: Judges, asked: np.ndarray
    ) -> tuple[list[Share], str]:
        """Shares of all categories at once, of the cells with members enough in samples or data, and what is left out.

        asked: the shares [K] of the values that were asked for, as often as which the data are taken.
        """
        if len(self.of) < 2:
            return [], ""
        sizes = [len(judges.values[group]) for group in self.of]
        counts = cell_counts([read[group] for group in self.of], sizes).ravel()
        names = crossed_names([judges.values[group] for group in self.of])
        data = self.data_cells(judges, asked)
        # what the data have in plenty and samples never show is told of too
        there = np.maximum(counts, counts.sum() * data)
        kept = enough(f"{title}, {' x '.join(self.of)}", there, names, self.least)
        errors = crossed(*(judges.errors[group] for group in self.of))
        found = corrected(counts, errors, self.draws, self.seed)
        value = found.value[kept.rows]
        draws = found.draws[:, kept.rows]
        some = Estimate(value, draws, found.n)
        own = [names[t] for t in kept.rows]
        reference = data[kept.rows]
        return represented(some, own, reference, self.compare), kept.told

    def data_cells(self, judges: Judges, asked: np.ndarray) -> np.ndarray:
        """The data's shares [T] of all categories at once, each value of `about` as often as asked for, [K]."""
        groups = (self.about, *self.of)
        sizes = [len(judges.values[group]) for group in groups]
        counts = cell_counts([judges.data[group] for group in groups], sizes)
        within = conditional(counts.reshape(len(asked), -1))
        return asked @ within

    def quality(
        self, title: str, drawn: Drawn, read: Mapping[str, np.ndarray], judges: Judges
    ) -> tuple[dict[str, dict[str, Interval]], list[str]]:
        """Distances by group and how often what was asked for is read, and what is left out."""
        found: dict[str, dict[str, Interval]] = {judges.distance: {}}
        if drawn.asked is not None:
            found["read back"] = {}
        notes = []
        for group in self.of:
            values = judges.values[group]
            counts = np.bincount(read[group], minlength=len(values))
            kept = enough(f"{title}, {group}", counts, values, self.least)
            notes.append(kept.told)
            for t in kept.rows:
                name = f"{group}={values[t]}"
                own = read[group] == t
                features = judges.features(drawn.images[own])
                far = distance(judges.real[group][t], features)
                if far is not None:
                    found[judges.distance][name] = far
                if drawn.asked is not None:
                    right = read[self.about][own] == drawn.asked[own]
                    found["read back"][name] = share(right.sum(), len(right))
        return found, notes

    def tell(self, log: Log, title: str, found: Found) -> None:
        """Records all numbers of a sampler."""
        shares = {each.name: told(each) for each in found.shares}
        log.result(f"{title}: shares", shares)
        cells = {each.name: told(each) for each in found.cells}
        if cells:
            log.result(f"{title}: together", cells)
        for group, own in found.ties.items():
            kept = {}
            for name, value in own.items():
                kept[name] = value if isinstance(value, float) else stored(value, found.n)
            log.result(f"{title}: {self.about} and {group}", kept)
        for name, own in found.quality.items():
            # a group's number is of its own pictures
            kept = {group: stored(value, found.members[group]) for group, value in own.items()}
            log.result(f"{title}: {name}", kept)
        cost = {name: stored(value, found.n) for name, value in found.cost.items()}
        log.result(f"{title}: distance", cost)
        for line in found.notes:
            log.note(line)

    def shown(self, drawn: Drawn, judges: Judges) -> np.ndarray:
        """A few pictures of each value that was asked for."""
        if drawn.asked is None:
            return grid(drawn.images[: 4 * SHOWN], SHOWN)
        values = judges.values[self.about]
        rows = [np.flatnonzero(drawn.asked == k)[:SHOWN] for k in range(len(values))]
        # as many of each
        least = min(map(len, rows))
        picked = np.concatenate([own[:least] for own in rows])
        return captioned(grid(drawn.images[picked], least), list(values))


def crossed_names(values: list[tuple[str, ...]]) -> list[str]:
    """The names of the cells of several categories, the last counted fastest."""
    names = [""]
    for own in values:
        longer = []
        for name in names:
            longer += [f"{name}, {value}".removeprefix(", ") for value in own]
        names = longer
    return names


def members(
    read: Mapping[str, np.ndarray], values: Values, of: Sequence[str]
) -> dict[str, int]:
    """How many pictures are read as each value of some categories, {"category=value": n}."""
    found = {}
    for group in of:
        counts = np.bincount(read[group], minlength=len(values[group]))
        for value, count in zip(values[group], counts, strict=True):
            found[f"{group}={value}"] = int(count)
    return found


def told(each: Share) -> dict[str, float]:
    """A share as results.json keeps it."""
    kept = stored(each.share, each.n)
    return {**kept, "reference": each.reference, "p": each.p}
