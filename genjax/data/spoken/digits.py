"""Two of scikit-learn's digits in a picture, with a sentence on which is where: `DigitPairs`.

Held out of training: the pairs {a, a + 3 mod 10}, in both orders and both layouts. They are 10 of the 45 pairs of
unlike digits, and every digit is in two of them: it is seen with the seven others and with itself, in both places.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from genjax.config import field
from genjax.data.batches import Arrays
from genjax.data.source import Digits, Source, hold_out
from genjax.data.spoken import sentences
from genjax.data.spoken.relations import SENTENCES, sentence
from genjax.data.spoken.sentences import LANGUAGES, Dice, Sentences
from genjax.errors import at_least, at_most
from genjax.fields import Category, Image

APART = 3  # digits so far apart, in the ring of ten, are never in one picture of training
LAYOUTS = ("across", "down")
SIDE = 16  # of a picture [pixels]
_HALF = SIDE // 2
_WAVER = 2  # how far a digit may be off the middle of its half [pixels]

NAMES = (
    *(f"first={n}" for n in range(10)),
    *(f"second={n}" for n in range(10)),
    *(f"layout={name}" for name in LAYOUTS),
)


def held_out(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether two digits are never together in training, bool."""
    apart = (np.asarray(first) - np.asarray(second)) % 10
    return (apart == APART) | (apart == 10 - APART)


@dataclasses.dataclass(frozen=True)
class DigitPairs:
    """Two digits 8x8 in a picture 16x16, side by side or one above the other, and a sentence on them.

    The training digits of `Digits` are in the training pictures and its test digits in the test pictures. Half of the
    test pairs are of combinations that training has not, half of the test sentences of wordings that it has not.
    """

    languages: tuple[str, ...] = field(LANGUAGES, "of the sentences, all alike in chance")
    length: int = field(96, "bytes of a sentence; longer ones are cut between two characters")
    train: int = field(20_000, "training pictures")
    test: int = field(2000, "test pictures")
    valid: int = field(0, "training pictures held out for validation, from the tail")
    seed: int = field(0, "seed of the pairs, independent of the run's seed")

    def load(self) -> Source:
        """{"image": uint8 [N, 16, 16, 1], "caption", "label" (the layout) …}, see `spoken.sentences`.

        UserError for a language that there is not, and sizes below 1.
        """
        sentences.check_languages(self.languages)
        at_least(1, data__train=self.train, data__test=self.test, data__length=self.length)
        at_least(0, data__seed=self.seed)
        # above, numpy rounds a seed, and several draw the same
        at_most(2**63 - 1, data__seed=self.seed)
        single = Digits().load()
        # streams of their own: the size of one split leaves the other as it is
        train, cut = self._drawn(single.train, 0, self.train, unseen=False)
        test, more = self._drawn(single.test, 1, self.test, unseen=True)
        train, valid = hold_out(train, self.valid)
        fields = {
            "image": Image((SIDE, SIDE, 1)),
            "label": Category(len(LAYOUTS), LAYOUTS),
            **sentences.fields(NAMES, self.languages, self.length),
        }
        notes = ("pairs of digits 3 apart in the ring of ten are in no training picture",)
        if cut + more:
            notes += (f"cut {cut + more} sentences of more than {self.length} bytes",)
        return Source("digit_pairs", fields, train, valid, test, notes=notes)

    def _drawn(self, single: Arrays, stream: int, n: int, unseen: bool) -> tuple[Arrays, int]:
        """(n pictures of a split of single digits, how many sentences were cut)."""
        dice = Dice(self.seed, stream, n)
        together = dice.below(2) if unseen else np.zeros(n, np.int64)
        first = dice.below(10)
        second = _partner(dice, first, together)
        layout = dice.below(2)
        image = _pictures(dice, single, (first, second), layout)
        told = self._told(dice, (first, second), layout, unseen)
        rows = np.arange(n)
        # one of each group is true: columns in the order of NAMES
        known = np.zeros((n, len(NAMES)), np.uint8)
        for column in (first, 10 + second, 20 + layout):
            known[rows, column] = 1
        arrays = {
            "image": image,
            "label": layout.astype(np.int32),
            "caption": told.caption,
            "attributes": known,
            "said": np.ones((n, len(NAMES)), np.uint8),  # every sentence says all
            "language": told.language,
            "together": together.astype(np.int32),
            "wording": told.wording,
        }
        return arrays, told.cut

    def _told(
        self, dice: Dice, pair: tuple[np.ndarray, np.ndarray], layout: np.ndarray, unseen: bool
    ) -> Sentences:
        """A sentence for each picture, each language and each of its wordings alike in chance."""
        language = dice.below(len(self.languages))
        of_second = dice.below(2)
        fresh = dice.below(2) if unseen else np.zeros(dice.n, np.int64)
        known = [SENTENCES[name] for name in self.languages]
        seen = np.array([len(words.seen) for words in known])[language]
        more = np.array([len(words.unseen) for words in known])[language]
        wording = np.where(fresh, seen + dice.below(more), dice.below(seen))
        lines = []
        # the columns are the arguments of `sentence`, but for the language
        for row in zip(language, wording, layout, *pair, of_second, strict=True):
            number, *rest = map(int, row)
            lines.append(sentence(self.languages[number], *rest))
        caption, cut = sentences.written(lines, self.length)
        return Sentences(caption, language.astype(np.int32), fresh.astype(np.int32), cut)


def _partner(dice: Dice, first: np.ndarray, together: np.ndarray) -> np.ndarray:
    """The second digit [N]: one of the two that training has not beside the first, or one of the other eight."""
    ring = np.arange(10)
    strange = held_out(0, ring)
    of_seen = ring[~strange][dice.below(8)]
    of_unseen = ring[strange][dice.below(2)]
    return (first + np.where(together, of_unseen, of_seen)) % 10


def _pictures(
    dice: Dice, single: Arrays, pair: tuple[np.ndarray, np.ndarray], layout: np.ndarray
) -> np.ndarray:
    """The pictures uint8 [N, 16, 16, 1]: each digit fills half of the one axis, and wavers along the other."""
    image, label = np.asarray(single["image"]), np.asarray(single["label"])
    canvas = np.zeros((dice.n, SIDE, SIDE, 1), np.uint8)
    # the first is at the left or at the top
    for place, digit in enumerate(pair):
        glyph = image[_of_class(dice, label, digit)]
        middle = (SIDE - _HALF) // 2
        off = middle - _WAVER + dice.below(2 * _WAVER + 1)
        top = np.where(layout == 0, off, place * _HALF)
        left = np.where(layout == 0, place * _HALF, off)
        for i in range(dice.n):
            rows, columns = slice(top[i], top[i] + _HALF), slice(left[i], left[i] + _HALF)
            canvas[i, rows, columns] = glyph[i]
    return canvas


def _of_class(dice: Dice, label: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """A row of the single digits for each number [N]."""
    # sorted by class, a class is a stretch of rows
    order = np.argsort(label, kind="stable")
    count = np.bincount(label, minlength=10)
    start = np.cumsum(count) - count
    return order[start[digit] + dice.below(count[digit])]
