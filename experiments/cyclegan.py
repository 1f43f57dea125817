"""One vendor's emoji -> another's, without a pair: what does a cycle bind, and what does it hide?"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Emoji, Paired, Unpaired
from genjax.gan.games import Relativistic
from genjax.gan.penalties import R1, R2
from genjax.nets.patch import PatchCritic
from genjax.nets.translators import ResnetTranslator, UnetTranslator
from genjax.optim import Adam, StableDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate.cut import CUT
from genjax.translate.cycle import CycleGAN
from genjax.translate.unit import UNIT

HANDS = ("noto", "twemoji")
GEN = ResnetTranslator((32, 64), blocks=3, patch=1)

BASE = Experiment(
    data=Unpaired(Emoji(HANDS, Paired(), languages=()), of=HANDS, names=HANDS),
    algorithm=CycleGAN(gen=GEN),
    steps=4000,
    batch=8,
    every=Every(log=50, evaluate=1000, sample=500, save=500),
    evaluate_batch=50,
    samples=24,
)

EXPERIMENTS = {
    "base": BASE,
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "cyclegan"), __doc__)
