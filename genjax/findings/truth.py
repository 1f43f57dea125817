"""How far a model is from a density that is known exactly: KL divergence, modes found, samples near a mode."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from genjax.config import field
from genjax.data.toy import Gaussians, log_prob
from genjax.errors import UserError
from genjax.findings.likelihood import Iwae, Ode, log_p_of
from genjax.findings.samples import mean_and_error, show
from genjax.training.experiment import Experiment
from genjax.training.run import Run


def modes(mixture: Gaussians, x: np.ndarray, sigmas: float = 4.0) -> tuple[int, float]:
    """(modes with at least a tenth of their share of the samples, share of samples near a mode); x [N, 2]."""
    means, scales = np.asarray(mixture.means), np.asarray(mixture.scales)
    offset = x[:, None] - means[None]  # [N, K, 2]
    distance = np.linalg.norm(offset, axis=-1) / scales  # [N, K]
    near = distance.min(1) < sigmas
    nearest = distance.argmin(1)
    # samples far from every mode count for none
    counts = np.bincount(nearest[near], minlength=len(means))
    least = 0.1 * len(x) / len(means)  # a tenth of an even share
    found = counts >= least
    return int(found.sum()), float(near.mean())


def check_known(exp: Experiment) -> None:
    """Raises UserError for data whose density is not known."""
    if not hasattr(exp.data, "mixture"):
        raise UserError(
            "this finding needs data of a known density: use --data='Toy(mixture=Ring())', or --finish='()'."
        )


@dataclasses.dataclass(frozen=True)
class Truth:
    """KL(p || model) in nats = E_p[log p(x) - log model(x)] on the test points; modes found; pictures of both."""

    density: Iwae | Ode = field(Iwae(), "how log model(x) is found")
    samples: int = field(10_000, "samples whose modes are counted")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data whose density is not known, and for densities that cannot be found so."""
        check_known(exp)
        self.density.check(exp)
        if getattr(exp.algorithm, "condition", ()):
            raise UserError(
                "the density known is that without labels: use --algorithm.condition='()'."
            )

    def __call__(self, this: Run) -> None:
        mixture = this.exp.data.mixture()
        test = this.source.test
        x = test[this.spec.main]  # [N, 2]
        draws = this.sample(self.samples)
        # 4000 dots of each: denser clouds look alike
        data = this.source.picture(x[:4000])
        show(this, "data", data)
        samples = this.source.picture(draws[:4000])
        show(this, "samples", samples)
        model = log_p_of(this, self.density, test, 500)  # [N] nats
        truth = np.asarray(jax.jit(log_prob)(mixture, x))
        # the mean over test points estimates the expectation under p
        kl, error = mean_and_error(truth - model)
        found, good = modes(mixture, draws)
        values = {"kl": kl, "standard_error": error, "modes": found, "good": good}
        this.log.result("truth", {**values, "n": len(truth)})
        ours, theirs = -truth.mean(), -model.mean()
        this.log.note(f"test  -log p: truth {ours:.4f}, model {theirs:.4f} nats")
        this.log.note(f"test  KL(p || model) {kl:.4f} +- {error:.4f} nats, {self.density}")
        share = f"{100 * good:.1f} % of {self.samples} samples within 4 sigma of one"
        this.log.note(f"{found} of {len(mixture.means)} modes found, {share}")
