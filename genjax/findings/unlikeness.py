"""How unlike the normal examples a trained model finds others, by the score of its own family.

Each is a config, called with a run and {split: arrays}, of which `train` is what normal examples are like; it gives
{method: {split: [N]}}, more being more anomalous. Nothing in them looks at a label.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.anomaly import geotrans
from genjax.anomaly.scorers import Mahalanobis, Neighbours, Scorer
from genjax.conditions import told
from genjax.config import field
from genjax.core import Batch, Spec, State, averaged, example_normal
from genjax.diffusion import gaussian
from genjax.errors import UserError, above
from genjax.findings.likelihood import Ode
from genjax.training.experiment import Experiment
from genjax.training.run import Run

Splits = dict[str, dict[str, Any]]
Scores = dict[str, dict[str, np.ndarray]]  # {method: {split: [N]}}


def by_rows(name: str, rows: dict[str, np.ndarray], scorers: tuple[Scorer, ...]) -> Scores:
    """The scores of rows {split: [N, D]} by scorers that are fitted on those of `train`."""
    found = {}
    for scorer in scorers:
        score = scorer.fit(rows["train"])
        values = {}
        for split, of_split in rows.items():
            if split != "train":  # what was fitted on says nothing of itself
                values[split] = score(of_split)
        found[f"{name}_{scorer.name}"] = values
    return found


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _check(exp: Experiment, has: str, name: str, of: str) -> None:
    """UserError for an algorithm without the setting that a score is made for."""
    if not hasattr(exp.algorithm, has):
        algorithm = type(exp.algorithm).__name__
        raise UserError(
            f"--finish.Anomalies.own: {name}() is a score of {of}, and {algorithm} is none: leave it out."
        )


@functools.lru_cache(maxsize=8)
def _looking(cfg: Any, spec: Spec) -> Any:
    """`geotrans.looked` as `Run.evaluate` calls it; one function for one config, so that it is compiled once."""

    def look(key: jax.Array, state: State, batch: Batch) -> dict[str, jax.Array]:
        log_y, code = geotrans.looked(averaged(state), batch, cfg, spec)
        return {"log_y": log_y, "code": code}

    return look


@dataclasses.dataclass(frozen=True)
class Named:
    """How badly a net names transformations: by Dirichlets, by the mean logarithm; and scorers of its codes."""

    scorers: tuple[Scorer, ...] = field(
        (Neighbours(), Mahalanobis()), "of the codes of all transformations together"
    )

    def check(self, exp: Experiment) -> None:
        """Raises UserError for what is no GeoTrans."""
        _check(exp, "moves", "Named", "GeoTrans")

    def __call__(self, this: Run, splits: Splits) -> Scores:
        look = _looking(this.exp.algorithm, this.spec)
        # once for all four: the net is most of the cost
        seen = {split: this.evaluate(arrays, look) for split, arrays in splits.items()}
        dirichlet, plain = {}, {}
        normal = seen["train"]["log_y"]
        for split, of_split in seen.items():
            # of what it was fitted on a Dirichlet is too sure
            if split != "train":
                dirichlet[split] = geotrans.unlike(normal, of_split["log_y"])
                plain[split] = geotrans.unnamed(of_split["log_y"])
        rows = {split: _flat(of_split["code"]) for split, of_split in seen.items()}
        by_code = by_rows("codes", rows, self.scorers)
        return {"transforms": dirichlet, "softmax": plain, **by_code}


@dataclasses.dataclass(frozen=True)
class Codes:
    """Scorers of the codes that a model's encoder gives."""

    scorers: tuple[Scorer, ...] = field((Neighbours(), Mahalanobis()), "of the codes")

    def check(self, exp: Experiment) -> None:
        """Raises UserError for a model that has no encoder."""
        _check(exp, "enc", "Codes", "models with an encoder")

    def __call__(self, this: Run, splits: Splits) -> Scores:
        rows = {}
        for split, arrays in splits.items():
            # of maps every number is one of the row
            rows[split] = _flat(this.encode(arrays))
        return by_rows("codes", rows, self.scorers)


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """One of the numbers that a model's own evaluation gives for each example, with a sign: an error, -ELBO."""

    number: str = field("mse", "its name: mse of autoencoders, elbo of VAEs")
    sign: float = field(1.0, "1 where more is more anomalous, -1 where less is")

    def check(self, exp: Experiment) -> None:
        """The number is looked for when it is measured."""

    def __call__(self, this: Run, splits: Splits) -> Scores:
        found = {}
        for split, arrays in splits.items():
            if split == "train":
                continue
            values = this.evaluate(arrays)
            # an algorithm's numbers are known only once it has run
            if self.number not in values:
                raise UserError(
                    f"--finish.Anomalies.own: the evaluation of this model has no {self.number!r}, it has "
                    f"{', '.join(values)}."
                )
            found[split] = self.sign * values[self.number]
        return {self.number: found}


@dataclasses.dataclass(frozen=True)
class Density:
    """-log p of a diffusion model or flow, by the ODE of its probability flow."""

    by: Ode = field(Ode(), "how log p is found")

    def check(self, exp: Experiment) -> None:
        """Raises UserError for what is no diffusion model or flow."""
        _check(exp, "path", "Density", "diffusion models and flows")

    def __call__(self, this: Run, splits: Splits) -> Scores:
        cfg, spec = this.exp.algorithm, this.spec

        # one function for all splits, so that it is compiled once
        def measured(key: jax.Array, state: State, batch: Batch) -> dict[str, jax.Array]:
            return {"nats": -self.by.log_p(key, state, batch, cfg, spec)}

        found = {}
        for split, arrays in splits.items():
            if split != "train":
                found[split] = this.evaluate(arrays, measured)["nats"]
        return {"density": found}


@dataclasses.dataclass(frozen=True)
class Denoised:
    """The error of a denoiser that takes noise of a middle level off a picture: it restores what it has seen."""

    sigma: float = field(1.0, "standard deviation of the noise, where pictures are in [-1, 1]")
    draws: int = field(4, "of the noise, whose errors are averaged")

    def check(self, exp: Experiment) -> None:
        """Raises UserError for what is no diffusion model or flow."""
        above(
            0,
            finish__Anomalies__own__sigma=self.sigma,
            finish__Anomalies__own__draws=self.draws,
        )
        _check(exp, "path", "Denoised", "diffusion models and flows")

    def __call__(self, this: Run, splits: Splits) -> Scores:
        cfg, spec = this.exp.algorithm, this.spec

        def measured(key: jax.Array, state: State, batch: Batch) -> dict[str, jax.Array]:
            clean = spec.encode(batch)  # in [-1, 1]
            cond = told(cfg.condition, batch, spec)
            denoiser = gaussian.denoiser(averaged(state), cond, cfg, spec)
            level = jnp.full(len(clean), self.sigma)
            # of one draw the error is mostly that draw's
            total = jnp.zeros(len(clean))
            for draw in range(self.draws):
                # each example's noise is its own, whatever the batch
                own = jax.random.fold_in(key, draw)
                eps = example_normal(own, batch["index"], spec.shape)
                restored = denoiser(clean + self.sigma * eps, level)
                squares = jnp.square(restored - clean)
                total += jnp.mean(squares.reshape(len(clean), -1), 1)
            return {"error": total / self.draws}

        found = {}
        for split, arrays in splits.items():
            if split != "train":
                found[split] = this.evaluate(arrays, measured)["error"]
        return {"denoised": found}


Own = Named | Codes | Evaluated | Density | Denoised
