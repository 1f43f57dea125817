"""Who takes part in a comparison: models of this library, classical densities, the training set itself.

A contender is called with (name, comparison, source, origin) and gives an `Outcome`: samples of the classes in turn,
what they cost, bits per dimension where p(x) is to be had, and the log of its run directory.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.classical import Density, Mixture, Ppca, bits_per_dim, dequantised
from genjax.config import digest, edit, field, to_json
from genjax.core import averaged, size
from genjax.data.batches import chosen
from genjax.findings.likelihood import Bits, Iwae, Ode
from genjax.findings.samples import mean_and_error, some
from genjax.machine import platform
from genjax.machine.files import typed
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
    step: int = 0  # of the weights; of what has none 0
    asked: bool = True  # whether samples are of the classes that were asked for
    more: Mapping[str, float] | None = (
        None  # what else was measured, by the names of the table's columns
    )


@dataclasses.dataclass(frozen=True)
class Own:
    """The model's own samples."""

    def asked(self, this: Run) -> bool:
        """Whether samples are of a class that is asked for."""
        return "label" in this.algorithm.asks

    def __call__(self, this: Run, labels: np.ndarray) -> Callable[[], np.ndarray]:
        given = {"label": labels} if self.asked(this) else {}

        def draw() -> np.ndarray:
            return this.sample(len(labels), **given)

        return draw


@dataclasses.dataclass(frozen=True)
class OfCodes:
    """An autoencoder's samples: decoded draws from a density of its codes, fitted afterwards."""

    density: Density = field(Mixture(4, 64), "of the codes of the training set")

    def asked(self, this: Run) -> bool:
        """Whatever the model: each class has a density of its own."""
        return True

    def __call__(self, this: Run, labels: np.ndarray) -> Callable[[], np.ndarray]:
        train, decode = this.source.train, this.algorithm.decode
        codes = this.encode(train)  # [N, latent]
        fitted = self.density.fit(codes, train["label"])
        # one index a sample, as `draw` of any model has it
        index = np.arange(len(labels), dtype=np.uint32)

        def decoded(key, state, batch):
            return decode(key, state, batch["z"])

        def draw() -> np.ndarray:
            z = fitted.sample(labels, this.exp.seed)
            given = {"index": index, "z": z.astype(np.float32)}
            return this.draw(decoded, given)

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
    more: tuple[Callable[[Run], Any], ...] = field(
        (), "findings whose numbers {name: number} stand beside the metrics", added=True
    )

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        # whole hundreds, by a fixed rate and no clock: the same run on every machine
        hundreds = round(self.rate * cfg.seconds / 100)
        steps = max(100, hundreds * 100)
        often, seldom = max(steps // 50, 1), max(steps // 5, 1)
        every = Every(often, seldom, steps, steps)
        changes = {"data": cfg.data, "steps": steps, "seed": cfg.seed, "runs": cfg.runs}
        changes |= {"finish": (), "every": every}
        exp = edit(self.exp, changes)
        for finding in self.more:  # before training, not after minutes of it
            check = getattr(finding, "check", None)
            if check is not None:
                check(exp, source)
        this = loop.run("compare", exp, name, origin)
        asked = labels(cfg.count(source), source)
        draw = self.draw(this, asked)
        images, seconds = timed(draw)
        # of all nets, a GAN's discriminator too: that is what was trained
        leaves = jax.tree.leaves(averaged(this.state))
        cost = {
            "parameters": sum(leaf.size for leaf in leaves),
            "steps": steps,
            "training_seconds": trained_for(this.log.directory),
            "seconds_per_1000_samples": 1000 * seconds / len(images),
        }
        bits = None
        if self.bits and cfg.likelihood:
            n = min(cfg.likelihood, size(source.test))
            finding = Bits(self.bits, n, min(n, 100))
            bits = this.find(finding)
        more: dict[str, float] = {}
        for finding in self.more:
            more |= this.find(finding)
        made = Outcome(to_uint8(images), cost, bits, this.log, int(this.state.step))
        return made._replace(asked=self.draw.asked(this), more=more)


@dataclasses.dataclass(frozen=True)
class Classical:
    """A density of dequantised pixels."""

    density: Density = field(Ppca(), "fitted to the training set")

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        start = time.perf_counter()
        # a density of bytes would be infinite: noise fills the gaps between grey levels
        pixels = dequantised(source.train["image"], cfg.seed)
        fitted = self.density.fit(pixels, np.asarray(source.train["label"]))
        training = time.perf_counter() - start
        cost = {"parameters": fitted.parameters, "training_seconds": training}
        label = labels(cfg.count(source), source)
        shape = source.shape

        def draw() -> np.ndarray:
            flat = fitted.sample(label, cfg.seed)  # [n, D]
            # a Gaussian reaches beyond the range of pixels
            unit = np.clip(flat, 0.0, 1.0)
            return unit.reshape(-1, *shape)

        images, seconds = timed(draw)
        cost["seconds_per_1000_samples"] = 1000 * seconds / len(images)
        bits = None
        if cfg.likelihood:
            test = some(source.test, cfg.likelihood)
            images_of_test = np.asarray(test["image"])
            # another seed than in training: other noise within the grey levels
            pixels = dequantised(images_of_test, cfg.seed + 1)
            log_p = fitted.log_prob(pixels, np.asarray(test["label"]))  # [n] nats
            of_each = bits_per_dim(log_p, math.prod(shape))
            mean, error = mean_and_error(of_each)
            bits = {"bits_per_dim": mean, "standard_error": error, "n": len(log_p)}
        return Outcome(to_uint8(images), cost, bits, directory(name, self, cfg))


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """Training images in the place of samples: the best precision, and caught by what looks for copies."""

    def __call__(self, name: str, cfg: Any, source: Any, origin: Mapping[str, Any]) -> Outcome:
        label = labels(cfg.count(source), source)
        of = np.asarray(source.train["label"])
        rng = np.random.default_rng(cfg.seed)
        orders = {}
        for c in np.unique(label):  # in ascending order, which fixes the draws
            of_class = np.flatnonzero(of == c)
            orders[c] = rng.permutation(of_class)
        rows = []
        for i, c in enumerate(label):
            # how many of its class came before it
            turn = np.sum(label[:i] == c)
            order = orders[c]
            # a small class starts again
            rows.append(order[turn % len(order)])
        train = np.asarray(source.train["image"])
        images = train[np.array(rows)]
        return Outcome(images, {}, None, directory(name, self, cfg))


def labels(n: int, source: Any) -> np.ndarray:
    """The classes of n samples: those of as many test examples, so that they are as frequent as in the data."""
    test = np.asarray(source.test["label"])
    places = chosen(n, len(test))  # [n]
    return test[places].astype(np.int32)


def timed(draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """The result and the seconds of a second call: the first one compiles."""
    draw()
    start = time.perf_counter()
    drawn = draw()
    return drawn, time.perf_counter() - start


@dataclasses.dataclass(frozen=True)
class Alone:
    """The config of a contender that is no run: all that its samples depend on."""

    of: Any = field(None, "the contender")
    data: Any = field(None, "the data set")
    seed: int = field(0, "of everything")


def directory(name: str, contender: Any, cfg: Any) -> Log:
    """The run directory of a contender that is no run."""
    alone = Alone(contender, cfg.data, cfg.seed)
    # the config is in the name: another contender of this name has another folder
    folder = typed(cfg.runs) / "compare" / f"{name}-{digest(alone)}"
    log = Log(folder, 0, 1)
    config = log.directory / "config.json"
    config.write_text(to_json(alone))
    about = {"experiment": "compare", "ablation": name, "seed": cfg.seed}
    log.about({**about, **platform.facts()})
    return log


Contender = Trained | Classical | TrainingSet
