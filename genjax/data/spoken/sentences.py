"""What sets of pictures with sentences share: the fields, the draws, and how sentences become tokens.

Such a set knows what is true of every picture as `attributes`, whose names are "group=value"; of each group exactly one
value is true. A sentence says some of the groups: `said` is 1 at all names of these. Two things are held out of
training: combinations (`together`: each part is seen, but never with the other) and wordings (`wording`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.data.captions import LETTERS
from genjax.errors import UserError, nearest
from genjax.fields import Attributes, Category, Tokens, encoded

LANGUAGES = ("en", "es", "fr", "ar")
# whether training has the things that are said together, and the way to say it
TOGETHER = ("combination seen", "combination unseen")
WORDING = ("wording seen", "wording unseen")


class Sentences(NamedTuple):
    """N sentences as a set holds them."""

    caption: np.ndarray  # int32 [N, length]: bytes of UTF-8, filled up with 0
    language: np.ndarray  # int32 [N], a number in the set's languages
    wording: np.ndarray  # int32 [N], a number in WORDING
    cut: int  # sentences that were longer


def check_languages(languages: Sequence[str], flag: str = "data.languages") -> None:
    """Raises UserError for none, for one that is not among LANGUAGES, and for one that is named twice."""
    if not languages:
        raise UserError(f"--{flag}=() leaves nothing to say: name some of them.")
    for name in languages:
        if name not in LANGUAGES:
            known = ", ".join(LANGUAGES)
            raise UserError(
                f"--{flag}: there are no sentences in {name!r}, only in {known}.{nearest(name, LANGUAGES)}"
            )
    if len(set(languages)) < len(languages):
        raise UserError(f"--{flag}={tuple(languages)} names one of them twice.")


def groups(names: Sequence[str]) -> dict[str, list[int]]:
    """The columns of each group in the names of attributes, "group=value"; a name without "=" is a group alone."""
    found: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        group = name.partition("=")[0]
        found.setdefault(group, []).append(column)
    return found


def fields(
    names: Sequence[str],
    languages: Sequence[str],
    length: int,
    wording: tuple[str, str] = WORDING,
) -> dict[str, Any]:
    """The fields that all such sets have beside their pictures; `wording`: what its 0 and 1 are called."""
    return {
        "caption": Tokens(length, 256, LETTERS),
        "attributes": Attributes(tuple(names)),
        "said": Attributes(tuple(names)),
        "language": Category(len(languages), tuple(languages)),
        "together": Category(len(TOGETHER), TOGETHER),
        "wording": Category(len(wording), wording),
    }


def written(lines: Iterable[str], length: int) -> tuple[np.ndarray, int]:
    """(tokens int32 [N, length], how many lines were longer and are cut)."""
    rows, cut = [], 0
    for line in lines:
        tokens, short = encoded(line, length)
        rows.append(tokens)
        cut += short
    return np.array(rows, np.int32).reshape(-1, length), cut


class Dice:
    """Whole numbers handed out in turn, a row for each example, from raw bits, which no release of numpy changes.

    The order of the calls is a part of the set (NEP 19).
    """

    def __init__(self, seed: int, stream: int, n: int):
        self.bits = np.random.Philox(key=[seed, stream])
        self.n = n

    def below(self, sides: int | np.ndarray) -> np.ndarray:
        """int64 [N], each from 0 up to its number of sides - 1."""
        raw = self.bits.random_raw(self.n)
        # 2^64 is so much larger that the remainder is uniform for all purposes
        return (raw % np.asarray(sides, np.uint64)).astype(np.int64)
