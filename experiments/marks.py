"""Are marks of unknown place taken off photographs at least as well as by inpainting that is told where they are?

    python -m experiments.marks             BASE: blind, text and logos on scenes of 96x96
    python -m experiments.marks told        the net is told where the mark is, and all else stays as it was
    python -m experiments.marks letters     trained on text alone, tested on both
    python -m experiments.marks logos       trained on logos alone
    python -m experiments.marks squared     squares of the errors instead of their absolute values
    python -m experiments.marks unfound     nobody tells in training either where the mark is
    python -m experiments.marks recall      covered pixels weigh eight times as much, in the error too
    python -m experiments.marks once        the coverage is said once, and not corrected by the fit
    python -m experiments.marks plain       the net says what to take away itself, without the line of genjax.nets.veil
    python -m experiments.marks photographs two photographs that need no package
    python -m experiments.marks tiny        does it run? seconds

Opacity .3 to .7, 5 to 15 % of the pixels. Fonts, words and emblems of the test are none of training's. The net is told
neither opacity nor colour. Asked for: inside the mark no worse than biharmonic inpainting given the true mask, and at
least 40 dB outside. Scenes are those of Debian's gcompris-qt-data, split by scene; scikit-image is needed for the
comparison.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.ae.restoration import Absolute, Restoration, Squared
from genjax.config import edit
from genjax.corruptions import Letters, Logos, Marks
from genjax.data import Photographs
from genjax.data.scenes import Scenes
from genjax.ema import Decay
from genjax.findings.marking import Marking
from genjax.nets.plain import PlainUNet
from genjax.nets.veil import Unveil
from genjax.optim import CosineDecay, Muon
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Flip

SIDE = 96
NET = PlainUNet((32, 64), blocks=1, patch=2, bias=True)
# more context: of what is seen of a letter the rest of its word tells most
FIND = PlainUNet((32, 64, 96), blocks=1, patch=2, bias=True)
TX = Muon(1.5e-3, clip=1.0, warmup=100, decay=CosineDecay())

BASE = Experiment(
    data=Scenes(SIDE, stride=SIDE // 2),
    algorithm=Restoration(
        corruption=(Marks(side=SIDE),),
        net=Unveil(FIND, NET, again=True),
        blind=True,
        error=Absolute(),
        where=0.3,
        optimiser=TX,
        ema=Decay(0.995),
    ),
    # where marks are is learned by steps more than by examples: four a step
    steps=8000,
    batch=4,
    view=(Flip(),),
    every=Every(log=200, evaluate=1000, sample=1000, save=1000),
    evaluate_batch=50,
    samples=12,
    finish=(Marking(),),
)
_TOLD = {
    "algorithm.blind": False,
    "algorithm.amount": False,
    "algorithm.keep": True,
    "algorithm.net": Unveil(NET, NET),
    # what it is told it need not find
    "algorithm.where": 0.0,
    "steps": 2000,
    "batch": 12,
    "every": Every(log=100, evaluate=500, sample=500, save=500),
}
_BANKS = "algorithm.corruption.Marks.banks"
_TWO = Photographs(SIDE, halvings=0, train=4000, test=200, valid=200)
SMALL = PlainUNet((8, 8), blocks=1, bias=True)
_TINY = {
    "data": Photographs(32, train=64, test=8, valid=8),
    "algorithm.corruption": (Marks(side=32, count=8),),
    "algorithm.net": Unveil(SMALL, SMALL, again=True),
    "steps": 20,
    "finish": (Marking(images=4, shown=2),),
}
EXPERIMENTS = {
    "base": BASE,
    "told": edit(BASE, _TOLD),
    "letters": edit(BASE, {_BANKS: (Letters(),)}),
    "logos": edit(BASE, {_BANKS: (Logos(),)}),
    "squared": edit(BASE, {"algorithm.error": Squared()}),
    "unfound": edit(BASE, {"algorithm.where": 0.0}),
    "recall": edit(BASE, {"algorithm.rare": 8.0}),
    "once": edit(BASE, {"algorithm.net.again": False}),
    "plain": edit(BASE, {"algorithm.net": NET, "algorithm.where": 0.0}),
    "photographs": edit(BASE, {"data": _TWO}),
    "tiny": edit(BASE, _TINY),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "marks"), __doc__)
