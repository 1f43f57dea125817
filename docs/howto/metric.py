"""A metric of one's own: the sliced Wasserstein distance (Rabin et al. 2012) of features.

    python -m metric        a VAE of digits, measured every 500 steps

It goes wherever Fréchet's distance goes: `--watch.metrics`, the comparison, reports, the choice of the best state.
"""

import dataclasses
import functools

import numpy as np

from genjax import cli
from genjax.config import field, suffix
from genjax.core import DOWN
from genjax.data import Digits
from genjax.metrics.evaluate import Frechet, Seen
from genjax.metrics.features import Components
from genjax.metrics.intervals import Interval
from genjax.nets import GatedMLP
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.watch import Watch
from genjax.vae.vae import VAE


def sliced(a: np.ndarray, b: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The distance of a and b, both [N, D], along each of `directions` [D, K]: [K]."""
    # on a line the best way to move n points to n others keeps their order
    ordered_a = np.sort(a @ directions, axis=0)  # [N, K]
    ordered_b = np.sort(b @ directions, axis=0)
    return np.abs(ordered_a - ordered_b).mean(0)


@dataclasses.dataclass(frozen=True)
class SlicedWasserstein:
    """The mean over random directions of the Wasserstein distance of samples from as many held-out examples."""

    directions: int = field(128, "lines that features are projected to")
    seed: int = field(0, "of the lines")

    # Three methods make a metric. `on` is the name of the features: numbers of other features bear other names.

    def names(self, on: str) -> dict[str, int]:
        # with the settings that are not the defaults: other lines give another number
        return {f"sliced_{on}{suffix(self)}": DOWN}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        rng = np.random.default_rng(self.seed)
        lines = rng.standard_normal((real.features.shape[1], self.directions))
        lines /= np.linalg.norm(lines, axis=0)
        found = sliced(real.features, samples.features, lines)
        (name,) = self.names(on)
        # NaN: no interval is known. That of the mean over lines says nothing of other samples
        return {name: Interval(found.mean(), np.nan, np.nan)}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        """As many training examples in the place of the samples: what no model can be below but by chance."""
        return self(train, real, drawn, on)


NET = GatedMLP((128,))
BASE = Experiment(
    data=Digits(),
    algorithm=VAE(latent=8, enc=NET, dec=NET),
    steps=2000,
    batch=64,
    every=Every(log=100, evaluate=500, sample=500, save=500),
    watch=Watch((Frechet(), SlicedWasserstein()), every=500, extractor=Components(16)),
)
EXPERIMENTS = {"base": BASE}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "metric"), __doc__)
