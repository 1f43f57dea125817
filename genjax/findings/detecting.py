"""Who tells generated pictures from real ones: trained on the pictures of one generator, tested on those of each.

The matrix, for every detector and for all together: average precision; the share of pictures that are told rightly at
a threshold of 1 and of 5 % false alarms; the calibration error of the probabilities. Thresholds, scales and directions
of scores come from held-out pictures of the row's own generator, so a column that is no row's own is a generator that
nobody has seen; but a detector that recovers pictures by a model of a generator's own family (`Recovered.twin`) has it
easy there, and that column is no part of `on others`. Real pictures of other examples are a generator too: in their
column a detector that finds anything has found a difference between portions.

Also how it lasts, AP on the diagonal after JPEG, another size, a crop, blur, noise, a screenshot; and which peaks each
generator leaves in the spectrum (`spectra`). Intervals are over groups, all pictures of a person say. A threshold's
rate is promised for a fresh group by as many held-out groups as the rate needs: where there are fewer, that is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.audit import ranking
from genjax.audit.handling import Handling
from genjax.audit.hardships import (
    Blurred,
    Cropped,
    Hardship,
    Noisy,
    Resaved,
    Resized,
    Screenshot,
)
from genjax.audit.judged import FEWEST, Halves, Scale, apart, ensemble, judged, scale_of
from genjax.config import field
from genjax.core import size
from genjax.data.batches import chosen
from genjax.data.portions import Reals
from genjax.errors import UserError, at_least, below
from genjax.findings import crossed, spectra
from genjax.findings.contenders import OfCodes, Own
from genjax.findings.detectors import Entry, Known, Recovered, Score, Task, enough
from genjax.findings.generated import (
    HOME,
    OTHER,
    Generator,
    Maker,
    RealAndGenerated,
    Untouched,
    picked,
)
from genjax.findings.tabled import Row, finish, keep_picture, place, wide
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import threshold
from genjax.pictures.draw import captioned, grid
from genjax.pictures.heat import heat, lines
from genjax.training.log import Log

ALL = "together"
SHOWN = 12  # pictures of a generator in a row
HARDSHIPS = (
    *(Resaved(quality) for quality in (95, 75, 50, 30)),
    *(Resized(factor) for factor in (0.5, 0.75, 1.5)),
    *(Cropped(share) for share in (0.9, 0.75)),
    *(Blurred(width) for width in (0.5, 1.0)),
    *(Noisy(sigma) for sigma in (0.02, 0.05)),
    *(Screenshot(gamma) for gamma in (0.8, 1.2)),
)
Parts = dict[str, tuple[np.ndarray, np.ndarray]]  # {part: (real, generated)}
Lasted = dict[str, list[Interval]]  # {detector: AP after no hardship and after each}


class Line(NamedTuple):
    """Logits of one detector that learned from one generator."""

    held: Halves  # of held-out pictures, the generated ones of its own generator [N each]
    real: np.ndarray  # of the test's [M]
    generated: dict[str, np.ndarray]  # {generator: [M]}


@dataclasses.dataclass(frozen=True)
class Detection:
    """The comparison."""

    reals: Reals = field(Reals(), "the real pictures and how they are shared out")
    generators: tuple[Generator, ...] = field((), "who makes pictures, besides the real ones")
    detectors: tuple[Entry, ...] = field((), "who tells them apart")
    handling: Handling = field(Handling(), "what all pictures go through alike")
    rates: tuple[float, ...] = field((0.01, 0.05), "shares of false alarms for the thresholds")
    train: int = field(2000, "pictures of each kind to learn from, at most")
    held: int = field(1000, "of each kind for scales and thresholds, at most")
    test: int = field(1000, "of each kind in a test, at most")
    hardships: tuple[Hardship, ...] = field(HARDSHIPS, "what pictures of the test go through")
    lasting: int = field(100, "pictures of each kind that go through it, 0 = none")
    refuse: bool = field(
        True, "raise an error where what is no picture tells the halves apart", execution=True
    )
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, scores, judges; UserError, before anything is trained, for what cannot be done."""
        # what can be told of the config alone, before folders are made
        self.check()
        log = place(HOME, name, self, origin)
        for line in self.few():
            log.note(line)
        makers = (Untouched(), *self.generators)
        # all generators before any detector: a matrix with a hole is none
        sets = {maker.name: self.data(maker).halves()[1] for maker in makers}
        found: dict[str, dict[str, Line]] = {entry.name: {} for entry in self.detectors}
        found[ALL] = {}
        lasts: dict[str, Lasted] = {}
        shared: dict[str, Score] = {}  # of those that learn from no generator
        # the real pictures of all sets are the same: once is enough
        real = self.worn(sets[OTHER]["test"][0])
        group = self.groups("test").real
        worn = picked(group, min(self.lasting, len(group)))  # of those pictures
        for maker in makers:
            rows, scales = self.row(maker, sets, shared)
            for detector, line in rows.items():
                found[detector][maker.name] = line
            # of real pictures against real ones nothing can last
            if self.lasting and maker.name != OTHER:
                generated = self.worn(sets[maker.name]["test"][1])
                lasts[maker.name] = _lasted(real, generated, scales, worn)
            log.note(f"{maker.name}: scored by {', '.join(rows)}")
        tables = self.tell(log, found)
        if lasts:
            tables |= self.tell_lasting(log, lasts)
        tested = {name: parts["test"] for name, parts in sets.items()}
        tables |= spectra.tell(log, tested, self.groups("test"))
        self.draw(log, tested)
        finish(log, tables)

    def check(self) -> None:
        """Raises UserError for numbers that leave nothing, names of two, and too few held-out pictures."""
        at_least(1, train=self.train, held=self.held, test=self.test)
        at_least(0, seed=self.seed, lasting=self.lasting)
        if not self.generators or not self.detectors:
            raise UserError(
                "--generators and --detectors must not be empty: there is nothing to tell apart, or nobody to do it."
            )
        for what, entries in (("generators", self.generators), ("detectors", self.detectors)):
            _distinct(what, [entry.name for entry in entries])
        for entry in self.detectors:
            entry.of.check(entry.name)
        for hardship in self.hardships:
            hardship.check()
        below(1, **{f"rates.{i}": rate for i, rate in enumerate(self.rates)})
        for rate in self.rates:
            # for its error: before the training
            threshold(np.zeros(self.held), rate)
        # and what the set itself cannot give
        self.fits()

    def fits(self) -> None:
        """Raises UserError for data that are no pictures, or too few, or too small for who is to learn them."""
        data = self.data(Untouched())
        source = data.opened()
        counts = data.counts(source)
        if counts["held"] < FEWEST:
            raise UserError(
                f"--held: {counts['held']} held-out pictures of each kind are too few to scale scores by: hold out "
                f"{FEWEST} or more, by --held or by --reals.of."
            )
        for rate in self.rates:
            threshold(np.zeros(counts["held"]), rate)
        whole = size(self.reals.portions(source)["generator"])
        as_made = Known(tuple(source.shape), source.classes, counts["train"], whole)
        for maker in self.generators:
            _makes(maker, as_made)
        seen = as_made._replace(shape=self.handling.shape(as_made.shape))
        for entry in self.detectors:
            entry.of.fits(entry.name, seen)
        # of what real pictures carry nobody has to be trained to know
        data.halves()

    def few(self) -> list[str]:
        """A line for each rate that too few groups of held-out real pictures promise; of pictures see `check`."""
        n = len(np.unique(self.groups("held").real))
        lines = []
        for rate in self.rates:
            try:
                threshold(np.zeros(n), rate)
            except UserError:
                fewest = math.ceil(round(1.0 / rate, 9)) - 1
                lines.append(
                    f"{n} held-out groups by --reals.group={self.reals.group!r} promise no rate of {rate:g} false "
                    f"alarms for a fresh one, which takes {fewest}: it is of more pictures of the same groups."
                )
        return lines

    def data(self, maker: Maker) -> RealAndGenerated:
        """The labelled set of a generator."""
        # in the order of the fields
        counts = (self.train, self.held, self.test)
        more = (self.seed, self.refuse, self.runs)
        return RealAndGenerated(self.reals, maker, self.handling, *counts, *more)

    def row(
        self, maker: Maker, sets: Mapping[str, Parts], shared: dict[str, Score]
    ) -> tuple[dict[str, Line], dict[str, tuple[Score, Scale]]]:
        """({detector: its line}, {detector: (its scores, their scale)}) after learning from one generator."""
        own = sets[maker.name]
        # of the first set for all: the same arrays are scored once by those that learn from no generator
        real = sets[OTHER]
        # the halves have been looked at: once is enough
        data = dataclasses.replace(self.data(maker), refuse=False)
        task = Task(data, *own["train"], self.labels(), self.seed, self.runs)
        rows, scales = {}, {}
        for entry in self.detectors:
            score = shared.get(entry.name)
            if score is None:
                called = f"{maker.name}-{entry.name}" if entry.of.learns else entry.name
                score = entry.of.start(called, task)
                if not entry.of.learns:
                    # the same for all generators: only its scale is another
                    score = shared[entry.name] = _once(score)
            held = Halves(score(real["held"][0]), score(own["held"][1]))
            scale = scale_of(held)
            # the scale is of this row's generator, whatever is tested
            generated = {name: scale(score(parts["test"][1])) for name, parts in sets.items()}
            tested = scale(score(real["test"][0]))
            logits = Halves(*(scale(half) for half in held))
            rows[entry.name] = Line(logits, tested, generated)
            scales[entry.name] = (score, scale)
        rows[ALL] = _together(rows)
        return rows, scales

    def labels(self) -> np.ndarray | None:
        """Classes of the real pictures that detectors learn from, where the data have any."""
        source = self.reals.load()
        if source.classes < 2:
            return None
        label = self.reals.portions(source)["train"]["label"]
        n = self.data(Untouched()).counts(source)["train"]
        return np.asarray(label[chosen(n, len(label))])

    def worn(self, images: np.ndarray) -> list[np.ndarray]:
        """Some pictures of a test as they are, and after each hardship."""
        if not self.lasting:
            return []
        # sets may be sorted: their head is no fair part
        some = picked(images, min(self.lasting, len(images)))
        return [some, *(hardship(some) for hardship in self.hardships)]

    def tell(
        self, log: Log, found: Mapping[str, Mapping[str, Line]]
    ) -> dict[str, dict[str, Row]]:
        """Judges all cells, records them, draws the heat map; the tables."""
        tables: dict[str, dict[str, Row]] = {"over generators": {}}
        shares = {}
        groups = self.groups("test")
        for detector, rows in found.items():
            cells = self.cells(rows, groups)
            # every number of every cell; tables show some
            log.result(f"matrix {detector}", crossed.kept(cells, len(groups.real)))
            told = f"{detector}: average precision, trained on (row), tested on (column)"
            tables[told] = crossed.table(cells, lambda cell: cell.average_precision)
            shares[detector] = crossed.values(cells)
            if detector == ALL:
                tables |= self.more(cells)
        names = list(found[ALL])
        columns = list(found[ALL][names[0]].generated)
        picture = heat(shares, names, columns, "tested on", "trained on")
        keep_picture(log, "matrix", picture)
        for name, values in shares.items():
            missed = crossed.missed(values, names)
            log.result(f"verdict {name}", {"missed": missed})
            log.note(f"{name}: {'; '.join(missed) or 'no cell misses what was hoped for'}")
        numbers = {
            name: crossed.numbers(v, names, self.twins(name)) for name, v in shares.items()
        }
        log.result("over generators", numbers)
        for name, values in numbers.items():
            tables["over generators"][name] = {key: f"{v:.3f}" for key, v in values.items()}
        return tables

    def twins(self, detector: str) -> set[str]:
        """The generators of the family by whose model a detector recovers pictures; of all together, those of any."""
        found = set()
        for entry in self.detectors:
            if detector in (entry.name, ALL) and isinstance(entry.of, Recovered):
                found |= {made.name for made in self.generators if entry.of.twin(made.exp)}
        return found

    def cells(self, rows: Mapping[str, Line], groups: Halves | None = None) -> crossed.Cells:
        """{trained on: {tested on: cell}} of one detector; groups: of real pictures, and of those in their place."""
        found: crossed.Cells = {}
        for trained, line in rows.items():
            found[trained] = {}
            for tested, generated in line.generated.items():
                pair = Halves(line.real, generated)
                of_pair = None if groups is None else _groups(groups, tested)
                found[trained][tested] = judged(pair, line.held.real, self.rates, of_pair)
        return found

    def groups(self, part: str) -> Halves:
        """What belongs together among the real pictures of a part, and among the other ones in their column."""
        source = self.reals.load()
        portions = self.reals.portions(source)
        n = self.data(Untouched()).counts(source)[part]
        if not self.reals.group:
            return apart(n, n)
        found = [self.reals.numbers(portions[name]) for name in (part, f"{part}_other")]
        return Halves(*(picked(numbers, n) for numbers in found))

    def more(self, cells: crossed.Cells) -> dict[str, dict[str, Row]]:
        """The other tables of all detectors together."""
        tables = {}
        for rate in self.rates:
            title = f"{ALL}: accuracy at {100 * rate:g} % false alarms"
            tables[title] = crossed.table(
                cells, lambda cell, rate=rate: cell.bars[rate].accuracy
            )
        tables[f"{ALL}: expected calibration error"] = crossed.table(
            cells, lambda cell: cell.ece
        )
        return tables

    def tell_lasting(self, log: Log, lasts: Mapping[str, Lasted]) -> dict[str, dict[str, Row]]:
        """The mean AP of the diagonal after each hardship: recorded, drawn, and as a table."""
        names = ["as it is", *(f"{each.name} {each.at:g}" for each in self.hardships)]
        rows: dict[str, Row] = {}
        curves: dict[str, dict[str, dict[float, float]]] = {}
        for detector in next(iter(lasts.values())):
            # [generators, 1 + hardships, 3]: values and ends
            of_all = np.array([of_row[detector] for of_row in lasts.values()])
            # the mean of the ends is wide enough, however the generators' errors go together
            mean = [Interval(*map(float, of)) for of in of_all.mean(0)]
            values = {name: of._asdict() for name, of in zip(names, mean, strict=True)}
            each = {name: of.tolist() for name, of in zip(lasts, of_all, strict=True)}
            log.result(f"lasting {detector}", {"mean": values, "each": each})
            rows[detector] = {name: wide(of, 2) for name, of in zip(names, mean, strict=True)}
            for hardship, of in zip(self.hardships, mean[1:], strict=True):
                # a panel for each kind, over its own number
                panel = curves.setdefault(hardship.name, {})
                panel.setdefault(detector, {})[hardship.at] = of.value
        if curves:
            keep_picture(log, "lasting", lines(curves, "average precision", (0.4, 1.02)))
        title = f"average precision on its own generator, mean of {len(lasts)}, after"
        return {title: rows}

    def draw(self, log: Log, tested: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Pictures of the test: real ones, and those of every generator."""
        real, _ = tested[OTHER]
        rows = [real, *(generated for _, generated in tested.values())]
        # a set may be smaller than a row
        shown = min(SHOWN, *map(len, rows))
        picture = grid(np.concatenate([picked(row, shown) for row in rows]), shown)
        keep_picture(log, "generators", captioned(picture, ["test", *tested]))


def _distinct(what: str, names: list[str]) -> None:
    """Raises UserError for names that are empty, there twice, or taken."""
    for name in names:
        if not name or names.count(name) > 1 or name in (OTHER, ALL):
            raise UserError(
                f"--{what}: each needs a name of its own, other than {OTHER!r} and {ALL!r}, got {', '.join(names)}."
            )


def _makes(maker: Generator, known: Known) -> None:
    """Raises UserError for a generator that does not fit the pictures, has too few of them, or makes none."""
    algorithm = known.bind(maker.exp, known.classes)
    enough(f"--generators: {maker.name}", maker.exp, known.whole)
    if algorithm.sample is None and isinstance(maker.draw, Own):
        raise UserError(
            f"--generators: {maker.name} makes no samples: give it draw=OfCodes(...), or use another model."
        )
    if known.classes < 2 and isinstance(maker.draw, OfCodes):
        raise UserError(
            f"--generators: {maker.name} draws codes by class, and the real pictures have no labels: use a model that "
            "samples by itself."
        )


def _once(score: Score) -> Score:
    """A score that is computed once for each array: all rows ask it of the same pictures."""
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def found(images: np.ndarray) -> np.ndarray:
        # the array is kept too: of one that is gone another may have the number
        if id(images) not in known:
            known[id(images)] = (images, score(images))
        return known[id(images)][1]

    return found


def _groups(groups: Halves, tested: str) -> Halves:
    """The groups of a pair of halves: what was generated is nobody's picture, and each is a group of its own."""
    if tested == OTHER:
        return groups
    beyond = 1 + groups.real.max()
    return Halves(groups.real, beyond + np.arange(len(groups.real)))


def _together(rows: Mapping[str, Line]) -> Line:
    """The line of the mean logit of all detectors, scaled again: a mean of such as disagree is too unsure."""
    held = _mean({name: line.held for name, line in rows.items()})
    scale = scale_of(held)
    real = ensemble({name: line.real for name, line in rows.items()})
    generated = {}
    for tested in next(iter(rows.values())).generated:
        mean = ensemble({name: line.generated[tested] for name, line in rows.items()})
        generated[tested] = scale(mean)
    return Line(Halves(*(scale(half) for half in held)), scale(real), generated)


def _lasted(
    real: list[np.ndarray],
    generated: list[np.ndarray],
    scales: Mapping[str, tuple[Score, Scale]],
    group: np.ndarray,
) -> Lasted:
    """AP after no hardship and after each on a row's own generator; group: of the real pictures [N]."""
    found: Lasted = {name: [] for name in (*scales, ALL)}
    for halves in zip(real, generated, strict=True):
        logits = {}
        for name, (score, scale) in scales.items():
            logits[name] = Halves(*(scale(score(half)) for half in halves))
        logits[ALL] = _mean(logits)
        for name, pair in logits.items():
            found[name].append(_precision(pair, group))
    return found


def _mean(logits: Mapping[str, Halves]) -> Halves:
    """The mean logits of all detectors."""
    real = ensemble({name: pair.real for name, pair in logits.items()})
    generated = ensemble({name: pair.generated for name, pair in logits.items()})
    return Halves(real, generated)


def _precision(pair: Halves, group: np.ndarray) -> Interval:
    """Average precision of as many of each kind, with its interval over groups of the real ones [N]."""
    logits = np.concatenate(pair)
    truth = np.arange(len(logits)) >= len(pair.real)
    of_both = np.concatenate(_groups(Halves(group, group), ALL))
    return ranking.precision(logits, truth, of_both)
