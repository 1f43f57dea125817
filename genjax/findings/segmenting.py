"""A segmenter on held-out pictures beside methods without a net: regions, boundaries, and how sure it may be.

Every method gives probabilities, and all are measured alike. Regions: the mean over classes of the IoU of all pixels
together, and the share of pixels that are right. Boundaries: F score (Csurka et al. 2013). Calibration: the expected
error of confidences over pixels (Guo et al. 2017), Brier score, nats of the true class.

Pixels of one picture are alike, so intervals are over pictures, or over what pictures belong to: a person, a scene.
They are jackknives, and differences are of the same pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from genjax.ae.pixelwise import Forest, Majority, Pixelwise, Place, Said
from genjax.ae.segmentation import classes_of, predict, void_of
from genjax.config import field, suffix
from genjax.core import averaged
from genjax.errors import UserError, at_least
from genjax.findings.regions import (
    MEASURES,
    Judged,
    grouped,
    interval,
    joined,
    judge,
    mean_iou,
    of_class,
)
from genjax.findings.restored import evenly, still
from genjax.findings.samples import check_images, show, some, told
from genjax.findings.segmenter import check_segmentation
from genjax.metrics.intervals import Interval
from genjax.pictures.classes import coloured, headed, legend, mistakes
from genjax.pictures.draw import grid
from genjax.pictures.figure import canvas, pixels
from genjax.training.experiment import Experiment
from genjax.training.run import Run

NET = "net"
AT_A_TIME = 50  # pictures whose probabilities are in memory
WIDE = 128  # least width of a column, that of its title [pixels]
TITLES = ("input", "predicted", "truth", "where wrong")

Arrays = Mapping[str, Any]  # fields of some examples, [n, ...]
Method = Callable[[Arrays], np.ndarray]  # -> probabilities [n, H, W, K]


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
        sizes = {
            "images": self.images,
            "library": self.library,
            "shown": self.shown,
        }
        at_least(1, "--finish.Segmenting.", **sizes)
        # a forest without trees is told now, and not after hours
        for floor in self.floors:
            floor.check()
        if self.group and self.group not in source.fields:
            known = ", ".join(source.fields)
            raise UserError(
                f"--finish.Segmenting.group={self.group}: {source.name} has no such field, it has {known}."
            )
        shape = tuple(source.fields[self.group].shape) if self.group else ()
        if shape:
            raise UserError(
                f"--finish.Segmenting.group={self.group} has {shape} numbers a picture, and a group has one: name a "
                "field such as person or scene."
            )
        self._check_names(exp, source)

    def _check_names(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for names that are not as many as there are classes."""
        mask = source.fields.get(exp.algorithm.mask)
        # what is no mask the algorithm refuses
        classes = getattr(mask, "classes", 0)
        named = len(self.names)
        if named and classes and named != classes:
            raise UserError(
                f"--finish.Segmenting.names has {named} names, and the masks have {classes} classes: name each, or "
                "none."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        # a fixed draw: the head of a split may be of few people
        drawn_ = some(this.source.test, self.images)
        test = still(this.exp.view, drawn_)
        mask = np.asarray(test[this.exp.algorithm.mask])
        groups = np.arange(len(mask))
        if self.group:
            groups = np.asarray(test[self.group])
        void = void_of(this.exp.algorithm)
        sums = {}
        for name, method in self._methods(this).items():
            judged = judgement(method, test, mask, void)
            sums[name] = grouped(judged, groups)
            numbers = tell(this, name, sums[name], len(mask))
            # the net comes first, and its pictures are drawn while its sums are there
            if name == NET:
                found = numbers
                self._draw(this, method, test, judged)
        net = sums[NET]
        for name, other in sums.items():
            if name != NET:
                found |= tell_above(this, name, net, other)
        self._tell_classes(this, sums)
        show(this, "reliability", reliability(sums))
        return found

    def _methods(self, this: Run) -> dict[str, Method]:
        """The net, and every floor fitted to training pictures, as evaluation sees them."""
        cfg, spec = this.exp.algorithm, this.spec
        classes = classes_of(cfg, spec)
        drawn_ = some(this.source.train, self.library)
        library = still(this.exp.view, drawn_)
        images = np.asarray(spec.unit(library))
        masks = np.asarray(library[cfg.mask])
        methods = {NET: of_net(this)}
        for floor in self.floors:
            said = floor.fit(images, masks, classes)
            # of two of a class the settings tell which is which
            name = type(floor).__name__.lower() + suffix(floor)
            methods[name] = of_floor(this, said)
        return methods

    def _tell_classes(self, this: Run, sums: Mapping[str, Judged]) -> None:
        """The IoU of every class by every method, as a table."""
        void = void_of(this.exp.algorithm)
        for k, class_name in enumerate(self._names(this)):
            # nobody knows where it is
            if k in void:
                continue
            row = {}
            words = []
            for name, of_method in sums.items():
                found = interval(of_class(k), of_method)
                row |= _numbers(name, found)
                words.append(f"{name} {told(found)}")
            this.log.note(f"IoU of {class_name}: {', '.join(words)}")
            this.log.result(f"iou {class_name}", row)

    def _names(self, this: Run) -> tuple[str, ...]:
        """Of the classes, in order."""
        classes = classes_of(this.exp.algorithm, this.spec)
        numbers = tuple(map(str, range(classes)))
        return self.names or numbers

    def _draw(self, this: Run, method: Method, test: Arrays, judged: Judged) -> None:
        """Some test pictures from all over the split, and those with the most mistakes."""
        # by pixels and not by IoU, of which a picture without a class has none
        hits = np.trace(judged.counts, axis1=1, axis2=2)
        wrong = judged.counts.sum((1, 2)) - hits
        order = np.argsort(-wrong, kind="stable")
        kinds = {
            "segmented": evenly(self.shown, len(hits)),
            "worst": order[: self.shown],
        }
        for name, rows in kinds.items():
            part = _rows(test, rows)
            p = method(part)
            images = np.asarray(this.spec.unit(part))
            truth = part[this.exp.algorithm.mask]
            void = void_of(this.exp.algorithm)
            picture = drawn(images, p.argmax(-1), truth, self._names(this), void)
            show(this, name, picture)


def of_net(this: Run) -> Method:
    """The run's net as a method."""
    cfg, spec = this.exp.algorithm, this.spec

    # one function for all calls, so that it is compiled once
    def net(key: jax.Array, state: Any, batch: Any) -> dict[str, jax.Array]:
        p = predict(averaged(state), batch, cfg, spec)
        return {"p": p}

    def method(arrays: Arrays) -> np.ndarray:
        found = this.evaluate(dict(arrays), net, AT_A_TIME)
        return found["p"]

    return method


def of_floor(this: Run, said: Said) -> Method:
    """A fitted floor as a method: it sees pictures alone."""

    def method(arrays: Arrays) -> np.ndarray:
        images = this.spec.unit(arrays)
        return said(np.asarray(images))

    return method


def _rows(arrays: Arrays, rows: Any) -> dict[str, np.ndarray]:
    """Some examples."""
    return {name: np.asarray(values[rows]) for name, values in arrays.items()}


def judgement(
    method: Method,
    test: Arrays,
    mask: np.ndarray,
    void: tuple[int, ...] = (),
) -> Judged:
    """A method on all test pictures, a few at a time, without the pixels of the classes `void`."""
    parts = []
    # probabilities of all pixels of all pictures would be gigabytes
    for first in range(0, len(mask), AT_A_TIME):
        rows = slice(first, first + AT_A_TIME)
        p = method(_rows(test, rows))
        parts.append(judge(p, mask[rows], void))
    return joined(parts)


def _numbers(name: str, found: Interval) -> dict[str, float]:
    """An interval as results.json keeps it: NaN, of a class that is nowhere, is no JSON."""
    ends = {
        name: found.value,
        f"{name} low": found.low,
        f"{name} high": found.high,
    }
    return {key: value for key, value in ends.items() if np.isfinite(value)}


def tell(
    this: Run,
    name: str,
    sums: Judged,
    n: int,
) -> dict[str, float]:
    """Records the measures of one method, and their intervals; returns the measures."""
    numbers = {}
    ends = {}
    words = []
    for key, measure in MEASURES.items():
        found = interval(measure, sums)
        numbers[key] = found.value
        words.append(f"{key} {told(found)}")
        # of a single group there is none
        if np.isfinite(found.low):
            ends[f"{name} {key}"] = found._asdict()
    groups = len(sums.pictures)
    entry = {**numbers, "n": n, "groups": groups}
    this.log.result(f"segmented: {name}", entry)
    this.log.result("intervals", ends)
    this.log.note(f"{name}: {', '.join(words)}")
    return numbers


def tell_above(
    this: Run,
    name: str,
    net: Judged,
    other: Judged,
) -> dict[str, float]:
    """Records by how much the net's mean IoU is above another's."""
    found = interval(mean_iou, net, other)
    key = f"above {name}"
    this.log.note(f"mean IoU above that of {name}: {told(found)}")
    this.log.result("segmented: above", _numbers(name, found))
    return {key: found.value}


def drawn(
    images: np.ndarray,
    taken: np.ndarray,
    truth: np.ndarray,
    names: tuple[str, ...],
    void: tuple[int, ...] = (),
) -> np.ndarray:
    """Input, predicted classes, true ones and where they differ, a row for each picture, with a legend: uint8.

    Where the true class is `void` nothing is wrong.
    """
    shape = (*images.shape[:3], 3)
    unknown = np.isin(truth, void)
    believed = np.where(unknown, taken, truth)
    columns = [
        np.broadcast_to(images, shape),  # grey is as wide
        coloured(taken) / 255.0,
        coloured(truth) / 255.0,
        mistakes(images, taken, believed),
    ]
    rows = np.stack(columns, 1)  # [N, 4, H, W, 3]
    tiles = rows.reshape(-1, *shape[1:])
    zoom = -(-WIDE // shape[2])  # rounded up
    picture = grid(tiles, len(TITLES), zoom=zoom)
    whole = headed(picture, TITLES)
    below = legend(names, whole.shape[1])
    return np.concatenate([whole, below])


def reliability(sums: Mapping[str, Judged], side: int = 400) -> np.ndarray:
    """How often each method is right where it says so: a line each over confidence, dashed what should be."""
    figure, axes = canvas(side, side)
    plot = axes[0, 0]
    ends = [0, 1]
    plot.plot(ends, ends, "--", color="grey", linewidth=0.8)
    for name, of_method in sums.items():
        # of all pictures together, as the error is
        count = of_method.pixels.sum(0)
        filled = count > 0
        confidence = of_method.confidence.sum(0)[filled]
        hits = of_method.hits.sum(0)[filled]
        some_ = count[filled]
        plot.plot(
            confidence / some_,
            hits / some_,
            marker="o",
            markersize=3,
            linewidth=1.0,
            label=name,
        )
    plot.set(
        xlabel="confidence",
        ylabel="share that is right",
        xlim=ends,
        ylim=ends,
    )
    plot.legend(fontsize=7)
    figure.tight_layout()
    return pixels(figure)
