"""Does the model find every mode of a density that we know exactly, and how many nats is it off?

    python -m experiments.toy2d             a VAE on eight Gaussians on a ring, a minute or two on two cores
    python -m experiments.toy2d grid        25 Gaussians on a grid; also: moons, spiral
    python -m experiments.toy2d edm         EDM on the grid; also: flow, ddpm, ddpm_cosine, v, jit

Prints KL(p || model) in nats = E_p[log p(x) - log model(x)], log p exact; log model exact for diffusion and flows, by
the probability-flow ODE, and a bound for the VAE, by IWAE. Also the modes found and the share of samples within four
standard deviations of a mode.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Grid, Moons, Ring, Spiral, Toy
from genjax.diffusion import named
from genjax.diffusion.gaussian import Diffusion
from genjax.diffusion.guidance import Keep
from genjax.findings.likelihood import PRECISE, Iwae
from genjax.findings.truth import Truth
from genjax.nets import MLP, Gelu, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

BASE = Experiment(
    data=Toy(Ring(), train=50_000),
    algorithm=VAE(
        latent=2,
        enc=MLP((128, 128), Gelu()),
        dec=MLP((128, 128), Gelu()),
        likelihood=Gaussian(scale=None),
        samples=8,
        draw=True,
        optimiser=Adam(2e-3, decay=CosineDecay()),
    ),
    steps=8000,
    batch=256,
    every=Every(log=500, evaluate=2000, sample=2000, save=2000),
    samples=2000,
    finish=(Truth(Iwae(1000)),),
)


def _diffusion(cfg: Diffusion) -> Experiment:
    """A named model on the grid, with the same net and budget for all."""
    changes = {
        "net": TimeMLP((128, 128, 128)),
        "std": 1.4,
        "threshold": Keep(),
        "optimiser": Adam(2e-3, decay=CosineDecay()),
    }
    scaled = {"predict.std": 1.4} if hasattr(cfg.predict, "std") else {}
    algorithm = edit(cfg, {**changes, **scaled})
    return edit(
        BASE, {"data.mixture": Grid(), "algorithm": algorithm, "finish": (Truth(PRECISE),)}
    )


EXPERIMENTS = {
    "base": BASE,
    "elbo": edit(BASE, {"algorithm.samples": 1}),
    "grid": edit(BASE, {"data.mixture": Grid()}),
    "moons": edit(BASE, {"data.mixture": Moons()}),
    "spiral": edit(BASE, {"data.mixture": Spiral()}),
    **{name: _diffusion(cfg) for name, cfg in named.ALL.items()},
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "toy2d"), __doc__)
