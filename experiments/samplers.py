"""How many steps does a picture need, which sampler makes the most of them, and how much guidance is good?

    python -m experiments.samplers            all samplers at 1 to 35 steps on the model of experiments.diffusion
    python -m experiments.samplers digits     the same on the model of `experiments.diffusion digits`

Trains the model first if its run is not there. Tables: the Fréchet distance of each sampler's samples from the training
set, how far deterministic samplers end from the exact solution of the same flow, scales of guidance by the label and by
an earlier self, and averages of the weights of other widths, mixed after training.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.findings.denoising import SamplerTables
from genjax.metrics.features import Components
from genjax.metrics.judges import Svm
from genjax.training.loop import run
from genjax.training.watch import Watch

from . import diffusion

DIGITS = SamplerTables(distance=Components(16), classifier=Svm())

EXPERIMENTS = {
    "base": edit(diffusion.BASE, {"finish": (SamplerTables(),), "watch": Watch()}),
    "digits": edit(diffusion.EXPERIMENTS["digits"], {"finish": (DIGITS,), "watch": Watch()}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
