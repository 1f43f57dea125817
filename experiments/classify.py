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
from genjax.corruptions import Blur, Holes, Poisson, SaltPepper
from genjax.data import Digits, FashionMNIST
from genjax.data.cornered import Cornered
from genjax.data.levelled import Levelled
from genjax.diffusion import named
from genjax.ema import Decay
from genjax.findings import classifiers as by
from genjax.findings.classified import Classified
from genjax.findings.fewlabels import FewLabels
from genjax.findings.likelihood import Iwae
from genjax.findings.shortcut import Shortcut
from genjax.findings.tabled import carry_out
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, CosineDecay
from genjax.sequence.causal import Causal
from genjax.training.experiment import Every, Experiment
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE
from genjax.views import Shift

TX = Adam(1e-3, weight_decay=0.05, warmup=100, decay=CosineDecay(), clip=1.0)
QUIET = Every(log=500, evaluate=0, sample=0, save=1000)
ONE = by.Contestant


def run(algorithm: Any, steps: int, chunk: int = 10, **more: Any) -> Experiment:
    """A run without findings; chunk = 1 of nets whose steps are long: convolutions are slow inside a loop on CPU."""
    of = {"algorithm": algorithm, "steps": steps, "batch": 64}
    return Experiment(**of, chunk=chunk, every=QUIET, **more)


def shrunk(of: Gaussians) -> by.Chosen:
    """Gaussians whose shrinkage is chosen on validation examples."""
    each = [edit(of, {"shrinkage": a}) for a in (0.01, 0.03, 0.1, 0.3, 0.6)]
    return by.Chosen(tuple(by.Bayes(gaussians) for gaussians in each))


CNN = Classifier(nets.ConvEncoder((32, 64), patch=1), optimiser=TX)
TOLD = {"condition": (Label(),), "optimiser": TX}
GATED = nets.GatedMLP((256, 256))
# noise of a fifth of the range: of 256 levels each, 2,000 steps read 94 % of validation digits
OF_VAE = VAE(16, GATED, GATED, Gaussian(0.2), warmup=200, **TOLD)
_MLP = {"net": nets.TimeMLP((256, 256, 256), waves=0), "drop": 0.0, "ema": Decay(0.995)}
FLOW = edit(named.FLOW, {"std": 0.7, **_MLP, **TOLD})
PIXELS = Causal(Transformer(96, 3, dropout=0.2), **TOLD)

ERRORS = by.Errors(100, 0.2, 8.0)  # a range by which validation labels are likelier
STRENGTHS = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)
LOGISTIC = by.Chosen(tuple(by.LogisticRegression(c) for c in STRENGTHS))
CLOSED = (
    ONE("logistic regression", LOGISTIC),
    ONE("naive Bayes", shrunk(NAIVE)),
    ONE("LDA", shrunk(LDA)),
    ONE("QDA", shrunk(QDA)),
)
DEEP = (
    ONE("CNN", by.Discriminative(run(CNN, 1500, 1, view=(Shift(),)))),
    ONE("VAE", by.Conditional(run(OF_VAE, 3000), Iwae(200))),
    ONE("diffusion classifier", by.Conditional(run(FLOW, 3000), ERRORS)),
    ONE("causal pixels", by.Conditional(run(PIXELS, 800, 1), by.Tokenwise(), Levelled())),
)
MIXTURE = ONE("mixture", by.Bayes(Mixture(2, 24, 1e-3)))
DIGITS = Digits(valid=300)
BASE = Classified(
    DIGITS,
    (*DEEP, *CLOSED, MIXTURE),
    corruptions=(Poisson(0.3, 0.3), SaltPepper(0.1, 0.1), Blur(0.8, 0.8), Holes()),
    strangers=(FashionMNIST(),),
    others=200,
)
STILL = edit(DEEP[0], {"of.experiment.view": ()})  # in 5 of 9 a shift cuts the mark away
EVEN = ONE("naive Bayes, one variance", shrunk(Gaussians(diagonal=True)))

_VAE = {"latent": 32, "enc": nets.GatedMLP(), "dec": nets.GatedMLP()}
WIDE = edit(FLOW, {"net.hidden": (512, 512, 512)})
COARSE = Levelled(levels=8, side=14)  # 784 tokens are too many for minutes
CLOTHES = (
    ONE("CNN", by.Discriminative(run(edit(CNN, {"net.patch": 2}), 2000, 1))),
    ONE("VAE", by.Conditional(run(edit(OF_VAE, _VAE), 5000), Iwae(20))),
    ONE("diffusion classifier", by.Conditional(run(WIDE, 3000), edit(ERRORS, {"draws": 20}))),
    ONE("causal pixels", by.Conditional(run(PIXELS, 400, 1), by.Tokenwise(), COARSE)),
    ONE("linear net", by.Discriminative(run(Classifier(nets.MLP(), optimiser=TX), 10_000))),
)
_CLOTHES = {"data": FashionMNIST(valid=1000), "contestants": (*CLOTHES, *CLOSED[1:], MIXTURE)}
_CLOTHES |= {"valid": 300, "test": 1000, "strangers": (Digits(),)}
SHORT = tuple(edit(one, {"of.experiment.steps": 100}) for one in DEEP)
_FEWER = {"corruptions": (), "valid": 50, "test": 100, "others": 20, "tilt": 0.9}

EXPERIMENTS = {
    "base": BASE,
    "few": FewLabels(DIGITS, (*CLOSED, EVEN)),
    "shortcut": Shortcut(Cornered(DIGITS), (STILL, *BASE.contestants[1:])),
    "clothes": edit(BASE, _CLOTHES),
    "quick": edit(BASE, {"contestants": (*SHORT, *CLOSED[1:3]), **_FEWER}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
