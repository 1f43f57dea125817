"""Detectors of a matrix: each learns from one generator's pictures, or from real ones alone, and scores any pictures.

A detector is a config value with `start(name, task)`, which gives `score(pictures uint8 [N, H, W, C]) -> [N]`. The
direction of a score is nobody's business here: held-out pictures say it (`audit.judged.scale_of`).

* `Told`: a run of `audit.detector.Detector`.
* `Recovered`: how far a picture is from what a model that knows real pictures makes of it. By a diffusion model,
  inverted and drawn again without noise, that is DIRE (Wang et al. 2023, arXiv:2303.09295, eq. 6), here its mean over
  the picture; by an autoencoder |x - D(E(x))|. A generator of the same family is the easy one for it, and its
  `twin`: what made those pictures is nearly what recovers them.
* `Near`: the distance to the nearest real pictures less that to the nearest generated ones, in features that were not
  learned for this (Ojha et al. 2023, arXiv:2302.10174, sec. 4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.audit.detector import HELD, KINDS, Detector, logit
from genjax.config import digest, edit, field
from genjax.core import Algorithm, averaged, labelled
from genjax.data.portions import Portion
from genjax.diffusion import editing, gaussian, samplers
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.findings.generated import HOME, Handled, RealAndGenerated
from genjax.machine.files import typed
from genjax.metrics.features import Components, Extract, save_arrays
from genjax.training import loop
from genjax.training.experiment import Experiment
from genjax.training.run import Run

Score = Callable[[np.ndarray], np.ndarray]  # uint8 [N, H, W, C] -> [N]


class Task(NamedTuple):
    """What all detectors of a row are given: never a picture of the test."""

    data: RealAndGenerated  # the real pictures, what generates, how both are handled
    real: np.ndarray  # uint8 [N, H, W, C] to learn from
    generated: np.ndarray
    labels: np.ndarray | None  # classes of the real ones [N], where they have any
    seed: int
    runs: str

    def run(self, exp: Experiment, name: str, data: Any, seed: int | None = None) -> Run:
        """Trains or restores a run on the data, with nothing to be measured afterwards; seed: None = the task's."""
        # the same for all detectors, whatever their experiments say
        changes = {
            "data": data,
            "seed": self.seed if seed is None else seed,
            "runs": self.runs,
            "finish": (),
        }
        return loop.run(HOME, edit(exp, changes), name, {"differences": {}})


class Known(NamedTuple):
    """What is known of a task before anything is trained."""

    shape: tuple[int, ...]  # of pictures after handling
    classes: int  # of the real pictures
    train: int  # pictures of each kind to learn from
    whole: int  # real pictures that generators, and models of real ones, learn from

    def bind(self, exp: Experiment, classes: int) -> Algorithm:
        """A run's algorithm on such pictures; UserError for what does not fit them."""
        return exp.algorithm(labelled(Image(self.shape), classes, exp.steps))


def enough(name: str, exp: Experiment, n: int) -> None:
    """Raises UserError for a batch larger than the n pictures that a run learns from."""
    if exp.batch > n:
        raise UserError(
            f"{name} learns in batches of {exp.batch}, and there are {n} pictures to learn from: use a smaller batch, "
            "more of --train, or a larger set."
        )


@dataclasses.dataclass(frozen=True)
class Told:
    """A net that learns both kinds."""

    learns: ClassVar[bool] = True  # from a generator's pictures

    exp: Experiment = field(Experiment(), "the run; data, seed and folder are the matrix's")

    def check(self, name: str) -> None:
        """Raises UserError for what gives no logit."""
        if not isinstance(self.exp.algorithm, Detector):
            raise UserError(f"--detectors: {name} needs a run of Detector(), see genjax.audit.")

    def fits(self, name: str, known: Known) -> None:
        """Raises UserError for a front or net that such pictures are too small for, and for too few of them."""
        known.bind(self.exp, len(KINDS))
        enough(f"--detectors: {name}", self.exp, 2 * known.train)

    def start(self, name: str, task: Task) -> Score:
        """Its logits."""
        this = task.run(self.exp, name, task.data)
        cfg, spec = self.exp.algorithm, this.spec

        # one function a run, so that it is compiled once
        def logits(key: jax.Array, state: Any, batch: Any) -> dict[str, jax.Array]:
            return {"score": logit(averaged(state), spec.unit(batch), cfg)}

        score = scoring(this, logits)
        keep(this, score)
        return score


@dataclasses.dataclass(frozen=True)
class Recovered:
    """How far a picture is from what a model of real pictures makes of it, mean |x - x'|."""

    learns: ClassVar[bool] = False

    exp: Experiment = field(Experiment(), "the run of the model; data, seed and folder are set")
    steps: int = field(10, "of a diffusion model, up to noise and as many down again")

    def twin(self, exp: Experiment) -> bool:
        """Whether a generator's run is of the same algorithm: its pictures are the easy ones."""
        return digest(self.exp.algorithm) == digest(exp.algorithm)

    def check(self, name: str) -> None:
        """Raises UserError for fewer than two steps."""
        at_least(2, f"--detectors: {name}: ", steps=self.steps)

    def fits(self, name: str, known: Known) -> None:
        """Raises UserError for a model that neither goes up to noise nor has codes, and for too few pictures."""
        algorithm = known.bind(self.exp, known.classes)
        # a path is what noise goes up and down by
        coded = algorithm.encode is not None and algorithm.decode is not None
        if not coded and not hasattr(self.exp.algorithm, "path"):
            raise UserError(
                f"--detectors: {name} needs a diffusion model with a path, or codes with a way back: use Diffusion() "
                "or Autoencoder()."
            )
        enough(f"--detectors: {name}", self.exp, known.whole)

    def start(self, name: str, task: Task) -> Score:
        """Its distances; for what it can be of see `fits`."""
        # on what the generators learn from, after what all pictures go through
        data = Handled(Portion(task.data.reals), task.data.handling)
        # by a seed of its own: a generator of this config would be the same model, weight for weight
        this = task.run(self.exp, name, data, task.seed + 1)
        cfg = this.exp.algorithm
        if hasattr(cfg, "path"):
            cfg = edit(cfg, {"schedule.steps": self.steps})
            return scoring(this, _dire(cfg, this.spec))
        algorithm = this.algorithm

        def recovered(key: jax.Array, state: Any, batch: Any) -> dict[str, jax.Array]:
            z = algorithm.encode(key, state, batch)
            again = algorithm.decode(key, state, z)
            return {"score": apart(this.spec.unit(batch), again)}

        return scoring(this, recovered)


@dataclasses.dataclass(frozen=True)
class Near:
    """Whether the nearest pictures that are known are generated ones, in features."""

    learns: ClassVar[bool] = True

    extractor: Any = field(Components(32), "of the features, fitted to real pictures")
    k: int = field(5, "neighbours of each kind")

    def check(self, name: str) -> None:
        """Raises UserError for no neighbour."""
        at_least(1, f"--detectors: {name}: ", k=self.k)

    def fits(self, name: str, known: Known) -> None:
        """Raises UserError for fewer known pictures than neighbours."""
        if known.train < self.k:
            raise UserError(
                f"--detectors: {name} looks at {self.k} neighbours, and {known.train} pictures are known: use fewer."
            )

    def start(self, name: str, task: Task) -> Score:
        """The difference of mean distances; for how many pictures it needs see `fits`."""
        from sklearn.neighbors import NearestNeighbors

        train: dict[str, np.ndarray] = {"image": task.real}
        if task.labels is not None:
            train["label"] = task.labels
        extract: Extract = self.extractor.fit(train, typed(task.runs) / "features")
        indices = []
        for known in (task.real, task.generated):
            # in many dimensions a tree looks at nearly all of them
            index = NearestNeighbors(n_neighbors=self.k, algorithm="brute")
            indices.append(index.fit(extract(known).features))

        def score(images: np.ndarray) -> np.ndarray:
            features = extract(images).features
            to_real, to_generated = (index.kneighbors(features)[0].mean(1) for index in indices)
            return to_real - to_generated

        return score


@dataclasses.dataclass(frozen=True)
class Entry:
    """A detector under the name that tables give it."""

    name: str = field("", "in tables and of run directories")
    of: Told | Recovered | Near = field(Near(), "how it tells")


def scoring(this: Run, fn: Callable) -> Score:
    """Scores by fn(key, state, batch) -> {"score": [B]} of a run, in its batches."""

    def score(images: np.ndarray) -> np.ndarray:
        n = len(images)
        # the truth is no part of any score
        batch: Mapping[str, Any] = {this.spec.main: images, "label": np.zeros(n, np.int32)}
        return this.evaluate(dict(batch), fn)["score"]

    return score


def keep(this: Run, score: Score) -> None:
    """Writes what later says how rare a score is: those of held-out real pictures, and of both kinds of the test."""
    path = this.log.directory / HELD
    if path.exists():  # of a finished run, which scores as it did
        return
    found = {}
    for name, split, kind in (
        ("held", this.source.valid, 0),
        ("real", this.source.test, 0),
        ("generated", this.source.test, 1),
    ):
        found[name] = score(split[this.spec.main][split["label"] == kind])
    save_arrays(path, found)


def apart(x: jax.Array, again: jax.Array) -> jax.Array:
    """The mean distance of pictures [B, H, W, C] in [0, 1], [B]; what leaves the range is cut, as files are."""
    away = jnp.abs(x - jnp.clip(again, 0.0, 1.0))
    return away.reshape(len(x), -1).mean(-1)


def _dire(cfg: Any, spec: Any) -> Callable:
    """DIRE as `Run.evaluate` calls it."""

    def error(key: jax.Array, state: Any, batch: Any) -> dict[str, jax.Array]:
        denoise = gaussian.denoiser(averaged(state), None, cfg, spec)
        return {"score": dire(denoise, spec.encode(batch), cfg.schedule(cfg.path), spec)}

    return error


def dire(denoise: Callable, x: jax.Array, sigmas: jax.Array, spec: Any) -> jax.Array:
    """mean |x - R(I(x))| [B] of x [B, *shape] in a net's units: inverted up to sigmas[0], then drawn without noise."""
    # I(x), then R(I(x)): both deterministic, by the same levels
    up = editing.invert(denoise, x, sigmas)
    again = samplers.sample(samplers.Euler(), denoise, up, sigmas, samplers.still(up))
    return apart(spec.decode(x), spec.decode(again))
