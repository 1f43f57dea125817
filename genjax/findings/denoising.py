"""Diffusion models and flows: the way from noise to image; samplers, guidance and averages compared; few steps."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax import ema
from genjax.conditions import told as told_of
from genjax.config import edit, field
from genjax.core import Spec, averaged, size
from genjax.data.batches import chosen
from genjax.diffusion import gaussian, samplers, vdm
from genjax.diffusion.guidance import Guidance
from genjax.errors import UserError, at_least, distinct
from genjax.findings.samples import check_images, kept, show, some, told
from genjax.findings.truth import check_known, modes
from genjax.metrics.evaluate import Extractor, check_count, distance
from genjax.metrics.features import Components
from genjax.metrics.judges import Classifier, Neighbours, Svm
from genjax.pictures.draw import grid
from genjax.pictures.figure import canvas, pixels
from genjax.training.experiment import Experiment
from genjax.training.run import Run


def _columns(steps: jax.Array, spec: Spec) -> np.ndarray:
    """Steps [2, n, rows, *shape] of z and of what is made of it -> unit images, two rows of n for each sample."""
    image = range(3, steps.ndim)  # the axes of one picture
    tiles = jnp.transpose(steps, (2, 0, 1, *image))  # [rows, 2, n, *shape]
    flat = tiles.reshape(-1, *spec.shape)
    return np.asarray(spec.decode(flat))


def _evenly(levels: int, columns: int) -> np.ndarray:
    """`columns` of so many levels, evenly spaced, with the first and the last: int [columns]."""
    places = np.linspace(0, levels - 1, columns)
    return places.round().astype(int)


@dataclasses.dataclass(frozen=True)
class Trajectories:
    """`forward`: test images with more and more noise. `backward`: samples on their way, and what is made of them."""

    columns: int = field(8, "noise levels that are shown")
    rows: int = field(4, "images and samples")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be drawn."""
        check_images(source)

    def __call__(self, this: Run) -> None:
        cfg, spec, n = this.exp.algorithm, this.spec, self.columns
        levels = np.asarray(cfg.schedule(cfg.path))  # sigma, falling
        places = _evenly(len(levels), n)  # of the sampler's own levels
        test = some(this.source.test, self.rows)
        real = spec.encode(test)  # [rows, H, W, C]
        eps = jax.random.normal(this.key(5), real.shape)
        noised = []
        for sigma in levels[places[::-1]]:  # rising
            x = real + sigma * eps
            # at unit variance every level is seen in the same range of grey
            noised.append(x / jnp.sqrt(1 + sigma**2))
        tiles = jnp.stack(noised, 1)  # [rows, n, H, W, C]
        forward = spec.decode(tiles.reshape(-1, *spec.shape))
        show(this, "forward", grid(forward, n))

        params = averaged(this.state)
        given = this.given(self.rows)
        walk = jax.jit(_trajectory, static_argnums=(3, 4))
        noisy, denoised = walk(params, this.key(2), given, cfg, spec)  # [steps, rows, *shape]
        ones = [1] * (noisy.ndim - 1)
        deviation = np.sqrt(1 + levels**2).reshape(-1, *ones)
        noisy = noisy / deviation
        both = jnp.stack([noisy[places], denoised[places]], 0)  # [2, n, rows, *shape]
        backward = _columns(both, spec)
        show(this, "backward", grid(backward, n))


# Compiled as a whole, with the config and the spec as static arguments
def _trajectory(params, key, given, cfg, spec):
    x, sigmas, noise = gaussian.start(key, given["index"], cfg, spec)
    denoiser = gaussian.guided(params, given, cfg, spec)
    return samplers.sample(cfg.sampler, denoiser, x, sigmas, noise, keep=True)


@dataclasses.dataclass(frozen=True)
class VdmPictures:
    """A VDM's learned schedule, and samples on their way from noise."""

    columns: int = field(8, "times that are shown")
    rows: int = field(4, "samples")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be drawn."""
        check_images(source)

    def __call__(self, this: Run) -> None:
        cfg, spec = this.exp.algorithm, this.spec
        params = averaged(this.state)
        curve = gamma_curve(params["schedule"], cfg.schedule)
        show(this, "schedule", curve)
        walk = jax.jit(_vdm_trajectory, static_argnums=(3, 4))
        given = this.given(self.rows)
        path = walk(params, this.key(2), given, cfg, spec)
        places = _evenly(cfg.sampling_steps, self.columns)
        both = jnp.stack([steps[places] for steps in path])  # [2, n, rows, *shape]
        backward = _columns(both, spec)
        show(this, "backward", grid(backward, self.columns))


def _vdm_trajectory(params, key, given, cfg, spec):
    x, sigmas, noise = vdm.start(params, key, given["index"], cfg, spec)
    cond = told_of(cfg.condition, given, spec)
    denoiser = vdm.denoiser(params, cond, cfg, spec)
    noisy, denoised = samplers.sample(cfg.sampler, denoiser, x, sigmas, noise, keep=True)
    ones = [1] * (noisy.ndim - 1)
    # back to the variance-preserving z of the paper: z = x / sqrt(1 + sigma²)
    deviation = jnp.sqrt(1.0 + sigmas**2).reshape(-1, *ones)
    return noisy / deviation, denoised


def gamma_curve(params: dict, schedule: vdm.Schedule, side: int = 320) -> np.ndarray:
    """gamma(t), learned and (dashed) straight from gamma_min to gamma_max -> a uint8 picture [side, side, 3]."""
    t = np.linspace(0.0, 1.0, 201)
    times = jnp.asarray(t, jnp.float32)  # [201]
    learned = vdm.gamma(params, times, schedule)
    figure, axes = canvas(side, side)
    plot = axes[0, 0]
    plot.plot(t, np.asarray(learned))
    ends = [schedule.gamma_min, schedule.gamma_max]
    plot.plot([0, 1], ends, "--", color="grey", linewidth=0.8)
    plot.set(xlabel="t", ylabel="gamma = -ln SNR", xlim=(0, 1))
    figure.tight_layout()
    return pixels(figure)


@dataclasses.dataclass(frozen=True)
class SamplerTables:
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
        500,
        "samples for each number; no more than test images: a distance falls with their number",
    )
    exact: int = field(
        150, "steps of Heun's method in flow time that count as the exact solution"
    )
    distance: Extractor = field(Components(), "Fréchet distance on these features")
    classifier: Classifier = field(Neighbours(), "reads the samples' classes")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for tables that cannot be made."""
        check_images(source)
        at_least(
            1,
            finish__SamplerTables__exact=self.exact,
            finish__SamplerTables__steps=min(self.steps, default=0),
        )
        at_least(1, finish__SamplerTables__samples=self.samples)
        distinct("finish.SamplerTables.scales", self.scales)
        n = min(self.samples, size(source.test))
        check_count(n, self.distance, source.shape)
        if not self.deterministic:
            raise UserError(
                "--finish.SamplerTables.deterministic names no sampler: give one, e.g. '(Euler(),)'."
            )
        try:
            ema.Power(self.widths)  # refuses widths that no power has
        except ValueError as error:
            raise UserError(f"--finish.SamplerTables.widths: {error}") from None

    def given(self, this: Run) -> dict[str, np.ndarray]:
        """What is asked for: as many samples as real examples that they are compared with."""
        n = min(self.samples, size(this.source.test))
        return this.given(n)

    def __call__(self, this: Run) -> None:
        name, between = distance(self.distance, this.source.train)
        cfg, test = this.exp.algorithm, this.source.test
        n = len(self.given(this)["index"])
        rows = chosen(n, size(test))
        real = test[this.spec.main][rows]
        # what samples of the data itself would get: a distance of n samples is never 0
        floor = between(real)
        this.log.note(f"{name} of {n} real: {told(floor)}")
        this.log.result("samplers", {"real": floor.value, "samples": n})
        self.steps_table(this, between)
        # without dropped conditions in training there is no unconditional model to guide by
        if cfg.condition and cfg.drop:
            self.guidance_table(this, between)
        # only power averages can be mixed into others
        if isinstance(cfg.ema, ema.Power):
            self.width_table(this, between)

    def steps_table(self, this: Run, between: Callable) -> None:
        """Every sampler at every number of steps, from the same starts, without guidance."""
        cfg = edit(this.exp.algorithm, {"guidance": Guidance()})
        # the flow's own solution, but for a step so small that its error does not show
        exact = {"sampler": samplers.FlowHeun(), "schedule.steps": self.exact}
        # 100 suffice for a mean error, and the exact flow takes many steps
        few = jax.tree.map(lambda x: x[:100], self.given(this))
        truth = draw(this, edit(cfg, exact), few)
        lines = []
        for sampler in (*self.deterministic, *self.stochastic):
            shown = []  # three samples a number of steps
            for n in self.steps:
                changed = edit(cfg, {"sampler": sampler, "schedule.steps": n})
                x = draw(this, changed, self.given(this))
                far = between(x)
                values, exactness = kept(far), ""
                if sampler in self.deterministic:
                    # same noise, same flow: what differs is the solver's error
                    difference = x[: len(truth)] - truth
                    error = np.sqrt(np.mean(difference**2))
                    values["error"] = float(error)
                    exactness = f", {error:.4f} from the exact solution"
                shown.append(x[:3])
                this.log.result("samplers", {f"{sampler!r} {n}": values})
                this.log.note(f"{sampler!r} {n} steps: distance {told(far)}{exactness}")
            lines.append(np.concatenate(shown))
        # a sampler a row, three samples for each number of steps
        tiles = np.concatenate(lines)
        show(this, "samplers", grid(tiles, 3 * len(self.steps)))

    def guidance_table(self, this: Run, between: Callable) -> None:
        """Scales of guidance, by the label and by the oldest snapshot."""
        step, weak = next(this.snapshots())
        # by the label hidden (arXiv:2207.12598), or by a worse model of the same (arXiv:2406.02507)
        guides = {"label": None, f"the model at step {step}": averaged(weak)}
        read = self.classifier.fit(this.source.train)
        given = self.given(this)
        rows = []
        for name, other in guides.items():
            for scale in self.scales:
                cfg = edit(this.exp.algorithm, {"guidance": Guidance(scale)})
                x = draw(this, cfg, given, other)
                right = read(x) == given["label"]  # [n]
                recognised = float(np.mean(right))
                far = between(x)
                values = {**kept(far), "recognised": recognised}
                rows.append(x[: this.spec.classes])
                this.log.result("guidance", {f"{name} {scale:g}": values})
                this.log.note(
                    f"guidance {scale:g} by {name}: distance {told(far)}, "
                    f"{100 * recognised:.1f} % read as the class asked for"
                )
        tiles = np.concatenate(rows)
        show(this, "guidance", grid(tiles, this.spec.classes))

    def width_table(self, this: Run, between: Callable) -> None:
        """Averages of other widths than those that were kept in training."""
        # every snapshot holds an average for each of these
        own = this.exp.algorithm.ema.widths
        snapshots, steps, widths = [], [], []
        for step, state in this.snapshots():
            for width in own:
                # the first width is the one that samples are drawn with: it has the net's own name
                name = "net" if width == own[0] else f"net@{width:g}"
                snapshots.append(state.ema[name])
                steps.append(step)
                widths.append(width)
        for width in self.widths:
            # least squares over all that was kept (arXiv:2312.02696, sec. 3.2)
            mixed = ema.mix(snapshots, steps, widths, steps[-1], width)
            given = self.given(this)
            x = draw(this, this.exp.algorithm, given, main={"net": mixed})
            far = between(x)
            this.log.result("widths", {f"{width:g}": kept(far)})
            this.log.note(f"average of width {width:g}: distance {told(far)}")


def draw(
    this: Run,
    cfg: gaussian.Diffusion,
    given: dict,
    weak: dict | None = None,
    main: dict | None = None,
) -> np.ndarray:
    """Samples [n, *shape] of the trained model under another sampler, schedule or guidance, or of other weights."""
    # as an argument and not bound: one compiled sampler serves all averages
    weights = (main or averaged(this.state), weak)
    sample = _sampler(cfg, this.spec)
    return this.draw(sample, given, weights)


@functools.lru_cache(maxsize=8)
def _sampler(cfg: gaussian.Diffusion, spec: Spec) -> Callable:
    """One function for one config, so that it is compiled once; weights are (main, weak or None)."""

    def sample(key, weights, given):
        main, weak = weights
        return gaussian.sample(main, key, given, cfg, spec, weak)

    return sample


@dataclasses.dataclass(frozen=True)
class Look:
    """Nothing is measured: the pictures alone."""

    def check(self, exp: Experiment, source: Any) -> None:
        """Every data set will do."""

    def real(self, this: Run) -> dict[str, float]:
        """Of real data: nothing."""
        return {}

    def __call__(self, this: Run, x: np.ndarray, given: dict) -> dict[str, float]:
        return {}


@dataclasses.dataclass(frozen=True)
class Modes:
    """Of points: how many modes of the known density are found, and the share of points within 4 sigma of one."""

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data whose density is not known."""
        check_known(exp)

    def real(self, this: Run) -> dict[str, float]:
        """The same of the test points."""
        return self(this, this.source.test[this.spec.main], {})

    def __call__(self, this: Run, x: np.ndarray, given: dict) -> dict[str, float]:
        mixture = this.exp.data.mixture()  # the density that the points were drawn from
        found, good = modes(mixture, x)
        return {"modes": found, "good": good}


@dataclasses.dataclass(frozen=True)
class Recognised:
    """Of images by class: the share that a classifier trained on real images takes for the class asked."""

    classifier: Classifier = field(Svm(), "reads the classes")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for a model that cannot be asked for a class."""
        condition = getattr(exp.algorithm, "condition", ())
        if not condition or not source.classes:
            raise UserError(
                "Recognised() asks for classes: use --algorithm.condition='(Label(),)', or Look()."
            )

    def real(self, this: Run) -> dict[str, float]:
        """The share of real test images that it recognises: what samples cannot be expected to exceed."""
        test = this.source.test
        return self(this, test[this.spec.main], test)

    def __call__(self, this: Run, x: np.ndarray, given: dict) -> dict[str, float]:
        read = self.classifier.fit(this.source.train)
        right = read(x) == given["label"]  # [n]
        return {"recognised": float(np.mean(right))}


@dataclasses.dataclass(frozen=True)
class FewSteps:
    """A picture of samples and what is measured of them, for each number of steps."""

    steps: tuple[int, ...] = field((1, 2, 4), "numbers of sampling steps")
    samples: int = field(1000, "samples that are measured")
    measure: Look | Modes | Recognised = field(Look(), "what is measured")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be sampled or measured."""
        if not hasattr(exp.algorithm, "sampling_steps"):
            raise UserError(
                "this experiment compares numbers of steps: use --algorithm='MeanFlow()' or Consistency()."
            )
        fewest = min(self.steps, default=0)  # no numbers of steps at all are refused too
        at_least(1, finish__FewSteps__samples=self.samples, finish__FewSteps__steps=fewest)
        self.measure.check(exp, source)

    def __call__(self, this: Run) -> None:
        if real := self.measure.real(this):
            self.tell(this, "real", "real test data", real)
        # drawn once for both uses: the picture shows what is measured
        given = this.given(max(self.samples, this.exp.samples))
        asked = {name: array[: self.samples] for name, array in given.items()}
        for n in self.steps:
            # the same weights: the number of steps is no part of training
            cfg = dataclasses.replace(this.exp.algorithm, sampling_steps=n)
            model = cfg(this.spec)
            x = this.draw(model.sample, given)
            picture = this.source.picture(x[: this.exp.samples])
            show(this, f"steps{n}", picture)
            values = self.measure(this, x[: self.samples], asked)
            if values:
                plural = "s" * (n > 1)
                what = f"{n} step{plural}, {self.samples} samples"
                self.tell(this, f"steps{n}", what, {**values, "n": self.samples})

    def tell(self, this: Run, name: str, what: str, values: dict[str, float]) -> None:
        """Prints the values and keeps them as a result."""
        this.log.result(name, values)
        words = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        this.log.note(f"{what}: {words}")
