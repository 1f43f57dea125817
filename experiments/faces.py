"""Five families that draw faces, with the same seconds of training: how well, how varied, and what do latents steer?

    python -m experiments.faces               BASE: rendered faces of 32x32, five minutes of two cores for each family
    python -m experiments.faces --only='("vae",)'   one of them; the others' rows come with the next run of all
    python -m experiments.faces tiny          does it run? pictures of nothing, in minutes
    python -m experiments.faces large         64x64, twenty times the steps, where a GPU is at hand. NOT RUN

All faces are rendered (`Heads`), with people that nobody was trained on for testing, so everything that is said of them
is known. One net, the reader, learns from the training people to read age group, attributes, years and pose of a
picture: its features carry the distance, and what it reads of samples is compared with what it reads of real pictures.
`linear …` is how well a linear map reads years, yaw and sex from a model's latents; pictures `steered` show latents
moved along these maps. R3GAN, the flow and the density of the autoencoder's codes are told the age group, the VAE and
StyleGAN2 nothing.
"""

from __future__ import annotations

from genjax import cli, nets
from genjax.ae.autoencoder import Autoencoder
from genjax.classical import Mixture
from genjax.conditions import Label
from genjax.config import edit
from genjax.data.heads import Heads
from genjax.diffusion import named, schedules
from genjax.ema import Decay, Power
from genjax.findings.comparison import Comparison, Entry, compare
from genjax.findings.contenders import OfCodes, Own, Trained
from genjax.findings.latents import Codes, Latents, Noise, Styles
from genjax.findings.steering import Steering
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, R2
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.evaluate import Frechet, PrecisionRecall, Recognition
from genjax.metrics.nearest import NearestTraining
from genjax.metrics.reader import Reader, Shares
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Experiment
from genjax.training.watch import Watch
from genjax.vae.likelihoods import DiscretisedLogistic
from genjax.vae.vae import VAE

TX = Adam(1e-3, warmup=200, decay=CosineDecay())
GAME = Adam(5e-4, b1=0.0, b2=0.99, warmup=100, decay=CosineDecay(0.1))
STYLED = Adam(2e-3, b1=0.0, b2=0.99, warmup=100)
# optimisers of both players, and the average of the generator
_PLAYED = {"optimiser": GAME, "disc_optimiser": GAME, "ema": Decay(0.995)}
_STYLED = {"optimiser": STYLED, "disc_optimiser": STYLED, "ema": Decay(0.995)}
LABEL = (Label(),)
ENC, DEC = nets.ConvEncoder((64, 128), patch=4), nets.ConvDecoder((64, 128), patch=4)
READER = Reader("attributes", ("age", "pose"), ("age", "yaw", "pitch"))
STEER = Steering(of=("age", "yaw", "female"), reader=READER, group="person", samples=1200)

_AE = Autoencoder(64, ENC, DEC, optimiser=TX)
_VAE = VAE(64, ENC, DEC, DiscretisedLogistic(), warmup=1000, optimiser=TX)
_R3GAN = GAN(
    gen=nets.R3Generator((48, 96), patch=4),
    disc=nets.R3Discriminator((48, 96), patch=4),
    penalties=(R1(0.3), R2(0.3)),
    condition=LABEL,
    **_PLAYED,
)
_STYLEGAN2 = StyleGAN2(
    latent=64,
    mapping=nets.StyleMapping(depth=4, width=64),
    synthesis=nets.StyleSynthesis((16, 32, 64, 64)),
    disc=nets.StyleDiscriminator((16, 32, 64, 64), group=4),
    **_STYLED,
)
_FLOW = {
    "net": nets.DiT(patch=4, width=128, depth=6, heads=4),
    "condition": LABEL,
    "schedule": schedules.Times(steps=10),
    "optimiser": edit(TX, {"clip": 1.0}),
    "ema": Power((0.1,)),
}


def families(steer: Steering) -> tuple[Entry, ...]:
    """The five with their steps a second on two cores, and where their latents are."""

    def entry(name: str, algorithm, batch: int, rate: float, space, draw=Own()) -> Entry:
        more = (edit(steer, {"space": space}),)
        exp = Experiment(algorithm=algorithm, batch=batch)
        return Entry(name, Trained(exp, rate, draw, more=more))

    return (
        entry("autoencoder", _AE, 64, 9.5, Codes(), OfCodes(Mixture(4, 64))),
        entry("vae", _VAE, 64, 9.0, Codes()),
        entry("r3gan", _R3GAN, 64, 4.6, Latents()),
        entry("stylegan2", _STYLEGAN2, 32, 4.6, Styles()),
        entry("flow", edit(named.FLOW, _FLOW), 64, 2.8, Noise()),
    )


METRICS = (Frechet(), PrecisionRecall(), Recognition(), Shares(), NearestTraining())
BASE = Comparison(
    data=Heads(32),
    contenders=(Entry("training_set"), *families(STEER)),
    seconds=300.0,
    watch=Watch(METRICS, extractor=READER),
    likelihood=0,
    nearest=10,
)
# Few faces and steps, which only show that all of it runs
_READER = edit(READER, {"widths": (8, 8), "features": 8, "steps": 20})
_STEER = edit(STEER, {"reader": _READER, "samples": 60, "starts": 2})
_TINY = {
    "data": Heads(16, people=130, shots=4),
    "contenders": (Entry("training_set"), *families(_STEER)),
    "seconds": 1e-3,
    "watch.extractor": _READER,
}
LARGE = {"data": Heads(64, people=20_000), "seconds": 6000.0}
EXPERIMENTS = {"faces": BASE, "tiny": edit(BASE, _TINY), "large": edit(BASE, LARGE)}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, compare, __doc__)
