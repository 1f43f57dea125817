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

from experiments.diffusion import Report as FlowReport
from genjax.ae import autoencoder as ae
from genjax.classical import Density, Mixture, Ppca, bits_per_dim, dequantised
from genjax.config import digest, edit, field, to_json
from genjax.core import averaged
from genjax.machine import platform
from genjax.pictures.draw import to_uint8
from genjax.training import loop as train
from genjax.training.log import Log, trained_for
from genjax.training.loop import Experiment
from genjax.training.run import Run
from genjax.vae import vae


class Outcome(NamedTuple):
    """What a contender made."""

    images: np.ndarray  # uint8 [n, H, W, C]
    cost: dict[str, float]  # parameters, steps, training_seconds, seconds_per_1000_samples
    bits: (
        dict[str, float] | None
    )  # bits_per_dim of test images, standard_error, n; None where p(x) is not to be had
    log: Log


@dataclasses.dataclass(frozen=True)
class Iwae:
    """Bits per dimension of a VAE with a discrete likelihood: the importance-weighted bound."""

    k: int = field(100, "importance samples")

    def __call__(self, this: Run, n: int) -> dict[str, float]:
        cfg, spec = this.exp.algorithm, this.spec

        def bound(key, state, batch):
            return {
                "log_p": vae.log_likelihood(averaged(state), key, batch, cfg, spec, self.k, self.k)
            }

        log_p = this.evaluate({k: v[:n] for k, v in this.source.test.items()}, bound, min(n, 100))[
            "log_p"
        ]
        return summary(-log_p / (math.prod(spec.shape) * math.log(2.0)))


@dataclasses.dataclass(frozen=True)
class Ode:
    """Bits per dimension of a diffusion model by its probability-flow ODE, uniform dequantisation."""

    low: float = field(0.01, "noise that the likelihood takes the data to have, in [-1, 1]")

    def __call__(self, this: Run, n: int) -> dict[str, float]:
        FlowReport(likelihood=n, low=self.low).bits(this)
        return this.log.result("likelihood")


@dataclasses.dataclass(frozen=True)
class Own:
    """The model's own samples."""

    def __call__(self, this: Run, n: int) -> Callable[[], np.ndarray]:
        return lambda: this.sample(n)


@dataclasses.dataclass(frozen=True)
class OfCodes:
    """An autoencoder's samples: decoded draws from a density of its codes, fitted afterwards."""

    density: Density = field(Mixture(4, 64), "of the codes of the training set")

    def __call__(self, this: Run, n: int) -> Callable[[], np.ndarray]:
        cfg, spec, given = this.exp.algorithm, this.spec, this.given(n)

        def encode(key, state, batch):
            return {"z": ae.encode(averaged(state), batch["image"], cfg)}

        def decode(key, state, batch):
            return ae.render(averaged(state), batch["z"], cfg, spec)

        fitted = self.density.fit(
            this.evaluate(this.source.train, encode)["z"], this.source.train["label"]
        )

        def draw() -> np.ndarray:
            z = fitted.sample(given["label"], this.exp.seed).astype(np.float32)
            return this.draw(decode, {**given, "z": z})

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
        changes = {
            "data": cfg.data,
            "steps": steps,
            "seed": cfg.seed,
            "runs": cfg.runs,
            "finish": None,
        }
        every = {
            "log_every": max(steps // 50, 1),
            "evaluate_every": max(steps // 5, 1),
            "save_every": steps,
        }
        this = train.run(
            "compare", edit(self.exp, {**changes, **every, "sample_every": steps}), name, origin
        )
        draw = self.draw(this, cfg.count(source))
        images, seconds = timed(draw)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(averaged(this.state)))
        cost = {
            "parameters": parameters,
            "steps": steps,
            "training_seconds": trained_for(this.log.directory),
        }
        bits = (
            self.bits(this, min(cfg.likelihood, len(source.test["image"])))
            if self.bits and cfg.likelihood
            else None
        )
        return Outcome(
            to_uint8(images),
            {**cost, "seconds_per_1000_samples": 1000 * seconds / len(images)},
            bits,
            this.log,
        )


@dataclasses.dataclass(frozen=True)
class Classical:
    """A density of dequantised pixels."""

    density: Density = field(Ppca(), "fitted to the training set")

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        start = time.perf_counter()
        fitted = self.density.fit(
            dequantised(source.train["image"], cfg.seed), np.asarray(source.train["label"])
        )
        cost = {"parameters": fitted.parameters, "training_seconds": time.perf_counter() - start}
        label, shape = labels(cfg.count(source), source), source.shape
        images, seconds = timed(
            lambda: np.clip(fitted.sample(label, cfg.seed), 0.0, 1.0).reshape(-1, *shape)
        )
        bits = None
        if cfg.likelihood:
            test = {k: np.asarray(v[: cfg.likelihood]) for k, v in source.test.items()}
            log_p = fitted.log_prob(dequantised(test["image"], cfg.seed + 1), test["label"])
            bits = summary(bits_per_dim(log_p, math.prod(shape)))
        log = directory(name, self, cfg)
        return Outcome(
            to_uint8(images),
            {**cost, "seconds_per_1000_samples": 1000 * seconds / len(images)},
            bits,
            log,
        )


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """Training images in the place of samples: the best precision, and caught by what looks for copies."""

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        label, given = labels(cfg.count(source), source), np.asarray(source.train["label"])
        rng = np.random.default_rng(cfg.seed)
        orders = {c: rng.permutation(np.flatnonzero(given == c)) for c in np.unique(label)}
        turn = np.array(
            [np.sum(label[:i] == c) for i, c in enumerate(label)]
        )  # how many of the class came before
        rows = np.array([orders[c][i % len(orders[c])] for c, i in zip(label, turn, strict=True)])
        return Outcome(
            np.asarray(source.train["image"])[rows], {}, None, directory(name, self, cfg)
        )


def labels(n: int, source: Any) -> np.ndarray:
    """The classes of n samples, in turn."""
    return np.resize(np.arange(source.classes, dtype=np.int32), n)


def summary(bits: np.ndarray) -> dict[str, float]:
    """Mean and standard error of bits per dimension [N]."""
    return {
        "bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std() / math.sqrt(len(bits))),
        "n": len(bits),
    }


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
