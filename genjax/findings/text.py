"""What a model of tokens has learned: of a chain whose law is known, and of text beside n-grams and compressors.

    excess = mean over test sequences of (bits of the model - bits of the chain) a token = KL(p || model) a token

Both costs are of the same sequences, so that their difference has a far smaller error than either. The same holds of a
model of text and of n-grams.
"""

from __future__ import annotations

import dataclasses
import lzma
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax import conditions
from genjax.audit.ranking import ratio
from genjax.config import field
from genjax.core import Batch, State, averaged
from genjax.data.alphabets import INSTALL
from genjax.data.chains import Law, conditional, draw, entropy, log_likelihood
from genjax.data.text import characters
from genjax.diffusion.discrete import Masking, logits
from genjax.errors import UserError, above, at_least, at_most
from genjax.findings.samples import kept, some, told
from genjax.metrics.intervals import Interval, of_mean
from genjax.metrics.ngrams import LEAST, Fit, cells, chi_square, kneser_ney
from genjax.training.experiment import Experiment
from genjax.training.run import Run

LOG2 = np.log(2.0)


@dataclasses.dataclass(frozen=True)
class Entropy:
    """Bits a token beside the chain's own, and the n-grams of samples against those of fresh sequences."""

    samples: int = field(2000, "sequences whose n-grams are counted; 0 = none")
    order: int = field(2, "tokens of an n-gram")
    target: float = field(0.01, "share of the entropy that the model may be above it")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data whose law is not known."""
        at_least(0, finish__Entropy__samples=self.samples)
        at_least(1, finish__Entropy__order=self.order)
        if not hasattr(exp.data, "law"):
            raise UserError(
                "--finish.Entropy needs data of a known law: use --data='Chain()' or 'HiddenChain()'."
            )
        if self.order > source.shape[0]:
            raise UserError(
                f"--finish.Entropy.order={self.order}: the sequences have {source.shape[0]} tokens: use fewer."
            )
        # what no test could be made of is told before training
        if self.samples and cells(self.samples, ngram_law(exp.data.law(), self.order)) < 2:
            raise UserError(
                f"--finish.Entropy.samples={self.samples} are too few for a chi-square of {self.order}-grams, whose "
                f"cells need {LEAST:g} each: use more samples, a lower order, or 0 samples."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        law = this.exp.data.law()
        x = np.asarray(this.source.test[this.spec.main])  # [N, T]
        length = x.shape[1]
        truth = -log_likelihood(law, x) / LOG2 / length  # [N] bits a token
        model = this.evaluate(this.source.test)["text"] / length
        ours, exact = of_mean(model), of_mean(truth)
        # of differences: the interval of either cost by itself is far wider
        excess = of_mean(model - truth)
        share = excess.value / exact.value
        result = {"bits": kept(ours), "entropy": kept(exact), "excess": kept(excess)}
        this.log.note(f"test: {told(ours)} bits a token, the chain's own law {told(exact)}")
        word = "within" if share <= self.target else "not within"
        this.log.note(
            f"KL(p || model) {excess.value:.4f} [{excess.low:.4f}, {excess.high:.4f}] bits a token, "
            f"{100 * share:.2f} % of the entropy: {word} {100 * self.target:g} %"
        )
        self._samples(this, law, result)
        this.log.result("entropy", result)
        return {"bits": ours.value, "entropy": exact.value, "excess": excess.value}

    def _samples(self, this: Run, law: Law, result: dict[str, Any]) -> None:
        """The n-grams of samples, and of as many fresh sequences of the chain, which says what chance does."""
        if not self.samples:
            return
        drawn = this.sample(self.samples)
        length = drawn.shape[1]
        # always the same, so that runs are held against the same fresh sequences
        rng = np.random.default_rng(1)
        p = ngram_law(law, self.order)
        fresh = draw(law, rng, self.samples, length)
        # what the chain gives them: samples that are too sure of themselves would have little of it
        own = -log_likelihood(law, np.asarray(drawn)) / LOG2 / length
        for name, rows in (("samples", np.asarray(drawn)), ("fresh", fresh)):
            # the last n tokens alone: n-grams of one sequence are not independent
            found: Fit = chi_square(rows[:, -self.order :], p)
            result[f"{self.order}-grams {name}"] = found._asdict()
            this.log.note(
                f"{self.order}-grams, {name}: chi-square {found.statistic:.1f} of {found.freedom} degrees, "
                f"p = {found.p:.3g}"
            )
        cost = of_mean(own)
        result["samples under the chain"] = kept(cost)
        this.log.note(f"samples cost {told(cost)} bits a token under the chain itself")


@dataclasses.dataclass(frozen=True)
class Infilling:
    """What masked diffusion says of hidden tokens beside the chain's exact conditional: KL(exact || model) a token."""

    share: float = field(0.5, "of the tokens that are hidden, each by itself")
    examples: int = field(500, "test sequences")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data whose law is not known, and for models that fill nothing in."""
        at_least(1, finish__Infilling__examples=self.examples)
        above(0, finish__Infilling__share=self.share)
        at_most(1, finish__Infilling__share=self.share)
        noise = getattr(exp.algorithm, "noise", None)
        if not hasattr(exp.data, "law") or not isinstance(noise, Masking):
            raise UserError(
                "--finish.Infilling needs a chain and a model of masks: use --data='Chain()' and "
                "--algorithm='MaskedDiffusion()'."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        law = this.exp.data.law()
        test = some(this.source.test, self.examples)
        x = np.asarray(test[this.spec.main])
        # always the same, so that all models fill in the same places
        rng = np.random.default_rng(0)
        known = rng.random(x.shape) >= self.share
        # the number behind the tokens is the mask
        z = np.where(known, x, this.spec.x.vocabulary).astype(np.int32)
        said = self._said(this, test, z)
        exact = conditional(law, x, known)  # [N, T, V]
        # KL(p || q) = -H(p) - sum p log q
        kl = -entropy(exact) - np.sum(exact * said, -1)  # [N, T]
        hidden = ~known
        excess = of_mean(_over(kl, hidden))
        # what the exact law pays itself: no model can pay less in the mean
        best = of_mean(_over(entropy(exact), hidden))
        this.log.note(
            f"infilling {100 * self.share:g} % hidden: {told(excess)} bits a token "
            f"above the exact conditional's {told(best)}"
        )
        this.log.result("infilling", {"excess": kept(excess), "entropy": kept(best)})
        return {"infilling excess": excess.value}

    def _said(self, this: Run, test: dict[str, Any], z: np.ndarray) -> np.ndarray:
        """log2 p of every token at every place, [N, T, V]."""
        cfg, spec = this.exp.algorithm, this.spec

        def fn(key: Array, state: State, batch: Batch) -> dict[str, Array]:
            cond = conditions.told(cfg.condition, batch, spec)
            # any time will do: a net of masks is not told it
            time = jnp.ones(len(batch["index"]))
            found = logits(averaged(state), batch[spec.main], time, cond, cfg, spec)
            return {"log": jax.nn.log_softmax(found) / LOG2}

        return this.evaluate({**test, spec.main: z}, fn)["log"]


@dataclasses.dataclass(frozen=True)
class Written:
    """Bits a character of held-out text, beside Kneser-Ney n-grams, xz and zstd; samples, and how much they copy.

    The n-grams are of the model's own tokens and begin anew with every window, as it does; the best of them is the bar.
    Compressors see the bytes, the training text before the test: what the test adds to the file is counted. Intervals,
    that of the difference too, are over documents where the data know them: windows of one are no independent draws.
    """

    orders: tuple[int, ...] = field((3, 5), "of the n-grams, in tokens")
    samples: int = field(64, "texts whose longest copied run is looked for; 0 = none")
    shown: int = field(8, "of these, texts that the report shows")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data that are no text."""
        at_least(0, finish__Written__samples=self.samples, finish__Written__shown=self.shown)
        if not self.orders:
            raise UserError("--finish.Written.orders=() leaves no n-grams: use (3, 5), say.")
        for order in self.orders:
            at_least(1, finish__Written__orders=order)
        # a chain has tokens too, but no text to be held against: that is Entropy's matter
        if not getattr(source.fields[source.main], "pieces", ()):
            raise UserError(
                "--finish.Written needs tokens that write text: use --data='Text()'."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        kind = this.spec.x
        train = np.asarray(this.source.train[this.spec.main])
        test = np.asarray(this.source.test[this.spec.main])
        text, held = (b"".join(kind.written(rows)) for rows in (train, test))
        counts = np.array([characters(row) for row in kind.written(test)])  # [N]
        signs = int(counts.sum())
        # what has no end counts the whole window, fillings too
        end = getattr(this.exp.algorithm, "end", None)
        costs = {"model": this.evaluate(this.source.test)["text"]}  # {name: bits [N]}
        # the n-grams pay for what the model pays for, and for no more
        rows, known = _trimmed(test, end), _trimmed(train, end)
        for order in self.orders:
            fitted = kneser_ney(known, kind.vocabulary, order)
            costs[f"Kneser-Ney {order}"] = fitted.bits(rows)
        document = _documents(this.source, len(test))
        documents = len(np.unique(document))
        # where the data know none, windows are all that there is to count
        what = "documents" if documents < len(test) else "windows"
        this.log.note(f"intervals count {documents} {what} of the test, {len(test)} windows")

        def of(bits: np.ndarray) -> Interval:
            return ratio(bits, counts, document)

        result: dict[str, Any] = {"documents": {"n": documents, "windows": len(test)}}
        for name, bits in costs.items():
            result[name] = kept(of(bits))
            this.log.note(f"{name}: {told(of(bits))} bits a character")
        result["model less Kneser-Ney"] = kept(_beside(this, costs, of))
        for name, packed in (("xz", _xz), ("zstd", _zstd())):
            if packed is None:
                this.log.note(f"{name} is not measured, it is not installed: {INSTALL}")
                continue
            # what it has learned from the training text is paid for there
            added = packed(text + held) - packed(text)
            result[name] = {"distance": 8.0 * added / signs}
            this.log.note(
                f"{name} behind the training text: {8.0 * added / signs:.3f} bits a character"
            )
        self._copied(this, text, test, result)
        this.log.result("written", result)
        return {"bits a character": result["model"]["distance"]}

    def _copied(self, this: Run, text: bytes, test: np.ndarray, result: dict[str, Any]) -> None:
        """The longest run of bytes that is in the training text too, of samples and of held-out text."""
        if not self.samples:
            return
        kind = this.spec.x
        drawn = np.asarray(this.sample(self.samples))
        held = some({"x": test}, self.samples)["x"]
        for name, rows in (("samples", drawn), ("held out", held)):
            # row by row: two samples behind each other make a run that neither has
            longest = [longest_copy(row, text) for row in kind.written(rows)]
            result[f"copied {name}"] = {"mean": float(np.mean(longest)), "most": max(longest)}
            this.log.note(
                f"longest run copied from training, {name}: mean {np.mean(longest):.1f}, most {max(longest)} bytes"
            )
        # in words: cells of grey, as the grid of a sequence is drawn, are read by nobody
        lines = kind.text(drawn[: self.shown])
        names = _asked(this, len(lines))
        if lines:
            this.log.result("texts", dict(zip(names, lines, strict=True)))


def _asked(this: Run, n: int) -> list[str]:
    """A name for each of the first n samples, with the label that it was asked for."""
    names = [f"sample {i}" for i in range(n)]
    if "label" not in this.algorithm.asks:
        return names
    labels = this.given(n)["label"]
    of = this.source.class_names
    return [f"{name}, {of[label]}" for name, label in zip(names, labels, strict=True)]


def _documents(source: Any, n: int) -> np.ndarray:
    """The document of each of n test windows; each window is its own where the data know none."""
    if source.groups is None:
        return np.arange(n)
    return source.groups["test"]


def _beside(
    this: Run, costs: dict[str, np.ndarray], of: Callable[[np.ndarray], Interval]
) -> Interval:
    """What the model costs less than the best n-grams, document by document, told whether it is below them.

    of: bits of windows [N] -> bits a character.
    """
    ours = costs["model"]
    others = {name: cost for name, cost in costs.items() if name != "model"}
    # chosen on the test text, which can only make it better
    best = min(others, key=lambda name: others[name].mean())
    # of differences: documents that are hard are hard for both
    less = of(ours - others[best])
    # of a single document nothing is known: no end is below 0
    word = "below" if less.high < 0.0 else "not below"
    this.log.note(f"model less {best}: {told(less)} bits a character: {word} it")
    return less


def _xz(data: bytes) -> int:
    """Bytes of a file of xz."""
    return len(lzma.compress(data, preset=9))


def _zstd() -> Callable[[bytes], int] | None:
    """Bytes of a file of zstd -19; None where its package is not installed."""
    try:
        import zstandard
    except ImportError:
        return None
    coder = zstandard.ZstdCompressor(level=19)
    return lambda data: len(coder.compress(data))


def _trimmed(x: np.ndarray, end: int | None) -> list[np.ndarray]:
    """Each text up to its first end, that one included: what is counted of a model that ends."""
    rows = []
    for row in x:
        ends = np.flatnonzero(row == end) if end is not None else []
        rows.append(row[: ends[0] + 1] if len(ends) else row)
    return rows


def longest_copy(text: bytes, source: bytes) -> int:
    """Bytes of the longest run of `text` that is in `source`."""
    longest = 0
    for start in range(len(text)):
        # only what would be longer is looked for
        while start + longest < len(text) and text[start : start + longest + 1] in source:
            longest += 1
    return longest


def _over(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The mean of each row over its places, of rows that have any: tokens of one row are not independent."""
    # a row with nothing hidden has no mean
    rows = places.any(1)
    total = (values * places).sum(1)
    return total[rows] / places.sum(1)[rows]


def ngram_law(law: Law, order: int) -> np.ndarray:
    """The exact probability of every n-gram, [V^n], the first token counting most."""
    # [prefixes, S]: of a prefix and the state that comes next
    ahead = law.start[None]
    for _ in range(order):
        joint = ahead[:, None] * law.emit.T[None]  # [prefixes, V, S]
        ahead = joint.reshape(-1, len(law.start)) @ law.move
    return ahead.sum(-1)
