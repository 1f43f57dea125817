"""The families side by side: which generative model is better, on the same data, with the same seconds of training?

    python -m experiments.compare           BASE: scikit-learn's digits, minutes on two cores
    python -m experiments.compare fashion   Fashion-MNIST

An autoencoder with a density of its codes, a VAE, a GAN and a flow, all class-conditional, beside densities that need
no deep learning (probabilistic PCA, Gaussian mixtures, kernel densities) and the training set itself. Prints one table
and writes it with pictures as one page; every contender has its own run directory and report. `rate` of a contender is
its steps a second on two cores, so that `--seconds` trains all for about as long; the table prints what it took.
"""

from __future__ import annotations

from genjax import cli
from genjax.ae.autoencoder import Autoencoder
from genjax.classical import KernelDensity, Mixture, Ppca
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import FashionMNIST
from genjax.diffusion import named, schedules
from genjax.diffusion.guidance import Guidance
from genjax.ema import Decay, Power
from genjax.findings.comparison import Comparison, Entry, compare
from genjax.findings.contenders import Classical, OfCodes, Trained, TrainingSet
from genjax.findings.likelihood import Iwae, Ode
from genjax.gan import gan
from genjax.gan.penalties import R1, R2
from genjax.metrics.classifier import Convolutional
from genjax.metrics.evaluate import (
    Cas,
    DensityCoverage,
    Frechet,
    Memorisation,
    PrecisionRecall,
    Recognition,
)
from genjax.metrics.judges import Neighbours, Svm
from genjax.nets import MLP, DiT, GatedMLP, Gelu, R3Discriminator, R3Generator, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Experiment
from genjax.training.watch import Watch
from genjax.vae import vae
from genjax.vae.likelihoods import DiscretisedLogistic

TX = Adam(1e-3, warmup=200, decay=CosineDecay())
GAME = Adam(5e-4, b1=0.0, b2=0.99, warmup=100, decay=CosineDecay(0.1))
HIDDEN = (512, 512)

AUTOENCODER = Trained(
    Experiment(
        algorithm=Autoencoder(
            latent=16, enc=MLP(HIDDEN, Gelu()), dec=MLP(HIDDEN, Gelu()), optimiser=TX
        ),
        batch=128,
    ),
    rate=165.0,
    draw=OfCodes(Mixture(2, 16)),
)
VAE = Trained(
    Experiment(
        algorithm=vae.VAE(
            latent=16,
            enc=GatedMLP((256, 256)),
            dec=GatedMLP((256, 256)),
            likelihood=DiscretisedLogistic(),
            warmup=500,
            condition=(Label(),),
            optimiser=TX,
        ),
        batch=128,
    ),
    rate=215.0,
    bits=Iwae(100, 100),
)
GAN = Trained(
    Experiment(
        algorithm=gan.GAN(
            latent=32,
            gen=MLP((256, 256), Gelu()),
            disc=MLP((256, 256), Gelu()),
            penalties=(R1(0.3), R2(0.3)),
            condition=(Label(),),
            optimiser=GAME,
            disc_optimiser=GAME,
            ema=Decay(0.995),
        ),
        batch=128,
    ),
    rate=150.0,
)
FLOW = Trained(
    Experiment(
        algorithm=edit(
            named.FLOW,
            {
                "net": TimeMLP((256, 256, 256), waves=0),
                "std": 0.7,
                "condition": (Label(),),
                "schedule": schedules.Times(steps=18),
                "guidance": Guidance(1.0),
                "optimiser": TX,
                "ema": Power((0.1,)),
            },
        ),
        batch=128,
    ),
    rate=120.0,
    bits=Ode(),
)
BASE = Comparison(
    contenders=(
        Entry("training_set", TrainingSet()),
        Entry("ppca", Classical(Ppca(16))),
        Entry("mixture", Classical(Mixture(2, 24))),
        Entry("kernels", Classical(KernelDensity())),
        Entry("autoencoder", AUTOENCODER),
        Entry("vae", VAE),
        Entry("gan", GAN),
        Entry("flow", FLOW),
    ),
    watch=Watch(
        (
            Frechet(),
            PrecisionRecall(),
            DensityCoverage(),
            Memorisation(),
            Recognition(),
            Cas(Svm()),
        ),
        extractor=Convolutional(),
    ),
)
EXPERIMENTS = {
    "digits": BASE,
    "fashion": edit(
        BASE,
        {
            "data": FashionMNIST(),
            "contenders": (
                Entry("training_set", TrainingSet()),
                Entry("ppca", Classical(Ppca(64))),
                Entry("mixture", Classical(Mixture(8, 64))),
                Entry("kernels", Classical(KernelDensity())),
                Entry(
                    "autoencoder",
                    edit(
                        AUTOENCODER,
                        {"exp.algorithm.latent": 32, "draw": OfCodes(Mixture(8, 32)), "rate": 80.0},
                    ),
                ),
                Entry(
                    "vae",
                    edit(
                        VAE,
                        {
                            "exp.algorithm.latent": 32,
                            "exp.algorithm.dec": GatedMLP((512, 512)),
                            "rate": 48.0,
                        },
                    ),
                ),
                Entry(
                    "gan",
                    edit(
                        GAN,
                        {
                            "exp.algorithm.gen": R3Generator((32, 64), patch=2),
                            "exp.algorithm.disc": R3Discriminator((32, 64), patch=2),
                            "exp.batch": 64,
                            "rate": 3.5,
                        },
                    ),
                ),
                Entry(
                    "flow",
                    edit(
                        FLOW,
                        {
                            "exp.algorithm.net": DiT(patch=4, width=128, depth=4, heads=4),
                            "exp.algorithm.guidance": Guidance(1.5),
                            "exp.batch": 64,
                            "rate": 5.5,
                        },
                    ),
                ),
            ),
            "seconds": 400.0,
            "watch.samples": 2000,
            "watch.metrics": (*BASE.watch.metrics[:-1], Cas(Neighbours())),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, compare, __doc__)
