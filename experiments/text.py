"""How near do models of text come to the entropy of their data, where it is known?

    python -m experiments.text            BASE: a causal transformer on a Markov chain, target within 1 % of its entropy
    python -m experiments.text masked     masked diffusion on the same chain: its bound, target within 3 %
    python -m experiments.text uniform    tokens that become any other in place of masks
    python -m experiments.text hidden     a hidden Markov model, whose tokens depend on all before them
    python -m experiments.text corpus     bytes of CPython's reference: bits a character beside Kneser-Ney and xz
    python -m experiments.text signs      names of signs in four languages, told which
    python -m experiments.text tiny       does it run? seconds

Prints bits a token beside the chain's exact law on the same sequences, and a chi-square of the samples' n-grams.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Chain, HiddenChain
from genjax.data.text import Names, Text
from genjax.diffusion.discrete import MaskedDiffusion, UniformState
from genjax.findings.text import Entropy, Infilling, Written
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, CosineDecay
from genjax.sequence.causal import Causal
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

NET = Transformer(width=64, depth=2)
TX = Adam(2e-3, warmup=100, decay=CosineDecay())

BASE = Experiment(
    data=Chain(),
    algorithm=Causal(NET, optimiser=TX),
    steps=4000,
    batch=64,
    chunk=10,
    every=Every(log=200, evaluate=1000, sample=4000, save=1000),
    samples=32,
    finish=(Entropy(),),
)
_DIFFUSION = MaskedDiffusion(NET, optimiser=TX)
_UNIFORM = MaskedDiffusion(NET, UniformState(), steps=64, optimiser=TX)
_MASKED = {"algorithm": _DIFFUSION, "finish": (Entropy(target=0.03), Infilling())}
_WIDE = {"algorithm.net": Transformer(width=128, depth=3), "finish": (Written(),), "batch": 32}
_CORPUS = {**_WIDE, "data": Text(), "algorithm.end": 0, "steps": 3000}
_SIGNS = {**_CORPUS, "data": Text(Names(), length=64), "algorithm.condition": (Label(),)}
_TINY = {
    "steps": 20,
    "algorithm.optimiser.warmup": 5,
    "algorithm.net.width": 16,
    "data.train": 2000,
    "data.test": 200,
    "finish": (Entropy(samples=400),),
}

EXPERIMENTS = {
    "base": BASE,
    "hidden": edit(BASE, {"data": HiddenChain(), "finish": (Entropy(target=0.02),)}),
    "masked": edit(BASE, _MASKED),
    "uniform": edit(BASE, {"algorithm": _UNIFORM, "finish": (Entropy(target=0.03),)}),
    "corpus": edit(BASE, _CORPUS),
    "signs": edit(BASE, _SIGNS),
    "tiny": edit(BASE, _TINY),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "text"), __doc__)
