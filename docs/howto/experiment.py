"""Does a wider code help a VAE of digits?

    python -m experiment --list                 the ablations, as differences from BASE
    python -m experiment                        BASE: 16 latents
    python -m experiment narrow                 2 latents
    python -m experiment --algorithm.beta=4     BASE with another value anywhere

Prints the ELBO with its parts and a tighter bound, of the whole test set.
"""

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Digits
from genjax.findings.codes import VaePictures
from genjax.findings.likelihood import Iwae, VaeBounds
from genjax.nets import GatedMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.vae.vae import VAE

NET = GatedMLP((256, 256))
BASE = Experiment(
    data=Digits(),
    algorithm=VAE(latent=16, enc=NET, dec=NET, optimiser=Adam(1e-3, decay=CosineDecay())),
    steps=4000,
    batch=64,
    every=Every(log=500, evaluate=1000, sample=1000, save=1000),
    finish=(VaePictures(), VaeBounds(by=Iwae(100))),
)

# an ablation is an edit of another config: what is not said is as it was
EXPERIMENTS = {
    "base": BASE,
    "narrow": edit(BASE, {"algorithm.latent": 2}),
    "wide": edit(BASE, {"algorithm.latent": 64}),
    "no_kl_at_first": edit(BASE, {"algorithm.warmup": 1000}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "width"), __doc__)
