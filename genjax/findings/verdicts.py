"""Is a text written by a person or by a model, and how sure is that? Detectors by the author that they learned from.

Each detector learns from one author and is tested on all: on the diagonal of the table it knows whom it looks for. Real
texts are in four parts without a common document: what generators learned, what detectors learn, what thresholds are
set on, what all is measured on. As many real texts are tested as generated ones. Texts of a length are all whole pieces
of the windows, and intervals leave out a document, or an author's window, at a time. `real` beside the authors is half
of the real documents in the place of generated ones: where a detector has found anything there, it was of the topic.

Where both laws are known, the likelihood ratio is the bar, and how far below it each detector is has an interval over
the same texts: one that is above it for certain would have seen what it should not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.audit import alarms, best, ranking
from genjax.config import field
from genjax.data.windows import Part, Sequences, Windows
from genjax.errors import UserError, above, at_least, below, distinct
from genjax.findings.encoders import check_names
from genjax.findings.suspects import HOME, AnyAuthor, ChainAuthor, Suspect, Task
from genjax.findings.tabled import Row, cell, finish, place, stored, wide
from genjax.findings.witnesses import (
    BestRatio,
    Case,
    Curvature,
    MeanLogP,
    MeanLogRank,
    NgramRatio,
    Texts,
    TrainedDetector,
    Witness,
)
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import auroc, threshold
from genjax.training.log import Log

NULL = "real"  # the column of real texts in the place of generated ones
NO_ALARM = "no alarm"  # in the place of a share of them
SCORER = "scorer"  # and the name of its run directory
Sets = dict[str, dict[int, Texts]]  # part of an author, or of the real texts -> length -> texts
Scores = dict[str, np.ndarray]  # of the same parts, at one length


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """The comparison."""

    data: Windows | Sequences = field(Windows(), "real texts")
    suspects: tuple[Suspect, ...] = field((), "who wrote the others")
    witnesses: tuple[Witness, ...] = field(
        (NgramRatio(), MeanLogP(), MeanLogRank(), Curvature(), TrainedDetector()),
        "the detectors",
    )
    scorer: AnyAuthor | None = field(
        None, "a causal model that statistics are of; None = those need none"
    )
    lengths: tuple[int, ...] = field((50, 200, 1000), "tokens of a text")
    false_alarms: tuple[float, ...] = field(
        (0.01, 0.05), "shares that thresholds are set for, on held-out real texts"
    )
    draws: int = field(20_000, "texts of either law that the bar is estimated by")
    seed: int = field(0, "of weights, orders and texts")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, writes, judges; UserError, before anything is written, for what cannot be done."""
        task = Task(self.data, self.seed, self.runs, origin)
        # before any folder is made, and minutes of training are spent
        self.check(task)
        log = place(HOME, name, self, origin)
        sets = self.sets(task)
        tables: dict[str, dict[str, Row]] = {}
        order: dict[int, dict[str, Row]] = {length: {} for length in self.lengths}
        limits: dict[int, dict[str, Row]] = {length: {} for length in self.lengths}
        bars: dict[str, Row] = {}
        # a detector at a time: its net or its counts are let go before the next
        for suspect in self.suspects:
            found = self.judged(suspect, sets, task)
            for length in self.lengths:
                for witness, scores in found[length].items():
                    row = f"{witness}, of {suspect.name}"
                    order[length][row] = self.precisions(log, row, length, scores, sets)
                    limits[length] |= self.limits(log, row, suspect, length, scores, sets)
                if isinstance(suspect.of, ChainAuthor) and isinstance(self.data, Sequences):
                    bars |= self.bars(log, suspect, length, found[length], sets)
        # all orders before all limits: who reads one reads the others of its kind
        for length in self.lengths:
            tables[f"average precision, {length} {self.unit}"] = order[length]
        for length in self.lengths:
            tables[f"alarms, {length} {self.unit}"] = limits[length]
        if bars:
            tables["beside the best test"] = bars
        finish(log, tables)

    @property
    def unit(self) -> str:
        """What a text's length is counted in: a letter with an accent has two bytes."""
        return "tokens" if isinstance(self.data, Sequences) else "bytes"

    def check(self, task: Task) -> None:
        """Raises UserError for what leaves nothing to compare, and for texts that are too few or too short."""
        check_names(self.suspects, "--suspects")
        taken = [suspect.name for suspect in self.suspects if suspect.name in (NULL, SCORER)]
        if taken:
            raise UserError(
                f"--suspects: {taken[0]!r} is a name of the tables' own: use another."
            )
        at_least(0, seed=self.seed)
        at_least(1, draws=self.draws)
        if not self.lengths or not self.witnesses or not self.false_alarms:
            raise UserError(
                "--lengths, --witnesses and --false_alarms must name one each, at least."
            )
        # of two rows of one name the later one would be all that is left
        names = [witness.name for witness in self.witnesses]
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    f"--witnesses: two of them are {name!r} in the tables: keep one."
                )
        distinct("lengths", self.lengths)
        distinct("false_alarms", self.false_alarms)
        for length in self.lengths:
            at_least(1, lengths=length)
            if length > self.data.length:
                raise UserError(
                    f"--lengths: {length} is longer than the texts, {self.data.length}: set --data.length."
                )
        for rate in self.false_alarms:
            above(0, false_alarms=rate)
            below(1, false_alarms=rate)
        for witness in self.witnesses:
            witness.check(task, self.suspects)
            if witness.scored and self.scorer is None:
                raise UserError(
                    f"--scorer=None: {type(witness).__name__} is of a model that scores: name one, or leave it out."
                )
        source = self.data.load()
        held = self.data.parts()["held"]
        # for its error: the longest texts are the fewest
        fewest = len(held.pieces(max(self.lengths)).tokens)
        threshold(np.zeros(fewest), min(self.false_alarms))
        for suspect in self.suspects:
            suspect.of.check(source)
        if self.scorer is not None:
            self.scorer.check(source)
            self.scorer.check_scoring()

    def sets(self, task: Task) -> Sets:
        """All texts at all lengths, with what the scoring model says of them."""
        found: dict[str, Part] = {}
        for part, texts in self.data.parts().items():
            # what generators have read is judged by nobody
            if part != "model":
                found[part] = texts
        for suspect in self.suspects:
            for part, texts in suspect.parts(task).items():
                found[f"{suspect.name}/{part}"] = texts
        needed = any(witness.scored for witness in self.witnesses)
        say = None
        if needed and self.scorer is not None:
            # an author who scores is trained once
            same = [each.name for each in self.suspects if each.of == self.scorer]
            say = self.scorer.scored((*same, SCORER)[0], task)
        sets: Sets = {}
        for name, part in found.items():
            sets[name] = {}
            for length in self.lengths:
                tokens, group = part.pieces(length)
                # pieces are scored by themselves: a text of 50 tokens has no more before it
                told = {} if say is None else say(tokens)
                sets[name][length] = Texts(tokens, group, told)
        return sets

    def judged(self, suspect: Suspect, sets: Sets, task: Task) -> dict[int, dict[str, Scores]]:
        """{length: {detector: scores of held-out and test texts}} of all detectors that learned from an author."""
        kind = self.data.load()
        vocabulary = kind.fields[kind.main].vocabulary
        fit = sets["fit"], sets[f"{suspect.name}/fit"]
        case = Case(suspect, *fit, vocabulary, task)
        # of generated texts none is held out: thresholds are set on real ones alone
        tested = ["held", "test", *(f"{each.name}/test" for each in self.suspects)]
        found: dict[int, dict[str, Scores]] = {length: {} for length in self.lengths}
        for witness in self.witnesses:
            judge = witness.learn(case)
            for length in self.lengths:
                scores = {name: judge(sets[name][length]) for name in tested}
                found[length][witness.name] = scores
            keep = getattr(witness, "keep", None)  # of what others may want to ask later
            if keep is not None:
                own = {length: found[length][witness.name] for length in self.lengths}
                keep(case, own, sets)
        return found

    def precisions(
        self, log: Log, name: str, length: int, scores: Scores, sets: Sets
    ) -> dict[str, str]:
        """Average precision on each author, and on real texts against real ones."""
        row = {}
        real = sets["test"][length]
        for suspect in self.suspects:
            truth, group = tested(suspect, length, sets)
            found = ranking.precision(both(scores, suspect), truth, group)
            row[suspect.name] = wide(found)
            log.result(f"AP {length}: {name}: {suspect.name}", stored(found, len(truth)))
        # documents in the order of their numbers, which are by size
        _, number = np.unique(real.group, return_inverse=True)
        # every second document in the place of a generated one
        odd = number % 2 == 1
        if odd.any():
            found = ranking.precision(scores["test"], odd, real.group)
            row[NULL] = wide(found)
            row[f"{NULL}: share"] = cell(float(odd.mean()))
            log.result(f"AP {length}: {name}: {NULL}", stored(found, len(odd)))
        return row

    def limits(
        self, log: Log, name: str, suspect: Suspect, length: int, scores: Scores, sets: Sets
    ) -> dict[str, Row]:
        """What thresholds do on the author that a detector knows, and what is behind their alarms."""
        found: dict[str, Row] = {}
        theirs = f"{suspect.name}/test"
        for rate in self.false_alarms:
            # whatever the author: it is of real texts
            limit = threshold(scores["held"], rate)
            real, generated = scores["test"], scores[theirs]
            of_real = ranking.Flags(real > limit, sets["test"][length].group)
            of_theirs = ranking.Flags(generated > limit, sets[theirs][length].group)
            false = ranking.share(*of_real)
            hits = ranking.share(*of_theirs)
            right = alarms.accuracy(hits, false)
            told = {"false alarms": false, "hits": hits, "accuracy": right}
            for each in ranking.alarmed(of_real, of_theirs):
                told[f"real behind alarms, {100 * each.prior:g} % generated"] = each.real
            title = f"{name}, {100 * rate:g} %"
            n = min(len(real), len(generated))
            for what, value in told.items():
                log.result(f"{what} {length}: {title}", kept(value, n))
            found[title] = {what: shown(value) for what, value in told.items()}
        return found

    def bars(
        self,
        log: Log,
        suspect: Suspect,
        length: int,
        found: Mapping[str, Scores],
        sets: Sets,
    ) -> dict[str, Row]:
        """How far each detector that knows the author is from the likelihood ratio, on the same texts."""
        # both are chains, or there is no bar
        real: Any = self.data
        author: Any = suspect.of
        bar = best.best(real.law(), author.law(), length, self.draws, self.seed + 1)
        rows: dict[str, Row] = {}
        title = f"{suspect.name}, {length}"
        rows[f"{title}: the law"] = {"AUROC": cell(bar.auroc), "AP": cell(bar.precision)}
        log.result(f"bar {title}", {"AUROC": bar.auroc, "AP": bar.precision})
        truth, group = tested(suspect, length, sets)
        ours = found.get(BestRatio.name)
        for witness, scores in found.items():
            values = both(scores, suspect)
            row = {
                "AUROC": cell(auroc(values, truth).value),
                "AP": wide(ranking.precision(values, truth, group)),
            }
            if ours is not None and witness != BestRatio.name:
                # on the same texts: what is hard is hard for both
                less = ranking.difference(values, both(ours, suspect), truth, group)
                row["AUROC less the best's"] = wide(less, 4)
                row["passes it"] = "yes" if less.low > 0.0 else "no"
                log.result(f"less than the best {title}: {witness}", stored(less, len(truth)))
            rows[f"{title}: {witness}"] = row
        return rows


def kept(value: Interval, n: int) -> dict[str, float | None]:
    """An interval of n as results.json keeps it; a share of no alarm at all is null."""
    nothing = np.isnan(value.value)
    return {**stored(value, n), "value": None if nothing else value.value}


def shown(value: Interval) -> str:
    """An interval as a cell, in words where there was no alarm to have a share of."""
    return NO_ALARM if np.isnan(value.value) else wide(value)


def both(scores: Scores, suspect: Suspect) -> np.ndarray:
    """Scores of the real texts of the test, and behind them an author's."""
    return np.concatenate([scores["test"], scores[f"{suspect.name}/test"]])


def tested(suspect: Suspect, length: int, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """(which of the same texts are generated, whom each is of)."""
    real = sets["test"][length].group
    own = sets[f"{suspect.name}/test"][length].group
    truth = np.repeat([False, True], [len(real), len(own)])
    # no window has the number of a document
    return truth, np.concatenate([real, own + real.max() + 1])
