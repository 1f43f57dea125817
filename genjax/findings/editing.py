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
from genjax.data.batches import chosen
from genjax.diffusion import editing, gaussian, samplers
from genjax.diffusion.guidance import Guidance, Static
from genjax.errors import UserError, at_least, at_most
from genjax.findings.samples import check_images, show, some
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
    repeats: int = field(5, "RePaint's resampling of each stretch of steps")
    coarse: Coarse = field(Coarse(4), "what super-resolution starts from")
    jump: int = field(
        1, "steps of a stretch that RePaint resamples (the paper's: 10 of 250)", added=True
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for edits that cannot be made."""
        check_images(source)
        at_least(2, finish__Edits__images=self.images)  # interpolation needs a pair
        at_least(
            1,
            finish__Edits__steps=self.steps,
            finish__Edits__repeats=self.repeats,
            finish__Edits__jump=self.jump,
        )
        longest = max(self.steps - 1, 1)  # the last step, to 0, is not taken back
        at_most(longest, finish__Edits__jump=self.jump)
        weakest = min(self.strengths, default=1.0)
        at_least(1e-3, finish__Edits__strengths=weakest)
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
        spec, test = this.spec, this.source.test
        n = min(self.images, size(test))
        test = some(test, n)
        cfg = edit(this.exp.algorithm, {"schedule.steps": self.steps})
        image = spec.x.encode(test[spec.main])  # [n, H, W, C] in [-1, 1]
        sigmas = cfg.schedule(cfg.path)  # falling
        yield "sdedit", self.strengthened(this, cfg, image, sigmas), n
        # RePaint (arXiv:2201.09865)
        fill = functools.partial(_inpaint, self.hole, self.repeats, self.jump)
        filled = work(this, fill, cfg, image, sigmas)
        report(this, "RePaint", self.hole, image, filled)
        guided = restored(this, cfg, self.hole, image, sigmas)
        rows = [image, self.hole(image), filled, *guided]
        yield "inpainting", jnp.concatenate(rows), n
        kinds = [("super-resolution", self.coarse)]
        if spec.shape[-1] == 3:  # grey pictures have no colour to lose
            kinds.append(("colourisation", Grey()))
        for name, known in kinds:
            guided = restored(this, cfg, known, image, sigmas)
            rows = [image, known(image), *guided]
            yield name, jnp.concatenate(rows), n
        yield from self.inverted(this, cfg, image, sigmas)

    def strengthened(
        self, this: Run, cfg: Any, image: jax.Array, sigmas: jax.Array
    ) -> jax.Array:
        """The images, and what SDEdit makes of them from each strength, row by row."""
        # SDEdit (arXiv:2108.01073): up to the strength by noise, down again by denoising
        rows = [image]
        for strength in self.strengths:
            # the sampler's own levels, entered at the strength
            start = jnp.asarray([strength])
            below = sigmas[sigmas < strength]
            levels = jnp.concatenate([start, below])
            edited = work(this, _sdedit, cfg, image, levels)
            rows.append(edited)
            moved = root_mean_square(edited - image)
            where = "from the image, root mean square in [-1, 1]"
            this.log.note(f"SDEdit from level {strength:g}: {moved:.3f} {where}")
        return jnp.concatenate(rows)

    def inverted(
        self, this: Run, cfg: Any, image: jax.Array, sigmas: jax.Array
    ) -> Iterator[tuple]:
        """The noise that images belong to, the way back, and paths between such noises; without conditions."""
        n = len(image)
        # guidance bends the flow: the way back would not be the way up
        plain = edit(cfg, {"guidance": Guidance()})
        up = work(this, _invert, plain, image, sigmas, shown=False)
        back = work(this, _follow, plain, up, sigmas, shown=False)
        error = root_mean_square(back - image)
        this.log.result("inversion", {"error": error, "n": n})
        this.log.note(
            f"inversion and back, {self.steps} steps each: {error:.4f} from the image, root mean square"
        )
        # data of unit variance have, with noise of level s, the variance 1 + s²
        drawn = up / jnp.sqrt(1 + sigmas[0] ** 2)
        rows = [image, drawn, back]
        yield "inversion", jnp.concatenate(rows), n
        half = n // 2
        a = up[:half].reshape(half, -1)  # [half, D]
        b = up[half : 2 * half].reshape(half, -1)
        arcs = latent.slerp(a, b, 8)  # [half, 8, D]
        noises = arcs.reshape(-1, *this.spec.shape)  # [half 8, H, W, C]
        images = work(this, _follow, plain, noises, sigmas, shown=False)
        yield "interpolation", images, 8


def mean_square(difference: jax.Array) -> float:
    """Over all values of a difference of images [B, H, W, C]."""
    square = jnp.square(difference)
    return float(jnp.mean(square))


def root_mean_square(difference: jax.Array) -> float:
    """The root of it, taken in float32."""
    square = jnp.square(difference)
    return float(jnp.sqrt(jnp.mean(square)))


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
    # those that `some` draws too: the conditions of the images' own rows; paths, without conditions, may be more
    rows = chosen(n, size(test))
    given = {}
    for name in this.algorithm.asks:
        given[name] = np.asarray(test[name][rows])
    given["index"] = np.arange(n, dtype=np.uint32)

    def run(params, key, given, image, sigmas):
        if shown:
            denoiser = gaussian.guided(params, given, cfg, spec)
        else:
            cond = blank(cfg.condition, given, spec)
            denoiser = gaussian.denoiser(params, cond, cfg, spec)

        def noise(i):
            at = jax.random.fold_in(key, i)
            return example_normal(at, given["index"], spec.shape)

        return fn(cfg, denoiser, image, sigmas, noise)

    # weights as an argument: as constants they would be compiled into the program
    params, key = averaged(this.state), this.key(6)
    return jax.jit(run)(params, key, given, image, sigmas)


def _sdedit(cfg, denoiser, image, sigmas, noise):
    return editing.sdedit(cfg.sampler, denoiser, image, sigmas, noise)


def _inpaint(hole, repeats, jump, cfg, denoiser, image, sigmas, noise):
    mask = hole.mask(*image.shape[1:3])  # [H, W, 1]
    return editing.inpaint(denoiser, image, mask, sigmas, noise, repeats, jump=jump)


# The same flow up
def _invert(cfg, denoiser, image, sigmas, noise):
    return editing.invert(denoiser, image, sigmas)


# The probability flow down; no noise, so that each start has one image
def _follow(cfg, denoiser, x, sigmas, noise):
    return samplers.sample(samplers.Euler(), denoiser, x, sigmas, samplers.still(x))


def _restore(how, known, cfg, denoiser, image, sigmas, noise):
    stochastic = samplers.DDIM(1.0)  # new noise at each step mends what replacing breaks
    return editing.restore(how, known, stochastic, denoiser, image, sigmas, noise)


def restored(
    this: Run, cfg: gaussian.Diffusion, known: Projection, image: jax.Array, sigmas: jax.Array
) -> list[jax.Array]:
    """By replacement and by guidance with the likelihood of what is known."""
    replacement = editing.Replace()
    guidance = editing.PseudoInverse(std=cfg.std, threshold=Static())
    found = []
    for how in (replacement, guidance):
        mend = functools.partial(_restore, how, known)
        images = work(this, mend, cfg, image, sigmas)
        found.append(images)
        report(this, type(how).__name__, known, image, images)
    return found


def report(
    this: Run, name: str, known: Projection, image: jax.Array, restored: jax.Array
) -> None:
    """Prints and records the error of what was lost, and of what was known, mean squares in [-1, 1]."""
    difference = restored - image
    # `known` is a linear projection P: P d and (I - P) d are the two parts of a difference d
    of_known = known(difference)
    of_lost = difference - of_known
    not_there = image - known(image)
    values = {
        "lost": mean_square(of_lost),
        "nothing_lost": mean_square(not_there),
        "known": mean_square(of_known),
        "n": len(image),
    }
    this.log.result(f"{name} {known!r}", values)
    lost, left = values["lost"], values["nothing_lost"]
    this.log.note(
        f"{name} of {known!r}: squared error of the lost part {lost:.4f} (left as it is: "
        f"{left:.4f}), of the known part {values['known']:.5f}"
    )


@dataclasses.dataclass(frozen=True)
class Restored:
    """Of a model that sees degraded images: test images, degraded, restored twice with different noise."""

    images: int = field(8, "test images in the picture")
    measured: int = field(500, "test images that are measured")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for a model that is not given an image."""
        check_images(source)
        at_least(
            1, finish__Restored__images=self.images, finish__Restored__measured=self.measured
        )
        if not given_pictures(exp.algorithm):
            raise UserError(
                "this model is given no image to restore: use, for instance, "
                "--algorithm.condition='(Picture(through=Coarse()),)'."
            )

    def __call__(self, this: Run) -> None:
        spec = this.spec
        picture, *_ = given_pictures(this.exp.algorithm)
        test = some(this.source.test, self.measured)
        n = size(test)
        asked = {name: np.asarray(test[name]) for name in this.algorithm.asks}
        draws = []
        for first in (0, n):  # another index, other noise
            index = np.arange(first, first + n, dtype=np.uint32)
            x = this.draw(this.algorithm.sample, {**asked, "index": index})
            draws.append(spec.x.encode(x))  # errors are measured in [-1, 1]
        image = spec.x.encode(test[spec.main])
        report(this, "conditioned", picture.through, image, draws[0])
        # four rows: the test images, what the model is given, two answers
        k = self.images
        shown = image[:k]
        degraded = picture.through(shown)
        first, second = (draw[:k] for draw in draws)
        tiles = jnp.concatenate([shown, degraded, first, second])
        show(this, "restored", grid(spec.decode(tiles), k))
