"""Rendered faces with sentences on what is seen of them: `SpokenHeads`.

Held out of training are four pairs of values, `portraits.APART`: no picture has both, whatever its sentence says, and
each value is there with all others. A test sentence on such a picture says both.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from genjax.config import field
from genjax.data.batches import Arrays
from genjax.data.heads.sets import ATTRIBUTES, Heads
from genjax.data.source import Source
from genjax.data.spoken import sentences
from genjax.data.spoken.portraits import APART, GROUPS, NAMES, ORDERS, SENTENCES, sentence
from genjax.data.spoken.sentences import LANGUAGES, Dice, Sentences
from genjax.errors import at_least

ASIDE = 0.15  # a face that is turned further looks to a side [radians]
BARE = 28.0  # years from which some men have lost hair, of whose length nothing is said
# of ten pictures, in how many sentences a group is said; what is not said is anything
SAID = {"sex": 10, "age": 10, "hair": 6, "length": 6, "mood": 8, "eyes": 8, "side": 7}
COLUMN = {name: column for column, name in enumerate(NAMES)}


@dataclasses.dataclass(frozen=True)
class SpokenHeads:
    """The faces of `Heads`, 32x32 by default, each with a sentence in every language.

    In training each picture comes once for each language; in the other splits once, in one of them. Half of the test
    sentences are of wordings that training has not.
    """

    heads: Heads = field(Heads(), "the faces, split by person")
    languages: tuple[str, ...] = field(LANGUAGES, "of the sentences")
    length: int = field(192, "bytes of a sentence; longer ones are cut between two characters")
    seed: int = field(0, "seed of the sentences, independent of the run's seed")

    def load(self) -> Source:
        """{"image", "caption", "label" (age group), …}, see `spoken.sentences`; UserError as `Heads` has them."""
        sentences.check_languages(self.languages)
        at_least(1, data__length=self.length)
        at_least(0, data__seed=self.seed)
        faces = self.heads.load()
        splits, cut = {}, 0
        # a stream of draws for each split: one does not move the others
        for stream, (name, split) in enumerate(faces.splits().items()):
            splits[name], short = self._spoken(split, stream, name == "train")
            cut += short
        kinds = faces.fields
        fields = {
            "image": kinds["image"],
            "label": kinds["label"],
            **sentences.fields(NAMES, self.languages, self.length),
        }
        never = "; ".join(" with ".join(pair) for pair in APART)
        notes = (*faces.notes, f"never together in training: {never}")
        if cut:
            notes += (f"cut {cut} sentences of more than {self.length} bytes",)
        return Source("spoken_heads", fields, **splits, notes=notes)

    def _spoken(self, faces: Arrays, stream: int, training: bool) -> tuple[Arrays, int]:
        """(the rows of a split of faces, how many sentences were cut)."""
        true = shown(faces)
        apart = together(true)
        rows = np.arange(len(true))
        if training:
            # the pictures of one language after those of another: training shuffles them
            rows = np.tile(rows[apart == 0], len(self.languages))
        dice = Dice(self.seed, stream, len(rows))
        true, apart = true[rows], apart[rows]
        said = _said(dice, true, np.asarray(faces["age"])[rows, 0], apart)
        told = self._told(dice, true, said, training)
        return {
            "image": np.asarray(faces["image"])[rows],
            "label": np.asarray(faces["label"])[rows],
            "caption": told.caption,
            "attributes": true,
            "said": said,
            "language": told.language,
            "together": apart,
            "wording": told.wording,
        }, told.cut

    def _told(
        self, dice: Dice, true: np.ndarray, said: np.ndarray, training: bool
    ) -> Sentences:
        """A sentence for each row: in training the languages one after the other, else drawn."""
        count = len(self.languages)
        language = dice.below(count)
        if training:
            language = np.repeat(np.arange(count), dice.n // count)
        known = [SENTENCES[name] for name in self.languages]
        seen = np.array([len(words.seen) for words in known])[language]
        more = np.array([len(words.unseen) for words in known])[language]
        fresh = np.zeros(dice.n, np.int64) if training else dice.below(2)
        wording = np.where(fresh, seen + dice.below(more), dice.below(seen))
        order = dice.below(ORDERS)
        lines = []
        for i in range(dice.n):
            # what is true and said
            facts = facts_of(true[i] & said[i])
            name = self.languages[language[i]]
            lines.append(sentence(name, int(wording[i]), facts, int(order[i])))
        caption, cut = sentences.written(lines, self.length)
        return Sentences(caption, language.astype(np.int32), fresh.astype(np.int32), cut)


def shown(faces: Arrays) -> np.ndarray:
    """What is true of each face, uint8 [N, A] in the order of NAMES."""
    answers = np.asarray(faces["attributes"]) > 0
    answer = {name: answers[:, i] for i, name in enumerate(ATTRIBUTES)}
    yaw = np.asarray(faces["pose"])[:, 0]
    # values are numbers in the order of GROUPS
    # grey hair may be as light as fair hair: it is grey
    hair = np.where(answer["grey hair"], 1, np.where(answer["dark hair"], 0, 2))
    side = np.where(yaw < -ASIDE, 0, np.where(yaw > ASIDE, 2, 1))
    values = {
        "sex": ~answer["female"],
        "age": np.asarray(faces["label"]),
        "hair": hair,
        "length": ~answer["long hair"],
        "mood": ~answer["smiling"],
        "eyes": ~answer["eyes closed"],
        "side": side,
    }
    parts = [
        np.eye(len(GROUPS[group]), dtype=np.uint8)[np.int64(values[group])] for group in GROUPS
    ]
    return np.concatenate(parts, 1)


def together(true: np.ndarray) -> np.ndarray:
    """1 where a face [N, A] has both values of a pair that is never in training, int32 [N]."""
    found = np.zeros(len(true), bool)
    for one, other in APART:
        found |= (true[:, COLUMN[one]] & true[:, COLUMN[other]]) > 0
    return found.astype(np.int32)


def _said(dice: Dice, true: np.ndarray, years: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """What each sentence says, uint8 [N, A]: 1 at all values of a group that it says."""
    said = np.zeros_like(true)
    spoken = {group: dice.below(10) < often for group, often in SAID.items()}
    # only what is there is told of: that a face smiles not, or that its eyes are open, goes without saying
    spoken["mood"] &= true[:, COLUMN["mood=smiling"]] > 0
    spoken["eyes"] &= true[:, COLUMN["eyes=closed"]] > 0
    bare = (true[:, COLUMN["sex=male"]] > 0) & (years > BARE)
    spoken["length"] &= ~(bare & (true[:, COLUMN["length=short"]] > 0))
    # else the sentence would not ask for what training never had
    for pair in APART:
        both = (apart > 0) & (true[:, COLUMN[pair[0]]] & true[:, COLUMN[pair[1]]] > 0)
        for name in pair:
            spoken[name.partition("=")[0]] |= both
    for group, rows in spoken.items():
        for value in GROUPS[group]:
            said[:, COLUMN[f"{group}={value}"]] = rows
    return said


def facts_of(row: np.ndarray) -> dict[str, str]:
    """{group: value} of what is 1 in a row [A]."""
    names = [NAMES[column] for column in np.flatnonzero(row)]
    return dict(name.split("=") for name in names)
