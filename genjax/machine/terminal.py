"""What is printed where not every character can be: a terminal or pipe in ASCII or Latin 1."""

from __future__ import annotations

import codecs
import sys
import unicodedata

# texts here use few characters beyond ASCII; these have no spelling of Unicode's own
SPELT = {"×": "x", "±": "+-", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">=", "″": '"'}
SPELLING = "genjax.spelling"  # under which Python's codecs know `spell`


def print_everything() -> None:
    """Has stdout and stderr spell what they cannot show, in the place of a UnicodeEncodeError."""
    codecs.register_error(SPELLING, spell)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a notebook's streams show everything
            reconfigure(errors=SPELLING)


def spell(error: UnicodeError) -> tuple[str, int]:
    """The text, in ASCII, for characters that cannot be encoded, and where to go on: a handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    texts = [SPELT[c] if c in SPELT else _plainer(c) for c in lost]
    return "".join(texts), error.end


def _plainer(character: str) -> str:
    """A character as Unicode takes it apart: 2 of ², e of é, three dots of an ellipsis; ? where there is no such."""
    text = ""
    for part in unicodedata.normalize("NFKD", character):
        if part.isascii():
            text += part
        elif not unicodedata.combining(part):  # an accent is left out
            text += "?"
    return text
