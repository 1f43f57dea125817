"""Faces before and after a change that a sentence asks for: `InstructedHeads`.

`image` is the renderer's own picture of what is asked: the person, pose, expression, light and background of `input`,
in which one thing is changed, with all that follows from it. Thirty years more or less may take hair, or grey it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.batches import Arrays
from genjax.data.heads import People, Shots, draw_people, draw_shots, render, shapes, split_of
from genjax.data.heads.drawing import HAIRS
from genjax.data.heads.people import GROUP_YEARS, group
from genjax.data.heads.rendering import VERSION
from genjax.data.heads.sets import SPLITS, attributes
from genjax.data.source import Source, assemble
from genjax.data.spoken import sentences
from genjax.data.spoken.faces import COLUMN, shown
from genjax.data.spoken.instructions import EDITS, SEEN, instruction
from genjax.data.spoken.portraits import GROUPS, NAMES
from genjax.data.spoken.sentences import LANGUAGES, Dice
from genjax.errors import at_least, at_most
from genjax.fields import Attributes, Category, Image

YEARS = 30.0  # from a face to the older and the younger one
TURNED = 0.4  # of a face that looks to a side [radians]
SMILE = ("mouthSmileLeft", "mouthSmileRight")
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
DARK, LIGHT = HAIRS[1], HAIRS[4]
NEVER = 200.0  # years at which hair greys that is to have a colour
_AT_A_TIME = 50  # people whose pictures are in memory
_ORDERS, _WORDS = 2, 3  # streams of draws, behind those of other sets


@dataclasses.dataclass(frozen=True)
class InstructedHeads:
    """Faces of `Heads`, `input`, with a sentence on what to change, `caption`, and the renderer's answer, `image`.

    Splits are by person. Of a face only what it has not is asked for. Half of the test sentences are of wordings that
    training has not. `attributes` are those of the answer, `before` those of the input, `said` is 1 at what is asked.
    """

    size: int = field(32, "side of the pictures [pixels]")
    people: int = field(2000, "people, in all splits")
    shots: int = field(6, "pairs of each: all ages, poses, expressions and lights")
    languages: tuple[str, ...] = field(LANGUAGES, "of the sentences, all alike in chance")
    length: int = field(80, "bytes of a sentence; longer ones are cut between two characters")
    seed: int = field(0, "seed of people, shots and sentences, independent of the run's seed")

    def load(self) -> Source:
        """From the cache, else rendered, about two minutes; UserError for sizes that are too small, and languages."""
        self._check()
        request = {"size": self.size, "people": self.people, "shots": self.shots}
        # another renderer makes other bytes of the same numbers
        request |= {"seed": self.seed, "renderer": VERSION}

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            shapes.model()  # its errors before anything is written
            splits = {split: lambda split=split: self.rows(split) for split in SPLITS}
            return builders.rows(directory, self.fields(), splits)

        mark = f"{shapes.CRC:08x}"
        faces = assemble("heads", "instructed", request, mark, prepare, 0, False)
        parts, cut = {}, 0
        for stream, (name, split) in enumerate(faces.splits().items()):
            parts[name], short = self._told(split, stream, name == "train")
            cut += short
        kinds = sentences.fields(NAMES, self.languages, self.length)
        told = {name: kinds[name] for name in ("caption", "said", "language", "wording")}
        notes = (f"cut {cut} sentences of more than {self.length} bytes",) if cut else ()
        fields = {**self.fields(), **told}
        return Source("instructed_heads", fields, **parts, notes=notes)

    def _check(self) -> None:
        sentences.check_languages(self.languages)
        at_least(8, data__size=self.size)
        at_least(3, data__people=self.people)  # one for each split
        at_least(1, data__shots=self.shots, data__length=self.length)
        at_least(0, data__seed=self.seed)
        # above, numpy rounds a seed, and several draw the same
        at_most(2**63 - 1, data__seed=self.seed)

    def fields(self) -> dict[str, Any]:
        """What is rendered, and known of it."""
        picture = Image((self.size, self.size, 3))
        return {
            "image": picture,
            "label": Category(len(GROUPS["age"]), GROUPS["age"]),  # of the answer
            "input": picture,
            "attributes": Attributes(NAMES),
            "before": Attributes(NAMES),
            "edit": Category(len(EDITS), tuple(EDITS)),
            "person": Category(self.people),
        }

    def rows(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """The pairs of a split, person by person, rendered as they are asked for."""
        numbers = np.arange(self.people)
        # by person, so that nobody is in two splits
        own = numbers[split_of(numbers) == SPLITS.index(split)]
        for first in range(0, len(own), _AT_A_TIME):
            some = own[first : first + _AT_A_TIME]
            people = draw_people(self.seed, some)
            columns = self.pairs(people, draw_shots(self.seed, people, self.shots))
            for i in range(len(columns["edit"])):
                yield {name: column[i] for name, column in columns.items()}

    def pairs(self, people: People, shots: Shots) -> dict[str, np.ndarray]:
        """The rendered fields of any people and shots, one of the changes that are possible for each shot."""
        # a person for each shot: hair is the person's, and is changed in one picture alone
        people = People(*(column[shots.person] for column in people))
        shots = shots._replace(person=np.arange(len(shots.person)))
        before = facts(people, shots)
        answers = {edit: changed(people, shots, edit) for edit in EDITS}
        known = {edit: facts(*answer) for edit, answer in answers.items()}
        can = np.stack(
            [possible(edit, shots, before, known[edit]) for edit in EDITS], 1
        )  # [M, E]
        edit = self._chosen(people, can)
        after = _picked(list(answers.values()), edit)
        return {
            "image": render(*after, self.size).image,
            "label": group(after[1].years),
            "input": render(people, shots, self.size).image,
            "attributes": facts(*after),
            "before": before,
            "edit": edit.astype(np.int32),
            "person": people.number.astype(np.int32),
        }

    def _chosen(self, people: People, can: np.ndarray) -> np.ndarray:
        """A change [M] for each shot, of those that are possible [M, E] each alike in chance."""
        found = np.zeros(len(can), np.int64)
        # a person's draws depend on nobody else
        for number in np.unique(people.number):
            rows = np.flatnonzero(people.number == number)
            dice = Dice(self.seed, 2**32 * _ORDERS + int(number), len(rows))
            rank = dice.below(can[rows].sum(1))
            # the change before which so many others are possible
            found[rows] = np.argmax(np.cumsum(can[rows], 1) > rank[:, None], 1)
        return found

    def _told(self, faces: Arrays, stream: int, training: bool) -> tuple[Arrays, int]:
        """(a split of faces with a sentence each, how many sentences were cut)."""
        edit = np.asarray(faces["edit"])
        dice = Dice(self.seed, 2**32 * _WORDS + stream, len(edit))
        language = dice.below(len(self.languages))
        wording = dice.below(SEEN)
        fresh = np.zeros(len(edit), np.int64) if training else dice.below(2)
        # one wording of each is held out
        wording = np.where(fresh, SEEN, wording)
        male = np.asarray(faces["attributes"])[:, COLUMN["sex=male"]]
        edits = tuple(EDITS)
        said = np.zeros((len(edit), len(NAMES)), np.uint8)
        lines = []
        for i in range(len(edit)):
            name = edits[edit[i]]
            own, _ = EDITS[name]
            said[i, [COLUMN[f"{own}={value}"] for value in GROUPS[own]]] = 1
            tongue = self.languages[language[i]]
            lines.append(instruction(tongue, name, int(wording[i]), bool(male[i])))
        caption, cut = sentences.written(lines, self.length)
        told = {
            "caption": caption,
            "said": said,
            "language": language.astype(np.int32),
            "wording": fresh.astype(np.int32),
        }
        return {**{name: np.asarray(column) for name, column in faces.items()}, **told}, cut


def facts(people: People, shots: Shots) -> np.ndarray:
    """What is true of each shot, uint8 [M, A] in the order of `portraits.NAMES`; nothing is rendered."""
    return shown(
        {
            "attributes": attributes(people, shots),
            "pose": np.stack([shots.yaw, shots.pitch], 1),
            "label": group(shots.years),
        }
    )


def changed(people: People, shots: Shots, edit: str) -> tuple[People, Shots]:
    """People, one for each shot, and shots after a change of `EDITS`, whether or not it is possible for them."""
    ones = np.ones_like(shots.years)
    first, last = GROUP_YEARS[0], GROUP_YEARS[-1]
    if edit in ("older", "younger"):
        way = 1.0 if edit == "older" else -1.0
        years = np.clip(shots.years + way * YEARS, first, last)
        return people, shots._replace(years=years.astype(np.float32))
    if edit in ("left", "front", "right"):
        way = {"left": -1.0, "front": 0.0, "right": 1.0}[edit]
        return people, shots._replace(yaw=way * TURNED * ones)
    if edit in ("smile", "serious"):
        return people, _moved(shots, SMILE, 0.9 if edit == "smile" else 0.0)
    if edit in ("closed", "open"):
        return people, _moved(shots, BLINK, 1.0 if edit == "closed" else 0.0)
    if edit in ("long", "short"):
        return people._replace(long=(0.9 if edit == "long" else 0.0) * ones), shots
    # a colour of hair, which then greys no more
    colour = np.tile(DARK if edit == "dark" else LIGHT, (len(ones), 1))
    return people._replace(hair=colour, greying=NEVER * ones), shots


def possible(edit: str, shots: Shots, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Whether a change of attributes [M, A] is one that can be asked for and seen: bool [M]."""
    own, value = EDITS[edit]
    columns = [COLUMN[f"{own}={each}"] for each in GROUPS[own]]
    was, becomes = before[:, columns].argmax(1), after[:, columns].argmax(1)
    if value:  # the picture after has what is asked for, and the one before has not
        return (was != becomes) & (becomes == GROUPS[own].index(value))
    # all of the years, and another age to be read
    way = YEARS if edit == "older" else -YEARS
    asked = shots.years + way
    return (was != becomes) & (asked >= GROUP_YEARS[0]) & (asked <= GROUP_YEARS[-1])


def _moved(shots: Shots, names: tuple[str, ...], much: float) -> Shots:
    """The shots with some of the face's movements set."""
    known = shapes.model().expressions
    expression = shots.expression.copy()
    expression[:, [known.index(name) for name in names]] = much
    return shots._replace(expression=expression)


def _picked(answers: list[tuple[People, Shots]], edit: np.ndarray) -> tuple[People, Shots]:
    """Row i of answer edit[i], for all rows [M]."""
    rows = np.arange(len(edit))
    people = [each for each, _ in answers]
    shots = [each for _, each in answers]
    picked = []
    for kind, several in ((People, people), (Shots, shots)):
        columns = [np.stack(column)[edit, rows] for column in zip(*several, strict=True)]
        picked.append(kind(*columns))
    return picked[0], picked[1]
