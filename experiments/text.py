"""How near do models of text come to the entropy of their data, where it is known?

    python -m experiments.text            BASE: a causal transformer on a Markov chain, target within 1 % of its entropy
    python -m experiments.text masked     masked diffusion on the same chain: its bound, target within 3 %
    python -m experiments.text uniform    tokens that become any other in place of masks
    python -m experiments.text hidden     a hidden Markov model, whose tokens depend on all before them
    python -m experiments.text corpus     bytes of CPython's reference: bits a character beside Kneser-Ney, xz, zstd
    python -m experiments.text library    four times as much text: the docstrings of its standard library
    python -m experiments.text pieces     the same text in 1,024 pieces of words
    python -m experiments.text corpus_masked   masked diffusion on the bytes: its bound
    python -m experiments.text signs      names of signs in four languages, told which, and read back
    python -m experiments.text characters the same names, a token a character
    python -m experiments.text signs_masked    masked diffusion on them, with guidance
    python -m experiments.text tiny       does it run? seconds

Prints bits a token beside the chain's exact law on the same sequences, and a chi-square of the samples' n-grams.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Chain, HiddenChain
from genjax.data.alphabets import Characters, Pieces
from genjax.data.text import Docstrings, Names, Text
from genjax.diffusion.discrete import MaskedDiffusion, UniformState
from genjax.findings.language import Language
from genjax.findings.text import Entropy, Infilling, Written
from genjax.nets.transformer import Transformer
from genjax.optim import Adam, CosineDecay, Muon
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
# without it the bytes of the reference are learned by heart: valid rises from 1.81 after 1,000 steps
_READER = Transformer(width=128, depth=3, dropout=0.2)
_MUON = Muon(2e-3, warmup=100, decay=CosineDecay(), clip=1.0)
_WIDE = {
    "algorithm.net": _READER,
    "algorithm.optimiser": _MUON,
    "finish": (Written(),),
    "batch": 32,
}
_CORPUS = {**_WIDE, "data": Text(), "algorithm.end": 0, "steps": 3000}
# five times the windows: twice the steps are fewer epochs
_LIBRARY = {**_CORPUS, "data": Text(Docstrings()), "steps": 6000}
_NAMES = {
    "data": Text(Names(), length=64),
    "algorithm.condition": (Label(),),
    "finish": (Written(), Language()),
}
_SIGNS = {**_CORPUS, **_NAMES}
# no end: what fills a text up is drawn, and paid for, as any other token
_HIDDEN = {"algorithm": _DIFFUSION, **_WIDE, "steps": 3000}
_CORPUS_MASKED = {**_HIDDEN, "data": Text()}
_SIGNS_MASKED = {
    **_HIDDEN,
    **_NAMES,
    "algorithm.drop": 0.1,
    "finish": (Written(), Language(scales=(1.0, 2.0))),
}
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
    "library": edit(BASE, _LIBRARY),
    "corpus_masked": edit(BASE, _CORPUS_MASKED),
    # fewer tokens tell as much text: 128 pieces are about 380 bytes
    "pieces": edit(BASE, {**_CORPUS, "data": Text(alphabet=Pieces())}),
    "signs": edit(BASE, _SIGNS),
    "signs_masked": edit(BASE, _SIGNS_MASKED),
    "characters": edit(BASE, {**_SIGNS, "data.alphabet": Characters()}),
    "tiny": edit(BASE, _TINY),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "text"), __doc__)
