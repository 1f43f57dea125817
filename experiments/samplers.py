"""How many steps does a picture need, which sampler makes the most of them, and how much guidance is good?

    python -m experiments.samplers            all samplers at 1 to 35 steps on the model of experiments.diffusion
    python -m experiments.samplers digits     the same on the model of `experiments.diffusion digits`

Trains the model first if its run is not there. Tables: the Fréchet distance of each sampler's samples from the training
set, how far deterministic samplers end from the exact solution of the same flow, scales of guidance by the label and by
an earlier self, and averages of the weights of other widths, mixed after training.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from experiments import diffusion
from experiments.diffusion import check_images
from genjax import cli, ema
from genjax.config import edit, field
from genjax.core import Spec, averaged
from genjax.diffusion import gaussian, samplers
from genjax.diffusion.guidance import Guidance
from genjax.errors import UserError, at_least
from genjax.metrics.evaluate import Extractor, distance
from genjax.metrics.features import Components
from genjax.metrics.judges import Classifier, Neighbours, Svm
from genjax.pictures.draw import grid
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Tables:
    """Distances against steps, guidance, and width of the average; grids of the same samples under each."""

    deterministic: tuple[samplers.Sampler, ...] = field(
        (samplers.Euler(), samplers.Heun(), samplers.FlowHeun(), samplers.DPMSolver2M()),
        "compared with the exact flow",
    )
    stochastic: tuple[samplers.Sampler, ...] = field(
        (samplers.DDPM(), samplers.DDIM(0.5)), "compared by the distance alone"
    )
    steps: tuple[int, ...] = field((1, 2, 4, 8, 18, 35), "denoising steps")
    scales: tuple[float, ...] = field((1.0, 1.5, 2.0, 3.0, 5.0), "scales of guidance")
    widths: tuple[float, ...] = field(
        (0.03, 0.05, 0.075, 0.10, 0.15, 0.20), "averages mixed from the kept snapshots"
    )
    samples: int = field(
        500, "samples for each number; no more than test images: a distance falls with their number"
    )
    exact: int = field(
        150, "steps of Heun's method in flow time that are taken for the exact solution"
    )
    distance: Extractor = field(Components(), "Fréchet distance on these features")
    classifier: Classifier = field(Neighbours(), "reads the samples' classes")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for tables that cannot be made."""
        check_images(source)
        at_least(1, finish__exact=self.exact, finish__steps=min(self.steps, default=0))
        at_least(1, finish__samples=self.samples)
        diffusion.check_count(self.samples, self.distance, source)
        if not self.deterministic:
            raise UserError("--finish.deterministic names no sampler: give one, e.g. '(Euler(),)'.")
        try:
            ema.Power(self.widths)
        except ValueError as error:
            raise UserError(f"--finish.widths: {error}") from None

    def given(self, this: Run) -> dict[str, np.ndarray]:
        """What is asked for: as many samples as real examples that they are compared with."""
        return this.given(min(self.samples, len(this.source.test["image"])))

    def __call__(self, this: Run) -> None:
        name, between = distance(self.distance, this.source.train)
        n = len(self.given(this)["index"])
        floor = between(this.source.test["image"][:n])
        this.log.note(f"{name} of {n} real: {floor:.3f}")
        this.log.result("samplers", {"real": floor, "samples": n})
        self.steps_table(this, between)
        if this.exp.algorithm.conditional and this.exp.algorithm.drop:
            self.guidance_table(this, between)
        if isinstance(this.exp.algorithm.ema, ema.Power):
            self.width_table(this, between)

    def steps_table(self, this: Run, between: Callable) -> None:
        """Every sampler at every number of steps, from the same starts, without guidance."""
        cfg, rows = edit(this.exp.algorithm, {"guidance": Guidance()}), []
        few = this.given(min(self.samples, 100))
        truth = draw(
            this, edit(cfg, {"sampler": samplers.FlowHeun(), "schedule.steps": self.exact}), few
        )
        for sampler in (*self.deterministic, *self.stochastic):
            for n in self.steps:
                x = draw(
                    this, edit(cfg, {"sampler": sampler, "schedule.steps": n}), self.given(this)
                )
                values = {"distance": between(x)}
                if sampler in self.deterministic:
                    values["error"] = float(np.sqrt(np.mean((x[: len(truth)] - truth) ** 2)))
                rows.append(x[:3])
                this.log.result("samplers", {f"{sampler!r} {n}": values})
                shown = (
                    f", {values['error']:.4f} from the exact solution" if "error" in values else ""
                )
                this.log.note(f"{sampler!r} {n} steps: distance {values['distance']:.3f}{shown}")
        k = len(self.steps)
        tiles = np.concatenate([np.concatenate(rows[i : i + k]) for i in range(0, len(rows), k)])
        this.log.note(f"picture {this.log.picture('samplers', grid(tiles, 3 * k))}")

    def guidance_table(self, this: Run, between: Callable) -> None:
        """Scales of guidance, by the label and by the oldest snapshot."""
        step, weak = next(this.snapshots())
        read, given, rows = self.classifier.fit(this.source.train), self.given(this), []
        for name, other in (("label", None), (f"the model at step {step}", averaged(weak))):
            for scale in self.scales:
                x = draw(
                    this, edit(this.exp.algorithm, {"guidance": Guidance(scale)}), given, other
                )
                values = {
                    "distance": between(x),
                    "recognised": float(np.mean(read(x) == given["label"])),
                }
                rows.append(x[: this.spec.classes])
                this.log.result("guidance", {f"{name} {scale:g}": values})
                this.log.note(
                    f"guidance {scale:g} by {name}: distance {values['distance']:.3f}, "
                    f"{100 * values['recognised']:.1f} % read as the class asked for"
                )
        this.log.note(
            f"picture {this.log.picture('guidance', grid(np.concatenate(rows), this.spec.classes))}"
        )

    def width_table(self, this: Run, between: Callable) -> None:
        """Averages of other widths than those that were kept in training."""
        kept = this.exp.algorithm.ema.widths
        snapshots, steps, widths = [], [], []
        for step, state in this.snapshots():
            for width in kept:
                snapshots.append(state.ema["net" if width == kept[0] else f"net@{width:g}"])
                steps.append(step)
                widths.append(width)
        for width in self.widths:
            mixed = ema.mix(snapshots, steps, widths, steps[-1], width)
            far = between(draw(this, this.exp.algorithm, self.given(this), main={"net": mixed}))
            this.log.result("widths", {f"{width:g}": far})
            this.log.note(f"average of width {width:g}: distance {far:.3f}")


def draw(
    this: Run,
    cfg: gaussian.Diffusion,
    given: dict,
    weak: dict | None = None,
    main: dict | None = None,
):
    """Samples [n, *shape] of the trained model under another sampler, schedule or guidance, or of other weights."""

    return this.draw(_sampler(cfg, this.spec), given, (main or averaged(this.state), weak))


@functools.lru_cache(maxsize=8)
def _sampler(cfg: gaussian.Diffusion, spec: Spec) -> Callable:
    """One function for one config, so that it is compiled once; weights are (main, weak or None)."""

    def sample(key, weights, given):
        return gaussian.sample(weights[0], key, given, cfg, spec, weights[1])

    return sample


EXPERIMENTS = {
    "base": edit(diffusion.BASE, {"finish": Tables()}),
    "digits": edit(
        diffusion.EXPERIMENTS["digits"],
        {"finish": Tables(distance=Components(16), classifier=Svm())},
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
