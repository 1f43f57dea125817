"""How many bits does a picture hold? A variational diffusion bound on 256 grey levels.

    python -m experiments.bits            BASE: a U-Net with a learned noise schedule, continuous time
    python -m experiments.bits digits     8x8 digits, small and quick
    python -m experiments.bits --list     the ablations: 1000 steps, a straight schedule, a transformer …

Prints bits per dimension of the whole test set, an upper bound on -log2 p(x) with its three terms, beside Glow's 2.958.
Costs and numbers are in experiments/README.md.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.diffusion.vdm import VDM, LinearGamma
from genjax.findings.denoising import VdmPictures
from genjax.findings.likelihood import DiffusionBound
from genjax.findings.samples import Samples
from genjax.nets import DiT, UNet
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment, Published
from genjax.training.loop import run

GLOW = Published(
    "bits20",
    "bits_per_dim",
    2.958,
    "Glow, recalled, not opened",
    of=(("data", FashionMNIST()), ("algorithm.condition", ())),
)

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=VDM(
        net=UNet(widths=(32, 64), blocks=1),
        sampling_steps=100,
        optimiser=Adam(1e-3, warmup=500, decay=CosineDecay()),
    ),
    steps=8000,
    batch=64,
    every=Every(log=100, evaluate=2000, sample=4000, save=500),
    samples=36,
    published=(GLOW,),
    finish=(Samples(), VdmPictures(), DiffusionBound()),
)

_DIGITS = {
    "data": Digits(),
    "algorithm.net": UNet(widths=(32, 64), blocks=1, patch=1, attention=(4,)),
    "steps": 2000,
    "batch": 64,
    "every.evaluate": 500,
    "every.sample": 1000,
    "published": (),
}
# bits given the label
_CONDITIONAL = {"algorithm.condition": (Label(),), "published": ()}

EXPERIMENTS = {
    "base": BASE,
    "linear": edit(BASE, {"algorithm.schedule": LinearGamma()}),
    "fixed": edit(BASE, {"algorithm.schedule": LinearGamma(learn_ends=False)}),
    "discrete": edit(BASE, {"algorithm.bound_steps": 1000}),
    "no_fourier": edit(BASE, {"algorithm.fourier": False}),
    "conditional": edit(BASE, _CONDITIONAL),
    "dit": edit(BASE, {"algorithm.net": DiT(patch=4, width=128, depth=6, heads=4)}),
    "digits": edit(BASE, _DIGITS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "bits"), __doc__)
