"""A segmenter on held-out pictures beside methods without a net: regions, boundaries, and how sure it may be.

Every method gives probabilities, and all are measured alike. Regions: the mean over classes of the IoU of all pixels
together, and the share of pixels that are right. Boundaries: F score (Csurka et al. 2013). Calibration: the expected
error of confidences over pixels (Guo et al. 2017), Brier score, nats of the true class.

Pixels of one picture are alike, so intervals are over pictures, or over what pictures belong to: a person, a scene.
They are jackknives, and differences are of the same pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.ae.pixelwise import Forest, Majority, Pixelwise, Place
from genjax.ae.segmentation import classes_of, predict
from genjax.config import field, suffix
from genjax.core import averaged
from genjax.errors import UserError, at_least
from genjax.findings.restored import evenly, still
from genjax.findings.samples import check_images, show, some, told
from genjax.findings.segmenter import check_segmentation
from genjax.findings.steering import members
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.masks import boundary_f, confusion, iou
from genjax.metrics.prediction import EPSILON, calibration
from genjax.pictures.classes import coloured, headed, legend, mistakes
from genjax.pictures.draw import grid
from genjax.pictures.figure import canvas, pixels
from genjax.training.experiment import Experiment
from genjax.training.run import Run
from genjax.views import Crop, Flip, Shift

NET = "net"
BINS = 15  # of confidence
AT_A_TIME = 50  # pictures whose probabilities are in memory
TITLES = ("input", "predicted", "truth", "where wrong")


class Judged(NamedTuple):
    """Sums over the pixels of each of N pictures, or of each of N groups of them."""

    pictures: np.ndarray  # [N]
    counts: np.ndarray  # of classes taken for classes, [N, K, K]
    edges: np.ndarray  # F scores of boundaries, [N]
    confidence: np.ndarray  # of the pixels of each bin, [N, BINS]
    hits: np.ndarray  # pixels of each bin that are right
    pixels: np.ndarray  # of each bin
    brier: np.ndarray  # squared distances, [N]
    nats: np.ndarray  # of the true class, [N]


Measure = Callable[[Judged], float]  # of sums over all


def judge(p: np.ndarray, mask: np.ndarray) -> Judged:
    """Probabilities [N, H, W, K] against classes [N, H, W], picture by picture."""
    classes = p.shape[-1]
    taken = p.argmax(-1)
    bins = []
    for said, its in zip(p, mask, strict=True):
        flat = said.reshape(-1, classes)
        bins.append(calibration(flat, its.ravel(), BINS))
    confidence, accuracy, number = map(np.stack, zip(*bins, strict=True))
    one_hot = np.eye(classes)[mask]
    squares = np.square(p - one_hot).sum((1, 2, 3))
    of_truth = np.sum(p * one_hot, -1)
    surprise = -np.log(np.maximum(of_truth, EPSILON))
    return Judged(
        pictures=np.ones(len(p)),
        counts=confusion(mask, taken, classes),
        edges=boundary_f(mask, taken, classes),
        confidence=confidence * number,
        hits=accuracy * number,
        pixels=number,
        brier=squares,
        nats=surprise.sum((1, 2)),
    )


def grouped(judged: Judged, groups: np.ndarray) -> Judged:
    """The sums of each group, of groups [N]."""
    of_group = members(groups)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.stack([values[rows].sum(0) for rows in of_group])

    return Judged(*map(summed, judged))


def _mean_iou(total: Judged) -> float:
    return float(np.nanmean(iou(total.counts)))


def _accuracy(total: Judged) -> float:
    return float(np.trace(total.counts) / total.counts.sum())


def _boundary(total: Judged) -> float:
    return float(total.edges / total.pictures)


def _ece(total: Judged) -> float:
    gaps = np.abs(total.hits - total.confidence)
    return float(gaps.sum() / total.pixels.sum())


def _brier(total: Judged) -> float:
    return float(total.brier / total.pixels.sum())


def _nats(total: Judged) -> float:
    return float(total.nats / total.pixels.sum())


MEASURES: dict[str, Measure] = {
    "mean_iou": _mean_iou,
    "accuracy": _accuracy,
    "boundary_f": _boundary,
    "ece": _ece,
    "brier": _brier,
    "nats": _nats,
}


def over_groups(measure: Measure, sums: Judged, less: Judged | None = None) -> Interval:
    """A measure of all groups' sums with the jackknife over them, or its difference to that of `less`.

    Of a single group the interval is not known.
    """

    def value(rows: np.ndarray) -> float:
        total = measure(_total(sums, rows))
        if less is None:
            return total
        return total - measure(_total(less, rows))

    groups = np.arange(len(sums.pictures))
    if len(groups) < 2:
        return Interval(value(groups), np.nan, np.nan)
    return by_group(value, list(groups[:, None]))


def _total(sums: Judged, rows: np.ndarray) -> Judged:
    return Judged(*(values[rows].sum(0) for values in sums))


def of_class(k: int) -> Measure:
    """The IoU of one class; NaN of one that neither side has."""

    def measure(total: Judged) -> float:
        return float(iou(total.counts)[k])

    return measure


@dataclasses.dataclass(frozen=True)
class Segmenting:
    """Mean IoU, accuracy, boundaries and calibration of the net and of methods without one; pictures of both kinds.

    Gives {"mean_iou": …}, the net's, and by how much it is above each of the others.
    """

    images: int = field(1000, "test pictures that are measured, at most")
    group: str = field(
        "", "field whose pictures belong together: person, scene; '' = each stands for itself"
    )
    names: tuple[str, ...] = field((), "of the classes, for people; () = their numbers")
    floors: tuple[Pixelwise, ...] = field(
        (Majority(), Place(), Forest()), "methods to compare with"
    )
    library: int = field(4000, "training pictures that the floors are fitted to, at most")
    shown: int = field(8, "pictures that are drawn of each kind", execution=True)

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be measured, before the training."""
        check_images(source)
        check_segmentation(exp.algorithm)
        sizes = {"images": self.images, "library": self.library, "shown": self.shown}
        at_least(1, "--finish.Segmenting.", **sizes)
        for floor in self.floors:
            floor.check()
        if self.group and self.group not in source.fields:
            known = ", ".join(source.fields)
            raise UserError(
                f"--finish.Segmenting.group={self.group}: {source.name} has no such field, it has {known}."
            )
        self._check_names(exp, source)
        check_views(exp, source)

    def _check_names(self, exp: Experiment, source: Any) -> None:
        found = source.fields.get(exp.algorithm.mask)
        classes = getattr(found, "classes", 0)  # what is no mask the algorithm refuses
        if self.names and classes and len(self.names) != classes:
            raise UserError(
                f"--finish.Segmenting.names has {len(self.names)} names, and the masks have {classes} classes: name "
                "each, or none."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        test = still(this.exp.view, some(this.source.test, self.images))
        mask = np.asarray(test[this.exp.algorithm.mask])
        groups = np.arange(len(mask))
        if self.group:
            groups = np.asarray(test[self.group])
        sums = {}
        numbers = {}
        for name, said in self._methods(this).items():
            judged = _judged(said, this, test, mask)
            sums[name] = grouped(judged, groups)
            numbers[name] = tell(this, name, sums[name], len(mask))
            if name == NET:
                self._draw(this, said, test, judged)
        found = numbers[NET]
        for name, other in sums.items():
            if name != NET:
                found |= tell_above(this, name, sums[NET], other)
        self._tell_classes(this, sums)
        show(this, "reliability", reliability(sums))
        return found

    def _methods(self, this: Run) -> dict[str, Any]:
        """{name: what gives probabilities [n, H, W, K] of arrays of a split}."""
        cfg, spec = this.exp.algorithm, this.spec
        classes = classes_of(cfg, spec)

        def net(key: jax.Array, state: Any, batch: Any) -> dict[str, jax.Array]:
            return {"p": predict(averaged(state), batch, cfg, spec)}

        def of_net(arrays: Mapping[str, Any]) -> np.ndarray:
            return this.evaluate(dict(arrays), net, AT_A_TIME)["p"]

        methods: dict[str, Any] = {NET: of_net}
        library = still(this.exp.view, some(this.source.train, self.library))
        images = np.asarray(spec.unit(library))
        masks = np.asarray(library[cfg.mask])
        for floor in self.floors:
            said = floor.fit(images, masks, classes)

            def of_floor(arrays: Mapping[str, Any], said: Any = said) -> np.ndarray:
                return said(np.asarray(spec.unit(arrays)))

            methods[type(floor).__name__.lower() + suffix(floor)] = of_floor
        return methods

    def _tell_classes(self, this: Run, sums: Mapping[str, Judged]) -> None:
        """The IoU of every class by every method, as a table."""
        classes = sums[NET].counts.shape[-1]
        for k, class_name in enumerate(self._names(classes)):
            row = {}
            words = []
            for name, of_method in sums.items():
                interval = over_groups(of_class(k), of_method)
                row |= _numbers(name, interval)
                words.append(f"{name} {told(interval)}")
            this.log.note(f"IoU of {class_name}: {', '.join(words)}")
            # NaN is no JSON: a class that no test picture has
            kept = {key: value for key, value in row.items() if np.isfinite(value)}
            this.log.result(f"iou {class_name}", kept)

    def _names(self, classes: int) -> tuple[str, ...]:
        return self.names or tuple(map(str, range(classes)))

    def _draw(self, this: Run, said: Any, test: Mapping[str, Any], judged: Judged) -> None:
        """Some test pictures from all over the split, and those with the most mistakes."""
        hits = np.trace(judged.counts, axis1=1, axis2=2)
        worst = np.argsort(hits, kind="stable")[: self.shown]
        kinds = {"segmented": evenly(self.shown, len(hits)), "worst": worst}
        for name, rows in kinds.items():
            part = {key: np.asarray(values)[rows] for key, values in test.items()}
            taken = said(part).argmax(-1)
            images = np.asarray(this.spec.unit(part))
            truth = part[this.exp.algorithm.mask]
            classes = judged.counts.shape[-1]
            show(this, name, drawn(images, taken, truth, self._names(classes)))


def check_views(exp: Experiment, source: Any) -> None:
    """Raises UserError for a view that moves pictures and leaves their masks where they were, or the other way."""
    both = (source.main, exp.algorithm.mask)
    for view in exp.view:
        if not isinstance(view, (Flip, Shift, Crop)):
            continue
        moved = [name for name in both if name in view.of]
        if len(moved) == 1:
            kind = type(view).__name__
            raise UserError(
                f"--view={kind}(of={view.of}) moves the field {moved[0]!r} alone, and masks would lie beside their "
                f"pictures: write {kind}(of={both})."
            )


def _parts(arrays: Mapping[str, Any], mask: np.ndarray) -> Iterator[tuple[dict, np.ndarray]]:
    """(arrays, masks) of a few examples at a time."""
    for first in range(0, len(mask), AT_A_TIME):
        rows = slice(first, first + AT_A_TIME)
        part = {name: values[rows] for name, values in arrays.items()}
        yield part, mask[rows]


def _judged(said: Any, this: Run, test: Mapping[str, Any], mask: np.ndarray) -> Judged:
    """A method on all test pictures."""
    found = [judge(said(part), its) for part, its in _parts(test, mask)]
    return Judged(*map(np.concatenate, zip(*found, strict=True)))


def _numbers(name: str, interval: Interval) -> dict[str, float]:
    """An interval as results.json keeps it."""
    return {
        name: interval.value,
        f"{name} low": interval.low,
        f"{name} high": interval.high,
    }


def tell(this: Run, name: str, sums: Judged, n: int) -> dict[str, float]:
    """Records the measures of one method, and their intervals; returns the measures."""
    numbers = {}
    ends = {}
    words = []
    for key, measure in MEASURES.items():
        interval = over_groups(measure, sums)
        numbers[key] = interval.value
        words.append(f"{key} {told(interval)}")
        if np.isfinite(interval.low):
            ends[f"{name} {key}"] = interval._asdict()
    groups = len(sums.pictures)
    this.log.result(f"segmented: {name}", {**numbers, "n": n, "groups": groups})
    this.log.result("intervals", ends)
    this.log.note(f"{name}: {', '.join(words)}")
    return numbers


def tell_above(this: Run, name: str, net: Judged, other: Judged) -> dict[str, float]:
    """Records by how much the net's mean IoU is above another's."""
    interval = over_groups(_mean_iou, net, other)
    key = f"above {name}"
    this.log.note(f"mean IoU above that of {name}: {told(interval)}")
    if np.isfinite(interval.low):
        this.log.result("intervals", {f"mean_iou {key}": interval._asdict()})
    this.log.result("segmented: above", {name: interval.value})
    return {key: interval.value}


def drawn(
    images: np.ndarray, taken: np.ndarray, truth: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """Input, predicted classes, true ones and where they differ, a row for each picture, with a legend: uint8."""
    colour = np.broadcast_to(images, (*images.shape[:3], 3))
    columns = [colour, coloured(taken) / 255.0, coloured(truth) / 255.0]
    columns.append(mistakes(images, taken, truth))
    tiles = np.stack(columns, 1)  # [N, 4, H, W, 3]
    flat = tiles.reshape(-1, *tiles.shape[2:])
    # small pictures are enlarged until a column is as wide as its title
    zoom = -(-128 // flat.shape[2])
    picture = headed(grid(flat, len(TITLES), zoom=zoom), TITLES)
    below = legend(names, picture.shape[1])
    return np.concatenate([picture, below])


def reliability(sums: Mapping[str, Judged], side: int = 400) -> np.ndarray:
    """How often each method is right where it says so: a line each over confidence, dashed what should be."""
    figure, axes = canvas(side, side)
    plot = axes[0, 0]
    plot.plot([0, 1], [0, 1], "--", color="grey", linewidth=0.8)
    for name, of_method in sums.items():
        pixels_ = of_method.pixels.sum(0)
        some_ = pixels_ > 0
        confidence = of_method.confidence.sum(0)[some_] / pixels_[some_]
        right = of_method.hits.sum(0)[some_] / pixels_[some_]
        plot.plot(confidence, right, marker="o", markersize=3, linewidth=1.0, label=name)
    plot.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    plot.legend(fontsize=7)
    figure.tight_layout()
    return pixels(figure)
