"""What do the styles of StyleGAN2 steer? Truncation, mixing, directions, real images projected into w, a film.

    python -m experiments.stylegan2           BASE: class-conditional on Fashion-MNIST
    python -m experiments.stylegan2 digits    8x8 digits on two cores

Prints what `experiments.gan` prints, distance and recall along the truncation curve, and the error of projected test
images. Pictures: samples, truncation, mixing, directions (principal ones of w, and those of closed form), projection;
a film of a path in w as GIF.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.findings.samples import Samples
from genjax.findings.styles import Styles, TruncationCurve
from genjax.gan.penalties import R1
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.evaluate import ClassRecall, Frechet, PrecisionRecall, Recognition
from genjax.metrics.features import Components
from genjax.metrics.judges import Neighbours, Svm
from genjax.nets import StyleDiscriminator, StyleMapping, StyleSynthesis
from genjax.optim import Adam
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.watch import Watch

VARIETY = (PrecisionRecall(), ClassRecall())
TX = Adam(1e-3, b1=0.0, b2=0.99, warmup=200)
BASE = Experiment(
    data=FashionMNIST(),
    algorithm=StyleGAN2(
        latent=64,
        mapping=StyleMapping(depth=4, width=64),
        synthesis=StyleSynthesis((32, 64, 64)),
        disc=StyleDiscriminator((32, 64, 64)),
        r1=R1(1.0),
        condition=(Label(),),
        optimiser=TX,
        disc_optimiser=TX,
    ),
    steps=10_000,
    batch=32,
    every=Every(log=100, evaluate=1000, sample=1000, save=500),
    watch=Watch((Frechet(), Recognition(Neighbours()), *VARIETY), samples=2000),
    finish=(Samples(), Styles(), TruncationCurve()),
)
EXPERIMENTS = {
    "base": BASE,
    "no_mixing": edit(BASE, {"algorithm.mixing": 0.0}),
    "no_path_length": edit(BASE, {"algorithm.path_weight": 0.0}),
    "digits": edit(
        BASE,
        {
            "data": Digits(),
            "algorithm.synthesis": StyleSynthesis((32, 64)),
            "algorithm.disc": StyleDiscriminator((32, 64), group=4),
            "algorithm.r1": R1(2.0),
            "algorithm.optimiser.lr": 2.5e-3,
            "algorithm.disc_optimiser.lr": 2.5e-3,
            "steps": 12_000,
            "every.save": 2000,
            "watch.metrics": (Frechet(), Recognition(Svm()), *VARIETY),
            "watch.samples": 0,  # as many as there are held-out digits
            "watch.extractor": Components(16),
            "finish.TruncationCurve.distance": Components(16),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "stylegan2"), __doc__)
