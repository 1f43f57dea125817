"""Is the game in balance? Every game on 25 Gaussians, whose density is known, watched from the first step to the last.

    python -m experiments.gan_game            BASE: the relativistic game with R1 and R2
    python -m experiments.gan_game minimax    also: non_saturating, least_squares, hinge, wasserstein, wgan, wgan_gp,
                                              no_penalty, r1_alone, simple (eight Gaussians on a ring)

Prints, for each checkpoint: modes found and the share of samples within four standard deviations of one; D on held-out
data and on samples; the share of pairs in which the held-out example scores higher (1/2 at equilibrium, 1 when D wins)
and in which a training example scores higher than a held-out one (1/2 unless D has learned examples by heart); how far
D is from the optimal discriminator; an estimate of the duality gap. Pictures: samples, distributions of D, curves.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Grid, Ring, Toy
from genjax.ema import Decay
from genjax.findings.game import GameCourse
from genjax.gan.games import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, R2, Gradient
from genjax.nets import MLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

TX = Adam(2e-3, b1=0.0, b2=0.99, decay=CosineDecay(0.1))
BASE = Experiment(
    data=Toy(Grid(), train=50_000),
    algorithm=GAN(
        latent=2,
        gen=MLP(
            (128, 128, 128), waves=3
        ),  # without waves in both nets edges of modes stay soft
        disc=MLP((128, 128, 128), waves=4),
        game=Relativistic(),
        penalties=(R1(0.02), R2(0.02)),
        optimiser=TX,
        disc_optimiser=TX,
        ema=Decay(0.999),
    ),
    steps=4000,
    batch=256,
    every=Every(log=50, evaluate=1000, sample=1000, save=1000),
    keep=4,
    samples=2000,
    finish=(GameCourse(),),
)
# 256 examples a critic step
WGAN = {
    "algorithm.game": Wasserstein(),
    "algorithm.critic_steps": 5,
    "batch": 1280,
    "steps": 2000,
    "every.save": 500,
}

EXPERIMENTS = {
    "base": BASE,
    "minimax": edit(BASE, {"algorithm.game": Minimax()}),
    "non_saturating": edit(BASE, {"algorithm.game": NonSaturating()}),
    "least_squares": edit(BASE, {"algorithm.game": LeastSquares()}),
    "hinge": edit(BASE, {"algorithm.game": Hinge()}),
    "wasserstein": edit(BASE, {"algorithm.game": Wasserstein()}),
    "wgan": edit(BASE, {**WGAN, "algorithm.penalties": (), "algorithm.weight_clip": 0.05}),
    "wgan_gp": edit(BASE, {**WGAN, "algorithm.penalties": (Gradient(1.0),)}),
    "r1_alone": edit(BASE, {"algorithm.penalties": (R1(0.02),)}),
    "no_penalty": edit(BASE, {"algorithm.penalties": ()}),
    "non_saturating_bare": edit(
        BASE, {"algorithm.game": NonSaturating(), "algorithm.penalties": ()}
    ),
    "simple": edit(BASE, {"data.mixture": Ring(), "steps": 2000, "every.save": 500}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "gan_game"), __doc__)
