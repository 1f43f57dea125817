"""Noise -> image: which path, net and prediction make the best pictures on the same budget?

    python -m experiments.diffusion            BASE: a flow-matching transformer on Fashion-MNIST, class-conditional
    python -m experiments.diffusion digits     8x8 digits in three minutes on two cores, read back by a classifier
    python -m experiments.diffusion --list     the other configs: DDPM, cosine, v-prediction, EDM, JiT, U-Net …

Prints the Fréchet distance of samples from the training set on 64 whitened principal components, beside that of as many
real test images, and the share of samples that a classifier trained on real images takes for the class asked for.
Costs and numbers are in experiments/README.md.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax import cli
from genjax.config import edit, field
from genjax.core import averaged
from genjax.data import Digits, FashionMNIST
from genjax.diffusion import gaussian, named, samplers, schedules
from genjax.diffusion.guidance import Guidance
from genjax.diffusion.likelihood import Flow, bits_per_dim, dequantised
from genjax.ema import Power
from genjax.errors import UserError, at_least
from genjax.metrics.evaluate import Extractor, distance
from genjax.metrics.features import Components
from genjax.metrics.judges import Classifier, Neighbours, Svm
from genjax.nets import DiT, UNet
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import grid, signed, unsigned
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: sample grid, the way from noise to image and back; distance and recognition of samples."""

    samples: int = field(2000, "samples that are measured, 0 = none")
    labels: tuple[int, ...] = field((), "classes of the sample grid, in turn; () = all")
    likelihood: int = field(
        0, "test images whose log p is found by the probability-flow ODE, 0 = none"
    )
    low: float = field(
        0.01, "noise that the likelihood takes the data to have, in [-1, 1]; a grey level is 0.008"
    )
    distance: Extractor = field(Components(), "Fréchet distance on these features")
    classifier: Classifier = field(
        Neighbours(), "reads the samples' classes, for a conditional model"
    )

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for what cannot be drawn or measured."""
        check_images(source)
        at_least(0, finish__samples=self.samples, finish__likelihood=self.likelihood)
        check_count(self.samples, self.distance, source)
        if strange := [label for label in self.labels if not 0 <= label < source.classes]:
            raise UserError(
                f"--finish.labels: {source.name} has no class {strange[0]}, its {source.classes} classes are numbered "
                f"from 0 to {source.classes - 1}."
            )
        if self.labels and not exp.algorithm.conditional:
            raise UserError(
                "--finish.labels asks for classes of a model without: use --algorithm.conditional=true."
            )

    def __call__(self, this: Run) -> None:
        for path in pictures(this, self.labels):
            this.log.note(f"picture {path}")
        if self.likelihood:
            self.bits(this)
        if self.samples:
            measure(this, this.sample(self.samples), self.distance, self.classifier)

    def bits(self, this: Run) -> None:
        """Bits per dimension of test images with uniform dequantisation, given their labels if the model takes them."""
        cfg, spec = this.exp.algorithm, this.spec
        solver = Flow(low=self.low, std=cfg.std, tolerance=1e-3)

        def log_p(key, state, batch):
            x = dequantised(batch["image"], key, batch["index"])
            given = signed(batch["image"])
            label = gaussian.one_hot(batch, cfg, spec)
            denoiser = gaussian.denoiser(averaged(state), label, cfg, spec, given)
            return {"log_p": solver(denoiser, x, jax.random.fold_in(key, 1), batch["index"])}

        test = {name: array[: self.likelihood] for name, array in this.source.test.items()}
        log_p = this.evaluate(test, log_p, min(self.likelihood, 50))["log_p"]
        bits = np.asarray(bits_per_dim(log_p, int(np.prod(spec.shape))))
        error = bits.std() / np.sqrt(len(bits))
        this.log.result(
            "likelihood", {"bits_per_dim": bits.mean(), "standard_error": error, "n": len(bits)}
        )
        this.log.note(
            f"{bits.mean():.3f} +- {error:.3f} bits/dim of {len(bits)} test images, by the ODE"
        )


def check_images(source) -> None:
    """Raises UserError for data that are no images."""
    if len(source.shape) != 3:
        raise UserError(
            f"this experiment draws images and {source.name} has none: see experiments.toy2d, or use --finish=None."
        )


def check_count(n: int, on: Extractor, source) -> None:
    """Raises UserError for n > 0 samples that are too few for a distance on an extractor's features."""
    n = min(n, len(source.test["image"])) if n else 0
    if 0 < n <= on.size(source.shape):
        raise UserError(
            f"--finish.samples: a Fréchet distance on {on.size(source.shape)} features needs more samples and test "
            f"images than that, and there are {n}: measure more, or on fewer features by --finish.distance, or 0."
        )


def measure(this: Run, x: np.ndarray, on: Extractor, classifier: Classifier) -> dict[str, float]:
    """Distance with its floor and, for a conditional model, the share of samples read as the class asked for."""
    test, n = (
        this.source.test,
        min(len(x), len(this.source.test["image"])),
    )  # as many of both: the distance falls with n
    name, between = distance(on, this.source.train)
    values = {name: between(x[:n]), f"{name}_real": between(test["image"][:n]), "n": n}
    this.log.note(
        f"{name} {values[name]:.3f} of {n} samples; of {n} real test images {values[f'{name}_real']:.3f}"
    )
    if this.exp.algorithm.conditional:
        read = classifier.fit(this.source.train)
        values["recognised"] = float(np.mean(read(x) == this.given(len(x))["label"]))
        values["recognised_real"] = float(np.mean(read(test["image"][:n]) == test["label"][:n]))
        this.log.note(
            f"{100 * values['recognised']:.1f} % of samples read as the class asked for; real test images "
            f"{100 * values['recognised_real']:.1f} %"
        )
    this.log.result("samples", values)
    return values


def pictures(this: Run, labels: tuple[int, ...] = (), n: int = 8, rows: int = 4):
    """Writes the pictures of a trained model; yields their paths.

    `forward`: test images with more and more noise. `backward`: samples on their way from noise, each in two rows: x
    scaled to unit variance, and what the model makes of it.
    """
    cfg, spec = this.exp.algorithm, this.spec
    shown = this.draw(this.algorithm.sample, this.given(this.exp.samples, labels))
    yield this.log.picture("samples", this.source.picture(shown))
    levels = np.asarray(cfg.schedule(cfg.path))
    chosen = np.linspace(0, len(levels) - 1, n).round().astype(int)  # of the sampler's own levels
    real = signed(this.source.test["image"][:rows])
    eps = jax.random.normal(this.key(5), real.shape)
    noised = jnp.stack([(real + s * eps) / jnp.sqrt(1 + s**2) for s in levels[chosen[::-1]]], 1)
    yield this.log.picture("forward", grid(unsigned(noised.reshape(-1, *spec.shape)), n))

    noisy, denoised = jax.jit(_trajectory, static_argnums=(3, 4))(
        averaged(this.state), this.key(2), this.given(rows, labels), cfg, spec
    )
    noisy = noisy / np.sqrt(1 + levels**2).reshape(-1, *[1] * (noisy.ndim - 1))
    both = jnp.stack([noisy[chosen], denoised[chosen]], 0)  # [2, n, rows, *shape]
    tiles = jnp.transpose(both, (2, 0, 1, *range(3, both.ndim)))
    yield this.log.picture("backward", grid(unsigned(tiles.reshape(-1, *spec.shape)), n))


def _trajectory(params, key, given, cfg, spec):
    x, sigmas, noise = gaussian.start(key, given["index"], cfg, spec)
    return samplers.sample(
        cfg.sampler, gaussian.guided(params, given, cfg, spec), x, sigmas, noise, keep=True
    )


BASE = Experiment(
    data=FashionMNIST(),
    algorithm=edit(
        named.FLOW,
        {
            "net": DiT(patch=4, width=128, depth=6, heads=4),
            "std": 0.7,
            "conditional": True,
            "guidance": Guidance(1.5),
            "optimiser": Adam(1e-3, warmup=300, decay=CosineDecay(), clip=1.0),
            "ema": Power((0.05, 0.10)),
        },
    ),
    steps=7000,
    batch=64,
    evaluate_every=2000,
    sample_every=1000,
    save_every=500,
    keep=14,  # snapshots: any width of the average, and the weak model of autoguidance, come from them
    log_every=100,
    finish=Report(),
)


def _with(cfg: gaussian.Diffusion) -> dict:
    """BASE's net, data and optimiser under another of the named models."""
    kept = {
        name: getattr(BASE.algorithm, name)
        for name in ("net", "conditional", "guidance", "optimiser", "ema")
    }
    return {"algorithm": edit(cfg, kept)}


EXPERIMENTS = {
    "base": BASE,
    "ddpm": edit(BASE, _with(named.DDPM)),
    "ddpm_cosine": edit(BASE, _with(named.DDPM_COSINE)),
    "v": edit(BASE, _with(named.V_PREDICTION)),
    "edm": edit(BASE, {**_with(named.EDM), "algorithm.std": 0.7, "algorithm.predict.std": 0.7}),
    "jit": edit(BASE, {**_with(named.JIT), "algorithm.std": 0.7}),
    "unet": edit(BASE, {"algorithm.net": UNet(widths=(32, 64), blocks=1)}),
    "unconditional": edit(BASE, {"algorithm.conditional": False, "algorithm.guidance": Guidance()}),
    "digits": edit(
        BASE,
        {
            "data": Digits(),
            "algorithm.net": DiT(patch=2, width=96, depth=4, heads=4),
            "algorithm.schedule": schedules.Times(steps=18),
            "algorithm.guidance": Guidance(2.0),
            "steps": 2500,
            "batch": 64,
            "finish.likelihood": 100,
            "finish.distance": Components(16),
            "finish.classifier": Svm(),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
