"""Pictures with sentences in English, Spanish, French and Arabic, of which everything is known."""

from genjax.data.spoken.digits import DigitPairs
from genjax.data.spoken.faces import SpokenHeads
from genjax.data.spoken.instructed import InstructedHeads
from genjax.data.spoken.sentences import LANGUAGES, TOGETHER, WORDING, groups
from genjax.data.spoken.signs import SpokenSigns
from genjax.data.spoken.workers import Workers

__all__ = [
    "LANGUAGES",
    "TOGETHER",
    "WORDING",
    "DigitPairs",
    "InstructedHeads",
    "SpokenHeads",
    "SpokenSigns",
    "Workers",
    "groups",
]
