"""Does the model find every mode of a density that we know exactly, and how many nats is it off?

    python -m experiments.toy2d             a VAE on eight Gaussians on a ring, a minute or two on two cores
    python -m experiments.toy2d grid        25 Gaussians on a grid; also: moons, spiral
    python -m experiments.toy2d edm         EDM on the grid; also: flow, ddpm, ddpm_cosine, v, jit

Prints KL(p || model) in nats = E_p[log p(x) - log model(x)], log p exact; log model exact for diffusion and flows, by
the probability-flow ODE, and a bound for the VAE, by IWAE. Also the modes found and the share of samples within four
standard deviations of a mode.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from genjax import cli
from genjax.config import edit, field
from genjax.core import averaged
from genjax.data import Grid, Moons, Ring, Spiral, Toy
from genjax.data.toy import log_prob
from genjax.diffusion import gaussian, named
from genjax.diffusion.guidance import Keep
from genjax.diffusion.likelihood import Exact, Flow
from genjax.errors import UserError
from genjax.nets import MLP, Gelu, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.training.loop import Experiment, run
from genjax.training.run import Run
from genjax.vae import vae
from genjax.vae.likelihoods import Gaussian


@dataclasses.dataclass(frozen=True)
class Iwae:
    """A lower bound of a VAE's log p(x)."""

    samples: int = field(1000, "importance samples")

    def __call__(self, key, state, batch, cfg, spec) -> jax.Array:
        return vae.log_likelihood(averaged(state), key, batch, cfg, spec, self.samples, 100)

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that are no VAE."""
        if not hasattr(exp.algorithm, "likelihood"):
            raise UserError("--finish.density='Iwae()' is for VAEs: use --finish.density='Ode()'.")

    def __str__(self) -> str:
        return f"at most, by IWAE with {self.samples} samples"


@dataclasses.dataclass(frozen=True)
class Ode:
    """A diffusion model's or flow's log p(x), exact but for the solver's tolerance."""

    solver: Flow = field(
        Flow(low=2e-3, high=80.0, std=1.4, trace=Exact(), tolerance=1e-4), "of the probability flow"
    )

    def __call__(self, key, state, batch, cfg, spec) -> jax.Array:
        denoiser = gaussian.denoiser(averaged(state), None, cfg, spec)
        return self.solver(denoiser, batch["image"], key, batch["index"])

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that are no unconditional diffusion model or flow."""
        if not hasattr(exp.algorithm, "path") or exp.algorithm.conditional:
            raise UserError(
                "--finish.density='Ode()' is for diffusion models without labels: use --algorithm.conditional=false, "
                "or --finish.density='Iwae()' for VAEs."
            )

    def __str__(self) -> str:
        return "by the probability-flow ODE"


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: samples beside data as PNG; the exact distance from the truth."""

    density: Iwae | Ode = field(Iwae(), "how log model(x) is found")
    samples: int = field(10_000, "samples whose modes are counted")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for data whose density is not known."""
        if not hasattr(exp.data, "mixture"):
            raise UserError(
                "toy2d measures the distance from a known density: use --data='Toy(mixture=Ring())'."
            )
        self.density.check(exp)

    def __call__(self, this: Run) -> None:
        mixture, test = this.exp.data.mixture(), this.source.test
        draws = this.sample(self.samples)
        this.log.note(
            f"picture {this.log.picture('data', this.source.picture(test['image'][:4000]))}"
        )
        this.log.note(f"picture {this.log.picture('samples', this.source.picture(draws[:4000]))}")
        model = this.evaluate(
            test, functools.partial(_log_p, self.density, this.exp.algorithm, this.spec), 500
        )["log_p"]
        truth = np.asarray(jax.jit(log_prob)(mixture, test["image"]))
        gap = truth - model
        found, good = modes(mixture, draws)
        error = gap.std() / np.sqrt(len(gap))
        values = {"kl": gap.mean(), "standard_error": error, "modes": found, "good": good}
        this.log.result("truth", values)
        this.log.note(f"test  -log p: truth {-truth.mean():.4f}, model {-model.mean():.4f} nats")
        this.log.note(f"test  KL(p || model) {gap.mean():.4f} +- {error:.4f} nats, {self.density}")
        share = f"{100 * good:.1f} % of {self.samples} samples within 4 sigma of one"
        this.log.note(f"{found} of {len(mixture.means)} modes found, {share}")


def modes(mixture, x: np.ndarray, sigmas: float = 4.0) -> tuple[int, float]:
    """(modes with at least a tenth of their share of the samples, share of samples near a mode); x [N, 2]."""
    distance = np.linalg.norm(x[:, None] - np.asarray(mixture.means)[None], axis=-1) / np.asarray(
        mixture.scales
    )
    near = distance.min(1) < sigmas
    counts = np.bincount(distance.argmin(1)[near], minlength=len(mixture.means))
    return int((counts >= 0.1 * len(x) / len(mixture.means)).sum()), float(near.mean())


def _log_p(density, cfg, spec, key, state, batch):
    return {"log_p": density(key, state, batch, cfg, spec)}


BASE = Experiment(
    data=Toy(Ring(), train=50_000),
    algorithm=vae.VAE(
        latent=2,
        enc=MLP((128, 128), Gelu()),
        dec=MLP((128, 128), Gelu()),
        likelihood=Gaussian(scale=None),
        samples=8,
        draw=True,
        optimiser=Adam(2e-3, decay=CosineDecay()),
    ),
    steps=8000,
    batch=256,
    log_every=500,
    evaluate_every=2000,
    sample_every=2000,
    save_every=2000,
    samples=2000,
    finish=Report(),
)


def _diffusion(cfg: gaussian.Diffusion) -> Experiment:
    """A named model on the grid, with the same net and budget for all."""
    changes = {
        "net": TimeMLP((128, 128, 128)),
        "std": 1.4,
        "threshold": Keep(),
        "optimiser": Adam(2e-3, decay=CosineDecay()),
    }
    scaled = {"predict.std": 1.4} if hasattr(cfg.predict, "std") else {}
    algorithm = edit(cfg, {**changes, **scaled})
    return edit(BASE, {"data.mixture": Grid(), "algorithm": algorithm, "finish": Report(Ode())})


EXPERIMENTS = {
    "base": BASE,
    "elbo": edit(BASE, {"algorithm.samples": 1}),
    "grid": edit(BASE, {"data.mixture": Grid()}),
    "moons": edit(BASE, {"data.mixture": Moons()}),
    "spiral": edit(BASE, {"data.mixture": Spiral()}),
    **{name: _diffusion(cfg) for name, cfg in named.ALL.items()},
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "toy2d"), __doc__)
