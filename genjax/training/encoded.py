"""A run as the data of another: the codes that a trained model gives its own data set.

Latent diffusion, a prior of codes, a detector on features: the second run's config holds the first one's, and so does
its digest. The first is trained, or resumed, or only restored, in a run directory of its own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Points
from genjax.training.experiment import Experiment
from genjax.training.loop import run


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The codes of `experiment`'s model for every example of its data, in place of what it models.

    The other fields of its data stay beside them. Pictures of codes are pictures of what they decode to.
    """

    experiment: Experiment = field(Experiment(), "the run whose model encodes")
    of: str = field("", "name of its experiment, the folder below --data.experiment.runs", True)
    ablation: str = field("base", "name of its ablation", execution=True)
    name: str = field("code", "what the codes are called")
    scaled: bool = field(True, "divide by the standard deviation of the training codes")

    def load(self) -> Source:
        """Trains or restores the run, then encodes; UserError for a model that has no codes."""
        if not self.of:
            raise UserError(
                "--data.of is not set: the experiment whose run encodes, e.g. autoencoder."
            )
        this = run(self.of, self.experiment, self.ablation)
        if this.algorithm.encode is None:
            model = type(self.experiment.algorithm).__name__
            raise UserError(f"--data=Encoded(): {model} has no codes; use an autoencoder or a VAE.")
        splits = {name: self._encoded(this, split) for name, split in this.source.splits().items()}
        # one number for all: differences between dimensions are the model's own
        scale = float(np.std(splits["train"][self.name])) if self.scaled else 1.0
        for split in splits.values():
            split[self.name] = split[self.name] / np.float32(scale)
        shape = splits["train"][self.name].shape[1:]
        others = {name: kind for name, kind in this.source.fields.items() if name != this.spec.main}
        fields = {self.name: Points(tuple(shape)), **others}
        drawn = None if this.algorithm.decode is None else _Decoded(this, scale)
        return Source(f"{this.source.name}_codes", fields, **splits, drawn=drawn)

    def _encoded(self, this: Any, split: dict[str, Any]) -> dict[str, Any]:
        others = {name: array for name, array in split.items() if name != this.spec.main}
        if not size(split):
            shape = jax.eval_shape(this.algorithm.encode, this.key(1), this.state, _one(this)).shape
            return {self.name: np.zeros((0, *shape[1:]), np.float32), **others}
        return {self.name: this.encode(split), **others}


def _one(this: Any) -> dict[str, Any]:
    """The first training example as a batch."""
    first = {name: np.asarray(array[:1]) for name, array in this.source.train.items()}
    return {"index": np.zeros(1, np.uint32), **first}


class _Decoded:
    """codes [B, ...] -> the picture of what they decode to, uint8 [H, W, C]."""

    def __init__(self, this: Any, scale: float):
        self.this, self.scale = this, scale
        self.decode = jax.jit(this.algorithm.decode)

    def __call__(self, codes: Any) -> np.ndarray:
        key, z = self.this.key(1), np.asarray(codes, np.float32) * self.scale
        return self.this.source.picture(np.asarray(self.decode(key, self.this.state, z)))
