"""Does a picture show what a sentence asks for, in four languages, where training never had the two things together?

    python -m experiments.text2image           BASE: rendered faces of 32x32, told by age, sex, hair, mood and side
    python -m experiments.text2image digits2   two digits, one beside or above the other
    python -m experiments.text2image digits2_words    their sentences alone, by contrast: what digits2 begins with
    python -m experiments.text2image signs     signs of Unicode by two vendors, with their names
    python -m experiments.text2image folder --data.path=DIR    your pictures, a text file beside each: no attributes
    python -m experiments.text2image dit       a transformer in the place of the U-Net; context: words among its patches
    python -m experiments.text2image both      the sentence as one vector beside its words; whole: the vector alone
    python -m experiments.text2image quick     does it run? about a minute, most of it compiling

A small transformer reads the bytes of a sentence and is trained along with the flow; `digits2 --start=RUN
--start.partial=true` begins with that of a run of `digits2_words`. After training, nets that have learned from real
pictures read samples back: shares of asked attributes that are right, on combinations and wordings that training had
and had not, for each language, at several scales of guidance; R-precision; distances; the nearest training pictures.
`--algorithm.condition='(Caption(negative="un niño"),)'` is unlike what it says.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Caption
from genjax.config import edit
from genjax.data.captions import Captions
from genjax.data.spoken import DigitPairs, SpokenHeads, SpokenSigns
from genjax.diffusion import named, schedules, times
from genjax.diffusion.guidance import Guidance
from genjax.ema import Decay
from genjax.findings.asked import Asked
from genjax.metrics.features import Components
from genjax.metrics.reader import Reader
from genjax.metrics.towers import Towers
from genjax.nets import Context, DiT, TokenEncoder, UNet, Worded
from genjax.optim import Muon, StableDecay
from genjax.sequence.matching import Contrastive
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

UNET = UNet((32, 64), blocks=1, patch=2, attention=(), words=(8,))
# a vector of the whole sentence may learn pairs of things by heart: `both` has it
NET = Worded(UNET, TokenEncoder(width=96, depth=2), whole=False)
DIT = edit(NET, {"net": DiT(patch=4, width=128, depth=4, heads=4)})
FLOW = edit(
    named.FLOW,
    {
        "net": NET,
        "condition": (Caption(),),
        "guidance": Guidance(2.0),
        "schedule": schedules.Times(steps=10),
        # what is asked for shows where there is most noise
        "time": times.LogitNormal(0.5, 1.0),
        "optimiser": Muon(2e-3, warmup=100, decay=StableDecay(0.3), clip=1.0),
        "ema": Decay(0.998),
    },
)
READER = Reader("attributes")
BASE = Experiment(
    data=SpokenHeads(),
    algorithm=FLOW,
    steps=2500,
    batch=64,
    every=Every(log=100, evaluate=500, sample=500, save=250),
    finish=(Asked(READER, scales=(1.0, 2.0, 4.0), samples=600),),
)
_DIGITS = {
    "data": DigitPairs(),
    "algorithm.net.net.words": (4, 8),
    "algorithm.std": 0.6,
    "steps": 4000,
    "finish.Asked.samples": 1000,
}
DIGITS = edit(BASE, _DIGITS)
_WORDS = {"algorithm": Contrastive(encoder=NET.encoder), "evaluate_batch": 100, "finish": ()}
# which sign it is tells captions apart, not only tone, gender and occupation
_SIGNS = {
    "data": SpokenSigns(),
    "finish.Asked.towers": Towers(same="sign"),
    "finish.Asked.samples": 1451,
}
SIGNS = edit(BASE, _SIGNS)
# of these pictures their captions alone are known
FOLDER = edit(BASE, {"data": Captions(size=32), "finish.Asked.reader": None})
_TINY = TokenEncoder(16, 1, 2, letter=8)
_JUDGES = {
    "finish.Asked.towers": Towers((8, 8), 8, _TINY, steps=20),
    "finish.Asked.samples": 60,
    "finish.Asked.scales": (1.0, 2.0),
    "finish.Asked.shown": 2,
}
_READ = {"finish.Asked.reader": Reader("attributes", widths=(8, 8), features=8, steps=20)}
_QUICK = {
    "algorithm.net": Worded(DiT(patch=8, width=16, depth=1, heads=2), _TINY),
    "algorithm.schedule.steps": 2,
    "algorithm.optimiser.warmup": 5,
    "steps": 20,
    **_JUDGES,
}
_EMOJI = {"data.emoji.size": 16, "data.emoji.languages": ("en", "ar")}
_QUICK_SIGNS = {**_EMOJI, **_QUICK, **_READ, "finish.Asked.towers.same": "sign"}
_QUICK_FOLDER = {**_QUICK, "batch": 8, "finish.Asked.features": Components(4)}
EXPERIMENTS = {
    "base": BASE,
    "dit": edit(BASE, {"algorithm.net": DIT}),
    "context": edit(BASE, {"algorithm.net": edit(DIT, {"net.words": Context()})}),
    "both": edit(BASE, {"algorithm.net.whole": True}),
    "whole": edit(BASE, {"algorithm.net": edit(NET, {"whole": True, "pieces": False})}),
    "digits2": DIGITS,
    "digits2_words": edit(DIGITS, {**_WORDS, "steps": 2000}),
    "signs": SIGNS,
    "folder": FOLDER,
    "quick": edit(DIGITS, {"data": DigitPairs(train=400, test=100), **_QUICK, **_READ}),
    "quick_signs": edit(SIGNS, _QUICK_SIGNS),
    "quick_folder": edit(FOLDER, _QUICK_FOLDER),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "text2image"), __doc__)
