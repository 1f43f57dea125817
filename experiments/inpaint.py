"""What stood in the hole? Pictures with rectangles and pixels that are lost, filled by a net beside the classics.

    python -m experiments.inpaint          BASE: colour tiles with one rectangle lost, told where
    python -m experiments.inpaint blind    not told where: black may be a hole or a shadow
    python -m experiments.inpaint pixels   50 to 90 % of the pixels lost, each by itself
    python -m experiments.inpaint super    means of 4x4 pixels: super-resolution, beside bicubic
    python -m experiments.inpaint unfilled the net sees zeros in the hole, not a smooth filling; adam: its optimiser
    python -m experiments.inpaint digits   does it run? scans of 8x8, in seconds; photographs: the colour of a wheel

What is known stays as it was, so the error is that of the hole; it is told inside and of the whole picture. A picture
that has lost no pixel does not count inside.

A net that is trained on one truth says the middle of all that could stand there, so large holes are filled with what is
smooth: for one of them in detail see experiments.edit.
"""

from __future__ import annotations

import functools

from genjax import cli, nets
from genjax.ae.floors import Bicubic, Biharmonic, MeanFill, Nearest
from genjax.ae.restoration import Absolute, Restoration
from genjax.config import edit
from genjax.corruptions import Coarse, Holes, Lost, Pixels
from genjax.data import Digits, Photographs, Scenes
from genjax.ema import Decay
from genjax.findings.restoring import Restoring
from genjax.metrics.classifier import Convolutional
from genjax.optim import Adam, CosineDecay, Muon
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Flip

# three levels: what fills a hole must come from its border
NET = nets.PlainUNet((32, 64, 96), blocks=1, patch=2)
# of short trials on valid scenes: zeros in the hole and Adam were ten decibels behind after 250 steps
TX = Muon(1.5e-3, warmup=100, decay=CosineDecay(), clip=1.0)
# what is right in a hole is not one picture: a net that knows the scenes' kinds says how far features are, too
JUDGE = Convolutional(steps=1500, flips=True)
MEASURE = Restoring(crops=200, floors=(Biharmonic(), Nearest(), MeanFill()), judge=JUDGE)

BASE = Experiment(
    data=Scenes(64, stride=32),
    algorithm=Restoration(
        (Holes(),),
        nets.Filled(NET),
        error=Absolute(),
        optimiser=TX,
        ema=Decay(0.999),
        keep=True,
    ),
    steps=6000,
    batch=16,
    view=(Flip(),),
    every=Every(log=100, evaluate=1000, sample=2000, save=1000),
    samples=12,
    finish=(MEASURE,),
)

# no package is needed for these
_PLAIN = {"finish": (Restoring(floors=(Nearest(), MeanFill())),)}
# who is told of no hole can neither fill nor keep
_PLAIN_NET = {"algorithm.net": NET, "algorithm.keep": False}
_SUPER = {
    **_PLAIN_NET,
    "algorithm.corruption": (Lost(Coarse(4)),),
    "finish": (Restoring(Scenes(256), 20, floors=(Bicubic(4),)),),
}
_DIGITS = {
    **_PLAIN,
    "data": Digits(),
    "view": (),
    "algorithm.net": nets.Filled(nets.PlainUNet((16, 32), blocks=1)),
    "steps": 500,
    "every": Every(log=100, evaluate=500, sample=500, save=500),
}

EXPERIMENTS = {
    "base": BASE,
    "blind": edit(BASE, {**_PLAIN_NET, "algorithm.blind": True}),
    "pixels": edit(BASE, {"algorithm.corruption": (Pixels(),)}),
    "super": edit(BASE, _SUPER),
    "unfilled": edit(BASE, {"algorithm.net": NET}),
    "adam": edit(BASE, {"algorithm.optimiser": Adam(1e-3, warmup=100, decay=CosineDecay())}),
    "digits": edit(BASE, _DIGITS),
    "photographs": edit(BASE, {**_PLAIN, "data": Photographs(64)}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "inpaint"), __doc__)
