"""What stood in the hole? Pictures with rectangles and pixels that are lost, filled by a net beside the classics.

    python -m experiments.inpaint          BASE: colour tiles with one rectangle lost, told where
    python -m experiments.inpaint blind    not told where: black may be a hole or a shadow
    python -m experiments.inpaint pixels   50 to 90 % of the pixels lost, each by itself
    python -m experiments.inpaint super    means of 4x4 pixels: super-resolution, beside bicubic
    python -m experiments.inpaint digits   does it run? scans of 8x8, in seconds; photographs: the colour of a wheel

The net says all pixels anew, known ones too, where the classics keep them: of the whole picture that is against it. A
picture that has lost no pixel does not count inside.

A net that is trained on squared error says the mean of all that could stand there, so large holes are filled with what
is smooth. The error is told inside the hole and of the whole picture.
"""

from __future__ import annotations

import functools

from genjax import cli, nets
from genjax.ae.floors import Bicubic, Biharmonic, MeanFill, Nearest
from genjax.ae.restoration import Restoration
from genjax.config import edit
from genjax.corruptions import Coarse, Holes, Lost, Pixels
from genjax.data import Digits, Photographs, Scenes
from genjax.ema import Decay
from genjax.findings.restoring import Restoring
from genjax.metrics.classifier import Convolutional
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Flip

# three levels: what fills a hole must come from its border
NET = nets.PlainUNet((32, 64, 96), blocks=1, patch=2)
TX = Adam(1e-3, warmup=200, decay=CosineDecay())
# what is right in a hole is not one picture: a net that knows the scenes' kinds says how far features are, too
JUDGE = Convolutional(steps=1500, flips=True)
MEASURE = Restoring(crops=200, floors=(Biharmonic(), Nearest(), MeanFill()), judge=JUDGE)

BASE = Experiment(
    data=Scenes(64),
    algorithm=Restoration((Holes(),), NET, optimiser=TX, ema=Decay(0.999)),
    steps=6000,
    batch=32,
    view=(Flip(),),
    every=Every(log=100, evaluate=1000, sample=2000, save=1000),
    samples=12,
    finish=(MEASURE,),
)

# no package is needed for these
_PLAIN = {"finish": (Restoring(floors=(Nearest(), MeanFill())),)}
_SUPER = {
    "algorithm.corruption": (Lost(Coarse(4)),),
    "finish": (Restoring(Scenes(256), 20, floors=(Bicubic(4),)),),
}
_DIGITS = {
    **_PLAIN,
    "data": Digits(),
    "view": (),
    "algorithm.net": nets.PlainUNet((16, 32), blocks=1),
    "steps": 500,
    "every": Every(log=100, evaluate=500, sample=500, save=500),
}

EXPERIMENTS = {
    "base": BASE,
    "blind": edit(BASE, {"algorithm.blind": True}),
    "pixels": edit(BASE, {"algorithm.corruption": (Pixels(),)}),
    "super": edit(BASE, _SUPER),
    "digits": edit(BASE, _DIGITS),
    "photographs": edit(BASE, {**_PLAIN, "data": Photographs(64)}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "inpaint"), __doc__)
