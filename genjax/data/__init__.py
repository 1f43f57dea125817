"""Data sets as frozen configs with one method, `load() -> Source`; batches as functions of (seed, step).

Importing this package imports neither tensorflow_datasets nor grain, scikit-learn, Pillow or matplotlib: each is
imported where it is needed, so a warm cache is read on machines that have none of them.
"""

from genjax.data.aged import Aged
from genjax.data.anomalous import Bleeding, Gait
from genjax.data.blank import Blank
from genjax.data.captions import Captions
from genjax.data.chains import Chain, HiddenChain
from genjax.data.domains import Domains, Unpaired
from genjax.data.embedded import Embedded
from genjax.data.emoji import Emoji
from genjax.data.folder import Folder
from genjax.data.forms import Paired, Single
from genjax.data.heads import Heads
from genjax.data.icons import Icons
from genjax.data.maps import Maps
from genjax.data.masks import Masks
from genjax.data.mnist import SmallMNIST
from genjax.data.moving import MovingDigits
from genjax.data.oneclass import OneClass
from genjax.data.pairs import Pairs
from genjax.data.photographs import Photographs
from genjax.data.relit import Relit
from genjax.data.scenes import Scenes
from genjax.data.sittings import FewShots, Sitters, Sittings
from genjax.data.sketched import Sketched
from genjax.data.source import Digits, FashionMNIST, Source, fingerprint, train_batches
from genjax.data.spoken import DigitPairs, InstructedHeads, SpokenHeads, SpokenSigns, Workers
from genjax.data.stacked import StackedDigits
from genjax.data.stamps import Stamps
from genjax.data.stock import Stock
from genjax.data.text import Text
from genjax.data.textures import Textures
from genjax.data.toy import Grid, Moons, Ring, Spiral, Toy

# those that the command line builds by name; one of a user's own is as good
Known = (
    Aged
    | Bleeding
    | Blank
    | Captions
    | Chain
    | DigitPairs
    | Digits
    | Domains
    | Embedded
    | Emoji
    | FashionMNIST
    | Folder
    | Gait
    | Heads
    | HiddenChain
    | Icons
    | InstructedHeads
    | Maps
    | Masks
    | MovingDigits
    | OneClass
    | Pairs
    | Photographs
    | Relit
    | Scenes
    | Sitters
    | Sittings
    | Sketched
    | SmallMNIST
    | SpokenHeads
    | SpokenSigns
    | StackedDigits
    | Stamps
    | Stock
    | Text
    | Textures
    | Toy
    | Unpaired
    | Workers
)

__all__ = [
    "Aged",
    "Bleeding",
    "Blank",
    "Captions",
    "Chain",
    "DigitPairs",
    "Digits",
    "Domains",
    "Embedded",
    "Emoji",
    "FashionMNIST",
    "FewShots",
    "Folder",
    "Gait",
    "Grid",
    "Heads",
    "HiddenChain",
    "Icons",
    "InstructedHeads",
    "Known",
    "Maps",
    "Masks",
    "Moons",
    "MovingDigits",
    "OneClass",
    "Paired",
    "Pairs",
    "Photographs",
    "Relit",
    "Ring",
    "Scenes",
    "Single",
    "Sitters",
    "Sittings",
    "Sketched",
    "SmallMNIST",
    "Source",
    "Spiral",
    "SpokenHeads",
    "SpokenSigns",
    "StackedDigits",
    "Stamps",
    "Stock",
    "Text",
    "Textures",
    "Toy",
    "Unpaired",
    "Workers",
    "fingerprint",
    "train_batches",
]
