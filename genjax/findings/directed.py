"""Years changed in the styles of StyleGAN2: a face is inverted, its style moved along the direction of age, and drawn.

    age of g(w) is read,     E[w | age, rest] = a + d age + D rest,     answer = g(w* + t d),   w* = argmin |g(w) - x|²

The direction d is found among styles whose pictures' years are read (as by Shen et al. 2020, arXiv:1907.10786, sec. 3,
who separate two halves of them by a plane), or among those of inverted training faces, whose years are known. It is
calibrated: styles are moved to and fro, and t is as many times the asked change as a year moved is less than a year
read. That reader is the way's own, of another seed than any judge's.

What an inversion loses is lost whatever is done next: an asked change of 0 years shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import averaged
from genjax.errors import UserError, above, at_least
from genjax.findings.directions import Direction, Regression
from genjax.findings.latents import Styles
from genjax.findings.samples import some
from genjax.findings.years import Asked, Way
from genjax.gan import stylegan2
from genjax.gan.invert import Projector, invert
from genjax.metrics.reader import Reader
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run

# styles [N, D] or [N, layers, D] -> pictures [N, H, W, C] in [0, 1]
Make = Callable[[np.ndarray], np.ndarray]
# pictures -> numbers [N, K] that are read of them
Says = Callable[[np.ndarray], np.ndarray]
HELD = 5  # one style of so many is kept from the search, to calibrate by


@dataclasses.dataclass(frozen=True)
class Directed:
    """StyleGAN2 of single faces that is told nothing: an experiment whose data, seed and folder are set."""

    exp: Experiment = field(Experiment(), "the run, of StyleGAN2()")
    samples: int = field(3000, "styles that are drawn to find the direction among")
    faces: int = field(
        0, "training faces that are inverted instead, whose years are known; 0 = none"
    )
    direction: Direction = field(Regression(), "how the direction is found")
    projector: Projector = field(
        Projector(steps=300, pull=1e-3), "how faces are inverted, from the mean style"
    )
    wide: bool = field(
        True, "a style for each layer, w+ (Abdal et al. 2019, arXiv:1904.03189), or one for all"
    )
    reader: Reader = field(
        Reader(numbers=("age", "pose"), steps=600, seed=1),
        "what reads years, and what else the direction should leave; no judge",
    )
    span: float = field(30.0, "years by which styles are moved to and fro to calibrate")
    most: float = field(4.0, "times as far as asked that styles are moved, at most")

    def check(self, source: Any) -> None:
        """Raises UserError for a model without styles, data without years, and numbers that leave nothing."""
        cfg = self.exp.algorithm
        if not hasattr(cfg, "synthesis"):
            raise UserError(
                f"--ways: Directed() moves styles, and {type(cfg).__name__} has none: give it StyleGAN2()."
            )
        if "age" not in self.reader.numbers or "age" not in source.fields:
            raise UserError(
                "--ways: Directed() needs the years of faces: use data with the field age, and name it in "
                "reader.numbers."
            )
        self.reader.names(source.fields)
        at_least(1, "Directed: ", projector__steps=self.projector.steps)
        at_least(0, "Directed: ", faces=self.faces)
        # below, there would be nothing to calibrate by, or to find the direction among
        at_least(2 * HELD, "Directed: ", samples=self.samples, faces=self.faces or 2 * HELD)
        above(0, "Directed: ", span=self.span)
        at_least(1.0, "Directed: ", most=self.most)

    def start(self, this: Run) -> Way:
        """Its answers, after the direction is found."""
        make = pictures_of(this)
        _, numbers = self.reader.names(this.source.fields)
        age = numbers.index("age")
        read = self.reader.reading(this.source.train, home(this.exp) / "features")

        def says(pictures: np.ndarray) -> np.ndarray:
            return np.asarray(read(pictures).numbers)

        def years_of(w: np.ndarray) -> np.ndarray:
            return says(make(w))[:, age]

        codes, values = self.known(this, make, says)
        # those that calibrate are not those that were searched
        held = np.arange(len(codes)) % HELD == 0
        step = self.step(codes[~held], values[~held], age)
        seen = seen_per_year(codes[held], step, self.span, years_of)
        times = reach(seen, self.most)
        this.log.result("direction of age", {"seen": seen, "times": times, "n": len(codes)})
        this.log.note(
            f"direction of age: a year moved is {seen:.2f} years read, so styles go {times:.2f} times as far"
        )

        def answered(asked: Asked) -> np.ndarray:
            w = self.inverted(this, asked.given)
            # both ages are the way's to know, as every way is told them
            years = np.ravel(asked.years - asked.before)
            return make(moved(w, step, times * years))

        return answered

    def known(
        self,
        this: Run,
        make: Make,
        says: Says,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Styles [N, ...] with the numbers of their pictures [N, K]: read, or of training faces known."""
        if not self.faces:
            drawn = this.draw(Styles().codes(this), this.given(self.samples))
            codes = np.asarray(drawn)
            return codes, says(make(codes))
        taken = some(this.source.train, self.faces)
        codes = self.inverted(this, np.asarray(taken[this.spec.main]))
        return codes, self.reader.taught(taken).numbers

    def step(
        self,
        codes: np.ndarray,
        values: np.ndarray,
        of: int,
    ) -> np.ndarray:
        """The change of styles [N, ...] for one unit of number `of`, the age, among their numbers [N, K]."""
        n, *shape = codes.shape
        # of w+ every layer has a step of its own
        flat = codes.reshape(n, -1)
        found = self.direction(flat, values, of)
        return found.reshape(shape)

    def inverted(
        self,
        this: Run,
        pictures: np.ndarray,
    ) -> np.ndarray:
        """The styles of uint8 pictures [M, H, W, C], [M, layers, D] or [M, D]."""
        cfg, spec = this.exp.algorithm, this.spec
        target = spec.x.encode(pictures)  # in [-1, 1]
        gen = averaged(this.state)["gen"]

        # without noise, which no style could undo
        def synthesised(w: jax.Array) -> jax.Array:
            return stylegan2.synthesise(gen, w, None, cfg, spec)

        layers = (cfg.synthesis.layers,) if self.wide else ()
        # where the generator is at its best
        start = jnp.broadcast_to(this.state.extra["w"], (len(target), *layers, cfg.latent))
        # no scan inside: gradients of convolutions are slow in one on CPU
        found = invert(this.key(7), synthesised, target, start, self.projector, compile=jax.jit)
        this.log.note(
            f"{len(target)} faces inverted: squared error {float(found.loss.mean()):.4f}"
        )
        return np.asarray(found.w)


def reach(seen: float, most: float) -> float:
    """How many times as far as asked styles are moved where a year moved is `seen` years read; at most `most` times."""
    # along a direction in which faces grow no older nothing is gained by any step
    if seen <= 0.0:
        return 0.0
    return min(1.0 / seen, most)


def pictures_of(this: Run) -> Make:
    """What draws pictures of styles, without noise."""
    cfg, spec = this.exp.algorithm, this.spec

    def synthesised(key: jax.Array, state: Any, given: Any) -> jax.Array:
        gen = averaged(state)["gen"]
        x = stylegan2.synthesise(gen, given["code"], None, cfg, spec)
        return jnp.clip(spec.decode(x), 0.0, 1.0)

    def make(w: np.ndarray) -> np.ndarray:
        index = np.arange(len(w), dtype=np.uint32)
        given = {"index": index, "code": np.asarray(w, np.float32)}
        return np.asarray(this.draw(synthesised, given))

    return make


def seen_per_year(
    codes: np.ndarray,
    step: np.ndarray,
    span: float,
    years_of: Callable[[np.ndarray], np.ndarray],
) -> float:
    """Years that are read for each year that codes [N, ...] are moved by: least squares of codes at -span and +span."""
    far = np.full(len(codes), span)
    older = years_of(moved(codes, step, far))
    younger = years_of(moved(codes, step, -far))
    return float(np.mean(older - younger) / (2.0 * span))


def moved(
    codes: np.ndarray,
    step: np.ndarray,
    years: np.ndarray,
) -> np.ndarray:
    """Codes [M, ...] moved by years [M] times the step of a year: of each layer, or the same in all."""
    ones = [1] * (codes.ndim - 1)
    return codes + years.reshape(-1, *ones) * step
