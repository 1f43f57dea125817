"""How well do 64 numbers hold a picture: linear, deep and convolutional autoencoders against PCA.

    python -m experiments.autoencoder linear64     test MSE beside PCA's own, and the angle between the subspaces
    python -m experiments.autoencoder deep64
    python -m experiments.autoencoder conv64
    python -m experiments.autoencoder plane        two latents, autoencoder against VAE: which plane has holes?

Published for 64 latents (pixels in [0, 1], full test set): linear .01047, plain MLP .00971, ViT .00493.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.ae.autoencoder import Autoencoder, BernoulliError
from genjax.config import edit
from genjax.data import FashionMNIST
from genjax.findings.codes import Plane, Reconstruction
from genjax.nets import MLP, ConvDecoder, ConvEncoder, Gelu
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment, Published
from genjax.training.loop import run
from genjax.vae.vae import VAE

TX = Adam(1e-3, warmup=500, decay=CosineDecay())
MSE = functools.partial(Published, "reconstruction", "mse")
OF_64 = (("data", FashionMNIST()), ("algorithm.latent", 64))
OF_128 = (("data", FashionMNIST()), ("algorithm.latent", 128))
PCA64 = MSE(0.01047, "PCA, 64 components", OF_64)
PCA128 = MSE(0.00653, "PCA, 128 components", OF_128)
OTHERS = (
    MSE(0.00971, "plain MLP, 64 latents", OF_64),
    MSE(0.00493, "ViT, 64 latents", OF_64),
)

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=Autoencoder(latent=64, optimiser=TX),
    steps=20_000,
    batch=256,
    every=Every(log=500, evaluate=2000, sample=0, save=2000),
    chunk=10,
    published=(PCA64,),
    finish=(Reconstruction(angle=True),),
)

_NONLINEAR = {"published": OTHERS, "finish": (Reconstruction(),)}
_DEEP = {
    "algorithm.enc": MLP((512, 256), Gelu(), norm=True, skip=True),
    "algorithm.dec": MLP((256, 512), Gelu(), norm=True, skip=True),
    "batch": 128,
}
_CONV = {
    "algorithm.enc": ConvEncoder((64,), patch=4, skip=True),
    "algorithm.dec": ConvDecoder((64,), patch=4, skip=True),
    "steps": 12_000,
    "batch": 64,
    "chunk": 1,  # XLA runs the gradients of convolutions slowly inside a loop on CPU
}
_PLANE = {
    "latent": 2,
    "enc": MLP((512, 256), Gelu()),
    "dec": MLP((256, 512), Gelu()),
    "optimiser": TX,
}

EXPERIMENTS = {
    "base": BASE,
    "linear64": BASE,
    "linear128": edit(BASE, {"algorithm.latent": 128, "published": (PCA128,)}),
    "deep64": edit(BASE, {**_DEEP, **_NONLINEAR, "steps": 30_000}),
    "bernoulli64": edit(BASE, {**_DEEP, **_NONLINEAR, "algorithm.error": BernoulliError()}),
    "conv64": edit(BASE, {**_CONV, **_NONLINEAR}),
    "plane": edit(
        BASE,
        {
            "algorithm": Autoencoder(**_PLANE),
            "steps": 10_000,
            "finish": (Plane(VAE(**_PLANE)),),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "autoencoder"), __doc__)
