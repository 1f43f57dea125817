"""Classifiers side by side: how often right, how sure, what corruption does, who refuses strangers, shifted labels.

* Accuracy, log loss and expected calibration error of test pictures; the last two also at the temperature by which
  validation labels are likeliest. The difference to the reference's accuracy is of the same pictures.
* Accuracy on the same test pictures corrupted.
* AUROC of pictures from elsewhere against test pictures, by -log p(x) where there is one, and by 1 - max p(y | x)
  (Hendrycks & Gimpel 2017, arXiv:1610.02136).
* A test set whose classes have other shares: accuracy as trained, with shares found by EM of Saerens et al. (2002)
  without a label, and with the true ones; how far the shares that were found are off (total variation).

All that is chosen is chosen on validation examples; of test pictures every contestant reads each set once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random

from genjax.audit import bayes
from genjax.config import field
from genjax.core import example_keys, size
from genjax.corruptions import Corruption, damaged
from genjax.data import Digits, Known
from genjax.errors import UserError, above, at_least, at_most
from genjax.fields import Image
from genjax.findings.classifiers import HOME, Contestant, Reading, check_task
from genjax.findings.encoders import Task, parts
from genjax.findings.samples import some
from genjax.findings.strangers import scaled
from genjax.findings.tabled import Row, cell, finish, place, stored, wide
from genjax.metrics.intervals import Interval, matched, share
from genjax.metrics.prediction import auroc, ece, log_loss
from genjax.pictures.draw import to_uint8
from genjax.training.log import Log

STRANGE = "strangers "  # begins the names of their sets


class Answers(NamedTuple):
    """What a contestant has said."""

    reading: Reading
    joints: dict[str, np.ndarray]  # log p(x, y) [N, K] of each set of pictures
    temperature: float  # chosen on validation examples


class Board:
    """Tables that are filled row by row, and the same numbers in results.json."""

    def __init__(self, log: Log):
        self.log = log
        self.tables: dict[str, dict[str, Row]] = {}

    def put(
        self,
        title: str,
        name: str,
        found: Mapping[str, Interval],
        n: int | Mapping[str, int],
        told: Mapping[str, float] = {},  # noqa: B006  (read only)
    ) -> None:
        """A contestant's row of the table `title`, of n pictures, or {column: n}; nothing where nothing was found."""
        if not found:
            return
        kept: dict[str, Any] = dict(told)
        row = {}
        for column, value in found.items():
            own = n if isinstance(n, int) else n[column]
            kept[column] = stored(value, own)
            row[column] = wide(value)
        for column, number in told.items():
            row[column] = cell(number, 2)
        self.log.result(f"{name}, {title}", kept)
        self.tables.setdefault(title, {})[name] = row


@dataclasses.dataclass(frozen=True)
class Classified:
    """The comparison."""

    data: Known | Any = field(Digits(300), "the data set, images with labels, some held out")
    contestants: tuple[Contestant, ...] = field((), "what tells classes apart")
    reference: str = field("CNN", "whose accuracy the others' is held against")
    fit: int = field(60_000, "training examples that closed forms see, at most")
    valid: int = field(1000, "held-out examples by which settings are chosen, at most")
    test: int = field(10_000, "test pictures, at most")
    corruptions: tuple[Corruption, ...] = field((), "what test pictures go through, each alone")
    strangers: tuple[Known | Any, ...] = field((), "sets whose test pictures are refused")
    others: int = field(1000, "pictures of each corruption and of strangers, at most")
    target: float = field(
        0.02, "how far below the reference's an accuracy may be, for the verdict", added=True
    )
    tilt: float = field(0.7, "share of a class at shifted labels, of that of the class before")
    bins: int = field(10, "of the calibration error")
    seed: int = field(0, "of weights, orders and corruptions")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, reads, tells; UserError, before anything is written, for what cannot be done."""
        source = self.data.load()
        self.check(source)
        task = task_of(self, source, origin)
        # made once: all contestants read the same bytes
        sets = self.sets(source)
        log = place(HOME, name, self, origin)
        test = some(source.test, self.test)
        label = np.asarray(test["label"])
        few = np.asarray(self.few(source)["label"])
        picked = tilted(label, source.classes, self.tilt)
        board = Board(log)
        verdicts = []
        first: np.ndarray | None = None
        # the reference before the others, which are held against it
        order = sorted(self.contestants, key=lambda one: one.name != self.reference)
        for one in order:
            said = self.answers(one, task, sets)
            of_test = self.of_test(said, label)
            hits = right(said.joints["test"], label)
            if first is None:
                first = hits
            else:
                behind = f"accuracy less that of {self.reference}"
                apart = paired(hits, first)
                of_test[behind] = apart
                verdicts.append(f"{one.name} {self.verdict(apart)}")
            told = {"temperature": said.temperature, **said.reading.told}
            board.put("test", one.name, of_test, len(label), told)
            corrupted = self.of_corrupted(said, few)
            board.put("corrupted", one.name, corrupted, len(few))
            strange, among = self.of_strangers(said)
            board.put("strangers", one.name, strange, among)
            shifted, told_too = self.of_shifted(said, label, picked)
            board.put("shifted", one.name, shifted, len(picked), told_too)
            accuracy = wide(of_test["accuracy"])
            log.note(f"{one.name}: accuracy {accuracy}")
        for line in verdicts:
            log.note(line)
        finish(log, board.tables)

    def check(self, source: Any) -> None:
        """Raises UserError for data, counts and names that nothing can be made of."""
        check_task(source, self.contestants, self.reference)
        # of fewer no interval says anything
        counts = {"fit": self.fit, "valid": self.valid}
        counts |= {"test": self.test, "others": self.others}
        at_least(10, **counts)
        at_least(0, seed=self.seed)
        at_least(1, bins=self.bins)
        at_least(0, target=self.target)
        above(0, tilt=self.tilt)
        at_most(1, tilt=self.tilt)
        test = some(source.test, self.test)
        tilted(np.asarray(test["label"]), source.classes, self.tilt)
        for corruption in self.corruptions:
            corruption.check(source.shape)
        # read now: a package that is missing is told before minutes of training
        for other in self.strangers:
            strange_pictures(other, source.shape, 1)

    def sets(self, source: Any) -> dict[str, np.ndarray]:
        """All pictures that are read, by name: bytes [N, H, W, C]."""
        main = source.main
        valid = some(source.valid, self.valid)
        test = some(source.test, self.test)
        # out of a memory map, once for all contestants
        sets = {
            "valid": np.asarray(valid[main]),
            "test": np.asarray(test[main]),
        }
        few = np.asarray(self.few(source)[main])
        for i, corruption in enumerate(self.corruptions):
            name = called(corruption)
            sets[name] = spoilt(few, corruption, self.seed + i)
        for other in self.strangers:
            name, images = strange_pictures(other, source.shape, self.others)
            # a name of its own: a set may be called as a corruption is
            sets[STRANGE + name] = images
        return sets

    def few(self, source: Any) -> dict[str, Any]:
        """The test pictures that are corrupted: some of those that are read as they are."""
        test = some(source.test, self.test)
        return some(test, self.others)

    def answers(self, one: Contestant, task: Task, sets: dict[str, np.ndarray]) -> Answers:
        """What a contestant says of all pictures, and the temperature that suits it."""
        reading = one.of.start(one.name, task)
        joints = {}
        for where, images in sets.items():
            joints[where] = reading.log_joint(images)
        # by validation labels: those of the test choose nothing
        held = some(task.source.valid, self.valid)
        label = np.asarray(held["label"])
        t = bayes.temperature(joints["valid"], label)
        return Answers(reading, joints, t)

    def of_test(self, said: Answers, label: np.ndarray) -> dict[str, Interval]:
        """How often right, and how sure."""
        joint = said.joints["test"]
        raw = bayes.posterior(joint)
        # one number for all classes: the order of the classes stays, and so does the accuracy
        tempered = bayes.posterior(joint, said.temperature)
        return {
            "accuracy": share_right(right(joint, label)),
            "log loss": log_loss(raw, label),
            "ECE": ece(raw, label, self.bins),
            "log loss at temperature": log_loss(tempered, label),
            "ECE at temperature": ece(tempered, label, self.bins),
        }

    def verdict(self, apart: Interval) -> str:
        """Whether an accuracy is at most `target` below the reference's, or above it, and whether that is sure."""
        near = apart.value >= -self.target
        # sure where the whole interval is on the same side
        sure = apart.low >= -self.target if near else apart.high < -self.target
        is_ = "is" if near else "is not"
        doubt = "" if sure else ", which the interval leaves open"
        return f"{is_} within {100 * self.target:g} % of {self.reference}: {wide(apart)}{doubt}"

    def of_corrupted(self, said: Answers, label: np.ndarray) -> dict[str, Interval]:
        """Accuracy on each corruption."""
        found = {}
        for corruption in self.corruptions:
            name = called(corruption)
            hits = right(said.joints[name], label)
            found[name] = share_right(hits)
        return found

    def of_strangers(self, said: Answers) -> tuple[dict[str, Interval], dict[str, int]]:
        """AUROC of strangers against test pictures, by p(x) and by the surest class; of how many pictures of both."""
        test = said.joints["test"]
        found = {}
        among = {}
        for name, joint in said.joints.items():
            if not name.startswith(STRANGE):
                continue
            both = np.concatenate([test, joint])
            # the test pictures come first
            place_ = np.arange(len(both))
            strange = place_ >= len(test)
            others = name.removeprefix(STRANGE)
            if said.reading.density:
                unlikely = -bayes.evidence(both)
                column = f"{others}, by p(x)"
                found[column] = auroc(unlikely, strange)
                among[column] = len(both)
            p = bayes.posterior(both, said.temperature)
            unsure = 1.0 - p.max(1)
            column = f"{others}, by the surest class"
            found[column] = auroc(unsure, strange)
            among[column] = len(both)
        return found, among

    def of_shifted(
        self, said: Answers, label: np.ndarray, picked: np.ndarray
    ) -> tuple[dict[str, Interval], dict[str, float]]:
        """Accuracy on the pictures `picked`, whose classes have other shares; how far those that EM finds are off."""
        old = said.reading.prior
        # the same answers again: p(x | y) has not changed
        own = label[picked]
        count = np.bincount(own, minlength=len(old))
        truth = count / len(own)
        joint = said.joints["test"][picked]
        # EM takes probabilities at their word: those at the temperature
        p = bayes.posterior(joint, said.temperature)
        guessed = bayes.shifted(p, old)
        mended = bayes.reweighted(p, old, guessed)
        best = bayes.reweighted(p, old, truth)
        before = right(p, own)
        after = right(mended, own)
        known = right(best, own)
        rows = {
            "as trained": share_right(before),
            "by EM": share_right(after),
            "true shares": share_right(known),
            "gained by EM": paired(after, before),
        }
        # total variation
        off = 0.5 * np.abs(guessed - truth).sum()
        return rows, {"shares off by": float(off)}


def task_of(cfg: Any, source: Any, origin: Mapping[str, Any]) -> Task:
    """What the contestants of a comparison have in common; UserError where the part to be fitted lacks a class."""
    fit, valid = parts(source, cfg.fit, cfg.valid)
    count = np.bincount(fit["label"], minlength=source.classes)
    if not count.min():
        raise UserError(
            f"--fit={cfg.fit}: class {count.argmin()} has no example among those that closed forms see: use more."
        )
    # what the command line changed is of the comparison, not of its runs
    plain = {**origin, "differences": {}}
    return Task(cfg.data, source, fit, valid, cfg.seed, cfg.runs, plain)


def right(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Whether the highest of scores [N, K] is the label's, [N] of 0 and 1."""
    said = scores.argmax(1)
    return np.float64(said == label)


def share_right(hits: np.ndarray) -> Interval:
    """The share of hits [N], with Wilson's interval."""
    total = float(hits.sum())
    return share(total, len(hits))


def paired(hits: np.ndarray, others: np.ndarray) -> Interval:
    """The difference of two accuracies on the same pictures [N], [N]: what both find hard cancels."""
    ahead = int(np.sum(hits > others))
    behind = int(np.sum(hits < others))
    return matched(ahead, behind, len(hits))


def called(corruption: Any) -> str:
    """The name of a corruption, with its amount."""
    kind = type(corruption).__name__
    amount = getattr(corruption, "high", None)
    return kind if amount is None else f"{kind} {amount:g}"


def tilted(label: np.ndarray, classes: int, tilt: float) -> np.ndarray:
    """Places in a list of labels such that each class is `tilt` times as frequent as the one before.

    UserError where no example of some class is left.
    """
    wanted = tilt ** np.arange(classes)
    there = np.bincount(label, minlength=classes)
    # as many as the scarcest class allows
    most = np.min(there / wanted)
    picked = []
    for c in range(classes):
        n = int(most * wanted[c])
        own = np.flatnonzero(label == c)
        # the first ones: a test set's order within a class is of no importance
        picked.append(own[:n])
    empty = [c for c, own in enumerate(picked) if not len(own)]
    if empty:
        raise UserError(
            f"--tilt={tilt:g}: class {empty[0]} has no test picture left at these shares: use more --test, or a tilt "
            "nearer to 1."
        )
    return np.concatenate(picked)


def spoilt(images: Any, corruption: Any, seed: int) -> np.ndarray:
    """Pictures [N, H, W, C] after a corruption, as bytes: what a file would hold."""
    index = jnp.arange(len(images), dtype=jnp.uint32)
    keys = example_keys(random.key(seed), index)
    unit = jnp.asarray(images, jnp.float32) / 255.0
    left = damaged((corruption,), keys, unit)
    # noise leads beyond black and white, which a file cannot
    kept = np.clip(np.asarray(left.x), 0.0, 1.0)
    return to_uint8(kept)


def strange_pictures(other: Any, shape: tuple[int, ...], n: int) -> tuple[str, np.ndarray]:
    """(name, up to n test pictures in another shape, bytes) of a set; UserError for one that has no pictures."""
    load = getattr(other, "load", None)
    source = load() if load is not None else None
    # words or points cannot be scaled to a picture's size
    if source is None or not isinstance(source.fields[source.main], Image):
        raise UserError(
            f"--strangers: {type(other).__name__} has no pictures to be told apart: name a set that has, "
            "e.g. (FashionMNIST(),)."
        )
    if not size(source.test):
        raise UserError(f"--strangers: {source.name} has no test pictures: name another set.")
    images = some(source.test, n)[source.main]
    return source.name, scaled(to_uint8(images), shape)
