"""What makes codes of pictures, and where there is a way back pictures of codes: models and what they are held against.

An encoder is a config value with `start(name, task)`, which gives a `Coder`: one that is a run trains or restores it,
in a directory of its own. Floors are encoders too: the pixels, principal components, a random projection, and the same
net as at its first step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.config import edit, field
from genjax.core import Algorithm, averaged, size
from genjax.data.source import Source
from genjax.diffusion import features
from genjax.errors import UserError, at_least
from genjax.findings.latents import Codes
from genjax.findings.restored import still
from genjax.findings.samples import some
from genjax.metrics.components import principal, rows
from genjax.metrics.probe import Labelled, probed
from genjax.training import loop
from genjax.training.experiment import Experiment, directory
from genjax.training.log import Log
from genjax.training.run import Run
from genjax.training.task import bind, example_of

Split = Mapping[str, Any]  # {field: [N, ...]}
HOME = "latents"  # the folder of these runs


class Task(NamedTuple):
    """What all encoders of a table have in common."""

    data: Any  # the data set's config
    source: Source
    fit: Split  # some training examples, for what is fitted to codes
    valid: Split  # others, for what is chosen
    seed: int
    runs: str
    origin: Mapping[str, Any]  # what a report tells of where a run comes from

    def set(self, exp: Experiment) -> Experiment:
        """An experiment on this data, with nothing to be measured afterwards."""
        changes = {
            "data": self.data,
            "seed": self.seed,
            "runs": self.runs,
            "finish": (),
        }
        return edit(exp, changes)


class Coder(NamedTuple):
    """An encoder at work."""

    encode: Callable[[Split], np.ndarray]  # pictures -> codes [N, D]
    # codes [N, D] -> pictures [N, H, W, C] in [0, 1]; None = there is no way back
    decode: Callable[[np.ndarray], np.ndarray] | None = None
    told: Mapping[str, float] = {}  # what was chosen or measured on the way


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The pictures themselves, in [0, 1]."""

    def returns(self, source: Source) -> bool:
        """Whether there is a way back."""
        return True

    def start(self, name: str, task: Task) -> Coder:
        """Nothing is fitted."""
        main = task.source.main
        shape = task.source.shape

        def encode(split: Split) -> np.ndarray:
            return rows(split[main])

        def decode(codes: np.ndarray) -> np.ndarray:
            return codes.reshape(-1, *shape)

        return Coder(encode, decode)


@dataclasses.dataclass(frozen=True)
class Principal:
    """The first principal components of the training pictures."""

    k: int = field(64, "components, fewer where fewer vary")

    def returns(self, source: Source) -> bool:
        """Whether there is a way back."""
        return True

    def start(self, name: str, task: Task) -> Coder:
        """Fitted to all training pictures; UserError for k < 1."""
        at_least(1, "Principal: ", k=self.k)
        main = task.source.main
        shape = task.source.shape
        found = principal(task.source.train[main], self.k)

        def encode(split: Split) -> np.ndarray:
            flat = rows(split[main])
            return found.codes(flat)

        def decode(codes: np.ndarray) -> np.ndarray:
            flat = found.mean + codes @ found.directions
            return flat.reshape(-1, *shape)

        return Coder(encode, decode)


@dataclasses.dataclass(frozen=True)
class Projected:
    """A random projection of the pixels: what any linear map of that size keeps."""

    k: int = field(64, "numbers of a code")

    def returns(self, source: Source) -> bool:
        """Whether there is a way back."""
        return False

    def start(self, name: str, task: Task) -> Coder:
        """Of the task's seed; UserError for k < 1."""
        at_least(1, "Projected: ", k=self.k)
        main = task.source.main
        dimensions = int(np.prod(task.source.shape))
        rng = np.random.default_rng(task.seed)
        normal = rng.standard_normal((dimensions, self.k))
        # squared distances stay what they were, in the mean
        matrix = normal / np.sqrt(self.k)

        def encode(split: Split) -> np.ndarray:
            flat = rows(split[main])
            return flat @ matrix

        return Coder(encode)


@dataclasses.dataclass(frozen=True)
class Own:
    """The codes that a model has by itself: of an autoencoder z, of a VAE the mean of q(z | x)."""

    def returns(self, algorithm: Algorithm) -> bool:
        """Whether there is a way back."""
        return algorithm.decode is not None

    def read(self, this: Run, task: Task) -> Coder:
        """UserError for a model that has none."""
        if this.algorithm.encode is None:
            kind = type(this.exp.algorithm).__name__
            raise UserError(f"{kind} has no codes: of a diffusion model read of=Middle().")

        def encode(split: Split) -> np.ndarray:
            codes = this.encode(dict(split))
            return codes.reshape(len(codes), -1)

        if this.algorithm.decode is None:
            return Coder(encode)
        # one function, so that it is compiled once
        render = Codes().render(this)

        def decode(codes: np.ndarray) -> np.ndarray:
            given = this.given(len(codes))
            given["code"] = codes.astype(np.float32)
            images = this.draw(render, given)
            return np.asarray(images)

        return Coder(encode, decode)


@dataclasses.dataclass(frozen=True)
class Middle:
    """The middle of a diffusion net, at the noise level whose features a linear probe reads best on `valid`."""

    block: str = field("middle", "whose output is read: `middle` of a UNet, `block_3` of a DiT")
    levels: tuple[float, ...] = field(
        (0.1, 0.2, 0.4, 0.8), "sigma / alpha, the noise on one unit of data in [-1, 1]"
    )

    def returns(self, algorithm: Algorithm) -> bool:
        """There is none."""
        return False

    def read(self, this: Run, task: Task) -> Coder:
        """UserError for a model that is no diffusion model, and for a block that its net does not have."""
        cfg, spec = this.exp.algorithm, this.spec
        if not hasattr(cfg, "path"):
            kind = type(cfg).__name__
            raise UserError(f"{kind} has no noise levels: read its own codes, of=Own().")
        if not self.levels:
            raise UserError("Middle: levels=() leaves nothing to choose from.")

        def at(level: float) -> Callable[[Split], np.ndarray]:
            # one function a level, so that it is compiled once
            def seen(key, state, batch):
                params = averaged(state)
                where = level, self.block
                # as evaluation sees them
                batch = still(this.exp.view, batch)
                code = features.middle(params, key, batch, cfg, spec, *where)
                return {"code": code}

            def encode(split: Split) -> np.ndarray:
                return this.evaluate(dict(split), seen)["code"]

            return encode

        best, most, chosen = 0.0, -1.0, at(self.levels[0])
        told = {}
        for level in self.levels:
            encode = at(level)
            fit = labelled(encode, task.fit)
            held = labelled(encode, task.valid)
            # `valid` twice: the level is chosen by it as well as the strength
            accuracy = probed(fit, held, held).valid
            told[f"valid at {level:g}"] = accuracy
            if accuracy > most:
                best = level
                most = accuracy
                chosen = encode
        return Coder(chosen, told={"level": best, **told})


def labelled(encode: Callable[[Split], np.ndarray], split: Split) -> Labelled:
    """The codes of a split with their classes."""
    codes = encode(split)
    return Labelled(codes, np.asarray(split["label"]))


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a run has learned, or what its net holds before the first step."""

    experiment: Experiment = field(
        Experiment(), "the run; data, seed and folder are the task's"
    )
    of: Own | Middle = field(Own(), "what of it is the code")
    trained: bool = field(True, "false: with the weights that training begins with, a floor")

    def returns(self, source: Source) -> bool:
        """Whether there is a way back; nothing is trained for it."""
        _, algorithm = bind(self.experiment, source)
        return self.of.returns(algorithm)

    def start(self, name: str, task: Task) -> Coder:
        """Trains or restores the run."""
        exp = task.set(self.experiment)
        if not self.trained:
            return self.of.read(untrained(exp, name, task), task)
        this = loop.run(HOME, exp, name, task.origin)
        return self.of.read(this, task)


def untrained(exp: Experiment, name: str, task: Task) -> Run:
    """A run with the weights that it would begin with; it has no directory, and nothing is written."""
    spec, algorithm = bind(exp, task.source)
    seed = jax.random.key(exp.seed)
    key = jax.random.fold_in(seed, 3)  # of initial weights, see `Run.key`
    example = example_of(task.source)
    state = exp.layout.init(algorithm.init, key, example)
    nowhere = directory(exp, HOME, name)
    log = Log(nowhere, 0, exp.batch, writes=False)
    return Run(exp, task.source, spec, algorithm, log, state, {})


Encoder = Pixels | Principal | Projected | Learned


@dataclasses.dataclass(frozen=True)
class Entry:
    """An encoder under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    of: Encoder = field(Pixels(), "what makes the codes")


def check_names(entries: tuple[Entry, ...], where: str) -> None:
    """Raises UserError for entries of one name, or none."""
    names = [entry.name for entry in entries]
    if not names:
        raise UserError(f"{where}=() leaves nothing to compare.")
    for name in names:
        if not name or names.count(name) > 1:
            raise UserError(f"{where}: each needs a name of its own, got {', '.join(names)}.")


def parts(source: Source, most: int, held: int) -> tuple[Split, Split]:
    """(fit, valid): `most` training examples and `held` others, of the valid split where there is one."""
    if size(source.valid):
        return some(source.train, most), some(source.valid, held)
    # a set without: some of the training examples are kept apart, in the order of a fixed draw
    both = some(source.train, most + held)
    n = size(both)
    rng = np.random.default_rng(0)
    order = rng.permutation(n)
    border = n - min(held, n // 4)
    fit = {}
    valid = {}
    for name, array in both.items():
        mixed = array[order]
        fit[name] = mixed[:border]
        valid[name] = mixed[border:]
    return fit, valid
