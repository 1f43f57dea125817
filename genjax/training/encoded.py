"""A run as the data of another: the codes that a trained model gives its own data set.

Latent diffusion, a prior of codes, a detector on features: the second run's config holds the first one's, and so does
its digest. The first is trained, or resumed, or only restored, in a run directory of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax.config import edit, field
from genjax.core import size
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Points
from genjax.training.experiment import Experiment, directory
from genjax.training.loop import run
from genjax.training.opened import open_run


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

    def resolved(self) -> Encoded:
        """The same with the experiment's own files marked, see `Experiment.resolved`."""
        return dataclasses.replace(self, experiment=self.experiment.resolved())

    def load(self) -> Source:
        """Trains or restores the run, then encodes; UserError for a model that has no codes."""
        if not self.of:
            raise UserError(
                "--data.of is not set: the experiment whose run encodes, e.g. autoencoder."
            )
        this = run(self.of, self.experiment, self.ablation)  # a finished run is only restored
        if this.algorithm.encode is None:
            model = type(self.experiment.algorithm).__name__
            raise UserError(
                f"--data=Encoded(): {model} has no codes; use an autoencoder or a VAE."
            )
        splits = {}
        for name, split in this.source.splits().items():
            splits[name] = self._encoded(this, split)
        codes = splits["train"][self.name]  # [N, ...]
        # one number for all: differences between dimensions are the model's own
        scale = 1.0
        if self.scaled:
            scale = float(np.std(codes))
        if not scale > 0:  # NaN too
            raise UserError(
                "--data=Encoded(): all training codes are the same, the encoder has collapsed: train it "
                "otherwise, or set --data.scaled=false."
            )
        for split in splits.values():
            # float32 by float32: the quotient is the same under any rule of promotion
            split[self.name] = split[self.name] / np.float32(scale)
        kind = Points(tuple(codes.shape[1:]))
        # the codes come first, for the first field is what is modelled
        fields = {self.name: kind, **_without(this.source.fields, this.spec.main)}
        drawn = _drawing(this, scale)
        name = f"{this.source.name}_codes"
        return Source(name, fields, **splits, drawn=drawn, scale=scale)

    def drawing(self, source: Source, runs: Path) -> Callable[[Any], np.ndarray]:
        """How an opened run on these codes draws samples [B, ...]: as in its training, where the first run is at hand.

        source: what the opened run has kept; runs: the folder of its directories, where the first run is looked for
        before the folder that it was trained in.
        """
        return _Found(self, source, runs)

    def _encoded(self, this: Any, split: dict[str, Any]) -> dict[str, Any]:
        """A split with the codes in place of what they are of."""
        others = _without(split, this.spec.main)
        if size(split):
            return {self.name: this.encode(split), **others}
        # an empty split has codes of the right shape too: nothing is computed for them
        example = _one(this)
        made = jax.eval_shape(this.algorithm.encode, this.key(1), this.state, example)
        _, *shape = made.shape
        none = np.zeros((0, *shape), np.float32)
        return {self.name: none, **others}


def _without(fields: dict[str, Any], main: str) -> dict[str, Any]:
    """The fields beside the one that is modelled."""
    return {name: value for name, value in fields.items() if name != main}


def _one(this: Any) -> dict[str, Any]:
    """The first training example as a batch."""
    first = {}
    for name, array in this.source.train.items():
        first[name] = np.asarray(array[:1])  # a slice: of a stream only one row is read
    return {"index": np.zeros(1, np.uint32), **first}


def _drawing(this: Any, scale: float) -> _Decoded | None:
    """How codes are drawn by the run that made them; None of a model without a way back."""
    return None if this.algorithm.decode is None else _Decoded(this, scale)


class _Decoded:
    """codes [B, ...] -> the picture of what they decode to, uint8 [H, W, C]."""

    def __init__(self, this: Any, scale: float):
        self.this = this
        self.scale = scale
        # compiled once, for it is called at every grid of samples
        self.decode = jax.jit(this.algorithm.decode)

    def __call__(self, codes: Any) -> np.ndarray:
        key = self.this.key(1)
        z = np.asarray(codes, np.float32) * self.scale  # as the model gave them
        x = self.decode(key, self.this.state, z)  # [B, *shape]
        return self.this.source.picture(np.asarray(x))


class _Found:
    """As `_Decoded`, by the first run as it lies on disk; without it codes are drawn as points."""

    def __init__(self, data: Encoded, source: Source, runs: Path):
        self.data = data
        self.source = source
        self.runs = runs

    def __call__(self, codes: Any) -> np.ndarray:
        draw = self.source.fields[self.source.main].picture
        return (self.decoded or draw)(codes)

    @functools.cached_property
    def decoded(self) -> _Decoded | None:
        """Opened at the first picture, as most who open a run want numbers; None where it cannot be."""
        try:
            return self._opened()
        except UserError as error:
            print(
                f"note: pictures are of codes, not of what they decode to: {error}",
                file=sys.stderr,
            )
            return None

    def _opened(self) -> _Decoded | None:
        if self.source.scale is None:
            raise UserError(
                "this run is of an earlier release, which did not keep their scale."
            )
        inner = self.data.experiment
        missing = None
        for folder in (str(self.runs), inner.runs):
            # its runs are no part of its digest
            there = edit(inner, {"runs": folder})
            place = directory(there, self.data.of, self.data.ablation)
            if place.is_dir():
                return _drawing(open_run(place).run, self.source.scale)
            missing = missing or place
        raise UserError(f"the run that encoded is not at hand: put it back to {missing}.")
