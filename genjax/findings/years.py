"""Ways to change the years in a face: a translator that is told them, and noise up and down again by a denoiser.

A way is a config value: `check(source)` refuses what it cannot do, and `start(run)` gives a function of what is asked,
`Asked`, that answers with pictures. `findings.directed` has a third, and `findings.ageing` holds them side by side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Numbers
from genjax.config import edit, field
from genjax.core import averaged, example_normal
from genjax.diffusion import editing, gaussian, samplers
from genjax.errors import UserError, at_least
from genjax.training.experiment import Experiment
from genjax.training.run import Run

Way = Callable[["Asked"], np.ndarray]  # -> pictures [M, H, W, C] in [0, 1]


class Asked(NamedTuple):
    """What is asked for M test pictures, and what the answer should be."""

    given: np.ndarray  # uint8 [M, H, W, C]
    before: np.ndarray  # [M, 1] years
    years: np.ndarray  # [M, 1], asked for
    truth: np.ndarray  # uint8 [M, H, W, C]
    # of the truth
    landmarks: np.ndarray  # [M, 14, 2] pixels
    pose: np.ndarray  # [M, 2] radians, yaw and pitch
    attributes: np.ndarray  # uint8 [M, A] of 0 and 1
    background: np.ndarray  # bool [M, H, W]: pixels that show it in both pictures


@dataclasses.dataclass(frozen=True)
class Translated:
    """A translator that is given a picture and told years: an experiment whose data, seed and folder are set."""

    exp: Experiment = field(Experiment(), "the run")

    def check(self, source: Any) -> None:
        """Raises UserError for an algorithm that is not told years."""
        if not ages_told(self.exp.algorithm):
            raise UserError(
                "--ways: a translator of ages is told them: give it the condition Numbers('age', 18.0, 85.0)."
            )

    def start(self, this: Run) -> Way:
        """Its answers."""

        def translated(asked: Asked) -> np.ndarray:
            given = told(asked)
            return this.draw(this.algorithm.sample, given)

        return translated


@dataclasses.dataclass(frozen=True)
class Edited:
    """A denoiser that is told years: noise up to a level, and down again with the asked age in the place of the own.

    SDEdit (Meng et al. 2022, arXiv:2108.01073), or the inversion of the deterministic flow, told the own age, instead
    of noise (Song et al. 2021, arXiv:2010.02502, sec. 4.3).
    """

    exp: Experiment = field(Experiment(), "the run")
    strength: float = field(1.0, "sigma / alpha up to which noise goes")
    steps: int = field(20, "denoising steps from pure noise; fewer are taken from the strength")
    inverted: bool = field(False, "up by inversion, without noise")

    def check(self, source: Any) -> None:
        """Raises UserError for a model that is no denoiser told of years."""
        cfg = self.exp.algorithm
        # a path is what noise goes up and down by: StarGAN has none
        if not hasattr(cfg, "path") or not ages_told(cfg):
            raise UserError(
                "--ways: Edited() needs a diffusion model that is told years: give it the condition "
                "Numbers('age', 18.0, 85.0)."
            )
        at_least(1e-3, "Edited: ", strength=self.strength)
        at_least(2, "Edited: ", steps=self.steps)

    def start(self, this: Run) -> Way:
        """Its answers."""
        cfg = edit(this.exp.algorithm, {"schedule.steps": self.steps})
        spec = this.spec
        levels = cfg.schedule(cfg.path)  # falling
        # the schedule of pure noise, cut off: less strength is fewer steps
        below = levels[levels < self.strength]
        # from the strength itself, whatever levels the schedule has
        first = jnp.asarray([self.strength], below.dtype)
        sigmas = jnp.concatenate([first, below])

        def edited(key: jax.Array, state: Any, given: Any) -> jax.Array:
            params = averaged(state)
            image = spec.find("input").encode(given["input"])
            denoise = gaussian.guided(params, given, cfg, spec)

            def noise(i: Any) -> jax.Array:
                # by index: a picture's noise does not depend on its batch
                own = jax.random.fold_in(key, i)
                return example_normal(own, given["index"], spec.shape)

            if not self.inverted:
                x = editing.sdedit(cfg.sampler, denoise, image, sigmas, noise)
                return jnp.clip(spec.decode(x), 0.0, 1.0)
            # the picture is likely under its own age, so the way up is told that
            as_it_is = {**given, "age": given["before"]}
            known = gaussian.guided(params, as_it_is, cfg, spec)
            up = editing.invert(known, image, sigmas)
            # down again by the same steps, told the asked age
            x = samplers.sample(samplers.Euler(), denoise, up, sigmas, samplers.still(up))
            return jnp.clip(spec.decode(x), 0.0, 1.0)

        def answered(asked: Asked) -> np.ndarray:
            return this.draw(edited, told(asked))

        return answered


def ages_told(cfg: Any) -> list[Numbers]:
    """The conditions by which a model is told ages."""
    conditions = [*getattr(cfg, "condition", ())]
    # StarGAN's number is no condition of a denoiser
    if hasattr(cfg, "asked"):
        conditions.append(cfg.asked)
    # others are of labels or pictures
    numbers = [each for each in conditions if isinstance(each, Numbers)]
    return [each for each in numbers if each.of == "age"]


def check_range(name: str, cfg: Any, years: tuple[float, float]) -> None:
    """Raises UserError for a model that cannot be told all ages from the first to the last of `years`."""
    low, high = years
    for told in ages_told(cfg):
        if told.low > low or told.high < high:
            raise UserError(
                f"--ways: {name} is told ages of {told.low:g} to {told.high:g}, and the data have {low:g} to {high:g}: "
                "those outside would be told as the nearest end, so give its Numbers() the range of --data.years."
            )


def told(asked: Asked) -> dict[str, Any]:
    """What ways are given: never the truth."""
    n = len(asked.given)
    return {
        "input": asked.given,
        "before": asked.before,
        "age": asked.years,
        "index": np.arange(n, dtype=np.uint32),
    }
