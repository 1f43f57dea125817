"""Does a trained model find an anomaly in a series better than a distance or a line does?

    python -m experiments.series             BASE: an autoencoder of windows of a pressure, one anomaly of 12 points
    python -m experiments.series vae         a VAE of the same windows
    python -m experiments.series gait        nine accelerometers of a walk, twelve anomalies planted in them
    python -m experiments.series gait_vae    a VAE of those
    python -m experiments.series tiny        does it run? seconds

Both series are inside PyPI's aeon, which is read and not imported: pip download --no-deps aeon, GENJAX_DATA=FOLDER.
Beside the model: discords (the distance to the nearest training window), the matrix profile, an autoregression, moving
deviations. Windows are about a third of a beat, and a second of the walk; nothing is chosen on the test stretch.
"""

from __future__ import annotations

import functools

from genjax import cli
from genjax.ae.autoencoder import Autoencoder
from genjax.config import edit
from genjax.data.anomalous import Bleeding, Gait
from genjax.findings.series import Anomalies
from genjax.nets import MLP
from genjax.optim import Adam, CosineDecay
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

NET = MLP((128, 128))
TX = Adam(1e-3, warmup=100, decay=CosineDecay())

BASE = Experiment(
    data=Bleeding(),
    algorithm=Autoencoder(latent=8, enc=NET, dec=NET, optimiser=TX),
    steps=4000,
    batch=64,
    chunk=10,
    every=Every(log=500, evaluate=1000, sample=2000, save=2000),
    samples=9,
    finish=(Anomalies(),),
)
_VAE = VAE(latent=8, enc=NET, dec=NET, likelihood=Gaussian(), optimiser=TX)
_GAIT = {"data": Gait(), "algorithm.latent": 32}

EXPERIMENTS = {
    "base": BASE,
    "vae": edit(BASE, {"algorithm": _VAE}),
    "gait": edit(BASE, _GAIT),
    "gait_vae": edit(BASE, {"algorithm": _VAE, **_GAIT}),
    "tiny": edit(BASE, {"steps": 100, "algorithm.optimiser.warmup": 10}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "series"), __doc__)
