"""Which examples are unlike the normal ones: a trained model's scores beside scorers that need no training.

All that is fitted is fitted on training normals, a threshold comes from held-out normals, and the method that counts is
the one that parts held-out normals best from what was made of them (`genjax.anomaly.made`), so that no anomaly of the
test chooses anything. Raw pixels with nearest neighbours and with a one-class SVM are measured always. Over the classes
of one against the rest the runs of a sweep are put together: the mean areas are told by whoever finishes last.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.anomaly.areas import mean_area, mean_difference
from genjax.anomaly.gradients import Gradients
from genjax.anomaly.made import everything
from genjax.anomaly.scorers import Mahalanobis, Neighbours, OneClassSvm, Scorer
from genjax.anomaly.together import together
from genjax.config import digest, edit, field
from genjax.core import size
from genjax.data.oneclass import TRUTH
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, show, some
from genjax.findings.unlikeness import Named, Own, Scores, Splits, by_rows
from genjax.metrics.components import rows
from genjax.metrics.evaluate import Value
from genjax.metrics.features import STRANGE, save_arrays
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import (
    auroc,
    auroc_difference,
    average_precision,
    rate,
    threshold,
)
from genjax.pictures.draw import captioned, grid, to_uint8
from genjax.training.experiment import Experiment
from genjax.training.run import Run

FLOOR = "pixels_neighbours"  # what every method is to be better than
ALL = "together"
FILE = "scores.npz"
Arrays = dict[str, np.ndarray]  # "<split>/<method>", "label", "anomalous", each [N]


@dataclasses.dataclass(frozen=True)
class Anomalies:
    """AUROC of every method with its interval, the choice by normals alone, a threshold, and pictures."""

    own: tuple[Own, ...] = field((Named(),), "scores of the model's own family")
    pixels: tuple[Scorer, ...] = field(
        (Neighbours(), OneClassSvm()), "scorers of raw pixels; neighbours are always there"
    )
    edges: tuple[Scorer, ...] = field(
        (Neighbours(), Mahalanobis()), "scorers of histograms of gradients"
    )
    gradients: Gradients = field(Gradients(), "those histograms")
    apart: tuple[str, ...] = field(
        ("pixels_svm", "softmax"), "methods that are no part of `together`"
    )
    false_alarms: float = field(0.05, "of held-out normals that the threshold lets pass")
    images: int = field(0, "test pictures that are looked at; 0 = all")
    shown: int = field(12, "pictures in a row")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data that do not say what is normal, and scores that the model has not got."""
        check_images(source)
        at_least(0, finish__Anomalies__images=self.images)
        at_least(1, finish__Anomalies__shown=self.shown)
        if TRUTH not in source.fields or not size(source.valid):
            raise UserError(
                f"Anomalies() needs data that say what is normal, and {source.name} do not: use "
                "--data='OneClass(FashionMNIST(),normal=3)', or --finish='()'."
            )
        self.gradients.check(source.shape)
        for own in self.own:
            own.check(exp)
        if FLOOR not in [f"pixels_{scorer.name}" for scorer in self.pixels]:
            raise UserError(
                "--finish.Anomalies.pixels: leave Neighbours() in, the floor of all."
            )
        # for its error: before hours of training
        threshold(np.zeros(size(source.valid)), self.false_alarms)

    def __call__(self, this: Run) -> None:
        path = this.log.directory / FILE
        mark = this.basis(self)["hash"]
        scores = stored(path, mark)
        if scores is None:
            scores = self.measured(this)
            save_arrays(path, {**scores, "basis": np.array(mark)})
        found = numbers(scores, self.false_alarms)
        this.log.result("anomaly", found)
        best = chosen([scores])
        this.log.result("anomaly", {"chosen": best})
        _tell(this, scores, found, best)
        self.draw(this, scores, best)
        self.over_classes(this, mark)

    def splits(self, this: Run) -> Splits:
        """{train, valid, made, test}: made are anomalies of the held-out normals, one kind after the other."""
        source, main = this.source, this.spec.main
        test = source.test
        if self.images:
            test = some(test, self.images)
        pictures = np.asarray(this.spec.x.unit(np.asarray(source.valid[main])))
        kinds = everything(pictures, this.exp.seed)
        # bytes: what the model sees of them is what it sees of the data
        made = to_uint8(np.concatenate(list(kinds.values())))
        others = {}
        for name, values in source.valid.items():
            others[name] = np.concatenate([np.asarray(values)] * len(kinds))
        others |= {main: made}
        return {"train": source.train, "valid": source.valid, "made": others, "test": test}

    def measured(self, this: Run) -> Arrays:
        """Every method's scores of every split but training's, and the truth of the test."""
        splits = self.splits(this)
        main = this.spec.main
        methods: Scores = {}
        for own in self.own:
            methods |= own(this, splits)
        flat, edges = {}, {}
        for split, arrays in splits.items():
            pictures = np.asarray(arrays[main])
            flat[split] = rows(pictures)
            edges[split] = self.gradients(pictures)
        methods |= by_rows("edges", edges, self.edges)
        methods |= by_rows("pixels", flat, self.pixels)
        found = {}
        for name, of_splits in methods.items():
            for split, values in of_splits.items():
                found[f"{split}/{name}"] = np.asarray(values, np.float64)
        for split in ("valid", "made", "test"):
            parts = {
                name: found[f"{split}/{name}"] for name in methods if name not in self.apart
            }
            normal = {name: found[f"valid/{name}"] for name in parts}
            found[f"{split}/{ALL}"] = together(normal, parts)
        for name in ("label", TRUTH):
            found[name] = np.asarray(splits["test"][name])
        return found

    def draw(self, this: Run, scores: Arrays, name: str) -> None:
        """What the chosen method finds most and least normal of either kind, and what it takes for the other."""
        test = this.source.test
        if self.images:
            test = some(test, self.images)
        pictures = np.asarray(test[this.spec.main])
        values = scores[f"test/{name}"]
        other = scores[TRUTH] == 1
        order = np.argsort(values, kind="stable")
        normals = order[~other[order]]
        anomalies = order[other[order]]
        n = min(self.shown, len(normals), len(anomalies))
        lines = {
            "normal, most so": normals[:n],
            "normal, least so": normals[::-1][:n],
            "anomalies missed": anomalies[:n],
            "anomalies, clearest": anomalies[::-1][:n],
        }
        tiles = [pictures[places] for places in lines.values()]
        picture = grid(np.concatenate(tiles), n)
        show(this, "anomalies", captioned(picture, list(lines)))
        # what the choice was made by: a row of each kind
        made = self.splits(this)["made"][this.spec.main]
        kinds = everything(np.zeros((2, *this.spec.shape))).keys()
        by_kind = np.asarray(made).reshape(len(kinds), -1, *this.spec.shape)
        shown = by_kind[:, : self.shown]
        sheet = grid(shown.reshape(-1, *this.spec.shape), shown.shape[1])
        show(this, "made", captioned(sheet, list(kinds)))

    def over_classes(self, this: Run, mark: str) -> None:
        """The mean over the classes, once the runs of all of them have their scores; else how many are missing."""
        classes = range(this.source.classes)
        folder = this.log.directory.parent
        members = []
        for normal in classes:
            of_class = edit(this.exp, {"data.normal": normal})
            for path in folder.glob(f"*-{digest(of_class)}/{FILE}"):
                scores = stored(path)
                if scores is not None:
                    members.append(scores)
                    break
        if len(members) < len(classes):
            missing = len(classes) - len(members)
            this.log.note(
                f"mean over classes: {missing} of {len(classes)} runs are still to come"
            )
            return
        found = means(members)
        this.log.result("classes", found)
        for line in table(members, found):
            this.log.note(line)


def stored(path: Any, mark: str | None = None) -> Arrays | None:
    """The scores of a run; None where there are none, or where they were measured on something else than `mark`."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except STRANGE:  # damaged: measured again
        return None
    basis = str(arrays.pop("basis", ""))
    return arrays if mark in (None, basis) else None


def methods_of(scores: Arrays) -> list[str]:
    """The names of all methods."""
    return [name.partition("/")[2] for name in scores if name.startswith("test/")]


def criterion(scores: Arrays, name: str) -> float:
    """How well a method parts held-out normals from what was made of them, an AUROC: no test example is in it."""
    normal = scores[f"valid/{name}"]
    made = scores[f"made/{name}"]
    both = np.concatenate([normal, made])
    truth = np.arange(len(both)) >= len(normal)
    return auroc(both, truth).value


def chosen(members: list[Arrays]) -> str:
    """The method with the highest mean criterion over runs."""
    means_of = {}
    for name in methods_of(members[0]):
        values = [criterion(scores, name) for scores in members]
        means_of[name] = np.mean(values)
    return max(means_of, key=lambda name: means_of[name])


def numbers(scores: Arrays, false_alarms: float) -> dict[str, Any]:
    """{method: its numbers}: areas with intervals, the criterion, and what the threshold becomes on test."""
    truth = scores[TRUTH] == 1
    floor = scores[f"test/{FLOOR}"]
    found = {}
    for name in methods_of(scores):
        values = scores[f"test/{name}"]
        bound = threshold(scores[f"valid/{name}"], false_alarms)
        found[name] = {
            "auroc": _kept(auroc(values, truth), len(truth)),
            "above_neighbours": _kept(auroc_difference(values, floor, truth), len(truth)),
            "average_precision": _kept(average_precision(values, truth, times=100), len(truth)),
            "criterion": criterion(scores, name),
            "threshold": bound,
            "false_alarms": _kept(rate(values[~truth], bound), int(np.sum(~truth))),
            "detected": _kept(rate(values[truth], bound), int(np.sum(truth))),
        }
    return found


def means(members: list[Arrays]) -> dict[str, Any]:
    """{method: its mean over classes}, {"chosen": name}; members in the order of the classes."""
    truths = [scores[TRUTH] == 1 for scores in members]
    strata = members[0]["label"]
    floors = [scores[f"test/{FLOOR}"] for scores in members]
    found: dict[str, Any] = {}
    for name in methods_of(members[0]):
        values = [scores[f"test/{name}"] for scores in members]
        each = [criterion(scores, name) for scores in members]
        areas = [
            auroc(of_class, truth).value for of_class, truth in zip(values, truths, strict=True)
        ]
        above = mean_difference(values, floors, truths, strata)
        found[name] = {
            "auroc": _kept(mean_area(values, truths, strata), len(strata)),
            "above_neighbours": _kept(above, len(strata)),
            "criterion": float(np.mean(each)),
            "each": areas,
        }
    found["chosen"] = chosen(members)
    return found


def _kept(interval: Interval, n: int) -> dict[str, Any]:
    """As results.json keeps a metric."""
    value, low, high = interval
    ends = (None, None) if np.isnan(low) else (low, high)
    return Value(value, *ends, n, None)._asdict()


def _percent(entry: dict[str, Any]) -> str:
    """A share with its interval in words [%]."""
    value = 100.0 * entry["value"]
    if entry["low"] is None:
        return f"{value:.1f}"
    return f"{value:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def _tell(this: Run, scores: Arrays, found: dict[str, Any], best: str) -> None:
    """A line for each method."""
    for name in methods_of(scores):
        its = found[name]
        area = _percent(its["auroc"])
        more = _percent(its["above_neighbours"])
        alarms = _percent(its["false_alarms"])
        detected = _percent(its["detected"])
        this.log.note(
            f"{name:18s} AUROC {area} %  above neighbours {more}  by normals {100 * its['criterion']:.1f}  "
            f"false alarms {alarms} %  detected {detected} %"
        )
    this.log.note(f"chosen on normals of this class alone: {best}")


def table(members: list[Arrays], found: dict[str, Any]) -> list[str]:
    """Lines of the mean over classes, the method that counts marked."""
    lines = [f"mean over {len(members)} classes, each normal once [%]:"]
    for name in methods_of(members[0]):
        its = found[name]
        each = " ".join(f"{100 * area:.1f}" for area in its["each"])
        mark = "  <- chosen on normals alone" if name == found["chosen"] else ""
        area = _percent(its["auroc"])
        more = _percent(its["above_neighbours"])
        lines.append(
            f"{name:18s} AUROC {area}  above neighbours {more}  by normals {100 * its['criterion']:.1f}  "
            f"each {each}{mark}"
        )
    return lines
