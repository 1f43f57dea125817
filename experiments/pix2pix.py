"""A picture into another, with pairs: what does a game add to the mean absolute error, and is there any variety?

    python -m experiments.pix2pix               BASE: line drawings of faces into the faces, 32x32
    python -m experiments.pix2pix l1            the absolute error alone; game: the game alone; weight10: less error
    python -m experiments.pix2pix dropout       the paper's source of variety in the place of noise; none: neither
    python -m experiments.pix2pix pixels        a discriminator of single pixels; halves: of 34x34 in pictures of 64x64
    python -m experiments.pix2pix lights        the same face in another light; emoji: one vendor's into another's;
                                                maps: satellite into relief; lights_l1 …: without a game
    python -m experiments.pix2pix digits        does it run? scans of 8x8, in seconds
    python -m genjax.report RUN RUN RUN         their numbers side by side

Measured on people, designs and places that no net has seen, beside floors that take no net: the input as it is, the
truth of the nearest training input, ridge regression on pixels. The same without a game is `experiments.bridge`.
Emoji and maps need packages: see docs/data.md.
"""

from __future__ import annotations

import functools

from genjax import cli, nets
from genjax.config import edit
from genjax.data import Digits, Emoji, Heads, Maps, Paired, Relit, Sketched
from genjax.findings.translating import Translating
from genjax.metrics.features import Components, RandomNet
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam, CosineDecay, Muon
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate.pix2pix import Pix2pix
from genjax.views import Shift

NET = nets.PlainUNet((48, 64), blocks=2, patch=2, bias=True)
# the game's own, of the paper but for its rate
TX = Adam(5e-4, b1=0.5, b2=0.999, warmup=100, decay=CosineDecay(0.1))
ERROR = Muon(1.5e-3, warmup=100, decay=CosineDecay(), clip=1.0)
# of a net that nobody has trained, and of pixels, all directions alike
FEATURES = (RandomNet(), Components(64))
MEASURE = Translating(on=FEATURES, group="person", content="label", styles=2)

BASE = Experiment(
    data=Sketched(Heads()),
    algorithm=Pix2pix(
        gen=NET, disc=PatchGAN((48, 96)), latent=8, optimiser=TX, disc_optimiser=TX
    ),
    steps=6000,
    batch=16,
    every=Every(log=100, evaluate=1000, sample=1000, save=1000),
    evaluate_batch=250,
    samples=16,
    finish=(MEASURE,),
)

_ONE = {"finish.Translating.draws": 1, "finish.Translating.styles": 1}
_L1 = {
    "algorithm.play": 0.0,
    "algorithm.latent": 0,
    "algorithm.optimiser": ERROR,
    **_ONE,
}
# a block drops half of its values, in samples too
_DROPOUT = nets.UNet((48, 64), blocks=1, patch=2, attention=(), dropout=0.5)
_LARGE = {
    "data.of.size": 64,
    "algorithm.gen.patch": 4,
    "algorithm.disc": PatchGAN((48, 96, 96), halvings=2),
    # four times the pixels: as many minutes, and floors that stay below four GB
    "steps": 3000,
    "finish.Translating.library": 4000,
    "finish.Translating.reader.steps": 400,
}

_EMOJI = {
    "data": Emoji(("noto", "twemoji"), Paired(), languages=()),
    "algorithm.given": "twemoji",
    # a few thousand signs: each is seen at several places
    "view": (Shift(2, of=("noto", "twemoji")),),
    "finish.Translating.group": "design",
}
_MAPS = {
    "data": Maps(("relief", "satellite"), size=32, stride=16),
    "algorithm.given": "satellite",
    # tiles of ten degrees of latitude and longitude are one region
    "finish.Translating.group": "place",
    "finish.Translating.cell": 10.0,
    "finish.Translating.content": "",
}
_DIGITS = {
    "data": Sketched(Digits()),
    "algorithm.gen": nets.PlainUNet((16,), blocks=1, patch=2, bias=True),
    "algorithm.disc": PatchGAN((16,), side=3),
    "steps": 300,
    "finish": (Translating(content="label", draws=2),),
}

LIGHTS = edit(BASE, {"data": Relit()})
EMOJI = edit(BASE, _EMOJI)
MAPS = edit(BASE, _MAPS)

EXPERIMENTS = {
    "base": BASE,
    "l1": edit(BASE, _L1),
    "game": edit(BASE, {"algorithm.weight": 0.0}),
    "weight10": edit(BASE, {"algorithm.weight": 10.0}),
    "dropout": edit(BASE, {"algorithm.gen": _DROPOUT, "algorithm.latent": 0}),
    "none": edit(BASE, {"algorithm.latent": 0, **_ONE}),
    "pixels": edit(BASE, {"algorithm.disc": PatchGAN((48, 96), halvings=0, side=1)}),
    "halves": edit(BASE, _LARGE),
    "lights": LIGHTS,
    "lights_l1": edit(LIGHTS, _L1),
    "emoji": EMOJI,
    "emoji_l1": edit(EMOJI, _L1),
    "maps": MAPS,
    "maps_l1": edit(MAPS, _L1),
    "digits": edit(BASE, _DIGITS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "pix2pix"), __doc__)
