"""Detectors of generated text, from what takes no training to a trained net. A higher score is more generated.

`learn(case)` sees the real texts and one author's that are there to learn from, and gives a function of texts [N, T] to
scores [N]. A statistic of a scoring model learns its direction alone: whether text of that author has more of it or
less. With another author it may be the wrong one, which is a finding and no mistake.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.audit import best
from genjax.audit.words import TextDetector
from genjax.config import edit, field
from genjax.data.windows import Sequences
from genjax.errors import UserError, at_least
from genjax.findings.suspects import HOME, ChainAuthor, Suspect, Suspected, Task
from genjax.metrics.features import save_arrays
from genjax.metrics.ngrams import kneser_ney
from genjax.metrics.prediction import auroc
from genjax.training import loop
from genjax.training.experiment import Experiment, directory

HALF = 0.5
KEPT = "texts.npz"  # <length>/held, /real, /generated: scores beside a trained detector
GROUP = "_group"  # behind such a name: what the texts are of, as Texts.group


class Texts(NamedTuple):
    """Texts of one length, what they are of, and what the scoring model says of them."""

    tokens: np.ndarray  # int32 [N, T]
    group: np.ndarray  # [N]
    told: Mapping[str, np.ndarray] = {}  # name of a statistic -> [N]


class Case(NamedTuple):
    """What a detector learns from, texts by their length."""

    suspect: Suspect
    real: Mapping[int, Texts]
    generated: Mapping[int, Texts]
    vocabulary: int
    task: Task


Judge = Callable[[Texts], np.ndarray]


@dataclasses.dataclass(frozen=True)
class NgramRatio:
    """The likelihood ratio of two n-gram models, Kneser-Ney of each kind: bits a token."""

    order: int = field(4, "tokens of an n-gram")

    scored = False  # whether it needs the scoring model

    @property
    def name(self) -> str:
        """Of its row: of several orders each has its own."""
        return f"{self.order}-grams"

    def check(self, task: Task, suspects: Sequence[Suspect]) -> None:
        """Raises UserError for n-grams of nothing."""
        at_least(1, "NgramRatio: ", order=self.order)

    def learn(self, case: Case) -> Judge:
        """A pair of models for each length: windows begin in their own way."""
        fitted = {}
        # windows of a length begin without a context: counts of longer ones would say too little of that
        for length, real in case.real.items():
            kinds = (real, case.generated[length])
            fitted[length] = [
                kneser_ney(kind.tokens, case.vocabulary, self.order) for kind in kinds
            ]

        def judge(texts: Texts) -> np.ndarray:
            length = texts.tokens.shape[1]
            real, generated = fitted[length]
            # what a real text costs more than if the author had written it
            return (real.bits(texts.tokens) - generated.bits(texts.tokens)) / length

        return judge


def directed(name: str, case: Case) -> Judge:
    """A statistic of the scoring model, turned round at each length where the author's texts have less of it."""
    signs = {}
    for length, real in case.real.items():
        # by texts to learn from, never by those of the test
        both = [texts.told[name] for texts in (real, case.generated[length])]
        truth = np.repeat([False, True], [len(values) for values in both])
        area = auroc(np.concatenate(both), truth).value
        signs[length] = 1.0 if area >= HALF else -1.0

    def judge(texts: Texts) -> np.ndarray:
        sign = signs[texts.tokens.shape[1]]
        return sign * np.asarray(texts.told[name], np.float64)

    return judge


@dataclasses.dataclass(frozen=True)
class MeanLogP:
    """The mean logarithm of the probability of a token."""

    name = "log p"
    scored = True

    def check(self, task: Task, suspects: Sequence[Suspect]) -> None:
        """There is nothing to be wrong."""

    def learn(self, case: Case) -> Judge:
        """The direction at each length."""
        return directed("log_p", case)


@dataclasses.dataclass(frozen=True)
class MeanLogRank:
    """The mean logarithm of a token's rank."""

    name = "log rank"
    scored = True

    def check(self, task: Task, suspects: Sequence[Suspect]) -> None:
        """There is nothing to be wrong."""

    def learn(self, case: Case) -> Judge:
        """The direction at each length."""
        return directed("log_rank", case)


@dataclasses.dataclass(frozen=True)
class Curvature:
    """How much likelier a text is than what the scoring model would have written in its place."""

    name = "curvature"
    scored = True

    def check(self, task: Task, suspects: Sequence[Suspect]) -> None:
        """There is nothing to be wrong."""

    def learn(self, case: Case) -> Judge:
        """The direction at each length."""
        return directed("curvature", case)


@dataclasses.dataclass(frozen=True)
class TrainedDetector:
    """A trained net, one for all lengths."""

    exp: Experiment = field(
        Experiment(algorithm=TextDetector(), steps=400, batch=64), "its run; data are set"
    )
    length: int = field(200, "tokens of the texts that it learns from")

    name = "trained"
    scored = False

    def check(self, task: Task, suspects: Sequence[Suspect]) -> None:
        """Raises UserError for what is no detector of texts, and for texts shorter than those it learns from."""
        if not isinstance(self.exp.algorithm, TextDetector):
            kind = type(self.exp.algorithm).__name__
            raise UserError(
                f"TrainedDetector: exp.algorithm={kind}() tells no texts apart: use TextDetector()."
            )
        at_least(1, "TrainedDetector: ", length=self.length)
        if self.length > task.real.length:
            raise UserError(
                f"TrainedDetector: length={self.length}: the texts have {task.real.length} tokens: use no more."
            )

    def asked(self, case: Case) -> tuple[Experiment, str]:
        """Its run on a case, and the run's name."""
        task = case.task
        # the author's run is a part of the detector's: another author, another digest
        data = Suspected(task.real, case.suspect, self.length, task.seed, task.runs)
        changes = {"data": data, "seed": task.seed, "runs": task.runs, "finish": ()}
        return edit(self.exp, changes), f"trained-on-{case.suspect.name}"

    def learn(self, case: Case) -> Judge:
        """Trains it, or restores it."""
        exp, name = self.asked(case)
        # of an edit of nothing: its report tells no differences
        origin = {**case.task.origin, "differences": {}}
        this = loop.run(HOME, exp, name, origin)

        def judge(texts: Texts) -> np.ndarray:
            # the label is asked for and has no say in the evidence
            unknown = np.zeros(len(texts.tokens), np.int32)
            arrays = {"tokens": texts.tokens, "label": unknown}
            return np.asarray(this.evaluate(arrays)["evidence"], np.float64)

        return judge

    def keep(
        self,
        case: Case,
        scores: Mapping[int, Mapping[str, np.ndarray]],
        sets: Mapping[str, Mapping[int, Texts]],
    ) -> None:
        """Scores and groups of held-out and test texts by length, beside the run, for `python -m genjax.audit`."""
        exp, name = self.asked(case)
        parts = {"held": "held", "real": "test", "generated": f"{case.suspect.name}/test"}
        kept = {}
        # by these a file is judged when generators and corpus are long gone
        for length, found in scores.items():
            own = {}
            for kind, part in parts.items():
                own[kind] = found[part]
                # pieces of one document are no independent draws
                own[f"{kind}{GROUP}"] = sets[part][length].group
            kept[str(length)] = own
        save_arrays(directory(exp, HOME, name) / KEPT, kept)


@dataclasses.dataclass(frozen=True)
class BestRatio:
    """The likelihood ratio of known laws: no detector is better, in the long run."""

    name = "best"
    scored = False

    def check(self, task: Task, suspects: Sequence[Suspect]) -> None:
        """Raises UserError for texts whose law nobody knows."""
        if not isinstance(task.real, Sequences):
            raise UserError(
                "BestRatio: nobody knows the law of these texts: leave it out, or use --data='Sequences()'."
            )
        for suspect in suspects:
            if not isinstance(suspect.of, ChainAuthor):
                raise UserError(
                    f"BestRatio: {suspect.name} is a trained model, whose law over all texts is not known: leave "
                    "BestRatio() out."
                )

    def learn(self, case: Case) -> Judge:
        """Nothing is learned."""
        # both are chains, see `check`
        real: Any = case.task.real
        author: Any = case.suspect.of
        laws = real.law(), author.law()

        def judge(texts: Texts) -> np.ndarray:
            return best.ratio(*laws, texts.tokens)

        return judge


Witness = NgramRatio | MeanLogP | MeanLogRank | Curvature | TrainedDetector | BestRatio
