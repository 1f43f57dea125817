"""One icon -> as many as there are weights: can a style be drawn, or taken from an example, and the content stay?

    python -m experiments.munit                BASE: regular icons -> the same thin, light, bold, filled, in two tones
    python -m experiments.munit cyclegan       the same data, one answer to a picture
    python -m experiments.munit unit           the same data, one latent of both domains
    python -m experiments.munit cycle          MUNIT with the way back as well
    python -m experiments.munit no_style       without the style being read again

Both domains show the same icons, so that all but the weight has the same share in both, and no row says which belong
together. `Styled` draws held-out icons in styles that are drawn and in those of examples. The field `sign` tells which
pictures of the second domain are true answers to one of the first: five for each icon.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Domains, Icons
from genjax.findings.cycles import Messages, Styled
from genjax.findings.samples import Samples
from genjax.findings.translating import Translating
from genjax.metrics.features import Components, RandomNet
from genjax.nets.translators import (
    AdainDecoder,
    ContentDecoder,
    ContentEncoder,
    ResnetTranslator,
    StyleEncoder,
)
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate.cycle import CycleGAN
from genjax.translate.munit import MUNIT
from genjax.translate.unit import UNIT

SIDE = {"widths": (32, 64), "patch": 2}
OTHERS = ("thin", "light", "bold", "fill", "duotone")

# without pairs: like the target as a whole, and how far apart answers are
MEASURE = Translating(
    on=(RandomNet(), Components(64)),
    group="design",
)
# all three answers are shown
FINISH = (
    Samples(),
    edit(MEASURE, {"styles": 3}),
)
# of models with one answer to a picture
ONE = (
    Samples(),
    edit(MEASURE, {"draws": 1}),
    Messages(group="design"),
)

BASE = Experiment(
    data=Domains(
        Icons(("regular",)),
        Icons(OTHERS),
        names=("regular", "any"),
    ),
    algorithm=MUNIT(
        style=8,
        content=ContentEncoder(**SIDE, blocks=2),
        reader=StyleEncoder(**SIDE),
        dec=AdainDecoder(**SIDE, blocks=2),
        # as many examples as weights: evenly over the test, one of each
        styles=5,
    ),
    steps=6000,
    batch=8,
    every=Every(log=100, evaluate=1000, sample=1000, save=500),
    evaluate_batch=50,
    samples=24,
    finish=(*FINISH, Styled()),
)

_ONE = {
    "algorithm": CycleGAN(ResnetTranslator(**SIDE, blocks=3)),
    "finish": ONE,
}
_UNIT = {
    "algorithm": UNIT(
        ContentEncoder(**SIDE, blocks=1),
        ContentDecoder(**SIDE, blocks=1),
    ),
    "finish": ONE,
}

EXPERIMENTS = {
    "base": BASE,
    "cyclegan": edit(BASE, _ONE),
    "unit": edit(BASE, _UNIT),
    "cycle": edit(BASE, {"algorithm.cycle": 10.0}),
    "no_style": edit(BASE, {"algorithm.same_style": 0.0}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "munit"), __doc__)
