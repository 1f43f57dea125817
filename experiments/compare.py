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
from genjax.ema import Decay, Power
from genjax.findings.comparison import Comparison, Entry, compare
from genjax.findings.contenders import Classical, OfCodes, Trained
from genjax.findings.likelihood import Iwae, Ode
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, R2
from genjax.metrics import evaluate as metrics
from genjax.metrics.classifier import Convolutional
from genjax.metrics.judges import Neighbours, Svm
from genjax.nets import MLP, DiT, GatedMLP, Gelu, R3Discriminator, R3Generator, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Experiment
from genjax.training.watch import Watch
from genjax.vae.likelihoods import DiscretisedLogistic
from genjax.vae.vae import VAE

TX = Adam(1e-3, warmup=200, decay=CosineDecay())
GAME = Adam(5e-4, b1=0.0, b2=0.99, warmup=100, decay=CosineDecay(0.1))
WIDE, SMALL, GATED = MLP((512, 512), Gelu()), MLP((256, 256), Gelu()), GatedMLP((256, 256))
LABEL = (Label(),)

_VAE = VAE(16, GATED, GATED, DiscretisedLogistic(), warmup=500, condition=LABEL, optimiser=TX)
_PLAYERS = {"gen": SMALL, "disc": SMALL, "penalties": (R1(0.3), R2(0.3))}
_GAME = {"optimiser": GAME, "disc_optimiser": GAME, "ema": Decay(0.995)}
_GAN = GAN(32, condition=LABEL, **_PLAYERS, **_GAME)
_FLOW = {
    "net": TimeMLP((256, 256, 256), waves=0),
    "std": 0.7,
    "condition": LABEL,
    "schedule": schedules.Times(steps=18),
    "optimiser": TX,
    "ema": Power((0.1,)),
}
AUTOENCODER = Trained(
    Experiment(algorithm=Autoencoder(16, WIDE, WIDE, optimiser=TX)),
    rate=165.0,
    draw=OfCodes(Mixture(2, 16)),
)
OF_VAE = Trained(Experiment(algorithm=_VAE), rate=215.0, bits=Iwae(100, 100))
OF_GAN = Trained(Experiment(algorithm=_GAN), rate=150.0)
FLOW = Trained(Experiment(algorithm=edit(named.FLOW, _FLOW)), rate=120.0, bits=Ode())

YARDSTICK = (
    metrics.Frechet(),
    metrics.PrecisionRecall(),
    metrics.DensityCoverage(),
    metrics.Memorisation(),
    metrics.Recognition(),
)
BASE = Comparison(
    contenders=(
        Entry("training_set"),
        Entry("ppca", Classical(Ppca(16))),
        Entry("mixture", Classical(Mixture(2, 24))),
        Entry("kernels", Classical(KernelDensity())),
        Entry("autoencoder", AUTOENCODER),
        Entry("vae", OF_VAE),
        Entry("gan", OF_GAN),
        Entry("flow", FLOW),
    ),
    watch=Watch((*YARDSTICK, metrics.Cas(Svm())), extractor=Convolutional()),
)

DIT = DiT(patch=4, width=128, depth=4, heads=4)
# The contenders on pictures of 28x28: larger nets, and the steps a second that they then make
_LARGE = {
    "autoencoder": {"algorithm.latent": 32},
    "vae": {"algorithm.latent": 32, "algorithm.dec": GatedMLP((512, 512))},
    "gan": {
        "algorithm.gen": R3Generator((32, 64), patch=2),
        "algorithm.disc": R3Discriminator((32, 64), patch=2),
        "batch": 64,
    },
    "flow": {"algorithm.net": DIT, "algorithm.guidance.scale": 1.5, "batch": 64},
}
_RATES = {"autoencoder": 80.0, "vae": 48.0, "gan": 3.5, "flow": 5.5}


def _fashion(entry: Entry) -> Entry:
    """A contender as it is on Fashion-MNIST."""
    if entry.name not in _LARGE:
        return entry
    changes = {f"of.exp.{path}": value for path, value in _LARGE[entry.name].items()}
    return edit(entry, {**changes, "of.rate": _RATES[entry.name]})


_FASHION = {
    "data": FashionMNIST(),
    "contenders": tuple(map(_fashion, BASE.contenders)),
    "contenders.1.of.density": Ppca(64),
    "contenders.2.of.density": Mixture(8, 64),
    "contenders.4.of.draw": OfCodes(Mixture(8, 32)),
    "seconds": 400.0,
    "watch.samples": 2000,
    "watch.metrics": (*YARDSTICK, metrics.Cas(Neighbours())),
}
EXPERIMENTS = {"digits": BASE, "fashion": edit(BASE, _FASHION)}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, compare, __doc__)
