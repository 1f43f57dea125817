"""How many of 1,000 modes does a GAN find? Three digits as the channels of one image: every triple is a mode.

    python -m experiments.stacked             BASE: the relativistic game with R1 and R2
    python -m experiments.stacked --list      also without penalties, and games that are known to lose modes

Prints the modes that a classifier of single digits reads in the samples, of 1,000, and the KL divergence [nats] of what
it reads from the uniform (Srivastava et al. 2017, arXiv:1705.07761, sec. 4.2), beside those of as many real examples.
The set is made of scikit-learn's 8x8 digits, not of MNIST: the published 1,000 of R3GAN (arXiv:2501.05441, table 1) are
of another set.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import StackedDigits
from genjax.ema import Decay
from genjax.findings.game import StackedModes
from genjax.findings.samples import Samples
from genjax.gan import named
from genjax.gan.games import NonSaturating
from genjax.gan.penalties import R1, R2
from genjax.nets import R3Discriminator, R3Generator
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

TX = Adam(4e-4, b1=0.0, b2=0.99, warmup=200, decay=CosineDecay(0.1))

BASE = Experiment(
    data=StackedDigits(),
    algorithm=edit(
        named.R3GAN,
        {
            "gen": R3Generator((32, 64)),
            "disc": R3Discriminator((32, 64)),
            "penalties": (R1(1.0), R2(1.0)),
            "optimiser": TX,
            "disc_optimiser": TX,
            "ema": Decay(0.999),
        },
    ),
    steps=4000,
    batch=64,
    every=Every(log=100, evaluate=1000, sample=1000, save=1000),
    finish=(Samples(), StackedModes()),
)

EXPERIMENTS = {
    "base": BASE,
    "no_penalty": edit(BASE, {"algorithm.penalties": ()}),
    "r1_alone": edit(BASE, {"algorithm.penalties": (R1(1.0),)}),
    "non_saturating": edit(BASE, {"algorithm.game": NonSaturating()}),
    "non_saturating_bare": edit(
        BASE, {"algorithm.game": NonSaturating(), "algorithm.penalties": ()}
    ),
    "dcgan": edit(BASE, {"algorithm": named.DCGAN}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "stacked"), __doc__)
