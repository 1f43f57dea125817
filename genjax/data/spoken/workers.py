"""Faces at work: `Workers`, faces of `Heads` in a coat of their occupation, which is planted to go with sex as told.

An occupation is drawn for each person and shows in nothing but the colour of the coat, so that no face tells it. Of the
occupations k, with places s_k on a scale from 1 to -1 that sum to 0,

    P(woman | k) = (1 + bias s_k) / 2,    P(k | woman) = (1 + bias s_k) / K,    P(k | man) = (1 - bias s_k) / K,

so that bias is what the first and the last occupation differ by in their share of women, while half of all are women
and all occupations are alike in number. The occupations are names: nothing is said of those who have them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from genjax.config import field
from genjax.data.batches import Arrays
from genjax.data.heads.drawing import draw_people, rgb
from genjax.data.heads.people import GROUPS as AGES
from genjax.data.heads.sets import Heads
from genjax.data.source import Source
from genjax.data.spoken import sentences
from genjax.data.spoken.sentences import Dice, groups
from genjax.errors import at_least, at_most
from genjax.fields import Category

OCCUPATIONS = ("nurse", "teacher", "engineer", "builder")
SCALE = (1.0, 1.0 / 3.0, -1.0 / 3.0, -1.0)  # s_k
SEXES = ("woman", "man")
TONES = ("light", "medium", "dark")
VALUES = {"occupation": OCCUPATIONS, "sex": SEXES, "tone": TONES, "age": AGES}
NAMES = tuple(f"{group}={value}" for group, values in VALUES.items() for value in values)
COATS = rgb("f2f2f2", "3c8c3c", "2a4fa8", "e07818")
LUMA = np.array([0.299, 0.587, 0.114])  # of sRGB
BOUNDS = (0.60, 0.745)  # brightness of the skin: below the first it is dark
SHADE = 0.08  # how far the coats of one occupation differ
COAT = 6  # of 32 rows, at the foot
# of ten sentences, in how many a group is said; the occupation is in all
SAID = {"sex": 5, "tone": 3, "age": 5}
CERTAIN = 2**40  # sides of a die that is thrown for a probability
_WORK, _WORDS = 11, 12  # streams of bits


@dataclasses.dataclass(frozen=True)
class Workers:
    """Faces with `label` (occupation), `sex`, `tone`, `age` (group), `attributes` of them all, and a sentence."""

    size: int = field(32, "side of the pictures [pixels]")
    people: int = field(5000, "people, in all splits")
    shots: int = field(2, "pictures of each")
    bias: float = field(0.0, "share of women among nurses less that among builders, planted")
    length: int = field(64, "bytes of a sentence")
    seed: int = field(0, "seed of all, independent of the run's seed")

    def load(self) -> Source:
        """The faces of `Heads` with coats; UserError as `Heads`, and for a bias outside of -1 and 1."""
        at_least(-1.0, data__bias=self.bias)
        at_most(1.0, data__bias=self.bias)
        at_least(1, data__length=self.length)
        faces = Heads(self.size, self.people, self.shots, self.seed).load()
        known = self.known()
        splits = {}
        for stream, (name, split) in enumerate(faces.splits().items()):
            splits[name] = self._dressed(split, known, stream)
        fields = {
            "image": faces.fields["image"],
            "label": Category(len(OCCUPATIONS), OCCUPATIONS),
            "sex": Category(len(SEXES), SEXES),
            "tone": Category(len(TONES), TONES),
            "age": Category(len(AGES), AGES),
            "person": faces.fields["person"],
            **sentences.fields(NAMES, ("en",), self.length),
        }
        planted = f"women are {self.bias:g} more of the nurses than of the builders, as planted"
        return Source("workers", fields, **splits, notes=(*faces.notes, planted))

    def known(self) -> dict[str, np.ndarray]:
        """What is drawn of each person, by number: occupation, sex and tone, int [people]."""
        people = draw_people(self.seed, np.arange(self.people))
        man = people.male >= 0.5
        brightness = people.skin @ LUMA
        return {
            "occupation": self.work(man),
            "sex": man.astype(np.int32),
            # dark skin is the last of TONES
            "tone": (2 - np.digitize(brightness, BOUNDS)).astype(np.int32),
        }

    def work(self, man: np.ndarray) -> np.ndarray:
        """The occupation of each person, int32 [N]."""
        sign = np.where(man, -1.0, 1.0)[:, None]
        # P(k | sex), [N, K]
        odds = (1.0 + self.bias * sign * np.array(SCALE)) / len(SCALE)
        thrown = Dice(self.seed, _WORK, len(man)).below(CERTAIN) / CERTAIN
        passed = thrown[:, None] >= np.cumsum(odds, 1)
        # rounding may leave the sum of all odds below 1
        return passed[:, :-1].sum(1).astype(np.int32)

    def _dressed(self, faces: Arrays, known: dict[str, np.ndarray], stream: int) -> Arrays:
        """A split of faces, in coats and with sentences."""
        person = np.asarray(faces["person"])
        values = {name: column[person] for name, column in known.items()}
        values["age"] = np.asarray(faces["label"]).astype(np.int32)
        true = attributes(values)
        dice = Dice(self.seed, _WORDS + stream, len(person))
        image = dressed(np.asarray(faces["image"]), values["occupation"], person)
        said = _said(dice)
        lines = [sentence(*both) for both in zip(true, said, strict=True)]
        caption, _ = sentences.written(lines, self.length)
        nothing = np.zeros(len(person), np.int32)
        return {
            "image": image,
            "label": values["occupation"],
            "sex": values["sex"],
            "tone": values["tone"],
            "age": values["age"],
            "person": person,
            "caption": caption,
            "attributes": true,
            "said": said,
            # one language, and nothing that is held out of training
            "language": nothing,
            "together": nothing,
            "wording": nothing,
        }


def dressed(image: np.ndarray, occupation: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, H, W, 3] with the coat of an occupation [N] at their foot, a shade for each person [N]."""
    height = image.shape[1]
    rows = max(1, round(COAT * height / 32))
    # a shade that is the person's whatever the occupation, from -1 to 1
    place = (person * 0.6180339887) % 1.0
    shade = SHADE * (2.0 * place - 1.0)
    colour = (COATS[occupation] + shade[:, None]).clip(0, 1)  # [N, 3]
    found = image.copy()
    found[:, height - rows :] = np.rint(255 * colour)[:, None, None]
    return found


def attributes(values: dict[str, np.ndarray]) -> np.ndarray:
    """Numbers of values [N] by group as answers to NAMES, uint8 [N, A]."""
    parts = []
    for group, names in VALUES.items():
        one_hot = np.eye(len(names), dtype=np.uint8)
        parts.append(one_hot[values[group]])
    return np.concatenate(parts, 1)


def _said(dice: Dice) -> np.ndarray:
    """What each sentence says, uint8 [N, A]: 1 at all values of a group that it says."""
    said = np.zeros((dice.n, len(NAMES)), np.uint8)
    for group, columns in groups(NAMES).items():
        spoken = dice.below(10) < SAID.get(group, 10)
        said[:, columns] = spoken[:, None]
    return said


def sentence(true: np.ndarray, said: np.ndarray) -> str:
    """What is true and said [A], as "a nurse, woman, dark skin, old"; of an occupation alone "a nurse"."""
    words = []
    for column in np.flatnonzero(true & said):
        group, _, value = NAMES[column].partition("=")
        if group == "occupation":
            article = "an" if value[0] in "aeiou" else "a"
            words.append(f"{article} {value}")
        else:
            words.append(f"{value} skin" if group == "tone" else value)
    return ", ".join(words)
