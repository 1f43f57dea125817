"""One hand's emoji -> another's, from two piles without a pair: what does a cycle bind, and what does it hide?

    python -m experiments.cyclegan                BASE: ResNet generators, least squares, cycle and identity, a pool
    python -m experiments.cyclegan unet           U-Net generators; half: ResNet blocks at half the size, not a quarter
    python -m experiments.cyclegan relativistic   R3GAN's game and penalties in the place of least squares
    python -m experiments.cyclegan no_cycle       the game alone: what is then kept of the input?
    python -m experiments.cyclegan cut            one way, held by contrast of places; unit: two VAEs with one latent
    python -m experiments.cyclegan residual       so, and what is to be changed is added to the input
    python -m experiments.cyclegan lights         so, of faces lit from the left <-> the right; lights_resnet: as BASE
    python -m experiments.cyclegan --list         without identity, without the pool; maps: relief <-> satellite

The signs are taken apart: of one half of them the drawing is Noto's, of the other Twemoji's, and no sign of the
training set is in both; a design, whose tones and genders are signs of their own, may be. In the test set the signs are
whole again, of designs that no net has seen, and the true drawing is known: `Translating` measures against it. Two
halves of one draw have the same share of everything else. `Messages` measures what is hidden in translations (Chu et
al. 2017, arXiv:1712.02950): how much worse a picture comes back once its translation is saved as bytes, or noised.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.config import edit
from genjax.data import Emoji, Maps, Paired, Relit, Unpaired
from genjax.findings.cycles import Messages
from genjax.findings.samples import Samples
from genjax.findings.translating import Translating
from genjax.gan.games import Relativistic
from genjax.gan.penalties import R1, R2
from genjax.metrics.features import Components, RandomNet
from genjax.nets import translators as nets
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam, StableDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate.cut import CUT
from genjax.translate.cycle import CycleGAN
from genjax.translate.unit import UNIT

HANDS = ("noto", "twemoji")
LAYERS = ("relief", "satellite")
TX = Adam(2e-4, b1=0.5, decay=StableDecay(0.5))
# of the relativistic game, whose critics have no momentum and whose penalties bear large steps
QUICK = Adam(1e-3, b1=0.0, b2=0.99, decay=StableDecay(0.5))
SIDE = {"widths": (32, 64), "patch": 2}
GEN = nets.ResnetTranslator(**SIDE, blocks=3)

# against the hidden truth: one answer to a picture, and a whole design at a time
MEASURE = Translating(
    draws=1, on=(RandomNet(), Components(64)), group="design", content="label"
)
FINISH = (Samples(), MEASURE)

BASE = Experiment(
    data=Unpaired(Emoji(HANDS, Paired(), languages=()), HANDS, names=HANDS),
    algorithm=CycleGAN(GEN, optimiser=TX, disc_optimiser=TX),
    steps=6000,
    batch=8,
    every=Every(log=100, evaluate=1000, sample=1000, save=500),
    evaluate_batch=50,
    samples=24,
    finish=(*FINISH, Messages(group="design")),
)

_RELATIVISTIC = {
    "algorithm.game": Relativistic(),
    # penalties of slopes go without a norm in the critic
    "algorithm.disc": PatchGAN((32, 64), halvings=2),
    "algorithm.penalties": (R1(0.01), R2(0.01)),
    "algorithm.every": 4,
    "algorithm.optimiser": QUICK,
    "algorithm.disc_optimiser": QUICK,
}
# what is not to be changed passes by the generator
_RESIDUAL = {
    **_RELATIVISTIC,
    "algorithm.gen": nets.ResidualTranslator(**SIDE),
    "algorithm.cycle": 2.0,
    "algorithm.identity": 0.0,
}
# there is no way back
_CUT = {"algorithm": CUT(GEN, optimiser=TX, disc_optimiser=TX), "finish": FINISH}
_UNIT = UNIT(nets.ContentEncoder(**SIDE, blocks=1), nets.ContentDecoder(**SIDE, blocks=1))
_MAPS = {
    "data": Unpaired(Maps(LAYERS, size=32, stride=32), LAYERS, names=LAYERS),
    # tiles of ten degrees of latitude and longitude are one region, and they have no classes
    "finish.Translating.group": "place",
    "finish.Translating.cell": 10.0,
    "finish.Translating.content": "",
    "finish.Messages.group": "place",
    "finish.Messages.cell": 10.0,
}
# no shot is in both lights; a person may be, in different shots
_LIGHTS = {
    "data": Unpaired(Relit(), names=("left", "right")),
    "finish.Translating.group": "person",
    "finish.Messages.group": "person",
}
LIGHTS = edit(BASE, {**_LIGHTS, **_RESIDUAL})

EXPERIMENTS = {
    "base": BASE,
    "unet": edit(BASE, {"algorithm.gen": nets.UnetTranslator((32, 64, 96), patch=2)}),
    "half": edit(BASE, {"algorithm.gen": nets.ResnetTranslator((48,), blocks=3, patch=2)}),
    "relativistic": edit(BASE, _RELATIVISTIC),
    "no_cycle": edit(BASE, {"algorithm.cycle": 0.0, "algorithm.identity": 0.0}),
    "no_identity": edit(BASE, {"algorithm.identity": 0.0}),
    "no_pool": edit(BASE, {"algorithm.pool": 0}),
    "cut": edit(BASE, _CUT),
    "unit": edit(BASE, {"algorithm": _UNIT}),
    "maps": edit(BASE, _MAPS),
    "residual": edit(BASE, _RESIDUAL),
    "lights": LIGHTS,
    "lights_no_cycle": edit(LIGHTS, {"algorithm.cycle": 0.0}),
    "lights_resnet": edit(BASE, _LIGHTS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "cyclegan"), __doc__)
