"""Which examples are unlike the normal ones: a trained model's scores beside scorers that need no training.

All that is fitted is fitted on training normals, a threshold comes from held-out normals, and the method that counts is
the one that parts held-out normals best from what was made of them (`genjax.anomaly.made`), so that no anomaly of the
test chooses anything. Raw pixels with nearest neighbours are measured always. Over the classes of one against the rest
the runs of a sweep are put together: the mean areas are told by whoever finishes last.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax.anomaly import judged
from genjax.anomaly.gradients import Gradients
from genjax.anomaly.judged import FLOOR, Arrays
from genjax.anomaly.made import KINDS, everything
from genjax.anomaly.scorers import (
    Mahalanobis,
    Neighbours,
    OneClassSvm,
    Scorer,
)
from genjax.anomaly.together import FEWEST, together
from genjax.config import digest, edit, field
from genjax.core import size
from genjax.data.oneclass import TRUTH
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, show, some
from genjax.findings.unlikeness import (
    Named,
    Own,
    Scores,
    Splits,
    by_rows,
)
from genjax.metrics.components import rows
from genjax.metrics.features import STRANGE, save_arrays
from genjax.metrics.prediction import threshold
from genjax.pictures.draw import captioned, grid, to_uint8
from genjax.training.basis import basis
from genjax.training.experiment import Experiment
from genjax.training.run import Run

ALL = "together"
# of the functions that no config names, as what is made of normals: another one measures again
VERSION = 2
FILE = "scores.npz"
SCORED = ("valid", "made", "test")


@dataclasses.dataclass(frozen=True)
class Anomalies:
    """AUROC of every method with its interval, the choice by normals alone, a threshold, and pictures."""

    own: tuple[Own, ...] = field(
        (Named(),),
        "scores of the model's own family",
    )
    pixels: tuple[Scorer, ...] = field(
        (Neighbours(), OneClassSvm()),
        "scorers of raw pixels; neighbours are always there",
    )
    edges: tuple[Scorer, ...] = field(
        (Neighbours(), Mahalanobis()),
        "scorers of histograms of gradients",
    )
    gradients: Gradients = field(Gradients(), "those histograms")
    # two are floors, and the last says again what `transforms` says
    apart: tuple[str, ...] = field(
        (FLOOR, "pixels_svm", "softmax"),
        "methods that are no part of `together`",
    )
    false_alarms: float = field(
        0.05,
        "share of fresh normals that the threshold is to call anomalous",
    )
    images: int = field(0, "test pictures that are looked at; 0 = all")
    shown: int = field(12, "pictures in a row")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data that do not say what is normal, and scores that the model has not got."""
        check_images(source)
        at_least(0, finish__Anomalies__images=self.images)
        at_least(1, finish__Anomalies__shown=self.shown)
        held = size(source.valid)
        if TRUTH not in source.fields:
            raise UserError(
                f"Anomalies() needs data that say what is normal, and {source.name} does not: use "
                "--data='OneClass(FashionMNIST(),normal=3)', or --finish='()'."
            )
        _check_kinds(source)
        if held < 2 * FEWEST:
            raise UserError(
                f"--data.valid={held}: {2 * FEWEST} held-out normals or more say how rare a score is, by halves of "
                "which one judges the other."
            )
        if getattr(exp.algorithm, "condition", ()):
            raise UserError(
                "Anomalies() asks a model that is told nothing, for a label would say what is anomalous: use "
                "--algorithm.condition='()'."
            )
        if not self.own and not self.edges:
            raise UserError(
                "--finish.Anomalies: of `own` and `edges` one at least has a score."
            )
        # for its error: before the training
        threshold(np.zeros(held // 2), self.false_alarms)
        self.gradients.check(source.shape)
        for own in self.own:
            own.check(exp)
        names = [f"pixels_{scorer.name}" for scorer in self.pixels]
        kinds = [type(own).__name__ for own in self.own]
        for told in (names, [scorer.name for scorer in self.edges], kinds):
            if len(set(told)) < len(told):
                raise UserError(
                    f"--finish.Anomalies: of {', '.join(told)} two would have one name: leave one out."
                )
        if FLOOR not in names:
            raise UserError(
                "--finish.Anomalies.pixels: leave Neighbours() in, for all others are compared with it."
            )

    def __call__(self, this: Run) -> None:
        path = this.log.directory / FILE
        marks = self.marks(this)
        scores = None
        # each process would decide by its own disk; whoever removes the results wants all measured again
        alone = jax.process_count() == 1
        if alone and this.log.result("anomaly") is not None:
            scores = stored(path, marks)
        if scores is None:
            scores = self.measured(this)
            told = {name: np.array(mark) for name, mark in marks.items()}
            save_arrays(path, {**scores, **told})
        found = judged.numbers(scores, self.false_alarms)
        best = judged.chosen([scores])
        this.log.result("anomaly", {**found, "chosen": best})
        methods = judged.methods_of(scores)
        # told, and not only kept: a run of hours is looked at first on a terminal
        for line in judged.lines(found, methods):
            this.log.note(line)
        this.log.note(f"chosen on normals of this class alone: {best}")
        self.draw(this, scores, best)
        self.draw_made(this)
        self.over_classes(this)

    def marks(self, this: Run) -> dict[str, str]:
        """What scores are of: `basis` of this run's, `settings` what those of all classes share."""
        own = this.basis(self)
        shared = basis(self, this.exp.algorithm, "", own["step"], {})
        found = {}
        for name, each in {"basis": own, "settings": shared}.items():
            depends = [VERSION, each["hash"], each["code"]]
            found[name] = json.dumps(depends, sort_keys=True)
        return found

    def tested(self, this: Run) -> dict[str, Any]:
        """The test split, or the part of it that is looked at."""
        test = this.source.test
        if not self.images:
            return test
        return some(test, self.images)

    def made(self, this: Run) -> dict[str, np.ndarray]:
        """{kind: pictures [N, H, W, C], bytes where the data are} of what is made of held-out normals."""
        held = np.asarray(this.source.valid[this.spec.main])
        in_bytes = held.dtype == np.uint8
        pictures = this.spec.x.unit(held)
        found = {}
        for kind, broken in everything(pictures, this.exp.seed).items():
            # rounded: what the model sees of them is what it sees of the data
            rounded = to_uint8(broken)
            found[kind] = rounded if in_bytes else rounded / np.float32(255.0)
        return found

    def splits(self, this: Run) -> Splits:
        """{train, valid, made, test}: of `made` one kind after the other."""
        source = this.source
        kinds = list(self.made(this).values())
        broken = {}
        for name, values in source.valid.items():
            # labels and the like are those of the pictures that were broken
            again = [np.asarray(values)] * len(kinds)
            broken[name] = np.concatenate(again)
        broken[this.spec.main] = np.concatenate(kinds)
        return {
            "train": source.train,
            "valid": source.valid,
            "made": broken,
            "test": self.tested(this),
        }

    def measured(self, this: Run) -> Arrays:
        """Every method's scores of every split but training's, and the truth of the test."""
        splits = self.splits(this)
        methods: Scores = {}
        for own in self.own:
            methods |= own(this, splits)
        # what needs no training is measured beside every model
        flat = {}
        edges = {}
        for split, arrays in splits.items():
            pictures = np.asarray(arrays[this.spec.main])
            flat[split] = rows(pictures)
            edges[split] = self.gradients(pictures)
        methods |= by_rows("edges", edges, self.edges)
        methods |= by_rows("pixels", flat, self.pixels)
        methods[ALL] = self.joined(methods)
        found = {}
        for method, of_splits in methods.items():
            for split, values in of_splits.items():
                found[f"{split}/{method}"] = np.asarray(values, np.float64)
        for name in ("label", TRUTH):
            if name in splits["test"]:
                found[name] = np.asarray(splits["test"][name])
        return found

    def joined(self, methods: Scores) -> dict[str, np.ndarray]:
        """{split: the mean surprise [N]} of all methods that are not set apart; of `valid` the second half.

        Normals that say themselves how rare they are look less rare than fresh ones: the threshold would be too low.
        """
        parts = {}
        for method, of_splits in methods.items():
            if method not in self.apart:
                parts[method] = of_splits
        # how rare a score is, one half of the held-out normals says
        normal = {method: of_splits["valid"][::2] for method, of_splits in parts.items()}
        found = {}
        for split in SCORED:
            judged_rows = slice(1, None, 2) if split == "valid" else slice(None)
            scores = {
                method: of_splits[split][judged_rows] for method, of_splits in parts.items()
            }
            found[split] = together(normal, scores)
        return found

    def draw(self, this: Run, scores: Arrays, method: str) -> None:
        """What a method finds most and least normal of either kind: what it takes for the other is in the middle."""
        # the same part as the scores are of
        test = self.tested(this)
        pictures = np.asarray(test[this.spec.main])
        order = np.argsort(scores[f"test/{method}"], kind="stable")
        truth = scores[TRUTH] == 1
        # known to who draws, after all is measured
        is_anomaly = truth[order]
        # both from the most normal one on
        normals = order[~is_anomaly]
        anomalies = order[is_anomaly]
        n = min(self.shown, len(normals), len(anomalies))
        told = {
            "normal, most so": normals[:n],
            "normal, least so": normals[::-1][:n],
            "anomalies missed": anomalies[:n],
            "anomalies, clearest": anomalies[::-1][:n],
        }
        tiles = [pictures[places] for places in told.values()]
        picture = grid(np.concatenate(tiles), n)
        show(this, "anomalies", captioned(picture, list(told)))

    def draw_made(self, this: Run) -> None:
        """What the choice was made by: held-out normals, and below them what was made of them, a row a kind."""
        held = np.asarray(this.source.valid[this.spec.main])
        n = min(self.shown, len(held))
        tiles = [to_uint8(held[:n])]
        for broken in self.made(this).values():
            tiles.append(broken[:n])
        picture = grid(np.concatenate(tiles), n)
        names = ["held-out normals", *KINDS]
        show(this, "made", captioned(picture, names))

    def over_classes(self, this: Run) -> None:
        """The mean over the classes, once the runs of all of them have their scores; else how many are missing."""
        if not hasattr(this.exp.data, "normal"):
            return  # data of a user's own, of one class alone
        classes = this.source.classes
        shared = {"settings": self.marks(this)["settings"]}
        members = []
        for normal in range(classes):
            # the run that differs in its class alone
            exp = edit(this.exp, {"data.normal": normal})
            scores = of_run(this.log.directory.parent, exp, shared)
            if scores is not None:
                members.append(scores)
        missing = classes - len(members)
        if missing:
            this.log.note(f"mean over classes: {missing} of {classes} runs are still to come")
            return
        found = judged.means(members)
        this.log.result("classes", found)
        methods = judged.methods_of(members[0])
        for line in judged.table(found, methods):
            this.log.note(line)


def _check_kinds(source: Any) -> None:
    """Raises UserError where normals are not all that is learned from, or the test has not both kinds."""
    wanted = {"train": [0], "valid": [0], "test": [0, 1]}
    for split, kinds in wanted.items():
        truth = np.asarray(getattr(source, split)[TRUTH][:])
        found = np.unique(truth).tolist()
        # for a split without an example there are lines of their own
        if len(truth) and found != kinds:
            raise UserError(
                f"{source.name}: `{TRUTH}` of {split} has {found}, and Anomalies() needs {kinds}: 0 = normal."
            )


def of_run(folder: Path, exp: Experiment, marks: dict[str, str]) -> Arrays | None:
    """The scores of the run of a config, whatever its name; None where it has none yet with these marks."""
    # the digest alone decides: names are for people
    for path in sorted(folder.glob(f"*-{digest(exp)}/{FILE}")):
        scores = stored(path, marks)
        if scores is not None:
            return scores
    return None


def stored(path: Path, marks: dict[str, str]) -> Arrays | None:
    """The scores of a run; None where there are none, or where they were measured on something else than `marks`."""
    if not path.exists():
        return None
    try:
        # a pickle could run code
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except STRANGE:  # damaged: measured again
        return None
    known = {name: str(arrays.pop(name, "")) for name in ("basis", "settings")}
    wanted = {**known, **marks}
    return arrays if known == wanted else None
