"""A trained segmenter at work on pictures of any size: whole, or tile by tile with the same classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ae.segmentation import Segmentation, answer, classes_of, known
from genjax.ae.tiles import tiled
from genjax.core import averaged
from genjax.errors import UserError
from genjax.training.run import Run

# picture [H, W, C] in [0, 1] -> classes uint8 [H, W]
Segmenter = Callable[[np.ndarray], np.ndarray]


def check_segmentation(algorithm: Any) -> None:
    """Raises UserError for a model that says no classes of pixels."""
    if not isinstance(algorithm, Segmentation):
        name = type(algorithm).__name__
        raise UserError(f"{name} says no class of a pixel: use a run of experiments.segment.")


def segmenter(this: Run, side: int | None = None) -> Segmenter:
    """What says the classes of one picture by a run's weights. side: of tiles [pixels], None = the picture as a whole.

    A net without `unit` and `reach` sees a picture whole, filled up to multiples of the size it was trained on.
    UserError for a picture that is too small for the net, and for a net that says no numbers.
    """
    cfg, spec = this.exp.algorithm, this.spec
    height, width, _ = spec.shape
    unit = getattr(cfg.net, "unit", math.lcm(height, width))
    reach = getattr(cfg.net, "reach", None)
    classes = classes_of(cfg, spec)
    params = averaged(this.state)

    @jax.jit
    def run(params: Any, part: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = answer(params, spec.x.encode(part), cfg, classes)
        # of large pictures the classes fit into memory, and what is said of each does not
        taken = jnp.argmax(known(logits, cfg), -1)
        whole = jnp.isfinite(logits).all()
        return taken[..., None].astype(jnp.uint8), whole

    def of_part(part: np.ndarray) -> np.ndarray:
        taken, whole = run(params, part)
        # the largest of NaN is class 0: a mask that looks like one
        if not whole:
            raise UserError("the net says no numbers: the training of this run has diverged.")
        return np.asarray(taken)

    def one(picture: np.ndarray) -> np.ndarray:
        whole = max(picture.shape)
        if reach is None or side is None:
            found = tiled(of_part, picture, unit, 0, whole)
        else:
            found = tiled(of_part, picture, unit, reach, side)
        return found[..., 0]

    return one
