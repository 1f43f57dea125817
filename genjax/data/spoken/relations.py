"""Sentences on two digits, one beside or above the other, in four languages.

A picture of a 3 to the left of a 7 may be told as "a three to the left of a seven" or as "a seven to the right of a
three". Arabic numbers stand beside "the digit" in its case: two of them are اثنان, and اثنين after a preposition.
"""

from __future__ import annotations

from typing import NamedTuple

# where the one that is spoken of is, seen from the other: by layout, and by which of the two it is
LEFT, RIGHT, ABOVE, BELOW = range(4)
ACROSS, DOWN = range(2)


class Language(NamedTuple):
    """How two digits are told of: one, `{a}`, is seen from the other, `{b}` after a preposition and `{plain}` else."""

    plain: tuple[str, ...]  # names of the digits, by themselves
    governed: tuple[str, ...]  # the same after a preposition
    where: tuple[str, ...]  # "to the left of"; it joins what follows as it is written here
    side: tuple[str, ...]  # "to its left"
    seen: tuple[str, ...]  # wordings of training
    unseen: tuple[str, ...]


_EN = (
    *("a zero", "a one", "a two", "a three", "a four"),
    *("a five", "a six", "a seven", "an eight", "a nine"),
)
# numbers are masculine as names of digits
_ES = (
    *("un cero", "un uno", "un dos", "un tres", "un cuatro"),
    *("un cinco", "un seis", "un siete", "un ocho", "un nueve"),
)
_FR = (
    *("un zéro", "un un", "un deux", "un trois", "un quatre"),
    *("un cinq", "un six", "un sept", "un huit", "un neuf"),
)
# "the digit" agrees with its side and pronoun, so the number's own gender is not asked for
_AR = (
    *("الرقم صفر", "الرقم واحد", "الرقم اثنان", "الرقم ثلاثة", "الرقم أربعة"),
    *("الرقم خمسة", "الرقم ستة", "الرقم سبعة", "الرقم ثمانية", "الرقم تسعة"),
)

SENTENCES = {
    "en": Language(
        _EN,
        _EN,
        ("to the left of ", "to the right of ", "above ", "below "),
        ("to its left", "to its right", "above it", "below it"),
        (
            "{a} {where}{b}",
            "there is {a} {where}{b}",
            "{plain} with {a} {side}",
            "{plain} and, {side}, {a}",
            "{plain}, and {a} {side}",
            "{a} is {where}{b}",
            "a picture of {a} {where}{b}",
            "{where}{b}, {a}",
        ),
        ("{where}{b} there is {a}", "we can see {a} {where}{b}"),
    ),
    "es": Language(
        _ES,
        _ES,
        ("a la izquierda de ", "a la derecha de ", "encima de ", "debajo de "),
        ("a su izquierda", "a su derecha", "encima", "debajo"),
        (
            "{a} {where}{b}",
            "hay {a} {where}{b}",
            "{plain} con {a} {side}",
            "{plain} y, {side}, {a}",
            "{plain}, y {a} {side}",
            "{a} está {where}{b}",
            "un dibujo de {a} {where}{b}",
            "{where}{b}, {a}",
        ),
        ("{where}{b} hay {a}", "se ve {a} {where}{b}"),
    ),
    "fr": Language(
        _FR,
        _FR,
        # "de" before "un" loses its vowel
        ("à gauche d'", "à droite d'", "au-dessus d'", "au-dessous d'"),
        ("à sa gauche", "à sa droite", "au-dessus", "au-dessous"),
        (
            "{a} {where}{b}",
            "il y a {a} {where}{b}",
            "{plain} avec {a} {side}",
            "{plain} et, {side}, {a}",
            "{plain}, et {a} {side}",
            "{a} est {where}{b}",
            "une image avec {a} {where}{b}",
            "{where}{b}, {a}",
        ),
        ("{where}{b} il y a {a}", "on voit {a} {where}{b}"),
    ),
    "ar": Language(
        _AR,
        tuple(name.replace("اثنان", "اثنين") for name in _AR),
        ("على يسار ", "على يمين ", "فوق ", "تحت "),
        ("على يساره", "على يمينه", "فوقه", "تحته"),
        (
            "{a} {where}{b}",
            "يوجد {a} {where}{b}",
            "{plain} و{side} {a}",
            "هنا {a} {where}{b}",
            "{plain}، و{a} {side}",
            "{a} يقع {where}{b}",
            "صورة فيها {a} {where}{b}",
            "{where}{b}، {a}",
        ),
        ("{where}{b} يوجد {a}", "في الصورة {a} {where}{b}"),
    ),
}


def relation(layout: int, of_second: int) -> int:
    """Where the digit that is spoken of is: the first is left or above, the second right or below."""
    return (LEFT, RIGHT, ABOVE, BELOW)[2 * layout + of_second]


def sentence(
    language: str, wording: int, layout: int, first: int, second: int, of_second: int
) -> str:
    """One sentence; `wording` counts those of training, then those that are held out of it."""
    words = SENTENCES[language]
    # whose place is told, and from where it is seen
    pair = (second, first) if of_second else (first, second)
    place = relation(layout, of_second)
    pattern = (*words.seen, *words.unseen)[wording]
    return pattern.format(
        a=words.plain[pair[0]],
        b=words.governed[pair[1]],
        plain=words.plain[pair[1]],
        where=words.where[place],
        side=words.side[place],
    )
