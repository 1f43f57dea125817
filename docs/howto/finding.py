"""A finding of one's own, made after training: how far samples are from the training example nearest to each.

    python -m finding                                    a VAE of digits, then the finding
    python -m finding --finish='(Nearest(n=64),)'        the finding again, of the run that is there

It writes a picture, samples and their neighbours in turn, and an entry of results.json; both are in the report.
"""

import dataclasses
import functools

import numpy as np

from genjax import cli
from genjax.config import field
from genjax.data import Digits
from genjax.errors import at_least
from genjax.findings.samples import check_images, show, some
from genjax.nets import GatedMLP
from genjax.pictures.draw import grid
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.run import Run
from genjax.vae.vae import VAE


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance of each of a [N, D] from each of b [M, D], [N, M]."""
    squares = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0))  # rounding may fall below 0


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Samples beside the training examples nearest to them, and how near those are, beside held-out examples' own."""

    n: int = field(32, "samples that are looked at")

    def check(self, exp: Experiment, source) -> None:
        """Before training: a mistake is told at once, and not after hours."""
        at_least(1, finish__Nearest__n=self.n)
        check_images(source)

    def __call__(self, this: Run) -> None:
        known = self._flat(this, this.source.train)
        samples = np.asarray(this.sample(self.n), np.float32)
        of_samples = distances(samples.reshape(self.n, -1), known)
        # real digits that were not trained on: what a model that copies nothing may be near
        held = self._flat(this, some(this.source.test, self.n))
        of_held = distances(held, known)

        nearest = known[of_samples.argmin(1)].reshape(samples.shape)
        pairs = np.stack([samples, nearest], 1)  # [n, 2, H, W, C]
        pictures = pairs.reshape(-1, *samples.shape[1:])
        show(this, "nearest", grid(pictures, columns=8))

        near, real = of_samples.min(1).mean(), of_held.min(1).mean()
        this.log.result("nearest", {"distance": near, "held_out": real, "n": self.n})
        this.log.note(
            f"{self.n} samples are {near:.3f} from training, held-out ones {real:.3f}"
        )

    def _flat(self, this: Run, split: dict) -> np.ndarray:
        """The pictures of a split as rows of numbers in [0, 1]."""
        unit = np.asarray(this.spec.unit(split))
        return unit.reshape(len(unit), -1)


NET = GatedMLP((128,))
BASE = Experiment(
    data=Digits(),
    algorithm=VAE(latent=8, enc=NET, dec=NET),
    steps=2000,
    batch=64,
    every=Every(log=100, evaluate=500, sample=500, save=500),
    finish=(Nearest(),),
)
EXPERIMENTS = {"base": BASE}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "finding"), __doc__)
