"""log p(x) of a trained model: importance-weighted, by the probability-flow ODE, by a variational diffusion bound."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import told
from genjax.config import field
from genjax.core import Batch, Spec, State, averaged, size
from genjax.diffusion import gaussian, vdm
from genjax.diffusion.likelihood import Exact, Flow, bits_per_dim, dequantised
from genjax.errors import UserError, at_least
from genjax.fields import Image
from genjax.findings.samples import check_images, mean_and_error, some
from genjax.training.experiment import Experiment
from genjax.training.run import Run
from genjax.vae import vae


@dataclasses.dataclass(frozen=True)
class Iwae:
    """A VAE's importance-weighted bound (arXiv:1509.00519): at most log p(x), the nearer the more samples."""

    samples: int = field(1000, "importance samples")
    chunk: int = field(100, "of them in memory at a time, at most")

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that are no VAE, and for numbers below 1."""
        at_least(1, finish__samples=self.samples, finish__chunk=self.chunk)
        if not hasattr(exp.algorithm, "likelihood"):
            raise UserError("Iwae() is for VAEs: use Ode() for diffusion models and flows.")

    def log_p(
        self, key: jax.Array, state: State, batch: Batch, cfg: Any, spec: Spec
    ) -> jax.Array:
        """The bound, [B] nats."""
        # the largest part that divides the samples: all parts are one compiled program
        sizes = range(1, self.chunk + 1)
        fits = [part for part in sizes if self.samples % part == 0]
        params = averaged(state)
        return vae.log_likelihood(params, key, batch, cfg, spec, self.samples, max(fits))

    def bits(self, log_p: np.ndarray, dimensions: int) -> np.ndarray:
        """Bits per dimension of a discrete likelihood, [B]."""
        nats_of_a_bit = math.log(2.0)
        return -log_p / (dimensions * nats_of_a_bit)

    def __str__(self) -> str:
        return f"at most, by IWAE with {self.samples} samples"


@dataclasses.dataclass(frozen=True)
class Ode:
    """log p(x) of a diffusion model or flow, exact but for the solver; images are dequantised by uniform noise."""

    solver: Flow = field(
        Flow(low=0.01, tolerance=1e-3), "of the probability flow; std is the model's"
    )

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that are no diffusion model or flow."""
        if not hasattr(exp.algorithm, "path"):
            raise UserError("Ode() is for diffusion models and flows: use Iwae() for VAEs.")

    def log_p(
        self, key: jax.Array, state: State, batch: Batch, cfg: Any, spec: Spec
    ) -> jax.Array:
        """log p, [B] nats, in the coordinates of `encode`; given what the model is told."""
        solver = dataclasses.replace(self.solver, std=cfg.std)
        cond = told(cfg.condition, batch, spec)
        denoiser = gaussian.denoiser(averaged(state), cond, cfg, spec)
        index = batch["index"]
        if not isinstance(spec.x, Image):
            x = spec.encode(batch)
            return solver(denoiser, x, key, index)
        # bytes have no density: uniform noise fills the gaps between grey levels
        x = dequantised(batch[spec.main], key, index)
        # another key: the trace's noise must not be that of the pixels
        of_trace = jax.random.fold_in(key, 1)
        return solver(denoiser, x, of_trace, index)

    def bits(self, log_p: np.ndarray, dimensions: int) -> np.ndarray:
        """Bits per dimension of images with 256 grey levels, [B]."""
        return np.asarray(bits_per_dim(log_p, dimensions))

    def __str__(self) -> str:
        return "by the probability-flow ODE"


# Of toys, whose coordinates reach further than pixels: from a thousandth of the data's spread to far beyond it
PRECISE = Ode(Flow(low=2e-3, high=80.0, trace=Exact(), tolerance=1e-4))


def log_p_of(this: Run, by: Iwae | Ode, arrays: dict, batch: int) -> np.ndarray:
    """log p of every example of a split, [N] nats."""
    cfg, spec = this.exp.algorithm, this.spec

    def measured(key, state, batch):
        log_p = by.log_p(key, state, batch, cfg, spec)  # [B]
        return {"log_p": log_p}

    # no larger than the split: padding would be computed for nothing
    at_a_time = min(batch, size(arrays))
    values = this.evaluate(arrays, measured, at_a_time)
    return values["log_p"]


@dataclasses.dataclass(frozen=True)
class Bits:
    """Bits per dimension of test images."""

    by: Iwae | Ode = field(Ode(), "how log p(x) is found")
    images: int = field(100, "test images")
    batch: int = field(50, "of them at a time")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data that are no images and models whose log p is not found so."""
        check_images(source)
        at_least(1, finish__Bits__images=self.images, finish__Bits__batch=self.batch)
        self.by.check(exp)

    def __call__(self, this: Run) -> dict[str, float]:
        # a part alone: each image costs hundreds of evaluations of the net
        test = some(this.source.test, self.images)
        log_p = log_p_of(this, self.by, test, self.batch)  # [N] nats
        dimensions = math.prod(this.spec.shape)
        bits = self.by.bits(log_p, dimensions)
        mean, error = mean_and_error(bits)
        values = {"bits_per_dim": mean, "standard_error": error, "n": len(bits)}
        this.log.note(
            f"{mean:.3f} +- {error:.3f} bits/dim of {len(bits)} test images, {self.by}"
        )
        return this.log.result("likelihood", values)


@dataclasses.dataclass(frozen=True)
class VaeBounds:
    """A VAE's ELBO and its parts, and the IWAE bound, of the whole test set."""

    by: Iwae = field(Iwae(5000, 50), "the tighter bound")
    batch: int = field(100, "test images at a time")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for models that are no VAE, and for numbers below 1."""
        at_least(1, finish__VaeBounds__batch=self.batch)
        self.by.check(exp)

    def __call__(self, this: Run) -> None:
        k = self.by.samples
        name = f"iwae{k}"
        # long work is not done twice: a run that goes on reads its result
        scores = this.log.result(name)
        if scores is None:
            scores = this.log.result(name, self.scores(this))
        parts = f"-{scores['distortion']:.3f} (distortion) - {scores['rate']:.3f} (rate)"
        this.log.note(f"test  ELBO {scores['elbo']:.3f} nats = {parts}")
        bits = ""
        if "bits_per_dim" in scores:  # only discrete pixels have them
            bits = f", {scores['bits_per_dim']:.4f} bits/dim"
        how = f"IWAE, {k} samples, {scores['n']} images"
        nats = -scores["log_p"]
        this.log.note(f"test  -log p(x) <= {nats:.3f} nats{bits} ({how})")

    def scores(self, this: Run) -> dict[str, float]:
        """Means over the test set, in nats, and the standard error of the bound over its images."""
        test = this.source.test
        values = this.evaluate(test)  # the ELBO and its parts, each [N]
        log_p = log_p_of(this, self.by, test, self.batch)
        means = this.summary(values)
        means["log_p"], means["standard_error"] = mean_and_error(log_p)
        if "bits_per_dim" in means:
            # of the tighter bound, in the place of the ELBO's
            dimensions = math.prod(this.spec.shape)
            bits = self.by.bits(means["log_p"], dimensions)
            means["bits_per_dim"] = float(bits)
        return {**means, "n": len(log_p)}


TERMS = ("prior", "reconstruction", "diffusion")


@dataclasses.dataclass(frozen=True)
class DiffusionBound:
    """The variational bound of a VDM on the test set, with its three terms and the ends of its schedule."""

    draws: int = field(
        20, "times and noises a test image, evenly spaced in time; the bound is their mean"
    )
    batch: int = field(250, "test images at a time")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what has no bits."""
        at_least(
            1,
            finish__DiffusionBound__draws=self.draws,
            finish__DiffusionBound__batch=self.batch,
        )
        if not isinstance(source.fields[source.main], Image):
            raise UserError(
                f"bits are of images and {source.name} has none: use --data='Digits()' or --finish='()'."
            )

    def __call__(self, this: Run) -> None:
        name = f"bits{self.draws}"
        values = this.log.result(name)
        if values is None:
            values = this.log.result(name, self.scores(this))
        total, error, n = (values[key] for key in ("bits_per_dim", "standard_error", "n"))
        # each image's bound is itself a mean over draws: the error is that over images
        what = f"{n} images, {self.draws} draws each"
        this.log.note(f"test  {total:.4f} +- {error:.4f} bits/dim ({what})")
        terms = [f"{values[term]:.4f} ({term})" for term in TERMS]
        this.log.note("      = " + " + ".join(terms))
        first, last = values["gamma_0"], values["gamma_1"]
        this.log.note(f"      gamma from {first:.3f} to {last:.3f}")

    def scores(self, this: Run) -> dict[str, float]:
        """Means over the test set, the standard error over its images, the ends of the schedule."""
        cfg = this.exp.algorithm
        test = this.source.test
        # `evaluate` calls it with (key, state, batch)
        bound = functools.partial(_bound, cfg, this.spec, self.draws)
        parts = this.evaluate(test, bound, min(self.batch, size(test)))
        _, error = mean_and_error(parts["bits_per_dim"])
        schedule = averaged(this.state)["schedule"]
        ends = jnp.array([0.0, 1.0])
        gamma = vdm.gamma(schedule, ends, cfg.schedule)  # -ln SNR
        first, last = np.asarray(gamma)
        told = {"standard_error": error, "n": size(test), "gamma_0": first, "gamma_1": last}
        return {**this.summary(parts), **told}


def _bound(cfg, spec, draws, key, state, batch):
    return vdm.bound(averaged(state), key, batch, draws, cfg, spec)
