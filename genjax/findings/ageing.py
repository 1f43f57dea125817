"""Younger and older: ways to change the age in a face, held against the renderer's own picture of the person.

Test people are drawn by the renderer so many years before the asked age, and at it: the same shot, so every answer has
a truth. Of answers are measured

* the age that a reader sees beside the years that were asked for, |read - asked|, and its share of that of `nothing`;
* whether it is still the person: the cosine of the identity's embeddings of answer and input, beside that of two real
  pictures of the person at the two ages, the row `truth`, and its share of that; and the cosine of answer and truth;
* whether all else stayed: PSNR and SSIM to the truth, PSNR of the background alone, landmarks and pose against the
  renderer's, answers of the reader about the expression that are as the truth has it;
* how far answers are from real faces, `fd`.

A change of 0 years asks for the input itself: what a way loses there, as by an inversion, no change of age can bring
back.

Neither reader was in a loss; both learn from pictures of training people alone, and what they make of real pictures of
the test people is the row `truth`: nothing below it can be told. Floors: the input as it is, and the training face of
about the asked age that is nearest to it. Each person is in one picture a table, so bootstraps are over people, and the
jackknife of `fd`, which is of all changes together, leaves out a person at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import edit, field
from genjax.data.aged import Aged
from genjax.data.batches import chosen
from genjax.data.heads import PARTS, Heads, Shots, examples
from genjax.errors import UserError, at_least
from genjax.findings.directed import Directed
from genjax.findings.directions import over_people, square
from genjax.findings.encoders import check_names
from genjax.findings.knobs import World, world_of
from genjax.findings.restored import decibels, window
from genjax.findings.tabled import Row, finish, keep_picture, place, stored, wide
from genjax.findings.years import Asked, Edited, Translated, Way, check_range
from genjax.machine.files import typed
from genjax.metrics.frechet import Moments, frechet, moments
from genjax.metrics.identity import CosFace, Embed, csim, verified
from genjax.metrics.images import mse, ssim
from genjax.metrics.intervals import Interval, by_group, of_ratio
from genjax.metrics.nearest import nearest as nearest_of
from genjax.metrics.reader import Read, Reader
from genjax.pictures.draw import captioned, grid
from genjax.training import loop
from genjax.training.log import Log
from genjax.training.run import Run

HOME = "deage"  # the folder of these runs
PEAK = 255.0
SHOWN = 6  # people in a picture
# rows that no model makes: a ceiling and two floors
TRUTH, NOTHING, NEAREST = "truth", "nothing", "nearest"
UNIT = {
    "age": "years",
    "PSNR": "dB",
    "background": "dB",
    "landmarks": "pixels",
    "pose": "degrees",
}
# answers about the expression, which an age leaves as it is
EXPRESSION = ("mouth open", "smiling", "eyes closed")
# values of each person, [M], by column
Values = dict[str, np.ndarray]


class Judges(NamedTuple):
    """What reads pictures, after learning from the training people."""

    reader: Reader
    read: Callable[[Any], Read]
    places: Mapping[str, list[int]]  # name of a field -> its columns among the numbers
    embed: Embed
    real: Moments  # of the reader's features of training pictures
    expression: tuple[int, ...] = ()  # columns among the answers


@dataclasses.dataclass(frozen=True)
class Competitor:
    """A way under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    of: Translated | Edited | Directed = field(Translated(), "how ages are changed")


@dataclasses.dataclass(frozen=True)
class Ageing:
    """The comparison."""

    data: Aged = field(Aged(), "the faces")
    ways: tuple[Competitor, ...] = field((), "what is compared")
    changes: tuple[float, ...] = field(
        (-40.0, -20.0, 0.0, 20.0, 40.0), "years from given to asked"
    )
    people: int = field(200, "test people, at most")
    close: float = field(5.0, "years from the asked age within which a training face is of it")
    reader: Reader = field(
        Reader("attributes", ("age", "pose", "landmarks")),
        "reads years, pose, landmarks and expression of pictures",
    )
    identity: CosFace = field(CosFace(), "reads who is in a picture")
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, asks, reads; UserError, before anything is written, for what cannot be done."""
        # what can be told of the config alone, before pictures are rendered
        self.check()
        source = self.data.load()
        for entry in self.ways:
            entry.of.check(source)
        # rendered once: all ways are asked the same
        questions = {change: self.asked(change) for change in self.changes}
        log = place(HOME, name, self, origin)
        judges = self.judges(source, log)
        tables: dict[str, dict[str, Row]] = {}
        shown: dict[str, dict[str, np.ndarray]] = {}
        answers: dict[str, list[np.ndarray]] = {}
        ways = {TRUTH: _truth, NOTHING: _nothing, NEAREST: self.nearest(source)}
        for entry in self.ways:
            ways[entry.name] = entry.of.start(self.run(entry, origin))
        for change, asked in questions.items():
            title = f"{change:+.0f} years"
            values: dict[str, Values] = {}
            shown[title] = {"input": asked.given[:SHOWN] / PEAK}
            for who, way in ways.items():
                # readers must see nothing that a picture could not show
                made = np.clip(np.float32(way(asked)), 0.0, 1.0)
                values[who] = measured(made, asked, judges)
                shown[title][who] = made[:SHOWN]
                # `distances` puts changes together: a covariance needs many
                answers.setdefault(who, []).append(made)
            n = len(asked.given)
            rows = {}
            for who, own in values.items():
                found = {**intervals(own), **shares(own, values)}
                rows[who] = self.tell(log, f"{title}: {who}", found, n)
            tables[f"{title}, {n} people"] = rows
        tables["all changes"] = self.distances(log, answers, judges)
        for title, rows in shown.items():
            keep_picture(log, title.replace(" ", "-"), pictured(rows))
        finish(log, tables)

    def check(self) -> None:
        """Raises UserError for ages outside the data's, and for numbers that leave nothing."""
        check_names(self.ways, "--ways")
        # over one person there is no interval
        at_least(2, people=self.people)
        at_least(0, seed=self.seed, close=self.close)
        at_least(2, data__shots=self.data.shots)  # of one picture nobody can learn who it is of
        self.data.check()
        self.check_readers()
        low, high = self.data.years
        for entry in self.ways:
            check_range(entry.name, entry.of.exp.algorithm, self.data.years)
        for change in self.changes:
            # by the whole range there would be a single age to begin from
            if not abs(change) < high - low:
                raise UserError(
                    f"--changes: {change:g} years lead out of the ages of the data, {low:g} to {high:g}: ask for less, "
                    "or set --data.years."
                )

    def check_readers(self) -> None:
        """Raises UserError for what the data do not tell, and for a reader of no years."""
        fields = self.data.fields()
        self.reader.names(fields)
        if "age" not in self.reader.numbers:
            raise UserError(
                f"--reader.numbers={self.reader.numbers}: the tables are of years, so 'age' must be read."
            )
        if self.identity.group not in fields:
            raise UserError(
                f"--identity.group={self.identity.group}: the data have {', '.join(fields)} and no such field."
            )

    def run(self, entry: Competitor, origin: Mapping[str, Any]) -> Run:
        """The trained run of a way."""
        # the same data and seed for all ways, whatever their experiments say
        changes = {"data": self.data, "seed": self.seed, "runs": self.runs, "finish": ()}
        exp = edit(entry.of.exp, changes)
        return loop.run(HOME, exp, entry.name, {**origin, "differences": {}})

    def asked(self, change: float) -> Asked:
        """One picture of each test person at an age from which the change leads to another one of the data."""
        world = world_of(self.heads(), "test")
        # one picture a person: intervals are over people
        _, first = np.unique(world.shots.person, return_index=True)
        n = min(self.people, len(first))
        some = world.rows(first[chosen(n, len(first))])
        low, high = self.data.years
        # the rank of a person's age among all is kept
        rank = (self.data.evenly(some.shots.years) - low) / (high - low)
        room = high - low - abs(change)
        # so that both ages lie in the range, whichever way the change goes
        before = low + max(-change, 0.0) + rank * room
        return self.rendered(some, before, before + change)

    def heads(self) -> Heads:
        """The people and shots that the pairs are made of."""
        return Heads(self.data.size, self.data.people, self.data.shots, self.data.seed)

    def rendered(self, world: World, before: np.ndarray, years: np.ndarray) -> Asked:
        """The pictures of a world at two ages [M]."""
        given = examples(world.people, at(world.shots, before), self.data.size)
        # landmarks of the asked age: proportions change with the years
        after = examples(world.people, at(world.shots, years), self.data.size)
        behind = PARTS.index("background")
        # where hair goes there was none of it
        both = (given["parts"] == behind) & (after["parts"] == behind)
        return Asked(
            given=given["image"],
            before=np.float32(before)[:, None],
            years=np.float32(years)[:, None],
            truth=after["image"],
            landmarks=after["landmarks"],
            pose=after["pose"],
            attributes=after["attributes"],
            background=both,
        )

    def judges(self, source: Any, log: Log) -> Judges:
        """Both readers, with their own errors on held-out people."""
        # beside the runs: readers of one data set serve them all
        folder = typed(self.runs) / "features"
        read = self.reader.reading(source.train, folder)
        embed = self.identity.embedding_of(source.train, folder)
        answers, numbers = self.reader.names(source.fields)
        places = {"age": [], "landmarks": []}
        for i, name in enumerate(numbers):
            # a field of several numbers has them as landmarks_0, landmarks_1, …
            field_of = name.rpartition("_")[0] or name
            places.setdefault(field_of, []).append(i)
        # float32 has too few digits for a covariance
        features = np.float64(read(source.train["image"]).features)
        expression = [i for i, name in enumerate(answers) if name in EXPRESSION]
        real = moments(features)
        judges = Judges(self.reader, read, places, embed, real, tuple(expression))
        errors = self.errors(source.test, judges)
        log.result("readers on held-out people", errors)
        for what, value in errors.items():
            log.note(f"readers: {what} {value:.3f}")
        return judges

    def errors(self, test: Mapping[str, Any], judges: Judges) -> dict[str, float]:
        """How far readers are off on real pictures of the test people: no result can be finer."""
        read = judges.read(test["image"])
        numbers = np.asarray(read.numbers)
        off = np.abs(numbers[:, judges.places["age"]] - test["age"])
        # with the ages: can it tell who it is across years?
        known = verified(judges.embed(test["image"]), test["person"], test["age"])
        errors = {
            "mean error of years": float(off.mean()),
            "AUROC of who is who": known.auroc,
            "equal error rate": known.eer,
            "cosine, one person within 10 years": known.same_age.value,
            "cosine, one person further apart": known.other_age.value,
            "cosine, two people": known.others.value,
        }
        if judges.places.get("landmarks"):
            far = distance_of(numbers[:, judges.places["landmarks"]], test["landmarks"])
            errors["mean error of landmarks in pixels"] = float(far.mean())
        if judges.places.get("pose"):
            errors["mean error of pose in degrees"] = float(
                turned(numbers, test["pose"], judges).mean()
            )
        if judges.expression:
            right = as_true(read, test["attributes"], judges)
            errors["right answers about the expression"] = float(right.mean())
        return errors

    def nearest(self, source: Any) -> Way:
        """Of the training faces of about the asked age the one whose pixels are nearest to the input."""
        pictures = np.asarray(source.train["image"])
        years = np.ravel(source.train["age"])

        def copied(asked: Asked) -> np.ndarray:
            found = []
            for given, wanted in zip(asked.given, np.ravel(asked.years), strict=True):
                away = np.abs(years - wanted)
                of_age = np.flatnonzero(away <= self.close)
                # of a small set perhaps nobody: then whoever is least away
                if not len(of_age):
                    of_age = np.argmin(away)[None]
                _, number = nearest_of(given[None] / PEAK, pictures[of_age] / PEAK)
                found.append(pictures[of_age[number[0]]])
            return np.stack(found) / PEAK

        return copied

    def distances(
        self,
        log: Log,
        answers: Mapping[str, list[np.ndarray]],
        judges: Judges,
    ) -> dict[str, Row]:
        """The Fréchet distance of all answers of a way from training faces; that of the truth is the floor."""
        rows = {}
        for who, made in answers.items():
            features = np.float64(judges.read(np.concatenate(made)).features)
            people = len(made[0])
            # a covariance of fewer pictures than features is none, without anybody too
            if len(features) - len(made) <= features.shape[1]:
                continue
            far = apart(judges.real, features, people)
            rows[who] = self.tell(log, f"distance: {who}", {"fd_reader": far}, people)
        return rows

    def tell(self, log: Log, title: str, found: Mapping[str, Any], n: int) -> Row:
        """Records a row, and returns its cells."""
        row = {}
        kept = {}
        for column, value in found.items():
            kept[column] = stored(value, n)
            unit = f" [{UNIT[column]}]" if column in UNIT else ""
            row[f"{column}{unit}"] = wide(value, 2)
        log.result(title, kept)
        return row


def at(shots: Shots, years: np.ndarray) -> Shots:
    """The same shots at other ages [M]."""
    return shots._replace(years=years.astype(np.float32))


def _truth(asked: Asked) -> np.ndarray:
    return asked.truth / PEAK


def _nothing(asked: Asked) -> np.ndarray:
    return asked.given / PEAK


def distance_of(read: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The mean distance of landmarks [M, 28] as read from the true ones [M, 14, 2], [M] pixels."""
    away = read.reshape(landmarks.shape) - landmarks
    return np.linalg.norm(away, axis=-1).mean(-1)


def apart(
    real: Moments,
    features: np.ndarray,
    people: int,
) -> Interval:
    """The Fréchet distance of features [changes * people, D], people within changes, with an interval over people."""
    rows = np.arange(len(features)).reshape(-1, people)

    def distance(some: np.ndarray) -> float:
        return frechet(real, moments(features[some]))

    # all pictures of a person come and go together
    return by_group(distance, list(rows.T))


def measured(made: np.ndarray, asked: Asked, judges: Judges) -> Values:
    """The numbers of pictures [M, H, W, C] in [0, 1], by column, [M] each."""
    truth = asked.truth / PEAK
    read = judges.read(made)
    numbers = np.asarray(read.numbers)
    age = numbers[:, judges.places["age"]]
    who = judges.embed(made)
    behind = square(made, asked.truth, asked.background)
    found = {
        "age": np.abs(age - asked.years)[:, 0],
        # kept is 1 for who changes nothing, which right is not
        "CSIM to the input": csim(who, judges.embed(asked.given / np.float32(PEAK))),
        "CSIM to the truth": csim(who, judges.embed(asked.truth / np.float32(PEAK))),
        "PSNR": decibels(mse(made, truth)),
        "background": decibels(behind),
        "SSIM": ssim(made, truth, window(truth.shape[1:])),
    }
    # what the reader was not taught it does not say
    if judges.places.get("landmarks"):
        places = numbers[:, judges.places["landmarks"]]
        found["landmarks"] = distance_of(places, asked.landmarks)
    if judges.places.get("pose"):
        found["pose"] = turned(numbers, asked.pose, judges)
    if judges.expression:
        found["expression"] = as_true(read, asked.attributes, judges)
    return found


def turned(numbers: np.ndarray, pose: np.ndarray, judges: Judges) -> np.ndarray:
    """The mean distance of yaw and pitch among numbers [M, K] that are read from the true ones [M, 2], [M] degrees."""
    away = np.abs(numbers[:, judges.places["pose"]] - pose)
    return np.degrees(away).mean(-1)


def as_true(read: Read, attributes: np.ndarray, judges: Judges) -> np.ndarray:
    """The share of the answers about the expression that are as the attributes [M, A] say, [M]."""
    columns = list(judges.expression)
    yes = np.asarray(read.answers)[:, columns] > 0.5
    true = np.asarray(attributes)[:, columns] > 0.5
    return np.mean(yes == true, -1)


def intervals(values: Values) -> dict[str, Interval]:
    """The mean of each column, with its interval over people."""
    return {column: over_people(value) for column, value in values.items()}


def shares(own: Values, rows: Mapping[str, Values]) -> dict[str, Interval]:
    """What is left of the age that `nothing` misses, and of the likeness that the truth has to the input."""
    return {
        "age / nothing": of_ratio(own["age"], rows[NOTHING]["age"]),
        "CSIM / truth": of_ratio(own["CSIM to the input"], rows[TRUTH]["CSIM to the input"]),
    }


def pictured(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row for each way, people side by side."""
    tiles = np.concatenate(list(rows.values()))
    return captioned(grid(tiles, len(next(iter(rows.values())))), list(rows))
