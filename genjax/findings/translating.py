"""Translations of held-out pictures beside the truth and beside floors that take no net.

Rows that are measured alike: the model, and what takes no model. `nothing` is the input as it is; `nearest` the truth
of the training input that is nearest in pixels, or without pairs the nearest picture of the target; `ridge` a linear
map of all pixels, fitted to training pairs; `recoloured`, without pairs, the input with the target's mean and spread in
every channel. `truth` is what the answers should be, the end of what can be had.

Near the truth: PSNR, SSIM, and `apart`, the squared distance of features, where 1 is that of two true pictures drawn at
random. Like the target as a whole: `fd`, the Fréchet distance of features from the training targets. Content: `found`,
the share of answers to which no truth of the test is nearer than their own, or one that is equal to it, and `read`, the
share in which a classifier that was trained on true pictures reads what the truth is. `diversity` is the squared
distance between two answers to one input, in the unit of `apart`: of draws from the law of the truth it would be as
large as `apart`, for the truth is a draw of it too; of a single answer it is 0.

Intervals are jackknives over groups, people or designs or regions: pictures of one are no independent examples. What is
measured is the last state that was trained, and no step is chosen by looking at these numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data.batches import domains
from genjax.errors import UserError, above, at_least
from genjax.fields import Image
from genjax.findings.restored import decibels, evenly, over_groups, still, window
from genjax.findings.samples import show, some, told
from genjax.findings.steering import members
from genjax.metrics.classifier import Convolutional
from genjax.metrics.evaluate import Extractor, check_count
from genjax.metrics.features import RandomNet
from genjax.metrics.frechet import Moments, frechet, moments
from genjax.metrics.images import mse, ssim
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.memorisation import neighbours
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run
from genjax.translate import floors

MODEL, TRUTH = "model", "truth"
BLOCKS = 50  # groups of the jackknife, at most: each is an eigenvalue problem
READER = Convolutional(
    steps=800,
    optimiser=Adam(3e-3, weight_decay=0.02, warmup=50, decay=CosineDecay()),
)

Found = dict[str, Interval]


class Sides(NamedTuple):
    """One split of what is translated: pictures in [0, 1], and all that is known of the target's."""

    given: np.ndarray  # [N, H, W, C]
    truth: np.ndarray  # [M, H, W, C]; row by row that of the given ones where they are pairs
    known: dict[str, Any]  # the fields of the target
    about: dict[str, Any]  # those of what is given: the same ones where they are pairs


class Features(NamedTuple):
    """What an extractor makes of the true pictures."""

    name: str
    extract: Any
    training: Moments  # of the training targets
    truth: np.ndarray  # [n, D]
    unit: float  # the mean squared distance of two of them


@dataclasses.dataclass(frozen=True)
class Translating:
    """PSNR, SSIM, distances of features, content and diversity of translations, each with its interval, and floors."""

    images: int = field(1000, "test pictures that are measured, at most")
    library: int = field(8000, "training pictures that the floors are made of, at most")
    draws: int = field(3, "answers to each input: the distances between them are the diversity")
    # a linear one would favour means: the first has rectifiers
    on: tuple[Extractor, ...] = field(
        (RandomNet(),), "features that distances are of, each fitted to the training targets"
    )
    # a cell of two numbers, as of latitude and longitude, is a group too
    group: str = field(
        "", "field whose values tell what belongs together; none = each by itself"
    )
    cell: float = field(1.0, "how far apart values of one group may be, of a field of numbers")
    content: str = field("", "field of classes that is read back from answers; none = nothing")
    reader: Convolutional = field(READER, "what reads it, trained on the training targets")
    shown: int = field(10, "inputs in the picture", execution=True)
    styles: int = field(1, "answers to each of them that are shown", execution=True)

    def check(
        self,
        exp: Experiment,
        source: Any,
    ) -> None:
        """Raises UserError for what cannot be measured, before anything is compiled."""
        kind = source.fields[source.main]
        if not isinstance(kind, Image):
            raise UserError(
                f"the finding Translating() is of pictures, and {source.name} models {source.main!r}, {kind}."
            )
        least = {
            "images": self.images,
            "library": self.library,
            "draws": self.draws,
            "shown": self.shown,
            "styles": self.styles,
        }
        at_least(1, "--finish.Translating.", **least)
        # more of them than the model has would be the same picture again
        self._check_styles(exp)
        check_group("Translating", self.group, self.cell, source)
        check_field("Translating.content", self.content, source)
        if self.content and not getattr(source.fields[self.content], "classes", 0):
            raise UserError(
                f"--finish.Translating.content={self.content}: a classifier reads classes, and the field has none."
            )
        # a covariance of fewer pictures than features is none
        tested = _least(source.test, self.images)
        trained = _least(source.train, self.library)
        for extractor in self.on:
            check_count(min(tested, trained), extractor, kind.shape)

    def _check_styles(self, exp: Experiment) -> None:
        """Raises UserError where more answers are to be shown than the model has."""
        # who does not say may have several
        varied = getattr(exp.algorithm, "varied", True)
        if self.styles > 1 and not varied:
            name = type(exp.algorithm).__name__
            raise UserError(
                f"--finish.Translating.styles={self.styles}: {name} as it is set has one answer to an input: use "
                "styles=1, or give it noise."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        test, train = self.sides(this)
        groups = self.groups(test)
        # the dearest first: a model that diverged shows here
        rows = {MODEL: self.answers(this)}
        for name, pictures in self.floors(this, test, train).items():
            rows[name] = pictures[None]
        judges = [self.features(this, each, test, train) for each in self.on]
        read = self.reading(this, train)
        # without the truth row by row nothing can be near it
        paired = _paired(this)
        self.tell(this, TRUTH, self.of_truth(test, judges, read), test)
        numbers = {}
        for name, pictures in rows.items():
            found = _like_target(pictures, judges, groups)
            if paired:
                found |= _near(pictures, test.truth, judges, groups)
                found |= self.contents(pictures, test, read, groups)
            told_ = self.tell(this, name, found, test)
            # what a comparison of runs shows
            if name == MODEL:
                numbers = told_
        self.tell_patches(this)
        self.draw(this, test, rows, paired)
        return numbers

    def sides(self, this: Run) -> tuple[Sides, Sides]:
        """The test pictures that are measured, and the training pictures that floors are made of."""
        n = _least(this.source.test, self.images)
        test = _sides(this, this.source.test, n)
        train = _sides(this, this.source.train, self.library)
        return test, train

    def groups(self, test: Sides) -> np.ndarray:
        """The group of each picture that is given, int [n]."""
        # of what is given: without pairs the target has rows of its own
        return self._grouped(test.about, len(test.given))

    def _grouped(
        self,
        arrays: Mapping[str, Any],
        n: int,
    ) -> np.ndarray:
        """The group of each of n rows that have these fields, int [n]."""
        # without a group each is alone
        if not self.group:
            return np.arange(n)
        return grouped(np.asarray(arrays[self.group]), self.cell)

    def answers(self, this: Run) -> np.ndarray:
        """The model's answers, [K, n, H, W, C]: answer k of an input has other noise."""
        n = _least(this.source.test, self.images)
        given = _asked(this, n)
        drawn = []
        for k in range(self.draws):
            # noise is a function of the number: others give other answers
            index = np.arange(k * n, (k + 1) * n, dtype=np.uint32)
            samples = this.draw(this.algorithm.sample, {**given, "index": index})
            drawn.append(np.clip(np.asarray(samples), 0.0, 1.0))
        return np.stack(drawn)

    def floors(
        self,
        this: Run,
        test: Sides,
        train: Sides,
    ) -> dict[str, np.ndarray]:
        """What takes no net, each [n, H, W, C]."""
        channels = test.truth.shape[-1]
        found = {"nothing": floors.nothing(test.given, channels)}
        if not _paired_in_training(this):
            # no training input has a truth of its own
            found["nearest"] = floors.nearest(test.given, train.truth, train.truth)
            found["recoloured"] = floors.recoloured(test.given, train.given, train.truth)
            return found
        found["nearest"] = floors.nearest(test.given, train.given, train.truth)
        # the best that a linear map can do, whatever the net
        made, strength = floors.regressed(test.given, train.given, train.truth)
        this.log.note(f"ridge regression on {len(train.given)} pairs, strength {strength:g}")
        found["ridge"] = made
        return found

    def features(
        self,
        this: Run,
        extractor: Extractor,
        test: Sides,
        train: Sides,
    ) -> Features:
        """An extractor fitted to the training targets, and what it makes of the true pictures."""
        nobody = np.zeros(len(train.truth), np.int32)
        # an extractor that is a classifier learns them
        label = train.known.get("label", nobody)
        lesson = {"image": train.truth, "label": label}
        # beside the runs: features of one data set serve them all
        extract = extractor.fit(lesson, home(this.exp) / "features")
        of_training = moments(extract(train.truth).features)
        of_truth = np.float64(extract(test.truth).features)
        # two that are drawn from these are so far apart: twice the variance
        unit = 2.0 * of_truth.var(0).sum()
        return Features(extractor.name, extract, of_training, of_truth, unit)

    def reading(self, this: Run, train: Sides) -> Any:
        """What reads the content of pictures, or None."""
        if not self.content:
            return None
        label = np.asarray(train.known[self.content])
        lesson = {"image": train.truth, "label": label}
        # it knows the data alone: runs on the same share it, as they share features
        return self.reader.fit(lesson, home(this.exp) / "features")

    def contents(
        self,
        pictures: np.ndarray,
        test: Sides,
        read: Any,
        groups: np.ndarray,
    ) -> Found:
        """The share of answers [K, n, H, W, C] that are read as what the truth is."""
        if read is None:
            return {}
        label = np.asarray(test.known[self.content])
        right = []
        # every answer is read, and the mean of all is told
        for drawn in pictures:
            logits = np.asarray(read(drawn).logits)
            right.append(logits.argmax(1) == label)
        return {"read": over_groups(np.mean(right, 0), groups)}

    def of_truth(
        self,
        test: Sides,
        judges: list[Features],
        read: Any,
    ) -> Found:
        """The same of the true pictures, as far as it says something: real pairs are those of different inputs."""
        one = test.truth[None]
        found = {}
        # of domains that are no pairs the truth has rows of its own
        own = self._grouped(test.known, len(test.truth))
        for judge in judges:
            features = judge.truth
            found[f"fd_{judge.name}"] = _distance(judge, features, own)
            # half a set away: of another group
            others = np.roll(features, len(features) // 2, 0)
            square = np.square(features - others).sum(-1)
            found[f"diversity_{judge.name}"] = over_groups(square / judge.unit, own)
        return found | self.contents(one, test, read, own)

    def tell(
        self,
        this: Run,
        name: str,
        found: Found,
        test: Sides,
    ) -> dict[str, float]:
        """Records a row, and its intervals; returns its numbers."""
        numbers = {key: interval.value for key, interval in found.items()}
        ends = {f"{name} {key}": each._asdict() for key, each in found.items()}
        words = [f"{key} {told(interval)}" for key, interval in found.items()]
        this.log.result(f"translated: {name}", {**numbers, "n": len(test.given)})
        this.log.result("intervals", ends)
        this.log.note(f"{name}: {', '.join(words)}")
        return numbers

    def tell_patches(self, this: Run) -> None:
        """What a discriminator of patches sees, where there is one."""
        disc = getattr(this.exp.algorithm, "disc", None)
        # other discriminators see the whole picture
        patch = getattr(disc, "patch", None)
        if patch is None:
            return
        judged = disc.outputs(this.spec.shape)
        this.log.result("patches", {"side": patch, "judged": judged})
        this.log.note(f"the discriminator judges {judged} patches of {patch}x{patch} pixels")

    def draw(
        self,
        this: Run,
        test: Sides,
        rows: Mapping[str, np.ndarray],
        paired: bool,
    ) -> None:
        """Input, floors, answers and truth of a few test pictures, a row for each."""
        places = evenly(self.shown, len(test.given))
        channels = test.truth.shape[-1]
        # all rows of a grid have as many channels
        shown = {"input": floors.nothing(test.given[places], channels)}
        for name, pictures in rows.items():
            if name not in (MODEL, "nothing"):
                shown[name] = pictures[0, places]
        for k in range(min(self.styles, self.draws)):
            shown[f"output {k + 1}" if k else "output"] = rows[MODEL][k, places]
        if paired:
            shown[TRUTH] = test.truth[places]
        # a row for each, a column for each input
        tiles = np.concatenate(list(shown.values()))
        picture = grid(tiles, len(places), zoom=max(1, 64 // tiles.shape[2]))
        show(this, "translated", captioned(picture, list(shown)))


def _paired(this: Run) -> bool:
    """Whether the truth of the test is known row by row."""
    return not this.spec.domains or this.source.aligned


def _paired_in_training(this: Run) -> bool:
    return not this.spec.domains


def _target(this: Run) -> str:
    """The domain that is translated into, the other than that which is asked for first."""
    # the agreement of all that translates: what is given is asked for first
    given = this.algorithm.asks[0]
    (target,) = [name for name in this.spec.domains if name != given]
    return target


def _sides(
    this: Run,
    split: Mapping[str, Any],
    most: int,
) -> Sides:
    """Up to `most` rows of a split as the model sees them, always the same draw."""
    spec = this.spec
    given = this.algorithm.asks[0]
    views = this.exp.view
    # each domain has rows of its own, which are the same where they are aligned
    if spec.domains:
        before = still(views, some(split[given], most))
        after = still(views, some(split[_target(this)], most))
        inputs = _unit(spec.x, before[spec.main])
        return Sides(inputs, _unit(spec.x, after[spec.main]), after, before)
    seen = still(views, some(dict(split), most))
    kind = spec.find(given)
    return Sides(_unit(kind, seen[given]), _unit(spec.x, seen[spec.main]), seen, seen)


def _least(
    split: Mapping[str, Any],
    most: int,
) -> int:
    """Rows of a split that are measured: `most`, or as many as the smallest of its domains has."""
    # distances of laws are compared at equal numbers
    parts = [split[name] for name in domains(split)] or [split]
    return min(most, *map(size, parts))


def _unit(
    kind: Any,
    stored: Any,
) -> np.ndarray:
    return np.asarray(kind.unit(np.asarray(stored)))


def _asked(
    this: Run,
    most: int,
) -> dict[str, Any]:
    """What the model asks for, of the test pictures that are measured."""
    test = this.source.test
    if this.spec.domains:
        first, *others = this.algorithm.asks
        asked = {first: some(test[first], most)}
        for name in others:
            # half a set on: who takes a style from an example must not see the hidden truth
            rows = some(test[name], most)
            asked[name] = {of: np.roll(values, most // 2, 0) for of, values in rows.items()}
        return asked
    # the rows that `_sides` draws too
    rows = some(dict(test), most)
    return {name: rows[name] for name in this.algorithm.asks}


def _like_target(
    pictures: np.ndarray,
    judges: list[Features],
    groups: np.ndarray,
) -> Found:
    """Of answers [K, n, H, W, C]: how far the first are from the target as a whole, and all from each other."""
    found = {}
    for judge in judges:
        # distances are small differences of large numbers
        drawn = [np.float64(judge.extract(each).features) for each in pictures]
        found[f"fd_{judge.name}"] = _distance(judge, drawn[0], groups)
        # one answer has no spread that could be measured
        if len(drawn) > 1:
            spread = _spread(np.stack(drawn)) / judge.unit
            found[f"diversity_{judge.name}"] = over_groups(spread, groups)
    return found


def _near(
    pictures: np.ndarray,
    truth: np.ndarray,
    judges: list[Features],
    groups: np.ndarray,
) -> Found:
    """How near answers [K, n, H, W, C] are to the truth [n, H, W, C], means over the K."""
    # pictures may be smaller than the usual one
    side = window(truth.shape[1:])
    # signs that are drawn alike share a truth: whichever is found is right
    kind = kinds(truth)
    ratios = [decibels(mse(drawn, truth)) for drawn in pictures]
    alike = [ssim(drawn, truth, side) for drawn in pictures]
    found = {
        "psnr": over_groups(np.mean(ratios, 0), groups),
        "ssim": over_groups(np.mean(alike, 0), groups),
    }
    for judge in judges:
        apart, hits = [], []
        for drawn in pictures:
            features = np.float64(judge.extract(drawn).features)
            # to the truth, and to whichever truth is nearest
            apart.append(np.square(features - judge.truth).sum(-1))
            _, number = neighbours(features, judge.truth)
            hits.append(kind[number] == kind)
        found[f"apart_{judge.name}"] = over_groups(np.mean(apart, 0) / judge.unit, groups)
        found[f"found_{judge.name}"] = over_groups(np.mean(hits, 0), groups)
    return found


def check_field(
    flag: str,
    name: str,
    source: Any,
) -> None:
    """Raises UserError for the name of a field that the data have not; "" names none."""
    if name and name not in source.fields:
        known = ", ".join(source.fields)
        raise UserError(
            f"--finish.{flag}={name}: {source.name} has no such field, it has {known}."
        )


def check_group(
    finding: str,
    group: str,
    cell: float,
    source: Any,
) -> None:
    """Raises UserError for a group that is no field of the data, and for cells without a size."""
    check_field(f"{finding}.group", group, source)
    above(0, f"--finish.{finding}.", cell=cell)


def kinds(pictures: np.ndarray) -> np.ndarray:
    """The kind of each of n pictures [n, H, W, C], int [n]: those of one are equal pixel by pixel."""
    flat = pictures.reshape(len(pictures), -1)
    _, kind = np.unique(flat, axis=0, return_inverse=True)
    return kind.reshape(-1)


def grouped(
    values: np.ndarray,
    cell: float,
) -> np.ndarray:
    """The group of each of n rows of a field, int [n]: numbers in one cell, or classes that are the same."""
    rows = np.reshape(values, (len(values), -1))
    # of classes, which are whole numbers, the class itself
    cells = np.floor(rows / cell)
    _, number = np.unique(cells, axis=0, return_inverse=True)
    return number.reshape(-1)


def _spread(features: np.ndarray) -> np.ndarray:
    """The mean squared distance between two of K draws [K, n, D], [n]."""
    draws = len(features)
    # the mean of all pairs without looking at each
    middle = features.mean(0)
    variance = np.square(features - middle).sum(-1).sum(0) / (draws - 1)
    return 2.0 * variance  # a difference has the variance of both


def _distance(
    judge: Features,
    features: np.ndarray,
    groups: np.ndarray,
) -> Interval:
    """The Fréchet distance from the training targets, with an interval over whole groups."""
    of_group = members(groups)

    def distance(rows: np.ndarray) -> float:
        return frechet(judge.training, moments(features[rows]))

    # groups are shuffled, as sets may be sorted, and joined into a few blocks
    order = np.random.default_rng(0).permutation(len(of_group))
    blocks = []
    for part in np.array_split(order, min(BLOCKS, len(order))):
        blocks.append(np.concatenate([of_group[g] for g in part]))
    largest = max(len(block) for block in blocks)
    # a covariance needs more rows than features without any block too
    if len(blocks) < 2 or len(features) - largest <= features.shape[1]:
        return Interval(distance(np.arange(len(features))), np.nan, np.nan)
    return by_group(distance, blocks)
