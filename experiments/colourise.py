"""Grey -> colour: what does a mean look like, what a distribution, and who is fooled by either?

    python -m experiments.colourise                 BASE: bins of colour, rare ones weighing more; tiles of photographs
    python -m experiments.colourise regression      the same net, by squared error: the mean of what could be
    python -m experiments.colourise no_rebalance    bins of colour, all weighing the same
    python -m experiments.colourise diffusion       a flow of the colour: three answers for each picture
    python -m experiments.colourise photographs     BASE on crops of the two photographs that scikit-learn carries
    python -m genjax.report RUN RUN RUN             their numbers side by side

Every one has the light, is asked for the colour of blocks of 2x2 pixels, and keeps the light as it is. Measured on
tiles of scenes that no net has seen: colourfulness, PSNR and AuC of ab, how far two answers are apart, and how often a
judge, trained on other scenes, takes the coloured picture for the true one; floors beside them. The true one has its
colour by blocks too, as bytes like the other, and of three answers the judge sees the first. Zhang, Isola & Efros
2016 (arXiv:1603.08511) expect of rebalancing more colour and a lower PSNR.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.ae.colourise import Classes, Colouring, SquaredError
from genjax.config import edit
from genjax.data import Photographs
from genjax.data.scenes import Scenes
from genjax.diffusion import named, schedules
from genjax.diffusion.colourings import Colourings
from genjax.ema import Decay
from genjax.findings.colouring import Colours
from genjax.nets import UNet
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Flip

NET = UNet((48, 96), blocks=1, patch=1, attention=(8,))
TX = Adam(1e-3, warmup=100, decay=CosineDecay(), clip=1.0)
EMA = Decay(0.995)

BASE = Experiment(
    # halved twice: a tile holds enough of its scene to tell what it is of
    data=Scenes(32, stride=16, halvings=2),
    algorithm=Colouring(Classes(), NET, optimiser=TX, ema=EMA),
    steps=2000,
    batch=32,
    view=(Flip(),),
    every=Every(log=100, evaluate=1000, sample=1000, save=500),
    evaluate_batch=100,  # of 261 logits for each block
    samples=16,
    finish=(Colours(),),
)

_FLOW = {
    "net": NET,
    "schedule": schedules.Times(steps=12),
    "optimiser": TX,
    "ema": EMA,
}
_PHOTOGRAPHS = {
    "data": Photographs(),
    # trained on what it has seen of a temple, the judge is asked of a flower: two photographs have no more scenes
    "finish": (Colours(images=400, group="label"),),
    "steps": 600,
}

EXPERIMENTS = {
    "base": BASE,
    "regression": edit(BASE, {"algorithm.by": SquaredError()}),
    "no_rebalance": edit(BASE, {"algorithm.by": Classes(uniform=1.0)}),
    "diffusion": edit(BASE, {"algorithm": Colourings(edit(named.FLOW, _FLOW))}),
    "photographs": edit(BASE, _PHOTOGRAPHS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "colourise"), __doc__)
