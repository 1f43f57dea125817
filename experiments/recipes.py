"""Published models at full size, to begin from on real hardware. NOT RUN: none of them was trained with this code.

    python -m experiments.recipes --list        the recipes: DiT-XL/2, JiT-B/16, EDM on CIFAR-10
    python -m experiments.recipes jit_b_16 --print

Settings are the papers' where the code has them; what it does otherwise is in docs/deviations.md, a row for each
recipe. Data are prepared by hand (`Stock` says how); the latents of DiT come from an autoencoder that is not here.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Stock
from genjax.diffusion import named, schedules
from genjax.diffusion.guidance import Guidance, Keep
from genjax.ema import Decay
from genjax.metrics.evaluate import Frechet
from genjax.metrics.inception import Inception
from genjax.nets import DiT, UNet
from genjax.optim import Adam
from genjax.training.experiment import Every, Experiment, Published
from genjax.training.loop import run
from genjax.training.watch import Watch
from genjax.views import Flip

IMAGENET = Stock("imagenet2012", size=256, test="validation", stream=True)
CIFAR10 = Stock("cifar10")
VP = "EDM, VP, least of three, arXiv:2206.00364, table 2"
EVERY = Every(log=100, evaluate=10_000, sample=10_000, save=10_000)
FID = Watch((Frechet(),), extractor=Inception())
CONDITION = "algorithm.condition"
LABELS = (CONDITION, (Label(),))
NO_LABELS = (CONDITION, ())


def _fid(value: float, source: str, *of: tuple) -> tuple[Published, ...]:
    """A published FID; without its data it stands beside no run."""
    # of fewer samples the distance is larger
    of = (*of, ("watch.samples", 50_000), ("watch.extractor", Inception()))
    return (Published("metrics", "fid", value, source, of),)


# Peebles & Xie 2023, arXiv:2212.09748: table 4 and sec. 4, 5
DIT_XL_2 = Experiment(
    # give it a config whose load() has latents of Stable Diffusion's autoencoder, times 0.18215, as Points((32, 32, 4))
    data=None,
    algorithm=edit(
        named.DDPM,
        {
            "net": DiT(patch=2, width=1152, depth=28, heads=16, qk_norm=False, scan=True),
            "condition": (Label(),),
            "guidance": Guidance(1.5),
            "threshold": Keep(),  # latents have no range
            "optimiser": Adam(1e-4),
            "ema": Decay(0.9999, ramp=False),
        },
    ),
    steps=7_000_000,
    batch=256,
    every=EVERY,
    published=_fid(2.27, "DiT-XL/2, guidance 1.5, arXiv:2212.09748, table 2", LABELS),
)

# Li & He 2025, arXiv:2511.13720, app. A; 1,251 steps of 1,024 are an epoch
JIT_B_16 = Experiment(
    data=IMAGENET,
    algorithm=edit(
        named.JIT,
        {
            "net": DiT(patch=16, width=768, depth=12, heads=12, scan=True),
            "condition": (Label(),),
            "schedule": schedules.Times(steps=50),
            # on at times from 0.1 on, counted from the noise: sigma / alpha up to 0.9 / 0.1
            "guidance": Guidance(3.0, high=9.0),
            "optimiser": Adam(2e-4, b2=0.95, warmup=5 * 1251),
            "ema": Decay(0.9999, ramp=False),
        },
    ),
    steps=600 * 1251,
    batch=1024,
    view=(Flip(),),
    every=EVERY,
    watch=edit(FID, {"samples": 50_000}),
    published=_fid(3.66, "JiT-B/16, 600 epochs, arXiv:2511.13720", LABELS, ("data", IMAGENET)),
)

# Karras et al. 2022, arXiv:2206.00364: table 2, app. F.2 (DDPM++ by their training, config F)
EDM_CIFAR10 = Experiment(
    data=CIFAR10,
    algorithm=edit(
        named.EDM,
        {
            "net": UNet((256,) * 3, blocks=4, patch=1, attention=(16,), heads=1, dropout=0.13),
            "optimiser": Adam(1e-3, warmup=10_000_000 // 512),
            "ema": Decay(0.5 ** (512 / 500_000)),  # half of it is of the last 0.5 M images
        },
    ),
    steps=200_000_000 // 512,
    batch=512,
    view=(Flip(),),
    every=EVERY,
    watch=FID,
    published=_fid(1.97, VP, NO_LABELS, ("data", CIFAR10)),
)
PUBLISHED = _fid(1.79, VP, LABELS, ("data", CIFAR10))
WITH_LABELS = {CONDITION: (Label(),), "algorithm.drop": 0.0, "published": PUBLISHED}

EXPERIMENTS = {
    "dit_xl_2": DIT_XL_2,
    "jit_b_16": JIT_B_16,
    "edm_cifar10": EDM_CIFAR10,
    "edm_cifar10_labels": edit(EDM_CIFAR10, WITH_LABELS),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "recipes"), __doc__)
