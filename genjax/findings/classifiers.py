"""What tells classes apart: discriminative classifiers, and generative models by Bayes' rule, behind one interface.

A contestant is a config value with `check(source)` and `start(name, task)`, which trains or restores what it needs and
gives a `Reading`: pictures -> log p(x, y) for each class y. Of a discriminative one that is log p(y | x), whose softmax
over y is the same p(y | x); it says nothing of p(x).

A model that is told the class is asked for log p(x | y) of each picture and each class in turn. Its noise is a function
of the picture's number, so that all classes of a picture get the same: what they differ by is surer than what each is.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from genjax.audit import bayes
from genjax.audit.classifier import logits
from genjax.audit.gaussians import LDA, Gaussians
from genjax.classical import KernelDensity, Mixture, Ppca, dequantised
from genjax.conditions import told
from genjax.config import edit, field
from genjax.core import Batch, Spec, State, averaged, size
from genjax.data.levelled import Levelled
from genjax.diffusion import classifier, gaussian
from genjax.errors import UserError, above, at_least
from genjax.fields import Image
from genjax.findings.encoders import Task, check_names
from genjax.findings.likelihood import Iwae, Ode
from genjax.findings.strangers import Bound
from genjax.metrics.components import rows
from genjax.metrics.probe import STEPS, scale_of
from genjax.sequence import causal
from genjax.training import loop
from genjax.training.experiment import Experiment
from genjax.training.log import trained_for
from genjax.training.run import Run

HOME = "classify"  # the folder of these runs
LN2 = math.log(2.0)

LogJoint = Callable[[np.ndarray], np.ndarray]  # bytes [N, H, W, C] -> [N, classes] nats


class Reading(NamedTuple):
    """A contestant at work."""

    log_joint: LogJoint
    density: bool  # whether the sum over classes is p(x)
    prior: np.ndarray  # p(y) of the examples that it has learned from, [classes]
    told: Mapping[str, float] = {}  # what was chosen or measured on the way


# Discriminative: p(y | x).


@dataclasses.dataclass(frozen=True)
class LogisticRegression:
    """Logistic regression on scaled pixels, to its optimum by L-BFGS."""

    strength: float = field(1.0, "the inverse of the penalty on the weights, scikit-learn's C")

    def check(self, source: Any) -> None:
        """Raises UserError for a strength that is none."""
        above(0, "LogisticRegression: ", strength=self.strength)

    def start(self, name: str, task: Task) -> Reading:
        """Fitted to the task's part of the training examples."""
        from sklearn import linear_model
        from sklearn.exceptions import ConvergenceWarning

        flat = rows(task.fit[task.source.main])
        # so that one penalty is the same for all pixels
        scale = scale_of(flat)
        model = linear_model.LogisticRegression(C=self.strength, max_iter=STEPS)
        with warnings.catch_warnings():
            # of classes that a plane parts there is no optimum without a penalty
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(scale(flat), task.fit["label"])

        def log_joint(images: np.ndarray) -> np.ndarray:
            return model.predict_log_proba(scale(rows(images)))

        return Reading(log_joint, False, prior_of(task.fit, task))


@dataclasses.dataclass(frozen=True)
class Discriminative:
    """A run of `audit.classifier.Classifier`."""

    experiment: Experiment = field(
        Experiment(), "the run; data, seed and folder are the task's"
    )

    def check(self, source: Any) -> None:
        """Raises UserError for a run of anything else."""
        if not hasattr(self.experiment.algorithm, "smoothing"):
            kind = type(self.experiment.algorithm).__name__
            raise UserError(
                f"Discriminative() is a run of Classifier(), and {kind} gives no p(y | x): use Conditional()."
            )

    def start(self, name: str, task: Task) -> Reading:
        """Trains or restores the run."""
        this = loop.run(HOME, task.set(self.experiment), folder(name), task.origin)
        cfg, spec = this.exp.algorithm, this.spec

        def read(key: Array, state: State, batch: Batch) -> dict[str, Array]:
            scores = logits(averaged(state), batch, cfg, spec)
            return {"logits": scores}

        def log_joint(images: np.ndarray) -> np.ndarray:
            asked = {spec.main: images}
            found = this.evaluate(asked, read)
            # log p(y | x) but for a number of x, which the softmax takes away
            return np.float64(found["logits"])

        # of all that was trained on
        prior = prior_of(this.source.train, task)
        return Reading(log_joint, False, prior, seconds_of(this))


# Generative: p(x | y), and Bayes' rule.


@dataclasses.dataclass(frozen=True)
class Bayes:
    """Densities of the classes in closed form or by EM: of pixels, or of pixels with noise within a grey level."""

    of: Gaussians | Mixture | Ppca | KernelDensity = field(LDA, "the density of a class")

    def check(self, source: Any) -> None:
        """Raises UserError for settings of Gaussians that cannot be."""
        # the densities of `classical` are checked as they are fitted
        check = getattr(self.of, "check", None)
        if check is not None:
            check()

    def start(self, name: str, task: Task) -> Reading:
        """Fitted to the task's part of the training examples."""
        images = task.fit[task.source.main]
        label = np.asarray(task.fit["label"])
        prior = prior_of(task.fit, task)
        classes = len(prior)
        if isinstance(self.of, Gaussians):
            # of pixels as they are, in [0, 1]
            flat = rows(images)
            fitted = self.of.fit(flat, label, classes)
            return Reading(lambda new: fitted(rows(new)), True, prior)
        # grey levels would give a density without bound
        pixels = dequantised(images, task.seed)
        density = self.of.fit(pixels, label)

        def log_joint(new: np.ndarray) -> np.ndarray:
            # the same noise for all classes, and other than in training
            noisy = dequantised(new, task.seed + 1)
            columns = []
            for c in range(classes):
                same = np.full(len(new), c)
                log_p = density.log_prob(noisy, same)
                columns.append(log_p)
            return joined(columns, prior)

        return Reading(log_joint, True, prior)


@dataclasses.dataclass(frozen=True)
class Errors:
    """A diffusion model's or flow's bound on log p(x | y), by the errors of its denoiser (arXiv:2303.16203)."""

    draws: int = field(50, "levels and noises a picture, the same for all classes")
    low: float = field(0.05, "least noise that is looked at, of pictures in [-1, 1]")
    high: float = field(20.0, "most noise")

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that are no diffusion model or flow, and for a range that is none."""
        at_least(1, "Errors: ", draws=self.draws)
        above(0, "Errors: ", low=self.low)
        above(self.low, "Errors: ", high=self.high)
        if not hasattr(exp.algorithm, "path"):
            raise UserError(
                "Errors() is for diffusion models and flows: use Iwae() for VAEs, Bound() for VDM, Tokenwise() for "
                "Causal."
            )

    def log_p(self, key: Array, state: State, batch: Batch, cfg: Any, spec: Spec) -> Array:
        """The bound, [B] nats, a density in the coordinates of `encode`."""
        cond = told(cfg.condition, batch, spec)
        denoise = gaussian.denoiser(averaged(state), cond, cfg, spec)
        x = spec.encode(batch)
        where = self.draws, self.low, self.high
        return classifier.bound(denoise, x, key, batch["index"], *where, cfg.std)


@dataclasses.dataclass(frozen=True)
class Tokenwise:
    """A causal model's log p(x | y), exact: the sum over tokens."""

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that are no causal ones."""
        if not hasattr(exp.algorithm, "end"):
            raise UserError(
                "Tokenwise() is for Causal: use Iwae(), Errors() or Bound() for others."
            )

    def log_p(self, key: Array, state: State, batch: Batch, cfg: Any, spec: Spec) -> Array:
        """log p, [B] nats."""
        bits = causal.loss(averaged(state), batch, cfg, spec)["text"]
        return -LN2 * bits


@dataclasses.dataclass(frozen=True)
class Conditional:
    """A run of a model that is told the class, asked for every class of every picture."""

    experiment: Experiment = field(
        Experiment(), "the run; data, seed and folder are the task's"
    )
    by: Iwae | Errors | Bound | Ode | Tokenwise = field(Iwae(100), "how log p(x | y) is found")
    levels: Levelled | None = field(
        None, "pictures as tokens, for a causal model; its `of` is the task's data"
    )
    batch: int = field(200, "pictures at a time")

    def check(self, source: Any) -> None:
        """Raises UserError for a model that is told no class, and for a log p that it has not got."""
        at_least(1, "Conditional: ", batch=self.batch)
        cfg = self.experiment.algorithm
        # of a second condition one would not know what to tell it
        asks = [each.of for each in getattr(cfg, "condition", ())]
        if asks != ["label"]:
            kind = type(cfg).__name__
            raise UserError(
                f"Bayes' rule needs p(x | y), and this {kind} is told {asks or 'nothing'}: give it "
                "condition=(Label(),) and no other."
            )
        self.by.check(self.experiment)
        if self.levels is not None:
            self.levels.check_shape(source.name, source.fields[source.main])

    def start(self, name: str, task: Task) -> Reading:
        """Trains or restores the run."""
        exp = task.set(self.experiment)
        levels = self.levels
        if levels is not None:
            # the same pictures in another form: the splits stay
            levels = edit(levels, {"of": task.data})
            exp = edit(exp, {"data": levels})
        this = loop.run(HOME, exp, folder(name), task.origin)
        cfg, spec, by = this.exp.algorithm, this.spec, self.by
        # of all that was trained on
        prior = prior_of(this.source.train, task)

        # one function, so that it is compiled once for all classes
        def read(key: Array, state: State, batch: Batch) -> dict[str, Array]:
            return {"log_p": by.log_p(key, state, batch, cfg, spec)}

        def log_joint(images: np.ndarray) -> np.ndarray:
            x = images if levels is None else levels.tokens(images)
            columns = []
            for c in range(len(prior)):
                # what the picture is told to be, whatever it is
                same = np.full(len(x), c, np.int32)
                asked = {spec.main: x, "label": same}
                found = this.evaluate(asked, read, self.batch)
                columns.append(found["log_p"])
            return joined(columns, prior)

        return Reading(log_joint, True, prior, seconds_of(this))


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Of several contestants the one by which validation labels are likeliest, each at its own temperature."""

    of: tuple[Any, ...] = field((), "contestants: of one model in several settings")

    def check(self, source: Any) -> None:
        """Raises UserError for nothing to choose from."""
        if not self.of:
            raise UserError("Chosen(of=()) leaves nothing to choose from.")
        for each in self.of:
            each.check(source)

    def start(self, name: str, task: Task) -> Reading:
        """Starts all, of which runs that are alike are trained once."""
        images = np.asarray(task.valid[task.source.main])
        label = np.asarray(task.valid["label"])
        readings = []
        losses = []
        for each in self.of:
            reading = each.start(name, task)
            joint = reading.log_joint(images)
            # finer than accuracy, of which a few hundred examples know little
            t = bayes.temperature(joint, label)
            loss = bayes.nats(joint, label, t)
            readings.append(reading)
            losses.append(loss)
        # of equals the first
        number = int(np.argmin(losses))
        best = readings[number]
        told_too = {**best.told, "choice": number}
        return best._replace(told=told_too)


Kind = LogisticRegression | Discriminative | Bayes | Conditional | Chosen


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A classifier under the name that the tables give it."""

    name: str = field("", "in the tables and of the run directory")
    of: Kind = field(LogisticRegression(), "what tells classes apart")


def joined(columns: list[np.ndarray], prior: np.ndarray) -> np.ndarray:
    """log p(x, y) [N, K] of log p(x | y) [N] of each class and p(y) [K], in float64: sums over pixels are large."""
    log_p = np.stack(columns, 1)
    return np.float64(log_p) + np.log(prior)


def prior_of(split: Mapping[str, Any], task: Task) -> np.ndarray:
    """p(y) [classes] of a split of the task's data."""
    label = np.asarray(split["label"])
    return bayes.shares(label, task.source.classes, task.source.name)


def folder(name: str) -> str:
    """A contestant's name as that of a directory, which a shell takes as one word."""
    return name.replace(" ", "-")


def seconds_of(this: Run) -> dict[str, float]:
    """How long a run was trained."""
    return {"training seconds": trained_for(this.log.directory)}


def check_task(source: Any, contestants: tuple[Contestant, ...], reference: str) -> None:
    """Raises UserError for data without images, labels or held-out examples, and for names that are none."""
    check_names(contestants, "--contestants")
    if not isinstance(source.fields[source.main], Image):
        raise UserError(
            f"classifiers here are of images and {source.name} has none: use --data='Digits(valid=300)'."
        )
    # a set without labels may have no such field at all
    none = np.zeros(0, np.int64)
    label = np.asarray(source.train.get("label", none))
    bayes.shares(label, source.classes, source.name)
    if not size(source.test):
        raise UserError(
            f"{source.name} has no test examples: classifiers are held against them."
        )
    if not size(source.valid):
        raise UserError(
            "--data.valid=0: settings and temperatures are chosen on held-out examples, so hold some out, "
            "--data.valid=300."
        )
    names = [each.name for each in contestants]
    if reference not in names:
        raise UserError(
            f"--reference={reference}: no contestant is called so, they are {', '.join(names)}."
        )
    for each in contestants:
        each.of.check(source)
