"""A trained diffusion model at work on pictures that it has never seen: edits, restorations, inversion."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import blank
from genjax.config import edit, field
from genjax.core import averaged, example_normal, size
from genjax.corruptions import Coarse, Grey, Hole, Projection
from genjax.diffusion import editing, gaussian, samplers
from genjax.diffusion.guidance import Guidance, Static
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, head, show
from genjax.pictures import latent
from genjax.pictures.draw import grid
from genjax.training.experiment import Experiment
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Edits:
    """SDEdit, inpainting, restoration by guidance, interpolation in noise, as PNG and numbers."""

    images: int = field(8, "test images that are edited")
    steps: int = field(40, "denoising steps")
    strengths: tuple[float, ...] = field(
        (0.3, 0.7, 1.5, 4.0), "noise levels sigma / alpha to which SDEdit goes up"
    )
    hole: Hole = field(Hole(), "what is missing for inpainting")
    repeats: int = field(5, "RePaint's resampling of each step")
    coarse: Coarse = field(Coarse(4), "what super-resolution starts from")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for edits that cannot be made."""
        check_images(source)
        at_least(2, finish__Edits__images=self.images)  # interpolation needs a pair
        at_least(1, finish__Edits__steps=self.steps, finish__Edits__repeats=self.repeats)
        at_least(1e-3, finish__Edits__strengths=min(self.strengths, default=1.0))
        one = jax.ShapeDtypeStruct((1, *source.shape), jnp.float32)
        jax.eval_shape(self.coarse, one)  # refuses a bad factor
        if given_pictures(exp.algorithm):
            raise UserError(
                "these edits are of a model that starts from noise alone: leave Picture() out of --algorithm.condition."
            )

    def __call__(self, this: Run) -> None:
        for name, tiles, columns in self.pictures(this):
            show(this, name, grid(this.spec.decode(tiles), columns))

    def pictures(self, this: Run) -> Iterator[tuple[str, jax.Array, int]]:
        """(name, images [N, *shape], columns): one column an image, the first row as it was."""
        n = min(self.images, size(this.source.test))
        cfg = edit(this.exp.algorithm, {"schedule.steps": self.steps})
        image = this.spec.x.encode(this.source.test[this.spec.main][:n])
        sigmas = cfg.schedule(cfg.path)
        yield "sdedit", self.strengthened(this, cfg, image, sigmas), n
        fill = functools.partial(_inpaint, self.hole, self.repeats)
        filled = work(this, fill, cfg, image, sigmas)
        report(this, "RePaint", self.hole, image, filled)
        guided = restored(this, cfg, self.hole, image, sigmas)
        yield "inpainting", jnp.concatenate([image, self.hole(image), filled, *guided]), n
        kinds = [("super-resolution", self.coarse)]
        if this.spec.shape[-1] == 3:
            kinds.append(("colourisation", Grey()))
        for name, known in kinds:
            guided = restored(this, cfg, known, image, sigmas)
            yield name, jnp.concatenate([image, known(image), *guided]), n
        yield from self.inverted(this, cfg, image, sigmas)

    def strengthened(self, this: Run, cfg: Any, image: jax.Array, sigmas: jax.Array) -> jax.Array:
        """The images, and what SDEdit makes of them from each strength, row by row."""
        rows = [image]
        for strength in self.strengths:
            levels = jnp.concatenate([jnp.asarray([strength]), sigmas[sigmas < strength]])
            rows.append(work(this, _sdedit, cfg, image, levels))
            moved = float(jnp.sqrt(jnp.mean(jnp.square(rows[-1] - image))))
            where = "from the image, root mean square in [-1, 1]"
            this.log.note(f"SDEdit from level {strength:g}: {moved:.3f} {where}")
        return jnp.concatenate(rows)

    def inverted(self, this: Run, cfg: Any, image: jax.Array, sigmas: jax.Array) -> Iterator[tuple]:
        """The noise that images belong to, the way back, and paths between such noises; without conditions."""
        n, plain = len(image), edit(cfg, {"guidance": Guidance()})
        up = work(this, _invert, plain, image, sigmas, shown=False)
        back = work(this, _follow, plain, up, sigmas, shown=False)
        error = float(jnp.sqrt(jnp.mean(jnp.square(back - image))))
        this.log.result("inversion", {"error": error, "n": n})
        this.log.note(
            f"inversion and back, {self.steps} steps each: {error:.4f} from the image, root mean square"
        )
        yield "inversion", jnp.concatenate([image, up / jnp.sqrt(1 + sigmas[0] ** 2), back]), n
        half = n // 2
        a, b = (part.reshape(half, -1) for part in (up[:half], up[half : 2 * half]))
        arcs = latent.slerp(a, b, 8).reshape(-1, *this.spec.shape)
        yield "interpolation", work(this, _follow, plain, arcs, sigmas, shown=False), 8


def given_pictures(cfg: gaussian.Diffusion) -> list[Any]:
    """The conditions of a model that are degraded pictures."""
    return [each for each in cfg.condition if getattr(each, "through", None) is not None]


def work(
    this: Run,
    fn: Callable,
    cfg: gaussian.Diffusion,
    image: jax.Array,
    sigmas: jax.Array,
    shown: bool = True,
) -> jax.Array:
    """fn(cfg, denoiser, image, sigmas, noise), compiled with the weights as an argument; `shown`: conditions are."""
    n, test, spec = len(image), this.source.test, this.spec
    rows = np.arange(n) % size(test)
    given = {name: np.asarray(test[name][rows]) for name in this.algorithm.asks}
    given["index"] = np.arange(n, dtype=np.uint32)

    def run(params, key, given, image, sigmas):
        if shown:
            denoiser = gaussian.guided(params, given, cfg, spec)
        else:
            denoiser = gaussian.denoiser(params, blank(cfg.condition, given, spec), cfg, spec)

        def noise(i):
            return example_normal(jax.random.fold_in(key, i), given["index"], spec.shape)

        return fn(cfg, denoiser, image, sigmas, noise)

    return jax.jit(run)(averaged(this.state), this.key(6), given, image, sigmas)


def _sdedit(cfg, denoiser, image, sigmas, noise):
    return editing.sdedit(cfg.sampler, denoiser, image, sigmas, noise)


def _inpaint(hole, repeats, cfg, denoiser, image, sigmas, noise):
    return editing.inpaint(denoiser, image, hole.mask(*image.shape[1:3]), sigmas, noise, repeats)


def _invert(cfg, denoiser, image, sigmas, noise):
    return editing.invert(denoiser, image, sigmas)


def _follow(cfg, denoiser, x, sigmas, noise):
    return samplers.sample(samplers.Euler(), denoiser, x, sigmas, samplers.still(x))


def _restore(how, known, cfg, denoiser, image, sigmas, noise):
    return editing.restore(how, known, samplers.DDIM(1.0), denoiser, image, sigmas, noise)


def restored(
    this: Run, cfg: gaussian.Diffusion, known: Projection, image: jax.Array, sigmas: jax.Array
) -> list[jax.Array]:
    """By replacement and by guidance with the likelihood of what is known."""
    found = []
    for how in (editing.Replace(), editing.PseudoInverse(std=cfg.std, threshold=Static())):
        found.append(work(this, functools.partial(_restore, how, known), cfg, image, sigmas))
        report(this, type(how).__name__, known, image, found[-1])
    return found


def report(this: Run, name: str, known: Projection, image: jax.Array, restored: jax.Array) -> None:
    """Prints and records the error of what was lost, and of what was known, mean squares in [-1, 1]."""
    difference = restored - image
    values = {
        "lost": float(jnp.mean(jnp.square(difference - known(difference)))),
        "nothing_lost": float(jnp.mean(jnp.square(image - known(image)))),
        "known": float(jnp.mean(jnp.square(known(difference)))),
        "n": len(image),
    }
    this.log.result(f"{name} {known!r}", values)
    this.log.note(
        f"{name} of {known!r}: squared error of the lost part {values['lost']:.4f} (left as it is: "
        f"{values['nothing_lost']:.4f}), of the known part {values['known']:.5f}"
    )


@dataclasses.dataclass(frozen=True)
class Restored:
    """Of a model that sees degraded images: test images, degraded, restored twice with different noise."""

    images: int = field(8, "test images in the picture")
    measured: int = field(500, "test images that are measured")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for a model that is not given an image."""
        check_images(source)
        at_least(1, finish__Restored__images=self.images, finish__Restored__measured=self.measured)
        if not given_pictures(exp.algorithm):
            raise UserError(
                "this model is given no image to restore: use, for instance, "
                "--algorithm.condition='(Picture(through=Coarse()),)'."
            )

    def __call__(self, this: Run) -> None:
        spec, (picture, *_) = this.spec, given_pictures(this.exp.algorithm)
        test = head(this.source.test, self.measured)
        n, asked = size(test), {name: np.asarray(test[name]) for name in this.algorithm.asks}
        draws = []
        for first in (0, n):  # another index, other noise
            index = np.arange(first, first + n, dtype=np.uint32)
            x = this.draw(this.algorithm.sample, {**asked, "index": index})
            draws.append(spec.x.encode(x))
        image = spec.x.encode(test[spec.main])
        report(this, "conditioned", picture.through, image, draws[0])
        k = self.images
        degraded = picture.through(image[:k])
        tiles = jnp.concatenate([image[:k], degraded, draws[0][:k], draws[1][:k]])
        show(this, "restored", grid(spec.decode(tiles), k))
