"""What a sign of Unicode is, whoever draws it: its design, the gender, skin tone and occupation that it shows, and its
names in several languages.

A design is what all variants of one sign share: skin tones, genders, hair, direction. Near copies are one design too:
clock faces, keycaps, hearts of all colours (`FAMILIES`). A split by designs has no sign in training whose variant is in
test. Sequences: Unicode Technical Standard 51; names: Unicode CLDR, annotations and annotationsDerived.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from genjax.data.iconify import plain_code
from genjax.data.packages import Package
from genjax.errors import UserError, nearest
from genjax.machine.files import place

LANGUAGES = ("en", "es", "fr", "ar")
LARGEST = 2**24  # bytes of a file of names
CLDR = Path("/usr/share/unicode/cldr/common")  # where Debian puts it

TONE_CODES = {
    "1f3fb": "light",
    "1f3fc": "medium-light",
    "1f3fd": "medium",
    "1f3fe": "medium-dark",
    "1f3ff": "dark",
}
TONES = ("none", *TONE_CODES.values(), "several")
GENDERS = ("none", "person", "woman", "man", "both")
# what a person, a man or a woman is joined with
OCCUPATION_CODES = {
    "1f33e": "farmer",
    "1f373": "cook",
    "1f393": "student",
    "1f3a4": "singer",
    "1f3a8": "artist",
    "1f3eb": "teacher",
    "1f3ed": "factory worker",
    "1f4bb": "technologist",
    "1f4bc": "office worker",
    "1f527": "mechanic",
    "1f52c": "scientist",
    "1f680": "astronaut",
    "1f692": "firefighter",
    "2695": "health worker",
    "2696": "judge",
    "2708": "pilot",
}
OCCUPATIONS = ("none", *OCCUPATION_CODES.values())


# One code point in the place of others; ranges with a dash
_SAME_PERSON = {
    # adults, blond, bearded, frowning and pouting too; some vendors draw children as small adults
    "1f9d1": "1f468 1f469 1f471 1f9d4 1f64d 1f64e 1f9d2 1f466 1f467",
    "1f9d3": "1f474 1f475",
    "1fac5": "1f934 1f478",
    "1f483": "1f57a",
    "1f385": "1f936",
    "1fac4": "1f930 1fac3",
    "1f46b": "1f46c 1f46d",
}
FAMILIES = {
    "clock faces": "1f550-1f567",
    "moons": "1f311-1f318",
    "moon faces": "1f31b-1f31c",
    "globes": "1f30d-1f30f",
    "hearts": "2764 1f499-1f49c 1f5a4 1f90d 1f90e 1f9e1 1fa75-1fa77",
    "circles": "26aa 26ab 1f534 1f535 1f7e0-1f7e4",
    "squares": "25aa 25ab 25fb-25fe 2b1b 2b1c 1f532 1f533 1f7e5-1f7eb",
    "diamonds": "1f536-1f539",
    "triangles": "1f53a 1f53b",
    "players": "23e9-23ef 23f8-23fa 25b6 25c0 1f53c 1f53d",
    "arrows": "2194-2199 21a9 21aa 27a1 2934 2935 2b05-2b07 1f519-1f51d",
    "books": "1f4d5 1f4d7-1f4d9",
    "zodiac": "2648-2653",
    "letters": "1f170 1f171 1f17e 1f17f 1f18e 1f191-1f19a 1f1e6-1f1ff 2139 24c2",
    "ideographs": "1f201-1f251 3297 3299",
    "inputs": "1f520-1f524",
    "cat faces": "1f431 1f638-1f640",
    "loudspeakers": "1f507-1f50a",
    "suits": "2660 2663 2665 2666",
    "mailboxes": "1f4ea-1f4ed",
    "monkeys": "1f648-1f64a",
    "batteries": "1f50b 1faab",
    "hourglasses": "231b 23f3",
    "locks": "1f50f 1f510 1f512 1f513",
    "magnifiers": "1f50d 1f50e",
    "pointing fingers": "1f446-1f449 261d",
    "thumbs": "1f44d 1f44e",
    "fists": "1f91b 1f91c",
    "hands to a side": "1faf1 1faf2 1faf7 1faf8",
    "grins": "1f600 1f601 1f603 1f604 1f606",
    "smiles": "263a 1f60a 1f60c 1f642 1f643",
    "still faces": "1f610 1f611 1f615 1f61f 1f636 1f641 1f928 2639",
    "tired faces": "1f629 1f62b",
    "clouds": "2601 26c5 26c8 1f324-1f329",
    "bubbles": "1f4ac 1f4ad 1f5e8 1f5ef",
    "folders": "1f4c1 1f4c2",
    "envelopes": "2709 1f4e7-1f4e9",
    "pages": "1f4c3 1f4c4",
}
# flags that are drawn alike, by the letters of their countries
_SAME_FLAG = {"au": "hm", "io": "dg", "es": "ea", "fr": "cp mf", "no": "sj bv", "us": "um"}
_SAME_FLAG |= {"ro": "td", "mc": "id"}
# sequences whose design has a code point of its own, or is one family
_SEQUENCES = {
    "1f9d1-1f91d-1f9d1": "1f46b",  # hand in hand
    "1f9d1-2764-1f9d1": "1f491",  # a couple with a heart
    "1f9d1-2764-1f48b-1f9d1": "1f48f",  # a kiss
    "1faf1-1faf2": "1f91d",  # a handshake of two tones
    "1f9d1-1f384": "1f385",  # a Santa of no gender
}
_FAMILY = "1f46a"
_KEYCAP, _TEN = "20e3", "1f51f"
_PRIVATE = range(0xE000, 0xF900)  # code points without a meaning of their own


class Sign(NamedTuple):
    """A sign of Unicode, whoever draws it."""

    code: str  # code points in hexadecimal, with dashes: 1f469-200d-1f692
    names: dict[str, str]  # {language: name}
    group: str  # as the vendor sorts it: People Body
    design: str  # the same for all its variants
    gender: str  # of `GENDERS`
    tone: str  # of `TONES`
    occupation: str  # of `OCCUPATIONS`


def _ranges(text: str) -> list[str]:
    """Code points, and ranges of them with a dash, each by itself."""
    found = []
    for word in text.split():
        first, _, last = word.partition("-")
        for number in range(int(first, 16), int(last or first, 16) + 1):
            found.append(f"{number:x}")
    return found


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {code: name for name, codes in table.items() for code in _ranges(codes)}


def _flag(letters: str) -> str:
    """The letters of a country -> its two code points."""
    return "-".join(f"{0x1F1E6 + ord(letter) - ord('a'):x}" for letter in letters)


# Joined to a sign they make a variant of it: gender, direction, a shaken head, colours, hair
_VARIANT = frozenset(
    _ranges("2640 2642 27a1 2194 2195 2b1b 2744 1f7e9 1f7eb 1f9b0 1f9b1 1f9b2 1f9b3")
)
_JOINER = "200d"
_WOMEN = frozenset(_ranges("2640 1f469 1f467 1f475 1f478 1f483 1f936 1f930 1f931 1f46d 1f9d5"))
_MEN = frozenset(_ranges("2642 1f468 1f466 1f474 1f934 1f57a 1f385 1fac3 1f46c"))
_PEOPLE = frozenset(_ranges("1f9d1 1f9d2 1f9d3 1f476"))
_BOTH = "1f46b"

_PERSON_OF = _inverse(_SAME_PERSON)
_FAMILY_OF = _inverse(FAMILIES)
_FLAG_OF = {
    _flag(other): _flag(one) for one, others in _SAME_FLAG.items() for other in others.split()
}


def is_private(code: str) -> bool:
    """Whether a sign is a vendor's own, which Unicode does not know."""
    return any(int(part, 16) in _PRIVATE for part in code.split("-"))


def design(code: str) -> str:
    """What the variants of a sign share: its sequence without tones, genders and the like, or its family's name."""
    first, *others = code.split("-")
    parts = [first]
    for part in others:
        if part not in TONE_CODES and part not in _VARIANT and part != _JOINER:
            parts.append(part)
    parts = [_PERSON_OF.get(part, part) for part in parts]
    if len(parts) > 1 and set(parts) == {"1f9d1"}:  # parents and children
        return _FAMILY
    if parts[-1] == _KEYCAP or parts == [_TEN]:
        return "keycaps"
    joined = "-".join(parts)
    joined = _SEQUENCES.get(joined, joined)
    joined = _FLAG_OF.get(joined, joined)
    return _FAMILY_OF.get(joined, joined)


def tone(code: str) -> str:
    """The skin tone: "none", "light" … "dark", or "several" of two people."""
    found = {TONE_CODES[part] for part in code.split("-") if part in TONE_CODES}
    if len(found) > 1:
        return "several"
    return next(iter(found), "none")


def gender(code: str) -> str:
    """The gender of `GENDERS`: "person" of a person without one, "both" of two people, "none" where there is nobody."""
    parts = code.split("-")
    # alone these two are the signs of the genders and no people
    if parts in (["2640"], ["2642"]):
        return "none"
    woman = not _WOMEN.isdisjoint(parts)
    man = not _MEN.isdisjoint(parts)
    if (woman and man) or _BOTH in parts:
        return "both"
    if woman or man:
        return "woman" if woman else "man"
    return "none" if _PEOPLE.isdisjoint(parts) else "person"


def occupation(code: str) -> str:
    """The occupation of a person, a man or a woman who is joined with its sign; "none" of all others."""
    parts = [part for part in code.split("-") if part not in TONE_CODES]
    # a person, the joiner, the sign of the occupation
    if len(parts) != 3 or parts[0] not in ("1f9d1", "1f468", "1f469"):
        return "none"
    return OCCUPATION_CODES.get(parts[2], "none")


def table(
    groups: Mapping[str, str], names: Mapping[str, Mapping[str, str]]
) -> tuple[Sign, ...]:
    """The signs of {code: group}, in the order of their code points; names: {language: {code: name}}."""
    genders = {code: gender(code) for code in groups}
    # a runner is a person because there is a woman who runs
    peopled = {design(code) for code, found in genders.items() if found != "none"}
    signs = []
    for code in sorted(groups, key=_numbers):
        own = {language: known[code] for language, known in names.items()}
        shape, shown = design(code), genders[code]
        if shown == "none" and shape in peopled:
            shown = "person"
        about = (groups[code], shape, shown, tone(code), occupation(code))
        signs.append(Sign(code, own, *about))
    return tuple(signs)


def _numbers(code: str) -> list[int]:
    return [int(part, 16) for part in code.split("-")]


def side(key: str) -> str:
    """The split of a design: "train" of 80 %, "valid" and "test" of 10 % each, by its hash alone.

    Designs that a later version of a package adds leave the others where they are.
    """
    digest = hashlib.sha256(key.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < 0.8:
        return "train"
    return "valid" if share < 0.9 else "test"


# --- names -----------------------------------------------------------------------------------------------------------


def names_package(languages: Sequence[str]) -> Package:
    """Debian's package of CLDR, as far as these languages need it; UserError for a language that is none of ours."""
    for language in languages:
        if language not in LANGUAGES:
            raise UserError(
                f"--data.languages: there is no language {language!r}, they are {', '.join(LANGUAGES)}."
                f"{nearest(language, LANGUAGES)}"
            )
    files = tuple(
        f"{folder}/{language}.xml"
        for language in languages
        for folder in ("annotations", "annotationsDerived")
    )
    get = "on Debian and Ubuntu `apt-get install unicode-cldr-core`"
    return Package("unicode-cldr-core", files, get, "41", (str(CLDR),))


def find_names(of: Package, path: str | None) -> Path | None:
    """The folder of the names: where the drawings are if they are there too, else as of any package."""
    return of.find(path) or of.find(None)


def missing_names(of: Package, path: str | None) -> NoReturn:
    """Raises the UserError of names that are not there, or of which a part is not."""
    beside = path is not None and len(of.lacking(place(path))) < len(of.files)
    of.missing(path if beside else None)


def read_names(of: Package, folder: Path, language: str) -> dict[str, str]:
    """{code: name} of one language; UserError for a file that is broken, or has no names."""
    found: dict[str, str] = {}
    for part in ("annotations", "annotationsDerived"):
        path = folder / part / f"{language}.xml"
        try:
            root = _parsed(path)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            raise of.other(path, f"cannot be read ({error})") from error
        for each in root.iter("annotation"):
            # the others are keywords
            if each.get("type") == "tts" and each.get("cp") and each.text:
                code = "-".join(f"{ord(letter):x}" for letter in each.get("cp", ""))
                found[plain_code(code)] = each.text
    if not found:
        raise of.other(folder, f"has no names in the language {language}")
    return found


def _parsed(path: Path) -> ElementTree.Element:
    """The tree of an XML file in UTF-8; ValueError for one that is too large or defines entities.

    Entities are what makes small files huge and reads others; names have none.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    text = content.decode()
    if "<!ENTITY" in text:
        raise ValueError("it defines entities")
    return ElementTree.fromstring(text)


# --- captions --------------------------------------------------------------------------------------------------------


def tokens(caption: str, length: int) -> np.ndarray:
    """A caption as its bytes in UTF-8, int32 [length], with zeros behind them; UserError where it is longer."""
    content = caption.encode()
    if len(content) > length:
        raise UserError(
            f"--data.length={length} is less than the {len(content)} bytes of {caption!r}: use at least as many."
        )
    padded = np.zeros(length, np.int32)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    return padded


def text(rows: Any) -> list[str]:
    """Captions of `tokens` [N, length] in letters; bytes that are no UTF-8, as samples may have, become U+FFFD."""
    captions = []
    for row in np.asarray(rows).astype(np.uint8):
        captions.append(bytes(row).rstrip(b"\0").decode("utf-8", "replace"))
    return captions


def longest(signs: Iterable[Sign]) -> int:
    """Bytes of the longest caption."""
    return max(
        (len(name.encode()) for sign in signs for name in sign.names.values()), default=0
    )
