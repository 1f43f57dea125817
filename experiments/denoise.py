"""How much better than the classics does a small net take noise from photographs, and what must it know for that?

    python -m experiments.denoise              BASE: grey tiles, noise of any strength up to 55/255, told how strong
    python -m experiments.denoise colour       the same of colour
    python -m experiments.denoise blind        not told how strong the noise is
    python -m experiments.denoise second       never a clean picture, two noisy ones of each (Noise2Noise)
    python -m experiments.denoise blindspot    never a clean picture, one noisy one of each (Noise2Void)
    python -m experiments.denoise poisson      few photons; saltpepper, jpeg, blur: other damage
    python -m experiments.denoise levels       a U-Net of two levels; unet, dit: nets with norms and attention
    python -m experiments.denoise adam         its optimiser
    python -m experiments.denoise digits       does it run? scans of 8x8, in seconds; photographs: the colour of a wheel

Noise is never clipped or rounded, for nobody: a method that knows where it was cut would win by that.
"""

from __future__ import annotations

import functools

from genjax import cli, nets
from genjax.ae.figures import Figures
from genjax.ae.floors import Median, NonLocalMeans, Stabilised, TotalVariation, Wavelets
from genjax.ae.restoration import Absolute, BlindSpot, Restoration, Second, Squared
from genjax.config import edit
from genjax.corruptions import Blur, Gaussian, Jpeg, Poisson, SaltPepper
from genjax.data import Digits, Photographs, Scenes
from genjax.findings.restoring import Restoring
from genjax.optim import Adam, CosineDecay, Muon
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Flip, Luma

# about 20 minutes of two cores. Chosen on valid scenes in short trials: one level, pixels folded by two, was the best
# of seven nets, Muon half a decibel above Adam (at twice the rate it diverges), tiles of 48 .4 above 64
NET = nets.PlainUNet((64,), blocks=4, patch=2)
TX = Muon(1.5e-3, warmup=100, decay=CosineDecay(), clip=1.0)
ADAM = Adam(2e-3, warmup=100, decay=CosineDecay(), clip=1.0)
NOISE = Gaussian(0.0, 55 / 255)
# measured at the three strengths that are usual, on pictures sixteen times as large
USUAL = tuple(Gaussian(sigma / 255, sigma / 255) for sigma in (15, 25, 50))
FLOORS = (NonLocalMeans(), TotalVariation(), Wavelets())
MEASURE = Restoring(Scenes(256), damages=USUAL, floors=FLOORS, figures=Figures())

BASE = Experiment(
    data=Scenes(48, stride=24),
    algorithm=Restoration((NOISE,), NET, error=Absolute(), optimiser=TX),
    steps=7000,
    batch=8,
    view=(Luma(), Flip()),
    every=Every(log=100, evaluate=1000, sample=2000, save=1000),
    samples=12,
    finish=(MEASURE,),
)

_COLOUR = {"view": (Flip(),), "finish.Restoring.crops": 20}
# of noisy targets the mean is the picture, and no median need be
_SECOND = {"algorithm.teacher": Second(), "algorithm.error": Squared()}
# one noisy picture of each, the same at every sight: all that was ever measured of a scene
_ONE = {"data.stride": 48, "view": (Luma(),)}  # no pixel in two tiles, nor mirrored
_BLINDSPOT = {**_SECOND, **_ONE, "algorithm.teacher": BlindSpot(), "algorithm.once": True}
_UNET = nets.UNet((32, 64), blocks=1, patch=2, attention=())
_DIT = nets.DiT(patch=4, width=128, depth=6, heads=4)
# no package is needed for these
_PLAIN = {"finish": (Restoring(),)}
_DIGITS = {
    **_PLAIN,
    "data": Digits(),
    "view": (),
    "algorithm.net": nets.PlainUNet((16, 32), blocks=1),
    "steps": 500,
    "every": Every(log=100, evaluate=500, sample=500, save=500),
}


def damaged(corruption, *floors) -> Experiment:
    """BASE with other damage, beside what floors there are for it."""
    measure = Restoring(Scenes(256), 20, floors=floors)
    return edit(BASE, {"algorithm.corruption": (corruption,), "finish": (measure,)})


EXPERIMENTS = {
    "base": BASE,
    "colour": edit(BASE, _COLOUR),
    "blind": edit(BASE, {"algorithm.blind": True}),
    "second": edit(BASE, _SECOND),
    "blindspot": edit(BASE, _BLINDSPOT),
    "poisson": damaged(Poisson(), Stabilised(NonLocalMeans())),
    "saltpepper": damaged(SaltPepper(0.0, 0.5), Median()),
    "jpeg": damaged(Jpeg()),
    "blur": damaged(Blur()),
    "levels": edit(BASE, {"algorithm.net": nets.PlainUNet((64, 96), blocks=2, patch=2)}),
    "adam": edit(BASE, {"algorithm.optimiser": ADAM}),
    "unet": edit(BASE, {"algorithm.net": _UNET}),
    # its tokens are used to pictures of the size that it was trained on
    "dit": edit(BASE, {"algorithm.net": _DIT, "finish.Restoring.data": None}),
    "digits": edit(BASE, _DIGITS),
    "photographs": edit(BASE, {**_COLOUR, **_PLAIN, "data": Photographs(64)}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "denoise"), __doc__)
