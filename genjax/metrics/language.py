"""Which class a text is of, by naive Bayes over runs of its bytes: short, without settings, hard to beat on names.

    log p(c | text) = log p(c) + sum over runs g in the text of log p(g | c) + const,  p(g | c) = (n_cg + 1) / (n_c + V)

Runs of one to three bytes (Cavnar & Trenkle 1994 tell languages by such runs); what training never had says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

LONGEST = 3  # bytes of a run


class NaiveBayes(NamedTuple):
    """What texts of K classes were made of."""

    prior: np.ndarray  # log p(c), [K]
    runs: dict[bytes, np.ndarray]  # log p(g | c), [K] of each

    def scores(self, text: bytes) -> np.ndarray:
        """log p(c, text) but for a constant, [K]."""
        total = self.prior.copy()
        for run in _runs(text):
            said = self.runs.get(run)
            if said is not None:
                total += said
        return total

    def read(self, texts: Sequence[bytes]) -> np.ndarray:
        """The likeliest class of each text, int [N]; of equal ones the first."""
        return np.array([self.scores(text).argmax() for text in texts], int)


def _runs(text: bytes) -> Iterator[bytes]:
    """All runs of a text, those at its ends with a byte that is in no text."""
    # names of one word differ in how they begin and end
    whole = b"\0" + text + b"\0"
    for size in range(1, LONGEST + 1):
        for start in range(len(whole) - size + 1):
            yield whole[start : start + size]


def naive_bayes(texts: Sequence[bytes], labels: np.ndarray, classes: int) -> NaiveBayes:
    """Learns from texts and their classes [N] in 0 to `classes` - 1; ValueError where a class has no text."""
    examples = np.bincount(labels, minlength=classes)
    if not examples.all():
        raise ValueError(f"class {examples.argmin()} of {classes} has no text")
    counts: list[Counter[bytes]] = [Counter() for _ in range(classes)]
    for text, label in zip(texts, labels, strict=True):
        counts[label].update(_runs(text))
    names = sorted(set().union(*counts))
    # one more of each run, so that none is impossible
    totals = np.array([count.total() for count in counts]) + len(names)
    runs = {}
    for name in names:
        seen = np.array([count[name] for count in counts]) + 1.0
        runs[name] = np.log(seen / totals)
    prior = np.log(examples / examples.sum())
    return NaiveBayes(prior, runs)
