"""What do latents hold, and can one see it? Pixels, PCA, autoencoder, VAE and a diffusion net's middle side by side.

    python -m experiments.latents             Fashion-MNIST: probes, neighbours, t-SNE of each; three trainings
    python -m experiments.latents digits      the same of 8x8 digits
    python -m experiments.latents sizes       is a larger code better? linear, deep, convolutional beside PCA's curve
    python -m experiments.latents specific    an autoencoder of clothes asked for digits, and the other way round
    python -m experiments.latents heads       arithmetic with codes of rendered faces, against the renderer

No model is told a label. Untrained nets of the same shape, a random projection, pixels and PCA are the floors.
"""

from __future__ import annotations

from typing import Any

from genjax import cli, nets
from genjax.ae.autoencoder import Autoencoder
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.data.enlarged import Enlarged
from genjax.data.heads import Heads
from genjax.diffusion import named
from genjax.ema import Decay
from genjax.findings.arithmetic import Arithmetic
from genjax.findings.encoders import Entry, Learned, Middle, Pixels, Principal, Projected
from genjax.findings.seen import Seen
from genjax.findings.sized import Kind, Sizes
from genjax.findings.specific import Asked, Specific
from genjax.findings.tabled import carry_out
from genjax.metrics.reader import Reader
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.vae.likelihoods import DiscretisedLogistic
from genjax.vae.vae import VAE

TX = Adam(1e-3, warmup=200, decay=CosineDecay(), clip=1.0)
QUIET = Every(log=500, evaluate=0, sample=0, save=1000)


def experiment(algorithm: Any, steps: int, batch: int, chunk: int = 10) -> Experiment:
    """A run without findings; chunk = 1 of convolutions, whose gradients are slow inside a loop on CPU."""
    return Experiment(algorithm=algorithm, steps=steps, batch=batch, chunk=chunk, every=QUIET)


def dense(latent: int) -> Autoencoder:
    """The deep autoencoder of `experiments.autoencoder`, which begins as a linear one."""
    enc = nets.MLP((512, 256), nets.Gelu(), norm=True, skip=True)
    dec = nets.MLP((256, 512), nets.Gelu(), norm=True, skip=True)
    return Autoencoder(latent, enc, dec, optimiser=TX)


def of_vae(latent: int) -> VAE:
    """A smaller one of those of `experiments.vae`."""
    return VAE(latent, nets.GatedMLP(), nets.GatedMLP(), warmup=2000, optimiser=TX)


UNET = nets.UNet(widths=(32, 64), blocks=1)
FLOW = edit(named.FLOW, {"net": UNET, "std": 0.7, "optimiser": TX, "ema": Decay(0.995)})


def encoders(k: int, ae: Experiment, vae: Experiment, flow: Experiment) -> tuple[Entry, ...]:
    """What is compared, codes of k numbers, and the floors: the same nets before their first step."""
    return (
        Entry("pixels", Pixels()),
        Entry("PCA", Principal(k)),
        Entry("autoencoder", Learned(ae)),
        Entry("VAE", Learned(vae)),
        Entry("flow", Learned(flow, Middle())),
        Entry("random projection", Projected(k)),
        Entry("autoencoder untrained", Learned(ae, trained=False)),
        Entry("VAE untrained", Learned(vae, trained=False)),
        Entry("flow untrained", Learned(flow, Middle(), trained=False)),
    )


AE64, VAE64 = experiment(dense(64), 15_000, 128), experiment(of_vae(64), 15_000, 100)
BASE = Seen(
    data=FashionMNIST(valid=5000),
    encoders=encoders(64, AE64, VAE64, experiment(FLOW, 2000, 64, chunk=1)),
    shown=("pixels", "PCA", "autoencoder", "VAE", "flow", "flow untrained"),
)
AE16, VAE16 = experiment(dense(16), 2000, 128), experiment(of_vae(16), 3000, 100)
SMALL = edit(FLOW, {"net.attention": ()})  # no map of an 8x8 picture is 7 patches high
_DIGITS = {
    "data": Digits(valid=200),
    "encoders": encoders(16, AE16, VAE16, experiment(SMALL, 1500, 64, chunk=1)),
}

LINEAR = experiment(Autoencoder(optimiser=TX), 20_000, 256)
ENC, DEC = (net((64,), patch=4, skip=True) for net in (nets.ConvEncoder, nets.ConvDecoder))
CONV = experiment(Autoencoder(64, ENC, DEC, optimiser=TX), 2000, 64, chunk=1)
DEEP = experiment(dense(64), 5000, 128)
KINDS = (Kind("linear", LINEAR), Kind("deep", DEEP), Kind("conv", CONV))
SETS = (Asked("clothes", FashionMNIST()), Asked("digits", Enlarged(Digits()), 3000))

FACES = nets.ConvEncoder((64, 128), patch=4), nets.ConvDecoder((64, 128), patch=4)
FACE_AE = experiment(Autoencoder(64, *FACES, optimiser=TX), 2800, 64, chunk=1)
FACE_VAE = VAE(64, *FACES, DiscretisedLogistic(), warmup=1000, optimiser=TX)
HEADS = Arithmetic(
    data=Heads(32),
    encoders=(
        Entry("pixels", Pixels()),
        Entry("PCA", Principal(64)),
        Entry("autoencoder", Learned(FACE_AE)),
        Entry("VAE", Learned(experiment(FACE_VAE, 2700, 64, chunk=1))),
    ),
    reader=Reader("attributes", ("age", "pose"), ("age", "yaw", "pitch")),
)
EXPERIMENTS = {
    "fashion": BASE,
    "digits": edit(BASE, _DIGITS),
    "sizes": Sizes(FashionMNIST(), KINDS),
    "specific": Specific(experiment(dense(32), 5000, 128), SETS),
    "heads": HEADS,
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
