"""A class for every pixel: how much better than a forest of pixels is a net, and what do skips and the loss matter?

    python -m experiments.segment              BASE: the parts of heads, people that the net has not seen
    python -m experiments.segment stamps       things cut out of photographs, on scenes: things and scenes not seen
    python -m experiments.segment varied       the same with turns, scales and colours drawn anew at every sight
    python -m experiments.segment fcn8         Long et al.'s net with two skips; fcn16 with one, fcn32 with none
    python -m experiments.segment entropy      by cross-entropy alone; dice: by overlap alone. BASE has both
    python -m experiments.segment quick        does it run? half a minute
    python -m experiments.segment folder --data.image=PICTURES --data.mask=MASKS --data.classes=2

Measured: mean IoU, accuracy, F of boundaries and calibration, beside the most frequent class, the most frequent class
of a place, and a random forest on colour, place and neighbourhood. Masks of your own pictures:
`python -m genjax.segment RUN FILES --out=DIR`.
"""

from __future__ import annotations

import functools

from genjax import cli, nets
from genjax.ae.pixelwise import Forest, Majority, Place
from genjax.ae.segmentation import CrossEntropy, Dice, Segmentation
from genjax.config import edit
from genjax.data import Heads, Masks, Stamps
from genjax.data.heads import PARTS
from genjax.data.stamps import KINDS
from genjax.findings.segmenting import Segmenting
from genjax.nets.fcn import FCN
from genjax.optim import CosineDecay, Muon
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Colours, Flip, Turn

# reckoned from tries: 10 minutes of two cores, FCN(stride=8) 15, and 3 of measuring. After 300 steps of a run as short
# the valid people's mean IoU was .71: teeth, of two pixels, .20, all large parts above .89
NET = nets.PlainUNet((48, 64, 96), blocks=1, patch=2, bias=True)
TX = Muon(1.5e-3, warmup=100, decay=CosineDecay(), clip=1.0)

BASE = Experiment(
    data=Heads(64),
    algorithm=Segmentation(NET, "parts", (CrossEntropy(), Dice()), TX),
    steps=4000,
    batch=16,
    # no part of a head is left or right, so that a mirrored one is as good
    view=(Flip(("image", "parts")),),
    every=Every(log=100, evaluate=1000, sample=0, save=500),
    evaluate_batch=100,
    finish=(Segmenting(group="person", names=PARTS),),
)

_STAMPS = {
    "data": Stamps(64),
    "algorithm.mask": "mask",
    "view": (Flip(("image", "mask")),),
    "finish": (Segmenting(group="scene", names=("scene", *KINDS)),),
}
_VARIED = {"view": (Flip(("image", "mask")), Turn(of=("image", "mask")), Colours())}
_QUICK = {
    "data": Heads(32, people=60),
    "algorithm.net": nets.PlainUNet((16, 24), blocks=1, patch=2, bias=True),
    "steps": 300,
    "every": Every(log=100, evaluate=300, sample=0, save=300),
    "finish": (
        Segmenting(
            group="person", names=PARTS, floors=(Majority(), Place(), Forest(10, 10_000))
        ),
    ),
}
_FOLDER = {
    "data": Masks(),
    "algorithm.mask": "mask",
    "view": (Flip(("image", "mask")),),
    "finish": (Segmenting(),),
}


def net(of) -> Experiment:
    """BASE with another net."""
    return edit(BASE, {"algorithm.net": of})


def losses(*of) -> Experiment:
    """BASE with other losses."""
    return edit(BASE, {"algorithm.losses": of})


EXPERIMENTS = {
    "base": BASE,
    "stamps": edit(BASE, _STAMPS),
    "varied": edit(BASE, {**_STAMPS, **_VARIED}),
    "fcn8": net(FCN(stride=8)),
    "fcn16": net(FCN(stride=16)),
    "fcn32": net(FCN(stride=32)),
    "entropy": losses(CrossEntropy()),
    "dice": losses(Dice()),
    "quick": edit(BASE, _QUICK),
    "folder": edit(BASE, _FOLDER),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "segment"), __doc__)
