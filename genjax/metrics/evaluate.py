"""Metrics as config values: each sees the training set, as many held-out examples as samples, and the samples.

`measured` gives every number with its count, an interval where one is known, and its floor: the same number with real
examples in the place of the samples, at the same n. A distance without its floor says little, since its bias falls
with n. Names end in that of the extractor (fd_pca64) where the number depends on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from genjax.config import Own, field, suffix
from genjax.core import DOWN, UP
from genjax.errors import UserError
from genjax.metrics import inception_score, intervals, manifold, memorisation
from genjax.metrics.classifier import Convolutional
from genjax.metrics.features import Components, Pixels, RandomNet
from genjax.metrics.frechet import frechet, moments
from genjax.metrics.inception import Inception
from genjax.metrics.intervals import Interval
from genjax.metrics.judges import Classifier, Svm
from genjax.metrics.kid import kid

Extractor = Components | Convolutional | Inception | Pixels | RandomNet | Own
FLAT = 0  # neither way is better, the floor is; by it no best state is chosen


class Seen(NamedTuple):
    """Examples as a metric sees them."""

    image: np.ndarray  # [N, H, W, C]
    label: np.ndarray  # [N] int32; of samples the class asked for
    features: np.ndarray  # [N, D]
    logits: np.ndarray | None  # [N, K]
    answers: np.ndarray | None = None  # [N, A], of an extractor that reads attributes

    def rows(self, which: np.ndarray | slice) -> Seen:
        """The examples at these places."""
        logits = self.logits
        if logits is not None:  # not every extractor is a classifier
            logits = logits[which]
        answers = self.answers
        if answers is not None:
            answers = answers[which]
        return Seen(self.image[which], self.label[which], self.features[which], logits, answers)


class Value(NamedTuple):
    """A number of `n` samples, the ends of its 95 % interval (None = not known) and its floor (None = has none)."""

    value: float
    low: float | None
    high: float | None
    n: int
    floor: float | None


def seen(extract: Callable[[Any], Any], split: dict[str, Any]) -> Seen:
    """Examples {"image", "label"} with what an extractor makes of them."""
    image = np.asarray(split["image"])
    label = np.asarray(split["label"])
    features, logits, *more = extract(image)  # a pair, of extractors that read no attributes
    return Seen(image, label, features, logits, *more)


def named(classifier: Classifier) -> str:
    """The name of a judge: svm, forest, with the settings that are not its defaults."""
    return type(classifier).__name__.lower() + suffix(classifier)


def distance(
    extractor: Extractor, train: dict[str, Any]
) -> tuple[str, Callable[[Any], Interval]]:
    """(name, between): the Fréchet distance on an extractor's features, from the training split to images.

    between(images) -> its value and the ends of its 95 % interval, NaN for fewer than 50 images. UserError, by
    the function, for fewer images than features. The moments of the split are taken once.
    """
    metric = Frechet()
    (name,) = metric.names(extractor.name)
    extract = extractor.fit(train)
    # once: later calls see the images that they are given alone
    of_train = extract(train["image"])
    # mean and covariance, all that the distance sees
    reference = moments(of_train.features)

    def between(images: Any) -> Interval:
        features = extract(images).features
        try:
            if len(features) < 50:  # groups of the jackknife
                return Interval(frechet(reference, moments(features)), np.nan, np.nan)
            return _apart(reference, features)
        except ValueError as error:
            # the one thing that a user can mend
            raise UserError(f"{error}: measure more samples, or on fewer features.") from error

    return name, between


def check_count(n: int, on: Extractor, shape: tuple[int, ...]) -> None:
    """Raises UserError for n images [H, W, C] that are too few for a distance on an extractor's features."""
    features = on.size(shape)
    if n <= features:  # their covariance would be singular
        raise UserError(
            f"a Fréchet distance on {features} features needs more samples and held-out images than that, and "
            f"there are {n}: measure more, or on fewer features, e.g. Components(16)."
        )


def _moved(around: Interval, value: float) -> Interval:
    """The jackknife's interval, which is about the value at n = infinity, moved to the value at this n."""
    # only its width is of use: FID's bias makes the value at n another number
    low = value + around.low - around.value
    high = value + around.high - around.value
    return Interval(value, low, high)


def _apart(reference: Any, features: np.ndarray) -> Interval:
    """The Fréchet distance of features [N, D] from moments, with the interval over the draw of the features."""
    value = frechet(reference, moments(features))
    n, dimensions = features.shape
    largest = -(-n // 50)  # the largest of the jackknife's 50 groups: n / 50, rounded up
    if n - largest <= dimensions:  # what the jackknife leaves is too few
        return Interval(value, np.nan, np.nan)
    return _moved(intervals.frechet_interval(reference, features), value)


@dataclasses.dataclass(frozen=True)
class Frechet:
    """Fréchet distance of samples from the training set; the interval is over the draw of the samples at this n."""

    def names(self, on: str) -> dict[str, int]:
        # FID is the name of this one distance alone; others do not compare with it
        name = "fid" if on == "inception" else f"fd_{on}"
        return {name: DOWN}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        (name,) = self.names(on)
        return {name: _apart(moments(train.features), samples.features)}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, real, on)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Kernel distance (KID), unbiased over all pairs, of samples from as many held-out examples."""

    def names(self, on: str) -> dict[str, int]:
        name = "kid" if on == "inception" else f"kd_{on}"
        return {name: DOWN}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        (name,) = self.names(on)
        found = intervals.kid_interval(real.features, samples.features)
        return {name: found}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        (name,) = self.names(on)
        # training against held-out examples: what no model can be below
        value = kid(real.features, drawn.features)
        around = intervals.kid_interval(real.features, drawn.features)
        return {name: _moved(around, value)}


@dataclasses.dataclass(frozen=True)
class InceptionScore:
    """Inception score by the extractor's own classes; real held-out examples beside it."""

    def names(self, on: str) -> dict[str, int]:
        return {f"is_{on}": UP}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        # not every extractor has classes
        if samples.logits is None:
            raise ValueError(
                f"an Inception score needs a classifier's outputs and {on} has none"
            )
        logits = samples.logits

        def score(rows: np.ndarray) -> float:
            return inception_score.inception_score(logits[rows])

        # groups are left out whole, since the score has no sum over examples
        around = intervals.jackknife(score, len(logits))
        whole = inception_score.inception_score(logits)
        return {f"is_{on}": _moved(around, whole)}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, real, on)


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """Shares of samples near real examples and of real examples near samples; intervals over those that are counted."""

    k: int = field(3, "neighbours")

    def names(self, on: str) -> dict[str, int]:
        on += suffix(self)
        return {f"precision_{on}": UP, f"recall_{on}": UP}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        drawn = len(samples.features)
        known = len(real.features)
        # both from balls around examples to their k-th neighbour
        precision, recall = manifold.precision_recall(real.features, samples.features, self.k)
        # binomial intervals of those that were asked about: samples here, real examples there
        near = intervals.share(precision * drawn, drawn)
        reached = intervals.share(recall * known, known)
        return dict(zip(self.names(on), (near, reached), strict=True))

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, drawn, on)


@dataclasses.dataclass(frozen=True)
class DensityCoverage:
    """How many real neighbourhoods a sample lies in, and the share of them that samples reach."""

    k: int = field(5, "neighbours")

    def names(self, on: str) -> dict[str, int]:
        on += suffix(self)
        return {f"density_{on}": UP, f"coverage_{on}": UP}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        density, coverage = manifold.density_coverage(real.features, samples.features, self.k)
        n = len(real.features)
        # density is no share: one sample may lie in many balls
        mean = Interval(density, np.nan, np.nan)
        reached = intervals.share(coverage * n, n)
        return dict(zip(self.names(on), (mean, reached), strict=True))

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, drawn, on)


@dataclasses.dataclass(frozen=True)
class Memorisation:
    """Are samples copies? `closer` is 1/2, `copying` a z-score about 0 for a model that has learned none by heart.

    `closer` sees as many training as held-out examples, `copying` (far below 0: copies) and the percentage of authentic
    samples all of them.
    """

    def names(self, on: str) -> dict[str, int]:
        return {f"closer_{on}": FLAT, f"copying_{on}": FLAT, f"authpct_{on}": FLAT}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        n = len(samples.features)
        # the share of samples that lie nearer to training than to held-out examples
        near = memorisation.closer(samples.features, train.features, real.features)
        percent = memorisation.authpct(samples.features, train.features)
        authentic = intervals.share(percent / 100.0 * n, n)
        z = memorisation.copying(samples.features, train.features, real.features)
        return {
            f"closer_{on}": intervals.share(near * n, n),
            f"copying_{on}": Interval(z, z - 1.96, z + 1.96),  # 95 % of N(z, 1)
            f"authpct_{on}": Interval(*(100.0 * x for x in authentic)),
        }

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        """What is expected of fresh data; for the authentic ones that of held-out examples."""
        authentic = memorisation.authpct(real.features, train.features)
        return {
            f"closer_{on}": Interval(0.5, 0.5, 0.5),
            f"copying_{on}": Interval(0.0, 0.0, 0.0),
            f"authpct_{on}": Interval(authentic, authentic, authentic),
        }


@dataclasses.dataclass(frozen=True)
class Recognition:
    """The share of samples that a classifier reads as the class asked for."""

    labelled: ClassVar[bool] = True  # samples must be of a class that was asked for

    classifier: Classifier | None = field(
        None, "fitted to the training set; None = the extractor, where that is a classifier"
    )

    def names(self, on: str) -> dict[str, int]:
        by = on if self.classifier is None else named(self.classifier)
        return {f"recognised_{by}": UP}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        (name,) = self.names(on)
        read = self._read(train, samples, on)
        hits = np.sum(read == samples.label)
        n = len(samples.label)
        return {name: intervals.share(hits, n)}

    def _read(self, train: Seen, examples: Seen, on: str) -> np.ndarray:
        """The classes that examples are taken for, [N]."""
        # of the training set: a judge that has never seen samples
        if self.classifier is not None:
            known = {"image": train.image, "label": train.label}
            read = self.classifier.fit(known)
            return read(examples.image)
        if examples.logits is None:
            raise ValueError(
                f"recognition needs a classifier's outputs and {on} has none: use Recognition(Svm())"
            )
        # the extractor is the judge: nothing is fitted
        return examples.logits.argmax(1)

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, real, on)


@dataclasses.dataclass(frozen=True)
class ClassRecall:
    """The recall of the worst class: the share of its real examples near samples of it; a collapsed class has none."""

    labelled: ClassVar[bool] = True  # samples must be of a class that was asked for

    k: int = field(3, "neighbours")

    def names(self, on: str) -> dict[str, int]:
        return {f"worst_recall_{on}{suffix(self)}": UP}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        worst = 1.0
        counted = 0  # real examples of the worst class
        for label in np.unique(real.label):
            its_real = real.label == label
            its_drawn = samples.label == label
            known = real.features[its_real]
            drawn = samples.features[its_drawn]
            fewest = min(len(known), len(drawn))
            if fewest <= self.k:  # the k-th neighbour is another example
                raise ValueError(
                    f"class {label} has {len(known)} real examples and {len(drawn)} samples, too few for balls that "
                    f"reach to neighbour {self.k}: measure more samples"
                )
            recall = manifold.covered(known, drawn, self.k)
            if recall <= worst:
                worst = recall
                counted = len(known)
        found = intervals.share(worst * counted, counted)
        (name,) = self.names(on)
        return {name: found}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, drawn, on)


@dataclasses.dataclass(frozen=True)
class Cas:
    """Classification accuracy score: a classifier trained on samples with the classes asked for, on held-out examples.

    Ravuri & Vinyals 2019, arXiv:1905.10887. The floor is trained on as many real examples.
    """

    labelled: ClassVar[bool] = True  # samples must be of a class that was asked for

    classifier: Classifier = field(Svm(), "what is trained")

    def names(self, on: str) -> dict[str, int]:
        # the usual judge needs no mention
        by = "" if repr(self.classifier) == repr(Svm()) else f"_{named(self.classifier)}"
        return {f"cas{by}": UP}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        # of one class no boundary can be learned
        classes = np.unique(samples.label)
        if len(classes) < 2:
            raise ValueError(
                "a classifier trained on samples needs samples of at least two classes"
            )
        taught = {"image": samples.image, "label": samples.label}
        read = self.classifier.fit(taught)
        # trained on samples, but asked about real examples: samples without variety teach it little
        hits = np.sum(read(real.image) == real.label)
        n = len(real.label)
        (name,) = self.names(on)
        return {name: intervals.share(hits, n)}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, drawn, on)


# no base class: what has these three methods is a metric
Metric = (
    Frechet
    | Kernel
    | InceptionScore
    | PrecisionRecall
    | DensityCoverage
    | Memorisation
    | Recognition
    | ClassRecall
    | Cas
    | Own
)


def check_classes(metrics: Sequence[Metric], on: Extractor) -> None:
    """Raises UserError for a metric that reads the data's labels by an extractor of other classes, or of none."""
    # of others the largest logit is a number that has nothing to do with the label's
    if getattr(on, "classes", None) == "data":
        return
    for metric in metrics:
        if isinstance(metric, Recognition) and metric.classifier is None:
            raise UserError(
                f"--watch.metrics: Recognition() reads classes by the extractor, and those of {type(on).__name__} are "
                "not the data's: use Recognition(Svm()), or --watch.extractor='Convolutional()'."
            )


def names(metrics: Sequence[Metric], on: str) -> dict[str, int]:
    """Every number's name with the way that is better."""
    found = {}
    for metric in metrics:
        found |= metric.names(on)  # of two metrics with one name the later counts
    return found


def floors(
    metrics: Sequence[Metric],
    train: Seen,
    real: Seen,
    on: str,
    seed: int = 0,
) -> dict[str, float]:
    """The floors at n = len(real): held-out examples, or as many of the training set, in the place of samples.

    ValueError, with the metric's reason, where n or the extractor is not enough for it, and where the training set has
    fewer than n.
    """
    found = floor_intervals(metrics, train, real, on, seed)
    return {name: float(interval.value) for name, interval in found.items()}


def floor_intervals(
    metrics: Sequence[Metric],
    train: Seen,
    real: Seen,
    on: str,
    seed: int = 0,
) -> dict[str, Interval]:
    """`floors` with their 95 % intervals over the draw of what stands in the place of samples, NaN where not known."""
    n = len(real.features)
    most = len(train.features)
    if most < n:  # a floor at another n would be another number
        raise ValueError(
            f"a floor needs as many training as held-out examples, and there are {most} and {n}: "
            f"measure {most} samples or fewer"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train.features))
    rows = np.sort(order[:n])  # in the order of the training set
    drawn = train.rows(rows)
    found = {}
    for metric in metrics:
        found |= metric.floor(train, drawn, real, on)
    return found


def measured(
    metrics: Sequence[Metric],
    train: Seen,
    real: Seen,
    samples: Seen,
    on: str,
    floor: dict[str, float],
) -> dict[str, Value]:
    """All numbers of the samples, with `floor` from `floors` at the same n."""
    values = {}
    n = len(samples.image)
    for metric in metrics:
        its = metric(train, real, samples, on)
        for name, interval in its.items():
            values[name] = Value(
                value=float(interval.value),
                low=_known(interval.low),
                high=_known(interval.high),
                n=n,
                floor=floor.get(name),
            )
    return values


def _known(end: float) -> float | None:
    """The end of an interval; None where a metric has no interval, which it says by nan."""
    return float(end) if np.isfinite(end) else None
