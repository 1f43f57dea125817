"""How few bits hold a photograph: a net that two cores have trained beside JPEG, WebP and AVIF.

    python -m experiments.compress               one net for all rates
    python -m experiments.compress factorised    no hyperprior
    python -m experiments.compress scale         no means out of the neighbours: a hyperprior alone
    python -m experiments.compress fixed_0.009   a net for one lambda; fixed_0.0008, fixed_0.0027, fixed_0.03
    python -m experiments.compress photographs   the two photographs of scikit-learn, where there are no scenes

Then for files: python -m genjax.compress encode runs/compress/base-… photo.png
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.ae.compression.model import Compression
from genjax.ae.compression.priors import Factorised, Hyper
from genjax.config import edit
from genjax.data import Photographs
from genjax.data.scenes import Scenes
from genjax.findings.coding import Coding
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Flip

BASE = Experiment(
    data=Scenes(128, stride=64),
    algorithm=Compression(
        optimiser=Adam(1e-3, warmup=100, decay=CosineDecay(0.02), clip=1.0),
    ),
    steps=7000,
    batch=4,
    view=(Flip(),),
    evaluate_batch=16,
    samples=8,
    every=Every(log=100, evaluate=1000, sample=2500, save=500),
    finish=(Coding(),),
)


def fixed(weight: float) -> Experiment:
    """A net for one lambda, with fewer steps."""
    one = {"low": weight, "high": weight, "knots": 1, "shown": (0.0,)}
    settings = {f"algorithm.{name}": value for name, value in one.items()}
    return edit(BASE, {**settings, "steps": 2000})


EXPERIMENTS = {
    "base": BASE,
    "factorised": edit(BASE, {"algorithm.prior": Factorised()}),
    "scale": edit(BASE, {"algorithm.prior": Hyper(context=False)}),
    "fixed_0.0008": fixed(0.0008),
    "fixed_0.0027": fixed(0.0027),
    "fixed_0.009": fixed(0.009),
    "fixed_0.03": fixed(0.03),
    # crops of 128 do not fit the halved ones; no whole scene is held out of two photographs
    "photographs": edit(
        BASE, {"data": Photographs(96, halvings=0), "steps": 2000, "finish": ()}
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "compress"), __doc__)
