"""Sentences on a rendered face, in four languages: age and sex, hair, expression and where it looks.

Adjectives agree with the person in gender, and in French and Spanish those of the hair with the hair. Arabic writes the
feminine of adjectives and verbs, and the attributive "with" as ذو or ذات. Clauses come in an order of the wording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SEX = ("female", "male")
AGES = ("child", "young", "middle", "old")
HAIR = ("dark", "grey", "light")
LENGTH = ("long", "short")
MOOD = ("smiling", "not")
EYES = ("closed", "open")
SIDES = ("left", "front", "right")


class Grammar(NamedTuple):
    """What a language says of a face: pairs are of a woman or girl, and of a man or boy."""

    who: dict[str, tuple[str, str]]  # by age
    hair: dict[tuple[str, str], tuple[str, str]]  # by length and colour, of which one may be ""
    smiling: tuple[str, str]
    closed: tuple[str, str]
    looks: dict[str, tuple[str, str]]  # by side
    seen: tuple[str, ...]  # wordings of training
    unseen: tuple[str, ...]
    comma: str = ", "


def _both(clause: str) -> tuple[str, str]:
    """A clause that is the same of everybody."""
    return clause, clause


def _hairs(pattern: Sequence[str], lengths: Mapping, colours: Mapping, join: str) -> dict:
    """Clauses on the hair for all that may be said of it; `pattern` is a clause of a woman and one of a man."""
    found = {}
    for length in ("", *LENGTH):
        for colour in ("", *HAIR):
            words = [lengths.get(length), colours.get(colour)]
            said = join.join(word for word in words if word)
            if said:
                found[length, colour] = tuple(each.format(said) for each in pattern)
    return found


_EN = Grammar(
    who={
        "child": ("a girl", "a boy"),
        "young": ("a young woman", "a young man"),
        "middle": ("a middle-aged woman", "a middle-aged man"),
        "old": ("an old woman", "an old man"),
    },
    hair=_hairs(
        _both("with {} hair"),
        {"long": "long", "short": "short"},
        {"dark": "dark", "grey": "grey", "light": "light"},
        ", ",
    ),
    smiling=_both("smiling"),
    closed=_both("with closed eyes"),
    looks={
        "left": _both("looking to the left"),
        "front": _both("looking straight ahead"),
        "right": _both("looking to the right"),
    },
    seen=("{who} {rest}", "the face of {who} {rest}", "a picture of {who} {rest}"),
    unseen=("here you see {who} {rest}",),
)
_ES = Grammar(
    who={
        "child": ("una niña", "un niño"),
        "young": ("una mujer joven", "un hombre joven"),
        "middle": ("una mujer de mediana edad", "un hombre de mediana edad"),
        "old": ("una anciana", "un anciano"),
    },
    hair=_hairs(
        _both("con el pelo {}"),
        {"long": "largo", "short": "corto"},
        {"dark": "oscuro", "grey": "gris", "light": "claro"},
        " y ",
    ),
    smiling=_both("que sonríe"),
    closed=_both("con los ojos cerrados"),
    looks={
        # participles agree too
        "left": ("vuelta hacia la izquierda", "vuelto hacia la izquierda"),
        "front": _both("de frente"),
        "right": ("vuelta hacia la derecha", "vuelto hacia la derecha"),
    },
    seen=("{who} {rest}", "la cara de {who} {rest}", "una imagen de {who} {rest}"),
    unseen=("aquí se ve a {who} {rest}",),
)
_FR = Grammar(
    who={
        "child": ("une fillette", "un garçon"),
        "young": ("une jeune femme", "un jeune homme"),
        "middle": ("une femme d'âge moyen", "un homme d'âge moyen"),
        "old": ("une femme âgée", "un homme âgé"),
    },
    hair=_hairs(
        _both("aux cheveux {}"),
        {"long": "longs", "short": "courts"},
        {"dark": "foncés", "grey": "gris", "light": "clairs"},
        " et ",
    ),
    # adjectives of the person, not of the face
    smiling=("souriante", "souriant"),
    closed=_both("les yeux fermés"),
    looks={
        "left": ("tournée vers la gauche", "tourné vers la gauche"),
        "front": _both("de face"),
        "right": ("tournée vers la droite", "tourné vers la droite"),
    },
    seen=("{who} {rest}", "le visage d'{who} {rest}", "une image d'{who} {rest}"),
    unseen=("on voit ici {who} {rest}",),
)
_AR = Grammar(
    who={
        "child": ("طفلة", "طفل"),
        "young": ("امرأة شابة", "رجل شاب"),
        "middle": ("امرأة في منتصف العمر", "رجل في منتصف العمر"),
        "old": ("امرأة مسنة", "رجل مسن"),
    },
    # after "the face of" a man is in the genitive: ذي in the place of ذو
    hair=_hairs(
        ("ذات شعر {}", "{{with}} شعر {}"),
        {"long": "طويل", "short": "قصير"},
        {"dark": "داكن", "grey": "رمادي", "light": "فاتح"},
        " ",
    ),
    # verbs in the third person, feminine and masculine
    smiling=("تبتسم", "يبتسم"),
    closed=("مغمضة العينين", "مغمض العينين"),
    looks={
        "left": ("تنظر إلى اليسار", "ينظر إلى اليسار"),
        "front": ("تنظر إلى الأمام", "ينظر إلى الأمام"),
        "right": ("تنظر إلى اليمين", "ينظر إلى اليمين"),
    },
    seen=("{who} {rest}", "وجه {who} {rest}", "صورة {who} {rest}"),
    unseen=("في هذه الصورة {who} {rest}",),
    comma="، ",
)
SENTENCES = {"en": _EN, "es": _ES, "fr": _FR, "ar": _AR}
# in which a man is in the genitive, of the wordings of Arabic
GENITIVE = ("وجه", "صورة")
ORDERS = 2  # hair first, or where the face looks first


# never together in training, as names of attributes; each part is there with all else
APART = (
    ("age=old", "mood=smiling"),
    ("length=long", "side=left"),
    ("age=child", "side=right"),
    ("hair=grey", "eyes=closed"),
)
GROUPS = {
    "sex": SEX,
    "age": AGES,
    "hair": HAIR,
    "length": LENGTH,
    "mood": MOOD,
    "eyes": EYES,
    "side": SIDES,
}
NAMES = tuple(f"{group}={value}" for group, values in GROUPS.items() for value in values)


def sentence(language: str, wording: int, facts: Mapping[str, str], order: int = 0) -> str:
    """One sentence of what `facts` names: sex and age always, and what there is of hair, length, mood, eyes, side.

    `wording` counts those of training, then those that are held out of it.
    """
    words = SENTENCES[language]
    sex = SEX.index(facts["sex"])
    pattern = (*words.seen, *words.unseen)[wording]
    clauses = []
    # nothing is said of hair where neither length nor colour is
    hair = words.hair.get((facts.get("length", ""), facts.get("hair", "")))
    if hair:
        genitive = pattern.startswith(GENITIVE)
        # as a plain replacement: other languages have nothing to replace
        clauses.append(hair[sex].replace("{with}", "ذي" if genitive else "ذو"))
    if facts.get("eyes") == "closed":
        clauses.append(words.closed[sex])
    if facts.get("mood") == "smiling":
        clauses.append(words.smiling[sex])
    if facts.get("side"):
        clauses.append(words.looks[facts["side"]][sex])
    # both orders are in training
    if order:
        clauses.reverse()
    who = words.who[facts["age"]][sex]
    return pattern.format(who=who, rest=words.comma.join(clauses)).strip()
