"""Instructions in four languages: what is to be changed in a face. Pronouns, suffixes and verbs agree with the person.

The last of the three wordings of each is held out of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# {what is asked: (the group of attributes that it is of, the value that is asked; "" = as the years have it)}
EDITS = {
    "older": ("age", ""),
    "younger": ("age", ""),
    "left": ("side", "left"),
    "front": ("side", "front"),
    "right": ("side", "right"),
    "smile": ("mood", "smiling"),
    "serious": ("mood", "not"),
    "closed": ("eyes", "closed"),
    "open": ("eyes", "open"),
    "long": ("length", "long"),
    "short": ("length", "short"),
    "dark": ("hair", "dark"),
    "light": ("hair", "light"),
}
SEEN = 2  # wordings of training; those behind them are held out

Wordings = tuple[str, str, str]


class Orders(NamedTuple):
    """How a language asks: wordings of each edit, in which names in braces stand for what agrees with the person."""

    agree: tuple[dict[str, str], dict[str, str]]  # of a woman or girl, and of a man or boy
    says: dict[str, Wordings]


def _each(patterns: Wordings, words: Mapping[str, str]) -> dict[str, Wordings]:
    """The wordings of several edits that differ in one word, `<>`."""
    found = {}
    for edit, word in words.items():
        one, other, held = (pattern.replace("<>", word) for pattern in patterns)
        found[edit] = (one, other, held)
    return found


_EN = Orders(
    ({"o": "her", "p": "her"}, {"o": "him", "p": "his"}),
    {
        "older": (
            "make {o} older",
            "add thirty years to {p} age",
            "show {o} thirty years older",
        ),
        "younger": (
            "make {o} younger",
            "take thirty years off {p} age",
            "show {o} thirty years younger",
        ),
        **_each(
            ("turn {o} to the <>", "make {o} look to the <>", "show {o} looking to the <>"),
            {"left": "left", "right": "right", "front": "front"},
        ),
        "smile": ("make {o} smile", "put a smile on {p} face", "show {o} smiling"),
        "serious": ("make {o} stop smiling", "take away {p} smile", "show {o} without a smile"),
        "closed": ("close {p} eyes", "make {o} close {p} eyes", "show {o} with closed eyes"),
        "open": ("open {p} eyes", "make {o} open {p} eyes", "show {o} with open eyes"),
        **_each(
            ("give {o} <> hair", "make {p} hair <>", "show {o} with <> hair"),
            {"long": "long", "short": "short", "dark": "dark", "light": "light"},
        ),
    },
)
_ES = Orders(
    ({"o": "la"}, {"o": "lo"}),
    {
        "older": ("haz{o} mayor", "añádele treinta años", "muéstra{o} treinta años mayor"),
        "younger": (
            "haz{o} más joven",
            "quítale treinta años",
            "muéstra{o} treinta años más joven",
        ),
        **_each(
            ("gíra{o} <>", "haz que mire <>", "muéstra{o} mirando <>"),
            {"left": "a la izquierda", "right": "a la derecha", "front": "de frente"},
        ),
        "smile": ("haz que sonría", "ponle una sonrisa", "muéstra{o} con una sonrisa"),
        "serious": ("haz que no sonría", "quítale la sonrisa", "muéstra{o} sin sonrisa"),
        "closed": (
            "ciérrale los ojos",
            "haz que cierre los ojos",
            "muéstra{o} con los ojos cerrados",
        ),
        "open": (
            "ábrele los ojos",
            "haz que abra los ojos",
            "muéstra{o} con los ojos abiertos",
        ),
        **_each(
            ("ponle el pelo <>", "haz que tenga el pelo <>", "muéstra{o} con el pelo <>"),
            {"long": "largo", "short": "corto", "dark": "oscuro", "light": "claro"},
        ),
    },
)
_FR = Orders(
    ({"o": "la", "e": "e"}, {"o": "le", "e": ""}),
    {
        "older": (
            "rends-{o} plus âgé{e}",
            "ajoute-lui trente ans",
            "montre-{o} avec trente ans de plus",
        ),
        "younger": (
            "rends-{o} plus jeune",
            "enlève-lui trente ans",
            "montre-{o} avec trente ans de moins",
        ),
        **_each(
            ("tourne-{o} <>", "fais-{o} regarder <>", "montre-{o} tourné{e} <>"),
            {"left": "vers la gauche", "right": "vers la droite", "front": "de face"},
        ),
        "smile": ("fais-{o} sourire", "donne-lui un sourire", "montre-{o} avec un sourire"),
        "serious": (
            "fais-{o} cesser de sourire",
            "enlève-lui son sourire",
            "montre-{o} sans sourire",
        ),
        "closed": (
            "ferme-lui les yeux",
            "fais-lui fermer les yeux",
            "montre-{o} les yeux fermés",
        ),
        "open": (
            "ouvre-lui les yeux",
            "fais-lui ouvrir les yeux",
            "montre-{o} les yeux ouverts",
        ),
        **_each(
            (
                "donne-lui des cheveux <>",
                "fais-lui les cheveux <>",
                "montre-{o} avec les cheveux <>",
            ),
            {"long": "longs", "short": "courts", "dark": "foncés", "light": "clairs"},
        ),
    },
)
# verbs in the third person begin with the one letter or the other; adjectives before a noun agree too
_AR = Orders(
    (
        {"o": "ها", "h": "هي", "v": "ت", "f": "ة"},
        {"o": "ه", "h": "هو", "v": "ي", "f": ""},
    ),
    {
        "older": (
            "اجعل{o} أكبر سنا",
            "أضف ثلاثين سنة إلى عمر{o}",
            "أظهر{o} أكبر بثلاثين سنة",
        ),
        "younger": (
            "اجعل{o} أصغر سنا",
            "أنقص ثلاثين سنة من عمر{o}",
            "أظهر{o} أصغر بثلاثين سنة",
        ),
        **_each(
            ("أدر{o} إلى <>", "اجعل{o} {v}نظر إلى <>", "أظهر{o} و{h} {v}نظر إلى <>"),
            {"left": "اليسار", "right": "اليمين", "front": "الأمام"},
        ),
        "smile": ("اجعل{o} {v}بتسم", "ضع ابتسامة على وجه{o}", "أظهر{o} و{h} {v}بتسم"),
        "serious": ("اجعل{o} لا {v}بتسم", "أزل ابتسامت{o}", "أظهر{o} بلا ابتسامة"),
        "closed": (
            "أغمض عيني{o}",
            "اجعل{o} {v}غمض عيني{o}",
            "أظهر{o} مغمض{f} العينين",
        ),
        "open": ("افتح عيني{o}", "اجعل{o} {v}فتح عيني{o}", "أظهر{o} مفتوح{f} العينين"),
        **_each(
            ("اجعل شعر{o} <>ا", "أعط{o} شعرا <>ا", "أظهر{o} بشعر <>"),
            {"long": "طويل", "short": "قصير", "dark": "داكن", "light": "فاتح"},
        ),
    },
)
INSTRUCTIONS = {"en": _EN, "es": _ES, "fr": _FR, "ar": _AR}


def instruction(language: str, edit: str, wording: int, male: bool) -> str:
    """One instruction; `wording` counts those of training, then the one that is held out of it."""
    orders = INSTRUCTIONS[language]
    return orders.says[edit][wording].format(**orders.agree[male])
