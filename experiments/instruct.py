"""Does a picture change as a sentence asks, and in nothing else? Faces, in four languages.

    python -m experiments.instruct            BASE: rendered faces: age, side, mood, eyes, hair
    python -m experiments.instruct one        one scale of guidance, of picture and words together
    python -m experiments.instruct dit        a transformer in the place of the U-Net
    python -m experiments.instruct context    its words in the blocks' own attention
    python -m experiments.instruct quick      does it run? about a minute, most of it compiling

The flow is told the picture before, beside the noise, and the instruction, by an encoder of bytes that is trained
along; the true picture after it is the renderer's. Guidance has two scales, one for likeness to the given picture and
one for obedience to the words (InstructPix2Pix, arXiv:2211.09800, eq. 3). After training, on held-out people: PSNR to
the true picture beside that of doing nothing and of the mean change; what a reader of real pictures sees of what was
asked, and of all else. The paper's training pairs are made by a text-to-image model; these are rendered.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Caption
from genjax.config import edit
from genjax.data.spoken import InstructedHeads
from genjax.diffusion import named, schedules
from genjax.diffusion.guidance import Guidance, Stepwise
from genjax.ema import Decay
from genjax.findings.instructed import Instructed
from genjax.metrics.reader import Reader
from genjax.nets import Context, DiT, TokenEncoder, UNet, Worded
from genjax.optim import Muon, StableDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate.palette import Palette

UNET = UNet((32, 64), blocks=1, patch=2, attention=(), words=(8,))
NET = Worded(UNET, TokenEncoder(width=96, depth=2), whole=False)
DIT = edit(NET, {"net": DiT(patch=4, width=128, depth=4, heads=4)})
FLOW = edit(
    named.FLOW,
    {
        "net": NET,
        "condition": (Caption(),),
        # shares of training without both, without the picture and without the words, as in the paper's sec. 3.2.1
        "drop": 0.05,
        "alone": 0.05,
        "guidance": Stepwise(("input", "caption"), (1.5, 2.0)),
        "schedule": schedules.Times(steps=10),
        "optimiser": Muon(2e-3, warmup=100, decay=StableDecay(0.3), clip=1.0),
        "ema": Decay(0.998),
    },
)
BASE = Experiment(
    data=InstructedHeads(),
    algorithm=Palette(model=FLOW, guided=True),
    steps=2500,
    batch=64,
    every=Every(log=100, evaluate=500, sample=500, save=250),
    finish=(
        Instructed(
            Reader("attributes"),
            samples=600,
            scales=((1.0, 1.0), (1.0, 2.0), (1.5, 2.0), (1.5, 4.0)),
        ),
    ),
)
# the picture is there always, and words are guided against none
_ONE = {
    "algorithm.guided": False,
    "algorithm.model.guidance": Guidance(2.0),
    "algorithm.model.alone": 0.0,
    "algorithm.model.drop": 0.1,
    "finish.Instructed.scales": (),
}
_QUICK = {
    "data": InstructedHeads(16, people=60, shots=3),
    "algorithm.model.net": Worded(
        DiT(patch=8, width=16, depth=1, heads=2),
        TokenEncoder(width=16, depth=1, heads=2, letter=8),
    ),
    "algorithm.model.schedule.steps": 2,
    "algorithm.model.optimiser.warmup": 5,
    "steps": 20,
    "batch": 32,
    "finish.Instructed.reader": Reader("attributes", widths=(8, 8), features=8, steps=20),
    "finish.Instructed.samples": 18,
    "finish.Instructed.scales": ((1.0, 1.0), (1.5, 2.0)),
    "finish.Instructed.shown": 4,
}
EXPERIMENTS = {
    "base": BASE,
    "one": edit(BASE, _ONE),
    "dit": edit(BASE, {"algorithm.model.net": DIT}),
    "context": edit(BASE, {"algorithm.model.net": edit(DIT, {"net.words": Context()})}),
    "quick": edit(BASE, _QUICK),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "instruct"), __doc__)
