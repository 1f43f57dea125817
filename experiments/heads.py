"""Talking heads from a few pictures: what do more pictures, fitting and a game bring, and who beats a copy?

    python -m experiments.heads                 BASE: people of 32x32, known by 1, 8 and 32 pictures, fitted or not
    python -m experiments.heads no_game         the absolute error of pixels alone, nobody judges
    python -m experiments.heads flow            no game either: frames out of noise by a flow that is told the drawing
    python -m experiments.heads quick           does it run? people of 16x16, in two to four minutes
    python -m genjax.report RUN RUN RUN         their numbers side by side

Zakharov et al. 2019 (arXiv:1905.08233) on rendered people, of whom every pose is known: a person sits at one age, in
one light, and a model that has seen other people makes further pictures of drawings of landmarks. Measured on people
whom no net has seen, beside floors that take no net, with readers of landmarks and of identity that were in no loss;
one person driven by another's landmarks is the film in the report.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import FewShots, Sitters, Sittings
from genjax.findings.talking import Talking
from genjax.metrics.features import Components
from genjax.nets.talking import Embedder, TalkingDiscriminator, TalkingGenerator
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate.talking import TalkingHeads
from genjax.translate.talkingflow import TalkingFlow

BASE = Experiment(
    data=Sittings(),
    view=(FewShots(4),),
    algorithm=TalkingHeads(),
    steps=3000,
    batch=8,
    every=Every(log=100, evaluate=1000, sample=1000, save=1000),
    evaluate_batch=20,
    samples=8,
    finish=(Talking(),),
)

_QUICK = {
    "data.of": Sitters(16, 30, 12),
    "view": (FewShots(2),),
    "algorithm.embed": Embedder((16, 32), 2, size=32),
    "algorithm.gen": TalkingGenerator((16, 32), blocks=1, patch=2),
    "algorithm.disc": TalkingDiscriminator((16, 32), 2, size=32),
    "algorithm.fitting.steps": 10,
    "steps": 200,
    "finish.Talking.shots": (1, 4),
    "finish.Talking.people": 3,
    "finish.Talking.shown": 3,
    "finish.Talking.landmarks.steps": 60,
    "finish.Talking.identity.steps": 60,
    "finish.Talking.on": Components(8),
}

EXPERIMENTS = {
    "base": BASE,
    "no_game": edit(BASE, {"algorithm.play": 0.0}),
    "flow": edit(BASE, {"algorithm": TalkingFlow()}),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "heads"), __doc__)
