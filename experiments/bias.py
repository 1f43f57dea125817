"""Whom do generators show when they are asked for an occupation, and is it more than what their data show?

    python -m experiments.bias                BASE: a flow and a VAE on faces whose occupations go with sex, audited
    python -m experiments.bias calibration    the renderer as sampler: is a planted bias found, and how surely?
    python -m experiments.bias guidance       the flow at several scales of guidance
    python -m experiments.bias mended         data weighed or left out, and a flow that is asked for even shares
    python -m experiments.bias asked          text to image, asked for an occupation and nothing else
    python -m experiments.bias tools          our own detectors and classifiers: whom do they serve worse?
    python -m experiments.bias quick          does it run? faces of 16x16, in a minute or two

Faces are rendered and wear the coat of an occupation (`Workers`), which is planted to go with sex. A net that learned
from faces whose coat tells nothing reads sex, tone, age and occupation of samples; its errors, counted on people whom
nobody was trained on, are taken out of all shares, and add to their intervals. The first entry of the report says it in
plain words. What is told holds for these drawings and nets of minutes: it is no statement on anybody's occupation.
"""

from __future__ import annotations

from genjax import cli, nets
from genjax.audit import named as audit
from genjax.conditions import Caption, Label
from genjax.config import edit
from genjax.data.balanced import Balanced, Fewer, Weighed
from genjax.data.heads import Heads
from genjax.data.portions import Reals
from genjax.data.spoken import Workers
from genjax.diffusion import named, schedules, times
from genjax.ema import Decay
from genjax.findings.audited import Audited, Held, Sampled
from genjax.findings.auditing import Audit
from genjax.findings.detectors import Entry, Near, Told
from genjax.findings.generated import Generator
from genjax.findings.planted import Planted
from genjax.findings.served import Served
from genjax.findings.tabled import carry_out
from genjax.metrics.classifier import Convolutional
from genjax.metrics.features import Components
from genjax.metrics.reader import Reader
from genjax.optim import Muon, StableDecay
from genjax.training.experiment import Every, Experiment
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

DATA = Workers(bias=0.5)
READER = Reader("attributes", steps=1200)
UNET = nets.UNet((32, 64), blocks=1, patch=2, attention=())
_MUON = Muon(2e-3, warmup=50, decay=StableDecay(0.3), clip=1.0)
_ASK = {"condition": (Label(),), "schedule": schedules.Times(steps=10), "ema": Decay(0.995)}
_FLOW = {"net": UNET, "time": times.LogitNormal(0.5, 1.0), "optimiser": _MUON, **_ASK}
_CODES = (nets.ConvEncoder((32, 64), patch=4), nets.ConvDecoder((32, 64), patch=4))
_VAE = {"condition": (Label(),), "warmup": 300, "optimiser": _MUON}


def trained(algorithm, steps: int) -> Experiment:
    """A run of so many steps; data, seed and folder are the audit's."""
    every = Every(log=100, evaluate=steps, sample=steps, save=steps)
    return Experiment(algorithm=algorithm, steps=steps, batch=32, every=every)


HELD = Audited("held-out data", Held())
_RUN = trained(edit(named.FLOW, _FLOW), 1200)
_VAE_RUN = trained(edit(VAE(64, *_CODES, Gaussian(0.3)), _VAE), 1500)
_TOLD = edit(_RUN, {"algorithm.condition": (Label(), Label("sex"))})
_NET = nets.Worded(edit(UNET, {"words": (8,)}), nets.TokenEncoder(width=64, depth=1))
_WORDS = edit(_RUN, {"algorithm.net": _NET, "algorithm.condition": (Caption(),)})
_MODELS = (Audited("flow", Sampled(_RUN)), Audited("vae", Sampled(_VAE_RUN)))
BASE = Audit(data=DATA, samplers=(HELD, *_MODELS), reader=READER)
GUIDED = Audited("flow", Sampled(_RUN, scales=(1.0, 2.0, 4.0)))
MENDED = (
    _MODELS[0],
    Audited("weighed", Sampled(_RUN, Balanced(DATA, how=Weighed()))),
    Audited("fewer", Sampled(_RUN, Balanced(DATA, how=Fewer()))),
    Audited("told the sex", Sampled(_TOLD)),
    Audited("fair", Sampled(_TOLD, even="sex")),
)
ASKED = (HELD, Audited("text to image", Sampled(_WORDS, scales=(1.0, 2.0))))
_CNN = Entry("cnn", Told(trained(audit.PIXELS, 600)))
_RESIDUALS = Entry("residuals", Told(trained(audit.RESIDUALS, 600)))
TOOLS = Served(
    # a picture each: of several of a person one would count; the faces are those of the calibration
    reals=Reals(Workers(people=16_000, shots=1, bias=0.5, seed=1), "person"),
    generators=(Generator("flow", _RUN), Generator("vae", _VAE_RUN)),
    detectors=(_CNN, _RESIDUALS, Entry("neighbours", Near())),
    classifier=Convolutional(steps=1000),
    refuse=False,  # no file was ever written: edges at blocks are those of a generator's patches
)
_READ = {"widths": (16, 32), "features": 32, "steps": 150, "batch": 64}
_TINY = {"algorithm.net": nets.DiT(patch=4, width=16, depth=1, heads=2), "steps": 5}
_SMALL = edit(_RUN, _TINY)
_PEOPLE = Workers(16, people=1000, shots=1)
_BIASED = Workers(16, people=1000, shots=1, bias=0.5)
_FEW = {"reader": edit(READER, _READ), "samples": 120, "least": 20, "features": Components(8)}
_QUICK = {
    **{"data": _BIASED, "judged": _PEOPLE, "of": ("sex",), **_FEW},
    "samplers": (HELD, Audited("flow", Sampled(_SMALL, scales=(1.0, 2.0)))),
}
_COUNTS = {"audits": 3, "samples": 200, "tested": 200, "reader": _FEW["reader"]}
_QUICK_CALIBRATION = {"faces": Heads(16, people=500, shots=1, seed=1), **_COUNTS}
_SHORT = edit(_CNN, {"of.exp.steps": 20})
_QUICK_TOOLS = {
    **{"reals.of": _BIASED, "least": 10, "detectors": (_SHORT, TOOLS.detectors[2])},
    "generators": (Generator("flow", _SMALL),),
    **{"rates": (0.05,), "labels": ("age",), "classifier.steps": 60, "crossed": ("sex", "age")},
}
EXPERIMENTS = {
    "base": BASE,
    "calibration": Planted(reader=READER),
    "guidance": edit(BASE, {"samplers": (GUIDED,)}),
    "mended": edit(BASE, {"samplers": MENDED}),
    "asked": edit(BASE, {"samplers": ASKED}),
    "tools": TOOLS,
    "quick": edit(BASE, _QUICK),
    "quick_calibration": Planted(_PEOPLE, **_QUICK_CALIBRATION),
    "quick_tools": edit(TOOLS, _QUICK_TOOLS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, carry_out, __doc__)
