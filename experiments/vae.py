"""How much does a VAE know about its data, in nats?

    python -m experiments.vae            BASE: the published net (gated 2x300, latent 40), dynamically binarised
    python -m experiments.vae --list     the ablations
    python -m experiments.vae betas      a sweep: three betas with three seeds each, compared on one page

BASE prints -log p(x) by IWAE with 5,000 samples over the full test set, beside 228.70 +- 0.15, the figure of the
Exemplar VAE paper (Norouzi et al. 2020, arXiv:2004.04795) for this net with the prior N(0, I).
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.findings.codes import VaePictures
from genjax.findings.likelihood import VaeBounds
from genjax.nets import ConvDecoder, ConvEncoder, GatedMLP
from genjax.optim import Adam, CosineDecay
from genjax.sweep import grid
from genjax.training.experiment import Every, Experiment, Published
from genjax.training.loop import run
from genjax.vae.likelihoods import Bernoulli, DiscretisedLogistic
from genjax.vae.vae import VAE

EXEMPLAR_VAE = Published(
    "iwae5000",
    "log_p",
    -228.70,
    "± 0.15, Exemplar VAE paper, same net and prior; 50,000 training images, ours 60,000",
    of=(
        ("data", FashionMNIST()),
        ("algorithm.enc", GatedMLP()),
        ("algorithm.latent", 40),
        ("algorithm.likelihood", Bernoulli()),
    ),
)

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=VAE(warmup=60_000, optimiser=Adam(1e-3, warmup=1000, decay=CosineDecay())),
    steps=400_000,
    batch=100,
    chunk=10,
    every=Every(log=2000, evaluate=10_000, sample=20_000, save=10_000),
    published=(EXEMPLAR_VAE,),
    finish=(VaePictures(), VaeBounds()),
)

# An ablation is a thirteenth as long, and is measured with a tenth of the importance samples
_SHORT = {
    "steps": 30_000,
    "algorithm.warmup": 5000,
    "published": (),
    "finish.VaeBounds.by.samples": 500,
}
_CONV = {
    "algorithm.enc": ConvEncoder((32, 64)),
    "algorithm.dec": ConvDecoder((32, 64)),
    "steps": 10_000,
    "chunk": 1,  # XLA runs the gradients of convolutions slowly inside a loop on CPU
}
_DIGITS = {
    "data": Digits(),
    "algorithm.latent": 16,
    "algorithm.enc": GatedMLP((256, 256)),
    "algorithm.dec": GatedMLP((256, 256)),
    "algorithm.warmup": 1000,
    "steps": 6000,
    "every": Every(log=500, evaluate=1000, sample=2000, save=2000),
}

# what beta costs in nats, beside what another seed costs
BETAS = grid(
    edit(BASE, {**_SHORT, **_DIGITS}), {"algorithm.beta": (0.5, 1, 4), "seed": range(3)}
)

EXPERIMENTS = {
    "base": BASE,
    "beta4": edit(BASE, {**_SHORT, "algorithm.beta": 4.0}),
    "latent2": edit(BASE, {**_SHORT, "algorithm.latent": 2}),
    "conv": edit(BASE, {**_SHORT, **_CONV}),
    "conditional": edit(BASE, {**_SHORT, "algorithm.condition": (Label(),)}),
    "iwae": edit(BASE, {**_SHORT, "algorithm.samples": 5, "algorithm.warmup": 0}),
    "free_bits": edit(BASE, {**_SHORT, "algorithm.free_bits": 0.1}),
    "discretised": edit(BASE, {**_SHORT, "algorithm.likelihood": DiscretisedLogistic()}),
    "digits": edit(BASE, {**_SHORT, **_DIGITS}),
    "betas": BETAS,
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "vae"), __doc__)
