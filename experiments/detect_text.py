"""Real text or generated: which detector knows the author, and at what rate of false alarms?

    python -m experiments.detect_text          BASE: CPython's reference against a causal and a masked model
    python -m experiments.detect_text same     statistics of the causal author's own law: the white box
    python -m experiments.detect_text chains   two chains of known law: how far from the best test of all?
    python -m experiments.detect_text quick    does it run? under a minute

Detectors: the ratio of two n-gram models; mean log p, mean log rank (GLTR, arXiv:1906.04043) and the curvature of
Fast-DetectGPT (arXiv:2310.05130) under a causal model that has read what the authors read; a trained net. Each learns
from one author and is tested on both, at 50, 200 and 1,000 bytes. Thresholds are set on held-out real texts.
"""

from __future__ import annotations

from genjax import cli
from genjax.audit.words import TextDetector
from genjax.config import edit
from genjax.data import Chain
from genjax.data.windows import Sequences, Windows
from genjax.diffusion.discrete import MaskedDiffusion
from genjax.findings.suspects import Author, ChainAuthor, Suspect
from genjax.findings.tabled import carry_out
from genjax.findings.verdicts import Verdicts
from genjax.findings.witnesses import (
    BestRatio,
    Curvature,
    MeanLogP,
    MeanLogRank,
    NgramRatio,
    TrainedDetector,
)
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, CosineDecay
from genjax.sequence.causal import Causal
from genjax.training.experiment import Every, Experiment

TX = Adam(2e-3, warmup=50, decay=CosineDecay(), clip=1.0)
NET = Transformer(width=96, depth=2, dropout=0.2)


def trained(algorithm, steps: int, batch: int) -> Experiment:
    """A run of so many steps; data, seed and folder are the finding's."""
    every = Every(log=50, evaluate=steps, sample=0, save=steps)
    return Experiment(
        algorithm=algorithm, steps=steps, batch=batch, every=every, evaluate_batch=50
    )


CAUSAL = trained(Causal(NET, optimiser=TX), 300, 8)
# fewer steps of sampling than tokens: an author in a hurry
MASKED = trained(MaskedDiffusion(NET, steps=64, optimiser=TX), 300, 8)
# another net with other weights, which has read the same texts
OTHER = trained(Causal(Transformer(width=64, depth=2, dropout=0.2), optimiser=TX), 300, 8)
DETECTOR = Adam(3e-3, weight_decay=0.02, warmup=20, decay=CosineDecay(), clip=1.0)
TRAINED = TrainedDetector(trained(TextDetector(optimiser=DETECTOR), 150, 64))

BASE = Verdicts(
    data=Windows(),
    suspects=(Suspect("causal", Author(CAUSAL)), Suspect("masked", Author(MASKED))),
    witnesses=(NgramRatio(), MeanLogP(), MeanLogRank(), Curvature(), TRAINED),
    scorer=Author(OTHER),
)
_LEARNED = edit(TRAINED, {"length": 32, "exp.steps": 600, "exp.algorithm.net.window": 3})
# rows that are nearly even: laws that 32 tokens do not always tell apart
_REAL = Chain(spread=10.0)
_CHAINS = {
    "data": Sequences(_REAL, fit=4000, test=2000),
    "suspects": (
        Suspect("near", ChainAuthor(Chain(spread=10.0, seed=1))),
        Suspect("far", ChainAuthor(Chain(spread=3.0, seed=2))),
    ),
    "scorer": ChainAuthor(_REAL),
    "lengths": (8, 32),
    "witnesses": (BestRatio(), NgramRatio(2), MeanLogP(), MeanLogRank(), Curvature(), _LEARNED),
}
_TINY = Transformer(width=8, depth=1, heads=2)
_FEW = {"steps": 2, "batch": 4, "algorithm.net": _TINY, "algorithm.optimiser.warmup": 0}
_LITTLE = {"exp.steps": 4, "exp.batch": 8, "exp.algorithm.optimiser.warmup": 0, "length": 32}
_QUICK = {
    "data": Windows(length=32, most=40),
    "suspects": (
        Suspect("causal", Author(edit(CAUSAL, _FEW))),
        Suspect("masked", Author(edit(MASKED, {**_FEW, "algorithm.steps": 2}))),
    ),
    "scorer": Author(edit(CAUSAL, _FEW)),
    "witnesses": (NgramRatio(2), MeanLogP(), Curvature(), edit(TRAINED, _LITTLE)),
    "lengths": (16, 32),
    "false_alarms": (0.05,),
}

EXPERIMENTS = {
    "base": BASE,
    "same": edit(BASE, {"scorer": Author(CAUSAL)}),
    "chains": edit(BASE, _CHAINS),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
