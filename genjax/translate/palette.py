"""Palette: translation by a diffusion model that is told the given picture (Saharia et al. 2022, arXiv:2111.05826).

It is a `Diffusion` with one condition more, the given picture beside the noisy one; whatever path, net, prediction,
sampler or schedule that has. Answers vary as noise does: if the model is exact, each is a draw of p(y | x).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from genjax.conditions import Picture
from genjax.config import edit, field
from genjax.core import Algorithm, Batch, Spec, State
from genjax.diffusion import named
from genjax.diffusion.gaussian import Diffusion
from genjax.nets import UNet
from genjax.translate import paired

# as the other systems of this room have it, so that they can be compared
NET = UNet((64, 128), blocks=1, patch=2, attention=())
MODEL = edit(named.FLOW, {"net": NET})


@dataclasses.dataclass(frozen=True)
class Palette:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    given: str = field("input", "name of the field that is translated")
    model: Diffusion = field(
        MODEL, "of what is modelled; the given picture is added to its conditions"
    )
    guided: bool = field(
        False,
        "the given picture is hidden from shares of training too, for guidance by it",
        added=True,
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def inner(cfg: Palette) -> Diffusion:
    """The model, told what is given."""
    # there is nothing to translate without it: it is hidden for guidance alone
    picture = Picture(of=cfg.given, guided=cfg.guided)
    condition = (*cfg.model.condition, picture)
    return edit(cfg.model, {"condition": condition})


def algorithm(
    cfg: Palette,
    spec: Spec,
) -> Algorithm:
    """The inner model, with input, output and truth as its picture. Raises UserError for data without pairs."""
    paired.check_pair("Palette", cfg.given, spec)
    # it refuses what a diffusion model cannot be trained on
    model = inner(cfg)(spec)
    # what is given comes first; the truth is for the picture alone
    others = [name for name in model.asks if name != cfg.given]
    asks = dict.fromkeys((cfg.given, *others, spec.main))

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> jax.Array:
        # the model must not see the truth
        known = {name: given[name] for name in ("index", *model.asks)}
        return model.sample(key, state, known)

    def drawn(
        samples: Any,
        given: Batch,
    ) -> np.ndarray:
        return paired.picture(samples, given, cfg.given, spec)

    return model._replace(sample=sampled, asks=tuple(asks), picture=drawn)
