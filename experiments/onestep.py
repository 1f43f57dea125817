"""How good are samples that cost one evaluation of the net: MeanFlow and consistency training at 1, 2 and 4 steps.

    python -m experiments.onestep                     MeanFlow, a small DiT on Fashion-MNIST
    python -m experiments.onestep consistency         the same net as a consistency model
    python -m experiments.onestep digits              8x8 digits by class
    python -m experiments.onestep toy                 eight Gaussians on a ring
    python -m experiments.onestep --list              also: digits_consistency, toy_consistency

Toys print the modes found and the share of samples within four standard deviations of one. Digits print the share of
samples that a support vector machine, trained on the real training digits, takes for the digit that was asked for,
beside the same share of the real test digits.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, FashionMNIST, Ring, Toy
from genjax.diffusion.consistency import Consistency
from genjax.diffusion.onestep import MeanFlow
from genjax.findings.denoising import FewSteps, Modes, Recognised
from genjax.nets import DiT, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

FREQUENCY = 2.0  # of the clocks: see MeanFlow.net
TX = Adam(1e-3, warmup=500, decay=CosineDecay(), clip=1.0)

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=MeanFlow(
        net=DiT(patch=4, width=128, depth=4, heads=4, frequency=FREQUENCY), optimiser=TX
    ),
    steps=20_000,
    batch=128,
    every=Every(log=200, evaluate=2000, sample=2000, save=1000),
    finish=(FewSteps(),),
)

_SMALL = {"data": Digits(), "evaluate_batch": 360, "finish": (FewSteps(measure=Recognised()),)}
_DIGITS = DiT(patch=2, width=96, depth=4, heads=4, frequency=FREQUENCY)
_TOY = {
    "data": Toy(Ring(), train=50_000),
    "steps": 8000,
    "batch": 256,
    "every.log": 500,
    "samples": 2000,
    "evaluate_batch": 2000,
    "finish": (FewSteps(samples=10_000, measure=Modes()),),
}

EXPERIMENTS = {
    "base": BASE,
    "consistency": edit(
        BASE, {"algorithm": Consistency(net=BASE.algorithm.net, std=0.7, optimiser=TX)}
    ),
    "digits": edit(
        BASE,
        {
            **_SMALL,
            "steps": 5000,
            "algorithm": MeanFlow(net=_DIGITS, condition=(Label(),), optimiser=TX),
        },
    ),
    "digits_consistency": edit(
        BASE,
        {
            **_SMALL,
            "steps": 5000,
            "algorithm": Consistency(net=_DIGITS, std=0.75, condition=(Label(),), optimiser=TX),
        },
    ),
    "toy": edit(
        BASE,
        {
            **_TOY,
            "algorithm": MeanFlow(net=TimeMLP(frequency=FREQUENCY), share=0.5, optimiser=TX),
        },
    ),
    "toy_consistency": edit(
        BASE,
        {
            **_TOY,
            "algorithm": Consistency(net=TimeMLP(frequency=FREQUENCY), std=1.42, optimiser=TX),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "onestep"), __doc__)
