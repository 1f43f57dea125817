"""Signs of Unicode as vendors draw them, with their names in four languages as sentences: `SpokenSigns`.

Held out of training are designs, as of all sets of signs, and combinations: a design that comes in skin tones is never
there in one of the five, its own by its hash; it is there in the others, and that tone with other designs. Where two
vendors have drawn a sign, one of the drawings of some signs is held out too: its name is in training, its picture not.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from genjax.config import field
from genjax.data import marked
from genjax.data.batches import Arrays
from genjax.data.emoji import Emoji
from genjax.data.forms import Single
from genjax.data.signs import GENDERS, OCCUPATIONS, TONE_CODES, TONES
from genjax.data.source import Source
from genjax.data.spoken import sentences
from genjax.data.spoken.sentences import Dice
from genjax.errors import UserError, at_least, at_most

DESIGN = ("design seen", "design unseen")  # in the place of wordings: a sign has one name
DRAWINGS = 8  # of so many signs one has a drawing that is held out
# fields of `Emoji` that are read of pictures, and what their values are
READ = {"tone": TONES, "gender": GENDERS, "occupation": OCCUPATIONS}
PLAIN = ("none", "person")  # values of which a name says nothing


@dataclasses.dataclass(frozen=True)
class SpokenSigns:
    """The signs of `Emoji`, each with its name in every language.

    In training each drawing comes once for each language; in the other splits once, in one of them. `together` is 1 of
    combinations that training has not, `wording` of designs, so of words, that it has not.
    """

    emoji: Emoji = field(
        Emoji(("noto", "twemoji"), tones=True), "the drawings, and the languages of their names"
    )
    seed: int = field(0, "seed of the languages of test names, independent of the run's seed")

    def load(self) -> Source:
        """{"image", "caption", "label" (the group of the sign), "sign" …}, see `spoken.sentences`.

        UserError as `Emoji` has them, for a form that is not single, and for names in no language.
        """
        self._check()
        with marked.flagged("", "emoji."):
            drawn = self.emoji.load()
        kinds = drawn.fields
        groups = kinds["label"].names
        length = kinds[f"caption_{self.emoji.languages[0]}"].length
        fields = {
            "image": kinds["image"],
            "label": kinds["label"],
            **sentences.fields(names(groups), self.emoji.languages, length, DESIGN),
            "sign": kinds["sign"],
        }
        codes, designs = kinds["sign"].names, kinds["design"].names
        new = np.array([never(designs[d], codes[c]) for d, c in _pairs(drawn.train)], bool)
        held = new | self._spare(drawn.train, codes)
        train = self._spoken(drawn.train, np.flatnonzero(~held), None, len(groups))
        # designs of training, in tones and by hands that it has not; then other designs
        own = self._spoken(drawn.train, np.flatnonzero(held), 0, len(groups))
        own["together"] = new[held].astype(np.int32)
        test = self._spoken(drawn.test, np.arange(len(drawn.test["sign"])), 1, len(groups))
        valid = self._spoken(drawn.valid, np.arange(len(drawn.valid["sign"])), 2, len(groups))
        # of these training has neither the words nor the drawings
        for strange in (test, valid):
            strange["wording"] = np.ones_like(strange["wording"])
            strange["said"] = said(strange["attributes"], known=False)
        test = {name: np.concatenate([own[name], test[name]]) for name in own}
        told = f"{new.sum()} test drawings show a design in a skin tone that training never has it in"
        return Source("spoken_signs", fields, train, valid, test, notes=(*drawn.notes, told))

    def _check(self) -> None:
        """Raises UserError for what no names can be told of."""
        sentences.check_languages(self.emoji.languages, "data.emoji.languages")
        at_least(0, data__seed=self.seed)
        # above, numpy rounds a seed, and several draw the same
        at_most(2**63 - 1, data__seed=self.seed)
        if not isinstance(self.emoji.form, Single):
            raise UserError(
                "--data.emoji.form: a name tells of one drawing, and pairs hold several: use Single()."
            )

    def _spare(self, split: Arrays, codes: Sequence[str]) -> np.ndarray:
        """Whether a drawing is held out whose sign another hand has drawn too, bool [N]."""
        hands = len(self.emoji.styles)
        if hands < 2:  # it would be a sign that training never has
            return np.zeros(len(split["sign"]), bool)
        number = np.array([_number(code) for code in codes], np.uint64)[split["sign"]]
        some = number % np.uint64(DRAWINGS) == 0
        whose = number // np.uint64(DRAWINGS) % np.uint64(hands)
        return some & (whose == np.asarray(split["style"]).astype(np.uint64))

    def _spoken(
        self, split: Arrays, rows: np.ndarray, stream: int | None, kinds: int
    ) -> Arrays:
        """The rows [K] of a split, in a language each that the stream draws; None: in every language."""
        languages = self.emoji.languages
        if stream is None:
            # the pictures of one language after those of another: training shuffles them
            language = np.repeat(np.arange(len(languages)), len(rows))
            rows = np.tile(rows, len(languages))
        else:
            language = Dice(self.seed, stream, len(rows)).below(len(languages))
        # of all languages, and of each row the one that is drawn
        every = [np.asarray(split[f"caption_{name}"]) for name in languages]
        captions = np.stack(every, 1)[rows, language]
        true = shown(split, kinds)[rows]
        none = np.zeros(len(rows), np.int32)
        return {
            "image": np.asarray(split["image"])[rows],
            "label": np.asarray(split["label"])[rows],
            "caption": captions,
            "attributes": true,
            "said": said(true),
            "language": language.astype(np.int32),
            "together": none,
            "wording": none,
            "sign": np.asarray(split["sign"])[rows],
        }


def names(groups: Sequence[str]) -> tuple[str, ...]:
    """The names of the attributes, "tone=dark" …; `kind` is the group of the sign."""
    found = [f"{name}={value}" for name, values in READ.items() for value in values]
    return (*found, *(f"kind={group}" for group in groups))


def shown(split: Arrays, kinds: int) -> np.ndarray:
    """What is true of each sign, uint8 [N, A] in the order of `names`; kinds: how many groups there are."""
    parts = []
    for name, values in READ.items():
        parts.append(np.eye(len(values), dtype=np.uint8)[np.asarray(split[name])])
    parts.append(np.eye(kinds, dtype=np.uint8)[np.asarray(split["label"])])
    return np.concatenate(parts, 1)


def said(true: np.ndarray, known: bool = True) -> np.ndarray:
    """What the name of each sign says, uint8 [N, A]: 1 at all values of a group that it says.

    The tone, the occupation, and that it is a woman or a man, where it is so; of a sign of which it says none of these
    what kind of thing it is. known=False: of designs that training has not, whose occupation no reader ever saw.
    """
    parts = []
    silent = np.ones(len(true), bool)
    first = 0
    for name, values in READ.items():
        own = true[:, first : first + len(values)]
        first += len(values)
        # "cook" says nothing of the gender, nor "thumbs up" of a tone
        plain = [number for number, value in enumerate(values) if value in PLAIN]
        told = own[:, plain].sum(1) == 0
        told &= known or name != "occupation"
        parts.append(np.tile(told[:, None], len(values)))
        silent &= ~told
    kinds = true.shape[1] - first
    parts.append(np.tile(silent[:, None], kinds))
    return np.concatenate(parts, 1).astype(np.uint8)


def never(design: str, code: str) -> bool:
    """Whether training never has a sign: its tone, or one of its tones, is the one that its design is held out in."""
    tones = tuple(TONE_CODES)
    return tones[_number(design) % len(tones)] in code.split("-")


def _pairs(split: Arrays) -> zip:
    """(design, sign) of each drawing, as numbers."""
    return zip(np.asarray(split["design"]), np.asarray(split["sign"]), strict=True)


def _number(key: str) -> int:
    """A whole number below 2^64 that a key alone gives: signs that are added later leave the others where they are."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
