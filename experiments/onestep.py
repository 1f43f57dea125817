"""How good are samples that cost one evaluation of the net: MeanFlow and consistency training at 1, 2 and 4 steps.

    python -m experiments.onestep                     MeanFlow, a small DiT on Fashion-MNIST
    python -m experiments.onestep consistency         the same net as a consistency model
    python -m experiments.onestep digits              8x8 digits by class
    python -m experiments.onestep toy                 eight Gaussians on a ring
    python -m experiments.onestep --list              also: digits_consistency, toy_consistency

Toys print the modes found and the share of samples within four standard deviations of one. Digits print the share of
samples that a support vector machine, trained on the real training digits, takes for the digit that was asked for,
beside the same share of the real test digits.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from experiments.toy2d import modes
from genjax import cli
from genjax.config import edit, field
from genjax.data import Digits, FashionMNIST, Ring, Toy
from genjax.diffusion.consistency import Consistency
from genjax.diffusion.onestep import MeanFlow
from genjax.errors import UserError, at_least
from genjax.metrics.judges import Classifier, Svm
from genjax.nets import DiT, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Look:
    """Nothing is measured: the pictures alone."""

    def check(self, exp: Experiment, source) -> None:
        """Every data set will do."""

    def real(self, this: Run) -> dict[str, float]:
        """Of real data: nothing."""
        return {}

    def __call__(self, this: Run, x: np.ndarray) -> dict[str, float]:
        return {}


@dataclasses.dataclass(frozen=True)
class Modes:
    """Of points: how many modes of the known density are found, and the share of points within 4 sigma of one."""

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for data whose density is not known."""
        if not hasattr(exp.data, "mixture"):
            raise UserError(
                "--finish.measure='Modes()' needs a known density: use --data='Toy(mixture=Ring())'."
            )

    def real(self, this: Run) -> dict[str, float]:
        """The same of the test points."""
        return self(this, this.source.test["image"])

    def __call__(self, this: Run, x: np.ndarray) -> dict[str, float]:
        found, good = modes(this.exp.data.mixture(), x)
        return {"modes": found, "good": good}


@dataclasses.dataclass(frozen=True)
class Recognised:
    """Of images by class: the share that a classifier trained on real images takes for the class asked."""

    classifier: Classifier = field(Svm(), "reads the classes")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for a model that cannot be asked for a class."""
        if not exp.algorithm.conditional or not source.classes:
            raise UserError(
                "--finish.measure='Recognised()' asks for classes: use --algorithm.conditional=true, or 'Look()'."
            )

    def real(self, this: Run) -> dict[str, float]:
        """The share of real test images that it recognises: what samples cannot be expected to exceed."""
        return self.share(this, this.source.test["image"], this.source.test["label"])

    def __call__(self, this: Run, x: np.ndarray) -> dict[str, float]:
        return self.share(this, x, this.given(len(x))["label"])

    def share(self, this: Run, x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """{"recognised": share of images x [N, H, W, C] that are taken for their labels [N]}."""
        return {"recognised": float(np.mean(self.classifier.fit(this.source.train)(x) == labels))}


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: a picture of samples and what is measured of them, for each number of steps."""

    steps: tuple[int, ...] = field((1, 2, 4), "numbers of sampling steps")
    samples: int = field(1000, "samples that are measured")
    measure: Look | Modes | Recognised = field(Look(), "what is measured")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for what cannot be sampled or measured."""
        if not hasattr(exp.algorithm, "steps"):
            raise UserError(
                "this experiment compares numbers of steps: use --algorithm='MeanFlow()' or Consistency()."
            )
        at_least(1, finish__samples=self.samples, finish__steps=min(self.steps, default=0))
        self.measure.check(exp, source)

    def __call__(self, this: Run) -> None:
        if real := self.measure.real(this):
            self.tell(this, "real", "real test data", real)
        for n in self.steps:
            cfg = dataclasses.replace(this.exp.algorithm, steps=n)
            x = dataclasses.replace(this, algorithm=cfg(this.spec)).sample(
                max(self.samples, this.exp.samples)
            )
            shown = this.source.picture(x[: this.exp.samples])
            this.log.note(f"picture {this.log.picture(f'steps{n}', shown)}")
            if values := self.measure(this, x[: self.samples]):
                self.tell(
                    this, f"steps{n}", f"{n} step{'s' * (n > 1)}, {self.samples} samples", values
                )

    def tell(self, this: Run, name: str, what: str, values: dict[str, float]) -> None:
        """Prints the values and keeps them as a result."""
        this.log.result(name, values)
        this.log.note(f"{what}: {', '.join(f'{key} {value:.4g}' for key, value in values.items())}")


FREQUENCY = 2.0  # of the clocks: see MeanFlow.net
TX = Adam(1e-3, warmup=500, decay=CosineDecay(), clip=1.0)

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=MeanFlow(
        net=DiT(patch=4, width=128, depth=4, heads=4, frequency=FREQUENCY), optimiser=TX
    ),
    steps=20_000,
    batch=128,
    log_every=200,
    evaluate_every=2000,
    sample_every=2000,
    save_every=1000,
    finish=Report(),
)

_SMALL = {"data": Digits(), "evaluate_batch": 360, "finish.measure": Recognised()}
_DIGITS = DiT(patch=2, width=96, depth=4, heads=4, frequency=FREQUENCY)
_TOY = {
    "data": Toy(Ring(), train=50_000),
    "steps": 8000,
    "batch": 256,
    "log_every": 500,
    "samples": 2000,
    "evaluate_batch": 2000,
    "finish": Report(samples=10_000, measure=Modes()),
}

EXPERIMENTS = {
    "base": BASE,
    "consistency": edit(
        BASE, {"algorithm": Consistency(net=BASE.algorithm.net, std=0.7, optimiser=TX)}
    ),
    "digits": edit(
        BASE,
        {
            **_SMALL,
            "steps": 5000,
            "algorithm": MeanFlow(net=_DIGITS, conditional=True, optimiser=TX),
        },
    ),
    "digits_consistency": edit(
        BASE,
        {
            **_SMALL,
            "steps": 5000,
            "algorithm": Consistency(net=_DIGITS, std=0.75, conditional=True, optimiser=TX),
        },
    ),
    "toy": edit(
        BASE,
        {**_TOY, "algorithm": MeanFlow(net=TimeMLP(frequency=FREQUENCY), share=0.5, optimiser=TX)},
    ),
    "toy_consistency": edit(
        BASE,
        {
            **_TOY,
            "algorithm": Consistency(net=TimeMLP(frequency=FREQUENCY), std=1.42, optimiser=TX),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "onestep"), __doc__)
