"""Who takes part in a comparison: models of this library, classical densities, the training set itself.

A contender is called with (name, comparison, source, origin) and gives an `Outcome`: samples of the classes in turn,
what they cost, bits per dimension where p(x) is to be had, and the log of its run directory.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.classical import Density, Mixture, Ppca, bits_per_dim, dequantised
from genjax.config import digest, edit, field, to_json
from genjax.core import averaged, size
from genjax.data.batches import chosen
from genjax.findings.likelihood import Bits, Iwae, Ode
from genjax.findings.samples import head, mean_and_error
from genjax.machine import platform
from genjax.pictures.draw import to_uint8
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.training.log import Log, trained_for
from genjax.training.run import Run


class Outcome(NamedTuple):
    """What a contender made."""

    images: np.ndarray  # uint8 [n, H, W, C]
    cost: dict[str, float]  # parameters, steps, training_seconds, seconds_per_1000_samples
    bits: (
        dict[str, float] | None
    )  # bits_per_dim, standard_error, n; None where p(x) is not to be had
    log: Log


@dataclasses.dataclass(frozen=True)
class Own:
    """The model's own samples."""

    def __call__(self, this: Run, labels: np.ndarray) -> Callable[[], np.ndarray]:
        asked = {"label": labels} if "label" in this.algorithm.asks else {}
        return lambda: this.sample(len(labels), **asked)


@dataclasses.dataclass(frozen=True)
class OfCodes:
    """An autoencoder's samples: decoded draws from a density of its codes, fitted afterwards."""

    density: Density = field(Mixture(4, 64), "of the codes of the training set")

    def __call__(self, this: Run, labels: np.ndarray) -> Callable[[], np.ndarray]:
        train, decode = this.source.train, this.algorithm.decode
        fitted = self.density.fit(this.encode(train), train["label"])
        index = np.arange(len(labels), dtype=np.uint32)

        def decoded(key, state, batch):
            return decode(key, state, batch["z"])

        def draw() -> np.ndarray:
            z = fitted.sample(labels, this.exp.seed).astype(np.float32)
            return this.draw(decoded, {"index": index, "z": z})

        return draw


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model of this library: an experiment whose data, steps, seed and folders the comparison sets."""

    exp: Experiment = field(Experiment(), "the run")
    rate: float = field(
        100.0,
        "steps a second on two cores, without compiling: what --seconds is turned into steps by",
    )
    draw: Own | OfCodes = field(Own(), "where samples come from")
    bits: Iwae | Ode | None = field(None, "how p(x) is found, where it can be")

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        steps = max(100, round(self.rate * cfg.seconds / 100) * 100)
        every = Every(max(steps // 50, 1), max(steps // 5, 1), steps, steps)
        changes = {"data": cfg.data, "steps": steps, "seed": cfg.seed, "runs": cfg.runs}
        changes |= {"finish": (), "every": every}
        this = loop.run("compare", edit(self.exp, changes), name, origin)
        images, seconds = timed(self.draw(this, labels(cfg.count(source), source)))
        parameters = sum(leaf.size for leaf in jax.tree.leaves(averaged(this.state)))
        cost = {
            "parameters": parameters,
            "steps": steps,
            "training_seconds": trained_for(this.log.directory),
            "seconds_per_1000_samples": 1000 * seconds / len(images),
        }
        bits = None
        if self.bits and cfg.likelihood:
            n = min(cfg.likelihood, size(source.test))
            bits = Bits(self.bits, n, min(n, 100))(this)
        return Outcome(to_uint8(images), cost, bits, this.log)


@dataclasses.dataclass(frozen=True)
class Classical:
    """A density of dequantised pixels."""

    density: Density = field(Ppca(), "fitted to the training set")

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        start = time.perf_counter()
        pixels = dequantised(source.train["image"], cfg.seed)
        fitted = self.density.fit(pixels, np.asarray(source.train["label"]))
        cost = {"parameters": fitted.parameters, "training_seconds": time.perf_counter() - start}
        label, shape = labels(cfg.count(source), source), source.shape

        def draw() -> np.ndarray:
            return np.clip(fitted.sample(label, cfg.seed), 0.0, 1.0).reshape(-1, *shape)

        images, seconds = timed(draw)
        cost["seconds_per_1000_samples"] = 1000 * seconds / len(images)
        bits = None
        if cfg.likelihood:
            test = head(source.test, cfg.likelihood)
            pixels = dequantised(np.asarray(test["image"]), cfg.seed + 1)
            log_p = fitted.log_prob(pixels, np.asarray(test["label"]))
            mean, error = mean_and_error(bits_per_dim(log_p, math.prod(shape)))
            bits = {"bits_per_dim": mean, "standard_error": error, "n": len(log_p)}
        return Outcome(to_uint8(images), cost, bits, directory(name, self, cfg))


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """Training images in the place of samples: the best precision, and caught by what looks for copies."""

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        label, of = labels(cfg.count(source), source), np.asarray(source.train["label"])
        rng = np.random.default_rng(cfg.seed)
        orders = {c: rng.permutation(np.flatnonzero(of == c)) for c in np.unique(label)}
        # how many of its class came before each
        turn = np.array([np.sum(label[:i] == c) for i, c in enumerate(label)])
        pairs = zip(label, turn, strict=True)
        rows = np.array([orders[c][i % len(orders[c])] for c, i in pairs])
        images = np.asarray(source.train["image"])[rows]
        return Outcome(images, {}, None, directory(name, self, cfg))


def labels(n: int, source: Any) -> np.ndarray:
    """The classes of n samples: those of as many test examples, so that they are as frequent as in the data."""
    test = np.asarray(source.test["label"])
    return test[chosen(n, len(test))].astype(np.int32)


def timed(draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """The result and the seconds of a second call: the first one compiles."""
    draw()
    start = time.perf_counter()
    return draw(), time.perf_counter() - start


@dataclasses.dataclass(frozen=True)
class Alone:
    """The config of a contender that is no run: all that its samples depend on."""

    of: Any = field(None, "the contender")
    data: Any = field(None, "the data set")
    seed: int = field(0, "of everything")


def directory(name: str, contender: Any, cfg: Any) -> Log:
    """The run directory of a contender that is no run."""
    alone = Alone(contender, cfg.data, cfg.seed)
    log = Log(Path(cfg.runs) / "compare" / f"{name}-{digest(alone)}", 0, 1)
    (log.directory / "config.json").write_text(to_json(alone))
    log.about({"experiment": "compare", "ablation": name, "seed": cfg.seed, **platform.facts()})
    return log


Contender = Trained | Classical | TrainingSet
