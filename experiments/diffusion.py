"""Noise -> image: which path, net and prediction make the best pictures on the same budget?

    python -m experiments.diffusion            BASE: a flow-matching transformer on Fashion-MNIST, class-conditional
    python -m experiments.diffusion digits     8x8 digits in three minutes on two cores, read back by a classifier
    python -m experiments.diffusion --list     the other configs: DDPM, cosine, v-prediction, EDM, JiT, U-Net …

Prints the Fréchet distance of samples from the training set on whitened principal components, and the share of samples
that a classifier trained on real images takes for the class asked for, each with its interval and beside that of as
many held-out real images. Costs and numbers are in experiments/README.md.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.diffusion import named, schedules
from genjax.diffusion.gaussian import Diffusion
from genjax.diffusion.guidance import Guidance
from genjax.ema import Power
from genjax.findings.denoising import Trajectories
from genjax.findings.likelihood import Bits, Ode
from genjax.findings.samples import Samples
from genjax.metrics.evaluate import Frechet, PrecisionRecall, Recognition
from genjax.metrics.features import Components
from genjax.metrics.judges import Neighbours, Svm
from genjax.nets import DiT, UNet
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.watch import Watch

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=edit(
        named.FLOW,
        {
            "net": DiT(patch=4, width=128, depth=6, heads=4),
            "std": 0.7,
            "condition": (Label(),),
            "guidance": Guidance(1.5),
            "optimiser": Adam(1e-3, warmup=300, decay=CosineDecay(), clip=1.0),
            "ema": Power((0.05, 0.10)),
        },
    ),
    steps=7000,
    batch=64,
    every=Every(log=100, evaluate=2000, sample=1000, save=500),
    keep=14,  # snapshots: any width of the average, and the weak model of autoguidance, come from them
    watch=Watch((Frechet(), Recognition(Neighbours()), PrecisionRecall()), samples=2000),
    finish=(Samples(), Trajectories()),
)


def _with(cfg: Diffusion) -> dict:
    """BASE's net, data and optimiser under another of the named models."""
    names = ("net", "condition", "guidance", "optimiser", "ema")
    kept = {name: getattr(BASE.algorithm, name) for name in names}
    return {"algorithm": edit(cfg, kept)}


_DIGITS = {
    "data": Digits(),
    "algorithm.net": DiT(patch=2, width=96, depth=4, heads=4),
    "algorithm.schedule": schedules.Times(steps=18),
    "algorithm.guidance": Guidance(2.0),
    "steps": 2500,
    "batch": 64,
    "watch.metrics": (Frechet(), Recognition(Svm()), PrecisionRecall()),
    "watch.samples": 0,  # as many as there are held-out digits
    "watch.extractor": Components(16),
    "finish": (Samples(), Trajectories(), Bits(Ode(), images=100)),
}

EXPERIMENTS = {
    "base": BASE,
    "ddpm": edit(BASE, _with(named.DDPM)),
    "ddpm_cosine": edit(BASE, _with(named.DDPM_COSINE)),
    "v": edit(BASE, _with(named.V_PREDICTION)),
    "edm": edit(BASE, {**_with(named.EDM), "algorithm.std": 0.7, "algorithm.predict.std": 0.7}),
    "jit": edit(BASE, {**_with(named.JIT), "algorithm.std": 0.7}),
    "unet": edit(BASE, {"algorithm.net": UNet(widths=(32, 64), blocks=1)}),
    "unconditional": edit(
        BASE,
        {
            "algorithm.condition": (),
            "algorithm.guidance": Guidance(),
            "watch.metrics": (Frechet(), PrecisionRecall()),
        },
    ),
    "digits": edit(BASE, _DIGITS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
