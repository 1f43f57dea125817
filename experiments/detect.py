"""Who tells generated pictures from real ones, when the generator is one that the detector has never seen?

    python -m experiments.detect            BASE: clothes of 28x28, eight generators, six detectors
    python -m experiments.detect profile    faces: rendered heads of 32x32 against each family's
    python -m experiments.detect news       photographs of scenes against a flow's, halved and saved as WebP alike
    python -m experiments.detect quick      does it run? digits of 16x16, two generators, about a minute

Generators learn for two to five minutes on half of the training pictures, with settings chosen by how far samples are
from held-out ones. A detector learns one generator's pictures and real ones that were not its data, and is tested on
all: average precision, accuracy at 1 and 5 % false alarms, calibration, and what JPEG, resizing, blur or noise leave.
"""

from __future__ import annotations

from genjax import cli, nets
from genjax.ae.autoencoder import Autoencoder
from genjax.audit import named as audit
from genjax.audit.augment import BlurJpeg
from genjax.audit.handling import Handling
from genjax.classical import Mixture
from genjax.config import edit
from genjax.data import Digits
from genjax.data.enlarged import Enlarged
from genjax.data.heads import Heads
from genjax.data.portions import Reals
from genjax.data.scenes import Scenes
from genjax.diffusion import named as diffusion
from genjax.diffusion.onestep import MeanFlow
from genjax.diffusion.vdm import VDM
from genjax.ema import Decay
from genjax.findings.contenders import OfCodes
from genjax.findings.detecting import Detection
from genjax.findings.detectors import Entry, Near, Recovered, Told
from genjax.findings.generated import Generator
from genjax.findings.tabled import carry_out
from genjax.gan import named as gan
from genjax.gan.penalties import R1, R2
from genjax.gan.stylegan2 import StyleGAN2
from genjax.optim import Adam, CosineDecay, Muon, StableDecay
from genjax.training.experiment import Every, Experiment
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

TX = Adam(1e-3, warmup=100, decay=CosineDecay(), clip=1.0)
MUON, EMA = Muon(2e-3, warmup=50, decay=StableDecay(0.3), clip=1.0), Decay(0.99)
NOISED = {"optimiser": MUON, "ema": EMA}
GAME = Adam(1e-3, b1=0.0, b2=0.99, warmup=50, decay=StableDecay(0.5))
GAMES = {"optimiser": GAME, "disc_optimiser": GAME, "ema": EMA}


def trained(algorithm, steps: int, batch: int = 64, **more) -> Experiment:
    """A run of so many steps; data, seed and folder are the matrix's."""
    every = Every(log=100, evaluate=0, sample=0, save=steps)
    return Experiment(algorithm=algorithm, steps=steps, batch=batch, every=every, **more)


UNET = nets.UNet((32, 64), blocks=1, patch=2, attention=())
DIT = nets.DiT(patch=4, width=96, depth=3, heads=4, frequency=2.0)
GATED = nets.GatedMLP((300, 300))
R3_GEN, R3_DISC = nets.R3Generator((16, 32), patch=2), nets.R3Discriminator((16, 32), patch=2)
GEN, DISC = nets.StyleSynthesis((8, 16, 32)), nets.StyleDiscriminator((8, 16, 32), group=4)
_MLPS = (nets.MLP((512, 256), nets.Gelu()), nets.MLP((256, 512), nets.Gelu()))
AE = trained(Autoencoder(32, *_MLPS, optimiser=TX), 3000, 128, chunk=10)
OF_VAE = VAE(16, GATED, GATED, Gaussian(0.2), warmup=500, optimiser=TX)
# dense nets make no faces
_CONV = (nets.ConvEncoder((32, 64), patch=4), nets.ConvDecoder((32, 64), patch=4))
OF_FACES = trained(VAE(64, *_CONV, Gaussian(0.3), warmup=300, optimiser=MUON), 1500, 32)
_DC = {"gen.widths": (32, 64), "disc.widths": (32, 64)}
_DC |= {"optimiser.lr": 5e-4, "disc_optimiser.lr": 5e-4}
_R3 = {"gen": R3_GEN, "disc": R3_DISC, "penalties": (R1(0.1), R2(0.1)), "every": 4}
_STYLE = {"synthesis": GEN, "disc": DISC, "path_weight": 0.0, "r1.gamma": 0.3}
_STYLE |= {"mapping.depth": 2, "mapping.width": 64}
_STYLE |= {"optimiser.lr": 3e-3, "disc_optimiser.lr": 2e-3}
_FLOW = {"net": UNET, "std": 0.7, "schedule.steps": 20}
FLOW = trained(edit(diffusion.FLOW, {**_FLOW, **NOISED}), 550)
GENERATORS = (
    Generator("autoencoder", AE, OfCodes(Mixture(8, 32))),
    Generator("vae", trained(OF_VAE, 3000, 100, chunk=10)),
    Generator("dcgan", trained(edit(gan.DCGAN, _DC), 700)),
    Generator("r3gan", trained(edit(gan.R3GAN, {**GAMES, **_R3}), 1500, 32)),
    Generator("stylegan2", trained(edit(StyleGAN2(64), {**GAMES, **_STYLE}), 1100, 16)),
    Generator("flow", FLOW),
    Generator("vdm", trained(VDM(net=UNET, sampling_steps=50, optimiser=MUON), 500)),
    Generator("one_step", trained(MeanFlow(net=DIT, **NOISED), 550)),
)
DETECTORS = (
    Entry("cnn", Told(trained(audit.PIXELS, 600, view=(BlurJpeg(),)))),
    Entry("residuals", Told(trained(audit.RESIDUALS, 600))),
    Entry("spectrum", Told(trained(audit.SPECTRUM, 2000, 256))),
    Entry("dire", Recovered(FLOW, 8)),
    Entry("recoded", Recovered(AE)),
    Entry("neighbours", Near()),
)
BASE = Detection(generators=GENERATORS, detectors=DETECTORS)
_NEWS = {"reals": Reals(Scenes(32), "scene"), "generators": GENERATORS[5:6]}
_SHORT = {"steps": 20, "batch": 32, "chunk": 10}
_DENSE = {**_SHORT, "algorithm.net": nets.TimeMLP((64,)), "algorithm.schedule.steps": 5}
_TINY = {**_SHORT, "algorithm.net": nets.ConvEncoder((8,), patch=4)}
_QUICK = {
    "reals": Reals(Enlarged(Digits(valid=300), side=16, border=0)),
    "generators": (
        Generator("autoencoder", edit(AE, _SHORT), OfCodes(Mixture(2, 8))),
        Generator("flow", edit(FLOW, _DENSE)),
    ),
    **{f"detectors.{i}.of.exp": edit(DETECTORS[i].of.exp, _TINY) for i in (0, 1)},
    "detectors.2.of.exp": edit(DETECTORS[2].of.exp, _SHORT),
    "detectors.3.of": Recovered(edit(FLOW, _DENSE), 3),
    "detectors.4.of.exp": edit(AE, _SHORT),
    "hardships": (BASE.hardships[2], BASE.hardships[-1]),
    **{"lasting": 20, "train": 100, "held": 40, "test": 40, "rates": (0.05,)},
}
EXPERIMENTS = {
    "base": BASE,
    "profile": edit(BASE, {"reals": Reals(Heads(32), "person"), "generators.1.exp": OF_FACES}),
    "news": edit(BASE, {**_NEWS, "handling": Handling(1, "WEBP", 90)}),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
