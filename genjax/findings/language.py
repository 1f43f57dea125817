"""Are texts that were asked for in a language written in it? Read back by a classifier of real texts.

Three shares stand side by side: real held-out texts that are read as what they are, which is the most that this reader
can find; samples that are read as what was asked for; and the same samples with the labels in another order, which is
what texts that do not listen would get.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import edit, field
from genjax.data.source import spec_of
from genjax.errors import UserError, at_least, distinct
from genjax.findings.samples import kept
from genjax.metrics.intervals import share
from genjax.metrics.language import naive_bayes
from genjax.training.experiment import Experiment
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Language:
    """The share of samples that are in the language asked for, beside real texts and shuffled labels."""

    samples: int = field(100, "texts of each language")
    scales: tuple[float, ...] = field(
        (), "scales of guidance to try; () = that of the config alone"
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for texts without languages, for languages without texts, and for models not told any."""
        at_least(1, finish__Language__samples=self.samples)
        kind = source.fields[source.main]
        # a corpus that is asked for languages has a flag for them, others have none
        choosing = hasattr(getattr(exp.data, "corpus", None), "languages")
        if not getattr(kind, "pieces", ()) or source.classes < 2:
            mend = (
                "name more by --data.corpus.languages"
                if choosing
                else "use --data='Text(Names())'"
            )
            raise UserError(
                f"--finish.Language needs text in several languages: {mend}, or --finish='()'."
            )
        given = {each.of for each in getattr(exp.algorithm, "condition", ())}
        if "label" not in given:
            raise UserError(
                "--finish.Language asks for languages, and the model is told none: use "
                "--algorithm.condition='(Label(),)'."
            )
        # what the model cannot do at one scale is told before training, not after it
        distinct("finish.Language.scales", self.scales)
        for scale in self.scales:
            self._guided(exp, scale)(spec_of(source, exp.steps))
        for split, arrays in (("training", source.train), ("test", source.test)):
            there = np.bincount(arrays["label"], minlength=source.classes)
            if not there.all():
                name = source.class_names[there.argmin()]
                where = " of --data.corpus.languages" if choosing else ""
                raise UserError(
                    f"--finish.Language: {source.name} has no {split} text in {name!r}: leave that language out{where}."
                )

    def __call__(self, this: Run) -> dict[str, float]:
        kind, names = this.spec.x, this.source.class_names
        main = this.spec.main
        train, test = this.source.train, this.source.test
        labels = np.asarray(train["label"])
        # by bytes, so that one reader serves every alphabet
        reader = naive_bayes(kind.written(train[main]), labels, len(names))
        truth = np.asarray(test["label"])
        right = reader.read(kind.written(test[main])) == truth  # [N]
        # a language after the other, as many of each
        asked = np.repeat(np.arange(len(names)), self.samples)
        result = {"real": _share_right(right)}
        for number, name in enumerate(names):
            result[f"real, {name}"] = _share_right(right[truth == number])
        for scale in self.scales or (None,):
            drawn = self._drawn(this, asked, scale)
            read = reader.read(kind.written(drawn))
            prefix = "samples" if scale is None else f"scale {scale:g}"
            result |= _asked(prefix, read, asked, names)
        for name, found in result.items():
            ends = (found["distance"], found["low"], found["high"])
            value, low, high = (100.0 * end for end in ends)
            this.log.note(
                f"read as asked, {name}: {value:.1f} % [{low:.1f}, {high:.1f}] of {found['n']}"
            )
        # those of the last scale
        self._shown(this, drawn, names)
        this.log.result("language", result)
        wholes = [name for name in result if "," not in name]
        return {name: result[name]["distance"] for name in wholes}

    def _guided(self, exp: Experiment, scale: float) -> Any:
        """The algorithm at another scale of guidance; UserError for one that has none."""
        if not hasattr(exp.algorithm, "guidance"):
            name = type(exp.algorithm).__name__
            raise UserError(f"--finish.Language.scales: {name} has no guidance to try: use ().")
        return edit(exp.algorithm, {"guidance.scale": scale})

    def _drawn(self, this: Run, asked: np.ndarray, scale: float | None) -> np.ndarray:
        """The samples int32 [N, T] of the labels asked for, [N]."""
        if scale is None:
            return np.asarray(this.sample(len(asked), label=asked))
        # the weights stay, and so does the noise
        given = this.given(len(asked), label=asked)
        sample = self._guided(this.exp, scale)(this.spec).sample
        return np.asarray(this.draw(sample, given))

    def _shown(self, this: Run, drawn: np.ndarray, names: tuple[str, ...]) -> None:
        """The first samples of each language, in letters."""
        lines = {}
        for number, name in enumerate(names):
            first = number * self.samples
            few = this.spec.x.text(drawn[first : first + 3])
            lines[name] = ", ".join(line.strip() for line in few)
        this.log.result("asked", lines)


def _asked(
    prefix: str, read: np.ndarray, asked: np.ndarray, names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Shares of samples whose language, as it is read [N], is the one that was asked for [N]."""
    # always the same order, so that runs share their floor's
    other = np.random.default_rng(0).permutation(asked)
    found = {
        prefix: _share_right(read == asked),
        f"{prefix} shuffled": _share_right(read == other),
    }
    # a language that is always drawn is right in its own row and wrong in the others
    for number, name in enumerate(names):
        found[f"{prefix}, {name}"] = _share_right(read[asked == number] == number)
    return found


def _share_right(hits: np.ndarray) -> dict[str, float]:
    """A share of n texts with Wilson's interval."""
    return {**kept(share(float(hits.sum()), len(hits))), "n": len(hits)}
