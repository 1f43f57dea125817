"""Models of the background: the same model, trained on pictures of which some pixels are any grey (arXiv:1906.02845).

What survives in it is what single pixels and flat parts tell, which digits and clothes share; the ratio of the two
likelihoods is left with what makes clothes clothes. The share of pixels is chosen without a stranger: by how well the
ratio tells held-out pictures from themselves turned by a quarter, whose greys, contrast and compressed size are theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import (
    edit,
    field,
)
from genjax.core import Batch
from genjax.errors import UserError
from genjax.fields import (
    Image,
    need,
)
from genjax.metrics.prediction import auroc
from genjax.metrics.strangeness import ratio
from genjax.training.experiment import Experiment
from genjax.training.loop import run
from genjax.training.run import Run
from genjax.training.watch import Watch

GREYS = 256
Bits = Callable[[Run, np.ndarray], np.ndarray]  # (run, uint8 [N, H, W, C]) -> -log2 p, [N]


@dataclasses.dataclass(frozen=True)
class Mutated:
    """A view: each pixel is any grey, all as likely, with a probability; evaluation sees pictures as they are."""

    rate: float = field(0.2, "the probability, mu in arXiv:1906.02845")
    of: str = field("image", "name of the field")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError for a field that is no picture, and for a rate outside (0, 1)."""
        need("the view Mutated()", self.of, fields.get(self.of), Image)
        if not 0.0 < self.rate < 1.0:
            raise UserError(
                f"--view=Mutated(rate={self.rate:g}) must lie between 0 and 1: of 1 nothing is left to learn."
            )

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        x = batch[self.of]  # [B, H, W, C]

        def mutate(key: jax.Array, picture: jax.Array) -> jax.Array:
            of_place, of_grey = jax.random.split(key)
            hit = jax.random.bernoulli(of_place, self.rate, picture.shape)
            grey = jax.random.randint(of_grey, picture.shape, 0, GREYS)
            # pictures are bytes, or floats in [0, 1]
            whole = jnp.issubdtype(picture.dtype, jnp.integer)
            scale = 1.0 if whole else 1.0 / (GREYS - 1)
            any_grey = (scale * grey).astype(picture.dtype)
            return jnp.where(hit, any_grey, picture)

        return {**batch, self.of: jax.vmap(mutate)(keys, x)}

    def still(self, batch: Batch) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Background:
    """Trains one model for each share of mutated pixels, in run directories of their own, and chooses among them."""

    rates: tuple[float, ...] = field(
        (0.1, 0.2, 0.3), "shares of mutated pixels that are tried, the paper's"
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for no share and for one that is none."""
        if not self.rates:
            raise UserError(
                "--finish.Strangers.background.rates is empty: name one, e.g. (0.2,)."
            )
        for rate in self.rates:
            Mutated(rate, source.main).check(source.fields)
        # a quarter turn must keep the shape
        height, width, _ = source.shape
        if height != width:
            raise UserError(
                f"pictures of {height}x{width} cannot be turned by a quarter, by which a background is chosen: use "
                "square ones, or --finish.Strangers.background=None."
            )

    def chosen(
        self,
        this: Run,
        bits: Bits,
        held: np.ndarray,
        images: np.ndarray,
    ) -> tuple[float, float, np.ndarray]:
        """(the rate, its AUROC on quarter turns, -log2 q of `images` [N]); held: pictures uint8 that choose."""
        # axis 0 is the pictures
        turned = np.rot90(held, axes=(1, 2))
        both = np.concatenate([held, turned])
        strange = np.arange(len(both)) >= len(held)
        # of the run itself once, whatever it is compared with
        own = bits(this, both)
        found = {}
        for rate in self.rates:
            model = self._trained(this, rate)
            score = ratio(own, bits(model, both))
            area = auroc(score, strange).value
            this.log.note(
                f"background, {rate:g} of the pixels mutated: {area:.3f} on quarter turns"
            )
            found[rate] = area, model
        best = max(found, key=lambda rate: found[rate][0])
        area, model = found[best]
        return best, area, bits(model, images)

    def _trained(self, this: Run, rate: float) -> Run:
        """The background's run: trained, resumed or only restored."""
        mutated = Mutated(rate, this.spec.main)
        # the same model and data, and nothing measured afterwards
        changes = {
            "view": (*this.exp.view, mutated),
            "finish": (),
            "published": (),
            "watch": Watch(),
            "track": (),
            "start": None,
        }
        # beside the run, where a second finding finds it again
        experiment = this.log.directory.parent.name
        return run(experiment, edit(this.exp, changes), f"background{rate:g}")
