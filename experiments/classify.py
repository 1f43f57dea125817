"""Tell classes apart by p(y | x), or make pictures of each, p(x | y), and ask Bayes: which is more often right, and when?

    python -m experiments.classify            BASE: 8x8 digits; a CNN, logistic regression, and six generative ones
    python -m experiments.classify few        over 2 to 100 labels a class: where naive Bayes and logistic regression cross
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

EXPERIMENTS = {
    "base": BASE,
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
