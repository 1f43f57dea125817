"""Several colourings of one grey picture: a diffusion model or flow of its colour ab, told its light L.

Where squared error has one answer, the mean, a model of p(ab | L) has as many as are asked for, each of them one that
could be. It models the colour of blocks of `fold` x `fold` pixels alone, which is an eighth of a picture's numbers at
fold 2, and the light of a sample is the given one, to the pixel: nothing of it is drawn. (Saharia et al. 2022,
arXiv:2111.05826, draw all of RGB from the grey picture beside the noise.)

If the model were exact, two colourings of a picture would be as far apart on average as either is from the truth, in
mean square: the truth is a third draw. `genjax.findings.colouring` tells both.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Picture
from genjax.config import edit, field
from genjax.core import (
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
)
from genjax.diffusion import named
from genjax.diffusion.gaussian import Diffusion
from genjax.errors import UserError, above, at_least
from genjax.fields import Image
from genjax.metrics.colour import check_colour
from genjax.nets import UNet
from genjax.nets.blocks import space_to_depth
from genjax.pictures import lab

AB, LIGHT = "ab", "light"  # the fields that the inner model sees


@dataclasses.dataclass(frozen=True)
class Colourings:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    model: Diffusion = field(
        edit(named.FLOW, {"net": UNet((64, 128), blocks=1, patch=1, attention=())}),
        "of the colour of blocks; the light is added to its conditions",
    )
    fold: int = field(2, "side of the block of pixels that has one colour [pixels]")
    unit: float = field(40.0, "what the model's 1 stands for [ab]")
    draws: int = field(3, "colourings of each picture", execution=True)

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def parts(batch: Batch, cfg: Colourings, spec: Spec) -> Batch:
    """The batch as the inner model sees it: `ab` and `light` in place of the picture, all else as it is."""
    pictures = spec.unit(batch)
    light, ab = lab.apart(pictures, cfg.fold)
    seen = dict(batch)
    del seen[spec.main]
    # unit values, as of a picture: 0.5 is no colour
    scaled = ab / cfg.unit
    seen[AB] = 0.5 + 0.5 * scaled
    seen[LIGHT] = space_to_depth(light / 100.0, cfg.fold)
    return seen


def colour(unit: jax.Array, cfg: Colourings) -> jax.Array:
    """ab of what the inner model draws, the inverse of what `parts` does to it."""
    scaled = 2.0 * unit - 1.0
    return cfg.unit * scaled


def inner(cfg: Colourings, spec: Spec) -> Spec:
    """The task of the inner model."""
    height, width, _ = spec.shape
    rows = height // cfg.fold
    columns = width // cfg.fold
    pixels = cfg.fold**2  # of a block, each with its light
    # the first is what is modelled
    fields: dict[str, Any] = {
        AB: Image((rows, columns, 2)),
        LIGHT: Image((rows, columns, pixels)),
    }
    for name, kind in spec.fields:
        if name != spec.main:
            fields[name] = kind
    return spec._replace(fields=tuple(fields.items()))


def check(cfg: Colourings, spec: Spec) -> None:
    """Raises UserError for data without colour, and for settings without a meaning."""
    check_colour("Colourings", spec, cfg.fold)
    at_least(1, algorithm__draws=cfg.draws)
    above(0, algorithm__unit=cfg.unit)
    strange = [name for name in (AB, LIGHT) if spec.find(name) is not None]
    if strange:
        raise UserError(
            f"Colourings keeps colour and light under names of its own, and the data have a field {strange[0]!r}: "
            "rename it."
        )


def algorithm(cfg: Colourings, spec: Spec) -> Algorithm:
    """The inner model on light and colour. Raises UserError for data without colour."""
    check(cfg, spec)
    # the light is what there is to colour: it is never hidden
    condition = (*cfg.model.condition, Picture(of=LIGHT))
    told = edit(cfg.model, {"condition": condition})
    model = told(inner(cfg, spec))

    def init(key: jax.Array, batch: Batch) -> State:
        seen = parts(batch, cfg, spec)
        return model.init(key, seen)

    def step(
        key: jax.Array,
        state: State,
        batch: Batch,
        axis: str | None = None,
    ):
        seen = parts(batch, cfg, spec)
        return model.step(key, state, seen, axis)

    def evaluate(key: jax.Array, state: State, batch: Batch) -> Parts:
        seen = parts(batch, cfg, spec)
        return model.evaluate(key, state, seen)

    def sample(key: jax.Array, state: State, given: Batch) -> dict[str, jax.Array]:
        pictures = spec.unit(given)
        light, _ = lab.apart(pictures)
        seen = parts(given, cfg, spec)

        def draw(i: jax.Array) -> jax.Array:
            # a key of its own: colouring i of a picture is the same however many there are
            own = jax.random.fold_in(key, i)
            unit = model.sample(own, state, seen)
            ab = colour(unit, cfg)
            return lab.together(light, ab)

        # one after the other: the sampler is compiled once, and holds the memory of one
        numbers = jnp.arange(cfg.draws)
        drawn = jax.lax.map(draw, numbers)  # [K, B, H, W, 3]
        return {
            "input": lab.grey(light),
            "coloured": jnp.moveaxis(drawn, 0, 1),
        }

    def picture(samples: Any, given: Batch) -> np.ndarray:
        truth = spec.unit(given)
        return lab.rows(samples, truth)

    asked = [name for name in model.asks if name != LIGHT]
    return model._replace(
        init=init,
        step=step,
        evaluate=evaluate,
        sample=sample,
        asks=(spec.main, *asked),
        picture=picture,
    )
