"""Who has written the texts that a detector is to find: trained models, and chains whose law is known.

An author is a config with `texts(name, task, n)`, n texts that are always the same ones, and `laws(name, task)`, what
it says of texts that others wrote. A trained one is a run; its texts lie beside it, for drawing them may take minutes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax import conditions
from genjax.audit.scoring import statistics
from genjax.audit.words import KINDS
from genjax.config import edit, field
from genjax.core import Batch, State, averaged
from genjax.data.chains import Chain, HiddenChain, Law, draw, passes
from genjax.data.source import Source
from genjax.data.windows import Part, Sequences, Windows
from genjax.errors import UserError, at_least
from genjax.fields import Category
from genjax.metrics.features import STRANGE, save_arrays
from genjax.sequence import causal
from genjax.sequence.causal import Causal
from genjax.training import loop
from genjax.training.experiment import Experiment
from genjax.training.run import Run
from genjax.training.task import bind

HOME = "detect_text"  # the folder of these runs
VERSION = 1  # of how texts are drawn
ROWS = 100  # texts that a chain's law is asked for at a time
WINDOW = 8  # of so many windows one is held out from a detector's training
Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]  # texts [N, T] -> {name: [N]}


class Task(NamedTuple):
    """What all authors of a table have in common."""

    real: Windows | Sequences
    seed: int
    runs: str
    origin: Mapping[str, Any]  # what a report tells of where a run comes from

    def run(self, exp: Experiment, name: str) -> Run:
        """The trained run of an experiment of generators, on the part of the real texts that is theirs."""
        changes = {"data": self.real, "seed": self.seed, "runs": self.runs, "finish": ()}
        return loop.run(HOME, edit(exp, changes), name, {**self.origin, "differences": {}})


@dataclasses.dataclass(frozen=True)
class Author:
    """A model of tokens, trained."""

    exp: Experiment = field(Experiment(), "the run; data, seed and folder are the finding's")

    def check(self, source: Source) -> None:
        """Raises UserError for a model that does not fit the texts, and for one that draws none."""
        _, algorithm = bind(self.exp, source)
        if algorithm.sample is None or algorithm.asks:
            kind = type(self.exp.algorithm).__name__
            raise UserError(
                f"{kind} draws no texts by itself: use Causal() or MaskedDiffusion()."
            )

    def texts(self, name: str, task: Task, n: int) -> np.ndarray:
        """Samples 0 to n - 1, int32 [n, T]."""
        # trained, or restored where it was trained before
        this = task.run(self.exp, name)
        path = this.log.directory / f"texts-{n}.npz"
        # how many steps a sampler takes is no part of the run's digest
        basis = this.basis(self)
        mark = json.dumps([VERSION, basis["hash"], basis["code"]], sort_keys=True)
        try:
            # a pickle could run code
            with np.load(path, allow_pickle=False) as file:
                if str(file["mark"]) == mark:
                    return file["tokens"]
        except STRANGE:  # none yet, or damaged: drawn anew
            pass
        tokens = np.asarray(this.sample(n), np.int32)
        save_arrays(path, {"tokens": tokens, "mark": np.array(mark)})
        return tokens

    def check_scoring(self) -> None:
        """Raises UserError for a model that gives no law of a token after those before it."""
        if not isinstance(self.exp.algorithm, Causal):
            kind = type(self.exp.algorithm).__name__
            raise UserError(
                f"--scorer: {kind} gives no law of each token after those before it: use Causal()."
            )

    def scored(self, name: str, task: Task) -> Statistics:
        """What a causal model says of texts."""
        this = task.run(self.exp, name)
        cfg, spec = this.exp.algorithm, this.spec

        # one function, so that it is compiled once for each length
        def fn(key: jax.Array, state: State, batch: Batch) -> dict[str, jax.Array]:
            cond = conditions.told(cfg.condition, batch, spec)
            x = batch[spec.main]
            return statistics(causal.logits(averaged(state), x, cond, cfg, spec), x)

        def of(tokens: np.ndarray) -> dict[str, np.ndarray]:
            return this.evaluate({spec.main: tokens}, fn)

        return of


@dataclasses.dataclass(frozen=True)
class ChainAuthor:
    """A chain whose law is known."""

    chain: Chain | HiddenChain = field(Chain(seed=1), "the law of the texts")

    def law(self) -> Law:
        """Of the chain."""
        return self.chain.law()

    def check(self, source: Source) -> None:
        """Raises UserError for tokens of other numbers than the real texts'."""
        kind = source.fields[source.main]
        own = self.law().emit.shape[1]
        if kind.vocabulary != own:
            raise UserError(
                f"--suspects: a chain of {own} tokens beside real texts of {kind.vocabulary}: give both the same."
            )

    def check_scoring(self) -> None:
        """Its law is known."""

    def texts(self, name: str, task: Task, n: int) -> np.ndarray:
        """Sequences 0 to n - 1, int32 [n, T], of the chain's seed and the task's."""
        key = [self.chain.seed, task.seed + 2**32]
        rng = np.random.Generator(np.random.Philox(key=key))
        return draw(self.law(), rng, n, task.real.length)

    def scored(self, name: str, task: Task) -> Statistics:
        """What the chain's exact law says of texts."""
        law = self.law()
        say = jax.jit(statistics)

        def of(tokens: np.ndarray) -> dict[str, np.ndarray]:
            n = len(tokens)
            # filled up with the first texts, so that one compiled program serves all sets of a length
            rows = np.arange(n + -n % ROWS) % n
            parts = []
            for block in rows.reshape(-1, ROWS):
                x = tokens[block]
                # p(x_t | x_<t), [N, T, V]
                ahead = passes(law, x).before @ law.emit
                parts.append(say(np.log(ahead), x))
            joined = jax.tree.map(lambda *each: np.concatenate(each)[:n], *parts)
            return dict(joined)

        return of


AnyAuthor = Author | ChainAuthor


@dataclasses.dataclass(frozen=True)
class Suspect:
    """An author under the name that the tables give it."""

    name: str = field("", "in the tables and of the run directory")
    of: AnyAuthor = field(Author(), "who writes")

    def parts(self, task: Task) -> dict[str, Part]:
        """{"fit", "test"}: as many texts as there are real ones, each of its own."""
        real = task.real.parts()
        sizes = {part: len(real[part].tokens) for part in ("fit", "test")}
        tokens = self.of.texts(self.name, task, sum(sizes.values()))
        # what detectors learn from, and behind it what they are tested on
        border = sizes["fit"]
        each = np.arange(len(tokens))
        return {
            "fit": Part(tokens[:border], each[:border]),
            "test": Part(tokens[border:], each[border:]),
        }


@dataclasses.dataclass(frozen=True)
class Suspected:
    """Real texts and an author's, labelled: what a detector learns from."""

    real: Windows | Sequences = field(Windows(), "real texts")
    suspect: Suspect = field(Suspect(), "the author")
    length: int = field(200, "tokens of an example")
    seed: int = field(0, "of the author's run")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def load(self) -> Source:
        """{"tokens", "label"}, of each kind every eighth window held out; UserError for windows that are shorter."""
        task = Task(self.real, self.seed, self.runs, {})
        source = self.real.load()
        at_least(1, data__length=self.length)
        kinds = (self.real.parts()["fit"], self.suspect.parts(task)["fit"])
        splits: dict[str, list[dict[str, np.ndarray]]] = {"train": [], "valid": []}
        for label, part in enumerate(kinds):
            # whole windows: pieces of one are no independent draws
            held = np.arange(len(part.tokens)) % WINDOW == 0
            for split, rows in (("train", ~held), ("valid", held)):
                tokens = Part(part.tokens[rows], part.group[rows]).pieces(self.length).tokens
                labels = np.full(len(tokens), label, np.int32)
                splits[split].append({"tokens": tokens, "label": labels})
        main = dataclasses.replace(source.fields[source.main], length=self.length)
        fields = {"tokens": main, "label": Category(len(KINDS), KINDS)}
        arrays = {split: _joined(each) for split, each in splits.items()}
        # the test is the finding's, at several lengths
        nothing = {name: values[:0] for name, values in arrays["valid"].items()}
        name = f"{source.name} and {self.suspect.name}"
        return Source(name, fields, **arrays, test=nothing)


def _joined(splits: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One split after the other."""
    names = splits[0]
    return {name: np.concatenate([split[name] for split in splits]) for name in names}
