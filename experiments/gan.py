"""Noise -> image by a game: which game, with which penalty, makes pictures that are both good and various?

    python -m experiments.gan            BASE: R3GAN's game, penalties and blocks on Fashion-MNIST, class-conditional
    python -m experiments.gan digits     8x8 digits in nine minutes on two cores, read back by a classifier
    python -m experiments.gan --list     the other games and penalties, and DCGAN, WGAN, WGAN-GP, SNGAN, R1

Prints the Fréchet distance of samples on whitened principal components, the share of samples that a classifier trained
on real images takes for the class asked for, precision and recall, and the recall of the worst class: a collapsed class
has none. Each has its interval and stands beside that of real images. Also how D scores training images, held-out ones
and samples. Costs and numbers are in experiments/README.md.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.ema import Decay
from genjax.findings.game import Balance, Interpolation
from genjax.findings.samples import Samples
from genjax.gan import named
from genjax.gan.augment import Ada, DiffAugment
from genjax.gan.games import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, R2
from genjax.metrics.evaluate import ClassRecall, Frechet, PrecisionRecall, Recognition
from genjax.metrics.features import Components
from genjax.metrics.judges import Neighbours, Svm
from genjax.nets import R3Discriminator, R3Generator
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.watch import Watch

TX = Adam(4e-4, b1=0.0, b2=0.99, warmup=200, decay=CosineDecay(0.1))
VARIETY = (PrecisionRecall(), ClassRecall())

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=edit(
        named.R3GAN,
        {
            "gen": R3Generator((32, 64), patch=2),
            "disc": R3Discriminator((32, 64), patch=2),
            "condition": (Label(),),
            "penalties": (R1(0.3), R2(0.3)),
            "optimiser": TX,
            "disc_optimiser": TX,
            "ema": Decay(0.999),
        },
    ),
    steps=8000,
    batch=64,
    every=Every(log=100, evaluate=1000, sample=1000, save=1000),
    watch=Watch((Frechet(), Recognition(Neighbours()), *VARIETY), samples=2000),
    finish=(Samples(), Interpolation(), Balance()),
)


def _named(cfg: GAN) -> dict:
    return {"algorithm": edit(cfg, {"condition": (Label(),)}), "batch": 64 * cfg.critic_steps}


_DIGITS = {
    "data": Digits(),
    "algorithm.gen": R3Generator((32, 64)),
    "algorithm.disc": R3Discriminator((32, 64)),
    "steps": 4000,
    "watch.metrics": (Frechet(), Recognition(Svm()), *VARIETY),
    "watch.samples": 0,  # as many as there are held-out digits
    "watch.extractor": Components(16),
}

EXPERIMENTS = {
    "base": BASE,
    "minimax": edit(BASE, {"algorithm.game": Minimax()}),
    "non_saturating": edit(BASE, {"algorithm.game": NonSaturating()}),
    "least_squares": edit(BASE, {"algorithm.game": LeastSquares()}),
    "hinge": edit(BASE, {"algorithm.game": Hinge()}),
    "wasserstein": edit(BASE, {"algorithm.game": Wasserstein()}),
    "r1_alone": edit(BASE, {"algorithm.penalties": (R1(0.3),)}),
    "no_penalty": edit(BASE, {"algorithm.penalties": ()}),
    "diffaugment": edit(BASE, {"algorithm.augment": DiffAugment()}),
    "ada": edit(BASE, {"algorithm.augment": Ada(rate=1e-3), "algorithm.game": NonSaturating()}),
    **{name: edit(BASE, _named(cfg)) for name, cfg in named.ALL.items() if name != "r3gan"},
    "digits": edit(BASE, _DIGITS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "gan"), __doc__)
