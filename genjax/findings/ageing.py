"""Younger and older: ways to change the age in a face, held against the renderer's own picture of the person.

Test people are drawn by the renderer so many years before the asked age, and at it: the same shot, so every answer has
a truth. Of answers are measured

* the age that a reader sees beside the years that were asked for, |read - asked|;
* whether it is still the person: the cosine of the identity's embeddings of answer and input, beside that of two real
  pictures of the person at the two ages, the row `truth`; and of answer and truth;
* whether all else stayed: PSNR, SSIM and landmarks against the truth, and how far answers are from real faces, `fd`.

Neither reader was in a loss; both learn from pictures of training people alone, and what they make of real pictures of
the test people is the row `truth`: nothing below it can be told. Floors: the input as it is, and the training face of
about the asked age that is nearest to it. Intervals are over people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Numbers
from genjax.config import edit, field
from genjax.core import averaged, example_normal
from genjax.data.aged import Aged
from genjax.data.batches import chosen
from genjax.data.heads import Heads, Shots, examples, render
from genjax.diffusion import editing, gaussian, samplers
from genjax.errors import UserError, at_least
from genjax.findings.directions import over_people
from genjax.findings.encoders import check_names
from genjax.findings.knobs import World, world_of
from genjax.findings.restored import decibels, window
from genjax.findings.tabled import Row, cell, finish, keep_picture, place, stored, wide
from genjax.machine.files import typed
from genjax.metrics.frechet import Moments, frechet, moments
from genjax.metrics.identity import CosFace, Embed, csim, verified
from genjax.metrics.images import mse, ssim
from genjax.metrics.nearest import nearest as nearest_of
from genjax.metrics.reader import Read, Reader
from genjax.pictures.draw import captioned, grid
from genjax.training import loop
from genjax.training.experiment import Experiment
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
    "landmarks": "pixels",
}

Way = Callable[["Asked"], np.ndarray]  # -> pictures [M, H, W, C] in [0, 1]


class Asked(NamedTuple):
    """What is asked for M test pictures, and what the answer should be."""

    given: np.ndarray  # uint8 [M, H, W, C]
    before: np.ndarray  # [M, 1] years
    years: np.ndarray  # [M, 1], asked for
    truth: np.ndarray  # uint8 [M, H, W, C]
    landmarks: np.ndarray  # [M, 14, 2] pixels, of the truth


class Judges(NamedTuple):
    """What reads pictures, after learning from the training people."""

    reader: Reader
    read: Callable[[Any], Read]
    places: Mapping[str, list[int]]  # name of a field -> its columns among the numbers
    embed: Embed
    real: Moments  # of the reader's features of training pictures


@dataclasses.dataclass(frozen=True)
class Translated:
    """A translator that is given a picture and told years: an experiment whose data, seed and folder are set."""

    exp: Experiment = field(Experiment(), "the run")

    def check(self, source: Any) -> None:
        """Raises UserError for an algorithm that is not told years."""
        asks = names(self.exp.algorithm)
        if "age" not in asks:
            raise UserError(
                "--ways: a translator of ages is told them: give it the condition Numbers('age', 18.0, 85.0)."
            )

    def start(self, this: Run) -> Way:
        """Its answers."""

        def translated(asked: Asked) -> np.ndarray:
            given = told(asked)
            return this.draw(this.algorithm.sample, given)

        return translated


@dataclasses.dataclass(frozen=True)
class Edited:
    """A denoiser that is told years: noise up to a level, and down again with the asked age in the place of the own.

    SDEdit (Meng et al. 2022, arXiv:2108.01073), or the inversion of the deterministic flow, told the own age, instead
    of noise (Song et al. 2021, arXiv:2010.02502, sec. 4.3).
    """

    exp: Experiment = field(Experiment(), "the run")
    strength: float = field(1.0, "sigma / alpha up to which noise goes")
    steps: int = field(20, "denoising steps from pure noise; fewer are taken from the strength")
    inverted: bool = field(False, "up by inversion, without noise")

    def check(self, source: Any) -> None:
        """Raises UserError for a model that is no denoiser told of years."""
        cfg = self.exp.algorithm
        # a path is what noise goes up and down by: StarGAN has none
        if not hasattr(cfg, "path") or "age" not in names(cfg):
            raise UserError(
                "--ways: Edited() needs a diffusion model that is told years: give it the condition "
                "Numbers('age', 18.0, 85.0)."
            )
        at_least(1e-3, "Edited: ", strength=self.strength)
        at_least(2, "Edited: ", steps=self.steps)

    def start(self, this: Run) -> Way:
        """Its answers."""
        cfg = edit(this.exp.algorithm, {"schedule.steps": self.steps})
        spec = this.spec
        levels = cfg.schedule(cfg.path)  # falling
        # the schedule of pure noise, cut off: less strength is fewer steps
        below = levels[levels < self.strength]
        # from the strength itself, whatever levels the schedule has
        first = jnp.asarray([self.strength], below.dtype)
        sigmas = jnp.concatenate([first, below])

        def edited(key: jax.Array, state: Any, given: Any) -> jax.Array:
            params = averaged(state)
            image = spec.find("input").encode(given["input"])
            denoise = gaussian.guided(params, given, cfg, spec)

            def noise(i: Any) -> jax.Array:
                # by index: a picture's noise does not depend on its batch
                own = jax.random.fold_in(key, i)
                return example_normal(own, given["index"], spec.shape)

            if not self.inverted:
                x = editing.sdedit(cfg.sampler, denoise, image, sigmas, noise)
                return jnp.clip(spec.decode(x), 0.0, 1.0)
            # the picture is likely under its own age, so the way up is told that
            as_it_is = {**given, "age": given["before"]}
            known = gaussian.guided(params, as_it_is, cfg, spec)
            up = editing.invert(known, image, sigmas)
            # down again by the same steps, told the asked age
            x = samplers.sample(samplers.Euler(), denoise, up, sigmas, samplers.still(up))
            return jnp.clip(spec.decode(x), 0.0, 1.0)

        def answered(asked: Asked) -> np.ndarray:
            return this.draw(edited, told(asked))

        return answered


@dataclasses.dataclass(frozen=True)
class Competitor:
    """A way under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    of: Translated | Edited = field(Translated(), "how ages are changed")


@dataclasses.dataclass(frozen=True)
class Ageing:
    """The comparison."""

    data: Aged = field(Aged(), "the faces")
    ways: tuple[Competitor, ...] = field((), "what is compared")
    changes: tuple[float, ...] = field((-40.0, -20.0, 20.0, 40.0), "years from given to asked")
    people: int = field(200, "test people, at most")
    close: float = field(5.0, "years from the asked age within which a training face is of it")
    reader: Reader = field(
        Reader(numbers=("age", "pose", "landmarks")), "reads years and landmarks of pictures"
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
            tables[title] = {}
            shown[title] = {"input": asked.given[:SHOWN] / PEAK}
            for who, way in ways.items():
                # readers must see nothing that a picture could not show
                made = np.clip(np.float32(way(asked)), 0.0, 1.0)
                found = measured(made, asked, judges)
                tables[title][who] = self.tell(log, f"{title}: {who}", found, len(made))
                shown[title][who] = made[:SHOWN]
                # `distances` puts changes together: a covariance needs many
                answers.setdefault(who, []).append(made)
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
        low, high = self.data.years
        for change in self.changes:
            # by the whole range there would be a single age to begin from
            if not 0 < abs(change) < high - low:
                raise UserError(
                    f"--changes: {change:g} years lead out of the ages of the data, {low:g} to {high:g}: ask for less, "
                    "or set --data.years."
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
        given = render(world.people, at(world.shots, before), self.data.size)
        # landmarks of the asked age: proportions change with the years
        after = examples(world.people, at(world.shots, years), self.data.size)
        return Asked(
            given=given.image,
            before=np.float32(before)[:, None],
            years=np.float32(years)[:, None],
            truth=after["image"],
            landmarks=after["landmarks"],
        )

    def judges(self, source: Any, log: Log) -> Judges:
        """Both readers, with their own errors on held-out people."""
        # beside the runs: readers of one data set serve them all
        folder = typed(self.runs) / "features"
        read = self.reader.reading(source.train, folder)
        embed = self.identity.embedding_of(source.train, folder)
        _, numbers = self.reader.names(source.fields)
        places = {"age": [], "landmarks": []}
        for i, name in enumerate(numbers):
            # a field of several numbers has them as landmarks_0, landmarks_1, …
            field_of = name.rpartition("_")[0] or name
            places.setdefault(field_of, []).append(i)
        # float32 has too few digits for a covariance
        features = np.float64(read(source.train["image"]).features)
        judges = Judges(self.reader, read, places, embed, moments(features))
        test = source.test
        found = np.asarray(read(test["image"]).numbers)
        off = np.abs(found[:, places["age"]] - test["age"])
        # with the ages: can it tell who it is across years?
        known = verified(embed(test["image"]), test["person"], test["age"])
        errors = {
            "mean error of years": float(off.mean()),
            "AUROC of who is who": known.auroc,
            "equal error rate": known.eer,
            "cosine, one person within 10 years": known.same_age.value,
            "cosine, one person further apart": known.other_age.value,
            "cosine, two people": known.others.value,
        }
        if places["landmarks"]:
            errors["mean error of landmarks"] = float(
                distance_of(found[:, places["landmarks"]], test["landmarks"]).mean()
            )
        log.result("readers on held-out people", errors)
        for what, value in errors.items():
            log.note(f"readers: {what} {value:.3f}")
        return judges

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
            # a covariance of fewer pictures than features is none
            if len(features) <= features.shape[1]:
                continue
            far = frechet(judges.real, moments(features))
            log.result(f"distance: {who}", {"fd_reader": far, "n": len(features)})
            rows[who] = {"fd_reader": cell(far, 2)}
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


def names(cfg: Any) -> list[str]:
    """The fields of numbers that a model is told."""
    conditions = [*getattr(cfg, "condition", ())]
    # StarGAN's number is no condition of a denoiser
    if hasattr(cfg, "asked"):
        conditions.append(cfg.asked)
    return [each.of for each in conditions if isinstance(each, Numbers)]


def told(asked: Asked) -> dict[str, Any]:
    """What ways are given: never the truth."""
    n = len(asked.given)
    return {
        "input": asked.given,
        "before": asked.before,
        "age": asked.years,
        "index": np.arange(n, dtype=np.uint32),
    }


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


def measured(made: np.ndarray, asked: Asked, judges: Judges) -> dict[str, Any]:
    """The numbers of pictures [M, H, W, C] in [0, 1], each with its interval over people."""
    truth = asked.truth / PEAK
    read = judges.read(made)
    numbers = np.asarray(read.numbers)
    age = numbers[:, judges.places["age"]]
    who = judges.embed(made)
    # kept is 1 for who changes nothing, which right is not
    kept = csim(who, judges.embed(asked.given / np.float32(PEAK)))
    right = csim(who, judges.embed(asked.truth / np.float32(PEAK)))
    found = {
        "age": over_people(np.abs(age - asked.years)[:, 0]),
        "CSIM to the input": over_people(kept),
        "CSIM to the truth": over_people(right),
        "PSNR": over_people(decibels(mse(made, truth))),
        "SSIM": over_people(ssim(made, truth, window(truth.shape[1:]))),
    }
    if judges.places["landmarks"]:
        places = numbers[:, judges.places["landmarks"]]
        found["landmarks"] = over_people(distance_of(places, asked.landmarks))
    return found


def pictured(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row for each way, people side by side."""
    tiles = np.concatenate(list(rows.values()))
    return captioned(grid(tiles, len(next(iter(rows.values())))), list(rows))
