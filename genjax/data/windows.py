"""Texts in parts that share no document: for generators, for detectors to learn from, for thresholds, for the test.

A detector of generated text is fooled by the easiest of clues. A generator that has read a text writes its words again,
so that real texts it has read look generated; and a detector that has read a document knows its neighbours. Windows are
whole, so that no filling tells a real text from one that is written to the end.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from genjax.config import Own, field
from genjax.data.alphabets import BYTES, Bytes
from genjax.data.batches import chosen
from genjax.data.chains import Chain, HiddenChain, Law, draw
from genjax.data.source import Source
from genjax.data.text import Docstrings, Document, Files, Licences, Topics
from genjax.errors import UserError, above, at_least
from genjax.fields import Tokens

# what generators learn from, detectors learn from, thresholds are set on, all is measured on
PARTS = ("model", "fit", "held", "test")
STREAM = 10  # of a chain's draws, behind those of its own splits


class Part(NamedTuple):
    """Texts of one length, and whom they are of: those of one document are no independent draws."""

    tokens: np.ndarray  # int32 [N, T]
    group: np.ndarray  # [N]

    def pieces(self, length: int) -> Part:
        """All whole pieces of this length, one behind the other; what is left of a text is left out."""
        n, whole = self.tokens.shape
        each = whole // length
        # rows of one text stay together and in order
        cut = self.tokens[:, : each * length]
        return Part(cut.reshape(n * each, length), np.repeat(self.group, each))


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of running text in bytes; each document is in one part as a whole."""

    corpus: Topics | Docstrings | Licences | Files | Own = field(
        Topics(), "where the text is from"
    )
    length: int = field(1000, "bytes of a window")
    # 1 % of false alarms can be promised by 99 texts or more
    shares: tuple[float, ...] = field(
        (0.35, 0.15, 0.3, 0.2),
        "of the windows: for generators, for detectors, for thresholds, for the test",
    )
    most: int = field(0, "windows of a part, a draw that is always the same; 0 = all")

    def parts(self) -> dict[str, Part]:
        """{part: its windows}; UserError for a corpus that leaves one without."""
        at_least(1, data__length=self.length)
        at_least(0, data__most=self.most)
        if len(self.shares) != len(PARTS):
            raise UserError(
                f"--data.shares={self.shares}: give one for each of {', '.join(PARTS)}."
            )
        above(0, data__shares=min(self.shares))
        found: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
        groups: dict[str, list[int]] = {name: [] for name in PARTS}
        for number, (name, windows) in enumerate(self._placed()):
            found[name].append(windows)
            groups[name] += [number] * len(windows)
        for name in PARTS:
            if not found[name]:
                raise UserError(
                    f"--data.length={self.length}: the corpus has too few documents of that length, and none for the "
                    f"part {name!r}: use shorter windows, or more text."
                )
        parts = {}
        for name in PARTS:
            whole = Part(np.concatenate(found[name]), np.array(groups[name]))
            n = len(whole.group)
            rows = chosen(min(self.most or n, n), n)
            parts[name] = Part(whole.tokens[rows], whole.group[rows])
        return parts

    def _placed(self) -> list[tuple[str, np.ndarray]]:
        """(part, windows [n, length]) of each document that has any: the largest first, to where most is lacking."""
        documents = [_windows(document, self.length) for document in self.corpus()]
        some = [windows for windows in documents if len(windows)]
        # a stable order: among equals that of the corpus
        some.sort(key=len, reverse=True)
        total = sum(map(len, some))
        # of each part, what it still needs
        lacking = np.array(self.shares) / sum(self.shares) * total
        placed = []
        for windows in some:
            part = int(np.argmax(lacking))
            lacking[part] -= len(windows)
            placed.append((PARTS[part], windows))
        return placed

    def load(self) -> Source:
        """What a generator learns from; its test is what detectors learn from, never what they are tested on."""
        parts = self.parts()
        kind = Tokens(self.length, BYTES, pieces=Bytes()([]).letters)
        name = f"{type(self.corpus).__name__.lower()} windows"
        # nothing is chosen by looking at held-out texts: a run is as long as it is asked to be
        none = np.zeros((0, self.length), np.int32)
        splits = {"train": parts["model"].tokens, "valid": none, "test": parts["fit"].tokens}
        arrays = {split: {"tokens": tokens} for split, tokens in splits.items()}
        return Source(name, {"tokens": kind}, **arrays)


def _windows(document: Document, length: int) -> np.ndarray:
    """The whole windows of a document, int32 [n, length]; UserError for a byte that stands for the end of a text."""
    text = document.text
    if b"\0" in text:
        raise UserError(
            f"the text {document.key!r} is no text: byte {text.index(0)} is 0x00: leave it out."
        )
    # what is left behind the last whole window is left out
    n = len(text) // length
    whole = np.frombuffer(text[: n * length], np.uint8)
    return whole.astype(np.int32).reshape(n, length)


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sequences of a chain in the same parts: the law of real texts is known, and so is the best test."""

    chain: Chain | HiddenChain = field(Chain(), "the law of real texts")
    fit: int = field(1000, "for detectors")
    held: int = field(500, "for thresholds")
    test: int = field(1000, "for the test")

    @property
    def length(self) -> int:
        """Tokens of a text."""
        return self.chain.length

    def law(self) -> Law:
        """Of the chain."""
        return self.chain.law()

    def parts(self) -> dict[str, Part]:
        """{part: its sequences}, each independent of all others; generators learn from the chain's own splits."""
        at_least(1, data__fit=self.fit, data__held=self.held, data__test=self.test)
        law = self.law()
        sizes = {"fit": self.fit, "held": self.held, "test": self.test}
        found = {}
        for i, (name, n) in enumerate(sizes.items()):
            # a stream of its own: the size of one part leaves the others as they are
            key = [self.chain.seed, STREAM + i]
            rng = np.random.Generator(np.random.Philox(key=key))
            found[name] = Part(draw(law, rng, n, self.length), np.arange(n))
        return found

    def load(self) -> Source:
        """What a generator learns from: the chain's own splits."""
        return self.chain.load()
