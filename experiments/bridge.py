"""A picture into another without a game: does a bridge or a diffusion model do what pix2pix does, in the same time?

    python -m experiments.bridge                BASE: a Brownian bridge from line drawings to faces, told the drawing
    python -m experiments.bridge untold         the net sees the point on the way alone, not where it came from
    python -m experiments.bridge flow           no noise on the way: one answer to a drawing
    python -m experiments.bridge palette        from noise, told the drawing: conditional diffusion, here a flow
    python -m experiments.bridge lights         two lights; emoji, maps: as in experiments.pix2pix
    python -m experiments.bridge unpaired       two lights whose pairs are taken apart: coupled by transport in a batch
    python -m experiments.bridge chance         the same, coupled by chance
    python -m experiments.bridge digits         does it run? scans of 8x8, in seconds
    python -m genjax.report RUN RUN RUN         their numbers side by side, those of experiments.pix2pix too

The net is pix2pix's generator, about as many CPU seconds are spent, and what is measured is the same: near the truth,
like the target as a whole, and whether two answers to one input are as far apart as an answer and the truth are.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Relit, Unpaired
from genjax.diffusion import named, schedules
from genjax.ema import Decay
from genjax.optim import CosineDecay, Muon
from genjax.training.loop import run
from genjax.translate.bridge import Bridge, Straight
from genjax.translate.palette import Palette
from genjax.translate.transport import Drawn, Transport

from . import pix2pix

TX = Muon(1.5e-3, warmup=100, decay=CosineDecay(), clip=1.0)
EMA = Decay(0.995)
LIGHTS = 0.35

BASE = edit(
    pix2pix.BASE,
    {
        # drawings are white and faces are not: 1.1 lies between them, .35 between two lights
        "algorithm": Bridge(net=pix2pix.NET, span=1.1, optimiser=TX, ema=EMA),
        # a step costs little more than half of pix2pix's: no second player
        "steps": 10_000,
        "every.evaluate": 2000,
        "every.sample": 2000,
    },
)

_FLOW = {
    "algorithm.sigma": 0.0,
    "algorithm.sampler": Straight(),
    "finish.Translating.draws": 1,
    "finish.Translating.styles": 1,
}
_PALETTE = edit(
    named.FLOW,
    {
        "net": pix2pix.NET,
        "schedule": schedules.Times(steps=10),  # of two evaluations each
        "optimiser": TX,
        "ema": EMA,
    },
)
# where it came from says nothing that is not in where it is: without noise the way is known
_APART = {
    **_FLOW,
    "data": Unpaired(Relit()),
    "algorithm.given": "a",
    "algorithm.span": LIGHTS,
    "algorithm.told": False,
    "algorithm.coupling": Transport(block=16),
}


def _of(other) -> dict:
    """The data of one of pix2pix's experiments, and how they are measured."""
    return {
        "data": other.data,
        "view": other.view,
        "algorithm.given": other.algorithm.given,
        "finish": other.finish,
    }


EXPERIMENTS = {
    "base": BASE,
    "untold": edit(BASE, {"algorithm.told": False}),
    "flow": edit(BASE, _FLOW),
    "palette": edit(BASE, {"algorithm": Palette(model=_PALETTE)}),
    "lights": edit(BASE, {**_of(pix2pix.LIGHTS), "algorithm.span": LIGHTS}),
    "emoji": edit(BASE, _of(pix2pix.EMOJI)),
    "maps": edit(BASE, _of(pix2pix.MAPS)),
    "unpaired": edit(BASE, _APART),
    "chance": edit(BASE, {**_APART, "algorithm.coupling": Drawn()}),
    "digits": edit(
        BASE,
        {
            **_of(pix2pix.EXPERIMENTS["digits"]),
            "algorithm.net": pix2pix.EXPERIMENTS["digits"].algorithm.gen,
            "algorithm.steps": 5,
            "steps": 300,
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "bridge"), __doc__)
