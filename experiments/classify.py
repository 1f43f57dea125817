"""To tell classes apart, learn p(y | x), or pictures of each class, p(x | y), and Bayes' rule: which is right, when?

    python -m experiments.classify            BASE: 8x8 digits; a CNN, logistic regression, and six generative ones
    python -m experiments.classify few        2 to 100 labels a class: where generative and discriminative cross
    python -m experiments.classify shortcut   a corner pixel tells the class in training and another one at test
    python -m experiments.classify clothes    Fashion-MNIST, 1,000 test pictures
    python -m experiments.classify quick      does it run? the digits with short trainings

Prints accuracy, log loss and calibration, then corruptions, strangers refused by p(x), and shifted class shares found
without a label. Asked for: VAE, diffusion classifier and causal pixels each within 2 % of the CNN on digits.
"""

from __future__ import annotations

from typing import Any

from genjax import cli, nets
from genjax.audit.classifier import Classifier
from genjax.audit.gaussians import LDA, NAIVE, QDA, Gaussians
from genjax.classical import Mixture
from genjax.conditions import Label
from genjax.config import edit
from genjax.corruptions import Blur, Gaussian, Holes, SaltPepper
from genjax.data import Digits, FashionMNIST
from genjax.data.levelled import Levelled
from genjax.data.planted import Planted
from genjax.diffusion import named
from genjax.ema import Decay
from genjax.findings.classified import Classified
from genjax.findings.classifiers import (
    Bayes,
    Chosen,
    Conditional,
    Contestant,
    Discriminative,
    Errors,
    Logistic,
    Tokenwise,
)
from genjax.findings.fewlabels import FewLabels
from genjax.findings.likelihood import Iwae
from genjax.findings.shortcut import Shortcut
from genjax.findings.tabled import carry_out
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, CosineDecay
from genjax.sequence.causal import Causal
from genjax.training.experiment import Every, Experiment
from genjax.vae.likelihoods import DiscretisedLogistic
from genjax.vae.vae import VAE
from genjax.views import Shift

TX = Adam(1e-3, weight_decay=0.05, warmup=100, decay=CosineDecay(), clip=1.0)
QUIET = Every(log=500, evaluate=0, sample=0, save=1000)
TOLD = (Label(),)
# pixels that change in one class alone need little of it, few examples much
SHRUNK = (0.01, 0.03, 0.1, 0.3, 0.6)


def experiment(algorithm: Any, steps: int, chunk: int = 10, **more: Any) -> Experiment:
    """A run without findings; chunk = 1 of convolutions, whose gradients are slow inside a loop on CPU."""
    return Experiment(
        algorithm=algorithm, steps=steps, batch=64, chunk=chunk, every=QUIET, **more
    )


def shrunk(of: Gaussians) -> Chosen:
    """Gaussians whose shrinkage is chosen on validation examples."""
    return Chosen(tuple(Bayes(edit(of, {"shrinkage": a})) for a in SHRUNK))


CNN = Classifier(nets.ConvEncoder((32, 64), patch=1), optimiser=TX)
GATED = nets.GatedMLP((256, 256))
EVEN = Gaussians(diagonal=True)  # one variance for all classes
OF_VAE = VAE(16, GATED, GATED, DiscretisedLogistic(), condition=TOLD, warmup=500, optimiser=TX)
_FLOW = {"std": 0.7, "condition": TOLD, "drop": 0.0, "optimiser": TX, "ema": Decay(0.995)}
FLOW = edit(named.FLOW, {**_FLOW, "net": nets.TimeMLP((512, 512, 512), waves=0)})
PIXELS = Causal(Transformer(96, 3, dropout=0.2), condition=TOLD, optimiser=TX)

LOGISTIC = Chosen(tuple(Logistic(c) for c in (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)))
CLOSED = (
    Contestant("logistic regression", LOGISTIC),
    Contestant("naive Bayes", shrunk(NAIVE)),
    Contestant("LDA", shrunk(LDA)),
    Contestant("QDA", shrunk(QDA)),
    Contestant("mixture", Bayes(Mixture(2, 24, 1e-3))),
)
DEEP = (
    Contestant("CNN", Discriminative(experiment(CNN, 1500, 1, view=(Shift(),)))),
    Contestant("VAE", Conditional(experiment(OF_VAE, 6000), Iwae(200))),
    Contestant("diffusion classifier", Conditional(experiment(FLOW, 6000), Errors(100))),
    Contestant("causal pixels", Conditional(experiment(PIXELS, 800), Tokenwise(), Levelled())),
)
BASE = Classified(
    data=Digits(valid=300),
    contestants=(*DEEP, *CLOSED),
    corruptions=(Gaussian(0.2, 0.2), SaltPepper(0.1, 0.1), Blur(0.8, 0.8), Holes()),
    strangers=(FashionMNIST(),),
    others=200,
)

SHORTCUT = Shortcut(Planted(Digits(valid=300)), BASE.contestants)
FEW = FewLabels(
    data=Digits(valid=300),
    contestants=(*CLOSED[:4], Contestant("naive Bayes, one variance", shrunk(EVEN))),
)

_CONV = {"enc": nets.ConvEncoder((32, 64)), "dec": nets.ConvDecoder((32, 64))}
UNET = nets.UNet(widths=(32, 64), blocks=1)
# pictures of 14x14 in 8 greys: 784 tokens are too many for a few minutes
COARSE = Levelled(levels=8, side=14)
CLOTHES = (
    Contestant("CNN", Discriminative(experiment(edit(CNN, {"net.patch": 2}), 2000, 1))),
    Contestant(
        "logistic regression",
        Discriminative(experiment(Classifier(nets.MLP(), optimiser=TX), 10_000)),
    ),
    Contestant("VAE", Conditional(experiment(edit(OF_VAE, _CONV), 1500, 1), Iwae(50))),
    Contestant(
        "diffusion classifier",
        Conditional(experiment(edit(FLOW, {"net": UNET}), 1000, 1), Errors(16)),
    ),
    Contestant("causal pixels", Conditional(experiment(PIXELS, 500), Tokenwise(), COARSE)),
    *CLOSED[1:],
)
_CLOTHES = {
    "data": FashionMNIST(valid=1000),
    "contestants": CLOTHES,
    "valid": 300,
    "test": 1000,
    "corruptions": (Gaussian(0.2, 0.2), SaltPepper(0.1, 0.1), Blur(2.0, 2.0), Holes()),
    "strangers": (Digits(),),
}


# hardly trained: does it run?
_SHORT = {"of.experiment.steps": 200}
SHORT = tuple(edit(one, _SHORT) for one in DEEP)
_QUICK = {
    "contestants": (*SHORT, *CLOSED[1:3]),
    "corruptions": (),
    "valid": 100,
    "test": 100,
    "others": 50,
}

EXPERIMENTS = {
    "base": BASE,
    "few": FEW,
    "shortcut": SHORTCUT,
    "clothes": edit(BASE, _CLOTHES),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
