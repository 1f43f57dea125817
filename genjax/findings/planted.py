"""Does an audit find what was planted? Its intervals on pictures of the renderer, whose bias is known to it alone.

The renderer is the sampler: asked for an occupation it shows a woman as often as the planted bias says, drawn anew for
each picture. Each audit counts the reader's errors on some faces and is of others, none of them in both or in training,
drawn from one set of faces that are rendered once; all audits draw from it, so that they are not wholly independent of
each other. Told is how often the 95 % interval held what was planted, and how wide it was.

* `gap`: women among the first occupation less those among the last, of the occupations that were asked for;
* `gap, read`: the same with occupations as they are read; `V`: the dependence, read in both;
* `gap, uncorrected`: shares as they are read, with the interval that a reader without error would have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.audit.association import association, conditional
from genjax.audit.confusion import (
    Confusion,
    Differing,
    Estimate,
    confusion,
    differing,
    interval,
    perfect,
)
from genjax.audit.tables import asked_table, read_table
from genjax.config import field
from genjax.data.heads import ATTRIBUTES, Heads
from genjax.data.spoken.sentences import groups
from genjax.data.spoken.workers import NAMES, OCCUPATIONS, SCALE, SEXES, Workers, dressed
from genjax.errors import UserError, at_least, at_most, distinct
from genjax.findings.audited import HOME
from genjax.findings.tabled import Row, cell, finish, keep_picture, place
from genjax.machine.files import typed
from genjax.metrics.intervals import Interval, share
from genjax.metrics.reader import Reader
from genjax.pictures.bars import bars

WIDTH = 0.1  # that intervals are to have at most
SPARE = 1.2  # how many more faces of a sex there must be than are wanted in the mean


class Faces(NamedTuple):
    """M faces, and what is read of each in the coat of each occupation."""

    man: np.ndarray  # int [M]
    sex: np.ndarray  # int [M, K]
    work: np.ndarray  # int [M, K]


class Errors(NamedTuple):
    """The reader's, of one audit."""

    work: Confusion
    sex: Confusion
    in_coat: Differing  # of sex, in the coat of each occupation


@dataclasses.dataclass(frozen=True)
class Planted:
    """The calibration: audits of the renderer at several planted biases."""

    data: Workers = field(Workers(), "what the reader learns from")
    faces: Heads = field(
        Heads(people=16_000, shots=1, seed=1), "the faces of all audits: a picture a person"
    )
    biases: tuple[float, ...] = field((0.0, 0.2, 0.5, 0.8), "what is planted")
    audits: int = field(20, "audits of each bias, each by a seed")
    samples: int = field(9000, "pictures of an audit")
    tested: int = field(4000, "faces that the reader's errors are counted on")
    reader: Reader = field(Reader("attributes", steps=1200), "reads sex and occupation")
    draws: int = field(2000, "of a reader and of what it reads, for each interval")
    seed: int = field(0, "of the first audit")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Reads all faces once, audits, tells; UserError for sizes that leave too few."""
        self.check()
        source = self.data.load()
        # before minutes of reading
        log = place(HOME, name, self, origin)
        read = self.reader.reading(source.train, typed(self.runs) / "features")
        faces = self.read(lambda image: np.asarray(read(image).answers))
        held: dict[float, list[dict[str, Interval]]] = {bias: [] for bias in self.biases}
        for audit in range(self.audits):
            rng = np.random.default_rng(self.seed + audit)
            order = rng.permutation(len(faces.man))
            # no face is in both
            tested = order[: self.tested]
            rest = order[self.tested :]
            errors = self.errors(faces, tested, rng)
            for bias in self.biases:
                asked, rows = self.drawn(faces, rest, bias, rng)
                held[bias].append(self.found(faces, rows, asked, errors, audit))
        table: dict[str, Row] = {}
        for bias, audits in held.items():
            row = self.row(bias, audits)
            title = f"planted {bias:g}"
            log.result(title, row)
            table[title] = {key: told(value) for key, value in row.items()}
            held_in = row["gap held"]
            log.note(f"{title}: gap held in {held_in:.0f} of {self.audits}")
        keep_picture(log, "gaps", self.figure(held))
        finish(log, {f"Intervals of {self.audits} audits that held what was planted": table})

    def check(self) -> None:
        """Raises UserError for biases that are none, and for faces too few."""
        at_least(1, audits=self.audits)
        at_least(100, draws=self.draws)
        at_least(0, seed=self.seed)
        distinct("biases", self.biases)
        for bias in self.biases:
            at_least(0.0, biases=bias)
            at_most(1.0, biases=bias)
        at_least(len(OCCUPATIONS), samples=self.samples)
        at_least(1, tested=self.tested)
        if self.faces.size != self.data.size:
            raise UserError(
                f"--faces.size={self.faces.size}: the reader learns from pictures of {self.data.size} pixels: give "
                "--data.size the same."
            )
        if self.faces.shots != 1:
            raise UserError(
                f"--faces.shots={self.faces.shots}: several pictures of one person are no independent draws: use 1."
            )
        needed = self.tested + SPARE * self.samples
        if self.faces.people < needed:
            raise UserError(
                f"--faces.people={self.faces.people}: {self.tested} for the reader's errors and {self.samples} for an "
                f"audit need {needed:.0f}, for no face is in both: use more people, or fewer samples."
            )
        if self.faces.seed == self.data.seed:
            raise UserError(
                "--faces.seed is that of --data, so that the reader would know the faces: use another."
            )

    def read(self, answers: Callable[[np.ndarray], np.ndarray]) -> Faces:
        """All faces in all coats."""
        source = self.faces.load()
        splits = source.splits().values()

        def joined(name: str) -> np.ndarray:
            return np.concatenate([np.asarray(split[name]) for split in splits])

        image = joined("image")
        person = joined("person")
        female = ATTRIBUTES.index("female")
        woman = joined("attributes")[:, female].astype(np.int64)
        columns = groups(NAMES)
        # no audit renders or reads anew
        sex, work = [], []
        for k in range(len(OCCUPATIONS)):
            coat = np.full(len(image), k)
            shown = dressed(image, coat, person)
            said = answers(shown)
            of_sex = said[:, columns["sex"]]
            of_work = said[:, columns["occupation"]]
            sex.append(of_sex.argmax(1))
            work.append(of_work.argmax(1))
        return Faces(1 - woman, np.stack(sex, 1), np.stack(work, 1))

    def errors(self, faces: Faces, rows: np.ndarray, rng: np.random.Generator) -> Errors:
        """The reader's errors on some faces, in coats that nothing tells."""
        coat = rng.integers(0, len(OCCUPATIONS), len(rows))
        read = faces.sex[rows, coat]
        sex = confusion("sex", faces.man[rows], read, SEXES)
        read = faces.work[rows, coat]
        work = confusion("occupation", coat, read, OCCUPATIONS)
        # each of these faces in every coat: a gap between coats is what is asked for
        every = np.tile(np.arange(len(OCCUPATIONS)), len(rows))
        who = np.repeat(rows, len(OCCUPATIONS))
        sizes = (len(OCCUPATIONS), len(SEXES))
        in_coat = differing(every, faces.man[who], faces.sex[who, every], sizes, who)
        return Errors(work, sex, in_coat)

    def drawn(
        self, faces: Faces, rest: np.ndarray, bias: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(occupation [N], face [N]) of a sampler with this bias, no face twice; UserError where a sex runs out."""
        k = len(OCCUPATIONS)
        each = self.samples // k  # pictures of an occupation
        share = (1.0 + bias * np.array(SCALE)) / 2.0
        women = rng.binomial(each, share)  # [K]
        occupation = np.repeat(np.arange(k), each)
        place = np.tile(np.arange(each), k)
        # which of an occupation are women does not matter
        man = place >= women[occupation]
        rows = np.empty(len(man), np.int64)
        for sex in (0, 1):
            there = rest[faces.man[rest] == sex]
            own = rng.permutation(there)
            wanted = np.flatnonzero(man == sex)
            if len(own) < len(wanted):
                raise UserError(
                    f"--faces.people: {len(own)} faces of a sex are left where {len(wanted)} are drawn: use more."
                )
            rows[wanted] = own[: len(wanted)]
        return occupation, rows

    def found(
        self, faces: Faces, rows: np.ndarray, asked: np.ndarray, errors: Errors, seed: int
    ) -> dict[str, Interval]:
        """What one audit says."""
        sex = faces.sex[rows, asked]
        work = faces.work[rows, asked]
        count = len(OCCUPATIONS)
        both = read_table(work, sex, errors.work, errors.sex, self.draws, seed)
        # as if what is read were true
        plain = asked_table(asked, sex, count, perfect(len(SEXES)), self.draws, seed)
        return {
            "gap": gap(asked_table(asked, sex, count, errors.in_coat, self.draws, seed)),
            "gap, read": gap(both),
            "V": association(both),
            "gap, uncorrected": gap(plain),
        }

    def row(self, bias: float, audits: list[dict[str, Interval]]) -> dict[str, float]:
        """How often intervals held the truth, and how wide they were."""
        row: dict[str, float] = {}
        for name in audits[0]:
            # a gap is the bias itself
            truth = v_of(bias) if name == "V" else bias
            found = [audit[name] for audit in audits]
            widths = [each.high - each.low for each in found]
            holds = [each.low <= truth <= each.high for each in found]
            row[f"{name} held"] = sum(holds)
            row[f"{name} widest"] = float(np.max(widths))
        held = share(row["gap held"], len(audits))
        row["held, at least"] = held.low
        row["widest is at most a tenth"] = float(row["gap widest"] <= WIDTH)
        return row

    def figure(self, held: Mapping[float, list[dict[str, Interval]]]) -> np.ndarray:
        """The gap of each audit with its interval, beside what was planted."""
        series = {}
        for audit in range(min(self.audits, 10)):
            series[str(audit + 1)] = [own[audit]["gap"] for own in held.values()]
        names = [f"planted {bias:g}" for bias in held]
        return bars(series, names, "gap found", {"planted": list(held)})


def gap(table: Estimate) -> Interval:
    """Women among the first occupation less those among the last."""
    women = conditional(table.value)[:, 0]  # [K]
    drawn = conditional(table.draws)[..., 0]  # [S, K]
    value = women[0] - women[-1]
    draws = drawn[:, 0] - drawn[:, -1]
    return interval(value, draws)


def v_of(bias: float) -> float:
    """V of the planted table: half of all are women and occupations are alike, so φ² is the mean of (bias s)²."""
    square = np.square(SCALE)
    return float(bias * np.sqrt(square.mean()))


def told(value: float) -> str:
    """A count, or a number with three digits."""
    return f"{value:.0f}" if value == int(value) else cell(value)
