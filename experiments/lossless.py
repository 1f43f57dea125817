"""How many bytes does a picture of clothing take if none of it may be lost?

    python -m experiments.lossless            BASE: Fashion-MNIST with 256 grey levels, packed by a VAE
    python -m experiments.lossless binary     black and white: each pixel drawn once from its grey value
    python -m experiments.lossless digits     8x8 digits with 17 grey levels, half a minute
    python -m experiments.lossless --list     all

Bits back (Townsend et al. 2019, arXiv:1901.04866): the first 1,000 test images become one file, whose bytes are counted
whole and stand beside -ELBO of the same images, PNG, WebP without loss and xz -9e. What the buckets of the latents cost
is in the same table. BB-ANS reached 1.41 bits/dim on MNIST with 256 grey levels, where -ELBO was 1.39 (recalled).
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.findings.codes import VaePictures
from genjax.findings.packing import Packing
from genjax.nets import GatedMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.vae.likelihoods import Bernoulli, DiscretisedLogistic
from genjax.vae.vae import VAE

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=VAE(
        # half of all pixels are black: at the default's least scale each would still cost a sixth of a bit
        likelihood=DiscretisedLogistic(bounds=(-10.0, 2.0)),
        # grey levels are finer than a posterior of deviation 0.05 can tell apart
        log_var=(-10.0, 2.0),
        optimiser=Adam(1e-3, warmup=500, decay=CosineDecay()),
    ),
    steps=20_000,
    batch=100,
    chunk=10,
    every=Every(log=1000, evaluate=5000, sample=20_000, save=5000),
    finish=(VaePictures(), Packing()),
)

_BINARY = {"algorithm.likelihood": Bernoulli(), "algorithm.log_var": (-6.0, 2.0)}
_DIGITS = {
    "data": Digits(),
    # their grey values are sixteenths
    "algorithm.likelihood": DiscretisedLogistic(17, (-10.0, 2.0)),
    "algorithm.latent": 16,
    "algorithm.enc": GatedMLP((128, 128)),
    "algorithm.dec": GatedMLP((128, 128)),
    "steps": 3000,
    "every": Every(log=500, evaluate=1000, sample=3000, save=1000),
}

EXPERIMENTS = {
    "base": BASE,
    "latent80": edit(BASE, {"algorithm.latent": 80}),
    "binary": edit(BASE, _BINARY),
    "digits": edit(BASE, _DIGITS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "lossless"), __doc__)
