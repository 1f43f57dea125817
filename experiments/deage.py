"""Younger and older: what does it cost to change the age in a face, and nothing else, without ever seeing a pair?

    python -m experiments.deage               BASE: faces of 32x32, forty years younger to forty older
    python -m experiments.deage supervised    the upper bound alone, trained on pairs; stargan, directed, flow: these
    python -m experiments.deage read          StarGAN whose critic reads years, and is not told them; half: its strength
    python -m experiments.deage known         directed by inverted faces of known years; narrow: in w, and not in w+
    python -m experiments.deage strong        SDEdit from more noise; inverted: up by inversion, without noise
    python -m experiments.deage quick         does it run? pictures of 16x16, in two minutes

All faces are rendered (`Aged`), so the same person, pose, light and background at the asked age is known. Supervised
regression is shown it in training; the attribute translator (StarGAN, arXiv:1711.09020) and the flow that SDEdit uses
see single pictures with their years, StyleGAN2 single pictures: faces are inverted, and moved in its styles. Test
people were in no training, of ways or of readers, and no judge was in a loss. Floors: the input, the nearest training
face of the asked age; `truth` is the renderer's own picture. A change of 0 years: what is lost before any change.
"""

from __future__ import annotations

from genjax import cli, nets
from genjax.conditions import Numbers
from genjax.config import edit
from genjax.data.aged import Aged
from genjax.diffusion import named, schedules
from genjax.ema import Decay, Power
from genjax.findings.ageing import Ageing, Competitor
from genjax.findings.directed import Directed
from genjax.findings.tabled import carry_out
from genjax.findings.years import Edited, Translated
from genjax.gan.games import Relativistic
from genjax.gan.penalties import R1, R2
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.identity import CosFace
from genjax.metrics.reader import Reader
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import ResidualChange
from genjax.optim import Adam, CosineDecay, Muon, StableDecay
from genjax.training.experiment import Every, Experiment
from genjax.translate.pix2pix import Pix2pix
from genjax.translate.stargan import StarGAN

YEARS = Numbers("age", 18.0, 85.0)
TX = Muon(1.5e-3, warmup=100, decay=CosineDecay(), clip=1.0)  # as of denoisers
# of the relativistic game, whose critic has no momentum and whose penalties bear large steps
GAME = Adam(1e-3, b1=0.0, b2=0.99, decay=StableDecay(0.5))
STYLED = Adam(2e-3, b1=0.0, b2=0.99, warmup=100)
NET = nets.UNet((32, 64), blocks=1, patch=2, attention=())

_SUPERVISED = Pix2pix(gen=NET, play=0.0, weight=1.0, condition=(YEARS,), optimiser=TX)
_PLAYED = {"told": True, "game": Relativistic(), "penalties": (R1(0.01), R2(0.01)), "every": 4}
_OPTIMISERS = {"optimiser": GAME, "disc_optimiser": GAME, "ema": Decay(0.995)}
_NETS = {"gen": ResidualChange((32, 64), patch=2), "disc": PatchGAN((32, 64), halvings=2)}
_STARGAN = edit(StarGAN(asked=YEARS, cycle=2.0), {**_NETS, **_PLAYED, **_OPTIMISERS})
_STYLES = {
    "latent": 64,
    "mapping": nets.StyleMapping(depth=4, width=64),
    "synthesis": nets.StyleSynthesis((16, 32, 64, 64)),
    "disc": nets.StyleDiscriminator((16, 32, 64, 64), group=4),
}
_STYLEGAN2 = edit(StyleGAN2(optimiser=STYLED, disc_optimiser=STYLED, ema=Decay(0.995)), _STYLES)
_DENOISER = {"net": NET, "condition": (YEARS,), "schedule": schedules.Times(steps=20)}
_FLOW = edit(named.FLOW, {**_DENOISER, "optimiser": TX, "ema": Power((0.1,))})


def trained(algorithm, steps: int) -> Experiment:
    """A run of so many steps; data, seed and folder are the comparison's."""
    every = Every(log=100, evaluate=steps, sample=steps, save=steps)
    return Experiment(algorithm=algorithm, steps=steps, batch=32, every=every)


SUPERVISED = Competitor("supervised", Translated(trained(_SUPERVISED, 3000)))
STARGAN = Competitor("stargan", Translated(trained(_STARGAN, 3000)))
DIRECTED = Competitor("directed", Directed(trained(_STYLEGAN2, 4000)))
FLOW = Competitor("sdedit", Edited(trained(_FLOW, 4000)))
INVERTED = edit(FLOW, {"name": "inverted", "of.inverted": True})
READ = edit(STARGAN, {"name": "read", "of.exp.algorithm.told": False})
READER = Reader("attributes", ("age", "pose", "landmarks"), steps=1200)
BASE = Ageing(
    ways=(SUPERVISED, STARGAN, DIRECTED, FLOW), reader=READER, identity=CosFace(steps=1000)
)

_TINY = {"widths": (8, 8), "features": 8, "steps": 5}
_SHORT = {"of.exp.steps": 3, "of.exp.batch": 4, "of.exp.algorithm.optimiser.warmup": 0}
_SMALL = nets.UNet((8, 16), blocks=1, patch=2, attention=())
# second derivatives take long to compile
_PLAIN = {"of.exp.algorithm.path_weight": 0.0, "of.exp.algorithm.r1.gamma": 0.0}
_READ = {
    "of.samples": 60,
    "of.projector.steps": 5,
    "of.reader": edit(READER, {**_TINY, "seed": 1}),
}
_QUICK = {
    "data": Aged(16, people=60, shots=2),
    "ways": (
        edit(SUPERVISED, {**_SHORT, "of.exp.algorithm.gen": _SMALL}),
        edit(STARGAN, {**_SHORT, "of.exp.algorithm.disc": PatchGAN((8,), side=3)}),
        edit(DIRECTED, {**_SHORT, **_PLAIN, **_READ}),
        edit(FLOW, {**_SHORT, "of.exp.algorithm.net": _SMALL, "of.steps": 3}),
    ),
    "changes": (-40.0, 0.0, 40.0),
    "people": 6,
    "reader": edit(READER, _TINY),
    "identity": CosFace(embedding=4, **_TINY),
}

EXPERIMENTS = {
    "base": BASE,
    "supervised": edit(BASE, {"ways": (SUPERVISED,)}),
    "stargan": edit(BASE, {"ways": (STARGAN,)}),
    "read": edit(BASE, {"ways": (READ,)}),
    "half": edit(BASE, {"ways": (edit(STARGAN, {"of.exp.algorithm.strength": 0.5}),)}),
    "directed": edit(BASE, {"ways": (DIRECTED,)}),
    "known": edit(BASE, {"ways": (edit(DIRECTED, {"of.faces": 500}),)}),
    "narrow": edit(BASE, {"ways": (edit(DIRECTED, {"of.wide": False}),)}),
    "flow": edit(BASE, {"ways": (FLOW, INVERTED)}),
    "strong": edit(BASE, {"ways": (edit(FLOW, {"of.strength": 2.0}),)}),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
