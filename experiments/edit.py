"""Image -> image: what can a trained diffusion model do to a picture that it has never seen?

    python -m experiments.edit            on the model of experiments.diffusion: noise and back, holes, blocks, blends
    python -m experiments.edit digits     the same on the model of `experiments.diffusion digits`
    python -m experiments.edit coarse     a model that is trained to see the coarse image beside the noise
    python -m experiments.edit colour     colourising by a model that is trained to see the grey image

Trains the model first if its run is not there. Every restoration is measured: the mean squared error over what was lost
(lower is not better pictures: the mean of all answers has the least), and how far the result is from what was known.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label, Picture
from genjax.config import edit
from genjax.corruptions import Coarse, Grey
from genjax.data import Photographs
from genjax.diffusion.guidance import Guidance
from genjax.findings.editing import Edits, Restored
from genjax.training.loop import run
from genjax.training.watch import Watch

from . import diffusion

BASE = edit(diffusion.BASE, {"finish": (Edits(),), "watch": Watch()})
DIGITS = edit(diffusion.EXPERIMENTS["digits"], {"watch": Watch()})

_COARSE = {
    "algorithm.condition": (Label(), Picture(through=Coarse(4))),
    "finish": (Restored(),),
}
_COLOUR = {
    "data": Photographs(),
    "algorithm.condition": (Picture(through=Grey()),),
    "algorithm.guidance": Guidance(),
    "finish": (Restored(),),
    "steps": 3000,
}

EXPERIMENTS = {
    "base": BASE,
    "digits": edit(DIGITS, {"finish": (Edits(coarse=Coarse(2)),)}),
    "coarse": edit(DIGITS, _COARSE),
    "colour": edit(BASE, _COLOUR),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
