"""Younger and older: what does it cost to change the age in a face, and nothing else, without ever seeing a pair?

    python -m experiments.deage               BASE: faces of 32x32, forty years younger to forty older
    python -m experiments.deage supervised    the upper bound alone: trained on rendered pairs; stargan, flow: these
    python -m experiments.deage strong        SDEdit from more noise; inverted: up by inversion, without noise
    python -m experiments.deage half          StarGAN's answer halfway: does the read age follow the strength?
    python -m experiments.deage quick         does it run? pictures of 16x16, in a minute

All faces are rendered (`Aged`), so the same person, pose, light and background at the asked age is known. Supervised
regression is shown it in training; the attribute translator (StarGAN, arXiv:1711.09020) and the flow that SDEdit uses
see single pictures with their years. Test people were in no training, of ways or of readers, and no reader was in a
loss. Floors: the input as it is, the nearest training face of the asked age. The row `truth` is the renderer's own
picture: what readers make of it is their error, and its cosine that of two real pictures at the two ages.
"""

from __future__ import annotations

from genjax import cli, nets
from genjax.conditions import Numbers
from genjax.config import edit
from genjax.data.aged import Aged
from genjax.diffusion import named, schedules
from genjax.ema import Decay, Power
from genjax.findings.ageing import Ageing, Competitor, Edited, Translated
from genjax.findings.tabled import carry_out
from genjax.gan.penalties import R1
from genjax.metrics.identity import CosFace
from genjax.metrics.reader import Reader
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.translate.pix2pix import Pix2pix
from genjax.translate.stargan import StarGAN

YEARS = Numbers("age", 18.0, 85.0)
TX = Adam(1e-3, warmup=100, decay=CosineDecay(), clip=1.0)
GAME = Adam(5e-4, b1=0.5, b2=0.99, warmup=100, decay=CosineDecay(0.1))
NET = nets.UNet((32, 64), blocks=1, patch=2, attention=())

_SUPERVISED = Pix2pix(gen=NET, play=0.0, weight=1.0, condition=(YEARS,), optimiser=TX)
_STARGAN = StarGAN(
    asked=YEARS,
    gen=NET,
    disc=PatchGAN((32, 64, 64), halvings=2),
    penalties=(R1(0.3),),
    optimiser=GAME,
    disc_optimiser=GAME,
    ema=Decay(0.995),
)
_FLOW = edit(
    named.FLOW,
    {
        "net": NET,
        "condition": (YEARS,),
        "schedule": schedules.Times(steps=20),
        "optimiser": TX,
        "ema": Power((0.1,)),
    },
)


def trained(algorithm, steps: int) -> Experiment:
    """A run of so many steps; data, seed and folder are the comparison's."""
    every = Every(log=100, evaluate=steps, sample=steps, save=steps)
    return Experiment(algorithm=algorithm, steps=steps, batch=32, every=every)


SUPERVISED = Competitor("supervised", Translated(trained(_SUPERVISED, 3000)))
STARGAN = Competitor("stargan", Translated(trained(_STARGAN, 3000)))
FLOW = Competitor("sdedit", Edited(trained(_FLOW, 4000)))
INVERTED = edit(FLOW, {"name": "inverted", "of.inverted": True})

BASE = Ageing(
    data=Aged(),
    ways=(SUPERVISED, STARGAN, FLOW),
    reader=Reader(numbers=("age", "pose", "landmarks"), steps=1200),
    identity=CosFace(steps=1000),
)

_SMALL = nets.UNet((8, 16), blocks=1, patch=2, attention=())
_SHORT = {"of.exp.steps": 3, "of.exp.batch": 4, "of.exp.algorithm.optimiser.warmup": 0}
_GAME = {
    **_SHORT,
    "of.exp.algorithm.gen": _SMALL,
    "of.exp.algorithm.disc": PatchGAN((8,), side=3),
    "of.exp.algorithm.penalties": (),
}
_QUICK = {
    "data": Aged(16, people=60, shots=2),
    "ways": (
        edit(SUPERVISED, {**_SHORT, "of.exp.algorithm.gen": _SMALL}),
        edit(STARGAN, _GAME),
        edit(FLOW, {**_SHORT, "of.exp.algorithm.net": _SMALL, "of.steps": 3}),
    ),
    "changes": (-40.0, 40.0),
    "people": 6,
    "reader": Reader("", ("age", "landmarks"), widths=(8, 8), features=8, steps=5),
    "identity": CosFace(widths=(8, 8), features=8, embedding=4, steps=5),
}

EXPERIMENTS = {
    "base": BASE,
    "supervised": edit(BASE, {"ways": (SUPERVISED,)}),
    "stargan": edit(BASE, {"ways": (STARGAN,)}),
    "flow": edit(BASE, {"ways": (FLOW, INVERTED)}),
    "strong": edit(BASE, {"ways": (edit(FLOW, {"of.strength": 2.0}),)}),
    "half": edit(BASE, {"ways": (edit(STARGAN, {"of.exp.algorithm.strength": 0.5}),)}),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
