"""Image -> image: what can a trained diffusion model do to a picture that it has never seen?

    python -m experiments.edit            on the model of experiments.diffusion: noise and back, holes, blocks, blends
    python -m experiments.edit digits     the same on the model of `experiments.diffusion digits`
    python -m experiments.edit coarse     a model that is trained to see the coarse image beside the noise
    python -m experiments.edit colour     colourising by a model that is trained to see the grey image

Trains the model first if its run is not there. Every restoration is measured: the mean squared error over what was lost
(lower is not better pictures: the mean of all answers has the least), and how far the result is from what was known.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from experiments import diffusion
from experiments.diffusion import check_images
from genjax import cli
from genjax.config import edit, field
from genjax.core import averaged, example_normal
from genjax.corruptions import Coarse, Grey, Hole, Projection
from genjax.data import Digits, Photographs
from genjax.diffusion import editing, gaussian, samplers
from genjax.diffusion.guidance import Guidance, Static
from genjax.errors import UserError, at_least
from genjax.pictures import latent
from genjax.pictures.draw import grid, signed, unsigned
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Edits:
    """After training: SDEdit, inpainting, restoration by guidance, interpolation in noise, as PNG and numbers."""

    images: int = field(8, "test images that are edited")
    steps: int = field(40, "denoising steps")
    strengths: tuple[float, ...] = field(
        (0.3, 0.7, 1.5, 4.0), "noise levels sigma / alpha to which SDEdit goes up"
    )
    hole: Hole = field(Hole(), "what is missing for inpainting")
    repeats: int = field(5, "RePaint's resampling of each step")
    coarse: Coarse = field(Coarse(4), "what super-resolution starts from")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for edits that cannot be made."""
        check_images(source)
        at_least(2, finish__images=self.images)  # interpolation needs a pair
        at_least(1, finish__steps=self.steps, finish__repeats=self.repeats)
        at_least(1e-3, finish__strengths=min(self.strengths, default=1.0))
        jax.eval_shape(
            self.coarse, jax.ShapeDtypeStruct((1, *source.shape), jnp.float32)
        )  # refuses a bad factor
        if exp.algorithm.given is not None:
            raise UserError(
                "these edits are of a model that starts from noise alone: use --algorithm.given=None."
            )

    def __call__(self, this: Run) -> None:
        for name, tiles, columns in self.pictures(this):
            this.log.note(f"picture {this.log.picture(name, grid(unsigned(tiles), columns))}")

    def pictures(self, this: Run) -> Iterator[tuple[str, jax.Array, int]]:
        """(name, images [N, *shape], columns): one column an image, the first row as it was."""
        n, cfg = min(self.images, len(this.source.test["image"])), this.exp.algorithm
        cfg = edit(cfg, {"schedule.steps": self.steps})
        image, sigmas = signed(this.source.test["image"][:n]), cfg.schedule(cfg.path)
        rows = [image]
        for strength in self.strengths:
            levels = jnp.concatenate([jnp.asarray([strength]), sigmas[sigmas < strength]])
            rows.append(work(this, _sdedit, cfg, image, levels))
            moved = float(jnp.sqrt(jnp.mean(jnp.square(rows[-1] - image))))
            this.log.note(
                f"SDEdit from level {strength:g}: {moved:.3f} from the image, root mean square in [-1, 1]"
            )
        yield "sdedit", jnp.concatenate(rows), n

        filled = work(
            this, functools.partial(_inpaint, self.hole, self.repeats), cfg, image, sigmas
        )
        report(this, "RePaint", self.hole, image, filled)
        guided = restored(this, cfg, self.hole, image, sigmas)
        yield "inpainting", jnp.concatenate([image, self.hole(image), filled, *guided]), n
        for name, known in (("super-resolution", self.coarse), ("colourisation", Grey())):
            if name == "super-resolution" or this.spec.shape[-1] == 3:
                guided = restored(this, cfg, known, image, sigmas)
                yield name, jnp.concatenate([image, known(image), *guided]), n

        plain = edit(cfg, {"guidance": Guidance()})
        up = work(this, _invert, plain, image, sigmas, shown=False)
        back = work(this, _follow, plain, up, sigmas, shown=False)
        error = float(jnp.sqrt(jnp.mean(jnp.square(back - image))))
        this.log.result("inversion", {"error": error})
        this.log.note(
            f"inversion and back, {self.steps} steps each: {error:.4f} from the image, root mean square"
        )
        yield "inversion", jnp.concatenate([image, up / jnp.sqrt(1 + sigmas[0] ** 2), back]), n
        a, b = (part.reshape(n // 2, -1) for part in (up[: n // 2], up[n // 2 : 2 * (n // 2)]))
        arcs = latent.slerp(a, b, 8).reshape(-1, *this.spec.shape)
        yield "interpolation", work(this, _follow, plain, arcs, sigmas, shown=False), 8


def work(
    this: Run,
    fn: Callable,
    cfg: gaussian.Diffusion,
    image: jax.Array,
    sigmas: jax.Array,
    shown: bool = True,
):
    """fn(cfg, denoiser, image, sigmas, noise), compiled with the weights as an argument; `shown`: labels are."""
    n, test = len(image), this.source.test["label"]
    given = {
        "index": np.arange(n, dtype=np.uint32),
        "label": np.asarray(test[np.arange(n) % len(test)]),
    }

    def run(params, key, given, image, sigmas):
        label = gaussian.one_hot(given, cfg, this.spec)
        blind = gaussian.denoiser(params, None if label is None else 0.0 * label, cfg, this.spec)
        denoiser = gaussian.guided(params, given, cfg, this.spec) if shown else blind

        def noise(i):
            return example_normal(jax.random.fold_in(key, i), given["index"], this.spec.shape)

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
    this: Run, cfg: gaussian.Diffusion, known: Projection, image: jax.Array, sigmas
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
    }
    this.log.result(f"{name} {known!r}", values)
    this.log.note(
        f"{name} of {known!r}: squared error of the lost part {values['lost']:.4f} (left as it is: "
        f"{values['nothing_lost']:.4f}), of the known part {values['known']:.5f}"
    )


@dataclasses.dataclass(frozen=True)
class Conditioned:
    """After training a model that sees degraded images: test images, degraded, restored twice with different noise."""

    images: int = field(8, "test images in the picture")
    measured: int = field(500, "test images that are measured")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for a model that is not given an image."""
        check_images(source)
        at_least(1, finish__images=self.images, finish__measured=self.measured)
        if exp.algorithm.given is None:
            raise UserError(
                "this model is given no image to restore: use --algorithm.given='Coarse()', for instance."
            )

    def __call__(self, this: Run) -> None:
        test, cfg = this.source.test, this.exp.algorithm
        n = min(self.measured, len(test["image"]))
        rows = {name: np.asarray(test[name][:n]) for name in ("image", "label")}
        x = [
            this.draw(this.algorithm.sample, rows | {"index": np.arange(i, i + n, dtype=np.uint32)})
            for i in (0, n)
        ]
        image = signed(rows["image"])
        report(this, "conditioned", cfg.given, image, signed(x[0]))
        k = self.images
        tiles = jnp.concatenate(
            [image[:k], cfg.given(image[:k]), signed(x[0][:k]), signed(x[1][:k])]
        )
        this.log.note(f"picture {this.log.picture('restored', grid(unsigned(tiles), k))}")


_PHOTOGRAPHS = {
    "data": Photographs(),
    "algorithm.conditional": False,
    "algorithm.guidance": Guidance(),
    "algorithm.given": Grey(),
    "finish": Conditioned(),
}

EXPERIMENTS = {
    "base": edit(diffusion.BASE, {"finish": Edits()}),
    "digits": edit(diffusion.EXPERIMENTS["digits"], {"finish": Edits(coarse=Coarse(2))}),
    "coarse": edit(
        diffusion.EXPERIMENTS["digits"],
        {"data": Digits(), "algorithm.given": Coarse(4), "finish": Conditioned()},
    ),
    "colour": edit(diffusion.BASE, {**_PHOTOGRAPHS, "steps": 3000}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
